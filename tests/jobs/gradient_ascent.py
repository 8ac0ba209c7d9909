#!/usr/bin/env python3
"""The job `gradient_ascent` from outside: gradient_ascent.py CASE DECONVOY SOURCE WORK MPIEXEC

golden      whole climbs, every option, against float64 PyTorch (tests/golden/ascent)
rise        every class of two networks is climbed (SqueezeNet is left out without the shared data)
ranks       the same bytes on any number of ranks and threads, and with other groups of targets
kill        the same bytes after SIGKILL in the middle of a long climb, which goes on from where it was kept
refused     what cannot be climbed, and items that fail on the way
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

CASE, PROGRAM, SOURCE, WORK, MPIEXEC = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]) / sys.argv[1], sys.argv[5]
GOLDEN = SOURCE / "tests/golden/ascent"
DATA = Path(os.environ.get("DECONVOY_TEST_DATA", SOURCE.parent / "shared/data"))
OUT = WORK / "out.h5"
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_btl_vader_single_copy_mechanism="none")
failures = 0


def check(ok, what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", what)


def command(config, *sets, ranks=0, call="run"):
    file = WORK / "job.yaml"
    file.write_text(json.dumps(config))
    args = [PROGRAM, call, str(file)] + [a for s in sets for a in ("--set", s)]
    return ([MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []) + args


def run(config, *sets, ranks=0, code=0, fresh=True, call="run"):
    args = command(config, *sets, ranks=ranks, call=call) + (["--fresh"] if fresh and call == "run" else [])
    r = subprocess.run(args, env=ENV, capture_output=True, text=True, timeout=300)
    check(r.returncode == code, f"{sets} {ranks}: exit {r.returncode}, want {code}: {r.stderr[-300:]}")
    return r.stdout if call == "check" and not code else r.stderr


def job(model, data=None, **options):
    return {"job": "gradient_ascent", "output": str(OUT), "model": {"file": str(model), "precision": "strict"},
            "dataset": data or {"preprocess": {"preset": "imagenet"}},
            "runtime": {"durability": "process", "progress": "none"}, "gradient_ascent": options}


def tiny(**options):
    data = {"source": str(WORK / "in.h5")} if options.get("start") == "dataset" else None
    c = job(GOLDEN / "tiny.onnx", data, **options)
    c["model"]["input_shape"] = [3, 21, 26]
    return c


def fashion(**options):
    return job(SOURCE / "configs/models/fashion_mnist.onnx", {"preprocess": {"preset": "none"}}, **options)


def distance(a, b):
    return np.linalg.norm((a - b).ravel()) / np.linalg.norm(b.ravel())


def write_pictures(pictures):
    with h5py.File(WORK / "in.h5", "w") as f:
        f["images"] = pictures


def depict(image):
    mean, std = (np.array(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return np.clip(np.rint((image.astype(float) * std + mean) * 255), 0, 255).astype(np.uint8)


def golden():
    write_pictures(np.load(GOLDEN / "pictures.npy"))
    want = np.load(GOLDEN / "climbs.npz")
    for name, options in json.loads((GOLDEN / "cases.json").read_text()).items():
        run(tiny(**options))
        with h5py.File(OUT, "r") as f:
            g = {k: v[...] for k, v in f["gradient_ascent"].items()}
            check(("inputs" in f) == (options.get("start") == "dataset"), f"{name}: /inputs")
            check(f["failures/count"][()] == 0, f"{name}: failures")
        image, objective = want[name + ".image"], want[name + ".objective"]
        for what, err in (("image", distance(g["image"], image)), ("objective", distance(g["objective"], objective))):
            print(f"{name}: {what} differs by {err:.2g}")
            check(err <= 3e-6, f"{name}: {what} differs by {err:.3g}")
        check(g["image"].shape == image.shape and g["objective"].shape == objective.shape, f"{name}: shapes")
        targets = {"all": list(range(7)), "dataset": [[2, 5]] * 2}.get(name, options["targets"])
        check(name == "dataset_plain" or np.array_equal(g["target"], targets), f"{name}: targets")
        if options.get("start") != "dataset":
            pictures = np.moveaxis(np.stack([depict(i) for i in g["image"]]), 1, -1)
            check(np.abs(pictures.astype(int) - g["picture"]).max() <= 1 and (pictures == g["picture"]).mean() > 0.999, f"{name}: pictures")
        else:
            low, high = (f(g["image"], axis=(2, 3, 4), keepdims=True).astype(float) for f in (np.min, np.max))
            pictures = np.moveaxis((g["image"] - low) / (high - low) * 255, 2, -1)
            check(np.abs(pictures - g["picture"]).max() <= 0.501, f"{name}: pictures are stretched")
    best = want["overshoot.objective"].argmax(-1)
    check((best < 8).any(), "a case where the last picture is not the best")


def rise():
    run(fashion(targets="all", steps=30, rate=0.05, jitter=1, l2=0.01))
    with h5py.File(OUT, "r") as f:
        o = f["gradient_ascent/objective"][...]
    check(o.shape == (10, 30) and (o.max(1) > o[:, 0] + 5).all(), f"Fashion-MNIST rises: {o[:, 0]} to {o.max(1)}")
    saturated = fashion(targets=[0], at="probability", steps=40, rate=0.05, jitter=0)
    run(saturated)
    with h5py.File(OUT, "r") as f:
        o, image = f["gradient_ascent/objective"][0], f["gradient_ascent/image"][...]
    first = int(o.argmax())
    check((o == o.max()).sum() > 1 and first < 39, f"the largest probability is there more than once: {o}")
    run(saturated, f"gradient_ascent.steps={first + 1}")
    with h5py.File(OUT, "r") as f:
        check(np.array_equal(f["gradient_ascent/image"][...], image), "the first of equally good pictures")
    if not (DATA / "models/squeezenet1_1.onnx").exists():
        print("no shared data: SqueezeNet is left out")
        return
    squeezenet = job(DATA / "models/squeezenet1_1.onnx", {"preprocess": {"preset": "caffe"}}, targets=[1, 401, 779, 954], steps=8, rate=4)
    for more in ((), ("gradient_ascent.parametrisation=fourier",), ("model.precision=fast",)):
        run(squeezenet, *more)
        with h5py.File(OUT, "r") as f:
            o = f["gradient_ascent/objective"][...]
        check((o.max(1) > o[:, 0] + 5).all(), f"SqueezeNet rises: {o[:, 0]} to {o.max(1)}")


def ranks():
    write_pictures(np.load(GOLDEN / "pictures.npy"))
    squeezed = ("runtime.unit_seconds=0.00002",)  # a few steps a unit
    for name, config in (("climb", fashion(targets="all", steps=25, rate=0.05)),
                         ("fourier", tiny(targets="all", steps=10, rate=0.1, parametrisation="fourier", octaves={"count": 2})),
                         ("many targets", tiny(start="dataset", targets=[0, 1, 2, 3, 4, 5, 6, 0, 1, 2], steps=6, rate=0.1))):
        run(config, *squeezed)
        first = OUT.read_bytes()
        for n in (1, 2, 3, 5) if name == "climb" else (2, 5):
            for threads in (1, 2) if n < 3 else (1,):
                run(config, f"runtime.threads={threads}", *squeezed, ranks=n)
                check(OUT.read_bytes() == first, f"{name}: bytes on {n} ranks of {threads} threads")
    run(tiny(targets="all", steps=5, rate=0.2))
    with h5py.File(OUT, "r") as f:
        every = f["gradient_ascent/image"][...]
    run(tiny(targets=[4], steps=5, rate=0.2))
    with h5py.File(OUT, "r") as f:
        check(np.array_equal(f["gradient_ascent/image"][0], every[4]), "a target alone")
    merged = fashion(targets="all", steps=10, rate=0.05, parametrisation="fourier")
    for data in (merged["dataset"], {}):
        merged["dataset"] = data
        run(merged)
        first = OUT.read_bytes()
        for i in range(3):
            run(merged, f"dataset.slice=[{i},3]", f"output={WORK / 'part'}{i}.h5", ranks=i)
        OUT.unlink()
        r = subprocess.run([PROGRAM, "merge"] + [str(WORK / f"part{i}.h5") for i in (2, 0, 1)] + ["-o", str(OUT)], capture_output=True, text=True)
        check(r.returncode == 0 and OUT.read_bytes() == first, f"slices joined: {r.returncode} {r.stderr}")


def kept():
    """Units that a run under way has done for good; -1 while its file is being laid out, or complete by now."""
    r = subprocess.run([PROGRAM, "inspect", str(OUT) + ".part", "--json"], capture_output=True, text=True)
    return json.loads(r.stdout)["units_done"] if r.returncode == 0 else -1


def kill():
    """One chain of thousands of units: what is computed again after a kill is what was not yet kept."""
    config = fashion(targets=[3], steps=20000, rate=0.01, jitter=1)
    config["runtime"].update(durability="disk", unit_seconds=0.001)
    undisturbed = subprocess.Popen(command(config, f"output={WORK / 'whole.h5'}"), env=ENV)
    time.sleep(1)
    done = 0
    for n in (2, 1):
        p = subprocess.Popen(command(config, ranks=n), env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        began = time.time()
        while time.time() - began < 60 and not OUT.exists():
            time.sleep(0.1)
            if Path(str(OUT) + ".part").exists() and kept() > done:  # the state is kept every 4 s
                break
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        time.sleep(0.5)
        if OUT.exists():
            break  # a fast machine
        check(done < kept() < 20000, f"{kept()} units kept, {done} before")
        done = kept()
    run(config, fresh=False)
    check(undisturbed.wait() == 0, "the run that nobody kills")
    last = json.loads((WORK / "out.run.json").read_text())
    check(OUT.read_bytes() == (WORK / "whole.h5").read_bytes(), "bytes after kills")
    print(f"{last['resumed_units']} of {last['units']} units were kept")
    check(last["resumed_units"] >= done, f"{last['resumed_units']} units gone on from, {done} kept")
    check(not list(WORK.glob("out.h5.*")), "nothing stays beside the result")


def refused():
    small = dict(targets=[1], steps=3)
    for key, value, word in (("targets", "[1, 10]", "0 to 9"), ("targets", "[best]", "number"), ("targets", "[top1]", "dataset"),
                             ("targets", "[label]", "dataset"), ("at", "nolayer", "nolayer"), ("octaves.count", "2", "fixes height"),
                             ("start", "dataset", "dataset.source"), ("rate", "0", "above 0"), ("steps", "0", "from 1"),
                             ("clip.norm_percentile", "101", "100")):
        message = run(fashion(**small), f"gradient_ascent.{key}={value}", code=78)
        check(word in message, f"message of {key}={value}: {message}")
    message = run(tiny(**small), "model.input_shape=[3, 21, -1]", code=78)
    open_shape = tiny(**small)
    del open_shape["model"]["input_shape"]
    check("input_shape" in run(open_shape, code=78), "no shape to make noise of")
    check("octave 0" in run(tiny(targets=[1], octaves={"count": 12, "scale": 2.0}), code=78), "an octave too small for the pool")
    check("runtime.memory" in run(fashion(**small), "runtime.memory=100KiB", code=78), "memory")
    message = run(fashion(targets=[2, 5], steps=4, step="plain", rate=1e30, total_variation=1e30), code=65)
    check("every one of 2 items failed" in message and "class 2" in message and "in step" in message, f"overflow: {message}")
    pictures = np.load(GOLDEN / "pictures.npy")
    pictures = np.concatenate([pictures, pictures])
    pictures[1, 0, 3, 4] = np.nan
    pictures[3] *= 3e37  # its activations overflow
    write_pictures(pictures)
    many = [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3]
    for targets in ([0, 1], many):
        run(tiny(start="dataset", targets=targets, steps=3), "runtime.unit_seconds=0.00001", ranks=2)
        with h5py.File(OUT, "r") as f:
            g = {k: v[...] for k, v in f["gradient_ascent"].items()}
            check(list(f["inputs/status"]) == [1, 2, 1, 2] and f["failures/count"][()] == 2, f"status: {f['inputs/status'][...]}")
            text = [m.decode() for m in f["failures/message"][:2]]
            check("NaN" in text[0] and "000001" in text[0] and "000003: target 0" in text[1], f"messages: {text}")
        check(np.isfinite(g["image"][[0, 2]]).all() and np.array_equal(g["image"][0], g["image"][2]), "neighbours of failed items")
        for n in (1, 3):
            check(np.isnan(g["image"][n]).all() and np.isnan(g["objective"][n]).all() and (g["target"][n] == -1).all() and not g["picture"][n].any(),
                  f"rows of failed item {n}")
    check("NaN" in run(tiny(start="dataset", targets=[0], steps=3), "dataset.on_error=fail", code=65), "on_error: fail")
    run(tiny(start="dataset", targets=["label", "top5", 4], steps=2), "dataset.limit=1")  # no labels are there
    with h5py.File(OUT, "r") as f:
        target, image = f["gradient_ascent/target"][0], f["gradient_ascent/image"][0]
    check(target[0] == -1 and np.isnan(image[0]).all() and target[6] == 4 and np.isfinite(image[1:]).all() and len(set(target[1:6])) == 5,
          f"an item without a label: {target}")
    said = run(tiny(targets=[1, 2], steps=30, octaves={"count": 2, "scale": 1.4}), call="check")
    check("2 of 60 steps" in said and "octave 0: 30 steps at 15 x 19" in said, f"check: {said}")


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
{"golden": golden, "rise": rise, "ranks": ranks, "kill": kill, "refused": refused}[CASE]()
sys.exit(1 if failures else 0)
