#!/usr/bin/env python3
"""What reconstructions of the strongest places cost, against the walks that they are made of.

    top_back.py DECONVOY DATA [RULE [PRECISION]]

SqueezeNet 1.1 over the 117 photographs, layers up to crop_limit, one thread.  Processor seconds of the phase: of a run
with reconstructions less those of one without.  Bound: GFLOP of the walks back (from `check`) at the rate of `bench`,
and one walk forward for each picture.  Runs take turns; the least of each counts.
"""
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, DATA = sys.argv[1], Path(sys.argv[2])
RULE = sys.argv[3] if len(sys.argv) > 3 else "deconvnet"
PRECISION = sys.argv[4] if len(sys.argv) > 4 else "strict"
ROUNDS = 3


def cpu_s(args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, out


with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as work:
    config = Path(work, "job.yaml")
    config.write_text(json.dumps({
        "job": "max_activation", "output": "out.h5",
        "model": {"file": str(DATA / "models/squeezenet1_1.onnx"), "precision": PRECISION},
        "dataset": {"source": str(DATA / "photos/caltech101"), "preprocess": {"preset": "caffe", "resize": 256, "crop": 224}},
        "runtime": {"durability": "process", "progress": "none"},
        "max_activation": {"patches": False, "statistics": False}}))
    rule = ["--set", "max_activation.reconstruct=" + RULE]
    plan = subprocess.run([PROGRAM, "check", str(config), *rule], capture_output=True, text=True, check=True).stdout
    places, gflop = re.search(r"at most (\d+) places, ([\d.e+]+) GFLOP of walks back", plan).groups()
    best, fwd, both = {}, 1e9, 1e9
    for _ in range(ROUNDS):
        for name, more in (("none", []), ("reconstruct", rule)):
            s = cpu_s(["run", str(config), "--fresh", *more])[0]
            best[name] = min(s, best.get(name, s))
        b = json.loads(cpu_s(["bench", str(DATA / "models/squeezenet1_1.onnx"), "--walks", "forward," + RULE, "--precision",
                              PRECISION, "--json"])[1])["walks"]
        fwd, both = min(fwd, b["forward"]["ms_per_picture"]), min(both, b[RULE]["ms_per_picture"])
    one = 1e-3 * b["forward"]["gflops"] * b["forward"]["ms_per_picture"]
    rate, phase = one / (both - fwd) * 1e3, best["reconstruct"] - best["none"]
    bound = float(gflop) / rate + 117 * fwd / 1e3
    print(f"{RULE} {PRECISION}: {places} places, {gflop} GFLOP back; bench: {fwd:.2f} ms forward, {rate:.1f} GFLOP/s back")
    print(f"search {best['none']:.2f} s, phase reconstruct {phase:.2f} s, bound {bound:.2f} s: {phase / bound:.2f} times")
