#!/usr/bin/env python3
"""infer with inputs that are drawn, and with several inputs, against NumPy.

    infer_made.py DECONVOY WORK MPIEXEC

A generator of two inputs: what was drawn must have its distribution, the output must be what NumPy makes of it, the file
must have the same bytes at 1, 2, 3 and 5 ranks, and a data set of the same inputs must give the same output.  Exit 77
where h5py is missing.
"""
import os
import shutil
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py and NumPy are not there")
    sys.exit(77)

import onnx_file
from verdict import Verdict, text

PROGRAM, WORK, MPIEXEC = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
COUNT, Z, LABELS, SIDE = 3000, 4, 3, 5
v = Verdict()
rng = np.random.default_rng(7)
WEIGHT = rng.standard_normal((Z + LABELS, SIDE * SIDE)).astype(np.float32)
BIAS = rng.standard_normal(SIDE * SIDE).astype(np.float32)


def write_generator():
    onnx_file.write("gen.onnx", [("Concat", ["z", "label"], ["both"], {"axis": 1}), ("Gemm", ["both", "w", "b"], ["rows"], {}),
                                 ("Reshape", ["rows", "shape"], ["square"], {}), ("Sigmoid", ["square"], ["out/picture"], {})],
                    {"w": WEIGHT, "b": BIAS, "shape": np.array([-1, 1, SIDE, SIDE], np.int64)},
                    {"z": ["N", Z], "label": ["N", LABELS]}, {"out/picture": ["N", 1, SIDE, SIDE]})


def run(name, config, ranks=0, want=0, says=""):
    with open(name + ".yaml", "w", encoding="utf-8") as f:
        f.write(f"output: {name}.h5\nruntime: {{durability: process}}\njob: infer\n" + config)
    launch = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    p = subprocess.run([*launch, PROGRAM, "run", name + ".yaml", "--fresh"], capture_output=True, text=True, timeout=120,
                       env={**os.environ, **MPI_ENV})
    return v.check(p.returncode == want and says in p.stderr, name, "exit", p.returncode, "want", want, p.stderr[-1000:], config)


def picture(z, label):
    x = np.concatenate([z, label], 1).astype(np.float64) @ WEIGHT + BIAS
    return (1 / (1 + np.exp(-x))).reshape(-1, 1, SIDE, SIDE)


def drawn():
    model = "model: {file: gen.onnx, precision: strict}\n"
    latent = f"infer: {{latent: {{count: {COUNT}, seed: 5, inputs: {{label: one_hot%s}}}}}}\n"
    run("made", model + latent % "")
    for ranks in (1, 2, 3, 5):
        run("again", model + latent % "", ranks)
        with open("made.h5", "rb") as f, open("again.h5", "rb") as g:
            v.check(f.read() == g.read(), "bytes differ at", ranks, "ranks")
    with h5py.File("made.h5", "r") as f:
        z, label, got = f["/infer/latent"][:], f["/infer/latent_label"][:], f["/infer/out.picture"][:]
        v.check("/inputs" not in f and f["/failures/count"][()] == 0, "no /inputs, no failures")
        v.check(text(f["/infer/latent"].attrs["input"]) == "z", "input of latent")
    v.check(np.array_equal(label, np.eye(LABELS)[np.arange(COUNT) % LABELS]), "one_hot", label[:4])
    v.check(abs(z.mean()) < 0.04 and abs(z.std() - 1) < 0.03 and abs((z ** 4).mean() - 3) < 0.4, "normal", z.mean(), z.std())
    v.check(len(np.unique(z)) > 0.999 * z.size and abs(np.corrcoef(z[:-1].ravel(), z[1:].ravel())[0, 1]) < 0.04, "independent")
    v.near("output of what was drawn", got, picture(z, label), 1e-6)
    run("flat", model + latent % ", z: uniform")
    with h5py.File("flat.h5", "r") as f:
        u = f["/infer/latent"][:]
    v.check(u.min() >= -1 and u.max() <= 1 and abs(u.mean()) < 0.03 and abs(u.std() - 3 ** -0.5) < 0.02, "uniform", u.mean(), u.std())
    run("seed", model + latent.replace("seed: 5", "seed: 6") % "")
    with h5py.File("seed.h5", "r") as f:
        v.check(not (f["/infer/latent"][:] == z).any(), "another seed")
    with h5py.File("in.h5", "w") as f:
        f["z"], f["label"], f["/labels"] = z, label, np.arange(COUNT)
        f["/few/label"] = label[:-1]
    run("fed", model + "dataset: {source: in.h5, inputs: {z: /z, label: /label}}\n")
    run("left", model + "dataset: {source: in.h5, path: /z, inputs: {label: label}}\n", 3)
    for name in ("fed", "left"):
        with h5py.File(name + ".h5", "r") as f:
            v.check(np.array_equal(f["/infer/out.picture"][:], got), name, "differs from what was drawn")
            v.check((f["/inputs/status"][:] == 1).all() and "/infer/latent" not in f, name, "status")


