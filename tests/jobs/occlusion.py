#!/usr/bin/env python3
"""The job `occlusion` from outside: occlusion.py DECONVOY SOURCE WORK MPIEXEC

Four networks against float64 PyTorch and Captum (tests/golden/jobs/occlusion.npz); SqueezeNet's grid of
expected_attribution.json (skipped without the shared data); incremental against full; pictures of many sizes, cut into
parts, with failures; the same bytes on any number of ranks and threads and after kills; what is refused.
"""
import json
import os
import re
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

from verdict import Verdict

PROGRAM, SOURCE, WORK, MPIEXEC = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
DATA = Path(os.environ.get("DECONVOY_TEST_DATA", SOURCE.parent / "shared/data"))
GOLDEN = np.load(SOURCE / "tests/golden/jobs/occlusion.npz")
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
v = Verdict()


def command(call, config, *sets, ranks=0, fresh=True):
    file = WORK / "job.yaml"
    file.write_text(json.dumps(config))
    args = [PROGRAM, call, str(file)] + ["--fresh"] * (fresh and call == "run") + [a for s in sets for a in ("--set", s)]
    return ([MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []) + args


def run(config, *sets, ranks=0, code=0, call="run", fresh=True, env=None):
    r = subprocess.run(command(call, config, *sets, ranks=ranks, fresh=fresh), env=dict(ENV, **(env or {})),
                       capture_output=True, text=True, timeout=300)
    v.check(r.returncode == code, f"{sets}: exit {r.returncode}, want {code}: {r.stderr[-400:]}")
    return r.stderr if call == "run" else r.stdout


def result(name="out.h5"):
    with h5py.File(WORK / name) as f:
        read = lambda g: {k: read(x) if isinstance(x, h5py.Group) else x[()] for k, x in g.items()}
        return read(f)


def job(model, source, **options):
    return {"job": "occlusion", "output": str(WORK / "out.h5"), "model": {"file": str(model), "precision": "strict"},
            "dataset": {"source": str(source)}, "runtime": {"durability": "process", "progress": "none"},
            "occlusion": options}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- against others ------------------------------------------------------------------------

def golden_net(name):
    g = {k[len(name) + 1:]: GOLDEN[k] for k in GOLDEN.files if k.startswith(name + "/")}
    with h5py.File(WORK / f"{name}.h5", "w") as f:
        f["images"] = g["input"][None]
    best = np.argsort(-g["clean"], kind="stable")
    layer, (ph, pw, sy, sx) = str(g["layer"]), g["options"].tolist()
    config = job(SOURCE / f"tests/golden/models/{name}.onnx", WORK / f"{name}.h5", patch=[ph, pw], stride=[sy, sx],
                 fill=g["fill"].tolist(), targets=["top1", int(best[1])], activity=[layer], heatmap=True, score="logit")
    for edge in ("cut", "drop", "shift"):
        for method in ("incremental", "full"):
            for score in ("logit", "probability") if edge == "cut" else ("logit",):
                run(config, f"occlusion.edge={edge}", f"occlusion.method={method}", f"occlusion.score={score}")
                check_net(f"{name}: {edge} {method} {score}", result()["occlusion"], g, edge, score, best, method)


def check_net(what, o, g, edge, score, best, method):
    logits = g[f"{edge}/logits"]
    of = softmax if score == "probability" else (lambda x: x)
    clean, want = of(g["clean"])[best[:2]], np.moveaxis(of(logits)[..., best[:2]], -1, 0)
    scale = np.abs(g["clean"]).max() if score == "logit" else np.maximum(abs(clean), np.abs(clean[:, None, None] - want).max((1, 2)))
    tol = 2e-5 * np.reshape(np.broadcast_to(scale, 2), (2, 1, 1))
    v.check(o["target"][0].tolist() == best[:2].tolist(), what, "targets", o["target"])
    v.near(what + " clean", o["clean"][0], clean, tol[:, 0, 0])
    v.near(what + " score", o["score"][0], want, tol)
    v.near(what + " sensitivity", o["sensitivity"][0], clean[:, None, None] - want, 2 * tol)
    v.check(o["y"].tolist() == g[f"{edge}/y"].tolist() and o["x"].tolist() == g[f"{edge}/x"].tolist(), what, "corners")
    order = np.sort(logits, -1)
    sure = order[..., -1] - order[..., -2] > 1e-4
    v.check((o["top_class"][0] == logits.argmax(-1))[sure], what, "top_class")
    layer = str(g["layer"]).replace("/", ".")
    v.check(o["activity_channel"][layer][0] == g["activity_channel"], what, "channel")
    total = float(g["activity_clean"])
    v.near(what + " activity", o["activity"][layer][0], g[f"{edge}/activity"], 1e-5 * total)
    v.near(what + " activity clean", o["activity_clean"][layer][0], total, 1e-5 * total)
    if score == "logit" and edge == "cut":
        v.near(what + " Captum", o["heatmap"][0], g["heatmap"], 2 * tol)
    v.check((o["work"][0, 0] < o["work"][0, 1]) if method == "incremental" else (o["work"][0, 0] == o["work"][0, 1]), what, "work")


def squeezenet():
    expected = DATA / "expected_attribution.json"
    if not expected.exists():
        print("no shared data: SqueezeNet is left out")
        return
    want = json.loads(expected.read_text())["occlusion"]
    config = job(DATA / "models/squeezenet1_1.onnx", DATA / "photos/exact227/accordion.png", patch=want["patch"],
                 stride=want["stride"], targets=[401], fill=[0.40784313725490196, 0.4588235294117647, 0.4823529411764706])
    config["dataset"]["preprocess"] = {"preset": "caffe", "crop": 224, "crop_at": [0, 0]}
    grid = np.reshape(want["prob_rowmajor_7x7"], (7, 7))
    for method in ("incremental", "full"):
        run(config, f"occlusion.method={method}")
        v.near(f"SqueezeNet: {method}", result()["occlusion"]["score"][0, 0], grid, 1e-5)
    run(config, "model.precision=fast")
    v.near("SqueezeNet, fast: incremental", result()["occlusion"]["score"][0, 0], grid, 1e-3)


# --- against itself ------------------------------------------------------------------------

def pictures(name, sizes, seed):
    """A folder of PNG pictures."""
    import struct
    import zlib
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i, (h, w) in enumerate(sizes):
        rows = rng.integers(0, 256, (h, w * 3), np.uint8)
        raw = zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows), 1)
        chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
        (folder / f"p{i:02}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
                                              chunk(b"IDAT", raw) + chunk(b"IEND", b""))
    return folder


