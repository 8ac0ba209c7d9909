#!/usr/bin/env python3
"""The job `cam` from outside: cam.py DECONVOY SOURCE WORK MPIEXEC

Maps, heat maps, boxes and metrics of small networks against NumPy (gradients by differences in float64, components by
spreading numbers, counts in plain loops); SqueezeNet against expected_attribution.json (skipped without the shared data);
the same bytes on any number of ranks and from slices; pictures of many sizes; items that fail; what is refused.
"""
import csv
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

from onnx_file import write_png

PROGRAM, SOURCE, WORK, MPIEXEC = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
DATA = Path(os.environ.get("DECONVOY_TEST_DATA", SOURCE.parent / "shared/data"))
NETS, OUT = SOURCE / "tests/golden/cam", WORK / "out.h5"
METHODS = ["grad_cam", "grad_cam_pp", "layer_cam", "guided_grad_cam"]
failures = 0


def check(ok, *what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", *what)


def near(got, want, tolerance, *what):
    got, want = np.asarray(got, float), np.asarray(want, float)
    good = got.shape == want.shape and np.array_equal(np.isnan(got), np.isnan(want))
    error = np.linalg.norm(np.nan_to_num(got - want)) / max(np.linalg.norm(np.nan_to_num(want)), 1e-30) if good else np.nan
    check(error <= tolerance, *what, "error", error, got.shape, want.shape)


def run(config, *sets, ranks=0, code=0, call="run", env=None):
    file = WORK / "job.yaml"
    file.write_text(json.dumps(config))
    args = [PROGRAM, call, str(file)] + ["--fresh"] * (call == "run") + [a for s in sets for a in ("--set", s)]
    if ranks:
        args = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] + args
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **(env or {}))
    r = subprocess.run(args, env=env, capture_output=True, text=True, timeout=300)
    check(r.returncode == code, f"{sets}: exit {r.returncode}, want {code}: {r.stderr[-500:]}")
    return r.stderr + (r.stdout if call == "check" else "")


def job(net, source, cam, precision="strict", **dataset):
    return {"job": "cam", "output": str(OUT), "model": {"file": str(net), "precision": precision},
            "dataset": {"source": str(source), **dataset}, "runtime": {"durability": "process", "progress": "none"}, "cam": cam}


def read(*paths):
    with h5py.File(OUT, "r") as f:
        return [f[p][()] for p in paths]


# --- The small networks in NumPy ------------------------------------------------------------

class Net:
    """conv 3x3, ReLU, and one of the ends of make_cam.py; weights from the ONNX file."""

    def __init__(self, end):
        self.end, self.w = end, weights(NETS / f"{end}.onnx")

    def layer(self, x):
        x = np.pad(x.astype(float), ((0, 0), (1, 1), (1, 1)))
        w = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        return np.maximum(np.einsum("kcij,cyxij->kyx", self.w["conv.w1"], w), 0)

    def scores(self, a):
        return np.einsum("kc,cyx->kyx", self.w["scores.w1"][:, :, 0, 0], a)

    def logits(self, a):
        w, mean = self.w, a.mean((1, 2))
        if self.end == "pointwise":
            return self.scores(a).mean((1, 2))
        if self.end == "reduce":
            return mean @ w["dense.w1"] + w["logits.w1"]
        if self.end == "window":
            return w["scores.w1"][:, :, 0, 0] @ mean
        if self.end == "nothing":
            return a.max((1, 2)) @ w["y.w1"]
        return (a / (1 + np.exp(-mean))[:, None, None]).ravel() @ w["y.w1"]

    def gradient(self, a, c, step=1e-5):
        """By differences; exact but for rounding where the logit is linear."""
        g = np.zeros_like(a)
        for i in np.ndindex(a.shape):
            b = a.copy()
            b[i] += step
            up = self.logits(b)[c]
            b[i] -= 2 * step
            g[i] = (up - self.logits(b)[c]) / (2 * step)
        return g


