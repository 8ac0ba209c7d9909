#!/usr/bin/env python3
"""Make padded.onnx: convolutions whose borders are wider than their kernels, one of them of a single channel.

It serves for walks back by boxes, which must equal those by whole maps; no numbers are kept.  onnx, NumPy, seed 1123.
"""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1123)
nodes, weights, last = [], [], "image"
for i, (ic, oc, kernel, pad) in enumerate([(3, 16, 1, 2), (16, 1, 1, 1), (1, 20, 3, 3), (20, 4, 1, 1)]):
    w = (rng.standard_normal((oc, ic, kernel, kernel)) / np.sqrt(ic) / kernel).astype(np.float32)
    b = (0.3 * rng.standard_normal(oc) + 0.2).astype(np.float32)
    weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
    nodes += [helper.make_node("Conv", [last, f"w{i}", f"b{i}"], [f"conv{i}"], name=f"n_conv{i}", pads=[pad] * 4),
              helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"], name=f"n_relu{i}")]
    last = f"relu{i}"
graph = helper.make_graph(nodes, "padded", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 9, 8])],
                          [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], weights)
with open("padded.onnx", "wb") as f:
    f.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())
