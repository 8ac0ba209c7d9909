#!/usr/bin/env python3
"""Compare a result of max_activation over the 117 photographs with the float64 reference.

    check_max_activation.py RESULT.h5 [--precision strict|fast] [--variant max|mean|several] [--labels]

A place must be the reference's, unless two are nearer than rounding can tell (1e-5 in strict, 1e-3 in fast, of
the larger of value and the layer's rms): then it must be one of these.  Exit 1 on any difference.
"""
import argparse
import os
import sys
import zlib

import h5py
import numpy as np

from verdict import Verdict, text

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "../golden/jobs/max_activation.npz")
MARGIN = {"strict": 1e-5, "fast": 1e-3}
TOP, LIMIT, SIDE = 9, 128, 224


class Golden:
    """One layer's reference."""

    def __init__(self, data, index, tier):
        self.data = {k.split("/", 1)[1]: data[k] for k in data.files if k.startswith(f"{index}/")}
        self.c, self.h, self.w = (int(n) for n in self["shape"])
        self.rms = float(self["rms"])
        self.first = np.concatenate([[0], np.cumsum(self["count"].astype(np.int64))])
        self.near = {}
        for k, first, count in self["near_" + tier]:
            self.near.setdefault(int(k), []).append((int(first), int(first + count)))

    def __getitem__(self, key):
        return self.data[key]

    def candidates(self, c):
        """{image: (value, flat position, number)} of a channel, best first."""
        rows = range(self.first[c], self.first[c + 1])
        return {int(self["image"][k]): (float(self["value"][k]), int(self["at"][k]), k) for k in rows}


def check_inputs(v, f, data):
    names = [text(n) for n in f["/inputs/name"][:]]
    v.check(names == list(data["names"]), "/inputs/name is not the folder in bytewise order:", names[:3])
    v.check(f["/inputs/status"][:] == 1, "/inputs/status", f["/inputs/status"][:])
    v.check(f["/inputs/width"][:] == data["width"], "/inputs/width")
    v.check(f["/inputs/height"][:] == data["height"], "/inputs/height")
    v.check(f["/failures/count"][()] == 0, "/failures/count", f["/failures/count"][()])


def check_zeros(v, where, images, at, positive):
    """Places of value 0: the first images that have no better place, at their first cell."""
    want = [i for i in range(positive + len(images) + TOP) if i not in images[:positive]]
    v.check(images[positive:] == want[:len(images) - positive], where, "images of value 0", images, "want", want)
    v.check(all(p == 0 for p in at[positive:]), where, "positions of value 0", at)


def check_channel(v, g, name, c, value, image, at, tolerance):
    """Returns how many places are another than the reference's, within rounding."""
    known, swapped = g.candidates(c), 0
    ranked = list(known)
    positive = int((value > tolerance * g.rms).sum())
    v.check(len(set(image)) == TOP, name, c, "an image twice", image)
    for r in range(positive):
        where = f"{name}[{c},{r}]"
        if not v.check(image[r] in known, where, "image", image[r], "want", ranked[r], "or one as strong"):
            continue
        want, place, k = known[image[r]]
        due = known[ranked[r]][0]
        unit = max(abs(want), g.rms)
        near = any(a <= at[r] < b for a, b in g.near.get(k, []))
        v.near("value: " + where, value[r], want, tolerance * unit)
        v.check(abs(want - due) <= tolerance * unit, where, "image", image[r], want, "want", ranked[r], due)
        v.check(at[r] == place or near, where, "position", divmod(at[r], g.w), "want", divmod(place, g.w))
        swapped += image[r] != ranked[r] or at[r] != place
    if positive < TOP:
        v.check(abs(value[positive:]) <= tolerance * g.rms, name, c, "values", value)
        exact = int((value > 0).sum())
        check_zeros(v, f"{name}[{c}]", image, at, exact)
        v.check(all(known[i][0] <= 2 * tolerance * g.rms for i in ranked[positive:TOP]), name, c, "places missed")
    return swapped


def check_boxes(v, g, name, position, box):
    y, x = position[..., 0], position[..., 1]
    if not v.check((y >= 0) & (y < g.h) & (x >= 0) & (x < g.w), name, "positions outside the map"):
        return
    want = np.stack([g["rows"][y, 0], g["cols"][x, 0], g["rows"][y, 1], g["cols"][x, 1]], -1)
    wrong = np.argwhere((box != want).any(-1))
    v.check(len(wrong) == 0, name, len(wrong), "boxes wrong, first", wrong[:1].tolist(), box[tuple(wrong[0])] if len(wrong) else "",
            "want", want[tuple(wrong[0])] if len(wrong) else "")


