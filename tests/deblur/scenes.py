"""Scenes with a truth: drawn ones, and photographs where there are some.

A scene goes on beyond its frame: it is blurred whole, then cut by `pad` samples a side, so that nobody knows what lies
outside.  The numbers come from a generator of our own, the same with any NumPy."""
import glob
import os

import numpy as np


class Numbers:
    """splitmix64: uniform numbers in (0, 1)."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, low=0.0, high=1.0):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9e3779b97f4a7c15) & mask
        v = self.state
        v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9 & mask
        v = (v ^ (v >> 27)) * 0x94d049bb133111eb & mask
        return low + (high - low) * (((v ^ (v >> 31)) >> 11) + 0.5) / 2.0 ** 53


def leaves(n, seed=5):
    """Opaque leaves of all sizes, one on the other, a third of them with a texture: edges, plains and fine detail in
    about the shares that photographs have (the dead-leaves model); 0..255, four samples to a pixel."""
    u, side, most, least = Numbers(seed), 2 * n, 90.0, 4.0
    y, x = np.mgrid[0:side, 0:side].astype(float)
    a = np.full((side, side), -1.0)
    while (a < 0).any():
        v = u()
        r = 1 / np.sqrt((1 - v) / least ** 2 + v / most ** 2)  # density r^-3
        cy, cx, level, gy, gx, texture, phase, wave = u(-90, side + 90), u(-90, side + 90), u(30, 210), u(-12, 12), u(
            -12, 12), u(), u(0, 6.2832), u(1.5, 4)
        leaf = ((y - cy) ** 2 + (x - cx) ** 2 < r * r) & (a < 0)
        dy, dx = y[leaf] - cy, x[leaf] - cx
        value = level + (gy * dy + gx * dx) / r
        if texture < 0.33:
            value += 14 * np.sin((dy * np.cos(phase) + dx * np.sin(phase)) / wave)
        a[leaf] = np.clip(value, 6, 250)
    return a.reshape(n, 2, n, 2).mean((1, 3))


def stars(n, seed=9):
    """Stars of finite width, off the grid, bright ones rare."""
    u, a = Numbers(seed), np.zeros((n, n))
    for _ in range(50):
        y, x = int(u(0, n)), int(u(0, n))
        a[y, x] += 300 * (u() ** (-1 / 1.3) - 1) + 200
    for axis in (0, 1):
        a = (a + np.roll(a, 1, axis)) / 2
        a = (np.roll(a, 1, axis) + 2 * a + np.roll(a, -1, axis)) / 4
    return a


def bars():
    a = np.full((28, 56, 56), 5.0)
    a[:, 10:46, 12::8] = 90
    a[10:18, 20:36, :] += 60
    return a


def spikes(n=720, width=2.5, seed=3):
    """A train of spikes on a floor, of a width (at half maximum, samples) of their own."""
    u, at = Numbers(seed), np.arange(n)
    a = np.full(n, 4.0)
    for _ in range(n // 40):
        a += u(40, 500) * np.exp(-4 * np.log(2) * ((at - u(0, n)) / width) ** 2)
    return a


MOTION = '{kind: motion, length: 9, angle: 25}'
MOFFAT = '{kind: moffat, fwhm: 3, beta: 3, size: 21}'
# name: array, blurred axes, PSF, counts at the brightest sample, read noise, background, pad; then whether data are left
# in counts, as a camera gives them, or scaled, and how far short of the best count the stopping rule may fall, dB.
SCENES = {
    'photograph': (lambda: leaves(176), 2, MOTION, 2000, 0, 0, 16, True, 0.4),
    'photograph, few counts': (lambda: leaves(144, 6), 2, MOTION, 300, 0, 0, 16, True, 0.4),
    'stars': (lambda: stars(128), 2, MOFFAT, 3000, 4, 20, 16, False, 3.5),
    'stars, counts': (lambda: stars(128, 11), 2, MOFFAT, 3000, 0, 20, 16, True, 3.5),
    'bars in 3-D': (bars, 3, '{kind: gaussian, fwhm: [4, 2.5, 2.5]}', 500, 0, 0, (4, 9, 9), True, 3.5),
    'spikes': (spikes, 1, '{kind: gaussian, fwhm: 5}', 5000, 0, 0, 16, True, 3.5),
}


def photographs(folder):
    """Some real ones, whole, as `blur` reads them; [] without the folder."""
    found = sorted(glob.glob(os.path.join(folder, 'photos', 'caltech101', '*.jpg'))) if folder else []
    return [found[k] for k in (4, 25, 47) if k < len(found)]


def cut(scene, pad):
    pads = (pad,) * scene.ndim if np.isscalar(pad) else pad
    return tuple(slice(p, n - p) for p, n in zip(pads, scene.shape))


def psnr(x, truth):
    return 10 * np.log10(np.ptp(truth) ** 2 / np.mean((x - truth) ** 2))


def edge(x, truth, zone=8):
    """Root mean square error in a rim."""
    rim = np.ones(truth.shape, bool)
    axes = truth.ndim - (truth.ndim == 3 and truth.shape[2] == 3)
    rim[tuple(slice(min(zone, n // 3), n - min(zone, n // 3)) for n in truth.shape[:axes])] = False
    return np.sqrt(np.mean((x - truth)[rim] ** 2))


def ssim(x, y):
    """Structural similarity over windows of 7 samples, mean; channels of pictures one by one."""
    if y.ndim == 3 and y.shape[-1] == 3:
        return np.mean([ssim(x[..., c], y[..., c]) for c in range(3)])

    def mean(a):
        for axis in range(a.ndim):
            c = np.cumsum(np.insert(a, 0, 0, axis), axis)
            a = (np.take(c, range(7, c.shape[axis]), axis) - np.take(c, range(c.shape[axis] - 7), axis)) / 7
        return a
    k1, k2 = (0.01 * np.ptp(y)) ** 2, (0.03 * np.ptp(y)) ** 2
    a, b = mean(x), mean(y)
    va, vb, cov = mean(x * x) - a * a, mean(y * y) - b * b, mean(x * y) - a * b
    return np.mean((2 * a * b + k1) * (2 * cov + k2) / ((a * a + b * b + k1) * (va + vb + k2)))
