#!/usr/bin/env python3
"""Make sized.onnx and sized.npz: a network that leaves height and width open, over pictures of twelve sizes.

    python3 make_sized.py [--data ../../../../shared/data]

Asymmetric pads, unequal strides, ceil_mode, a dilated branch and a short cut, so that receptive fields are unions;
two outputs, a classifier's and a map's.  Float64 by PyTorch (reference.py), pictures by Pillow at their own sizes.
"""
import argparse
import os
import zlib

import numpy as np
import onnx
import PIL.Image
from onnx import TensorProto, helper, numpy_helper

from reference import Net

HERE = os.path.dirname(os.path.abspath(__file__))
TOP, PICTURES, MARGIN = 9, 12, 2e-3


def make_network(file):
    rng = np.random.default_rng(1123)
    weights = []

    def weight(name, *shape):
        scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.1
        weights.append(numpy_helper.from_array((scale * rng.standard_normal(shape)).astype(np.float32), name))
        return name

    def conv(x, y, out, c_in, kernel, **attributes):
        return helper.make_node("Conv", [x, weight(y + ".w", out, c_in, *kernel), weight(y + ".b", out)], [y], y,
                                kernel_shape=list(kernel), **attributes)

    node = helper.make_node
    nodes = [
        conv("image", "first_sum", 8, 3, (5, 3), strides=[2, 1], pads=[1, 0, 2, 1]), node("Relu", ["first_sum"], ["first"]),
        node("MaxPool", ["first"], ["pool"], kernel_shape=[3, 3], strides=[2, 3], pads=[0, 0, 1, 1], ceil_mode=1),
        conv("pool", "wide_sum", 8, 8, (3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]), node("Relu", ["wide_sum"], ["block/wide"]),
        conv("block/wide", "back_sum", 8, 8, (1, 1)), node("Add", ["back_sum", "pool"], ["short_cut"]),
        node("Relu", ["short_cut"], ["block/out"]),
        conv("block/out", "map", 2, 8, (3, 3), strides=[3, 3], pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["block/out"], ["mean"]), node("Flatten", ["mean"], ["flat"], axis=1),
        node("Gemm", ["flat", weight("dense.w", 5, 8), weight("dense.b", 5)], ["logits"], transB=1),
        node("Softmax", ["logits"], ["prob"], axis=1)]
    shape = lambda name, *d: helper.make_tensor_value_info(name, TensorProto.FLOAT, list(d))
    graph = helper.make_graph(nodes, "sized", [shape("image", "N", 3, "H", "W")],
                              [shape("prob", "N", 5), shape("map", "N", 2, "h", "w")], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.path.join(HERE, "../../../../shared/data"))
    o = parser.parse_args()
    model, folder = os.path.join(HERE, "sized.onnx"), os.path.join(o.data, "photos/caltech101")
    make_network(model)
    net = Net(model)
    names = sorted(os.listdir(folder), key=os.fsencode)[:PICTURES]
    pictures = [np.asarray(PIL.Image.open(os.path.join(folder, n)).convert("RGB")) for n in names]
    seen = [net.run((p.astype(np.float64) / 255).transpose(2, 0, 1)[None]) for p in pictures]
    check_with_onnxruntime(model, pictures, seen)
    data = {"names": np.array(names), "extent": np.array([p.shape[:2] for p in pictures], np.int32),
            "prob": np.concatenate([v["prob"] for v in seen]), "layers": np.array(net.relus() + ["logits"]),
            "map_extent": np.array([v["map"].shape[1:] for v in seen], np.int32)}
    data["map"] = np.full((PICTURES, *data["map_extent"].max(0)), np.nan)
    for m, v in zip(data["map"], seen):
        m[:, :v["map"].shape[2], :v["map"].shape[3]] = v["map"][0]
    spans = [net.spans(p.shape[:2]) for p in pictures]
    check_boxes(net, pictures, seen, spans)
    for k, name in enumerate(data["layers"]):
        data.update({f"{k}/{key}": x for key, x in search(seen, spans, pictures, name).items()})
    np.savez_compressed(os.path.join(HERE, "sized.npz"), **data)
    print(os.path.getsize(model), os.path.getsize(os.path.join(HERE, "sized.npz")), "bytes")


