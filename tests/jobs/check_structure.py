#!/usr/bin/env python3
"""Check that a result file is built as the contract says, whatever its numbers are.

    check_structure.py RESULT.h5 [--model FILE.onnx] [--complete]

Names, shapes, types, attributes, dimension scales, layout, checksums, run.json; nothing in it that differs from
run to run.  --complete: no item failed.  Exit 1 on any difference.
"""
import argparse
import hashlib
import json
import os
import re
import socket
import sys

import h5py
import numpy as np

from verdict import Verdict, crc32c, text

ROOT = {"format", "format_version", "job", "config_yaml", "config_sha256", "model_sha256", "dataset_sha256", "numerics",
        "code_version"}
OWN = {"NX_class", "default", "plan_sha256"}  # for viewers, and for the program itself
RUN_JSON = {"ranks", "threads", "items", "units", "resumed_units", "failed_items", "wall_s", "compute_s", "read_s", "write_s",
            "wait_s", "items_per_s", "gflops", "peak_rss_bytes", "hosts", "started", "finished"}
# One letter an axis: equal letters are equal extents; N = items, digits are themselves.
LAYER = {"value": ("<f4", "CK"), "image": ("<i8", "CK"), "position": ("<i4", "CK2"), "box": ("<i4", "CK4")}
STATISTICS = {"mean": ("<f4", "C"), "std": ("<f4", "C"), "nonzero": ("<f4", "C"), "histogram": ("<i8", ("C", 64)),
              "class_count": ("<i8", "CL")}
OPTIONAL = {"patch": ("|u1", "CKhwc"), "reconstruction": ("<f4", "CKchw")}


def is_scale(d):
    return text(d.attrs.get("CLASS", "")) == "DIMENSION_SCALE"


def match(v, d, kind, axes, extent):
    v.check(d.dtype == np.dtype(kind) and d.dtype.str == kind, d.name, d.dtype.str, "want", kind)
    if not v.check(len(d.shape) == len(axes), d.name, d.shape, "want axes", axes):
        return
    for n, letter in zip(d.shape, axes):
        want = letter if isinstance(letter, int) else int(letter) if letter.isdigit() else extent.setdefault(letter, n)
        v.check(n == want, d.name, d.shape, "want", axes, extent)


def fixed_utf8(v, d, rank, length=None):
    kind = h5py.check_string_dtype(d.dtype)
    v.check(kind is not None and kind.encoding == "utf-8" and kind.length is not None, d.name, "is not fixed UTF-8", d.dtype)
    v.check(d.ndim == rank and (length is None or kind.length == length), d.name, d.shape, d.dtype)


def check_root(v, f, o):
    have = set(f.attrs)
    v.check(ROOT <= have and have <= ROOT | OWN, "root attributes", sorted(ROOT - have), sorted(have - ROOT - OWN))
    a = {k: text(f.attrs[k]) for k in have}
    v.check(a["format"] == "deconvoy" and f.attrs["format_version"] == 1, "format", a["format"], f.attrs["format_version"])
    v.check(a["config_sha256"] == hashlib.sha256(a["config_yaml"].encode()).hexdigest(), "config_sha256")
    for k in ("model_sha256", "dataset_sha256"):
        v.check(re.fullmatch("[0-9a-f]{64}", a[k]), k, a[k])
    if o.model:
        with open(o.model, "rb") as m:
            v.check(a["model_sha256"] == hashlib.sha256(m.read()).hexdigest(), "model_sha256 is not the file's")
    lines = a["config_yaml"].splitlines()
    v.check(f"job: {a['job']}" in lines, "config_yaml has no job")
    for key in ("runtime:", "slurm:", "output:"):
        v.check(not any(line.startswith(key) for line in lines), "config_yaml has", key)
    v.check(not any(re.match(r"\s+slice:", line) for line in lines), "config_yaml has slice")
    v.check(any(line.startswith(a["job"] + ":") for line in lines), "config_yaml has no section", a["job"])
    v.check(a["numerics"].strip() and a["code_version"].strip(), "numerics, code_version", a["numerics"], a["code_version"])


