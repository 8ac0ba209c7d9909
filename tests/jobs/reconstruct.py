#!/usr/bin/env python3
"""The job `reconstruct` from outside: reconstruct.py DECONVOY SOURCE WORK MPIEXEC

Maps of SqueezeNet against expected_attribution.json (float64 PyTorch; skipped without the shared data); sums of integrated
gradients against differences of the logit; the same bytes on any number of ranks; what is refused.
"""
import json
import os
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
DATA = Path(os.environ.get("DECONVOY_TEST_DATA", SOURCE.parent / "shared/data"))
failures = 0


def check(ok, what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", what)


def run(config, *sets, ranks=0, code=0):
    file = WORK / "job.yaml"
    file.write_text(json.dumps(config))
    args = [PROGRAM, "run", str(file), "--fresh"] + [a for s in sets for a in ("--set", s)]
    if ranks:
        args = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] + args
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    r = subprocess.run(args, env=env, capture_output=True, text=True, timeout=300)
    check(r.returncode == code, f"{sets}: exit {r.returncode}, want {code}: {r.stderr[-300:]}")
    return r.stderr


def fashion(**options):
    return {"job": "reconstruct", "output": str(WORK / "out.h5"),
            "model": {"file": str(SOURCE / "configs/models/fashion_mnist.onnx"), "precision": "strict"},
            "dataset": {"source": str(WORK / "in.h5"), "path": "/x"},
            "runtime": {"durability": "process", "progress": "none"}, "reconstruct": options}


def squeezenet():
    expected = DATA / "expected_attribution.json"
    if not expected.exists():
        print("no shared data: SqueezeNet is left out")
        return
    want = json.loads(expected.read_text())
    job = {"job": "reconstruct", "output": str(WORK / "out.h5"),
           "model": {"file": str(DATA / "models/squeezenet1_1.onnx"), "precision": "strict"},
           "dataset": {"source": str(DATA / "photos/exact227/accordion.png"),
                       "preprocess": {"preset": "caffe", "crop": 224, "crop_at": [0, 0]}},
           "runtime": {"durability": "process", "progress": "none"},
           "reconstruct": {"methods": ["gradient", "guided_backprop", "deconvnet"], "targets": [want["class"]]}}
    unit = {"at": want["unit"]["tensor"], "targets": [want["unit"]["cyx"][0]], "seed": "activation"}
    for suffix, more in (("logit", {}), ("unit", unit)):
        job["reconstruct"].update(more)
        run(job)
        with h5py.File(WORK / "out.h5", "r") as f:
            value = f["/reconstruct/value"][0, 0]
            target = want["logit"] if suffix == "logit" else want["unit"]["activation"]
            check(abs(value / target - 1) <= 1e-5, f"value {value}, want {target}")
            if suffix == "unit":
                check(list(f["/reconstruct/position"][0, 0]) == want["unit"]["cyx"][1:], "position of the unit")
            for method, key in (("gradient", "grad"), ("guided_backprop", "guided"), ("deconvnet", "deconv")):
                m, w = f[f"/reconstruct/{method}/map"][0, 0].astype(float), want[f"{key}_{suffix}"]
                what = f"{method} of the {suffix}"
                check(abs(np.linalg.norm(m) / w["l2"] - 1) <= 1e-5, what + ": l2")
                check(abs(m.sum() - w["sum"]) <= 1e-5 * np.abs(m).sum(), what + ": sum")
                check(abs(np.abs(m).max() / w["maxabs"] - 1) <= 1e-5, what + ": largest")
                check(list(np.unravel_index(np.abs(m).argmax(), m.shape)) == w["argmax_cyx"], what + ": place")
                check((m != 0).sum() == w["nonzero"], what + ": cells that are not 0")
                px = m[2, [64, 96, 128, 160], 112] - w["px_c2_y64_96_128_160_x112"]
                check(np.abs(px).max() <= 1e-5 * w["maxabs"], what + ": pixels")
                if suffix == "unit":
                    y, x = np.nonzero(m.any(0))
                    check([y.min(), x.min(), y.max(), x.max()] == w["bbox_y0x0y1x1"], what + ": box")


def write_input():
    rng = np.random.default_rng(1123)
    x = rng.random((40, 1, 28, 28), dtype=np.float32)
    x[1] = 0.5
    x[2, 0, :14] = 0
    with h5py.File(WORK / "in.h5", "w") as f:
        f["x"] = x
    return x