def search(seen, spans, pictures, name):
    cubes = [v[name][0].reshape(v[name].shape[1], *(v[name].shape[2:] or (1, 1))).numpy() for v in seen]
    channels = len(cubes[0])
    out = {k: np.zeros((channels, TOP, *n), t) for k, n, t in (("value", (), "f8"), ("image", (), "i8"), ("position", (2,), "i4"),
                                                              ("box", (4,), "i4"), ("clear", (), "?"), ("patch_crc", (), "i8"))}
    size = [max((s[name][a][:, 1] - s[name][a][:, 0]).max() for s in spans) for a in (0, 1)]
    for c in range(channels):
        best = sorted((-x[c].max(), i, *np.unravel_index(x[c].argmax(), x[c].shape)) for i, x in enumerate(cubes))
        for r, (value, i, y, x) in enumerate(best[:TOP]):
            rows, cols = spans[i][name]
            box = [rows[y][0], cols[x][0], rows[y][1], cols[x][1]]
            others = np.sort(cubes[i][c], None)[-2:-1]
            gaps = [abs(value + n[0]) for n in best[max(r - 1, 0):r + 2] if n[1] != i] + list(-value - others)
            out["clear"][c, r] = min(gaps) > MARGIN * abs(value)
            for key, x_ in (("value", -value), ("image", i), ("position", (y, x)), ("box", box)):
                out[key][c, r] = x_
            patch = np.zeros((*size, 3), np.uint8)
            patch[:box[2] - box[0], :box[3] - box[1]] = pictures[i][box[0]:box[2], box[1]:box[3]]
            out["patch_crc"][c, r] = zlib.crc32(patch.tobytes())
    every = np.concatenate([x.reshape(channels, -1) for x in cubes], 1)
    out.update(size=np.array(size), mean=every.mean(1), std=every.std(1), nonzero=(every != 0).mean(1), rms=np.sqrt((every ** 2).mean()))
    print(name, "clear", out["clear"].mean(), "box", size)
    return out


def check_boxes(net, pictures, seen, spans):
    rng = np.random.default_rng(2)
    for name in ("first", "block/wide", "block/out"):
        for i in (0, 5):
            h, w = seen[i][name].shape[2:]
            for y, x in ((0, 0), (h - 1, w - 1), (h - 2, w - 2), (h - 3, w - 3), (int(rng.integers(h)), int(rng.integers(w)))):
                rows, cols = spans[i][name]
                got = [rows[y][0], cols[x][0], rows[y][1], cols[x][1]]
                assert perturb(net, name, y, x, pictures[i].shape[:2], got), (name, i, y, x, got)


def perturb(net, name, y, x, shape, box):
    """With positive weights a cell changes when a pixel on each edge of its box does, and only then."""
    kept = net.constant
    net.constant = {k: v.abs() if v.is_floating_point() else v for k, v in kept.items()}
    base = np.zeros((1, 3, *shape))
    value = lambda p: net.run(p)[name][0, 0, y, x].item()
    zero = value(base)

    def changes(rows, cols):
        picture = base.copy()
        picture[0, :, rows, cols] = 1
        return value(picture) != zero

    inside = np.s_[box[0]:box[2]], np.s_[box[1]:box[3]]
    good = all([changes(np.s_[box[0]:box[0] + 1], inside[1]), changes(np.s_[box[2] - 1:box[2]], inside[1]),
                changes(inside[0], np.s_[box[1]:box[1] + 1]), changes(inside[0], np.s_[box[3] - 1:box[3]])])
    outside = [(np.s_[:box[0]], np.s_[:]), (np.s_[box[2]:], np.s_[:]), (np.s_[:], np.s_[:box[1]]), (np.s_[:], np.s_[box[3]:])]
    good = good and not any(changes(*o) for o in outside)
    net.constant = kept
    return good


def check_with_onnxruntime(model, pictures, seen):
    import onnxruntime
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for p, v in zip(pictures, seen):
        prob, out = session.run(["prob", "map"], {"image": (p.astype(np.float32) / 255).transpose(2, 0, 1)[None]})
        assert out.shape == tuple(v["map"].shape)
        assert np.abs(prob - v["prob"].numpy()).max() < 1e-5 and np.abs(out - v["map"].numpy()).max() < 1e-4
    print("agrees with ONNX Runtime", onnxruntime.__version__)


if __name__ == "__main__":
    main()