def check_inputs(v, f):
    g = f["/inputs"]
    n = len(g["name"])
    fixed_utf8(v, g["name"], 1)
    for k in ("label", "width", "height"):
        match(v, g[k], "<i4", "N", {"N": n})
    match(v, g["status"], "|u1", "N", {"N": n})
    if "extent" in g:
        match(v, g["extent"], "<i4", "N2", {"N": n})
    status = g["status"][:]
    v.check((status == 1) | (status == 2), "/inputs/status", np.unique(status))
    f_count = f["/failures/count"]
    v.check(f_count.shape == () and f_count.dtype.str == "<i8", "/failures/count", f_count.shape, f_count.dtype)
    rows = min(n, 10000)
    match(v, f["/failures/item"], "<i8", "F", {"F": rows})
    v.check(f["/failures/message"].shape == (rows,), "/failures/message", f["/failures/message"].shape)
    fixed_utf8(v, f["/failures/message"], 1, 200)
    count, item = int(f_count[()]), f["/failures/item"][:]
    message = [text(m) for m in f["/failures/message"][:]]
    bad = np.flatnonzero(status == 2)
    v.check(count == len(bad), "/failures/count", count, "of status 2:", len(bad))
    used = min(count, rows)
    v.check(item[:used] == bad[:used], "/failures/item", item[:used], bad[:used])
    v.check(item[used:] == -1, "unused rows of /failures/item")
    v.check(all(message[:used]) and not any(message[used:]), "/failures/message", message[:used])
    v.check(not any(re.search(r"(^|\s|\")/[A-Za-z]", m) for m in message[:used]), "absolute path in a message", message[:used])
    return n, bad


def check_nxdata(v, g):
    v.check(text(g.attrs.get("NX_class", "")) == "NXdata", g.name, "is no NXdata")
    signal = text(g.attrs.get("signal", ""))
    if not v.check(signal in g, g.name, "signal", signal):
        return
    axes = [text(a) for a in np.atleast_1d(g.attrs["axes"])]
    v.check(len(axes) == g[signal].ndim, g.name, "axes", axes)
    for axis, name in enumerate(axes):
        if name != ".":
            v.check(name in g and g[name].shape == (g[signal].shape[axis],), g.name, "axis", name)


def check_axes(v, d):
    for i, axis in enumerate(d.dims):
        for scale in axis.values():
            v.check(is_scale(scale) and scale.shape == (d.shape[i],), d.name, "scale of axis", i, scale.name)
    if d.ndim:
        v.check(len(d.dims[0]) or d.dims[0].label, d.name, "first axis has neither scale nor label")


def check_image(v, d):
    v.check(text(d.attrs.get("CLASS", "")) == "IMAGE", d.name, "has no CLASS=IMAGE")
    kind = {3: "IMAGE_TRUECOLOR", 1: "IMAGE_GRAYSCALE"}.get(d.shape[-1])
    v.check(text(d.attrs.get("IMAGE_SUBCLASS", "")) == kind and "IMAGE_VERSION" in d.attrs, d.name, dict(d.attrs))


def check_layer(v, g, extent):
    extent = dict(extent)
    v.check("layer" in g.attrs and g.name.split("/")[-1] == text(g.attrs["layer"]).replace("/", "."), g.name, dict(g.attrs))
    known = dict(LAYER)
    known.update({k: s for k, s in OPTIONAL.items() if k in g})
    if any(k in g for k in STATISTICS):
        known.update(STATISTICS)
    for k, (kind, axes) in known.items():
        if v.check(k in g, g.name, "has no", k):
            match(v, g[k], kind, axes, extent)
    for k in set(g) - set(known):
        v.check(is_scale(g[k]), g.name, "holds", k, "which is not in the contract and no dimension scale")
    if "patch" in g:
        check_image(v, g["patch"])
        v.check(extent["c"] in (1, 3), g.name, "patch", g["patch"].shape)
    check_nxdata(v, g)
    empty = g["image"][:] < 0
    v.check(np.isnan(g["value"][:]) == empty, g.name, "NaN where no image, and only there")
    for k in ("position", "box"):
        v.check(g[k][:][empty] == -1, g.name, k, "of unused rows is not -1")
    v.check(g["box"][:][~empty] >= 0, g.name, "box")
    return extent