def refused():
    model, data = "model: {file: gen.onnx}\n", "dataset: {source: in.h5, inputs: {%s}}\n"
    latent = "infer: {latent: {%s}}\n"
    for more, code, says in (
            ("", 78, "dataset.source is missing"),
            (data % "z: /z, label: /label" + latent % "", 78, "latent stands in place of a data set"),
            (data % "", 78, '"z" and "label"'),
            (data % "z: /z, lable: /label", 78, 'nearest is "label"'),
            (data % "z: /zz, label: /label", 78, "no data set /zz"),
            (data % "z: /label, label: /z", 65, "3"),
            (data % "z: /z, label: /few/label", 78, f'"z" has {COUNT} items and "label" {COUNT - 1}'),
            (latent % "inputs: {zz: normal}", 78, '"z"'),
            (latent % "inputs: {z: gauss}", 78, "expected normal, uniform or one_hot"),
            (latent % "count: 0", 78, "count"),
            ("infer: {latent: {count: 3}, outputs: [out/pictur]}\n", 78, '"out/picture"')):
        run("bad", model + more, 0, code, says)
    onnx_file.write("open.onnx", [("Relu", ["x"], ["y"], {})], {}, {"x": ["N", 3, "H", "W"]}, {"y": ["N", 3, "H", "W"]})
    run("open", "model: {file: open.onnx}\n" + latent % "count: 2", 0, 78, "open")
    run("open", "model: {file: open.onnx, input_shape: [3, 4, 6]}\n" + latent % "count: 2")
    onnx_file.write("two.onnx", [("Relu", ["x"], ["latent"], {})], {}, {"x": ["N", 3]}, {"latent": ["N", 3]})
    run("two", "model: {file: two.onnx}\n" + latent % "count: 2", 0, 78, '"latent"')


def scalar():
    """An input of no axes gets one number for each item; an output of none has one."""
    onnx_file.write("scalar.onnx", [("Mul", ["x", "s"], ["y"], {}), ("ReduceSum", ["y"], ["total"], {"keepdims": 0})], {},
                    {"x": ["N", 3], "s": []}, {"y": ["N", 3], "total": []})
    run("scalar", "model: {file: scalar.onnx}\ninfer: {latent: {count: 5}}\n")
    with h5py.File("scalar.h5", "r") as f:
        x, s, y, total = (f["/infer/" + k][:] for k in ("latent", "latent_s", "y", "total"))
    v.check(x.shape == (5, 3) and s.shape == (5,) and len(np.unique(s)) == 5, "a number for each item", s)
    v.near("times a number", y, x * s[:, None], 1e-6)
    v.near("their sum", total, y.sum(1), 1e-5)


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    os.chdir(WORK)
    write_generator()
    drawn()
    refused()
    scalar()
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