def methods(x):
    every = ["gradient", "gradient_x_input", "integrated_gradients", "smooth_grad", "deconvnet", "guided_backprop"]
    run(fashion(methods=every, targets=["top1", 3], fill=0.5))
    with h5py.File(WORK / "out.h5", "r") as f:
        r = {m: f[f"/reconstruct/{m}/map"][...] for m in every}
        value = f["/reconstruct/value"][...]
        check((f["/reconstruct/target"][:, 1] == 3).all(), "targets as written")
        check((f["/reconstruct/position"][...] == 0).all(), "logits have no place")
    check(np.array_equal(r["gradient"] * x[:, None], r["gradient_x_input"]), "gradient_x_input")
    total = r["integrated_gradients"].sum((2, 3, 4))[:, 1]
    for n in (0, 5):  # completeness; item 1 is the baseline
        check(abs(total[n] - (value[n, 1] - value[1, 1])) <= 0.02 * abs(value[:, 1]).max(), f"integrated gradients of {n}")
    check(not r["integrated_gradients"][1].any(), "nothing to integrate at the baseline")
    a, b = r["smooth_grad"], r["gradient"]
    check(np.isfinite(a).all() and not np.array_equal(a, b), "smooth_grad")
    check(np.array_equal(a[1], b[1]), "no noise where the input is flat")
    run(fashion(methods=["smooth_grad"], targets=["top1", 3], random_seed=2))
    with h5py.File(WORK / "out.h5", "r") as f:
        check(not np.array_equal(f["/reconstruct/smooth_grad/map"][0], a[0]), "another random_seed")
    with h5py.File(WORK / "steps.h5", "w") as f:  # the 50 midpoints, each an item of its own
        f["x"] = np.stack([0.5 + (k + 0.5) / 50 * (x[2].astype(float) - 0.5) for k in range(50)]).astype(np.float32)
    run(fashion(methods=["gradient"], targets=[3]), f"dataset.source={WORK / 'steps.h5'}")
    with h5py.File(WORK / "out.h5", "r") as f:
        by_hand = f["/reconstruct/gradient/map"][:, 0].astype(float).mean(0) * (x[2] - 0.5)
    got = r["integrated_gradients"][2, 1]
    check(np.linalg.norm(got - by_hand) <= 1e-5 * np.linalg.norm(by_hand), "integrated gradients, step by step")


def baselines():
    """Integrated gradients from `fill` in each of its units, step by step with the job's own gradients."""
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    floats = rng.random((3, 1, 28, 28), dtype=np.float32) * 200
    with h5py.File(WORK / "baseline.h5", "w") as f:
        f["u1"], f["f4"] = pictures, floats
    source = f"dataset.source={WORK / 'baseline.h5'}"
    # what the network sees, and what the baseline is there
    scaled = pictures[:, None] / 255.0
    cases = [
        ("u1", ["dataset.preprocess.mean=[0.3]", "dataset.preprocess.std=[0.35]"], "0.25",
         (scaled - 0.3) / 0.35, lambda x: (0.25 - 0.3) / 0.35),
        ("u1", ["dataset.preprocess.scale=1.0", "dataset.preprocess.mean=[20]"], "0.5",
         pictures[:, None] - 20.0, lambda x: 127.5 - 20),
        ("u1", ["dataset.preprocess.mean=[0.3]", "dataset.preprocess.std=[0.35]"], "mean",
         (scaled - 0.3) / 0.35, lambda x: x.mean()),
        ("f4", [], "75", floats.astype(float), lambda x: 75),
        ("f4", [], "mean", floats.astype(float), lambda x: x.mean()),
        ("f4", ["dataset.preprocess.scale=0.01", "dataset.preprocess.mean=[0.5]", "dataset.preprocess.std=[0.25]"], "75",
         (floats.astype(float) * 0.01 - 0.5) / 0.25, lambda x: (75 * 0.01 - 0.5) / 0.25),
    ]
    for path, more, fill, seen, base in cases:
        what = f"integrated gradients of {path}, {more}, fill {fill}"
        run(fashion(methods=["integrated_gradients"], targets=[3]), source, f"dataset.path=/{path}",
            f"reconstruct.fill={fill}", *more)
        with h5py.File(WORK / "out.h5", "r") as f:
            got = f["/reconstruct/integrated_gradients/map"][:, 0].astype(float)
        for n in (1,):
            x = seen[n]
            b = base(x)
            with h5py.File(WORK / "steps.h5", "w") as f:
                f["x"] = np.stack([b + (k + 0.5) / 50 * (x - b) for k in range(50)]).astype(np.float32)
            run(fashion(methods=["gradient"], targets=[3]), f"dataset.source={WORK / 'steps.h5'}")
            with h5py.File(WORK / "out.h5", "r") as f:
                want = f["/reconstruct/gradient/map"][:, 0].astype(float).mean(0) * (x - b)
            err = np.linalg.norm(got[n] - want) / np.linalg.norm(want)
            check(err <= 1e-4, f"{what}: {err}")


