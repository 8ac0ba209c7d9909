#!/usr/bin/env python3
"""parts.golden: what dcv_blur, dcv_zoom and the others of src/engine/methods/ascent.h and fourier.h must give.

float64 NumPy and SciPy on float32 inputs; the Fourier part by PyTorch, its adjoint by autograd, Adam by torch.optim.
    make_parts.py OUTPUT
"""
import sys

import numpy as np
import torch
from scipy import ndimage

rng = np.random.default_rng(20261123)
tensors = []


def put(name, v):
    tensors.append((name, np.asarray(v)))


def picture(c, h, w):
    return rng.standard_normal((c, h, w)).astype(np.float32)


def variation(x):
    down = torch.zeros_like(x)
    right = torch.zeros_like(x)
    down[:, :-1] = x[:, 1:] - x[:, :-1]
    right[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    return torch.sqrt(down**2 + right**2 + 1e-12).sum()


def clip(x, by, percentile):
    x = x.copy()
    x[:, by < np.percentile(by, percentile)] = 0
    return x


x = picture(3, 11, 14)
put("x", x)
for dy, dx in ((3, -5), (-11, 14), (25, -29)):
    put(f"roll {dy} {dx}", np.roll(x, (dy, dx), (1, 2)))
for sigma in (0.5, 1.3, 6.0):  # the last reaches beyond the mirrored picture
    put(f"blur {sigma}", ndimage.gaussian_filter(x.astype(float), (0, sigma, sigma), mode="reflect", truncate=4.0))
one = picture(2, 1, 7)
put("one", one)
put("one blur", ndimage.gaussian_filter(one.astype(float), (0, 0.8, 0.8), mode="reflect"))
for h, w in ((15, 20), (8, 10), (11, 14), (1, 3), (23, 1)):
    gy = np.linspace(0, 10, h) if h > 1 else np.zeros(1)
    gx = np.linspace(0, 13, w) if w > 1 else np.zeros(1)
    at = np.stack(np.meshgrid(gy, gx, indexing="ij"))
    want = np.stack([ndimage.map_coordinates(p.astype(float), at, order=1, mode="nearest") for p in x])
    if h > 1 and w > 1:
        assert np.abs(want - ndimage.zoom(x.astype(float), (1, h / 11, w / 14), order=1)).max() < 1e-12
    put(f"zoom {h} {w}", want)
t = torch.tensor(x.astype(float), requires_grad=True)
put("variation", torch.autograd.grad(variation(t), t)[0].numpy())
g = picture(3, 11, 14)
put("g", g)
norm = np.linalg.norm(x.astype(float), axis=0)
contribution = np.abs((x.astype(float) * g).sum(0))
put("percentile", [np.percentile(norm, p) for p in (0, 12.5, 50, 99.9, 100)])
for p in (20, 90):
    put(f"norm {p}", clip(x, norm, p))
    put(f"contribution {p}", clip(x, contribution, p))

colours = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], dtype=torch.float64)
colours = colours / colours.norm(dim=0).max()


def fourier(z, h, w, bgr):
    f = np.sqrt(np.fft.fftfreq(h)[:, None] ** 2 + np.fft.rfftfreq(w)[None] ** 2)
    scale = torch.tensor(1 / np.maximum(f, 1 / max(h, w)) / 4)
    planes = torch.fft.irfft2(scale * torch.view_as_complex(z), s=(h, w), norm="ortho")
    if len(z) != 3:
        return planes
    x = torch.einsum("ci,ihw->chw", colours, planes)
    return x.flip(0) if bgr else x


for name, c, h, w, bgr in (("rgb", 3, 6, 8, False), ("bgr", 3, 7, 5, True), ("grey", 1, 9, 4, False)):
    z = rng.standard_normal((c, h, w // 2 + 1, 2)).astype(np.float32)
    up = picture(c, h, w)
    zt = torch.tensor(z.astype(float), requires_grad=True)
    xt = fourier(zt, h, w, bgr)
    put(f"{name} z", z)
    put(f"{name} x", xt.detach().numpy())
    put(f"{name} up", up)
    put(f"{name} gradient", torch.autograd.grad((xt * torch.tensor(up.astype(float))).sum(), zt)[0].numpy())

gradients = (rng.standard_normal((4, 50)) * 10.0 ** rng.integers(-9, 2, 50)).astype(np.float32)
p = torch.zeros(50, dtype=torch.float64, requires_grad=True)
adam = torch.optim.Adam([p], lr=0.3, maximize=True)
for row in gradients:
    p.grad = torch.tensor(row.astype(float))
    adam.step()
put("adam gradients", gradients)
put("adam", p.detach().numpy())

with open(sys.argv[1], "wb") as f:
    f.write(b"DCVG1\n")
    for name, v in tensors:
        kind = "f4" if v.dtype == np.float32 else "f8"
        f.write(f"{name.replace(' ', '_')} {kind} {v.ndim} {' '.join(map(str, v.shape))}\n".encode())
        f.write(np.ascontiguousarray(v, "<" + kind).tobytes())