def check_max_activation(v, f, n, bad):
    groups = list(f["/max_activation"].values())
    v.check(groups, "no layers")
    ranks = set()
    for g in groups:
        extent = check_layer(v, g, {"L": len(f["/labels/name"])} if "labels" in f else {})
        ranks.add(extent.get("K"))
        image = g["image"][:]
        v.check(image < n, g.name, "image beyond the data set")
        v.check(not np.isin(image, bad).any(), g.name, "a failed item among the strongest")
    v.check(len(ranks) == 1, "different numbers of places", ranks)


def check_cam(v, f, n, bad):
    extent = {"N": n}
    match(v, f["/cam/target"], "<i4", "NT", extent)
    v.check(f["/cam/target"][:][bad] == -1, "target of failed items")
    for g in (g for g in f["/cam"].values() if isinstance(g, h5py.Group)):
        own, guided = dict(extent), g.name.endswith("guided_grad_cam")
        match(v, g["map"], "<f4", "NTcHW" if guided else "NThw", own)
        v.check(np.isnan(g["map"][:][bad]), g.name, "map of failed items is not NaN")
        check_nxdata(v, g)
        for k, (kind, axes) in {"heatmap": ("<f4", "NTHW"), "box": ("<i4", "NTK4")}.items():
            if k in g:
                match(v, g[k], kind, axes, own)
        if "metrics" in g:
            for k in ("iou_mean", "corloc", "top1_loc", "top5_loc"):
                match(v, g["metrics"][k], "<f8", "TK", own)
            for k, (kind, axes) in {"iou": ("<f4", "NTK"), "max_box_acc": ("<f8", "T3"), "pointing": ("<f8", "T"),
                                    "counted": ("<i8", "T")}.items():
                match(v, g["metrics"][k], kind, axes, own)
            v.check(len(g["metrics"]) == 8, g.name, "metrics", list(g["metrics"]))
        for k in set(g) - {"map", "heatmap", "box", "metrics"}:
            v.check(is_scale(g[k]), g.name, "holds", k)


def check_infer(v, f, n, bad):
    g = f["/infer"]
    for k, d in g.items():
        if k == "top_class":
            match(v, d, "<i4", "Nk", {"N": n})
            v.check(d[:][bad] == -1, "top_class of failed items")
        elif k == "class_map":
            match(v, d, "<i2", "Nhw", {"N": n})
            v.check(d[:][bad] == -1, "class_map of failed items")
        elif k.endswith("_extent"):
            v.check(d.dtype.str == "<i4" and d.shape == (n, g[k[:-7]].ndim - 1), d.name, d.shape)
        elif not is_scale(d):
            v.check(d.dtype.str == "<f4" and d.shape[0] == n, d.name, d.dtype, d.shape)
            v.check(np.isnan(d[:][bad]), d.name, "of failed items is not NaN")
            good = np.delete(np.arange(n), bad)
            if "extent" not in f["/inputs"]:
                v.check(~np.isnan(d[:][good]), d.name, "NaN in items that did not fail")
    if "top_class" in g:
        v.check(g["top_probability"].shape == g["top_class"].shape, "top_probability", g["top_probability"].shape)
        check_nxdata(v, g)


