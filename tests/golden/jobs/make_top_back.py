#!/usr/bin/env python3
"""Make top_back.npz: reconstructions of the strongest places, in float64 PyTorch, node by node.

    python3 make_top_back.py [--data ../../../../shared/data] [--out top_back.npz]

The rules are those of ../back/make_back.py, pictures, network inputs and receptive fields those of reference.py and
max_activation.npz; nothing is shared with deconvoy.  README.md says what the file holds.
"""
import argparse
import os
import sys

import numpy as np
import onnx
import PIL.Image
import torch
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../back"))
from make_back import RULES, back, walk  # noqa: E402
from reference import caffe, resize_and_crop  # noqa: E402

torch.set_grad_enabled(True)
KEPT = 400  # numbers of a reconstruction, at most
SQUEEZENET = {"fire2/expand3x3_2": (0, 21, 42), "fire4/squeeze1x1_2": (3, 17), "fire6/expand3x3_2": (5, 100, 150)}


def load(file):
    g = onnx.load(file).graph
    return g, {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float64)) for t in g.initializer}


def fashion_input():
    """As tests/jobs/top_back.py writes it."""
    rng = np.random.default_rng(2014)
    x = rng.random((40, 1, 28, 28), dtype=np.float32)
    x[1] = 0.5
    x[2, 0, :14] = 0
    x[3] = 0
    return x


def one(g, consts, image, layer, at, rule):
    """The map of one unit, its value, and how far noise of the size of rounding moves the map."""
    with torch.no_grad():
        value = float(walk(g, consts, image, rule)[layer].reshape(-1)[at])
    weight = float(np.float32(value))
    m = back(g, consts, image, rule, layer, at, weight)
    moved = max(float((back(g, consts, image, rule, layer, at, weight, torch.Generator().manual_seed(k)) - m).norm() /
                      m.norm().clamp(min=1e-300)) for k in range(2))
    return m[0].numpy(), value, moved


def keep(out, key, map_, box, value, moved, where):
    y0, x0, y1, x1 = box
    cut, rest = map_[:, y0:y1, x0:x1], map_.copy()
    rest[:, y0:y1, x0:x1] = 0
    assert not rest.any(), (key, "reaches beyond its box")
    step = max(1, cut.size // KEPT)
    out[key] = cut.reshape(-1)[::step].astype(np.float32)
    out[key + "#"] = np.array([*where, *box, value, moved, step, np.linalg.norm(cut), np.abs(cut).sum()], np.float64)
    print(f"{key:44} value {value:9.3g} l2 {np.linalg.norm(cut):9.3g} noise {moved:.1e}")


def small(out):
    """Two best places of some channels of every layer of the small network over forty pictures."""
    g, consts = load(os.path.join(HERE, "../../../configs/models/fashion_mnist.onnx"))
    x = torch.from_numpy(fashion_input().astype(np.float64))
    with torch.no_grad():
        v = walk(g, consts, x, "gradient")
    sees = {"conv1": (1, 1), "conv2": (2, 1), "conv3": (4, 2), "conv4": (8, 4)}
    for layer in (*sees, "dense1", "logits"):
        maps = v[layer].reshape(40, v[layer].shape[1], *(v[layer].shape[2:] or (1, 1)))
        n, c, h, w = maps.shape
        for channel in range(0, c, max(1, c // 4)):
            best = maps[:, channel].reshape(n, -1).max(1)
            order = sorted(range(n), key=lambda i: (-float(best.values[i]), i))[:2]
            for rank, i in enumerate(order):
                y, x0 = divmod(int(best.indices[i]), w)
                box = (0, 0, 28, 28)
                if layer in sees:  # (reach, step): cell y sees rows step y - reach .. step y + step - 1 + reach
                    reach, step = sees[layer]
                    hull = lambda p: (max(0, step * p - reach), min(28, step * p + step + reach))
                    (top, bottom), (left, right) = hull(y), hull(x0)
                    box = (top, left, bottom, right)
                at = (channel * h + y) * w + x0
                for rule in RULES:
                    m, value, moved = one(g, consts, x[i:i + 1], layer, at, rule)
                    if value > 0 or layer == "logits":
                        keep(out, f"small/{rule}/{layer}/{channel}/{rank}", m, box, value, moved, (i, y, x0))


def squeezenet(out, data):
    """Two best places of some channels of SqueezeNet over the photographs, as max_activation.npz has them."""
    g, consts = load(os.path.join(data, "models/squeezenet1_1.onnx"))
    del g.node[[n.op_type for n in g.node].index("Softmax"):]  # beyond all layers
    gold = np.load(os.path.join(HERE, "max_activation.npz"))
    for layer, channels in SQUEEZENET.items():
        k = list(gold["layers"]).index(layer)
        first = np.concatenate([[0], np.cumsum(gold[f"{k}/count"].astype(np.int64))])
        _, h, w = (int(n) for n in gold[f"{k}/shape"])
        for channel in channels:
            for rank in range(2):
                r = first[channel] + rank
                i, at = int(gold[f"{k}/image"][r]), int(gold[f"{k}/at"][r])
                y, x = divmod(at, w)
                (top, bottom), (left, right) = gold[f"{k}/rows"][y], gold[f"{k}/cols"][x]
                with PIL.Image.open(os.path.join(data, "photos/caltech101", str(gold["names"][i]))) as p:
                    image = torch.from_numpy(caffe(resize_and_crop(p, 256, 224))[None])
                for rule in RULES:
                    m, value, moved = one(g, consts, image, layer, channel * h * w + at, rule)
                    keep(out, f"squeezenet/{rule}/{layer.replace('/', '.')}/{channel}/{rank}", m,
                         (int(top), int(left), int(bottom), int(right)), value, moved, (i, y, x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.path.join(HERE, "../../../../shared/data"))
    parser.add_argument("--out", default=os.path.join(HERE, "top_back.npz"))
    o = parser.parse_args()
    torch.set_num_threads(1)
    out = {}
    small(out)
    squeezenet(out, o.data)
    np.savez_compressed(o.out, **out)


if __name__ == "__main__":
    main()
