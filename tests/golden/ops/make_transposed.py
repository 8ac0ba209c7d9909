#!/usr/bin/env python3
"""Make transposedN.onnx and transposedN.golden: ConvTranspose, MaxUnpool and MaxPool's Indices in many small cases.

As make_ops.py does, whose cases and convolutions this uses.  References are float64, from the few lines of NumPy below
(each input cell adds its taps); ONNX Runtime (float32) must agree with them but where the script says why not.
"""
import itertools
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from make_ops import Cases, Conv, MaxPool, picture, ties


class ConvTranspose(OpRun):
    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, output_padding=None,
             output_shape=None, pads=None, strides=None):
        n = x.ndim - 2
        group, s, d = group or 1, strides or [1] * n, dilations or [1] * n
        more, pads = output_padding or [0] * n, pads or [0] * 2 * n
        each = w.shape[1]
        axes = []
        for i in range(n):
            size = s[i] * (x.shape[2 + i] - 1) + (w.shape[2 + i] - 1) * d[i] + 1
            out = output_shape[i] if output_shape else x.shape[2 + i] * s[i] if auto_pad[:4] == "SAME" else \
                size + more[i] - pads[i] - pads[n + i]
            before = pads[i]
            if output_shape or auto_pad[:4] == "SAME":
                total = max(0, size + more[i] - out)
                before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            axes.append((size, out, before))
        y = np.zeros(x.shape[:1] + (each * group,) + tuple(max(a[0], a[2] + a[1]) for a in axes))
        for g in range(group):
            wide = x.shape[1] // group
            part, wg = x[:, g * wide:(g + 1) * wide], w[g * wide:(g + 1) * wide]
            for t in np.ndindex(w.shape[2:]):
                at = tuple(slice(t[i] * d[i], t[i] * d[i] + s[i] * (x.shape[2 + i] - 1) + 1, s[i]) for i in range(n))
                y[(slice(None), slice(g * each, (g + 1) * each)) + at] += np.einsum(
                    "co,nc...->no...", wg[(slice(None), slice(None)) + t], part)
        y = y[(slice(None), slice(None)) + tuple(slice(a[2], a[2] + a[1]) for a in axes)]
        return (y if b is None else y + b.reshape((1, -1) + (1,) * n),)


class Columns(MaxPool):
    """Indices with the last axis slowest."""

    def _run(self, x, storage_order=None, **more):
        out = super()._run(x, **more)
        if len(out) == 1 or not storage_order:
            return out
        plane = int(np.prod(x.shape[2:]))
        cell = np.unravel_index(out[1] % plane, x.shape[2:])
        turned = np.ravel_multi_index(cell[::-1], x.shape[:1:-1])
        return out[0], out[1] // plane * plane + turned


Columns.__name__ = "MaxPool"


class Mixed(Cases):
    """Inputs may be whole numbers."""

    def model(self, double=False):
        m = super().model(double)
        for i in m.graph.input:
            if self.inputs[i.name].dtype == np.int64:
                i.type.tensor_type.elem_type = T.INT64
        return m

    def references(self):
        for node in self.nodes:
            feeds = {n: self.inputs[n] for n in node.input if n in self.inputs}
            double = {n: x if x.dtype == np.int64 else x.astype(np.float64) for n, x in feeds.items()}
            want = ReferenceEvaluator(self.single(node, True), new_ops=[ConvTranspose, Columns, Conv]).run(None, double)
            try:
                got = onnxruntime.InferenceSession(self.single(node, False).SerializeToString(),
                                                   providers=["CPUExecutionProvider"]).run(None, feeds)
            except Exception as fault:
                print(f"{node.name}: ONNX Runtime cannot ({str(fault)[:200]})")
                got = want
            for name, w, g in zip(node.output, want, got):
                if w.shape != g.shape or not np.allclose(w, g, rtol=1e-4, atol=1e-5):
                    print(f"{name}: ONNX Runtime differs, {w.shape}, {g.shape}")
                yield name, w.astype(np.float64)