def check_statistics(v, g, name, group, tier, tolerance, n_images):
    cells, level = n_images * g.h * g.w, {"strict": 0, "fast": 1}[tier]
    for key in ("mean", "std"):
        v.near(f"{key}: {name}", group[key][:], g[key], tolerance * np.maximum(np.abs(g[key]), g.rms))
    kept = 2 ** -23 * g["nonzero"]  # both shares are rounded to single precision
    v.near(f"nonzero: {name}", group["nonzero"][:], g["nonzero"], g["zero_slack"][level] / cells + kept)
    histogram = group["histogram"][:]
    v.check(histogram.sum(1) == cells, name, "histogram does not count every value", histogram.sum(1)[:4], cells)
    few = np.arange(0, g.c, -(-g.c // len(g["histogram"])))
    got, want = (np.cumsum(h, 1)[:, :63] for h in (histogram[few], g["histogram"]))
    v.near(f"histogram: {name}", got, want, g["slack"][level] + 0.0)


def check_patches(v, g, name, group, image, box, pictures, at):
    h, w = (int(n) for n in g["patch_size"])
    if not v.check(("patch" in group) == (h > 0), name, "patch is" + ("" if "patch" in group else " not"), "there") or not h:
        return
    patch = group["patch"]
    if not v.check(patch.shape == (g.c, TOP, h, w, 3), name, "patch", patch.shape, "want", (g.c, TOP, h, w, 3)):
        return
    for c, r, crc in g["patch_crc"]:
        k = g.first[c] + r
        if image[c, r] == g["image"][k] and at[c, r] == g["at"][k]:
            v.check(zlib.crc32(patch[c, r].tobytes()) == crc, name, "patch", c, r, "is not cut from the picture")
    for c in range(g.c):
        pieces = patch[c]
        for r in range(TOP):
            y0, x0, y1, x1 = box[c, r]
            piece, rest = pieces[r, :y1 - y0, :x1 - x0], pieces[r].copy()
            rest[:y1 - y0, :x1 - x0] = 0
            seen = pictures.setdefault(int(image[c, r]), np.full((SIDE, SIDE, 3), -1, np.int16))[y0:y1, x0:x1]
            v.check(not rest.any(), name, "patch", c, r, "not 0 outside its box")
            v.check((seen == piece) | (seen < 0), name, "patch", c, r, "differs from others of image", image[c, r])
            seen[...] = piece


def check_classes(v, f, name, group, image, names, labelled):
    count = group["class_count"][:]
    if not labelled:
        v.check(count.shape == (len(image), 0), name, "class_count", count.shape)
        return
    known = sorted({n.split("__")[0] for n in names}, key=str.encode)
    label = np.array([known.index(n.split("__")[0]) for n in names])
    v.check([text(n) for n in f["/labels/name"][:]] == known, "/labels/name")
    v.check(f["/inputs/label"][:] == label, "/inputs/label")
    want = np.stack([np.bincount(label[row], minlength=len(known)) for row in image])
    v.check(count.shape == want.shape and np.array_equal(count, want), name, "class_count")


def check_max(v, f, data, o):
    tolerance, tier, pictures, swapped, places = MARGIN[o.precision], o.precision, {}, 0, 0
    names = list(data["names"])
    wanted = o.layers or list(data["layers"])
    have = {text(g.attrs["layer"]): g for g in f["/max_activation"].values()}
    v.check(sorted(have) == sorted(wanted), "layers", sorted(set(have) ^ set(wanted)))
    for i, name in enumerate(data["layers"]):
        if name not in wanted or name not in have:
            continue
        v.check(have[name].name == "/max_activation/" + name.replace("/", "."), "group's name", have[name].name)
        g, group = Golden(data, i, tier), have[name]
        value, image, position, box = (group[k][:] for k in ("value", "image", "position", "box"))
        if not v.check(value.shape == (g.c, TOP), name, "value", value.shape):
            continue
        v.check(np.diff(value, axis=1) <= 0, name, "values do not descend")
        at = position[..., 0].astype(np.int64) * g.w + position[..., 1]
        for c in range(g.c):
            swapped += check_channel(v, g, name, c, value[c], image[c].tolist(), at[c].tolist(), tolerance)
        places += value.size
        check_boxes(v, g, name, position, box)
        check_statistics(v, g, name, group, tier, tolerance, len(names))
        check_classes(v, f, name, group, image, names, o.labels)
        if not o.no_patches:
            check_patches(v, g, name, group, image, box, pictures, at)
    print(f"{places} places, {swapped} swapped with another that is as near as rounding can tell")
    for n in pictures:
        full = (pictures[n] >= 0).all()
        if full:
            v.check(zlib.crc32(pictures[n].astype(np.uint8).tobytes()) == data["picture_crc"][n], "picture", n, names[n])


def check_mean(v, f, data, o):
    for i, name in enumerate(data["layers"]):
        group = f["/max_activation"].get(name.replace("/", "."))
        if group is None or f"{i}/by_mean_value" not in data.files:
            continue
        g = Golden(data, i, o.precision)
        value, image = group["value"][:], group["image"][:]
        v.check((value.shape == (g.c, TOP)), name, value.shape)
        for c in range(g.c):
            known = dict(zip(g["by_mean_image"][:, c].tolist(), g["by_mean_value"][:, c].tolist()))
            for r in range(TOP):
                due = float(g["by_mean_value"][r, c])
                unit = max(abs(due), g.rms)
                v.near(f"mean: {name}[{c},{r}]", value[c, r], due, MARGIN[o.precision] * unit)
                v.check(abs(known.get(int(image[c, r]), np.inf) - due) <= MARGIN[o.precision] * unit * (due != 0), name, c, r,
                        "image", image[c, r], "want", g["by_mean_image"][r, c])
        v.check(group["position"][:] == 0, name, "position is not 0,0")
        v.check(group["box"][:] == [0, 0, SIDE, SIDE], name, "box is not the whole picture")
        if "patch" in group:
            v.check(group["patch"].shape[2:] == (SIDE, SIDE, 3), name, "patch", group["patch"].shape)
            for c, r in ((0, 0), (g.c - 1, TOP - 1)):
                v.check(zlib.crc32(group["patch"][c, r].tobytes()) == data["picture_crc"][image[c, r]], name, "patch", c, r)


def check_several(v, f, data, o):
    """per_image: 3."""
    name = "fire6/squeeze1x1_2"
    group, g = f["/max_activation"][name.replace("/", ".")], Golden(data, list(data["layers"]).index(name), o.precision)
    value, image, position = (group[k][:] for k in ("value", "image", "position"))
    at = position[..., 0].astype(np.int64) * g.w + position[..., 1]
    for c in range(g.c):
        kept, due = {}, []
        for x, i, p in zip(g["several_value"][c], g["several_image"][c], g["several_at"][c]):
            kept[int(i), int(p)] = float(x)
            if sum(j == i for j, _ in due) < 3:
                due.append((int(i), float(x)))
        for i in set(image[c].tolist()):
            v.check((image[c] == i).sum() <= 3, name, c, "more than 3 places of image", i)
        v.check(len(set(zip(image[c].tolist(), at[c].tolist()))) == TOP, name, c, "a place twice")
        for r in range(min(TOP, len(due))):
            unit = MARGIN[o.precision] * max(abs(due[r][1]), g.rms)
            v.near(f"several: {name}[{c},{r}]", value[c, r], due[r][1], unit)
            if due[r][1] > unit:
                found = kept.get((int(image[c, r]), int(at[c, r])), np.inf)
                v.check(abs(found - due[r][1]) <= unit, name, c, r, "place", image[c, r], position[c, r])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result")
    parser.add_argument("--precision", choices=sorted(MARGIN), default="strict")
    parser.add_argument("--variant", choices=("max", "mean", "several"), default="max")
    parser.add_argument("--layers", nargs="*", help="default: all")
    parser.add_argument("--labels", action="store_true", help="classes are the names' first words")
    parser.add_argument("--no-patches", action="store_true", help="the run was told to keep none")
    parser.add_argument("--other-names", action="store_true", help="the source names its pictures in another way")
    o = parser.parse_args()
    data, v = np.load(GOLDEN), Verdict()
    with h5py.File(o.result, "r") as f:
        if not o.other_names:
            check_inputs(v, f, data)
        {"max": check_max, "mean": check_mean, "several": check_several}[o.variant](v, f, data, o)
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
