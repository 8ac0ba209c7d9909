#!/usr/bin/env python3
"""Write occlusion.npz: what windows over a picture do to four small networks, in float64 (README.md).

Scores come from occluded pictures, one by one, through reference.py; heat maps from Captum's Occlusion on the same
float64 network, an implementation of its own (windows clipped at the edge, mean over the windows that cover a pixel).
"""
import sys
from pathlib import Path

import captum
import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import Occlusion

from reference import Net

HERE = Path(__file__).resolve().parent
CASES = {  # patch, stride, fill, layer whose activity is followed (by number among the Relu outputs)
    "alexnet": ((31, 24), (17, 23), (0.25, -0.5, 0.125), 2),
    "squeezenet1_1": ((16, 16), (8, 8), (0.5,), 5),
    "resnet18": ((14, 21), (9, 11), (0.0, 0.5, -0.25), 3),
    "vgg16": ((8, 8), (8, 8), (0.1,), 4),
}


class Network(Net):
    @staticmethod
    def op_AveragePool(a, x):
        k, s = a["kernel_shape"], a.get("strides", [1, 1])
        assert not any(a.get("pads", [0])) and not a.get("ceil_mode", 0)
        return F.avg_pool2d(x, k, s)

    @staticmethod
    def op_BatchNormalization(a, x, scale, bias, mean, var):
        return F.batch_norm(x, mean, var, scale, bias, False, 0, a.get("epsilon", 1e-5))

    @staticmethod
    def op_Identity(a, x):
        return x


def starts(n, patch, stride, edge):
    count = (n - patch) // stride + 1 if edge == "drop" else -(-(n - patch) // stride) + 1
    return [min(i * stride, n - patch) if edge == "shift" else i * stride for i in range(count)]


def picture(side, seed):
    """Smooth, with edges; float32 numbers."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    wave = np.sin(0.21 * y + 0.13 * (c + seed) * x) + np.cos(0.07 * x * (1 + c) - 0.19 * y) + (np.hypot(y - side / 3, x - side / 2) < side / 5)
    return wave.astype(np.float32)


def main():
    out = {}
    for seed, (name, (patch, stride, fill, layer)) in enumerate(CASES.items()):
        net = Network(HERE.parent / "models" / f"{name}.onnx")
        side = net.model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
        x = torch.from_numpy(picture(side, seed)).double()[None]
        fills = torch.tensor(fill, dtype=torch.float64).expand(3) if len(fill) == 1 else torch.tensor(fill, dtype=torch.float64)
        relu = net.relus()[layer]

        def run(p):
            v = net.run(p)
            return v[net.output], v[relu]

        clean, activity = run(x)
        best = clean[0].argsort(descending=True, stable=True)
        strongest = int(activity[0].sum((1, 2)).argmax())
        out[f"{name}/input"] = x[0].numpy().astype(np.float32)
        out[f"{name}/options"] = np.array([*patch, *stride], np.int64)
        out[f"{name}/fill"] = np.array(fill)
        out[f"{name}/clean"] = clean[0].numpy()
        out[f"{name}/layer"] = np.array(relu)
        out[f"{name}/activity_clean"] = np.array(float(activity[0, strongest].sum()))
        out[f"{name}/activity_channel"] = np.array(strongest)
        for edge in ("cut", "drop", "shift"):
            ys, xs = (starts(side, patch[i], stride[i], edge) for i in (0, 1))
            logits, sums = np.zeros((len(ys), len(xs), clean.shape[1])), np.zeros((len(ys), len(xs)))
            for i, y in enumerate(ys):
                for j, q in enumerate(xs):
                    covered = x.clone()
                    covered[0, :, y:y + patch[0], q:q + patch[1]] = fills[:, None, None]
                    o, a = run(covered)
                    logits[i, j] = o[0].numpy()
                    sums[i, j] = float(a[0, strongest].sum())
            out[f"{name}/{edge}/logits"], out[f"{name}/{edge}/activity"] = logits, sums
            out[f"{name}/{edge}/y"], out[f"{name}/{edge}/x"] = np.array(ys), np.array(xs)
        for target in (int(best[0]), int(best[1])):
            maps = Occlusion(lambda p: net.run(p)[net.output]).attribute(
                x, sliding_window_shapes=(3, *patch), strides=(3, *stride), baselines=fills[None, :, None, None].expand(x.shape),
                target=target)
            out.setdefault(f"{name}/heatmap", []).append(maps[0, 0].numpy().astype(np.float32))
            assert float((maps[0] - maps[0, :1]).abs().max()) == 0
        out[f"{name}/heatmap"] = np.stack(out[f"{name}/heatmap"])
        print(name, side, "classes", best[:2].tolist(), "windows", logits.shape[:2])
    np.savez_compressed(HERE / "occlusion.npz", **out)
    print("torch", torch.__version__, "captum", captum.__version__, (HERE / "occlusion.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    sys.exit(main())