def transposed(c):
    def case(name, ic, oc, space, k, bias=True, group=1, **more):
        w = picture(ic, oc // group, *k, scale=(ic // group * np.prod(k)) ** -0.5)
        c.add(name, "ConvTranspose", [picture(1, ic, *space)], w, *([picture(oc)] if bias else []),
              **({"group": group} if group > 1 else {}), **more)

    case("plain", 3, 5, (4, 5), (3, 3))
    case("plain_same", 19, 9, (6, 5), (3, 3), pads=[1, 1, 1, 1])
    case("pointwise", 17, 10, (5, 4), (1, 1), False)
    case("pads_uneven", 8, 6, (5, 6), (4, 3), pads=[2, 0, 1, 1])
    case("all_pads", 8, 16, (7, 6), (3, 3), pads=[2, 2, 2, 2])
    case("gan_4_2_1", 12, 20, (4, 3), (4, 4), False, strides=[2, 2], pads=[1, 1, 1, 1])
    case("gan_first", 33, 24, (1, 1), (4, 4), False)
    case("net_2_2", 16, 8, (5, 7), (2, 2), strides=[2, 2])
    case("net_3_2", 9, 17, (5, 4), (3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    case("more_uneven", 4, 3, (3, 4), (3, 5), strides=[3, 2], pads=[0, 2, 1, 1], output_padding=[2, 1])
    case("wide_stride", 5, 18, (4, 3), (2, 1), strides=[3, 4], output_padding=[1, 2])
    case("crop", 6, 7, (4, 5), (2, 2), strides=[2, 2], pads=[3, 2, 2, 3])
    case("mixed_stride", 10, 12, (6, 5), (3, 4), strides=[1, 2], pads=[1, 1, 1, 1])
    case("dilated", 5, 8, (5, 6), (3, 2), dilations=[2, 3], pads=[2, 1, 1, 2])
    case("dilated_strided", 5, 8, (4, 4), (3, 3), dilations=[2, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("dilated_coprime", 5, 9, (4, 5), (3, 3), dilations=[3, 2], strides=[2, 3], output_padding=[1, 1])
    case("dilated_common", 3, 4, (4, 4), (3, 2), dilations=[4, 6], strides=[6, 4])
    case("grouped", 12, 9, (4, 5), (3, 3), group=3, strides=[2, 2], pads=[1, 0, 0, 1])
    case("grouped_blocks", 32, 48, (4, 4), (3, 3), group=2, pads=[1, 1, 1, 1])
    case("grouped_wide", 48, 32, (3, 4), (4, 4), group=2, strides=[2, 2], pads=[1, 1, 1, 1])
    case("depthwise", 20, 20, (5, 4), (3, 3), group=20, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    case("depthwise_plain", 17, 17, (5, 4), (3, 3), False, group=17, pads=[1, 1, 1, 1])
    case("depthwise_more", 5, 15, (4, 4), (2, 2), group=5, strides=[2, 2])
    case("line", 6, 10, (11,), (5,), strides=[3], pads=[1, 2], output_padding=[1])
    case("line_plain", 9, 4, (13,), (3,), pads=[1, 1])
    case("line_dilated", 4, 8, (6,), (3,), dilations=[2], strides=[3])
    case("solid", 5, 7, (3, 4, 3), (2, 3, 3), strides=[2, 1, 2], pads=[0, 1, 1, 1, 1, 0])
    case("solid_plain", 8, 8, (3, 3, 4), (3, 3, 3), pads=[1] * 6)
    case("solid_grouped", 8, 4, (2, 3, 3), (2, 2, 2), group=2, strides=[2, 2, 2], output_padding=[1, 0, 1])
    case("upper", 4, 6, (5, 4), (4, 3), strides=[3, 2], auto_pad="SAME_UPPER")
    case("lower", 4, 6, (5, 4), (4, 3), strides=[3, 2], auto_pad="SAME_LOWER")
    case("upper_plain", 4, 6, (5, 4), (4, 2), auto_pad="SAME_UPPER")
    case("upper_short", 4, 6, (5, 4), (1, 2), strides=[3, 3], auto_pad="SAME_UPPER")
    case("valid", 4, 6, (5, 4), (4, 3), strides=[3, 2], auto_pad="VALID")
    case("shaped", 4, 6, (4, 3), (3, 3), strides=[3, 2], output_shape=[10, 8])
    case("shaped_upper", 4, 6, (4, 5), (4, 4), strides=[2, 2], output_shape=[7, 9], auto_pad="SAME_UPPER")
    case("shaped_lower", 4, 6, (4, 5), (4, 4), strides=[2, 2], output_shape=[7, 9])
    case("shaped_pads", 4, 6, (4, 5), (4, 4), strides=[2, 2], output_shape=[7, 8], pads=[0, 1, 2, 3], output_padding=[1, 1])
    case("super", 16, 3, (9, 8), (4, 4), strides=[2, 2], pads=[3, 3, 3, 3])
    case("small_input", 32, 64, (2, 2), (4, 4), False, strides=[2, 2], pads=[1, 1, 1, 1])
    case("tall", 16, 64, (9, 13), (3, 3), pads=[1, 1, 1, 1])
    case("tall_strided", 16, 64, (9, 13), (4, 4), strides=[2, 2], pads=[1, 1, 1, 1])


def early(c):
    w = picture(5, 3, 3, 3, scale=0.2)
    c.add("plain", "ConvTranspose", [picture(1, 5, 4, 4)], w, picture(3), strides=[2, 2], pads=[1, 1, 1, 1],
          output_padding=[1, 0])
    c.add("shaped", "ConvTranspose", [picture(1, 5, 4, 4)], w, strides=[2, 2], output_shape=[7, 8])


def convolved(c):
    def case(name, ic, oc, space, k, group=1, **more):
        w = picture(oc, ic // group, *k, scale=(ic // group * np.prod(k)) ** -0.5)
        c.add("conv_" + name, "Conv", [picture(1, ic, *space)], w, picture(oc), group=group, **more)

    case("line", 6, 10, (29,), (5,), strides=[2], pads=[3, 1])
    case("line_dilated", 16, 24, (31,), (3,), dilations=[4], pads=[4, 4])
    case("line_grouped", 12, 18, (23,), (4,), 3, auto_pad="SAME_LOWER")
    case("line_depthwise", 20, 20, (23,), (5,), 20, pads=[2, 2])
    case("solid", 5, 9, (5, 6, 7), (3, 2, 3), strides=[2, 1, 2], pads=[1, 0, 1, 1, 1, 0])
    case("solid_dilated", 8, 16, (6, 7, 8), (2, 3, 3), dilations=[3, 2, 1], pads=[1, 2, 1, 2, 2, 1])
    case("solid_grouped", 16, 32, (4, 5, 5), (3, 3, 3), 2, auto_pad="SAME_UPPER", strides=[1, 2, 2])
    case("solid_depthwise", 12, 12, (5, 5, 6), (3, 3, 3), 12, pads=[1] * 6)


def pooled(c):
    for order in (0, 1):
        k = f"_{order}"
        c.add("max" + k, "MaxPool", [picture(1, 19, 8, 10)], outputs=2, kernel_shape=[2, 2], strides=[2, 2],
              storage_order=order)
        c.add("max_ties" + k, "MaxPool", [ties(1, 9, 9, 7)], outputs=2, kernel_shape=[3, 3], strides=[2, 2],
              pads=[1, 1, 1, 1], ceil_mode=1, storage_order=order)
        c.add("max_dilated" + k, "MaxPool", [picture(1, 5, 9, 11)], outputs=2, kernel_shape=[2, 3], strides=[1, 2],
              dilations=[3, 2], storage_order=order)
        c.add("max_line" + k, "MaxPool", [picture(1, 5, 21)], outputs=2, kernel_shape=[3], strides=[2], pads=[1, 0],
              storage_order=order)
        c.add("max_solid" + k, "MaxPool", [picture(1, 5, 6, 5, 7)], outputs=2, kernel_shape=[2, 2, 3], strides=[2, 1, 2],
              storage_order=order)


def unpooled(c):
    def case(name, shape, kernel, given=None, live=True, to=None, **more):
        x = picture(*shape)
        strides = more.get("strides", [1] * len(kernel))
        pads = more.get("pads", [0] * 2 * len(kernel))
        base = [(s - 1) * strides[i] + kernel[i] - pads[i] - pads[len(kernel) + i] for i, s in enumerate(shape[2:])]
        cells = int(np.prod(base))
        index = np.stack([np.random.default_rng(7 + k).permutation(cells)[:int(np.prod(shape[2:]))] + k * cells
                          for k in range(shape[1])]).reshape(shape)
        args = [index] if not live else []
        rest = [np.array(list(shape[:2]) + to, np.int64)] if to else []
        c.add(name, "MaxUnpool", [x] + ([index] if live else []), *args, *rest, kernel_shape=list(kernel), **more)

    case("un_2_2", (1, 19, 4, 5), (2, 2), strides=[2, 2])
    case("un_constant", (1, 9, 4, 5), (2, 2), live=False, strides=[2, 2])
    case("un_3_2", (1, 8, 4, 5), (3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    case("un_uneven", (1, 3, 4, 5), (3, 2), strides=[2, 3], pads=[0, 1, 1, 0])
    case("un_larger", (1, 17, 3, 4), (2, 2), strides=[2, 2], to=[7, 9])
    case("un_line", (1, 5, 7), (3,), strides=[2])
    case("un_solid", (1, 9, 2, 3, 3), (2, 2, 2), strides=[2, 2, 2])


def main():
    for opset, parts in ((9, [unpooled]), (11, [early, unpooled]), (22, [transposed, convolved, pooled, unpooled])):
        cases = Mixed(opset)
        for part in parts:
            part(cases)
        name = f"transposed{opset}"
        with open(name + ".onnx", "wb") as f:
            f.write(cases.model().SerializeToString())
        with open(name + ".golden", "wb") as f:
            f.write(b"DCVG1\n")
            for kind, code, tensors in (("f4", "<f4", cases.inputs.items()), ("f8", "<f8", cases.references())):
                for n, x in tensors:
                    f.write(" ".join([n, kind, str(x.ndim), *map(str, x.shape)]).encode() + b"\n")
                    f.write(np.ascontiguousarray(x, code).tobytes())
        print(name, len(cases.nodes), "cases")


if __name__ == "__main__":
    sys.exit(main())
