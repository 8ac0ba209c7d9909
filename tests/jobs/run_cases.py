#!/usr/bin/env python3
"""Run jobs from end to end and judge what they leave behind; one case a call.

    run_cases.py CASE --deconvoy PROGRAM --source CHECKOUT --work FOLDER [--mpiexec mpirun] [--backends blas,onednn]

Exit 0 good, 1 bad, 77 where the shared data, Fashion-MNIST or h5py are missing.
"""
import argparse
import filecmp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zlib

try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py and NumPy are not there")
    sys.exit(77)

from verdict import Verdict, read_png, text

HERE = os.path.dirname(os.path.abspath(__file__))
FASHION = "/usr/share/datasets/fashion-mnist/"
RANKS = (1, 2, 3, 5)
MPI = ["-q", "--oversubscribe", "--bind-to", "none"]
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
QUICK_S = 10  # a fault is told in a second or two; a loaded machine may take longer


class Bench:
    """Where a case runs: paths, and how the program is called."""

    def __init__(self, o):
        self.o, self.v = o, Verdict()
        self.data = os.environ.get("DECONVOY_TEST_DATA") or os.path.join(o.source, "../shared/data")
        self.work = os.path.join(os.path.abspath(o.work), o.case)
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)

    def path(self, name):
        return os.path.join(self.work, name)

    def model(self, name):
        return os.path.join(self.data, "models", name)

    def photos(self, name):
        return os.path.join(self.data, "photos", name)

    def call(self, args, ranks=0, env=None):
        """Returns (exit code, stdout, stderr, seconds); ranks 0: without mpirun."""
        command = [self.o.deconvoy, *args]
        if ranks:
            command = [self.o.mpiexec, *MPI, "-n", str(ranks), *command]
        start = time.time()
        p = subprocess.run(command, capture_output=True, env={**os.environ, **MPI_ENV, **(env or {})}, cwd=self.work)
        return p.returncode, p.stdout.decode(), p.stderr.decode(), time.time() - start

    def run(self, config, output, sets=(), ranks=0, env=None, code=0, flags=()):
        """One `deconvoy run` that should end with code; returns the output's path."""
        config = config if os.path.isabs(config) else os.path.join(HERE, config)
        args = ["run", config, *flags, "--set", "output=" + self.path(output)]
        for s in sets:
            args += ["--set", s]
        got, out, err, s = self.call(args, ranks, env)
        print(f"{output}: {max(ranks, 1)} ranks, exit {got}, {s:.2f} s", flush=True)
        self.v.check(got == code, output, "exit", got, "want", code, err[-2000:])
        self.v.check(out == "", output, "stdout carries", out[:200])
        return self.path(output)

    def program(self, name, *args):
        """One of the checkers, on its own."""
        p = subprocess.run([sys.executable, os.path.join(HERE, name), *map(str, args)], capture_output=True, text=True)
        print("  " + p.stdout.strip().replace("\n", "\n  "), p.stderr[-2000:], flush=True)
        self.v.check(p.returncode == 0, name, *args)

    def same_bytes(self, a, b):
        self.v.check(os.path.exists(a) and os.path.exists(b) and filecmp.cmp(a, b, shallow=False), a, "and", b, "differ:",
                     different_sets(a, b))

    def same_sets(self, a, b, paths):
        with h5py.File(a, "r") as f, h5py.File(b, "r") as g:
            for p in paths:
                self.v.check(p in f and p in g and f[p][()].tobytes() == g[p][()].tobytes(), p, "of", a, "and", b, "differ")


def different_sets(a, b):
    if not (os.path.exists(a) and os.path.exists(b)):
        return "one is missing"
    found = []
    with h5py.File(a, "r") as f, h5py.File(b, "r") as g:
        found += [f"@{k}" for k in f.attrs if text(f.attrs[k]) != text(g.attrs.get(k, b""))]
        f.visititems(lambda n, d: found.append(n) if isinstance(d, h5py.Dataset)
                     and (n not in g or g[n].shape != d.shape or g[n][()].tobytes() != d[()].tobytes()) else None)
    return found[:8]


def as_it_stands(b, config):
    """The config without its preprocess line: float input is taken as it stands."""
    with open(os.path.join(HERE, config), encoding="utf-8") as f:
        lines = [line for line in f if "preprocess:" not in line]
    with open(b.path(config), "w", encoding="utf-8") as f:
        f.writelines(lines)
    return b.path(config)


def sources(b, model, source):
    return ["model.file=" + model, "dataset.source=" + source]


def top_sets(b, source=None):
    return sources(b, b.model("squeezenet1_1.onnx"), source or b.photos("caltech101"))


def infer_sets(b, model="squeezenet1_1.onnx", source=None):
    return sources(b, b.model(model), source or b.photos("exact227"))


def every_run_alike(b, config, sets, name, env=None, ranks=RANKS, more=()):
    """The same bytes for any number of ranks and for the settings in more; returns the first file."""
    first = b.run(config, f"{name}_{ranks[0]}.h5", sets, ranks[0], env)
    for n in ranks[1:]:
        again = b.run(config, f"{name}_{n}.h5", sets, n, env)
        b.same_bytes(first, again)
        os.path.exists(again) and os.remove(again)
    for i, extra in enumerate(more):
        again = b.run(config, f"{name}_more{i}.h5", list(sets) + list(extra), 1 + i % 2, env)
        b.same_bytes(first, again)
        os.path.exists(again) and os.remove(again)
    return first


