#!/usr/bin/env python3
"""Make infer.npz: what job infer must answer for three classifiers of the shared test data.

    python3 make_infer.py [--data ../../../../shared/data] [--out infer.npz]

squeezenet1_1  probabilities of the eight pictures of exact227, preset caffe, rows and columns 0..223
mnist_cntk     logits of the 64 cells of mnist_64digits_grid.png, values 0..255
cifar10_winml  logits of the pictures of exact227 resized to 32 x 32 (bilinear), values 0..1
"""
import argparse
import json
import os

import numpy as np
import PIL.Image

from reference import Net, caffe

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.path.join(HERE, "../../../../shared/data"))
    parser.add_argument("--out", default=os.path.join(HERE, "infer.npz"))
    o = parser.parse_args()
    path = lambda p: os.path.join(o.data, p)
    names = sorted(os.listdir(path("photos/exact227")))
    pictures = [PIL.Image.open(path("photos/exact227/" + n)).convert("RGB") for n in names]
    net = Net(path("models/squeezenet1_1.onnx"))
    prob = np.stack([net.run(caffe(np.asarray(p)[:224, :224])[None])["prob"][0] for p in pictures])
    grid = np.asarray(PIL.Image.open(path("photos/mnist_64digits_grid.png")).convert("RGB"))[:, :, 0]
    cells = np.stack([grid[2 + 30 * r:30 + 30 * r, 2 + 30 * c:30 + 30 * c] for r in range(8) for c in range(8)])
    net = Net(path("models/mnist_cntk.onnx"))
    mnist = np.stack([net.run(x[None, None])[net.output][0] for x in cells.astype(np.float64)])
    net = Net(path("models/cifar10_winml.onnx"))
    small = [np.asarray(p.resize((32, 32), 2)).astype(np.float64).transpose(2, 0, 1) / 255 for p in pictures]
    cifar = np.stack([net.run(x[None])[net.output][0] for x in small])

    with open(path("expected_forward.json"), encoding="utf-8") as f:
        expected = json.load(f)
    for n, p in zip(names, prob):
        top = np.argsort(-p, kind="stable")[:5]
        want = expected[n[:-4]]["squeezenet1_1.onnx"]
        assert [c for c, _ in want] == top.tolist() and np.allclose([x for _, x in want], p[top], 0, 1e-6), n
    assert expected["mnist_cntk.onnx"]["argmax"] == mnist.argmax(1).tolist()
    print("agrees with expected_forward.json")
    np.savez_compressed(o.out, names=np.array(names), squeezenet=prob.astype(np.float32), mnist=mnist, cifar10=cifar)
    print(o.out, os.path.getsize(o.out), "bytes")


if __name__ == "__main__":
    main()