def same_everywhere(what, config, *sets, ranks=(1, 2, 3, 5)):
    run(config, *sets)
    whole = (WORK / "out.h5").read_bytes()
    for n in ranks:
        run(config, *sets, ranks=n)
        v.check((WORK / "out.h5").read_bytes() == whole, what, f"{n} ranks give other bytes")
    run(config, *sets, "runtime.threads=3")
    v.check((WORK / "out.h5").read_bytes() == whole, what, "3 threads give other bytes")
    return whole


def close(what, a, b):
    """Incremental and full, within the tolerance of strict."""
    for k in ("target", "top_class", "y", "x"):
        v.check(np.array_equal(a[k], b[k]), what, k)
    whole = np.isfinite(b["clean"][:, 0])
    a, b = ({k: x[whole] if k not in ("x", "y") and not isinstance(x, dict) and len(x) == len(whole) else x for k, x in o.items()} for o in (a, b))
    for t in range(a["clean"].shape[1]):
        top = np.nanmax(np.maximum(np.abs(b["clean"][:, t]), np.nanmax(np.abs(b["sensitivity"][:, t]), (1, 2))))
        for k in ("score", "sensitivity", "heatmap"):
            x, y = a[k][:, t], b[k][:, t]
            v.check(np.array_equal(np.isnan(x), np.isnan(y)), what, k, "NaN in other places")
            v.near(f"{what}: {k}", np.nan_to_num(x), np.nan_to_num(y), 1e-5 * top)