def check_storage(v, f, d):
    plist = d.id.get_create_plist()
    v.check(plist.get_layout() == h5py.h5d.CONTIGUOUS, d.name, "is not contiguous")
    v.check(plist.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY, d.name, "is not allocated early")
    v.check(plist.get_fill_time() == h5py.h5d.FILL_TIME_NEVER, d.name, "is filled")
    v.check(plist.get_nfilters() == 0 and not d.is_virtual and not d.external, d.name, "filters or foreign storage")
    v.check(d.size == 0 or d.id.get_offset() is not None, d.name, "has no bytes")
    v.check(d.dtype.byteorder in "<|=", d.name, "is not little-endian")
    v.check(h5py.h5g.get_objinfo(d.id).mtime == 0, d.name, "has a time")


def check_checksums(v, f, sets):
    g = f["/checksums"]
    fixed_utf8(v, g["path"], 1)
    v.check(g["crc32c"].dtype.str == "<u4", "crc32c", g["crc32c"].dtype)
    paths = [text(p) for p in g["path"][:]]
    v.check(sorted(paths) == sorted(set(sets) - {"/checksums/path", "/checksums/crc32c"}), "/checksums/path",
            set(paths) ^ set(sets))
    with open(f.filename, "rb") as raw:
        for path, crc in zip(paths, g["crc32c"][:]):
            d = f[path]
            raw.seek(d.id.get_offset() or 0)
            v.check(crc32c(raw.read(d.id.get_storage_size())) == crc, "checksum of", path)


def check_volatile(v, f):
    """No host name, no time of day in anything that is text."""
    host, texts = socket.gethostname(), {"/" + k: text(x) for k, x in f.attrs.items()}
    f.visititems(lambda name, item: texts.update({f"{name}@{k}": str(x) for k, x in item.attrs.items() if k not in
                                                  ("DIMENSION_LIST", "REFERENCE_LIST")}))
    for where, value in texts.items():
        v.check(not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", value), where, "holds a date", value[:200])
        v.check(len(host) < 4 or host not in value, where, "holds the host's name")
    with open(f.filename, "rb") as raw:
        head = raw.read(12)
    v.check(head[:8] == b"\x89HDF\r\n\x1a\n" and head[8] == 2 and head[11] == 0, "superblock", head.hex())


def check_run_json(v, file, n, bad):
    path = (file[:-3] if file.endswith(".h5") else file) + ".run.json"
    if not v.check(os.path.exists(path), path, "is not there"):
        return
    with open(path, encoding="utf-8") as j:
        run = json.load(j)
    v.check(set(run) == RUN_JSON, "run.json", sorted(set(run) ^ RUN_JSON))
    v.check(run["failed_items"] == len(bad) and run["items"] >= n, "run.json", run["items"], run["failed_items"], "want", n, len(bad))
    v.check(run["ranks"] >= 1 and run["threads"] >= 1 and run["units"] >= 1 and run["wall_s"] > 0, "run.json", run)
    v.check(run["compute_s"] > 0 and run["peak_rss_bytes"] > 1e6 and run["hosts"], "run.json", run)
    v.check(not os.path.exists(file + ".part"), file + ".part is left")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("--model")
    parser.add_argument("--complete", action="store_true")
    o = parser.parse_args()
    v = Verdict()
    with h5py.File(o.result, "r") as f:
        sets = []
        f.visititems(lambda name, item: sets.append("/" + name) if isinstance(item, h5py.Dataset) else None)
        check_root(v, f, o)
        n, bad = check_inputs(v, f)
        v.check(not o.complete or len(bad) == 0, len(bad), "items failed")
        {"max_activation": check_max_activation, "infer": check_infer, "cam": check_cam}[text(f.attrs["job"])](v, f, n, bad)
        for path in sets:
            check_storage(v, f, f[path])
            if path.split("/")[1] == text(f.attrs["job"]) and not is_scale(f[path]):
                check_axes(v, f[path])
        check_checksums(v, f, sets)
        check_volatile(v, f)
        check_run_json(v, o.result, n, bad)
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