# --- max_activation ---------------------------------------------------------------------

def case_top_strict(b):
    sets = top_sets(b)
    file = every_run_alike(b, "squeezenet_top.yaml", sets + ["max_activation.crop_limit=40"], "limit")
    b.program("check_structure.py", file, "--model", b.model("squeezenet1_1.onnx"), "--complete")
    file = b.run("squeezenet_top.yaml", "top.h5", sets, 2)
    b.program("check_max_activation.py", file)
    b.program("check_structure.py", file, "--model", b.model("squeezenet1_1.onnx"), "--complete")


def case_top_fast(b):
    sets = top_sets(b) + ["model.precision=fast", "max_activation.crop_limit=40"]
    more = (["runtime.threads=2"], ["runtime.threads=2", "runtime.memory=400MiB"], ["runtime.durability=disk"])
    file = every_run_alike(b, "squeezenet_top.yaml", sets, "top", more=more)
    b.program("check_max_activation.py", file, "--precision", "fast", "--no-patches")


def case_top_backends(b):
    for backend in b.o.backends.split(","):
        env = {"DECONVOY_BACKEND": backend}
        for precision in ("strict", "fast"):
            sets = top_sets(b) + ["max_activation.patches=false", "model.precision=" + precision]
            file = b.run("squeezenet_top.yaml", f"{backend}_{precision}.h5", sets, 2, env)
            b.program("check_max_activation.py", file, "--precision", precision, "--no-patches")
            with h5py.File(file, "r") as f:
                b.v.check(backend.lower() in re.sub("openblas", "blas", text(f.attrs["numerics"]).lower()), backend,
                          f.attrs["numerics"])


def case_top_threads(b):
    sets = top_sets(b) + ["max_activation.patches=false"]
    more = (["runtime.threads=2"], ["runtime.threads=3"], ["runtime.memory=300MiB"])
    every_run_alike(b, "squeezenet_top.yaml", sets, "top", ranks=(1,), more=more)


def case_top_variants(b):
    layers = ["fire5/expand3x3_2", "conv10_2", "flat"]
    quoted = "max_activation.layers=[" + ", ".join(layers) + "]"
    sets = top_sets(b)
    # Layers that are named have patches however large their boxes are.
    mean = b.run("squeezenet_top.yaml", "mean.h5", sets + [quoted, "max_activation.rank_by=mean", "max_activation.channels=8"], 2)
    with h5py.File(mean, "r") as f:
        b.v.check(f["/max_activation/flat/patch"].shape == (8, 9, 224, 224, 3), "patch", f["/max_activation/flat/patch"].shape)
    b.program("check_structure.py", mean)
    mean = b.run("squeezenet_top.yaml", "mean.h5", sets + [quoted, "max_activation.rank_by=mean", "max_activation.patches=false"],
                 2, flags=["--fresh"])
    b.program("check_max_activation.py", mean, "--variant", "mean")
    several = every_run_alike(b, "squeezenet_top.yaml", sets + ["max_activation.layers=[fire6/squeeze1x1_2]",
                                                                "max_activation.per_image=3"], "several", ranks=(1, 3))
    b.program("check_max_activation.py", several, "--variant", "several")
    b.program("check_structure.py", several)

    some = sets + ["max_activation.layers=[fire2/squeeze1x1_2]"]
    whole = b.run("squeezenet_top.yaml", "whole.h5", some)
    part = b.run("squeezenet_top.yaml", "part.h5", some + ["max_activation.channels=[5, 0, 11]", "max_activation.top=4",
                                                           "max_activation.statistics=false"])
    b.program("check_structure.py", part)
    group = "/max_activation/fire2.squeeze1x1_2/"
    with h5py.File(whole, "r") as f, h5py.File(part, "r") as g:
        for k in ("value", "image", "position", "box", "patch"):
            b.v.check(np.array_equal(f[group + k][:][[5, 0, 11], :4], g[group + k][:]), "channels", k)
        b.v.check("mean" not in g[group], "statistics: false keeps statistics")
    window = b.run("squeezenet_top.yaml", "window.h5", some + ["dataset.offset=100", "dataset.limit=5", "max_activation.top=6"])
    b.program("check_structure.py", window)
    with h5py.File(window, "r") as f, h5py.File(whole, "r") as w:
        b.v.check(f["/inputs/name"][:].tolist() == w["/inputs/name"][100:105].tolist(), "offset", f["/inputs/name"][:])
        image = f[group + "image"][:]
        b.v.check(sorted(image[0, :5].tolist()) == [0, 1, 2, 3, 4] and image[0, 5] == -1, "five pictures", image[0])
        b.v.check(np.isnan(f[group + "value"][:, 5]), "value of a place that there is not")
        b.v.check(not f[group + "patch"][:, 5].any(), "patch of a place that there is not")


def labelled_tree(b):
    """The photographs as CLASS/image_NNNN.jpg; returns the folder and each one's number in the flat folder."""
    flat = sorted(os.listdir(b.photos("caltech101")), key=os.fsencode)
    for name in flat:
        label, image = name.split("__")
        os.makedirs(b.path("tree/" + label), exist_ok=True)
        shutil.copy(os.path.join(b.photos("caltech101"), name), b.path(f"tree/{label}/{image}"))
    tree = sorted((n.replace("__", "/") for n in flat), key=os.fsencode)
    return b.path("tree"), [flat.index(n.replace("/", "__")) for n in tree]