def sized():
    """A network for any size; pictures of six sizes, one too small for the window, one broken."""
    folder = pictures("sized", [(40, 64), (33, 47), (64, 64), (21, 90), (12, 40), (64, 33), (47, 33)], 3)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    config = job(SOURCE / "tests/golden/jobs/sized.onnx", folder, patch=[16, 12], stride=[7, 9], targets=["top1", 1],
                 score="logit", heatmap=True, fill="mean", edge="shift")
    config["dataset"]["on_error"] = "skip"
    config["dataset"]["preprocess"] = {"preset": "none", "channels": "rgb"}
    whole = same_everywhere("sizes", config)
    a = result()
    v.check(a["failures"]["count"] == 2 and (a["inputs"]["status"] == 2).sum() == 2, "sizes: failures", a["failures"])
    messages = " ".join(m.decode() for m in a["failures"]["message"])
    v.check("12 rows are fewer than the window's 16" in messages, "sizes: message", messages)
    bad = a["inputs"]["status"] == 2
    o = a["occlusion"]
    v.check(np.isnan(o["score"][bad]).all() and (o["top_class"][bad] == -1).all() and np.isnan(o["work"][bad]).all(), "sizes: failed rows")
    for i in np.flatnonzero(~bad):
        h, w = a["inputs"]["extent"][i]
        v.check(np.isnan(o["heatmap"][i, :, h:]).all() and np.isnan(o["heatmap"][i, :, :, w:]).all() and
                np.isfinite(o["heatmap"][i, :, :h, :w]).all(), "sizes: heat map of", i)
        ny, nx = -(-(h - 16) // 7) + 1, -(-(w - 12) // 9) + 1
        v.check(np.isfinite(o["score"][i, :, :ny, :nx]).all() and np.isnan(o["score"][i, :, ny:]).all() and
                np.isnan(o["score"][i, :, :, nx:]).all() and (o["top_class"][i, ny:] == -1).all(), "sizes: windows of", i)
    run(config, "occlusion.method=full")
    close("sizes", o, result()["occlusion"])
    small = ("occlusion.patch=4", "occlusion.stride=2")
    run(config, *small)
    o = result()["occlusion"]
    for name in ("incremental", "full"):  # cut into parts
        cut = ("runtime.unit_seconds=1e-7", f"occlusion.method={name}")
        v.check("in 1 part" not in run(config, *small, *cut, call="check"), "pictures are not cut")
        run(config, *small, *cut, ranks=3)
        b = result()["occlusion"]
        close(f"sizes, parts, {name}", o, b)
        for k in o if name == "incremental" else ():
            v.check(np.array_equal(o[k], b[k], equal_nan=o[k].dtype.kind == "f"), "parts change", k)
    run(config, "dataset.on_error=fail", code=65)
    return whole


def parts():
    """One picture over several ranks; no heat map: parts of any windows."""
    name = "squeezenet1_1"
    with h5py.File(WORK / "one.h5", "w") as f:
        f["images"] = GOLDEN[f"{name}/input"][None]
    config = job(SOURCE / f"tests/golden/models/{name}.onnx", WORK / "one.h5", patch=9, stride=4, targets=["top5"], fill=0)
    config["runtime"]["unit_seconds"] = 1e-6
    text = run(config, call="check")
    v.check("in 1 part" not in text and "parts" in text, "one picture is not cut", text)
    same_everywhere("parts", config)
    a = result()["occlusion"]
    small = ("occlusion.heatmap=true", "occlusion.patch=4", "occlusion.stride=2")
    run(config, "occlusion.heatmap=true")
    v.check(np.array_equal(a["score"], result()["occlusion"]["score"]), "a heat map changes scores")
    v.check("in 1 part" not in run(config, *small, call="check"), "one picture with a heat map is not cut")
    run(config, *small)
    b = result()["occlusion"]
    run(config, *small, "runtime.unit_seconds=100")
    c = result()["occlusion"]
    v.check(np.array_equal(b["heatmap"], c["heatmap"]) and np.array_equal(b["score"], c["score"]), "parts give another heat map")
    run(config, "occlusion.patch=5", "occlusion.stride=11", "occlusion.heatmap=true")  # gaps
    d = result()["occlusion"]
    v.check(d["heatmap"][0, :, 5:11].max() == 0 and d["heatmap"][0, :, 5:11].min() == 0, "gaps of the heat map are not 0")
    run(config, "occlusion.patch=5", "occlusion.stride=11", "occlusion.heatmap=true", "occlusion.method=full")
    close("gaps", d, result()["occlusion"])
    run(config, "occlusion.patch=65", "occlusion.stride=65", "occlusion.heatmap=true")  # the whole picture
    d = result()["occlusion"]
    run(config, "occlusion.patch=65", "occlusion.stride=65", "occlusion.heatmap=true", "occlusion.method=full")
    close("everything covered", d, result()["occlusion"])


def kills(whole_of):
    config, whole = whole_of
    for after in (0.05, 0.2, 0.4, 0.6):
        (WORK / "out.h5").unlink(missing_ok=True)
        p = subprocess.Popen(command("run", config, ranks=2), env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)
        time.sleep(0.7 + after)
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        time.sleep(0.2)
        for n in (3, 1):
            r = subprocess.run(command("run", config, "runtime.wait=20", ranks=n, fresh=False), env=ENV, capture_output=True, timeout=300)
            if r.returncode == 0:
                break
        v.check(r.returncode == 0 and (WORK / "out.h5").read_bytes() == whole, f"killed after {after} s: {r.returncode} {r.stderr[-200:]}")


def killed():
    sizes = [(64, 64)] * 24
    config = job(SOURCE / "tests/golden/jobs/sized.onnx", pictures("many", sizes, 5), patch=8, stride=2, heatmap=True)
    config["dataset"]["preprocess"] = {"preset": "none", "channels": "rgb"}
    config["runtime"]["unit_seconds"] = 1e-3
    run(config)
    kills((config, (WORK / "out.h5").read_bytes()))


# --- clean maps once a node ----------------------------------------------------------------
def large(name, sizes):
    config = job(SOURCE / "tests/golden/jobs/sized.onnx", pictures(name, sizes, 6), patch=12, stride=3, targets=["top1", "top5"])
    config["dataset"]["preprocess"] = {"preset": "none", "channels": "rgb"}
    config["runtime"]["unit_seconds"] = 1e-4
    return config


def kept(said):
    """What a run says of its clean maps: made, rooms, bytes."""
    found = re.findall(r"clean maps: (\d+) made, in (\d+) rooms of (\d+) bytes in all\n", said)
    v.check(len(found) == 1, "clean maps are told of once", said)
    return dict(zip(("made", "rooms", "bytes"), map(int, found[0] if found else (0, 0, 0))))


def ranks_of(group):
    """Processes of a run, and the segments of caches that each of them maps."""
    found = {}
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(p.name)) != group and os.getsid(int(p.name)) != group:
                continue
            if Path(os.readlink(p / "exe")).name == Path(PROGRAM).name:
                found[int(p.name)] = {s.split()[4] for s in (p / "maps").read_text().splitlines() if "memfd:deconvoy-cache" in s}
        except (OSError, ValueError):
            pass
    return found


