#!/usr/bin/env python3
"""Compare a result of infer with references.

    check_infer.py RESULT.h5 squeezenet [--expected expected_forward.json] [--precision strict|fast]
    check_infer.py RESULT.h5 mnist [--expected expected_forward.json] [--precision strict|fast]
    check_infer.py RESULT.h5 cifar10 [--precision strict|fast]
    check_infer.py RESULT.h5 accuracy RIGHT TOTAL

Exit 1 on any difference.
"""
import argparse
import json
import os
import sys

import h5py
import numpy as np

from verdict import Verdict, text

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/jobs/infer.npz")
TOLERANCE = {"strict": 1e-5, "fast": 1e-3}


def outputs(f):
    """The outputs' rows as [N, numbers], by name."""
    own = ("top_class", "top_probability", "class_map", "latent")
    sets = {k: d[:] for k, d in f["/infer"].items() if k not in own and not k.endswith("_extent")}
    return {k: d.reshape(len(d), -1) for k, d in sets.items()}


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def check_output(v, name, got, want, tolerance):
    if v.check(got.shape == want.shape, name, got.shape, "want", want.shape):
        error = np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1)
        v.near(f"output: {name}, relative L2", error, 0, tolerance)


def check_top(v, f, probability, tolerance):
    """Exact order, but for classes nearer than the tolerance."""
    top, p = f["/infer/top_class"][:], f["/infer/top_probability"][:].astype(np.float64)
    k = min(5, probability.shape[1])
    if not v.check(top.shape == p.shape == (len(probability), k), "top_class", top.shape, p.shape):
        return
    order = np.argsort(-probability, 1, kind="stable")[:, :k]
    due = np.take_along_axis(probability, order, 1)
    valid = (top >= 0) & (top < probability.shape[1])
    v.check(valid, "top_class out of range")
    got = np.take_along_axis(probability, np.where(valid, top, 0), 1)
    v.check((top == order) | (np.abs(got - due) <= tolerance * due), "top_class", top.tolist(), "want", order.tolist())
    v.near("top_probability", p, due, tolerance)
    v.check(np.diff(p, axis=1) <= 0, "top_probability does not descend")


def check_expected(v, f, names, file, tolerance):
    with open(file, encoding="utf-8") as j:
        expected = json.load(j)
    for i, name in enumerate(names):
        want = expected[os.path.splitext(name)[0]]["squeezenet1_1.onnx"]
        v.check(f["/infer/top_class"][i].tolist() == [c for c, _ in want], name, f["/infer/top_class"][i], "want", want)
        v.near("expected_forward.json", f["/infer/top_probability"][i], [p for _, p in want], tolerance + 5e-7)


def check_case(v, f, o):
    golden, tolerance = np.load(GOLDEN), TOLERANCE[o.precision]
    want = golden[o.case].astype(np.float64)
    names = [text(n) for n in f["/inputs/name"][:]]
    v.check(f["/inputs/status"][:] == 1, "/inputs/status", f["/inputs/status"][:])
    if o.case != "mnist":
        v.check(names == list(golden["names"]), "/inputs/name", names)
    found = outputs(f)
    if not v.check(len(found) == 1, "outputs", sorted(found)):
        return
    name, got = found.popitem()
    probability = want if o.case == "squeezenet" else softmax(want)
    check_output(v, name, got.astype(np.float64), want, tolerance if o.case != "squeezenet" else 3 * tolerance)
    check_top(v, f, probability, tolerance)
    if o.expected and o.case == "squeezenet":
        check_expected(v, f, names, o.expected, tolerance)
    if o.expected and o.case == "mnist":
        with open(o.expected, encoding="utf-8") as j:
            answers = json.load(j)["mnist_cntk.onnx"]["argmax"]
        v.check(f["/infer/top_class"][:, 0] == answers, "digits", f["/infer/top_class"][:, 0].tolist(), "want", answers)


def check_accuracy(v, f, right, total):
    top, label = f["/infer/top_class"][:, 0], f["/inputs/label"][:]
    v.check(len(top) == total, len(top), "items, want", total)
    v.check(label >= 0, "labels missing")
    v.check((top == label).sum() == right, (top == label).sum(), "right, want", right)
    v.check(f["/inputs/status"][:] == 1, "/inputs/status")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("case", choices=("squeezenet", "mnist", "cifar10", "accuracy"))
    parser.add_argument("numbers", type=int, nargs="*")
    parser.add_argument("--expected")
    parser.add_argument("--precision", choices=sorted(TOLERANCE), default="strict")
    o = parser.parse_args()
    v = Verdict()
    with h5py.File(o.result, "r") as f:
        check_accuracy(v, f, *o.numbers) if o.case == "accuracy" else check_case(v, f, o)
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