def case_top_labels(b):
    some = ["max_activation.patches=false"]
    names = sorted(os.listdir(b.photos("caltech101")), key=os.fsencode)
    with open(b.path("list.txt"), "w", encoding="utf-8") as f:
        f.writelines(f"{os.path.join(b.photos('caltech101'), n)}\t{n.split('__')[0]}\n" for n in names)
    listed = b.run("squeezenet_top.yaml", "listed.h5", top_sets(b, b.path("list.txt")) + some, 2)
    b.program("check_max_activation.py", listed, "--labels", "--no-patches", "--other-names")
    b.program("check_structure.py", listed, "--complete")
    tree, order = labelled_tree(b)
    file = b.run("squeezenet_top.yaml", "tree.h5", top_sets(b, tree) + some + ["dataset.labels=folder"], 3)
    b.program("check_structure.py", file, "--complete")
    with h5py.File(file, "r") as f, h5py.File(listed, "r") as g:
        b.v.check([text(n) for n in f["/inputs/name"][:]] == [names[i].replace("__", "/") for i in order], "names in the tree")
        b.v.check(f["/labels/name"][:].tolist() == g["/labels/name"][:].tolist(), "/labels/name")
        b.v.check(np.array_equal(f["/inputs/label"][:], g["/inputs/label"][:][order]), "/inputs/label")
        for p in ("fire9.expand3x3_2", "flat"):
            p = f"/max_activation/{p}/"
            b.v.check(np.array_equal(f[p + "value"][:], g[p + "value"][:]), p, "value")
            b.v.check(np.array_equal(f[p + "class_count"][:], g[p + "class_count"][:]), p, "class_count")


def case_sized(b):
    """Height and width open: boxes, maps and patches by each picture's own size."""
    sets = ["dataset.source=" + b.photos("caltech101")]
    for precision in ("strict", "fast"):
        more = sets + ["model.precision=" + precision]
        top = every_run_alike(b, "sized_top.yaml", more, "top_" + precision, more=(["runtime.threads=2"],))
        infer = every_run_alike(b, "sized_infer.yaml", more, "infer_" + precision, more=(["runtime.threads=2"],))
        b.program("check_sized.py", top, infer, "--precision", precision)
    b.program("check_structure.py", top, "--complete")
    b.program("check_structure.py", infer, "--complete")


# --- infer ------------------------------------------------------------------------------

def case_infer_squeezenet(b):
    expected = os.path.join(b.data, "expected_forward.json")
    for model in ("squeezenet1_1", "squeezenet1_1_fp16"):
        for precision in ("strict", "fast"):
            sets = infer_sets(b, model + ".onnx") + ["model.precision=" + precision]
            file = every_run_alike(b, "squeezenet_infer.yaml", sets, f"{model}_{precision}", more=(["runtime.threads=2"],),
                                   ranks=RANKS if precision == "strict" else (1, 3))
            b.program("check_infer.py", file, "squeezenet", "--precision", precision,
                      *(["--expected", expected] if precision == "strict" else []))
            b.program("check_structure.py", file, "--model", b.model(model + ".onnx"), "--complete")


def case_infer_backends(b):
    for backend in b.o.backends.split(","):
        file = b.run("squeezenet_infer.yaml", backend + ".h5", infer_sets(b), 1, {"DECONVOY_BACKEND": backend})
        b.program("check_infer.py", file, "squeezenet", "--expected", os.path.join(b.data, "expected_forward.json"))


def digits(b):
    grid = read_png(b.photos("mnist_64digits_grid.png"))[:, :, 0]
    cells = np.stack([grid[2 + 30 * r:30 + 30 * r, 2 + 30 * c:30 + 30 * c] for r in range(8) for c in range(8)])
    for name, value in (("pictures", cells), ("hwc", cells[..., None]), ("floats", cells[:, None].astype("<f4")),
                        ("doubles", cells[:, None].astype("<f8"))):
        with h5py.File(b.path(name + ".h5"), "w") as f:
            f["/images"] = value


def case_infer_small(b):
    digits(b)
    expected = os.path.join(b.data, "expected_forward.json")
    files = []
    for name in ("pictures", "hwc", "floats", "doubles"):
        config = "mnist_infer.yaml" if name in ("pictures", "hwc") else as_it_stands(b, "mnist_infer.yaml")
        sets = infer_sets(b, "mnist_cntk.onnx", b.path(name + ".h5"))
        files.append(every_run_alike(b, config, sets, "mnist_" + name, ranks=(1, 2)))
        b.program("check_infer.py", files[-1], "mnist", "--expected", expected)
        b.same_sets(files[0], files[-1], ["/infer/top_class", "/infer/top_probability", "/infer/Plus214_Output_0"])
    b.program("check_structure.py", files[0], "--model", b.model("mnist_cntk.onnx"), "--complete")
    for precision in ("strict", "fast"):
        file = every_run_alike(b, "cifar10_infer.yaml", infer_sets(b, "cifar10_winml.onnx") + ["model.precision=" + precision],
                               "cifar10_" + precision, ranks=(1, 3))
        b.program("check_infer.py", file, "cifar10", "--precision", precision)
    b.program("check_structure.py", file, "--model", b.model("cifar10_winml.onnx"), "--complete")


