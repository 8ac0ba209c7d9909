#!/usr/bin/env python3
"""Maps and heat maps of the CAM family for random layers: NumPy float64 by the papers' formulas (Grad-CAM++ as
pytorch-grad-cam has it), enlarged by PyTorch's interpolate.

Usage: make_cam.py     writes cam.golden (format: ../models/README.md; README.md has the versions) and networks with other
ends than those of ../models beside itself
"""
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional as F

CASES = [  # channels, rows, columns of the layer; rows, columns of the input
    (5, 7, 7, 28, 28), (16, 13, 13, 56, 60), (3, 1, 1, 9, 4), (4, 6, 10, 17, 33), (2, 12, 5, 7, 5), (7, 1, 9, 1, 40)]


def maps(a, g):
    a, g = a.astype(np.float64), g.astype(np.float64)
    yield "cam", np.einsum("k,kyx->yx", g.sum((1, 2)), a)
    yield "grad_cam", np.einsum("k,kyx->yx", g.mean((1, 2)), a)
    alpha = g ** 2 / (2 * g ** 2 + a.sum((1, 2), keepdims=True) * g ** 3 + 1e-6)
    weight = (np.maximum(g, 0) * np.where(g != 0, alpha, 0)).sum((1, 2))
    yield "grad_cam_pp", np.einsum("k,kyx->yx", weight, a)
    yield "layer_cam", (np.maximum(g, 0) * a).sum(0)


def heat(m, h, w):
    up = F.interpolate(torch.from_numpy(np.maximum(m, 0))[None, None], (h, w), mode="bilinear", align_corners=False)
    up = up[0, 0].numpy()
    return up / up.max() if up.max() > 0 else up


def put(f, name, a):
    kind = "f4" if a.dtype == np.float32 else "f8"
    f.write(f"{name} {kind} {a.ndim} {' '.join(map(str, a.shape))}\n".encode() + np.ascontiguousarray(a).tobytes())


# Each node: operator, inputs, output, attributes; inputs with a shape are weights.
BODY = [("Conv", ["x", (6, 1, 3, 3)], "conv", {"kernel_shape": [3, 3], "pads": [1] * 4}), ("Relu", ["conv"], "layer", {})]
ENDS = {
    "pointwise": [("Conv", ["layer", (4, 6, 1, 1)], "scores", {"kernel_shape": [1, 1]}),
                  ("GlobalAveragePool", ["scores"], "pool", {}), ("Flatten", ["pool"], "y", {})],
    "reduce": [("ReduceMean", ["layer"], "pool", {"axes": [2, 3], "keepdims": 0}),
               ("MatMul", ["pool", (6, 4)], "dense", {}), ("Add", ["dense", (4,)], "logits", {}),
               ("Softmax", ["logits"], "y", {"axis": 1})],
    "window": [("AveragePool", ["layer"], "pool", {"kernel_shape": [8, 8]}),
               ("Conv", ["pool", (4, 6, 1, 1)], "scores", {"kernel_shape": [1, 1]}), ("Flatten", ["scores"], "y", {})],
    "gated": [("GlobalAveragePool", ["layer"], "squeeze", {}), ("Sigmoid", ["squeeze"], "gate", {}),
              ("Mul", ["layer", "gate"], "excited", {}), ("Flatten", ["excited"], "flat", {}),
              ("Gemm", ["flat", (384, 4)], "y", {})],
    "bare": [("Flatten", ["x"], "flat", {}), ("Gemm", ["flat", (64, 4)], "y", {})],
    "nothing": [("GlobalMaxPool", ["layer"], "pool", {}), ("Flatten", ["pool"], "flat", {}), ("Gemm", ["flat", (6, 4)], "y", {})],
}


def network(body, rng):
    nodes, weights = [], []
    for op, ins, out, attrs in body:
        names = [i if isinstance(i, str) else f"{out}.w{k}" for k, i in enumerate(ins)]
        weights += [numpy_helper.from_array(rng.standard_normal(i).astype(np.float32), n)
                    for i, n in zip(ins, names) if not isinstance(i, str)]
        nodes.append(helper.make_node(op, names, [out], **attrs))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in (("x", ["N", 1, 8, 8]), ("y", ["N", 4]))]
    g = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


HERE = Path(__file__).resolve().parent
rng = np.random.default_rng(1123)
for end, body in ENDS.items():
    onnx.save(network(body if end == "bare" else BODY + body, rng), HERE / f"{end}.onnx")
with open(HERE / "cam.golden", "wb") as f:
    f.write(b"DCVG1\n")
    for i, (c, h, w, out_h, out_w) in enumerate(CASES):
        a = np.maximum(rng.standard_normal((c, h, w)), 0).astype(np.float32)
        g = (0.1 * rng.standard_normal((c, h, w))).astype(np.float32)
        g[rng.random(g.shape) < 0.3] = 0
        put(f, f"{i}.a", a)
        put(f, f"{i}.g", g)
        for kind, m in maps(a, g):
            put(f, f"{i}.{kind}", m)
            put(f, f"{i}.{kind}.heat", heat(m.astype(np.float32).astype(np.float64), out_h, out_w).astype(np.float32))
