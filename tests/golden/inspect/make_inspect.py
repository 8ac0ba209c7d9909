#!/usr/bin/env python3
"""A small network, and what ONNX Runtime shows of it: shapes, and receptive fields by poking.

All weights are positive and the input is 1 everywhere, so a row of the input that is raised by 1e6 raises every cell
that sees it, through ReLU and MaxPool too.  Writes fixed.onnx, open.onnx (rows and columns symbolic), expected.json, and three
files that must be refused.
"""
import json
import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
H, W = 96, 80
rng = np.random.default_rng(1)


def weight(name, *shape):
    return numpy_helper.from_array(rng.uniform(0.1, 1, shape).astype(np.float32), name)


def conv(x, y, w, **kw):
    return h.make_node("Conv", [x, w], [y], name=y + "_node", **kw)


NODES = [
    conv("x", "stem", "w0", kernel_shape=[5, 3], strides=[2, 1], pads=[2, 1, 2, 1]),
    h.make_node("Relu", ["stem"], ["act"]),
    h.make_node("MaxPool", ["act"], ["pool"], kernel_shape=[3, 3], strides=[2, 2]),
    conv("pool", "near", "w1", kernel_shape=[1, 1]),
    conv("pool", "far", "w2", kernel_shape=[3, 3], dilations=[2, 1], pads=[2, 1, 2, 1], group=2),
    h.make_node("Concat", ["near", "far"], ["both"], axis=1),
    conv("both", "mix", "w3", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    conv("near", "again", "w1", kernel_shape=[1, 1]),  # shares its weights
    h.make_node("Add", ["mix", "again"], ["sum"]),
    h.make_node("AveragePool", ["sum"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
    h.make_node("GlobalAveragePool", ["half"], ["mean"]),
    h.make_node("Flatten", ["mean"], ["flat"]),
    h.make_node("Gemm", ["flat", "w4", "b4"], ["logits"], transB=1),
    h.make_node("Softmax", ["logits"], ["prob"], axis=1),
]
INITS = [weight("w0", 4, 2, 5, 3), weight("w1", 4, 4, 1, 1), weight("w2", 6, 2, 3, 3), weight("w3", 4, 10, 3, 3),
         weight("w4", 5, 4), weight("b4", 5)]


def model(h_, w_, outs=("prob",)):
    g = h.make_graph(NODES, "g", [h.make_tensor_value_info("x", 1, [1, 2, h_, w_])],
                     [h.make_tensor_value_info(o, 1, None) for o in outs], INITS)
    return h.make_model(g, opset_imports=[h.make_opsetid("", 13)], ir_version=8, producer_name="poke")


def run(m, x):
    return ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})


def boxes(m, outs, axis):
    """For each output: [cell][row]: does the cell see the row?  (axis 0 rows, 1 columns; all cells of the other one.)"""
    side = (H, W)[axis]
    session = ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
    base = np.ones((1, 2, H, W), np.float32)
    clean = session.run(None, {"x": base})
    sees = [np.zeros((c.shape[2 + axis] if c.ndim == 4 else 1, side), bool) for c in clean]
    for row in range(side):
        x = base.copy()
        x[(slice(None), slice(None), row) if axis == 0 else (slice(None), slice(None), slice(None), row)] += 1e6
        for i, (a, b) in enumerate(zip(clean, session.run(None, {"x": x}))):
            d = a != b
            sees[i][:, row] = d.any(axis=(0, 1, 3 - axis)) if a.ndim == 4 else d.any()
    return sees


def field(sees):
    """size, stride, offset from cells in the middle; a value of one cell has stride and offset 0."""
    lo, hi = sees.argmax(1), sees.shape[1] - sees[:, ::-1].argmax(1)
    if len(lo) == 1:
        return int(hi[0] - lo[0]), 0, 0
    i = len(lo) // 2
    stride = int(lo[i + 1] - lo[i])
    return int(hi[i] - lo[i]), stride, int(lo[i] - i * stride)


def macs(n, y):
    if n.op_type == "Conv":
        w = next(t for t in INITS if t.name == n.input[1])
        return int(np.prod(y.shape)) * int(np.prod(w.dims[1:]))
    return 20 if n.op_type == "Gemm" else 0


def left_out(op, *inputs):
    """A network whose node lacks an input that it needs, or has an operator that nobody has."""
    g = h.make_graph([h.make_node(op, inputs, ["y"], name="n")], "g", [h.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
                     [h.make_tensor_value_info("y", 1, [1, 3, 8, 8])])
    return h.make_model(g, opset_imports=[h.make_opsetid("", 13)], ir_version=8)


def main():
    onnx.save(left_out("Add", "x", ""), os.path.join(HERE, "left_out_end.onnx"))
    onnx.save(left_out("Sum", "x", "", "x"), os.path.join(HERE, "left_out_middle.onnx"))
    onnx.save(left_out("Frobnicate", "x"), os.path.join(HERE, "unknown.onnx"))
    outs = [n.output[0] for n in NODES if n.output[0] != "prob"]  # softmax is saturated: nothing can be seen there
    m = model(H, W, outs)
    values = run(m, np.ones((1, 2, H, W), np.float32))
    rows, cols = boxes(m, outs, 0), boxes(m, outs, 1)
    size_of = {t.name: int(np.prod(t.dims)) for t in INITS}
    expected = []
    for n, y, r, c in zip(NODES, values, rows, cols):
        f = [field(r), field(c)]
        expected.append({"op": n.op_type, "output": n.output[0], "shape": list(y.shape), "macs": macs(n, y),
                         "parameters": sum(size_of.get(i, 0) for i in n.input),
                         "receptive_field": {k: [f[0][j], f[1][j]] for j, k in enumerate(("size", "stride", "offset"))}})
    onnx.save(model(H, W), os.path.join(HERE, "fixed.onnx"))
    onnx.save(model("H", "W"), os.path.join(HERE, "open.onnx"))
    with open(os.path.join(HERE, "expected.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(e) for e in expected) + "\n]\n")
    print("onnxruntime", ort.__version__, "onnx", onnx.__version__)


main()