def case_fashion(b):
    if not os.path.exists(FASHION):
        sys.exit(77)
    configs = os.path.join(b.o.source, "configs")
    with open(os.path.join(configs, "models/fashion_mnist.txt"), encoding="utf-8") as f:
        right, total = map(int, re.search(r"\((\d+) of (\d+)\)", f.read()).groups())
    for precision in ("strict", "fast"):
        sets = ["model.precision=" + precision, "runtime.durability=process"]
        file = every_run_alike(b, os.path.join(configs, "fashion_mnist_infer.yaml"), sets, precision, more=(["runtime.threads=2"],),
                               ranks=RANKS if precision == "fast" else (1, 2))
        b.program("check_infer.py", file, "accuracy", right, total)
        b.program("check_structure.py", file, "--model", os.path.join(configs, "models/fashion_mnist.onnx"), "--complete")
    top = every_run_alike(b, os.path.join(configs, "fashion_mnist_max_activation.yaml"), ["runtime.durability=process"], "top",
                          more=(["runtime.threads=2"], ["runtime.memory=64MiB"]))
    b.program("check_structure.py", top, "--model", os.path.join(configs, "models/fashion_mnist.onnx"), "--complete")
    check_fashion_top(b, top, file)


def check_fashion_top(b, top, inferred):
    """Two jobs over one data set agree: logits, labels, class counts."""
    with h5py.File(top, "r") as f, h5py.File(inferred, "r") as g:
        logits, layer, label = g["/infer/logits"][:], f["/max_activation/logits"], g["/inputs/label"][:]
        order = np.argsort(-logits, 0, kind="stable")[:9].T
        b.v.check(np.array_equal(layer["image"][:], order), "the strongest logits", layer["image"][0], order[0])
        b.v.check(np.array_equal(layer["value"][:], np.take_along_axis(logits.T, order, 1)), "their values")
        b.v.check(np.allclose(layer["mean"][:], logits.mean(0, dtype=np.float64), 1e-6), "their mean")
        for group in f["/max_activation"].values():
            want = np.stack([np.bincount(label[row], minlength=10) for row in group["image"][:]])
            b.v.check(np.array_equal(group["class_count"][:], want), group.name, "class_count")


# --- Sources ----------------------------------------------------------------------------

ANSWERS = ["/infer/prob", "/infer/top_class", "/infer/top_probability", "/inputs/width", "/inputs/height", "/inputs/status"]
PLACES = ("value", "image", "position", "box", "mean", "std", "nonzero", "histogram")


def tar_of(b, folder, name):
    """Members in another order than their names', which must not matter."""
    with tarfile.open(b.path(name), "w") as tar:
        for n in sorted(os.listdir(folder), reverse=True):
            tar.add(os.path.join(folder, n), arcname=n)
    return b.path(name)


def case_sources(b):
    folder = b.photos("exact227")
    names = sorted(os.listdir(folder), key=os.fsencode)
    tar_of(b, folder, "exact227.tar")
    with open(b.path("list.txt"), "w", encoding="utf-8") as f:
        f.writelines(os.path.join(folder, n) + "\n" for n in names)
    with h5py.File(b.path("array.h5"), "w") as f:
        f["/images"] = np.stack([read_png(os.path.join(folder, n))[:, :, :3] for n in names])
    want = b.run("squeezenet_infer.yaml", "folder.h5", infer_sets(b))
    for i, source in enumerate(("exact227.tar", "list.txt", "array.h5")):
        got = b.run("squeezenet_infer.yaml", source + ".result.h5", infer_sets(b, source=b.path(source)), 1 + i)
        b.same_sets(want, got, ANSWERS)
        b.program("check_structure.py", got, "--complete")
    one = b.run("squeezenet_infer.yaml", "one.h5", infer_sets(b, source=os.path.join(folder, names[2])))
    with h5py.File(want, "r") as f, h5py.File(one, "r") as g:
        b.v.check(np.array_equal(f["/infer/prob"][2:3], g["/infer/prob"][:]), "one picture")
    want = b.run("squeezenet_top.yaml", "top.h5", top_sets(b) + ["max_activation.crop_limit=16"], 2)
    got = b.run("squeezenet_top.yaml", "tar.h5", top_sets(b, tar_of(b, b.photos("caltech101"), "caltech101.tar"))
                + ["max_activation.crop_limit=16"], 3)
    with h5py.File(want, "r") as f:
        groups = list(f["/max_activation"])
    b.same_sets(want, got, [f"/max_activation/{g}/{k}" for g in groups for k in PLACES] +
                ["/max_activation/conv1_2/patch", "/inputs/name"])


def case_pack(b):
    """Packed data give what the folder gives."""
    folder = b.photos("exact227")
    names = sorted(os.listdir(folder), key=os.fsencode)
    pack(b, folder, "pictures.h5")
    with h5py.File(b.path("pictures.h5"), "r") as f:
        b.v.check(f["/images"].dtype == np.uint8 and f["/images"].shape == (8, 227, 227, 3), "/images", f["/images"])
        b.v.check([text(n) for n in f["/names"][:]] == names, "/names", f["/names"][:])
        for i, n in enumerate(names):
            b.v.check(np.array_equal(f["/images"][i], read_png(os.path.join(folder, n))[:, :, :3]), "packed", n)
    want = b.run("squeezenet_infer.yaml", "folder.h5", infer_sets(b))
    got = b.run("squeezenet_infer.yaml", "packed.h5", infer_sets(b, source=b.path("pictures.h5")), 2)
    b.same_sets(want, got, ANSWERS)

    pack(b, b.photos("caltech101"), "input.h5", "preset=caffe", "resize=256", "crop=224")
    check_packed(b, b.path("input.h5"), np.load(os.path.join(HERE, "../golden/jobs/max_activation.npz")))
    some = ["max_activation.patches=false"]
    want = b.run("squeezenet_top.yaml", "photos.h5", top_sets(b) + some, 2)
    got = b.run(as_it_stands(b, "squeezenet_top.yaml"), "top.h5", top_sets(b, b.path("input.h5")) + some, 2)
    with h5py.File(want, "r") as f:
        groups = list(f["/max_activation"])
    b.same_sets(want, got, [f"/max_activation/{g}/{k}" for g in groups for k in PLACES])


