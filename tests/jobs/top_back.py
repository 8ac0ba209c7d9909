#!/usr/bin/env python3
"""`max_activation.reconstruct` from outside: top_back.py DECONVOY SOURCE WORK MPIEXEC

Places and reconstructions against float64 PyTorch.  Each place's reconstruction is the box that it sees, cut out of what the job `reconstruct` gives for the same unit, and 0
beyond; the same bytes on any number of ranks and threads, after kills, and from slices.
"""
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

PROGRAM, SOURCE, WORK, MPIEXEC = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
RULES = ("deconvnet", "guided_backprop", "gradient")
failures = 0


def check(ok, *what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", *what)


def call(config, name, *sets, ranks=0, flags=("--fresh",), kill_s=None):
    """Returns the exit code; None where it was killed."""
    file = WORK / (name + ".yaml")
    file.write_text(json.dumps(config))
    args = [PROGRAM, "run", str(file), *flags] + [a for s in sets for a in ("--set", s)]
    if ranks:
        args = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] + args
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    p = subprocess.Popen(args, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        err = p.communicate(timeout=kill_s or 300)[1]
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return None, ""
    return p.returncode, err


def run(config, name, *sets, **more):
    code, err = call(config, name, *sets, **more)
    check(code == 0, name, sets, more, "exit", code, err[-500:])
    return WORK / config["output"]


def job(kind, output, **options):
    return {"job": kind, "output": output, "model": {"file": str(SOURCE / "configs/models/fashion_mnist.onnx"), "precision": "strict"},
            "dataset": {"source": "in.h5", "path": "/x"}, "runtime": {"durability": "process", "progress": "none"}, kind: options}


def units(layer, rule, channels, place):
    """Whole maps [picture, channel] of units of every picture, by the other job, and their values."""
    options = {"methods": [rule], "at": layer, "targets": [str(c) for c in channels], "seed": "activation", "unit": place}
    with h5py.File(run(job("reconstruct", "unit.h5", **options), "unit"), "r") as f:
        return f[f"/reconstruct/{rule}/map"][...], f["/reconstruct/value"][...]


def compare(where, whole, box, got):
    """Is got the box cut out of a whole map, in its corner?  True where it is not 0."""
    y0, x0, y1, x1 = box
    want, rest = np.zeros_like(got), whole.copy()
    want[:, :y1 - y0, :x1 - x0] = whole[:, y0:y1, x0:x1]
    rest[:, y0:y1, x0:x1] = 0
    check(not rest.any(), *where, "signal outside the box")
    check(np.linalg.norm(got - want) <= 1e-5 * np.linalg.norm(want), *where, "differs from the unit's own map")
    return want.any()


def judge(file, rule, variant=""):
    """Variants: "mean" by rank_by, "several" places of one picture."""
    places = 0
    with h5py.File(file, "r") as f:
        for g in f["/max_activation"].values():
            layer, channel = g.attrs["layer"].decode(), g["channel"][...]
            value, image, position, box, got = (g[k][...] for k in ("value", "image", "position", "box", "reconstruction"))
            check(got.shape[2:] == (1, *(int(n) for n in (box[..., 2:] - box[..., :2]).max((0, 1)))), layer, got.shape)
            check(not got[image < 0].any(), layer, "what is not there is not 0")
            if variant != "several":
                maps, values = units(layer, rule, channel, "max")
            for c, k in np.argwhere(image >= 0):
                where, i = (rule, variant, layer, c, k), image[c, k]
                if variant == "several" and (c % 3 or k % 4):
                    continue
                if variant == "several":
                    one, own = units(layer, rule, channel[c:c + 1], position[c, k].tolist())
                    whole, own = one[i, 0], own[i, 0]
                else:
                    whole, own = maps[i, c], values[i, c]
                check(variant == "mean" or own == value[c, k], *where, "value", own, value[c, k])
                places += compare(where, whole, box[c, k], got[c, k])
    check(places >= 10, rule, variant, "only", places, "places that are not 0")


def golden(file, rule, prefix):
    """Places and reconstructions as float64 PyTorch has them (golden/jobs/top_back.npz); returns how many were compared."""
    compared = 0
    gold = np.load(SOURCE / "tests/golden/jobs/top_back.npz")
    with h5py.File(file, "r") as f:
        for key in gold.files:
            part = key.split("/")
            if part[:2] != [prefix, rule] or key.endswith("#") or part[2] not in f["/max_activation"]:
                continue
            g, k = f["/max_activation"][part[2]], int(part[4])
            row = np.flatnonzero(g["channel"][...] == int(part[3]))
            image, y, x, y0, x0, y1, x1, value, moved, step, norm, total = gold[key + "#"]
            if not len(row):
                continue
            c = row[0]
            check([g["image"][c, k], *g["position"][c, k]] == [image, y, x], key, "place", g["image"][c, k], g["position"][c, k])
            check(g["box"][c, k].tolist() == [y0, x0, y1, x1], key, "box", g["box"][c, k], "want", [y0, x0, y1, x1])
            check(abs(g["value"][c, k] - value) <= 1e-5 * abs(value), key, "value", g["value"][c, k], "want", value)
            if moved >= 4e-6:  # gates flip by rounding, whoever computes them
                continue
            got, want = g["reconstruction"][c, k][:, :int(y1 - y0), :int(x1 - x0)].astype(float), gold[key].astype(float)
            far = np.linalg.norm(got.reshape(-1)[::int(step)] - want)
            check(far <= 1e-5 * np.linalg.norm(want), key, "differs by", far, "of", np.linalg.norm(want))
            check(abs(np.linalg.norm(got) - norm) <= 1e-5 * norm and abs(np.abs(got).sum() - total) <= 1e-5 * total, key, "norms")
            compared += 1
    return compared


def squeezenet():
    data = Path(os.environ.get("DECONVOY_TEST_DATA", SOURCE.parent / "shared/data"))
    if not (data / "README.md").exists():
        print("no shared data: SqueezeNet is left out")
        return
    compared = 0
    for layer, channels, rules in (("fire2/expand3x3_2", [0, 21, 42], ["gradient"]), ("fire4/squeeze1x1_2", [3, 17], RULES),
                                   ("fire6/expand3x3_2", [5, 100, 150], ["deconvnet"])):
        for rule in rules:
            top = job("max_activation", "squeezenet.h5", layers=[layer], channels=channels, top=2, reconstruct=rule, patches=False)
            top["model"]["file"] = str(data / "models/squeezenet1_1.onnx")
            top["dataset"] = {"source": str(data / "photos/caltech101"), "preprocess": {"preset": "caffe", "resize": 256, "crop": 224}}
            compared += golden(run(top, "squeezenet"), rule, "squeezenet")
    check(compared >= 18, "only", compared, "reconstructions of SqueezeNet compared")


def write_input():
    rng = np.random.default_rng(2014)
    x = rng.random((40, 1, 28, 28), dtype=np.float32)
    x[1] = 0.5
    x[2, 0, :14] = 0
    x[3] = 0
    with h5py.File(WORK / "in.h5", "w") as f:
        f["x"] = x


def same_bytes(rule):
    top = job("max_activation", "top.h5", top=7, reconstruct=rule)
    file = run(top, "top")
    first = file.read_bytes()
    for n in (2, 3, 5):
        run(top, "top", ranks=n)
        check(file.read_bytes() == first, rule, n, "ranks: other bytes")
    for extra in ("runtime.threads=2", "runtime.memory=24MiB"):
        run(top, "top", extra)
        check(file.read_bytes() == first, rule, extra, ": other bytes")
    small = dict(top, output="small.h5", runtime={"durability": "process", "progress": "none", "unit_seconds": 0.001})
    with h5py.File(file, "r") as f, h5py.File(run(small, "small"), "r") as g:
        for layer in f["/max_activation"]:
            path = f"/max_activation/{layer}/reconstruction"
            check(f[path][...].tobytes() == g[path][...].tobytes(), rule, path, "depends on the size of units")
    parts = [run(dict(small, output=f"part{i}.h5"), "part", f"dataset.slice=[{i},3]") for i in (1, 2, 0)]
    merged = subprocess.run([PROGRAM, "merge", *parts, "-o", str(WORK / "merged.h5")], capture_output=True, text=True)
    check(merged.returncode == 0 and (WORK / "merged.h5").read_bytes() == (WORK / "small.h5").read_bytes(), "merged slices", merged.stderr)
    return top


def killed(top):
    """Killed now and then, and gone on with by another number of threads."""
    top = dict(top, output="killed.h5", runtime={"durability": "process", "progress": "none", "unit_seconds": 0.001})
    whole = run(dict(top, output="whole.h5"), "whole").read_bytes()
    rng, kills, code, err = random.Random(5), 0, None, ""
    (WORK / "killed.h5").unlink(missing_ok=True)
    for turn in range(12):
        code, err = call(top, "killed", f"runtime.threads={rng.choice([1, 2])}", flags=(), kill_s=rng.uniform(0.03, 0.3))
        kills += code is None
        if code == 0:
            break
    if code != 0:
        code, err = call(top, "killed", flags=())
    check(code == 0, "after", kills, "kills: exit", code, err[-500:])
    check((WORK / "killed.h5").read_bytes() == whole, "after", kills, "kills: other bytes")


def refused():
    code, err = call(job("max_activation", "no.h5", reconstruct="deconv"), "no")
    check(code == 78 and "deconvnet" in err, "a rule that is not there", code, err)


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
write_input()
for one in RULES:
    judge(run(job("max_activation", "top.h5", top=5, reconstruct=one), "top"), one)
    n = golden(WORK / "top.h5", one, "small")
    check(n >= 20, one, "only", n, "reconstructions compared with the reference")
squeezenet()
judge(run(job("max_activation", "top.h5", top=5, per_image=3, channels=8, reconstruct="guided_backprop"), "top"), "guided_backprop", "several")
means = job("max_activation", "top.h5", top=3, rank_by="mean", channels=8, reconstruct="deconvnet")
judge(run(means, "top"), "deconvnet", "mean")
killed(same_bytes("deconvnet"))
refused()
sys.exit(1 if failures else 0)
