#!/usr/bin/env python3
"""tiny.onnx, pictures.npy and climbs.npz: whole climbs of cases.json in float64 PyTorch.

Every gradient is autograd's; the random numbers, the percentiles (NumPy) and the blur (SciPy) are written anew from
their definitions in jobs/README.md.      make_climbs.py
"""
import json
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

HERE = Path(__file__).parent
DEFAULTS = {"at": "logits", "steps": 200, "step": "rms", "rate": 1.0, "l2": 1e-4, "blur": {"sigma": 0.5, "every": 4}, "jitter": 8,
            "total_variation": 0, "clip": {}, "parametrisation": "pixel", "octaves": {"count": 1, "scale": 1.4}, "start": "noise",
            "seed": 1}
SIZE = (3, 21, 26)
SCALE, STD = 1 / 255, (0.229, 0.224, 0.225)  # preset imagenet
rng = np.random.default_rng(417)


def make_net():
    w = {"w1": rng.standard_normal((8, 3, 3, 3)) * 0.35, "b1": rng.standard_normal(8) * 0.2,
         "w2": rng.standard_normal((12, 8, 3, 3)) * 0.2, "b2": rng.standard_normal(12) * 0.2,
         "w3": rng.standard_normal((7, 12)) * 1.5, "b3": rng.standard_normal(7) * 0.5}
    w = {k: v.astype(np.float32) for k, v in w.items()}
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4), helper.make_node("Relu", ["c1"], ["r1"]),
             helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1] * 4), helper.make_node("Relu", ["c2"], ["inner"]),
             helper.make_node("GlobalAveragePool", ["inner"], ["g"]), helper.make_node("Flatten", ["g"], ["f"]),
             helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1), helper.make_node("Softmax", ["y"], ["p"], axis=1)]
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
                              [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 7])],
                              [numpy_helper.from_array(v, k) for k, v in w.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, HERE / "tiny.onnx")
    return {k: torch.tensor(v.astype(np.float64)) for k, v in w.items()}


def score(w, x, at, target):
    """at, for a picture [C,H,W]; target None: all of them."""
    a = F.conv2d(x[None], w["w1"], w["b1"], padding=1).relu()
    a = F.conv2d(F.max_pool2d(a, 2), w["w2"], w["b2"], padding=1).relu()
    y = F.linear(a.mean((2, 3)), w["w3"], w["b3"])[0]
    every = {"inner": a[0].mean((1, 2)), "logits": y, "probability": y.softmax(0)}[at]
    return every if target is None else every[target]


MASK = (1 << 64) - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def uniform(key, number):
    return ((mix(key ^ mix(number)) >> 11) + 0.5) * 2.0**-53


def gaussians(key, n):
    return np.array([np.sqrt(-2 * np.log(uniform(key, 2 * i))) * np.cos(2 * np.pi * uniform(key, 2 * i + 1)) for i in range(n)])


COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
COLOURS = COLOURS / COLOURS.norm(dim=0).max()


def picture_of(z, h, w):
    f = np.sqrt(np.fft.fftfreq(h)[:, None] ** 2 + np.fft.rfftfreq(w)[None] ** 2)
    scale = torch.tensor(1 / np.maximum(f, 1 / max(h, w)) / 4)
    return torch.einsum("ci,ihw->chw", COLOURS, torch.fft.irfft2(scale * torch.view_as_complex(z), s=(h, w), norm="ortho"))


def variation(x):
    down = F.pad(x[:, 1:] - x[:, :-1], (0, 0, 0, 1))
    right = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 1))
    return (down**2 + right**2 + 1e-12).sqrt().sum()


def zoom(x, h, w):
    at = np.meshgrid(np.linspace(0, x.shape[1] - 1, h), np.linspace(0, x.shape[2] - 1, w), indexing="ij")
    return np.stack([ndimage.map_coordinates(p, at, order=1, mode="nearest") for p in x])