def weights(file):
    """Float initialisers of an ONNX file: protobuf fields 1 dims, 8 name, 9 raw_data of graph (7) . initializer (5)."""
    def fields(b):
        i = 0
        while i < len(b):
            key, i = varint(b, i)
            if key & 7 == 0:
                v, i = varint(b, i)
            else:
                n, i = varint(b, i)
                v, i = b[i:i + n], i + n
            yield key >> 3, v

    def varint(b, i):
        v = shift = 0
        while True:
            v |= (b[i] & 127) << shift
            shift, i = shift + 7, i + 1
            if b[i - 1] < 128:
                return v, i

    found = {}
    for k, graph in fields(file.read_bytes()):
        for n, tensor in fields(graph) if k == 7 else ():
            if n == 5:
                all_of = list(fields(tensor))
                name = next(v for q, v in all_of if q == 8).decode()
                dims = [v for q, v in all_of if q == 1]
                found[name] = np.frombuffer(next(v for q, v in all_of if q == 9), "<f4").reshape(dims).astype(float)
    return found


def maps(a, g):
    alpha = g ** 2 / (2 * g ** 2 + a.sum((1, 2), keepdims=True) * g ** 3 + 1e-6)
    weight = (np.maximum(g, 0) * np.where(g != 0, alpha, 0)).sum((1, 2))
    return {"cam": np.einsum("k,kyx->yx", g.sum((1, 2)), a), "grad_cam": np.einsum("k,kyx->yx", g.mean((1, 2)), a),
            "grad_cam_pp": np.einsum("k,kyx->yx", weight, a), "layer_cam": (np.maximum(g, 0) * a).sum(0)}


def heat(m, h, w):
    def along(n, to):
        at = np.maximum((np.arange(to) + 0.5) * n / to - 0.5, 0)
        lo = np.minimum(at.astype(int), n - 1)
        b = np.zeros((to, n))
        np.add.at(b, (np.arange(to), lo), 1 - (at - lo))
        np.add.at(b, (np.arange(to), np.minimum(lo + 1, n - 1)), at - lo)
        return b

    up = along(m.shape[0], h) @ np.maximum(m, 0) @ along(m.shape[1], w).T
    return up / up.max() if up.max() > 0 else up


def box(hot, threshold):
    """Numbers spread to the eight neighbours until nothing changes."""
    h, w = hot.shape
    on, number = hot >= threshold, np.arange(1, h * w + 1).reshape(h, w)
    number = np.where(on, number, 0)
    if not hot.any() or not on.any():
        return [0, 0, 0, 0]
    while True:
        around = np.pad(np.where(on, number, h * w + 1), 1, constant_values=h * w + 1)
        least = np.min([around[i:i + h, j:j + w] for i in range(3) for j in range(3)], axis=0)
        after = np.where(on, least, 0)
        if np.array_equal(after, number):
            break
        number = after
    size = np.bincount(number.ravel(), minlength=h * w + 2)
    size[0] = 0
    y, x = np.nonzero(number == size.argmax())
    return [y.min(), x.min(), y.max() + 1, x.max() + 1]


def floats(name, n, seed, dims=(1, 8, 8)):
    x = np.random.default_rng(seed).standard_normal((n, *dims)).astype(np.float32)
    with h5py.File(WORK / name, "w") as f:
        f["x"], f["labels"] = x, np.arange(n, dtype=np.int32) % 4
    return x


def formulas():
    x = floats("in.h5", 11, 1)
    for end in ("pointwise", "reduce", "window", "gated"):
        net = Net(end)
        wanted = METHODS[:3] + (["cam"] if end != "gated" else [])
        for layer in ("last",) if end != "pointwise" else ("last", "layer"):
            run(job(NETS / f"{end}.onnx", WORK / "in.h5", {"methods": wanted, "targets": ["top1", 2, 0], "layer": layer,
                                                          "boxes": {"thresholds": [0, 0.2, 0.5, 1]}}, path="/x"))
            target, = read("/cam/target")
            for n in range(len(x)):
                a = net.layer(x[n])
                check(target[n].tolist() == [net.logits(a).argmax(), 2, 0], end, "targets of", n, target[n])
                for t, c in enumerate(target[n]):
                    g = net.gradient(a, c)
                    want = maps(a, g)
                    if end == "pointwise" and layer == "last":  # its mean of its own scores
                        s = net.scores(a)
                        want.update({k: v for k, v in maps(s, np.eye(4)[c][:, None, None] / 64 + 0 * s).items() if k != "cam"})
                    if end == "gated":  # the flatten's input
                        e = a / (1 + np.exp(-a.mean((1, 2))))[:, None, None]
                        want = maps(e, net.w["y.w1"][:, c].reshape(e.shape))
                    for method in wanted:
                        m, hot, found = (read(f"/cam/{method}/{k}")[0][n, t] for k in ("map", "heatmap", "box"))
                        near(m, want[method], 2e-5, end, layer, method, n, t)
                        near(hot, heat(m.astype(float), 8, 8), 1e-6, end, method, "heat", n, t)
                        for k, threshold in enumerate((0, 0.2, 0.5, 1)):
                            check(found[k].tolist() == box(hot, threshold), end, method, "box", found[k], threshold)