def start(config, *sets, ranks):
    """A run under way, its ranks with rooms."""
    (WORK / "out.h5").unlink(missing_ok=True)
    p = subprocess.Popen(command("run", config, *sets, ranks=ranks), env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True)
    for _ in range(2000):
        found = ranks_of(p.pid)
        if len(found) == ranks and all(found.values()) or p.poll() is not None:
            break
        time.sleep(0.002)
    return p, found


def one_rank_dies(config, whole):
    shm = set(os.listdir("/dev/shm"))
    for n, after in ((2, 0.0), (3, 0.05), (3, 0.15)):
        p, found = start(config, ranks=n)
        segments = set().union(*found.values())
        v.check(len(found) == n and len(segments) == 1, f"{n} ranks have segments", found)
        time.sleep(after)
        victim = sorted(found)[-1] if found else 0
        if victim and p.poll() is None:
            os.kill(victim, signal.SIGKILL)
        p.wait(timeout=60)
        for _ in range(100):
            if not ranks_of(p.pid):
                break
            time.sleep(0.05)
        v.check(not ranks_of(p.pid), f"ranks stay behind after {after} s")
        left = {f for f in set(os.listdir("/dev/shm")) - shm if "deconvoy" in f}
        v.check(not left, "left in /dev/shm", left)
        run(config, "runtime.wait=20", ranks=2, fresh=False)
        v.check((WORK / "out.h5").read_bytes() == whole, f"another result after a rank died {after} s on")