def beginning(o, picture):
    if o["start"] == "dataset":
        return picture.astype(float)
    c, h, w = SIZE
    if o["start"] == "mean":
        return np.zeros(SIZE)
    reach = (255 * SCALE / np.array(STD))[:, None, None]
    if o["parametrisation"] == "fourier":
        z = torch.tensor(0.01 * gaussians(o["seed"], c * h * (w // 2 + 1) * 2).reshape(c, h, w // 2 + 1, 2))
        return reach * picture_of(z, h, w).numpy()
    return reach * 0.1 * gaussians(o["seed"], c * h * w).reshape(SIZE)


class Spectrum:
    """Adam in the coefficients of a picture of one size: the picture's change in each step."""

    def __init__(self, shape, rate):
        c, self.h, self.w = shape
        self.z = torch.zeros(c, self.h, self.w // 2 + 1, 2, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.z], lr=rate, maximize=True)

    def step(self, d):
        before = picture_of(self.z, self.h, self.w)
        self.z.grad = torch.autograd.grad((before * torch.tensor(d)).sum(), self.z)[0]
        self.adam.step()
        with torch.no_grad():
            return (picture_of(self.z, self.h, self.w) - before).numpy()


def gradient(f, x):
    t = torch.tensor(x, requires_grad=True)
    value = f(t)
    return float(value.detach()), torch.autograd.grad(value, t)[0].numpy()


def clip(x, by, percentile):
    x[:, by < np.percentile(by, percentile)] = 0


def climb(w, o, target, picture=None):
    sizes = [SIZE[1:] if picture is None else picture.shape[1:]]
    for _ in range(o["octaves"]["count"] - 1):
        sizes.insert(0, tuple(int(np.rint(s / o["octaves"]["scale"])) for s in sizes[0]))
    bases = [beginning(o, picture)]
    for h, v in sizes[-2::-1]:
        bases.insert(0, zoom(bases[0], h, v))
    objective, best, n, x = [], None, 0, None
    for octave, base in enumerate(bases):
        x = base.copy() if x is None else base + zoom(x - bases[octave - 1], *base.shape[1:])
        spectrum = Spectrum(x.shape, o["rate"])
        for k in range(o["steps"]):
            j = o["jitter"]
            dy, dx = (int(uniform(o["seed"] + n, i) * (2 * j + 1)) - j for i in (0, 1))
            n += 1
            value, g = gradient(lambda t: score(w, t, o["at"], target), np.roll(x, (dy, dx), (1, 2)))
            g = np.roll(g, (-dy, -dx), (1, 2))
            objective.append(value)
            if octave == len(bases) - 1 and (best is None or value > best[0]):
                best = (value, x.copy())
            d = g - o["total_variation"] * gradient(variation, x)[1] if o["total_variation"] else g
            if o["parametrisation"] == "fourier":
                x = x + spectrum.step(d)
            else:
                rms = np.sqrt((d**2).mean()) if o["step"] == "rms" else 1
                x = x + o["rate"] * d / rms
            x *= 1 - o["l2"]
            sigma, every = o["blur"]["sigma"], o["blur"]["every"]
            if sigma and every and (k + 1) % every == 0:
                x = ndimage.gaussian_filter(x, (0, sigma, sigma), mode="reflect", truncate=4)
            if o["clip"].get("norm_percentile"):
                clip(x, np.linalg.norm(x, axis=0), o["clip"]["norm_percentile"])
            if o["clip"].get("contribution_percentile"):
                clip(x, np.abs((x * g).sum(0)), o["clip"]["contribution_percentile"])
    return best[1], objective


def main():
    w = make_net()
    pictures = rng.standard_normal((2,) + SIZE).astype(np.float32)
    np.save(HERE / "pictures.npy", pictures)
    out = {}
    for name, case in json.loads((HERE / "cases.json").read_text()).items():
        o = dict(DEFAULTS, **case)
        targets = range(7) if o["targets"] == "all" else o["targets"]
        rows = []
        for p in pictures if o["start"] == "dataset" else [None]:
            top = int(score(w, torch.tensor(p.astype(float)), o["at"], None).argmax()) if p is not None else -1
            rows.append([climb(w, o, top if t == "top1" else t, p) for t in targets])
        image = np.array([[r[0] for r in row] for row in rows])
        objective = np.array([[r[1] for r in row] for row in rows])
        if o["start"] != "dataset":
            image, objective = image[0], objective[0]
        out[name + ".image"], out[name + ".objective"] = image.astype(np.float32), objective
        print(name, objective.reshape(-1, objective.shape[-1])[0].round(3))
    np.savez_compressed(HERE / "climbs.npz", **out)


main()
