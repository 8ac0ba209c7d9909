#!/usr/bin/env python3
"""Networks with gates, norms and attention through the jobs `occlusion` and `cam`: modern.py DECONVOY SOURCE WORK BACKENDS

Scores, activity and maps against float64 PyTorch (tests/golden/jobs/modern.npz); incremental as full, less work; `check` names
the operator from which on everything can change.
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

from verdict import Verdict

PROGRAM, SOURCE, WORK, BACKENDS = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4].split(",")
GOLDEN = np.load(SOURCE / "tests/golden/jobs/modern.npz")
# Where boxes end: the squeeze of the first gate, channels that come last, tokens; in inception_v3 the head alone is left.
SPREADS = {"efficientnet": "GlobalAveragePool", "mobilenet_v3": "GlobalAveragePool", "convnext": "Transpose", "vit": "Reshape"}
v = Verdict()


def run(call, name, backend, code=0, **section):
    (job, options), = section.items()
    config = {"job": job, "output": str(WORK / "out.h5"), "runtime": {"durability": "process", "progress": "none"},
              "model": {"file": str(SOURCE / f"tests/golden/models/{name}.onnx"), "precision": "strict"},
              "dataset": {"source": str(WORK / f"{name}.h5")}, job: options}
    (WORK / "job.yaml").write_text(json.dumps(config))
    r = subprocess.run([PROGRAM, call, str(WORK / "job.yaml")] + ["--fresh"] * (call == "run"), capture_output=True, text=True,
                       env=dict(os.environ, DECONVOY_BACKEND=backend), timeout=100)
    v.check(r.returncode == code, name, backend, f"exit {r.returncode}, want {code}: {r.stderr[-400:]}")
    return r.stdout + r.stderr


def relative(what, got, want, tol):
    v.check(got.shape == want.shape, what, got.shape, want.shape)
    v.near(what, got, want, tol * np.abs(want).max())


def occlusion(name, g, backend):
    (ph, pw, sy, sx), layer = g["options"].tolist(), str(g["layer"])
    options = {"patch": [ph, pw], "stride": [sy, sx], "fill": g["fill"].tolist(), "score": "logit", "targets": [0, 3, 9],
               "activity": [layer]}
    says = run("check", name, backend, occlusion=options) if backend == BACKENDS[0] else ""
    want = f"({SPREADS[name]}) on, a window can change everything" if name in SPREADS else ""
    v.check(not says or (want in says and bool(want) == ("can change everything" in says)), name, "check says", says)
    work = {}
    for method in ("full", "incremental"):
        what = f"{name} {backend} {method}: "
        run("run", name, backend, occlusion=dict(options, method=method))
        with h5py.File(WORK / "out.h5") as f:
            o = {k: f["occlusion/" + k][0] for k in ("clean", "score", "top_class", "work")}
            total, activity, channel = (f[f"occlusion/{k}/{layer.replace('/', '.')}"][0]
                                        for k in ("activity_clean", "activity", "activity_channel"))
            v.check(f["occlusion/y"][:].tolist() == g["y"].tolist() and f["occlusion/x"][:].tolist() == g["x"].tolist(), what, "corners")
        best = np.sort(g["logits"], -1)
        sure = best[..., -1] - best[..., -2] > 1e-4
        relative(what + "clean", o["clean"], g["clean"][[0, 3, 9]], 1e-5)
        relative(what + "score", o["score"], np.moveaxis(g["logits"][..., [0, 3, 9]], -1, 0), 1e-5)
        relative(what + "activity", activity, g["activity"], 1e-5)
        v.near(what + "activity of the clean picture", total, g["activity_clean"], 1e-5 * abs(g["activity_clean"]))
        v.check(channel == g["activity_channel"], what, "channel", channel)
        v.check((o["top_class"] == g["logits"].argmax(-1))[sure].all() and sure.any(), what, "top_class")
        work[method] = o["work"]
    v.check(work["full"][0] == work["full"][1] == work["incremental"][1] > work["incremental"][0], name, "work", work)


def cam(name, g, backend):
    methods = [m for m in ("cam", "grad_cam", "grad_cam_pp", "layer_cam") if m in g]
    if "last" not in g:  # tokens have no map
        says = run("run", name, backend, code=78, cam={"methods": ["grad_cam"]})
        v.check("neither a global pooling nor a flatten" in says, name, says)
        return
    run("run", name, backend, cam={"methods": methods})
    with h5py.File(WORK / "out.h5") as f:
        v.check(f["cam/target"][0, 0] == g["clean"].argmax(), name, "target")
        for m in methods:
            relative(f"{name} {backend} {m}", f[f"cam/{m}/map"][0, 0], g[m], 1e-5)
    if "cam" not in methods:
        says = run("run", name, backend, code=78, cam={"methods": ["cam"]})
        v.check("grad_cam" in says, name, "CAM that is not defined", says)


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name in sorted({k.split("/")[0] for k in GOLDEN.files}):
        g = {k.split("/", 1)[1]: GOLDEN[k] for k in GOLDEN.files if k.startswith(name + "/")}
        with h5py.File(WORK / f"{name}.h5", "w") as f:
            f["images"] = g["input"][None]
        for backend in BACKENDS:
            occlusion(name, g, backend)
            cam(name, g, backend)
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