def shared():
    """Several ranks on one large picture."""
    one = large("large", [(230, 310)])
    text = run(one, "runtime.threads=2", call="check")
    v.check("clean maps of 1 item: " in text.split("memory per node")[0], "one rank's memory", text)
    text = subprocess.run(command("check", one) + ["--ranks", "4"], env=ENV, capture_output=True, text=True).stdout
    v.check("clean maps of 1 item once: " in text.split("memory per node with 4 ranks")[1], "four ranks' memory", text)
    k = kept(run(one))
    whole = (WORK / "out.h5").read_bytes()
    v.check(k["made"] == 1 and k["rooms"] == 1, "one rank keeps", k)
    size = k["bytes"]
    for n, threads in ((2, 1), (3, 1), (1, 3), (2, 2), (3, 2)):
        k = kept(run(one, f"runtime.threads={threads}", ranks=n))
        v.check((WORK / "out.h5").read_bytes() == whole, f"{n} ranks of {threads} threads give other bytes")
        v.check(k["made"] == 1 and k["rooms"] == 1 and k["bytes"] == size, f"{n} ranks of {threads} threads keep", k)
    one_rank_dies(large("large", [(230, 310)]), whole)

    # Pictures of several sizes, one that cannot be read, one that is too small, and less room than threads.
    many = large("larger", [(200, 240), (120, 90), (64, 64), (210, 230), (3, 3), (240, 200)])
    broken = WORK / "larger/p02.png"
    broken.write_bytes(broken.read_bytes()[:200])
    said = run(many, "dataset.on_error=skip")
    whole = (WORK / "out.h5").read_bytes()
    v.check(result()["inputs"]["status"].tolist().count(2) >= 1, "no picture failed", result()["inputs"]["status"])
    for n, threads in ((2, 1), (3, 2)):
        text = run(many, "dataset.on_error=skip", f"runtime.threads={threads}", ranks=n)
        v.check((WORK / "out.h5").read_bytes() == whole, f"{n} ranks of {threads} threads: failures give other bytes")
        told = [re.sub("clean maps: .*\n", "", t).split("failed;")[1:] for t in (text, said)]
        v.check(told[0] == told[1], f"{n} ranks say", text, "and one", said)
    codes = {n: run(many, "dataset.on_error=fail", ranks=n, code=65) for n in (0, 2)}
    v.check(all("p02.png" in t for t in codes.values()), "the picture that stops a run", codes)


def rooms():
    """Less memory than pictures under way: threads wait for room."""
    many = large("tight", [(200, 240)] * 5)
    k = kept(run(many))
    whole = (WORK / "out.h5").read_bytes()
    size = k["bytes"] // k["rooms"]
    text = run(many, "runtime.threads=3", "runtime.memory=1GiB", call="check", ranks=0)
    v.check("clean maps of 3 items" in text, "memory for all", text)
    need = next(m for m in range(size >> 20, 1 << 12) if subprocess.run(
        command("check", many, "runtime.threads=3", f"runtime.memory={m}MiB"), env=ENV, capture_output=True).returncode == 0)
    text = run(many, "runtime.threads=3", f"runtime.memory={need}MiB", call="check")
    v.check("clean maps of 1 item: " in text, "memory for one", text)
    text = run(many, "runtime.threads=3", f"runtime.memory={need - 1}MiB", code=78)
    v.check("runtime.memory" in text and "more" not in text, "memory for none", text)
    for n in (0, 2, 3):
        k = kept(run(many, "runtime.threads=3", f"runtime.memory={need}MiB", ranks=n))
        v.check((WORK / "out.h5").read_bytes() == whole, f"{n} ranks with little room give other bytes")
        v.check(k["rooms"] <= max(n, 1) and k["bytes"] == size * k["rooms"], f"{n} ranks with little room keep", k)


# --- what is refused -----------------------------------------------------------------------

def bad():
    name = "alexnet"
    config = job(SOURCE / f"tests/golden/models/{name}.onnx", WORK / f"{name}.h5", patch=20, stride=20)
    for sets, says in (("occlusion.patch=96", "96 rows; the network's picture has 95"), ("occlusion.patch=[95, 200]", "200 columns"),
                       ("occlusion.stride=0", "stride"), ("occlusion.patch=0", "patch"), ("occlusion.patch=[1, 2, 3]", "patch"),
                       ("occlusion.fill=[0, 1]", "2 values"), ("occlusion.activity=[nothing]", "no layer \"nothing\""),
                       ("occlusion.activity=[image]", "not computed from the input"), ("occlusion.targets=[10]", "class 10"),
                       ("occlusion.targets=[top2]", "no target"), ("occlusion.edge=clip", "clip"), ("occlusion.score=loss", "loss"),
                       ("occlusion.method=quick", "quick"), ("runtime.memory=1MiB", "runtime.memory")):
        text = run(config, sets, code=78)
        v.check(says in text, sets, "says", text)
    text = run(config, "occlusion.targets=[label]")
    v.check("no item has one" in text and "no item has one" not in run(config), "labels that are not there", text)
    with h5py.File(WORK / "nan.h5", "w") as f:
        x = np.repeat(GOLDEN[f"{name}/input"][None], 3, 0)
        x[1, 2, 3, 4] = np.nan
        f["images"] = x
    run(config, f"dataset.source={WORK / 'nan.h5'}")
    a = result()
    v.check(a["inputs"]["status"].tolist() == [1, 2, 1] and np.isnan(a["occlusion"]["score"][1]).all() and
            np.array_equal(a["occlusion"]["score"][0], a["occlusion"]["score"][2]), "NaN in the input")
    text = run(config, "occlusion.targets=[label]")
    o = result()["occlusion"]
    v.check((o["target"] == -1).all() and np.isnan(o["clean"]).all() and np.isnan(o["score"]).all() and (o["top_class"] >= 0).all(), "label, unknown")
    folder = pictures("warn", [(95, 95)], 1)
    text = run(config, f"dataset.source={folder}", "occlusion.fill=200")
    v.check("200 is outside 0..1" in text, "fill of pictures", text)


