#!/usr/bin/env python3
"""Random small networks through infer and max_activation, against NumPy.

    small_nets.py DECONVOY WORK MPIEXEC

Networks, pictures and arrays are made here from seeds: 1-D and 2-D, rows and columns left open, layer names with
slashes.  Boxes are found by brute force: which outputs change with one row or column of the input.  Exit 77 where
h5py is missing.
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
v = Verdict()


def write_model(net, file):
    outputs = [net["output"], *net.get("more_outputs", [])]
    onnx_file.write(file, [(op, [i, *w], [o], a) for op, i, o, w, a in net["nodes"]], net["weights"], {"x": net["input"]},
                    {o: ["N", net["classes"]] for o in outputs})


# --- the same in NumPy --------------------------------------------------------------------

def windows(x, kernel, stride, pads, dilation, fill):
    """[..., out..., kernel...] of x [C, space...]."""
    space = len(kernel)
    x = np.pad(x, [(0, 0)] + [(pads[i], pads[i + space]) for i in range(space)], constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    w = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(1, space + 1)))
    steps = tuple(slice(None, None, s) for s in stride)
    return w[(slice(None), *steps, *(slice(None, None, d) for d in dilation))]


def run_node(op, x, w, a, depend):
    """depend: x says where something depends on the input's mark, and so does the result."""
    if op in ("Conv", "MaxPool"):
        k, n = a["kernel_shape"], len(a["kernel_shape"])
        fill = 0 if op == "Conv" or depend else -np.inf
        y = windows(x, k, a["strides"], a["pads"], a.get("dilations", [1] * n), fill)
        axes = tuple(range(n + 1, 2 * n + 1))
        if depend:
            y = y.max(axis=axes)
            return np.repeat(y.max(axis=0, keepdims=True), len(w[0]), 0) if op == "Conv" else y
        if op == "MaxPool":
            return y.max(axis=axes)
        y = np.tensordot(w[0], y, ([1, *range(2, n + 2)], [0, *axes]))
        return y + w[1].reshape(-1, *[1] * n)
    if op == "GlobalAveragePool":
        axes = tuple(range(1, x.ndim))
        return (x.max if depend else x.mean)(axis=axes, keepdims=True)
    if op == "Flatten":
        return x.reshape(-1)
    if op == "Gemm":
        return np.full(w[0].shape[1], x.max()) if depend else x @ w[0] + w[1]
    if depend:
        return x
    return {"Relu": lambda: np.maximum(x, 0), "LeakyRelu": lambda: np.where(x < 0, 0.01 * x, x),
            "Sigmoid": lambda: 1 / (1 + np.exp(-x)), "Softmax": lambda: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
            "LogSoftmax": lambda: x - x.max() - np.log(np.exp(x - x.max()).sum())}[op]()


def values(net, x, depend=False):
    known = {"x": np.asarray(x, np.float64)}
    for op, i, o, w, a in net["nodes"]:
        known[o] = run_node(op, known[i], [net["weights"][n].astype(np.float64) for n in w], a, depend)
    return known


def boxes(net, layer, shape, axis):
    """lo, hi of what each row (axis 0) or column (axis 1) of a layer depends on; shape: of the input."""
    along = len(shape) - 2 + axis
    if along < 1:
        return None
    cell, hits = None, []
    for r in range(shape[along]):
        mark = np.zeros(shape)
        mark[(slice(None),) * along + (r,)] = 1
        y = values(net, mark, True)[layer]
        y = y.reshape(len(y), -1) if y.ndim < len(shape) else np.moveaxis(y, along, 1).reshape(len(y), y.shape[along], -1).max(2)
        hits.append(y.max(axis=0))
    cell = np.array(hits) > 0
    return np.array([[c.argmax(), len(c) - c[::-1].argmax()] for c in cell.T])


# --- random networks ----------------------------------------------------------------------

