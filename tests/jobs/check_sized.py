#!/usr/bin/env python3
"""Compare results over pictures of many sizes with the float64 reference.

    check_sized.py TOP.h5 INFER.h5 [--precision strict|fast]

Places that others come near (within 2e-3) are judged by their values alone.  Exit 1 on any difference.
"""
import argparse
import os
import sys
import zlib

import h5py
import numpy as np

from verdict import Verdict, text

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/jobs/sized.npz")
TOLERANCE = {"strict": 1e-5, "fast": 1e-3}


def check_top(v, f, data, tolerance):
    v.check([text(n) for n in f["/inputs/name"][:]] == list(data["names"]), "/inputs/name")
    v.check(f["/inputs/extent"][:] == data["extent"], "/inputs/extent", f["/inputs/extent"][:])
    have = {text(g.attrs["layer"]): g for g in f["/max_activation"].values()}
    v.check(sorted(have) == sorted(data["layers"]), "layers", sorted(have))
    for i, name in enumerate(data["layers"]):
        group, g = have[name], {k.split("/", 1)[1]: data[k] for k in data.files if k.startswith(f"{i}/")}
        unit, clear = tolerance * np.maximum(np.abs(g["value"]), g["rms"]), g["clear"]
        v.near(f"value: {name}", group["value"][:], g["value"], unit)
        for k in ("image", "position", "box"):
            wrong = np.argwhere(clear & (group[k][:] != g[k]).reshape(*clear.shape, -1).any(-1))
            v.check(len(wrong) == 0, name, k, len(wrong), "wrong, first", wrong[:1].tolist(),
                    [x[tuple(wrong[0])] for x in (group[k][:], g[k])] if len(wrong) else "")
        for k in ("mean", "std"):
            v.near(f"{k}: {name}", group[k][:], g[k], tolerance * np.maximum(np.abs(g[k]), g["rms"]))
        v.near(f"nonzero: {name}", group["nonzero"][:], g["nonzero"], 10 * tolerance)
        v.check(("patch" in group) == (max(g["size"]) <= 128), name, "patch")
        if "patch" in group:
            patch = group["patch"][:]
            v.check(patch.shape[2:4] == tuple(g["size"]), name, "patch", patch.shape, "want", g["size"])
            crc = np.array([[zlib.crc32(p.tobytes()) for p in row] for row in patch])
            v.check((crc == g["patch_crc"]) | ~clear, name, "patches", np.argwhere((crc != g["patch_crc"]) & clear)[:3].tolist())


def check_infer(v, f, data, tolerance):
    want, got = data["map"], f["/infer/map"][:]
    v.check(f["/infer/map_extent"][:] == data["map_extent"], "/infer/map_extent", f["/infer/map_extent"][:3])
    if v.check(got.shape == want.shape, "/infer/map", got.shape, want.shape):
        v.check(np.isnan(got) == np.isnan(want), "/infer/map is NaN outside an item's own extent, and only there")
        inside = ~np.isnan(want)
        v.near("map", got[inside], want[inside], tolerance * np.maximum(np.abs(want[inside]), np.sqrt((want[inside] ** 2).mean())))
    v.near("prob", f["/infer/prob"][:], data["prob"], tolerance)
    v.check(f["/infer/top_class"][:, 0] == data["prob"].argmax(1), "top_class")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("top")
    parser.add_argument("infer")
    parser.add_argument("--precision", choices=sorted(TOLERANCE), default="strict")
    o = parser.parse_args()
    data, v = np.load(GOLDEN), Verdict()
    with h5py.File(o.top, "r") as f, h5py.File(o.infer, "r") as g:
        check_top(v, f, data, TOLERANCE[o.precision])
        check_infer(v, g, data, TOLERANCE[o.precision])
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
