#!/usr/bin/env python3
"""Make opsN.onnx and opsN.golden: every operator in many small cases (see README.md).

All cases of an opset stand side by side in one graph: inputs CASE.0, CASE.1 ..., outputs CASE.  The references are
float64, from ONNX's reference evaluator, or from the few lines of NumPy below where that one is wrong or lacks a
case; ONNX Runtime (float32) must agree with them.
"""
import itertools
import struct
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

rng = np.random.default_rng(1123)


# --- operators defined anew --------------------------------------------------------------


def geometry(shape, kernel_shape, strides, pads, dilations, auto_pad, ceil_mode):
    """Per axis: kernel, stride, dilation, pad before, number of windows, pad after."""
    n = len(shape)
    strides, dilations, pads = strides or [1] * n, dilations or [1] * n, pads or [0] * 2 * n
    axes = []
    for i, size in enumerate(shape):
        reach = (kernel_shape[i] - 1) * dilations[i] + 1
        before, after = pads[i], pads[n + i]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, (-(-size // strides[i]) - 1) * strides[i] + reach - size)
            before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            after = total - before
        room = size + before + after - reach
        count = (-(-room // strides[i]) if ceil_mode else room // strides[i]) + 1
        if ceil_mode and (count - 1) * strides[i] >= size + before:
            count -= 1
        axes.append((kernel_shape[i], strides[i], dilations[i], before, count, after))
    return axes


def windows(x, axes):
    """For each output cell: its index, and the indices that its window covers, border included."""
    for o in itertools.product(*(range(a[4]) for a in axes)):
        yield o, [[o[i] * s - before + t * d for t in range(k)]
                  for i, (k, s, d, before, _, _) in enumerate(axes)]


def pool(x, axes, join):
    y = np.zeros(x.shape[:2] + tuple(a[4] for a in axes))
    for o, cells in windows(x, axes):
        inside = [[c for c in line if 0 <= c < size] for line, size in zip(cells, x.shape[2:])]
        values = x[(slice(None), slice(None)) + np.ix_(*inside)].reshape(x.shape[0], x.shape[1], -1)
        border = [[c for c in line if c < size + a[5]] for line, size, a in zip(cells, x.shape[2:], axes)]
        y[(slice(None), slice(None)) + o] = join(values, np.prod([len(b) for b in border]))
    return y


class MaxPool(OpRun):
    op_domain = ""

    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None,
             storage_order=None, strides=None):
        axes = geometry(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
        y = pool(x, axes, lambda v, n: v.max(-1))
        if self.n_outputs == 1:
            return (y,)
        number = np.arange(x.size, dtype=np.int64).reshape(x.shape)
        index = np.zeros(y.shape, np.int64)
        for c in np.ndindex(x.shape[:2]):
            for o, cells in windows(x, axes):
                best = None
                for at in itertools.product(*cells):
                    if all(0 <= a < s for a, s in zip(at, x.shape[2:])) and (best is None or x[c + at] > x[c + best]):
                        best = at
                index[c + o] = number[c + best]
        return y, index

    @property
    def n_outputs(self):
        return len(self.onnx_node.output)


class AveragePool(OpRun):
    op_domain = ""

    def _run(self, x, auto_pad=None, ceil_mode=None, count_include_pad=None, dilations=None, kernel_shape=None,
             pads=None, strides=None):
        axes = geometry(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
        return (pool(x, axes, lambda v, n: v.sum(-1) / (n if count_include_pad else v.shape[-1])),)


class Conv(OpRun):
    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, pads=None, strides=None):
        axes = geometry(x.shape[2:], w.shape[2:], strides, pads, dilations, auto_pad, 0)
        border = [(a[3], max(0, (a[4] - 1) * a[1] + (a[0] - 1) * a[2] + 1 - s - a[3])) for a, s in zip(axes, x.shape[2:])]
        x = np.pad(x, [(0, 0), (0, 0)] + border)
        group = group or 1
        y = np.zeros((x.shape[0], w.shape[0]) + tuple(a[4] for a in axes))
        each, ic = w.shape[0] // group, w.shape[1]
        for g in range(group):
            part, wg = x[:, g * ic:(g + 1) * ic], w[g * each:(g + 1) * each]
            for t in np.ndindex(w.shape[2:]):
                cut = tuple(slice(k * a[2], k * a[2] + (a[4] - 1) * a[1] + 1, a[1]) for k, a in zip(t, axes))
                y[:, g * each:(g + 1) * each] += np.einsum("oi,ni...->no...", wg[(slice(None), slice(None)) + t],
                                                           part[(slice(None), slice(None)) + cut])
        if b is not None:
            y += b.reshape((1, -1) + (1,) * len(axes))
        return (y,)


class BatchNormalization(OpRun):
    op_domain = ""

    def _run(self, x, scale, bias, mean, var, epsilon=None, momentum=None, training_mode=None, **_):
        scale, bias, mean, var = (v.reshape((-1,) + (1,) * (x.ndim - 2)) for v in (scale, bias, mean, var))
        return (scale * (x - mean) / np.sqrt(var + float(epsilon)) + bias,)


class LRN(OpRun):
    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
        total = np.zeros_like(x)
        for c in range(x.shape[1]):
            total[:, c] = (x[:, max(0, c - before):c + after + 1] ** 2).sum(1)
        return (x / (float(bias) + float(alpha) / size * total) ** float(beta),)


class Pad(OpRun):
    """Its own knows no negative pads."""
    op_domain = ""

    def _run(self, x, pads=None, value=None, axes=None, mode=None, **_):
        axes = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
        border, n = [(0, 0)] * x.ndim, len(axes)
        for i, a in enumerate(axes):
            border[a] = (int(pads[i]), int(pads[n + i]))
        cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, border))
        border = [(max(0, a), max(0, b)) for a, b in border]
        if mode not in (None, "constant"):
            return (np.pad(x[cut], border, mode=mode),)
        return (np.pad(x[cut], border, constant_values=float(value) if value is not None else 0),)


class LpPool(OpRun):
    """Its own takes padding for numbers."""
    op_domain = ""

    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, p=None, pads=None, strides=None):
        axes = geometry(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
        return (pool(x, axes, lambda v, n: (np.abs(v) ** p).sum(-1) ** (1 / p)),)


class GlobalLpPool(OpRun):
    op_domain = ""

    def _run(self, x, p=None):
        return ((np.abs(x) ** p).sum(tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


class MeanVarianceNormalization(OpRun):
    """Its own mixes float32 and float64."""
    op_domain = ""

    def _run(self, x, axes=None):
        axes = tuple(axes or (0, 2, 3))
        return ((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9),)


class Hardmax(OpRun):
    """Its own knows the newest version alone."""
    op_domain = ""

    def _run(self, x, axis=None):
        flat = x.reshape(int(np.prod(x.shape[:axis])), -1) if self.old else np.moveaxis(x, axis, -1)
        y = (np.arange(flat.shape[-1]) == flat.argmax(-1)[..., None]).astype(x.dtype)
        return (y.reshape(x.shape) if self.old else np.moveaxis(y, -1, axis),)


def hardmax_of(opset):
    return type("Hardmax", (Hardmax,), {"old": opset < 13})


class Upsample(OpRun):
    """Asymmetric: nearest by floor, linear between the cells at floor and beyond."""
    op_domain = ""

    def _run(self, x, scales=None, mode=None):
        for axis, scale in enumerate(self.scales() if scales is None else scales):
            at = np.arange(int(np.floor(x.shape[axis] * scale))) / scale
            low = np.floor(at).astype(int)
            high, part = np.minimum(low + 1, x.shape[axis] - 1), at - low if mode == "linear" else 0 * at
            part = part.reshape((-1,) + (1,) * (x.ndim - axis - 1))
            x = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
        return (x,)

    def scales(self):
        return next(a.floats for a in self.onnx_node.attribute if a.name == "scales")


def softmax_of(opset, logarithm):
    class Any(OpRun):
        op_domain = ""

        def _run(self, x, axis=None):
            # the evaluator fills in the newest default
            axis = next((a.i for a in self.onnx_node.attribute if a.name == "axis"), None)
            shape = x.shape
            if opset < 13:
                axis = 1 if axis is None else axis
                x = x.reshape(int(np.prod(shape[:axis])), -1)
                axis = 1
            axis = -1 if axis is None else axis
            d = x - x.max(axis, keepdims=True)
            y = d - np.log(np.exp(d).sum(axis, keepdims=True))
            return ((y if logarithm else np.exp(y)).reshape(shape),)

    Any.__name__ = "LogSoftmax" if logarithm else "Softmax"
    return Any


# --- cases ---------------------------------------------------------------------------------


def picture(*shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def ties(*shape):
    return rng.integers(-1, 2, shape).astype(np.float32)


def with_nan(x, every=17):
    x = x.copy()
    x.reshape(-1)[::every] = np.nan
    return x


class Cases:
    def __init__(self, opset):
        self.opset, self.nodes, self.inputs, self.constants, self.outputs = opset, [], {}, [], []

    def add(self, name, op, live, *constants, outputs=1, order=None, **attributes):
        """live: arrays that are graph inputs; constants: initialisers.  order: e.g. "cl" puts a constant first."""
        names = []
        live, constants = list(live), list(constants)
        for i, kind in enumerate(order or "l" * len(live) + "c" * len(constants)):
            if kind == "-":
                names.append("")
                continue
            names.append(f"{name}.{i}")
            if kind == "l":
                self.inputs[names[-1]] = live.pop(0)
            else:
                self.constants.append(numpy_helper.from_array(np.asarray(constants.pop(0)), names[-1]))
        outs = [name] + [f"{name}.out{j}" for j in range(1, outputs)]
        self.nodes.append(helper.make_node(op, names, outs, name=name, **attributes))
        self.outputs += outs

    def model(self, double=False):
        kind = T.DOUBLE if double else T.FLOAT
        inputs = [helper.make_tensor_value_info(n, kind, x.shape) for n, x in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(n, T.UNDEFINED, None) for n in self.outputs]
        for o in outputs:
            o.ClearField("type")
        constants = self.constants
        if double:
            constants = [numpy_helper.from_array(a.astype(np.float64) if a.dtype == np.float32 else a, c.name)
                         for c in constants for a in [numpy_helper.to_array(c)]]
        graph = helper.make_graph(self.nodes, "ops", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return model

    def single(self, node, double):
        """One case alone, since types of outputs must be known to ONNX Runtime."""
        model = self.model(double)
        keep = set(node.input)
        graph = helper.make_graph([node], node.name, [i for i in model.graph.input if i.name in keep],
                                  [helper.make_empty_tensor_value_info(o) for o in node.output],
                                  [c for c in model.graph.initializer if c.name in keep])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def references(self):
        ops = [MaxPool, AveragePool, Conv, BatchNormalization, LRN, softmax_of(self.opset, False),
               softmax_of(self.opset, True), LpPool, GlobalLpPool, Upsample,
               MeanVarianceNormalization, hardmax_of(self.opset)] + ([Pad] if self.opset > 10 else [])
        for node in self.nodes:
            feeds = {n: self.inputs[n] for n in node.input if n in self.inputs}
            want = ReferenceEvaluator(self.single(node, True), new_ops=ops).run(
                None, {n: x.astype(np.float64) for n, x in feeds.items()})
            try:
                got = onnxruntime.InferenceSession(self.single(node, False).SerializeToString(),
                                                   providers=["CPUExecutionProvider"]).run(None, feeds)
            except Exception as fault:
                print(f"{node.name}: ONNX Runtime cannot ({str(fault)[:80]})")
                got = want
            for name, w, g in zip(node.output, want, got):
                w, g = np.asarray(w), np.asarray(g)
                assert w.shape == g.shape, (name, w.shape, g.shape)
                if not np.allclose(w.astype(float), g.astype(float), rtol=1e-4, atol=1e-5, equal_nan=True):
                    print(f"{name}: ONNX Runtime differs by {np.nanmax(np.abs(w.astype(float) - g)):.3g},",
                          f"NaN {np.isnan(w.astype(float)).sum()} and {np.isnan(g.astype(float)).sum()}")
                yield name, w.astype(np.float64)


def windows_of(c):
    p = [1, 1, 1, 1]
    c.add("max_3_2", "MaxPool", [picture(1, 19, 13, 17)], kernel_shape=[3, 3], strides=[2, 2])
    c.add("max_2_2", "MaxPool", [picture(1, 16, 8, 7)], kernel_shape=[2, 2], strides=[2, 2])
    c.add("max_1_3", "MaxPool", [picture(1, 5, 8, 7)], kernel_shape=[1, 1], strides=[3, 2])
    c.add("max_pad", "MaxPool", [picture(1, 33, 9, 9) - 9], kernel_shape=[3, 3], strides=[2, 2], pads=p)
    c.add("max_pad_uneven", "MaxPool", [picture(1, 3, 9, 10)], kernel_shape=[3, 4], strides=[1, 2], pads=[0, 3, 2, 1])
    c.add("max_5", "MaxPool", [picture(1, 9, 11, 12)], kernel_shape=[5, 5], pads=[2, 2, 2, 2])
    c.add("max_13", "MaxPool", [picture(1, 2, 13, 14)], kernel_shape=[13, 13], pads=[6] * 4)
    c.add("max_whole", "MaxPool", [picture(1, 17, 6, 5)], kernel_shape=[6, 5])
    c.add("max_ties", "MaxPool", [ties(1, 18, 10, 11)], kernel_shape=[3, 3], strides=[2, 2], pads=p)
    c.add("max_nan", "MaxPool", [with_nan(picture(1, 18, 10, 11), 37)], kernel_shape=[3, 3], strides=[2, 2], pads=p)
    c.add("max_wide", "MaxPool", [picture(1, 1, 3, 1200)], kernel_shape=[2, 3], strides=[1, 2], pads=[0, 1, 0, 1])
    c.add("max_very_wide", "MaxPool", [picture(1, 1, 2, 700)], kernel_shape=[2, 300], strides=[1, 50])
    c.add("max_1d", "MaxPool", [picture(1, 9, 30)], kernel_shape=[4], strides=[3], pads=[1, 2])
    c.add("max_3d", "MaxPool", [picture(1, 9, 5, 6, 7)], kernel_shape=[2, 3, 2], strides=[2, 1, 2], pads=[1, 1, 0, 0, 1, 1])
    c.add("max_upper", "MaxPool", [picture(1, 4, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    c.add("max_lower", "MaxPool", [picture(1, 4, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER")
    c.add("max_valid", "MaxPool", [picture(1, 4, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], auto_pad="VALID")
    c.add("avg_3", "AveragePool", [picture(1, 19, 9, 8)], kernel_shape=[3, 3], pads=p)
    c.add("avg_3_border", "AveragePool", [picture(1, 19, 9, 8)], kernel_shape=[3, 3], pads=p, count_include_pad=1)
    c.add("avg_2_2", "AveragePool", [picture(1, 8, 9, 8)], kernel_shape=[2, 2], strides=[2, 2])
    c.add("avg_uneven", "AveragePool", [picture(1, 3, 9, 10)], kernel_shape=[4, 3], strides=[3, 2], pads=[2, 0, 1, 1],
          count_include_pad=1)
    c.add("avg_5", "AveragePool", [picture(1, 2, 9, 10)], kernel_shape=[5, 4], strides=[2, 1], pads=[2, 1, 2, 2])
    c.add("avg_wide", "AveragePool", [picture(1, 1, 3, 900)], kernel_shape=[3, 3], pads=p)
    c.add("avg_1d", "AveragePool", [picture(1, 9, 30)], kernel_shape=[4], strides=[3], pads=[1, 2])
    c.add("avg_3d", "AveragePool", [picture(1, 9, 5, 6, 7)], kernel_shape=[2, 3, 2], strides=[2, 1, 2])
    c.add("avg_upper", "AveragePool", [picture(1, 4, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    c.add("avg_lower", "AveragePool", [picture(1, 4, 8, 9)], kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER")
    c.add("gap", "GlobalAveragePool", [picture(1, 35, 7, 6)])
    c.add("gap_1d", "GlobalAveragePool", [picture(1, 5, 7)])
    c.add("gmp_nan", "GlobalMaxPool", [with_nan(picture(1, 19, 5, 2), 37)])
    c.add("gmp", "GlobalMaxPool", [picture(1, 35, 7, 6) - 5])


def convolutions(c):
    w = lambda *s: picture(*s, scale=0.3)
    c.add("conv_3", "Conv", [picture(1, 5, 9, 8)], w(7, 5, 3, 3), w(7), pads=[1, 1, 1, 1])
    c.add("conv_s2", "Conv", [picture(1, 3, 11, 12)], w(17, 3, 5, 4), w(17), strides=[2, 3], pads=[2, 0, 1, 1])
    c.add("conv_groups", "Conv", [picture(1, 12, 6, 7)], w(18, 4, 3, 3), w(18), group=3)
    c.add("conv_depth", "Conv", [picture(1, 19, 6, 7)], w(19, 1, 3, 3), group=19, pads=[1, 1, 1, 1])
    c.add("conv_dilated", "Conv", [picture(1, 4, 11, 12)], w(5, 4, 3, 2), dilations=[2, 3], pads=[2, 2, 2, 2])
    c.add("conv_upper", "Conv", [picture(1, 2, 8, 9)], w(3, 2, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER")
    c.add("conv_lower", "Conv", [picture(1, 2, 8, 9)], w(3, 2, 3, 4), strides=[2, 2], auto_pad="SAME_LOWER")
    c.add("conv_valid", "Conv", [picture(1, 2, 8, 9)], w(3, 2, 3, 4), auto_pad="VALID", kernel_shape=[3, 4])
    c.add("conv_1d", "Conv", [picture(1, 3, 20)], w(4, 3, 5), w(4), pads=[1, 3], strides=[2])
    c.add("conv_3d", "Conv", [picture(1, 3, 5, 6, 7)], w(4, 3, 2, 3, 2), w(4), pads=[0, 1, 1, 1, 0, 1], strides=[1, 2, 1])
    c.add("conv_1x1", "Conv", [picture(1, 33, 4, 5)], w(20, 33, 1, 1), w(20))


def products(c):
    a, b = picture(4, 7), picture(7, 5)
    c.add("gemm", "Gemm", [a], b, picture(5))
    c.add("gemm_tt", "Gemm", [picture(7, 4)], picture(5, 7), picture(4, 1), transA=1, transB=1, alpha=0.5, beta=-2.0)
    c.add("gemm_scalar", "Gemm", [a], picture(5, 7), picture(1), transB=1)
    c.add("gemm_full", "Gemm", [a], b, picture(4, 5))
    c.add("matmul", "MatMul", [picture(1, 7)], b)
    c.add("matmul_stack", "MatMul", [picture(1, 3, 4, 7), picture(1, 1, 7, 2)])
    c.add("matmul_spread", "MatMul", [picture(1, 3, 1, 4, 7)], picture(2, 7, 5))
    c.add("matmul_vector", "MatMul", [picture(1, 4, 7)], picture(7))


def arithmetic(c):
    x = lambda: picture(1, 19, 5, 6)
    for op in ("Add", "Sub", "Mul", "Div"):
        n = op.lower()
        away = (lambda a: np.sign(a) * (np.abs(a) + 0.5)) if op == "Div" else (lambda a: a)
        c.add(n, op, [x(), away(x())])
        c.add(n + "_channel", op, [x()], away(picture(19, 1, 1)))
        c.add(n + "_channel4", op, [away(x())], picture(1, 19, 1, 1), order="cl")
        c.add(n + "_gate", op, [x(), away(picture(1, 19, 1, 1))])
        c.add(n + "_gate_first", op, [picture(1, 19, 1, 1), away(x())])
        c.add(n + "_scalar", op, [x()], away(picture()))
        c.add(n + "_scalar_first", op, [away(x())], picture(1), order="cl")
        c.add(n + "_mask", op, [x(), away(picture(1, 1, 5, 6))])
        c.add(n + "_row", op, [x()], away(picture(6)))
        c.add(n + "_full", op, [x()], away(picture(1, 19, 5, 6)))
        c.add(n + "_cross", op, [picture(1, 19, 1, 6), away(picture(1, 1, 5, 1))])
        c.add(n + "_ranks", op, [x(), away(picture(1, 5, 6))])
        c.add(n + "_flat", op, [picture(1, 10), away(picture(1, 10))])
        c.add(n + "_grow", op, [picture(1, 19, 1, 1)], away(picture(1, 19, 5, 6)))
    c.add("sum", "Sum", [x(), x(), picture(1, 19, 1, 1)])
    c.add("sum_one", "Sum", [x()])
    c.add("sum_grow", "Sum", [picture(1, 1, 5, 6), picture(1, 19, 1, 1)])
    c.add("equal", "Equal", [ties(1, 19, 4, 3), ties(1, 19, 4, 3)])
    c.add("where", "Where", [x()], rng.integers(0, 2, (5, 1)).astype(bool), picture(19, 1, 1), order="clc")


def activations(c, clip_inputs):
    x = lambda: picture(1, 19, 3, 4, scale=2)
    c.add("relu", "Relu", [with_nan(x())])
    c.add("relu_flat", "Relu", [picture(1, 37)])
    c.add("leaky", "LeakyRelu", [x()], alpha=0.2)
    c.add("leaky_default", "LeakyRelu", [x()])
    c.add("sigmoid", "Sigmoid", [10 * x()])
    c.add("hard_sigmoid", "HardSigmoid", [x()])
    c.add("hard_sigmoid6", "HardSigmoid", [2 * x()], alpha=1.0 / 6, beta=0.5)
    c.add("tanh", "Tanh", [x()])
    c.add("exp", "Exp", [x()])
    c.add("exp_wide", "Exp", [np.linspace(-110, 88, 199, dtype=np.float32).reshape(1, 199)])
    c.add("sqrt", "Sqrt", [np.abs(x())])
    c.add("erf", "Erf", [x()])
    c.add("neg", "Neg", [x()])
    c.add("floor", "Floor", [x()])
    c.add("ceil", "Ceil", [x()])
    f = np.float32
    if clip_inputs:
        c.add("clip", "Clip", [x()], f(0), f(6))
        c.add("clip_low", "Clip", [x()], f(0.5))
        c.add("clip_high", "Clip", [x()], f(-0.5), order="l-c")
        c.add("clip_none", "Clip", [x()])
    else:
        c.add("clip", "Clip", [x()], min=0.0, max=6.0)
        c.add("clip_low", "Clip", [x()], min=0.5)
        c.add("clip_none", "Clip", [x()])


def normalisations(c):
    n = 19
    c.add("batchnorm", "BatchNormalization", [picture(1, n, 4, 5)], picture(n), picture(n), picture(n), np.abs(picture(n)),
          epsilon=0.01)
    c.add("batchnorm_flat", "BatchNormalization", [picture(1, n)], picture(n), picture(n), picture(n), np.abs(picture(n)))
    c.add("lrn", "LRN", [picture(1, n, 4, 5, scale=20)], size=5)
    c.add("lrn_3", "LRN", [picture(1, 8, 9, 9, scale=5)], size=3, alpha=0.3, beta=0.75, bias=2.0)
    c.add("lrn_power", "LRN", [picture(1, n, 4, 5, scale=5)], size=7, alpha=0.1, beta=0.6)
    c.add("lrn_even", "LRN", [picture(1, n, 4, 5, scale=5)], size=4, alpha=0.1)
    c.add("lrn_deep", "LRN", [picture(1, 300, 2, 1, scale=5)], size=9, alpha=0.1)
    c.add("lrn_all", "LRN", [picture(1, 6, 2, 1, scale=5)], size=31, alpha=0.1)
    c.add("softmax", "Softmax", [picture(1, 19, 4, 5, scale=5)])
    c.add("softmax_1", "Softmax", [picture(1, 19, 4, 5, scale=5)], axis=1)
    c.add("softmax_2", "Softmax", [picture(1, 19, 4, 5, scale=5)], axis=2)
    c.add("softmax_flat", "Softmax", [picture(1, 19, scale=80)])
    c.add("log_softmax", "LogSoftmax", [picture(1, 19, 4, 5, scale=5)])
    c.add("log_softmax_1", "LogSoftmax", [picture(1, 19, 4, 5, scale=5)], axis=1)


def joins(c):
    c.add("concat", "Concat", [picture(1, n, 3, 4) for n in (16, 19, 8, 1)], axis=1)
    c.add("concat_aligned", "Concat", [picture(1, n, 3, 4) for n in (16, 32)], axis=1)
    c.add("concat_rows", "Concat", [picture(1, 19, n, 4) for n in (1, 3)], axis=2)
    c.add("concat_columns", "Concat", [picture(1, 19, 3, n) for n in (2, 3, 1)], axis=-1)
    c.add("concat_flat", "Concat", [picture(1, n) for n in (2, 3, 1)], axis=1)
    c.add("concat_constant", "Concat", [picture(1, 3, 4)], picture(1, 2, 4), order="cl", axis=1)
    c.add("concat_constant_rows", "Concat", [picture(1, 3, 4, 2)], picture(1, 3, 2, 2), axis=2)
    c.add("transpose", "Transpose", [picture(1, 3, 4, 5)])
    c.add("transpose_nhwc", "Transpose", [picture(1, 3, 4, 5)], perm=[0, 2, 3, 1])
    c.add("flatten", "Flatten", [picture(1, 19, 2, 3)])
    c.add("flatten_0", "Flatten", [picture(1, 19, 2, 3)], axis=0)
    c.add("flatten_3", "Flatten", [picture(1, 19, 2, 3)], axis=3)
    c.add("reshape", "Reshape", [picture(1, 6, 2, 3)], np.array([0, -1, 3, 2]))
    c.add("identity", "Identity", [picture(1, 19, 2, 3)])
    c.add("dropout", "Dropout", [picture(1, 19, 2, 3)])
    c.add("cast", "Cast", [picture(1, 19, 2, 3, scale=9)], to=T.INT64)
    c.add("gather", "Gather", [picture(1, 5, 3, 4)], np.array([3, 0, -1]), axis=1)
    c.add("gather_one", "Gather", [picture(1, 5, 3, 4)], np.array(2), axis=1)
    c.add("gather_last", "Gather", [picture(1, 5, 3, 4)], np.array([[3, 0], [1, 1]]), axis=-1)
    c.add("expand", "Expand", [picture(1, 5, 1, 4)], np.array([5, 3, 1]))


def cases_9():
    c = Cases(9)
    activations(c, False)
    normalisations(c)
    joins(c)
    c.add("squeeze", "Squeeze", [picture(1, 19, 1, 1)], axes=[2, 3])
    c.add("squeeze_all", "Squeeze", [picture(1, 19, 1, 2)])
    c.add("unsqueeze", "Unsqueeze", [picture(1, 19)], axes=[2, 3])
    c.add("slice", "Slice", [picture(1, 5, 6, 7)], starts=[1, -5], ends=[3, 1000], axes=[1, 3])
    c.add("pad", "Pad", [picture(1, 3, 4, 5)], pads=[0, 1, 2, 0, 0, 0, 1, 3], value=0.5)
    c.add("mean", "ReduceMean", [picture(1, 19, 4, 5)], axes=[2, 3])
    c.add("mean_drop", "ReduceMean", [picture(1, 19, 4, 5)], axes=[2, 3], keepdims=0)
    c.add("split", "Split", [picture(1, 19, 3, 4)], axis=1, split=[2, 16, 1], outputs=3)
    return c


def cases_13():
    c = Cases(13)
    windows_of(c)
    c.add("max_ceil", "MaxPool", [picture(1, 19, 8, 9)], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    c.add("max_ceil_pad", "MaxPool", [picture(1, 3, 10, 9)], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1)
    c.add("max_ceil_drop", "MaxPool", [picture(1, 3, 5, 6)], kernel_shape=[1, 2], strides=[3, 3], pads=[0, 1, 0, 1], ceil_mode=1)
    c.add("max_dilated", "MaxPool", [picture(1, 9, 11, 12)], kernel_shape=[3, 2], dilations=[2, 3], strides=[1, 2], pads=[2, 1, 1, 1])
    c.add("max_index", "MaxPool", [ties(1, 9, 8, 7)], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], outputs=2)
    c.add("avg_ceil", "AveragePool", [picture(1, 19, 8, 9)], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    c.add("avg_ceil_border", "AveragePool", [picture(1, 3, 8, 9)], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
          ceil_mode=1, count_include_pad=1)
    convolutions(c)
    products(c)
    arithmetic(c)
    activations(c, True)
    normalisations(c)
    joins(c)
    c.add("squeeze", "Squeeze", [picture(1, 19, 1, 1)], np.array([2, -1]))
    c.add("unsqueeze", "Unsqueeze", [picture(1, 19)], np.array([-1, 0]))
    c.add("slice", "Slice", [picture(1, 5, 6, 7)], np.array([1, -5]), np.array([3, 1000]), np.array([1, 3]))
    c.add("slice_back", "Slice", [picture(1, 5, 6, 7)], np.array([-1, 5, 6]), np.array([-1000, 0, 1]), np.array([1, 2, 3]),
          np.array([-2, -1, -3]))
    c.add("slice_step", "Slice", [picture(1, 5, 6, 7)], np.array([0, 1]), np.array([2**62, 6]), np.array([2, 3]), np.array([4, 2]))
    c.add("pad", "Pad", [picture(1, 3, 4, 5)], np.array([0, 1, 2, 0, 0, 0, 1, 3]), np.float32(0.5))
    c.add("pad_cut", "Pad", [picture(1, 3, 4, 5)], np.array([0, 0, -1, 2, 0, 0, 1, -3]))
    c.add("mean", "ReduceMean", [picture(1, 19, 4, 5)], axes=[2, 3])
    c.add("mean_channels", "ReduceMean", [picture(1, 19, 4, 5)], axes=[-3], keepdims=0)
    for name, axes, keep in (("channels_keep", [1], 1), ("rows", [2], 1), ("rows_drop", [2], 0), ("columns", [-1], 1),
                             ("mixed", [1, 3], 1), ("mixed_drop", [1, 3], 0), ("space_drop", [2, 3], 0)):
        c.add("mean_" + name, "ReduceMean", [picture(1, 19, 4, 5)], axes=axes, keepdims=keep)
    c.add("mean_1d", "ReduceMean", [picture(1, 19, 7)], axes=[2], keepdims=0)
    c.add("pad_space", "Pad", [picture(1, 19, 4, 5)], np.array([0, 0, 1, 2, 0, 0, 3, 0]), np.float32(-2))
    c.add("pad_cut_space", "Pad", [picture(1, 19, 4, 5)], np.array([0, 0, -1, 2, 0, 0, 1, -3]))
    c.add("pad_channels", "Pad", [picture(1, 19, 4, 5)], np.array([0, 2, 1, 0, 0, 3, -1, 1]), np.float32(3))
    c.add("pad_channels_cut", "Pad", [picture(1, 19, 4, 5)], np.array([0, -2, 1, 0, 0, 1, 0, 1]))
    c.add("mean_all", "ReduceMean", [picture(1, 19, 4, 5)])
    c.add("split", "Split", [picture(1, 19, 3, 4)], np.array([2, 16, 1]), axis=1, outputs=3)
    c.add("split_equal", "Split", [picture(1, 32, 3, 4)], axis=1, outputs=2)
    c.add("split_rows", "Split", [picture(1, 19, 3, 4)], np.array([1, 2]), axis=2, outputs=2)
    return c


def cases_18():
    c = Cases(18)
    x = picture(1, 19, 4, 5)
    c.add("hard_swish", "HardSwish", [3 * x])
    c.add("mean", "ReduceMean", [x], np.array([2, 3]))
    c.add("mean_none", "ReduceMean", [x], noop_with_empty_axes=1)
    c.add("mean_drop", "ReduceMean", [x], np.array([-1, 1]), keepdims=0)
    c.add("split", "Split", [x], axis=1, num_outputs=4, outputs=4)
    c.add("pad", "Pad", [x], np.array([1, 2, 0, 3]), np.float32(-1), np.array([-1, 2]))
    c.add("reshape", "Reshape", [x], np.array([1, 19, -1]), allowzero=1)
    c.add("clip", "Clip", [x], np.float32(-1), np.float32(1))
    c.add("relu", "Relu", [x])
    return c


def cases_20():
    """Functions of one number, comparisons, norms and reductions; x stays away from kinks, for derivatives."""
    c = Cases(20)
    x = picture(1, 19, 4, 5)
    x = np.where(np.abs(x) < 0.15, np.float32(0.3), x)
    y = picture(1, 19, 4, 5)
    y = np.where(np.abs(x - y) < 0.15, x + np.float32(0.4), y).astype(np.float32)
    up = (np.abs(x) + np.float32(0.5)).astype(np.float32)
    row = np.linspace(-1.1, 1.2, 19, dtype=np.float32).reshape(19, 1, 1)
    for op in "Abs Cos Erf Exp Neg Reciprocal Sin Softplus Softsign Mish Gelu Elu Selu Celu".split():
        c.add(op.lower(), op, [x])
    for op in "Log Sqrt".split():
        c.add(op.lower(), op, [up])
    for op in "Ceil Floor Round Sign".split():
        c.add(op.lower(), op, [x])
    c.add("round_half", "Round", [np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]], np.float32)])
    c.add("elu_2", "Elu", [x], alpha=2.0)
    c.add("celu_2", "Celu", [x], alpha=0.5)
    c.add("selu_2", "Selu", [x], alpha=1.5, gamma=0.8)
    c.add("gelu_tanh", "Gelu", [2 * x], approximate="tanh")
    c.add("mish_far", "Mish", [40 * x])
    c.add("thresholded", "ThresholdedRelu", [x], alpha=0.1)
    c.add("prelu", "PRelu", [x], row)
    c.add("prelu_one", "PRelu", [x], np.array([0.3], np.float32))
    c.add("prelu_cells", "PRelu", [x], picture(4, 5))
    c.add("pow_2", "Pow", [x], np.float32(2))
    c.add("pow_3", "Pow", [x], np.array(3, np.int64))
    c.add("pow_half", "Pow", [up], np.float32(0.5))
    c.add("pow_minus", "Pow", [up], row)
    c.add("pow_both", "Pow", [up, x])
    c.add("mod", "Mod", [x], np.float32(0.7), fmod=1)
    c.add("min", "Min", [x, y])
    c.add("max", "Max", [x, y])
    c.add("max_one", "Max", [x], np.float32(0.2))
    c.add("max_three", "Max", [x, y], row)
    c.add("min_nan", "Min", [with_nan(x), y])
    c.add("mean_three", "Mean", [x, y], row)
    for op in "Equal Greater GreaterOrEqual Less LessOrEqual".split():
        c.add(op.lower(), op, [x], np.float32(x[0, 3, 1, 2]))
    for op in "Sum Mean Max Min L1 L2 SumSquare LogSumExp Prod".split():
        c.add("reduce_" + op.lower(), "Reduce" + op, [x], np.array([2, 3]))
        c.add("reduce_c_" + op.lower(), "Reduce" + op, [x], np.array([1]), keepdims=0)
        c.add("reduce_all_" + op.lower(), "Reduce" + op, [0.1 * x], keepdims=0)
    c.add("reduce_log_sum", "ReduceLogSum", [up], np.array([-1]))
    c.add("reduce_max_nan", "ReduceMax", [with_nan(x)], np.array([1, 3]))
    w = lambda *shape: (1 + 0.3 * rng.standard_normal(shape)).astype(np.float32)
    c.add("layer", "LayerNormalization", [x + 2], w(5), w(5))
    c.add("layer_2", "LayerNormalization", [x - 1], w(4, 5), axis=2, epsilon=0.01)
    c.add("layer_1", "LayerNormalization", [x], w(19, 4, 5), w(19, 4, 5), axis=-3, outputs=3)
    c.add("layer_flat", "LayerNormalization", [picture(1, 33)], w(33), w(33))
    c.add("layer_tokens", "LayerNormalization", [picture(1, 7, 24)], w(24), w(24))
    c.add("instance", "InstanceNormalization", [x + 3], w(19), w(19))
    c.add("instance_1d", "InstanceNormalization", [picture(1, 6, 11)], w(6), w(6), epsilon=0.1)
    c.add("group", "GroupNormalization", [picture(1, 18, 4, 5)], w(6), w(6), num_groups=6)
    return c


def cases_8():
    c = Cases(8)
    c.add("upsample", "Upsample", [picture(1, 19, 4, 5)], scales=[1.0, 1.0, 2.0, 3.0])
    c.add("upsample_part", "Upsample", [picture(1, 3, 4, 5)], mode="nearest", scales=[1.0, 1.0, 1.5, 1.0])
    c.add("upsample_linear", "Upsample", [picture(1, 19, 4, 5)], mode="linear", scales=[1.0, 1.0, 2.0, 2.0])
    c.add("hardmax", "Hardmax", [picture(1, 19, 4, 5)], axis=2)
    c.add("tile", "Tile", [picture(1, 3, 4)], np.array([1, 2, 3]))
    c.add("topk", "TopK", [picture(1, 9, 5)], k=3, axis=1, outputs=2)
    return c


def resizes(c):
    none = np.zeros(0, np.float32)

    def by_scale(name, x, scales, **attributes):
        c.add("resize_" + name, "Resize", [x], np.array(scales, np.float32), order="l-c", **attributes)

    def by_size(name, x, sizes, **attributes):
        c.add("resize_" + name, "Resize", [x], np.array(sizes, np.int64), order="l--c", **attributes)

    x = lambda: picture(1, 19, 5, 7)
    by_scale("nearest", x(), [1, 1, 2, 2], coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    by_size("nearest_size", x(), [1, 19, 8, 11])
    by_size("nearest_ceil", x(), [1, 19, 3, 11], nearest_mode="ceil")
    by_size("nearest_prefer_ceil", x(), [1, 19, 10, 4], nearest_mode="round_prefer_ceil", coordinate_transformation_mode="align_corners")
    by_scale("nearest_down", x(), [1, 1, 0.6, 0.6], coordinate_transformation_mode="asymmetric")
    by_scale("nearest_flat", picture(1, 19), [1, 1.7], nearest_mode="floor")
    by_scale("linear", x(), [1, 1, 2, 2], mode="linear")
    by_scale("linear_uneven", x(), [1, 1, 1.7, 0.45], mode="linear")
    by_size("linear_corners", x(), [1, 19, 12, 9], mode="linear", coordinate_transformation_mode="align_corners")
    by_size("linear_pytorch", x(), [1, 19, 1, 9], mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
    by_scale("linear_asymmetric", x(), [1, 1, 3, 1], mode="linear", coordinate_transformation_mode="asymmetric")
    by_scale("linear_symmetric", x(), [1, 1, 0.7, 1.3], mode="linear", coordinate_transformation_mode="half_pixel_symmetric")
    by_scale("linear_smooth", x(), [1, 1, 0.4, 0.6], mode="linear", antialias=1)
    by_size("linear_smooth_inside", x(), [1, 19, 2, 3], mode="linear", antialias=1, exclude_outside=1)
    by_scale("linear_1d", picture(1, 5, 9), [1, 1, 2.5], mode="linear")
    by_size("linear_3d", picture(1, 17, 3, 4, 5), [1, 17, 6, 5, 3], mode="linear")
    by_scale("linear_channels", picture(1, 4, 3, 3), [1, 2, 1.5, 1], mode="linear")
    by_size("cubic", x(), [1, 19, 9, 12], mode="cubic")
    by_scale("cubic_inside", x(), [1, 1, 1.75, 0.8], mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)
    by_size("cubic_corners", x(), [1, 19, 4, 10], mode="cubic", coordinate_transformation_mode="align_corners")
    by_scale("cubic_smooth", x(), [1, 1, 0.5, 0.3], mode="cubic", cubic_coeff_a=-0.5, antialias=1, exclude_outside=1)
    by_size("axes", x(), [11, 3], mode="linear", axes=[3, 2])
    by_size("not_larger", x(), [9, 9], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger")
    by_size("not_smaller", x(), [9, 9], axes=[2, 3], keep_aspect_ratio_policy="not_smaller")
    for mode in ("linear", "nearest"):
        c.add("resize_roi_" + mode, "Resize", [x()], np.array([0, 0, 0.2, 0.3, 1, 1, 1.2, 0.8], np.float32), none,
              np.array([1, 19, 6, 5]), mode=mode, coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.5)


def cases_19():
    """Cells moved and picked."""
    c = Cases(19)
    resizes(c)
    x = lambda: picture(1, 19, 4, 5)
    c.add("depth_dcr", "DepthToSpace", [picture(1, 36, 3, 4)], blocksize=3)
    c.add("depth_crd", "DepthToSpace", [picture(1, 76, 3, 4)], blocksize=2, mode="CRD")
    c.add("space", "SpaceToDepth", [picture(1, 5, 6, 4)], blocksize=2)
    p = [1, 0, 1, 2]
    c.add("lp", "LpPool", [x()], kernel_shape=[3, 2], pads=p)
    c.add("lp_1", "LpPool", [x()], kernel_shape=[2, 3], strides=[2, 1], p=1)
    c.add("lp_3", "LpPool", [x()], kernel_shape=[2, 2], dilations=[2, 3], p=3)
    c.add("lp_ceil", "LpPool", [picture(1, 3, 8, 9)], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    c.add("lp_1d", "LpPool", [picture(1, 5, 9)], kernel_shape=[4], strides=[3], auto_pad="SAME_UPPER")
    c.add("global_lp", "GlobalLpPool", [x()])
    c.add("global_lp_3", "GlobalLpPool", [picture(1, 17, 6)], p=3)
    for op in ("ArgMax", "ArgMin"):
        n = op.lower()
        c.add(n, op, [x()], axis=1)
        c.add(n + "_drop", op, [x()], axis=-1, keepdims=0)
        c.add(n + "_first", op, [ties(1, 7, 6)], axis=2)
        c.add(n + "_last", op, [ties(1, 7, 6)], axis=2, select_last_index=1)
    c.add("argmax_nan", "ArgMax", [with_nan(picture(1, 33))], axis=1)
    c.add("hardmax_1", "Hardmax", [ties(1, 19, 3)], axis=1)
    c.add("tile", "Tile", [x()], np.array([1, 1, 2, 3]))
    c.add("tile_channels", "Tile", [picture(1, 3, 2)], np.array([1, 2, 1]))
    c.add("elements", "GatherElements", [x()], rng.integers(-4, 4, (1, 19, 6, 5)), axis=2)
    c.add("nd", "GatherND", [x()], np.array([[0, 3], [0, -1], [0, 3]]))
    c.add("nd_batch", "GatherND", [x()], np.array([[[[2, 1], [-1, 4]]]]).repeat(19, 1), batch_dims=2)
    for how in ("none", "add", "mul", "max", "min"):
        c.add("scatter_" + how, "ScatterElements", [x(), picture(1, 4, 3, 5)],
              np.arange(60).reshape(1, 4, 3, 5) % 7 if how != "none" else np.tile(np.arange(3).reshape(1, 1, 3, 1), (1, 4, 1, 5)),
              order="lcl", axis=1 if how != "none" else 2, reduction=how)
        c.add("scatter_nd_" + how, "ScatterND", [x(), picture(3, 4, 5)],
              np.array([[0, 2], [0, -1], [0, 2 if how != "none" else 5]]), order="lcl", reduction=how)
    c.add("scatter_constant", "ScatterND", [picture(2, 5)], picture(1, 4, 5), np.array([[0, 2], [0, 0]]), order="ccl")
    for mode in ("reflect", "edge", "wrap"):
        c.add("pad_" + mode, "Pad", [x()], np.array([0, 0, 2, 1, 0, 0, 3, 4]), mode=mode)
        c.add("pad_cut_" + mode, "Pad", [x()], np.array([0, 0, 2, -1, 0, 0, -1, 2]), mode=mode)
        c.add("pad_channels_" + mode, "Pad", [x()], np.array([3, 1, 2, 0]), np.float32(0), np.array([1, 3]), mode=mode)
        c.add("pad_1d_" + mode, "Pad", [picture(1, 5, 9)], np.array([0, 0, 8, 0, 0, 3]), mode=mode)
    c.add("cumsum", "CumSum", [x()], np.array(2))
    c.add("cumsum_out", "CumSum", [x()], np.array(-1), exclusive=1)
    c.add("cumsum_back", "CumSum", [x()], np.array(1), reverse=1)
    c.add("cumsum_out_back", "CumSum", [picture(1, 9)], np.array(1), reverse=1, exclusive=1)
    c.add("upper", "Trilu", [x()])
    c.add("lower", "Trilu", [x()], np.array(-1), upper=0)
    c.add("upper_far", "Trilu", [picture(1, 6, 4)], np.array(2))
    c.add("top", "TopK", [x()], np.array([4]), axis=1, outputs=2)
    c.add("top_ties", "TopK", [ties(1, 9, 6)], np.array([5]), axis=2, largest=0, outputs=2)
    c.add("one_hot", "OneHot", [np.array([[3, -1, 0, 7, 2]], np.float32)], np.array(5), np.float32([0.5, 2]), axis=1)
    c.add("mvn", "MeanVarianceNormalization", [x() + 3])
    c.add("mvn_rows", "MeanVarianceNormalization", [x()], axes=[2])
    c.add("shrink", "Shrink", [2 * x()], lambd=0.7, bias=0.2)
    inside = (0.9 * np.tanh(picture(1, 19, 4, 5))).astype(np.float32)
    for op in ("Acos", "Asin", "Atanh", "Asinh", "Atan", "Cosh", "Sinh", "Tan"):
        c.add(op.lower(), op, [inside])
    c.add("acosh", "Acosh", [(np.abs(picture(1, 19, 4, 5)) + 1.5).astype(np.float32)])
    c.add("cast_like", "CastLike", [x()], np.float32(0))
    c.add("is_nan", "IsNaN", [with_nan(x())])
    c.add("is_inf", "IsInf", [np.array([[1, np.inf, -np.inf, np.nan]], np.float32)], detect_negative=0)
    c.add("einsum_product", "Einsum", [picture(1, 3, 4), picture(1, 4, 5)], equation="bij,bjk->bik")
    c.add("einsum_rest", "Einsum", [picture(1, 3, 4), picture(4, 5)], equation="...j, jk")
    c.add("einsum_spread", "Einsum", [picture(1, 1, 3, 4), picture(1, 2, 4, 5)], equation="...ij,...jk->...ki")
    c.add("einsum_diagonal", "Einsum", [picture(1, 4, 4)], equation="bii->bi")
    c.add("einsum_sum", "Einsum", [picture(1, 4, 5)], equation="bij->b")
    c.add("einsum_three", "Einsum", [picture(1, 3), picture(3, 4), picture(1, 4)], equation="bi,ij,bj->b")
    c.add("einsum_weights", "Einsum", [picture(1, 3, 4, 5)], picture(5, 4, 2), equation="bchw,whk->bkc")
    return c


def paths():
    """A network whose cells read in every way there is, and whose activations are spelt out: for receptive fields,
    layers and logits.  No numbers are kept."""
    nodes, constants = [], []

    def const(name, x):
        constants.append(numpy_helper.from_array(np.asarray(x), name))
        return name

    def add(out, op, *ins, **attributes):
        nodes.append(helper.make_node(op, list(ins), [out], name="n_" + out, **attributes))
        return out

    w = lambda name, *shape: const(name, picture(*shape, scale=0.2))
    add("dilated", "Conv", "image", w("w1", 4, 3, 3, 3), pads=[2, 2, 2, 2], dilations=[2, 2])
    add("dilated3", "Conv", "dilated", w("w2", 4, 4, 3, 2), pads=[3, 0, 3, 1], dilations=[3, 1], strides=[1, 2])
    add("silu_gate", "Sigmoid", "dilated3")
    add("silu", "Mul", "silu_gate", "dilated3")
    add("top", "Slice", "silu", const("s0", np.array([0])), const("e0", np.array([9])), const("rows", np.array([2])), const("two", np.array([2])))
    add("back", "Slice", "silu", const("s1", np.array([-1])), const("e1", np.array([8])), "rows", const("minus", np.array([-3])))
    add("joined", "Concat", "top", "back", axis=2)
    add("padded", "Pad", "joined", const("pads", np.array([0, 0, 2, 1, 0, 0, 0, 0])))
    add("hard_gate", "HardSigmoid", "padded", alpha=1.0 / 6, beta=0.5)
    add("hard_swish", "Mul", "padded", "hard_gate")
    add("picked", "Gather", "hard_swish", const("picks", np.array([5, 1, 1, 7, 0])), axis=2)
    add("turned", "Transpose", "picked", perm=[0, 1, 3, 2])
    add("turned_back", "Transpose", "turned", perm=[0, 1, 3, 2])
    add("pooled", "MaxPool", "turned_back", kernel_shape=[2, 3], strides=[1, 2], pads=[1, 1, 0, 1])
    add("mean", "GlobalAveragePool", "pooled")
    add("squeezed", "Conv", "mean", w("w3", 4, 4, 1, 1))
    add("gate", "Sigmoid", "squeezed")
    add("gated", "Mul", "pooled", "gate")
    add("fives", "Reshape", "gated", const("five", np.array([1, 2, 2, -1, 7])))
    add("shuffled", "Transpose", "fives", perm=[0, 2, 1, 3, 4])
    add("fours", "Reshape", "shuffled", const("four", np.array([1, 4, -1, 7])))
    add("scaled", "Div", "fours", const("root", np.float32(2 ** 0.5)))
    add("erf", "Erf", "scaled")
    add("plus", "Add", "erf", const("one", np.float32(1)))
    add("times", "Mul", "fours", "plus")
    add("gelu", "Mul", "times", const("half", np.float32(0.5)))
    add("cut_a", "Slice", "gelu", const("z", np.array([0])), const("o", np.array([2])), const("c", np.array([1])))
    add("own", "Sigmoid", "cut_a")
    add("clipped", "Clip", "own", const("lo", np.float32(0.4)))
    add("flat", "Flatten", "clipped")
    add("class", "Gemm", "flat", w("w4", 70, 5))
    add("prob", "Softmax", "class")
    add("same", "Identity", "prob")
    add("out", "Reshape", "same", const("last", np.array([0, 5, 1, 1])))
    graph = helper.make_graph(nodes, "paths", [helper.make_tensor_value_info("image", T.FLOAT, ["n", 3, 19, 26])],
                              [helper.make_empty_tensor_value_info("out")], constants)
    with open("paths.onnx", "wb") as f:
        f.write(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())
    onnxruntime.InferenceSession("paths.onnx", providers=["CPUExecutionProvider"]).run(None, {"image": picture(1, 3, 19, 26)})


def main():
    wanted = [int(n) for n in sys.argv[1:]]
    for cases in (cases_9(), cases_13(), cases_18(), cases_20(), cases_8(), cases_19()):
        if wanted and cases.opset not in wanted:
            continue
        name = f"ops{cases.opset}"
        model = cases.model()
        for node in model.graph.node:
            node.doc_string = ""
        with open(name + ".onnx", "wb") as f:
            f.write(model.SerializeToString())
        with open(name + ".golden", "wb") as f:
            f.write(b"DCVG1\n")
            for kind, code, tensors in (("f4", "<f4", cases.inputs.items()), ("f8", "<f8", cases.references())):
                for n, x in tensors:
                    f.write(" ".join([n, kind, str(x.ndim), *map(str, x.shape)]).encode() + b"\n")
                    f.write(np.ascontiguousarray(x, code).tobytes())
        print(name, len(cases.nodes), "cases")
    if not wanted:
        paths()


if __name__ == "__main__":
    sys.exit(main())
