#!/usr/bin/env python3
"""Write modern.npz: windows over a picture, and class activation maps, of networks with gates, norms and attention (README.md).

Float64 PyTorch, node by node through ../back/make_back.py, on picture 0 of ../models/NET.golden; every window is an occluded
picture of its own.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "back"))
import make_back  # noqa: E402

# Patch, stride, fill; a layer whose activity is followed; the layer that CAM and Grad-CAM take (None: there is none).
CASES = {
    "efficientnet": ((12, 9), (7, 9), (0.3, -0.2, 0.1), "/block3/block3.1/act/Mul_output_0", "/top/act/Mul_output_0"),
    "mobilenet_v3": ((13, 13), (10, 8), (0.0, 0.4, -0.3), "/block2/block2.1/act/Relu_output_0", "/top/act/HardSwish_output_0"),
    "inception_v3": ((16, 20), (16, 15), (0.1, 0.2, 0.3), "/conv2b/act/Relu_output_0", "/mixed7c/Concat_output_0"),
    "convnext": ((9, 11), (8, 8), (0.5, 0.5, -0.5), "/block2/body/act/Mul_1_output_0", "/block4/Add_output_0"),
    "vit": ((10, 10), (8, 6), (-0.4, 0.0, 0.4), "/block1/block1.1/body/act/Gelu_output_0", None),
}


def starts(n, patch, stride):
    return [i * stride for i in range(-(-(n - patch) // stride) + 1)]


def cams(net, a, g):
    """Signed maps of a layer [C,h,w] and its gradient; CAM where one dense layer follows the mean."""
    weights = [n for n in net.node if n.op_type == "Gemm"]
    if len(weights) == 1 and not any(n.op_type == "ReduceMean" for n in net.node):
        w = g.sum((1, 2))  # of the mean's logit: the dense layer's own row
        yield "cam", torch.einsum("k,kyx->yx", w, a)
    yield "grad_cam", torch.einsum("k,kyx->yx", g.mean((1, 2)), a)
    alpha = torch.where(g != 0, g ** 2 / (2 * g ** 2 + g ** 3 * a.sum((1, 2), keepdim=True) + 1e-6), 0)
    yield "grad_cam_pp", torch.einsum("k,kyx->yx", (alpha * g.clamp(min=0)).sum((1, 2)), a)
    yield "layer_cam", (g.clamp(min=0) * a).sum(0)


def main():
    out = {}
    for name, (patch, stride, fill, layer, last) in CASES.items():
        g = onnx.load(make_back.MODELS / f"{name}.onnx").graph
        consts = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float64)) for t in g.initializer}
        image = torch.from_numpy(make_back.read_golden(make_back.MODELS / f"{name}.golden")["image"][:1].astype(np.float64))
        logits = g.output[0].name

        def run(x):
            with torch.no_grad():
                v = make_back.walk(g, consts, x, "gradient")
            return v[logits][0].numpy(), v[layer][0].reshape(v[layer].shape[1], -1).sum(1).numpy()

        clean, sums = run(image)
        strongest = int(sums.argmax())
        ys, xs = (starts(image.shape[2 + i], patch[i], stride[i]) for i in (0, 1))
        scores, activity = np.zeros((len(ys), len(xs), len(clean))), np.zeros((len(ys), len(xs)))
        for i, y in enumerate(ys):
            for j, x in enumerate(xs):
                covered = image.clone()
                covered[0, :, y:y + patch[0], x:x + patch[1]] = torch.tensor(fill, dtype=torch.float64)[:, None, None]
                scores[i, j], every = run(covered)
                activity[i, j] = every[strongest]
        out.update({f"{name}/input": image[0].numpy().astype(np.float32), f"{name}/options": np.array([*patch, *stride]),
                    f"{name}/fill": np.array(fill), f"{name}/clean": clean, f"{name}/logits": scores,
                    f"{name}/y": np.array(ys), f"{name}/x": np.array(xs), f"{name}/layer": np.array(layer),
                    f"{name}/activity": activity, f"{name}/activity_clean": sums[strongest],
                    f"{name}/activity_channel": np.array(strongest)})
        if last:
            v = make_back.walk(g, consts, image.clone().requires_grad_(True), "gradient")
            slope, = torch.autograd.grad(v[logits][0, int(clean.argmax())], v[last])
            out[f"{name}/last"] = np.array(last)
            for kind, m in cams(g, v[last][0].detach(), slope[0]):
                out[f"{name}/{kind}"] = m.numpy()
        print(name, image.shape[2:], "windows", scores.shape[:2], [k.split("/")[1] for k in out if "cam" in k and k.startswith(name)])
    np.savez_compressed(HERE / "modern.npz", **out)
    print("torch", torch.__version__, (HERE / "modern.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