def boxes_in_network(side, crop):
    """Object boxes of the photographs as pixels of the network's input: shorter side to `side`, the middle `crop`."""
    boxes = {}
    for line in (SOURCE / "tests/golden/jobs/caltech101_boxes.csv").read_text().splitlines()[1:]:
        name, _, *box = line.split(",")
        boxes.setdefault(name, []).append([int(b) for b in box])

    def carry(name, w, h):
        scaled = [side * max(w, h) // min(w, h) if n == max(w, h) else side for n in (h, w)]
        at = [round((n - crop) / 2) for n in scaled]
        inside = np.zeros((crop, crop), bool)
        for y0, x0, y1, x1 in boxes[name]:
            cut = [max(0, round(b * scaled[k % 2] / (h, w)[k % 2] - at[k % 2])) for k, b in enumerate((y0, x0, y1, x1))]
            inside[cut[0]:cut[2], cut[1]:cut[3]] = True
        return inside
    return carry


def photos():
    """A real use: on photographs, windows over the object (boxes drawn by eye) cost the answer more than windows over the
    background.  A window is over the object where half of it is, over the background where a tenth is at most."""
    if not (DATA / "photos/caltech101").exists():
        print("no shared data: the photographs are left out")
        return
    patch, stride = 48, 32
    config = job(DATA / "models/squeezenet1_1.onnx", DATA / "photos/caltech101", patch=patch, stride=stride, fill="mean",
                 heatmap=True)
    config["model"]["precision"] = "fast"
    config["dataset"]["preprocess"] = {"preset": "caffe", "resize": 256, "crop": 224}
    run(config)
    o, of = result()["occlusion"], result()["inputs"]
    carry = boxes_in_network(256, 224)
    over, beside = [], []
    for name, w, h, s in zip(of["name"], of["width"], of["height"], o["sensitivity"][:, 0]):
        inside = carry(name.rstrip(b"\0").decode().split("/")[-1], int(w), int(h))
        share = np.array([[inside[y:y + patch, x:x + patch].mean() for x in o["x"]] for y in o["y"]])
        if (share >= 0.5).any() and (share <= 0.1).any():
            over.append(s[share >= 0.5].mean())
            beside.append(s[share <= 0.1].mean())
    over, beside = np.array(over), np.array(beside)
    print(f"photographs with windows of both kinds: {len(over)}; loss of the best class's probability over the object {over.mean():.3f}, "
          f"over the background {beside.mean():.3f}; more over the object in {(over > beside).sum()}")
    v.check(len(over) > 50 and over.mean() > 3 * beside.mean() and (over > beside).mean() > 0.75, "windows over the object")
    r = subprocess.run([PROGRAM, "report", str(WORK / "out.h5"), "-o", str(WORK / "report")], capture_output=True, text=True)
    v.check(r.returncode == 0 and (WORK / "report/occlusion.png").stat().st_size > 100000, "report", r.stderr)


CASES = {"golden": lambda: [golden_net(n) for n in ("alexnet", "squeezenet1_1", "resnet18", "vgg16")], "squeezenet": squeezenet,
         "sized": sized, "parts": parts, "photos": photos, "killed": killed, "shared": shared, "rooms": rooms, "bad": bad}


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for name, case in CASES.items():
        if len(sys.argv) < 6 or name in sys.argv[5:]:
            if name == "bad" and not (WORK / "alexnet.h5").exists():
                with h5py.File(WORK / "alexnet.h5", "w") as f:
                    f["images"] = GOLDEN["alexnet/input"][None]
            case()
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