def guided():
    """guided_grad_cam is guided_backprop of the logit times Grad-CAM's heat map."""
    common = job(SOURCE / "configs/models/fashion_mnist.onnx", WORK / "pictures.h5",
                 {"methods": METHODS, "targets": ["top1", 3], "layer": "conv3"}, path="/x")
    floats("pictures.h5", 19, 5, (1, 28, 28))
    run(common)
    m, hot = read("/cam/guided_grad_cam/map", "/cam/grad_cam/heatmap")
    check(np.array_equal(hot, read("/cam/guided_grad_cam/heatmap")[0]), "heat map of guided_grad_cam")
    run({**common, "job": "reconstruct", "reconstruct": {"methods": ["guided_backprop"], "targets": ["top1", 3]}})
    back, = read("/reconstruct/guided_backprop/map")
    check(np.array_equal(m, back * hot[:, :, None]), "guided_grad_cam")


# --- Truth ------------------------------------------------------------------------------------

def iou(found, true):
    y = min(found[2], true[2]) - max(found[0], true[0])
    x = min(found[3], true[3]) - max(found[1], true[1])
    both = max(y, 0) * max(x, 0)
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (found, true)]
    return both / (sum(area) - both) if both > 0 else 0.0


def write_truth(labels, h, w):
    """Zero to three boxes of a picture, mostly of its label; one of no picture of the set."""
    rng = np.random.default_rng(8)
    rows = []
    for i, label in enumerate(labels):
        for _ in range(rng.integers(0, 4)):
            y0, x0 = rng.integers(0, h // rng.integers(1, 5) - 2), rng.integers(0, w // rng.integers(1, 4) - 2)
            y1, x1 = rng.integers(y0 + 2, h + 1), rng.integers(x0 + 2, w + 1)
            rows.append([f"{i:06}", label if rng.random() < 0.7 else rng.integers(4), y0, x0, y1, x1])
    rows += [["000000", 1, 0, 0, 1, 1], ["nobody.png", 9, 0, 0, 500, 500]]
    with open(WORK / "boxes.csv", "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([["image", "class", "y0", "x0", "y1", "x1"], *rows])
    return rows


def true_boxes(rows, h, w, n):
    """Through resize [10, 12] and crop 8 in the middle, at row 1 and column 2."""
    found = [[] for _ in range(n)]
    for name, c, *b in rows:
        if name.isdigit():
            y0, y1 = (min(max(v * 10 / h - 1, 0), 8) for v in (b[0], b[2]))
            x0, x1 = (min(max(v * 12 / w - 2, 0), 8) for v in (b[1], b[3]))
            if y0 < y1 and x0 < x1:
                found[int(name)].append((int(c), (y0, x0, y1, x1)))
    return found


def metrics():
    n, h, w = 60, 25, 18
    labels = (np.arange(n) * 7 % 4).astype(np.int32)
    labels[5] = -1
    with h5py.File(WORK / "set.h5", "w") as f:
        f["images"] = np.random.default_rng(4).integers(0, 256, (n, h, w)).astype(np.uint8)
        f["labels"] = labels
    truth = true_boxes(write_truth(labels.clip(0), h, w), h, w, n)
    levels = [0.1, 0.4, 0.8]
    config = job(NETS / "reduce.onnx", WORK / "set.h5", {"methods": ["layer_cam", "grad_cam"], "targets": ["label", "top5"],
                                                        "boxes": {"thresholds": levels, "truth": str(WORK / "boxes.csv")}},
                 preprocess={"resize": [10, 12], "crop": 8})
    config["runtime"]["unit_seconds"] = 1e-6
    said = run(config)
    check("1 of" in said and "ignored" in said, "the log", said)
    check("true boxes" in run(config, call="check"), "lines of check")
    first = OUT.read_bytes()
    built = subprocess.run([sys.executable, Path(__file__).parent / "check_structure.py", OUT, "--complete"], capture_output=True,
                           text=True)
    check(built.returncode == 0, "structure", built.stdout, built.stderr)
    judge(truth, labels, levels)
    for ranks in (1, 2, 3, 5):
        run(config, ranks=ranks)
        check(OUT.read_bytes() == first, f"bytes on {ranks} ranks")
    run(config, "runtime.threads=2")
    check(OUT.read_bytes() == first, "bytes on two threads")
    parts = []
    for i in range(3):
        run(config, f"dataset.slice=[{i},3]", f"output={WORK}/part{i}.h5")
        parts.append(f"{WORK}/part{i}.h5")
    subprocess.run([PROGRAM, "merge", *parts, "-o", str(WORK / "merged.h5")], check=True, capture_output=True)
    check((WORK / "merged.h5").read_bytes() == first, "bytes of merged slices")
    old = (WORK / "boxes.csv").read_text()
    (WORK / "boxes.csv").write_text(old.replace("nobody", "somebody"))
    args = [PROGRAM, "run", str(WORK / "job.yaml")]
    again = subprocess.run(args, capture_output=True, text=True)
    check(again.returncode == 78 and "besides" in again.stderr, "another table is another plan", again.stderr)


def judge(truth, labels, levels):
    target, names = read("/cam/target", "/inputs/name")
    kept, classes = read("/report/true_box", "/report/true_class")
    top = target[:, 1:5]  # of four classes; the fifth is not there
    check((target[:, 5] == -1).all() and target[5, 0] == -1, "targets that are not there")
    check(np.array_equal(target[:, 0], labels), "labels")
    for i, boxes in enumerate(truth):
        check(classes[i][classes[i] >= 0].tolist() == [c for c, _ in boxes], "true_class", i)
        near(kept[i, :len(boxes)], np.array([b for _, b in boxes]).reshape(-1, 4), 1e-6, "true_box", i)
    for method in ("layer_cam", "grad_cam"):
        hot, found, got = read(f"/cam/{method}/heatmap", f"/cam/{method}/box", f"/cam/{method}/metrics/iou")
        m = {k: read(f"/cam/{method}/metrics/{k}")[0] for k in ("iou_mean", "corloc", "top1_loc", "top5_loc", "max_box_acc",
                                                               "pointing", "counted")}
        for t in range(target.shape[1]):
            sums, counted = np.zeros((len(levels), 6)), 0
            pointing = 0
            for i, boxes in enumerate(truth):
                if target[i, t] < 0 or not boxes:
                    check(np.isnan(got[i, t]).all(), method, "iou of a picture that does not count", i, t)
                    continue
                compared = [b for b in boxes if b[0] == target[i, t]] or boxes
                y, x = np.unravel_index(hot[i, t].argmax(), hot[i, t].shape)
                counted += 1
                pointing += hot[i, t].any() and any(b[0] <= y + .5 < b[2] and b[1] <= x + .5 < b[3] for _, b in compared)
                for k in range(len(levels)):
                    each = [(iou(found[i, t, k], b), c) for c, b in compared]
                    best = max(v for v, _ in each)
                    check(abs(got[i, t, k] - best) <= 1e-6, method, "iou", i, t, k, got[i, t, k], best)
                    sums[k] += [best, best >= .3, best >= .5, best >= .7, any(v >= .5 and c == top[i, 0] for v, c in each),
                                any(v >= .5 and c in top[i] for v, c in each)]
            check(m["counted"][t] == counted, method, "counted", m["counted"][t], counted)
            mean = sums / counted if counted else np.full(sums.shape, np.nan)
            near(m["iou_mean"][t], mean[:, 0], 1e-8, method, "iou_mean", t)
            for k, name in ((2, "corloc"), (4, "top1_loc"), (5, "top5_loc")):
                check(np.array_equal(m[name][t], mean[:, k], equal_nan=True), method, name, t, m[name][t], mean[:, k])
            check(np.array_equal(m["max_box_acc"][t], mean[:, 1:4].max(0), equal_nan=True), method, "max_box_acc", t)
            check(np.array_equal(m["pointing"][t], pointing / counted if counted else np.nan, equal_nan=True), method, "pointing")
        check(0 < m["counted"][0] < len(names) and 0 < np.nanmax(m["corloc"]) < 1, method, "a table that says something")


# --- Sizes, failures, refusals ----------------------------------------------------------------

def sizes():
    """Pictures of many sizes: each as if it were alone, NaN and -1 beyond."""
    folder = WORK / "sizes"
    folder.mkdir()
    rng, extents = np.random.default_rng(3), [(40, 31), (24, 48), (40, 31), (33, 33)]
    for i, (h, w) in enumerate(extents):
        write_png(folder / f"{i}.png", rng.integers(0, 256, (h, w, 3)).astype(np.uint8))
    cam = {"methods": METHODS, "targets": ["top1"], "boxes": {"thresholds": [0.3]}}
    run(job(SOURCE / "tests/golden/jobs/sized.onnx", folder, cam))
    first = OUT.read_bytes()
    keys = ["/inputs/extent", "/cam/target", "/report/picture"] + [f"/cam/{m}/{k}" for m in METHODS for k in ("map", "heatmap", "box")]
    together = dict(zip(keys, read(*keys)))
    check(together["/inputs/extent"].tolist() == [list(e) for e in extents], "extents")
    for ranks in (2, 3):
        run(job(SOURCE / "tests/golden/jobs/sized.onnx", folder, cam), ranks=ranks)
        check(OUT.read_bytes() == first, "sizes: bytes on", ranks, "ranks")
    for i in range(len(extents)):
        run(job(SOURCE / "tests/golden/jobs/sized.onnx", folder / f"{i}.png", cam))
        for k, one in zip(keys, read(*keys)):
            many, corner = together[k][i], tuple(slice(0, n) for n in one.shape[1:])
            check(np.array_equal(many[corner], one[0]), k, "of picture", i)
            rest = many.copy()
            rest[corner] = np.nan if many.dtype.kind == "f" else 0
            check(many.shape == one.shape[1:] or many.dtype.kind == "i" or not np.nan_to_num(rest).any(), k, "beyond picture", i)


def failing():
    floats("wild.h5", 12, 2)
    with h5py.File(WORK / "wild.h5", "r+") as f:
        f["x"][3] = 3e38  # infinite on the way
        f["x"][7, 0, 2, 2] = np.nan
        f["labels"][9] = -1
    (WORK / "wild.csv").write_text("image,class,y0,x0,y1,x1\n" + "".join(f"{i:06},1,1,1,6,6\n" for i in range(12)))
    config = job(NETS / "reduce.onnx", WORK / "wild.h5", {"methods": METHODS + ["cam"], "targets": ["label", "top1"],
                                                         "boxes": {"thresholds": [0.5], "truth": str(WORK / "wild.csv")}},
                 path="/x", label_path="/labels")
    run(config)
    status, item, message, target, count = read("/inputs/status", "/failures/item", "/failures/message", "/cam/target", "/failures/count")
    check(status.tolist() == [1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1] and count == 2, "status", status)
    check(item[:2].tolist() == [3, 7], "failures", item)
    check(message[0].startswith(b"000003: NaN or infinity in") and message[1].startswith(b"000007: NaN"), "messages", message[:2])
    check((target[[3, 7]] == -1).all() and target[9].tolist()[0] == -1 and target[9, 1] >= 0, "targets", target)
    for m in METHODS + ["cam"]:
        a, hot, found, met, counted = read(*(f"/cam/{m}/{k}" for k in ("map", "heatmap", "box", "metrics/iou", "metrics/counted")))
        check(np.isnan(a[[3, 7]]).all() and np.isnan(hot[[3, 7]]).all() and (found[[3, 7]] == -1).all(), m, "rows that failed")
        check(np.isnan(a[9, 0]).all() and (found[9, 0] == -1).all() and np.isfinite(a[9, 1]).all(), m, "no such target")
        check(counted.tolist() == [9, 10] and np.isnan(met[[3, 7]]).all(), m, "counted", counted)
    check("000003: NaN" in run(config, "dataset.on_error=fail", "dataset.offset=2", "dataset.limit=3", code=65), "on_error: fail")


def refused():
    reduce = job(NETS / "reduce.onnx", WORK / "in.h5", {"methods": ["cam"]}, path="/x")
    for key, value, word in (("targets", "[4]", "0 to 3"), ("targets", "[-1]", "0 to 3"), ("targets", "[best]", "top1"),
                             ("methods", "[gradcam]", "nearest: grad_cam"), ("layer", "layr", "nearest: layer"),
                             ("layer", "x", "not computed"), ("layer", "conv", "use grad_cam"),
                             ("boxes.thresholds", "[0.5, 1.5]", "0 to 1"), ("boxes.thresholds", "[]", "thresholds")):
        said = run(reduce, f"cam.{key}={value}", code=78, call="check")
        check(word in said and (f"cam.{key}" in said or value == "conv"), f"message of {key}={value}: {said}")
    for end in ("nothing", "gated"):
        said = run(job(NETS / f"{end}.onnx", WORK / "in.h5", {"methods": ["grad_cam", "cam"]}, path="/x"), code=78)
        check("grad_cam" in said and "job.yaml:1:" in said, f"cam without global mean pooling: {said}")
    check("name a layer" in run(job(NETS / "bare.onnx", WORK / "in.h5", {}, path="/x"), code=78), "no layer with space")
    check("memory" in run(reduce, "runtime.memory=16KiB", code=78, call="check"), "little memory")
    run(reduce, f"cam.boxes.truth={WORK}/nowhere.csv", code=66)
    for rows, word in (("000000,1,0,0,9,9\n", "csv:2: rows 0 to 9"), ("000000,1,1,1,1,2\n", "csv:2: an empty box"),
                       ("000000,4,0,0,1,1\n", "csv:2: class 4"), ("a.png,1,0,0,1,1\n", "csv:2: no row is of a picture"),
                       ("000000,1,0,0,1,1\n000001,1,0,0\n", "csv:3: 4 fields")):
        (WORK / "bad.csv").write_text("image,class,y0,x0,y1,x1\n" + rows)
        said = run(reduce, f"cam.boxes.truth={WORK}/bad.csv", code=65, call="check")
        check(word in said and said.startswith("deconvoy: "), "message of", rows, said)
    check(run(reduce, f"cam.boxes.truth={WORK}/bad.csv", code=65, ranks=2).count(word) == 1, "said once")


def squeezenet():
    expected = DATA / "expected_attribution.json"
    if not expected.exists():
        print("no shared data: SqueezeNet is left out")
        return
    want = json.loads(expected.read_text())["gradcam"]
    config = job(DATA / "models/squeezenet1_1.onnx", DATA / "photos/exact227", {"layer": want["tensor"], "targets": [401]},
                 preprocess={"preset": "caffe", "crop": 224, "crop_at": [0, 0]}, limit=1)
    for precision, tolerance in (("strict", 1e-5), ("fast", 1e-3)):
        run(config, f"model.precision={precision}")
        m = read("/cam/grad_cam/map")[0][0, 0]
        check(list(m.shape) == want["shape"] and list(np.unravel_index(m.argmax(), m.shape)) == want["argmax_yx"], "SqueezeNet")
        check(abs(m.max() / want["max"] - 1) <= tolerance, "SqueezeNet: maximum", m.max(), precision)
        near(m[6], want["row6"], max(tolerance, 3e-6), "SqueezeNet: row 6", precision)
    said = run(config, "cam.methods=[cam]", code=78)
    check("grad_cam" in said, "cam of SqueezeNet", said)


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
for case in (formulas, guided, metrics, sizes, failing, refused, squeezenet):
    case()
    print(case.__name__, failures)
sys.exit(1 if failures else 0)