def pack(b, source, name, *preprocess):
    args = ["pack", source, "-o", b.path(name)] + [x for p in preprocess for x in ("--preprocess", p)]
    code, out, err, s = b.call(args)
    print(f"pack {s:.2f} s")
    b.v.check(code == 0, "pack", code, out, err)


def check_packed(b, file, golden):
    with h5py.File(file, "r") as f:
        b.v.check(f["/images"].dtype.str == "<f4" and f["/images"].shape == (117, 3, 224, 224), "/images", f["/images"])
        b.v.check([text(n) for n in f["/names"][:]] == list(golden["names"]), "/names")
        wrong = [n for n, x, crc in zip(golden["names"], f["/images"], golden["input_crc"]) if zlib.crc32(x.tobytes()) != crc]
        b.v.check(not wrong, len(wrong), "network inputs are not Pillow's", wrong[:5])


# --- Bad pictures -----------------------------------------------------------------------

def bad_folder(b):
    """Six good photographs among four bad ones; returns {name: what is wrong with it}."""
    names = sorted(os.listdir(b.photos("caltech101")), key=os.fsencode)[:6]
    os.makedirs(b.path("mixed"))
    for n in names:
        shutil.copy(os.path.join(b.photos("caltech101"), n), b.path("mixed/" + n))
    with open(os.path.join(b.photos("caltech101"), names[0]), "rb") as f:
        data = f.read()
    bad = {"a_cut.jpg": data[:len(data) // 2], "b_empty.jpg": b"", "m_text.jpg": b"this is no picture\n", "z_cut.jpg": data[:100]}
    for n, content in bad.items():
        with open(b.path("mixed/" + n), "wb") as f:
            f.write(content)
    return bad


def case_bad_pictures(b):
    bad = bad_folder(b)
    all_names = sorted(os.listdir(b.path("mixed")), key=os.fsencode)
    preprocess = ["dataset.preprocess={preset: caffe, resize: 256, crop: 224}"]
    sets = infer_sets(b, source=b.path("mixed")) + preprocess
    got = every_run_alike(b, "squeezenet_infer.yaml", sets, "mixed", more=(["runtime.threads=2"],))
    b.program("check_structure.py", got)
    good = b.run("squeezenet_infer.yaml", "good.h5", infer_sets(b, source=b.photos("caltech101")) + preprocess + ["dataset.limit=6"])
    with h5py.File(got, "r") as f, h5py.File(good, "r") as g:
        kept = [i for i, n in enumerate(all_names) if n not in bad]
        b.v.check([text(n) for n in f["/inputs/name"][:]] == all_names, "/inputs/name", f["/inputs/name"][:])
        b.v.check(np.array_equal(f["/infer/prob"][:][kept], g["/infer/prob"][:]), "the good ones are not as without the bad")
        messages = [text(m) for m in f["/failures/message"][:4]]
        print(messages)
        b.v.check([all_names[i] for i in f["/failures/item"][:4]] == sorted(bad), "/failures/item", f["/failures/item"][:])
        b.v.check(all(n in m for n, m in zip(sorted(bad), messages)), "a message does not name its picture", messages)
    top = every_run_alike(b, "squeezenet_top.yaml", top_sets(b, b.path("mixed")) + ["max_activation.layers=[conv1_2, flat]",
                                                                                   "max_activation.top=7"], "top", ranks=(1, 3))
    b.program("check_structure.py", top)
    for ranks in (0, 3):
        refused(b, "on_error: fail", ["run", os.path.join(HERE, "squeezenet_infer.yaml"), *as_sets(sets), "--set",
                                      "dataset.on_error=fail", "--set", "output=" + b.path(f"fail{ranks}.h5")], 65, "a_cut.jpg", ranks)
    for n in all_names:
        if n not in bad:
            os.remove(b.path("mixed/" + n))
    for ranks in (0, 3):
        refused(b, "all bad", ["run", os.path.join(HERE, "squeezenet_infer.yaml"), *as_sets(sets), "--set",
                               "output=" + b.path("none.h5")], 65, "", ranks)
    left = [n for n in os.listdir(b.work) if n in ("none.h5", "fail0.h5", "fail3.h5")]
    b.v.check(not left, "a result of nothing was left", left)


def as_sets(sets):
    return [x for s in sets for x in ("--set", s)]


# --- Bad input --------------------------------------------------------------------------

def refused(b, what, args, code, message, ranks=0):
    """The call ends with code, one line on stderr that matches message, nothing on stdout, soon."""
    got, out, err, s = b.call(args, ranks)
    lines = [line for line in err.splitlines() if not line.startswith("deconvoy: warning: ")]
    print(f"{what}: {max(ranks, 1)} ranks, exit {got}, {s:.2f} s: {err.strip()}", flush=True)
    b.v.check(got in np.atleast_1d(code), what, ranks, "exit", got, "want", code, err)
    b.v.check(len(lines) == 1 and lines[0].startswith("deconvoy: "), what, ranks, "wants one line:", err)
    b.v.check(re.search(message, err), what, "message", err, "want", message)
    b.v.check(out == "", what, "stdout carries", out)
    b.v.check(s < QUICK_S, what, "took", s)


YAML = """job: infer
output: OUT
model:
  file: MODEL
dataset:
  source: SOURCE
  preprocess: {preset: caffe, crop: 224, crop_at: [0, 0]}
infer:
  top: 5
"""

# what, the text to replace, by what, exit code, message
BAD_YAML = [
    ("unknown section", "infer:\n", "inferr:\n", 78, r":8:1: .*infer"),
    ("unknown key", "  top:", "  tpo:", 78, r":9:3: .*tpo.*top"),
    ("wrong type", "top: 5", "top: five", 78, r":9:8: .*five"),
    ("out of range", "top: 5", "top: 0", 78, r":9:8: .*0"),
    ("not a word", "preset: caffe", "preset: cafe", 78, r":7:24: .*cafe.*caffe"),
    ("unknown job", "job: infer\n", "job: inferr\n", 78, r":1:6: .*inferr.*infer"),
    ("no job", "job: infer\n", "", 78, r"job"),
    ("no output", "output: OUT\n", "", 78, r"output"),
    ("no model file", "  file: MODEL\n", "  precision: fast\n", 78, r":3:1: .*file"),
    ("no source", "  source: SOURCE\n", "", 78, r":5:1: .*source"),
    ("given twice", "  top: 5\n", "  top: 5\n  top: 6\n", 78, r":10:3: .*top"),
    ("anchor", "top: 5", "top: &a 5", 78, r":9:8: .*anchor"),
    ("alias", "top: 5", "top: *a", 78, r":9:8: .*alias"),
    ("tag", "top: 5", "top: !!int 5", 78, r":9:8: .*tag"),
    ("two documents", "infer:\n", "---\ninfer:\n", 78, r":8:1: "),
    ("a tab", "  top: 5", "\ttop: 5", 78, r":9:1: "),
    ("not closed", "[0, 0]}", "[0, 0}", 78, r":7:"),
    ("a list for a section", "infer:\n  top: 5\n", "infer: [5]\n", 78, r":8:8: "),
    ("not UTF-8", "top: 5", "top: \udcff", 78, r"UTF-8"),
    ("model not there", "MODEL", "nowhere.onnx", 66, r"nowhere\.onnx"),
    ("source not there", "SOURCE", "nowhere", 66, r"nowhere"),
    ("output name", "infer:\n", "infer:\n  outputs: [porb]\n", 78, r":9:13: .*porb.*prob"),
    ("labels not there", "  file: MODEL\n", "  file: MODEL\n  labels: nowhere.txt\n", 66, r"nowhere\.txt"),
    ("mean of two channels", "preset: caffe,", "preset: caffe, mean: [1, 2],", 78, r":7:\d+: "),
]
BAD_TOP = [
    ("layer's name", "top: 5", "layers: [fire9/expand3x3_3]", 78, r":9:12: .*fire9/expand3x3_3.*fire9/expand3x3_\d"),
    ("channel too large", "top: 5", "layers: [conv1_2]\n  channels: [0, 64]", 78, r":10:17: .*64"),
]


def write_yaml(b, name, text_of):
    with open(b.path(name), "w", encoding="utf-8", errors="surrogateescape", newline="") as f:
        f.write(text_of.replace("OUT", b.path("never.h5")).replace("MODEL", b.model("squeezenet1_1.onnx"))
                .replace("SOURCE", b.photos("exact227")))
    return b.path(name)


def case_bad_config(b):
    tables = [(YAML, BAD_YAML), (YAML.replace("infer", "max_activation"), BAD_TOP)]
    for base, table in tables:
        for i, (what, old, new, code, message) in enumerate(table):
            if not b.v.check(old in base, what, "is not in the base"):
                continue
            file = write_yaml(b, "bad.yaml", base.replace(old, new, 1))
            refused(b, what, ["run", file], code, message)
            refused(b, what + ", check", ["check", file], code, message)
            if i % 5 == 0:
                refused(b, what, ["run", file], code, message, 3)
    good = write_yaml(b, "good.yaml", YAML)
    for what, args, code, message in [
        ("no file", ["run", b.path("nosuch.yaml")], 66, r"nosuch\.yaml"),
        ("no config", ["run"], 64, r"CONFIG"),
        ("unknown call", ["rum", good], 64, r"rum.*run"),
        ("unknown option", ["run", good, "--frsh"], 64, r"--frsh.*--fresh"),
        ("--set without =", ["run", good, "--set", "infer.top"], 64, r"infer\.top"),
        ("--set of an unknown key", ["run", good, "--set", "infer.tpo=3"], 78, r"--set infer\.tpo=3.*top"),
        ("--set out of range", ["run", good, "--set", "infer.top=-3"], 78, r"--set infer\.top=-3"),
        ("--set of a layer", ["run", good, "--set", "infer.outputs=[porb]"], 78, r"--set infer\.outputs=\[porb\].*prob"),
        ("deadline that is no number", ["run", good, "--deadline", "soon"], 64, r"soon"),
        ("a folder as config", ["run", b.work], (66, 78), r""),
    ]:
        refused(b, what, args, code, message)
        refused(b, what, args, code, message, 3)
    with open(b.path("large.yaml"), "w", encoding="utf-8") as f:
        f.write(YAML + "#" * (1 << 20))
    refused(b, "more than 1 MiB", ["run", b.path("large.yaml")], 78, r"large\.yaml")
    with open(b.path("deep.yaml"), "w", encoding="utf-8") as f:
        f.write(YAML + "x: " + "[" * 100 + "]" * 100)
    refused(b, "deep", ["run", b.path("deep.yaml")], 78, r"deep\.yaml:10:")
    b.v.check(not [n for n in os.listdir(b.work) if "never" in n], "something of a refused run was left", os.listdir(b.work))


def case_bad_files(b):
    with open(b.model("squeezenet1_1.onnx"), "rb") as f:
        onnx = f.read()
    files = {"cut.onnx": onnx[:len(onnx) // 2], "head.onnx": onnx[:1000], "empty.onnx": b"", "text.onnx": b"no model\n" * 50,
             "zeros.onnx": bytes(4096), "flipped.onnx": onnx[:300] + bytes(x ^ 0xFF for x in onnx[300:600]) + onnx[600:],
             "broken.h5": b"\x89HDF\r\n\x1a\n" + bytes(1000), "broken.tar": onnx[:5000], "zip.idx3-ubyte.gz": b"\x1f\x8b" + bytes(64),
             "list.txt": b"nowhere.png\nneither.png\n", "empty.txt": b""}
    for name, content in files.items():
        with open(b.path(name), "wb") as f:
            f.write(content)
    os.makedirs(b.path("nothing"))
    os.makedirs(b.path("folder.h5"))
    with h5py.File(b.path("shape.h5"), "w") as f:
        f["/images"] = np.zeros((2, 3, 10, 10), "f4")
    with h5py.File(b.path("five.h5"), "w") as f:
        f["/images"] = np.zeros((3, 28, 28, 5), "u1")
    with h5py.File(b.path("linked.h5"), "w") as f:
        f["/images"] = h5py.ExternalLink("shape.h5", "/images")
    config = os.path.join(HERE, "squeezenet_infer.yaml")
    base = lambda model, source: ["run", config, *as_sets(sources(b, model, source)), "--set", "output=" + b.path("never.h5")]
    good_model, good_source = b.model("squeezenet1_1.onnx"), b.photos("exact227")
    table = [(n, base(b.path(n), good_source), 65, re.escape(n)) for n in files if n.endswith(".onnx")]
    table += [(n, base(good_model, b.path(n)), 65, re.escape(n)) for n in ("broken.h5", "broken.tar", "zip.idx3-ubyte.gz", "linked.h5")]
    table += [
        ("a list of missing pictures", base(good_model, b.path("list.txt"))[:-1] + ["output=" + b.path("none.h5")], 65, r"every"),
        ("an empty list", base(good_model, b.path("empty.txt")), 65, r"empty\.txt"),
        ("an empty folder", base(good_model, b.path("nothing")), 65, r"nothing"),
        ("data of another shape", base(good_model, b.path("shape.h5")), 65, r"shape\.h5"),
        ("the same as it stands", ["run", as_it_stands(b, "squeezenet_infer.yaml")] + base(good_model, b.path("shape.h5"))[2:], 65,
         r"shape\.h5"),
        ("a path that is not in the file", base(good_model, b.path("shape.h5")) + ["--set", "dataset.path=/imges"], 78, r"imges.*images"),
        ("output is the data set", base(good_model, b.path("shape.h5"))[:-1] + ["output=" + b.path("shape.h5"), "--fresh"], 78,
         r"shape\.h5 is what dataset\.source names"),
        ("pictures of five channels", base(good_model, b.path("five.h5")), 65, r"five\.h5: /images: u1 3x28x28x5"),
        ("output is a folder", base(good_model, good_source)[:-1] + ["output=" + b.path("folder.h5")], 74, r"folder\.h5"),
        ("output below a file", base(good_model, good_source)[:-1] + ["output=" + b.path("list.txt/out.h5")], 74, r"list\.txt"),
        ("output where nobody may write", base(good_model, good_source)[:-1] + ["output=/proc/out.h5"], 74, r"/proc"),
        ("too few labels", base(good_model, good_source) + ["--set", "dataset.labels=" + b.path("list.txt")], 65, r"list\.txt"),
        ("memory too small", base(good_model, good_source) + ["--set", "runtime.memory=1MiB"], 78, r"memory"),
        ("more than there is", base(good_model, good_source) + ["--set", "dataset.offset=9"], 78, r"offset"),
    ]
    for i, (what, args, code, message) in enumerate(table):
        refused(b, what, args, code, message)
        if i % 4 == 0:
            refused(b, what, args, code, message, 3)
    b.v.check(not [n for n in os.listdir(b.work) if "never" in n], "something of a refused run was left", os.listdir(b.work))


# --- Runs and their files ---------------------------------------------------------------

def case_again(b):
    """A finished result is kept, another plan is refused, --fresh replaces."""
    sets = infer_sets(b)
    file = b.run("squeezenet_infer.yaml", "new/folder/out.h5", sets, 2)
    stamp = os.stat(file)
    b.run("squeezenet_infer.yaml", "new/folder/out.h5", sets + ["runtime.threads=2"], 1)
    now = os.stat(file)
    b.v.check((stamp.st_mtime_ns, stamp.st_ino) == (now.st_mtime_ns, now.st_ino), "a finished result was touched")
    other = ["run", os.path.join(HERE, "squeezenet_infer.yaml"), *as_sets(sets), "--set", "output=" + file, "--set", "infer.top=3"]
    refused(b, "another plan", other, 78, r"out\.h5.*top|top.*out\.h5")
    refused(b, "another plan", other, 78, r"out\.h5.*top|top.*out\.h5", 3)
    now = os.stat(file)
    b.v.check((stamp.st_mtime_ns, stamp.st_ino) == (now.st_mtime_ns, now.st_ino), "a refused run touched the result")
    b.run("squeezenet_infer.yaml", "new/folder/out.h5", sets + ["infer.top=3"], 2, flags=["--fresh"])
    with h5py.File(file, "r") as f:
        b.v.check(f["/infer/top_class"].shape == (8, 3), "--fresh did not replace", f["/infer/top_class"].shape)
    left = sorted(os.listdir(os.path.dirname(file)))
    b.v.check(left == ["out.h5", "out.run.json"], "beside the result", left)
    code, out, err, _ = b.call(["verify", file])
    b.v.check(code == 0, "verify", code, out, err)
    damage(b, file)


def damage(b, file):
    """verify finds one flipped bit, and names the data set."""
    with h5py.File(file, "r") as f:
        offset = f["/infer/prob"].id.get_offset()
    with open(file, "r+b") as f:
        f.seek(offset + 1000)
        byte = f.read(1)[0]
        f.seek(offset + 1000)
        f.write(bytes([byte ^ 1]))
    refused(b, "verify", ["verify", file], 65, r"/infer/prob")
    refused(b, "verify what is not there", ["verify", file + "x"], 66, r"out\.h5x")


def ranks_of(parent):
    """Processes of the program below a process that we started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if int(rest.split()[1]) == parent and name == "deconvoy":
            found.append(int(pid))
    return found


def killed_run(b, args, ranks, after_s):
    """Start, wait, kill one rank (or the only process) without warning; the exit code, 0 if it was faster."""
    command = [b.o.deconvoy, *args]
    if ranks:
        command = [b.o.mpiexec, *MPI, "-n", str(ranks), *command]
    p = subprocess.Popen(command, env={**os.environ, **MPI_ENV}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=b.work)
    time.sleep(after_s)
    victims = ranks_of(p.pid) if ranks else [p.pid]
    if p.poll() is None and victims:
        os.kill(victims[int(after_s * 1000) % len(victims)], signal.SIGKILL)
    try:
        return p.wait(60)
    except subprocess.TimeoutExpired:
        p.kill()
        b.v.check(False, "a run hangs after a rank was killed", args)
        return p.wait()


def case_kill(b):
    """Killed again and again, with another number of ranks each time: the same bytes in the end."""
    rng = np.random.default_rng(7)
    names = sorted(os.listdir(b.photos("caltech101")), key=os.fsencode)
    with open(b.path("list.txt"), "w", encoding="utf-8") as f:
        f.writelines(os.path.join(b.photos("caltech101"), n) + "\n" for n in names * 4)
    for config, name, more in (
            ("squeezenet_top.yaml", "top.h5", ["runtime.unit_seconds=0.1", "max_activation.crop_limit=40"]),
            ("squeezenet_infer.yaml", "infer.h5", ["runtime.unit_seconds=0.05", "dataset.preprocess={resize: 256, crop_at: centre}"])):
        sets = top_sets(b, b.path("list.txt")) + more
        start = time.time()
        want = b.run(config, "whole_" + name, sets, 2)
        longest = time.time() - start
        args = ["run", os.path.join(HERE, config), *as_sets(sets), "--set", "output=" + b.path(name)]
        codes = []
        while len(codes) < 8 and 0 not in codes:
            codes.append(killed_run(b, args, int(rng.integers(0, 4)), float(rng.uniform(0.3, 0.5 * longest))))
        print(name, "killed, exit codes", codes)
        with open(b.path(name[:-3] + ".run.json"), "w", encoding="utf-8") as f:
            f.write("{}")
        b.run(config, name, sets, 3)
        b.same_bytes(want, b.path(name))
        if 0 not in codes:
            b.program("check_structure.py", b.path(name), "--complete")
            with open(b.path(name[:-3] + ".run.json"), encoding="utf-8") as f:
                b.v.check(json.load(f)["resumed_units"] > 0, "nothing was kept of eight runs")
        left = [n for n in os.listdir(b.work) if n.startswith(name) and n != name]
        b.v.check(not left, "left beside the result", left)


CASES = {n[5:]: f for n, f in globals().items() if n.startswith("case_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=sorted(CASES))
    for name in ("deconvoy", "source", "work"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--backends", default="blas")
    parser.add_argument("--keep", action="store_true", help="leave the work folder")
    b = Bench(parser.parse_args())
    if not os.path.exists(os.path.join(b.data, "README.md")) and b.o.case != "fashion":
        print("the shared test data are not there")
        return 77
    CASES[b.o.case](b)
    verdict = b.v.end()
    if not verdict and not b.o.keep:
        shutil.rmtree(b.work)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