def random_net(rng, channels, space, open_size):
    """Conv, activation, perhaps pool, ...; global pool, Gemm, an end of its own."""
    n, now, net = len(space), channels, {"nodes": [], "weights": {}, "layers": []}
    name = "x"

    def add(op, out, w=(), **a):
        nonlocal name
        for i, one in enumerate(w):
            net["weights"][f"{out}.w{i}"] = one.astype(np.float32)
        net["nodes"].append((op, name, out, [f"{out}.w{i}" for i in range(len(w))], a))
        name = out

    for k in range(rng.integers(1, 4)):
        kernel = [int(rng.integers(1, 4)) for _ in range(n)]
        more = int(rng.choice([3, 8, 17]))
        w = rng.standard_normal((more, now, *kernel)) / np.sqrt(now * np.prod(kernel))
        add("Conv", f"/b{k}/conv", [w, rng.standard_normal(more)], kernel_shape=kernel,
            strides=[int(rng.integers(1, 3)) for _ in range(n)], pads=[int(k // 2) for k in kernel * 2],
            dilations=[int(rng.integers(1, 3)) for _ in range(n)])
        add(str(rng.choice(["Relu", "LeakyRelu"])), f"/b{k}/act")
        net["layers"].append(name)
        if rng.integers(2):
            add("MaxPool", f"pool{k}", kernel_shape=[2] * n, strides=[2] * n, pads=[1] * (2 * n))
        now = more
    add("GlobalAveragePool", "gap")
    add("Flatten", "flat", axis=1)
    net["classes"] = int(rng.integers(2, 7))
    add("Gemm", "logits", [rng.standard_normal((now, net["classes"])), rng.standard_normal(net["classes"])])
    net["end"] = str(rng.choice(["none", "Softmax", "LogSoftmax", "Sigmoid"]))
    if net["end"] != "none":
        add(net["end"], "out/put", **({} if net["end"] == "Sigmoid" else {"axis": 1}))
    net["layers"].append("out/put" if net["end"] == "Sigmoid" else "logits")
    net["output"] = name
    net["input"] = ["N", channels, *(["H", "W"][:n] if open_size else space)]
    return net


def pictures(rng, folder, sizes, channels):
    """Writes them; returns what the network is to see of each."""
    os.makedirs(folder)
    seen = []
    for i, (h, w) in enumerate(sizes):
        a = rng.integers(0, 256, (h, w, 3) if channels == 3 else (h, w), np.uint8)
        onnx_file.write_png(f"{folder}/{i:03d}.png", a)
        seen.append((a.transpose(2, 0, 1) if channels == 3 else a[None]) / 255)
    return seen


# --- running and judging --------------------------------------------------------------------

def run(name, config, ranks=0, threads=1):
    with open(name + ".yaml", "w", encoding="utf-8") as f:
        f.write(f"output: {name}.h5\nruntime: {{durability: process, threads: {threads}}}\n" + config)
    launch = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    p = subprocess.run([*launch, PROGRAM, "run", name + ".yaml"], capture_output=True, text=True, timeout=60,
                       env={**os.environ, **MPI_ENV})
    return v.check(p.returncode == 0, name, "exit", p.returncode, p.stderr[-1000:], config)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def judge_infer(name, net, seen):
    with h5py.File(name + ".h5", "r") as f:
        size = np.stack([f["/inputs/height"][:], f["/inputs/width"][:]], 1)
        v.check(np.array_equal(size, [(1, *x.shape[1:])[-2:] for x in seen]), name, "height and width", size)
        got = f["/infer/" + net["output"].replace("/", ".")][:]
        want = np.stack([values(net, x)[net["output"]] for x in seen])
        v.near(name + ": output", got, want, 1e-5 + 1e-5 * np.abs(want).max())
        p = want if net["end"] in ("Softmax", "Sigmoid") else np.stack([softmax(z) for z in want])
        top = f["/infer/top_class"][:]
        v.check(np.array_equal(np.sort(top), np.tile(np.arange(net["classes"]), (len(seen), 1))), name, "top_class", top[0])
        v.near(name + ": probability", f["/infer/top_probability"][:], -np.sort(-p), 2e-5)
        v.near(name + ": its class", np.take_along_axis(p, top.astype(int), 1), -np.sort(-p), 2e-5)


def judge_places(name, net, seen, all_of, layer, o):
    """Values, that each place has its value, order, statistics and boxes of one layer."""
    maps = [a[layer].reshape(len(a[layer]), -1) if a[layer].ndim < 2 else a[layer] for a in all_of]
    flat = [m.reshape(len(m), -1) for m in maps]
    with h5py.File(name + ".h5", "r") as f:
        g = f["/max_activation/" + layer.replace("/", ".")]
        v.check(text(g.attrs["layer"]) == layer, name, layer, g.attrs["layer"])
        value, image, at, box = (g[k][:] for k in ("value", "image", "position", "box"))
        rank = {s: [boxes(net, layer, s, axis) for axis in (0, 1)] for s in {x.shape for x in seen}}
        for c in range(len(value)):
            best = np.concatenate([-np.sort(-m[c])[:o["per_image"]] for m in flat])
            best = -np.sort(-best)[:o["top"]]
            n = len(best)
            v.near(f"{name}: {layer} value", value[c, :n], best, 1e-5 + 1e-5 * np.abs(best).max())
            v.check(np.isnan(value[c, n:]).all() and (image[c, n:] == -1).all() and (box[c, n:] == -1).all(), name, layer, "rest")
            keys = [(-value[c, k], image[c, k], *at[c, k]) for k in range(n)]
            v.check(keys == sorted(keys) and len(set(keys)) == n, name, layer, "order", keys)
            v.check(np.bincount(image[c, :n]).max() <= o["per_image"], name, layer, "per_image", image[c])
            for k in range(n):
                m, (y, x), shape = maps[image[c, k]][c], at[c, k], seen[image[c, k]].shape
                cell = m[y, x] if m.ndim == 2 else m[x]
                v.near(f"{name}: {layer} at its place", cell, value[c, k], 1e-5 + 1e-5 * abs(value[c, k]))
                row, col = rank[shape]
                want = [*(row[y] if row is not None else (0, 1)), *col[x]]
                v.check([box[c, k, i] for i in (0, 2, 1, 3)] == want, name, layer, "box", box[c, k], "want y0 y1 x0 x1", want)
                if "patch" in g:
                    y0, x0, y1, x1 = box[c, k]
                    cut = np.rint(seen[image[c, k]][:, y0:y1, x0:x1].transpose(1, 2, 0) * 255)
                    patch = g["patch"][c, k]
                    v.check(np.array_equal(patch[:y1 - y0, :x1 - x0], cut), name, layer, "patch", c, k)
            every = np.concatenate([m[c] for m in flat])
            v.near(f"{name}: {layer} mean", g["mean"][c], every.mean(), 1e-5 * (1 + abs(every).max()))
            v.near(f"{name}: {layer} std", g["std"][c], every.std(), 1e-5 * (1 + abs(every).max()))
            v.check(g["histogram"][c].sum() == len(every), name, layer, "histogram")


def same_bytes(a, b):
    with open(a + ".h5", "rb") as f, open(b + ".h5", "rb") as g:
        v.check(f.read() == g.read(), a, b, "differ")


def case(seed):
    rng = np.random.default_rng(seed)
    kind = ("open", "fixed", "array")[seed % 3]
    name, channels = f"net{seed}", 1 if seed % 2 else 3
    sizes = [(int(rng.integers(12, 30)), int(rng.integers(12, 30))) for _ in range(14)] if kind == "open" else [(17, 23)] * 14
    net = random_net(rng, channels, [40] if kind == "array" else list(sizes[0]), kind == "open")
    write_model(net, name + ".onnx")
    if kind == "array":
        seen = list(rng.standard_normal((14, channels, 40)).astype(np.float32))
        with h5py.File(name + "_in.h5", "w") as f:
            f["images"] = np.stack(seen)
    else:
        seen = pictures(rng, name + "_in", sizes, channels)
    common = f"model: {{file: {name}.onnx, precision: strict}}\ndataset: {{source: {name}_in{'.h5' if kind == 'array' else ''}}}\n"
    if run(name + "_infer", "job: infer\ninfer: {top: 50}\n" + common):
        judge_infer(name + "_infer", net, seen)
    o = {"top": int(rng.integers(1, 20)), "per_image": int(rng.choice([1, 1, 3]))}
    job = f"job: max_activation\nmax_activation: {{top: {o['top']}, per_image: {o['per_image']}}}\n" + common
    if run(name + "_top", job):
        all_of = [values(net, x) for x in seen]
        with h5py.File(name + "_top.h5", "r") as f:
            layers = sorted(text(g.attrs["layer"]) for g in f["/max_activation"].values())
        v.check(layers == sorted(net["layers"]), name, "layers", layers, "want", net["layers"])
        for layer in net["layers"]:
            judge_places(name + "_top", net, seen, all_of, layer, o)
        if run(name + "_again", job, ranks=3, threads=2):
            same_bytes(name + "_top", name + "_again")


def too_small():
    """Pictures that an open network cannot take fail as items, whose messages name no folder."""
    rng = np.random.default_rng(99)
    net = {"nodes": [("Conv", "x", "y", ["w"], {"kernel_shape": [5, 5], "strides": [1, 1], "pads": [0] * 4})],
           "weights": {"w": rng.standard_normal((2, 1, 5, 5)).astype(np.float32)}, "input": ["N", 1, "H", "W"], "output": "y",
           "classes": 2}
    write_model(net, "small.onnx")
    pictures(rng, "small_in", [(9, 9), (3, 9), (8, 8), (3, 9)], 1)
    if run(os.path.abspath("small"), "job: infer\nmodel: {file: small.onnx}\ndataset: {source: small_in}\n"):
        with h5py.File("small.h5", "r") as f:
            status, message = f["/inputs/status"][:].tolist(), text(f["/failures/message"][0])
            v.check(status == [1, 2, 1, 2] and f["/failures/item"][0] == 1, "too small", status)
            v.check(message.startswith("001.png: node ") and "/" not in message, "message", message)
    p = subprocess.run([PROGRAM, "run", "small.yaml", "--fresh"], capture_output=True, text=True)
    v.check("2 of 4 items failed; the first: 001.png: node " in p.stderr and "; most often, 2 times: node " in p.stderr, p.stderr)
    p = subprocess.run([PROGRAM, "run", "small.yaml", "--fresh", "--set", "dataset.on_error=fail"], capture_output=True, text=True)
    v.check(p.returncode == 65 and p.stderr.startswith("deconvoy: 001.png: "), "on_error: fail", p.returncode, p.stderr)


def one_name():
    """Layers or outputs whose names differ by / and . alone are refused with both names; outputs that need what is not
    supported are left out unless they are asked for."""
    rng = np.random.default_rng(98)
    net = {"nodes": [("Relu", "x", "a/b", [], {}), ("Relu", "a/b", "a.b", [], {}), ("Flatten", "a.b", "y", [], {"axis": 1}),
                     ("Mystery", "y", "q", [], {})],
           "weights": {}, "input": ["N", 1, 2, 3], "output": "y", "classes": 6, "more_outputs": ["a/b", "a.b"]}
    write_model(net, "same.onnx")
    write_model({**net, "more_outputs": ["q"]}, "mystery.onnx")
    pictures(rng, "one_in", [(2, 3)], 1)
    base = "output: one.h5\ndataset: {source: one_in, preprocess: {channels: gray}}\n"
    both, operator = r""""a/b" and "a.b" would have the same name""", "operator Mystery (opset 13) is not supported"
    for job, model, more, code, says in (
            ("infer", "same", "", 78, both), ("max_activation", "same", "", 78, both),
            ("infer", "same", "infer: {outputs: [y, a.b]}\n", 0, ""),
            ("infer", "mystery", "", 65, operator), ("infer", "mystery", "infer: {outputs: [q]}\n", 65, operator),
            ("infer", "mystery", "infer: {outputs: [y]}\n", 0, "outputs are left out: node \"q\": " + operator),
            ("max_activation", "mystery", "max_activation: {layers: [a/b]}\n", 0, operator)):
        with open("one.yaml", "w", encoding="utf-8") as f:
            f.write(base + f"job: {job}\nmodel: {{file: {model}.onnx}}\n" + more)
        p = subprocess.run([PROGRAM, "run", "one.yaml", "--fresh"], capture_output=True, text=True, timeout=60)
        v.check(p.returncode == code and says in p.stderr, job, model, more, p.returncode, p.stderr)


def far_label():
    """A number that is no class of the network is said, and counts as no label."""
    with open("far.txt", "w", encoding="utf-8") as f:
        f.write("one_in/000.png\t9\n")
    with open("far.yaml", "w", encoding="utf-8") as f:
        f.write("job: infer\noutput: far.h5\nmodel: {file: same.onnx}\ninfer: {outputs: [y]}\n"
                "dataset: {source: far.txt, preprocess: {channels: gray}}\n")
    p = subprocess.run([PROGRAM, "run", "far.yaml", "--fresh"], capture_output=True, text=True, timeout=60)
    v.check(p.returncode == 0 and "1 of 1 labels are beyond the 6 classes of the network (the first: 9, of " in p.stderr, p.stderr)


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    os.chdir(WORK)
    for seed in map(int, sys.argv[4:] or range(6)):
        case(seed)
    too_small()
    one_name()
    far_label()
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