def probability():
    """Walks from a probability: the softmax's derivative times those of all logits."""
    def maps(**options):
        run(fashion(methods=["gradient"], **options))
        with h5py.File(WORK / "out.h5", "r") as f:
            return f["/reconstruct/gradient/map"][:3].astype(float), f["/reconstruct/value"][:3].astype(float)
    g, logits = maps(targets=list(range(10)))
    got, value = maps(targets=[3, 7], at="probability")
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    for t, c in enumerate((3, 7)):
        check(np.abs(value[:, t] - p[:, c]).max() <= 1e-6, "value of a probability")
        d = p[:, c:c + 1] * ((np.arange(10) == c) - p)
        want = (d[:, :, None, None, None] * g).sum(1)
        check(np.linalg.norm(got[:, t] - want) <= 1e-5 * np.linalg.norm(want), f"gradient of probability {c}")


def not_finite():
    """A picture that overflows on its way fails by name, others do not."""
    x = np.full((10, 1, 28, 28), 0.5, dtype=np.float32)
    # Signs drawn at random agree with some kernel in some window, so that no order of sums keeps it finite.
    x[4] = np.where(np.random.default_rng(1).random((28, 28)) < 0.5, -3e38, 3e38)
    with h5py.File(WORK / "nan.h5", "w") as f:
        f["x"] = x
    job = fashion(methods=["gradient", "smooth_grad", "deconvnet"], targets=["top1", 3])
    run(job, f"dataset.source={WORK / 'nan.h5'}")
    with h5py.File(WORK / "out.h5", "r") as f:
        status = f["/inputs/status"][...]
        message = f["/failures/message"][0].decode()
        check((status == np.where(np.arange(10) == 4, 2, 1)).all(), f"status {status}")
        check(f["/failures/count"][()] == 1 and f["/failures/item"][0] == 4, "the item that overflows")
        check("infinity" in message and f["/inputs/name"][4].decode() in message, f"message: {message}")
        for m in ("gradient", "smooth_grad", "deconvnet"):
            maps = f[f"/reconstruct/{m}/map"][...]
            check(np.isnan(maps[4]).all() and np.isfinite(np.delete(maps, 4, 0)).all(), f"{m} of a failed item")
        check((f["/reconstruct/target"][4] == -1).all() and np.isnan(f["/reconstruct/value"][4]).all(), "its unit")
    message = run(job, f"dataset.source={WORK / 'nan.h5'}", "dataset.on_error=fail", code=65)
    check("infinity" in message, f"message: {message}")


def ranks():
    every = fashion(methods=["deconvnet", "smooth_grad", "gradient"], targets=["top5"], at="probability")
    run(every)
    first = (WORK / "out.h5").read_bytes()
    for n in (2, 3, 5):
        run(every, ranks=n)
        check((WORK / "out.h5").read_bytes() == first, f"bytes on {n} ranks")


def refused():
    for key, value, word in (("targets", "[12]", "0 to 9"), ("targets", "[best]", "top1"), ("methods", "[gradcam]", "gradient"),
                             ("at", "nolayer", "nolayer"), ("unit", "[0, 1]", "columns"), ("fill", "[1, 2]", "channel")):
        message = run(fashion(methods=["gradient"]), f"reconstruct.{key}={value}", code=78)
        check(word in message, f"message of {key}={value}: {message}")


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
squeezenet()
methods(write_input())
baselines()
probability()
not_finite()
ranks()
refused()
sys.exit(1 if failures else 0)
