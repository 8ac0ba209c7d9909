"""Deblurring in plain NumPy, float64: what the job `deblur` must agree with.

Written from the definitions alone, with whole-array transforms (numpy.fft), a PSF laid into the frame by index, and H^T 1 by
transform; shares no code and no order of summation with the program."""
import math

import numpy as np


def fast(m):
    while True:
        k = m
        for p in (2, 3, 5, 7):
            while k % p == 0:
                k //= p
        if k == 1:
            return m
        m += 1


def conv_frame(psf, centre, shape):
    """The PSF on a periodic frame, its origin at index 0; folded where it is larger."""
    h = np.zeros(shape)
    for index in np.ndindex(psf.shape):
        h[tuple((i - c) % m for i, c, m in zip(index, centre, shape))] += psf[index]
    return h


class Model:
    """H and H^T between the unknown's box and the data's box on a frame."""

    def __init__(self, shape, psf, centre, boundary):
        self.psf, self.centre = psf, centre
        n, p = shape, psf.shape
        self.n = n
        if boundary == 'unknown':
            self.m = tuple(fast(a + b - 1) for a, b in zip(n, p))
            self.window = tuple(slice(b - 1 - c, b - 1 - c + a) for a, b, c in zip(n, p, centre))
            self.object = tuple(slice(0, a + b - 1) for a, b in zip(n, p))
            self.data = self.window
        elif boundary == 'zero':
            self.m = tuple(fast(a + b - 1) for a, b in zip(n, p))
            self.window = self.object = self.data = tuple(slice(0, a) for a in n)
        elif boundary == 'periodic':
            self.m = tuple(n)
            self.window = self.object = self.data = tuple(slice(0, a) for a in n)
        else:
            self.m = tuple(fast(a + 2 * (b // 2)) for a, b in zip(n, p))
            self.window = tuple(slice((m - a) // 2, (m - a) // 2 + a) for m, a in zip(self.m, n))
            self.object = self.data = tuple(slice(0, m) for m in self.m)
        self.H = np.fft.fftn(conv_frame(psf, centre, self.m))
        self.boundary = boundary

    def lay(self, y):
        """Data on the frame, continued by reflection where the boundary says so."""
        f = np.zeros(self.m)
        if self.boundary == 'reflect':
            for axis, (w, n) in enumerate(zip(self.window, self.n)):
                i = (np.arange(self.m[axis]) - w.start) % (2 * n)
                y = np.take(y, np.where(i < n, i, 2 * n - 1 - i), axis)
            return y
        f[self.window] = y
        return f

    def box(self, f, b):
        g = np.zeros(self.m)
        g[b] = f[b]
        return g

    def times(self, x):
        return np.fft.ifftn(np.fft.fftn(x) * self.H).real

    def back(self, u):
        return np.fft.ifftn(np.fft.fftn(u) * np.conj(self.H)).real


def linear(y, psf, centre, boundary, weight):
    """weight(|H|^2, |L|^2) with the estimate's spectrum conj(H) weight Y."""
    m = Model(y.shape, psf, centre, boundary)
    hh = np.abs(m.H) ** 2
    lap = np.zeros(m.m)
    for axis, k in enumerate(m.m):
        if k >= 1:
            lap = lap + (2 - 2 * np.cos(2 * np.pi * np.arange(k) / k)).reshape([-1 if a == axis else 1 for a in range(len(m.m))])
    x = np.fft.ifftn(np.conj(m.H) * weight(hh, lap ** 2) * np.fft.fftn(m.lay(y))).real
    return x[m.window]


def inverse(y, psf, centre, boundary, r=1e-3):
    return linear(y, psf, centre, boundary,
                  lambda hh, ll: np.where(hh > r * r * hh.max(), 1 / np.where(hh > 0, hh, 1), 0))


def wiener(y, psf, centre, boundary, r):
    return linear(y, psf, centre, boundary, lambda hh, ll: 1 / (hh + r))


def tikhonov(y, psf, centre, boundary, r):
    return linear(y, psf, centre, boundary, lambda hh, ll: 1 / np.where(hh + r * ll > 0, hh + r * ll, np.inf))


def landweber(y, psf, centre, boundary, n):
    def weight(hh, ll):
        g = 1 / hh.max()
        return np.where(hh > 0, (1 - (1 - g * hh) ** n) / np.where(hh > 0, hh, 1), 0)
    return linear(y, psf, centre, boundary, weight)


def gcv(y, psf, centre, boundary, method, r):
    """V(r) of generalised cross-validation, up to a constant."""
    m = Model(y.shape, psf, centre, boundary)
    hh = np.abs(m.H) ** 2
    lap = np.zeros(m.m)
    for axis, k in enumerate(m.m):
        lap = lap + (2 - 2 * np.cos(2 * np.pi * np.arange(k) / k)).reshape([-1 if a == axis else 1 for a in range(len(m.m))])
    reg = r * (lap ** 2 if method == 'tikhonov' else 1)
    rest = np.where(hh + reg > 0, reg / np.where(hh + reg > 0, hh + reg, 1), 0)
    Y = np.fft.fftn(m.lay(y))
    if boundary == 'periodic':
        return np.mean(np.abs(rest * Y) ** 2) / np.mean(rest) ** 2
    e = np.fft.ifftn(rest * Y).real[m.window]
    inside = tuple(slice(p // 2, n - p // 2) if n > 2 * (p // 2) else slice(None) for p, n in zip(psf.shape, y.shape))
    return np.mean(e[inside] ** 2) / np.mean(rest) ** 2


def best_r(y, psf, centre, boundary, method):
    grid = np.logspace(-10, 4, 57)
    v = [gcv(y, psf, centre, boundary, method, r) for r in grid]
    k = int(np.argmin(v))
    fine = np.logspace(np.log10(grid[max(k - 1, 0)]), np.log10(grid[min(k + 1, 56)]), 201)
    return fine[int(np.argmin([gcv(y, psf, centre, boundary, method, r) for r in fine]))]


def divergence_tv(x, e, spacing):
    norm, parts = e * e, []
    for a in range(x.ndim):
        d = np.zeros_like(x)
        low = tuple(slice(0, -1) if k == a else slice(None) for k in range(x.ndim))
        d[low] = np.diff(x, axis=a) / spacing[a]
        parts.append(d)
        norm = norm + d * d
    div = np.zeros_like(x)
    for a, d in enumerate(parts):
        d = d / np.sqrt(norm)
        div += d / spacing[a]
        high = tuple(slice(1, None) if k == a else slice(None) for k in range(x.ndim))
        low = tuple(slice(0, -1) if k == a else slice(None) for k in range(x.ndim))
        div[high] -= d[low] / spacing[a]
    return div


def fwhm(psf, axis):
    peak = np.unravel_index(np.argmax(psf), psf.shape)
    line = psf[tuple(slice(None) if a == axis else i for a, i in enumerate(peak))]
    half, width = line[peak[axis]] / 2, 0
    for part in (line[peak[axis]:], line[peak[axis]::-1]):
        part = np.append(part, 0)
        k = int(np.argmax(part < half))
        width += k - 1 + (part[k - 1] - half) / (part[k - 1] - part[k])
    return max(width, 1)


def richardson_lucy(y, psf, centre, boundary, iterations, background=0, gain=1, read=0, accelerate=False, tv=None,
                    spacing=None, butterworth=False, enough=None,
                    start=None, eps=None):
    """Returns x and history [divergence, change, flux, chi2].  enough: of Hx over the data, after each iteration, says when to
    end.  start, eps: instead of what the data say."""
    m = Model(y.shape, psf, centre, boundary)
    data = m.lay(y)
    clipped = np.maximum(y, 0)
    data = np.maximum(data, 0)
    inside = np.zeros(m.m, bool)
    inside[m.data] = True
    obj = np.zeros(m.m, bool)
    obj[m.object] = True
    back = m.back
    if butterworth:
        f2 = 0
        for a, k in enumerate(m.m):
            f2 = f2 + ((np.fft.fftfreq(k) * fwhm(psf, a)) ** 2).reshape([-1 if b == a else 1 for b in range(len(m.m))])
        W = 1.05 * np.conj(m.H) / (np.abs(m.H) ** 2 + 0.05) / np.sqrt(1 + f2 ** 10)
        back = lambda u: np.fft.ifftn(np.fft.fftn(u) * W).real
    ones = back(inside.astype(float)) if boundary in ('unknown', 'zero') else np.ones(m.m)
    support = obj & (ones > 0.01)
    eps = eps or max(1e-6 * np.mean(np.abs(clipped)), 1e-30)
    x = np.where(support, start or clipped.mean(), 0.0)
    history = np.full((4, iterations), np.nan)
    wy = np.maximum(y, 0)

    def fit(v):
        h = m.times(v) + background
        hw, mw = h[m.window], np.maximum(h[m.window], eps)
        d = np.sum(np.where(wy > 0, wy * np.log(np.where(wy > 0, wy, 1) / mw), 0) - wy + mw)
        c = np.mean((wy - hw) ** 2 / np.maximum(gain * hw + read ** 2, gain * eps + eps ** 2))
        return h, d, c

    def step(v, h):
        q = np.where(inside, data / np.maximum(h, eps), 0)
        new = np.where(support, v * back(q) / np.where(support, ones, 1), 0)
        if tv is not None:
            box = v[m.object]
            den = np.ones(m.m)
            den[m.object] = np.maximum(1 - tv * divergence_tv(box, eps, spacing or [1] * y.ndim), 0.1)
            new = new / den
        return np.maximum(new, 0)

    p, prev, alpha, steps, last = x, x, 0.0, [], None
    for k in range(iterations):
        h, d, c = fit(p)
        if accelerate and alpha > 0 and d > last:
            p, alpha, steps = x, 0.0, []
            h, d, c = fit(p)
        if enough and k and enough(h[m.window]):
            break
        if accelerate:
            history[0, k], history[3, k] = d, c
        elif k:
            history[0, k - 1], history[3, k - 1] = d, c
        new = step(p, h)
        w = m.window
        history[1, k] = np.linalg.norm(new[w] - x[w]) / np.linalg.norm(x[w])
        history[2, k] = new[w].sum()
        steps.append(new - p)
        if accelerate and len(steps) > 1:
            alpha = np.sum(steps[-1] * steps[-2]) / np.sum(steps[-2] ** 2)
            alpha = min(max(alpha, 0), 1)
        else:
            alpha = 0.0
        last = d
        p = np.maximum(new + alpha * (new - x), 0) if accelerate else new
        x = new
    else:
        h, history[0, -1], history[3, -1] = fit(x)
        if enough:
            enough(h[m.window])
    return x[m.window], history


MASK = (1 << 64) - 1


def mix(v):
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9 & MASK
    v = (v ^ (v >> 27)) * 0x94d049bb133111eb & MASK
    return v ^ (v >> 31)


class Draw:
    """The numbers drawn to split one sample: of (seed, index) alone, see src/deblur/random.c."""

    def __init__(self, seed, index):
        stream = mix((seed + 0x9e3779b97f4a7c15) & MASK) + 0xa0761d6478bd642f
        self.key, self.count = mix((stream + (index + 1) * 0xd1342543de82ef95) & MASK), 0

    def uniform(self):
        self.count += 1
        return ((mix((self.key + self.count * 0x9e3779b97f4a7c15) & MASK) >> 12) + 0.5) / 2.0 ** 52

    def normal(self):
        u, v = self.uniform(), self.uniform()
        return math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)

    def binomial(self, n, p):
        if n * p < 10:  # by inversion
            left, q, k = self.uniform(), (1 - p) ** n, 0
            while left > q and k < n:
                left -= q
                q *= p / (1 - p) * (n - k) / (k + 1)
                k += 1
            return k
        sd = math.sqrt(n * p * (1 - p))  # Hormann 1993, BTRS
        b = 1.15 + 2.53 * sd
        a, c, alpha, m = -0.0873 + 0.0248 * b + 0.01 * p, n * p + 0.5, (2.83 + 5.1 / b) * sd, math.floor((n + 1) * p)
        while True:
            u = self.uniform() - 0.5
            us = 0.5 - abs(u)
            k, v = math.floor((2 * a / us + b) * u + c), self.uniform()
            if us >= 0.07 and v <= 0.92 - 4.2 / b:
                return k
            if 0 <= k <= n and math.log(v * alpha / (a / (us * us) + b)) <= (
                    math.lgamma(m + 1) + math.lgamma(n - m + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) +
                    (k - m) * math.log(p / (1 - p))):
                return k


def noise_of(y):
    """Gain and read noise of data of which nothing is known."""
    if (y >= 0).all() and (y == np.rint(y)).all():
        return 1.0, 0.0
    d = y[..., :-2] - 2 * y[..., 1:-1] + y[..., 2:]
    return 0.0, np.median(np.abs(d - np.median(d))) / (0.6745 * np.sqrt(6))


def split(y, gain, read, seed=1):
    """Data split in two by their noise: what is fitted, what judges, model of the second over that of the first, and the
    share of the background in the first."""
    draws = [Draw(seed, k) for k in range(y.size)]
    flat = y.ravel()
    if gain > 0 and read * read <= gain * np.mean(np.maximum(y, 0)):
        judge = np.zeros(y.size)
        for k, d in enumerate(draws):
            counts = max(flat[k], 0) / gain
            whole = np.rint(counts)
            judge[k] = gain * (d.binomial(int(whole), 1 - 0.9) + (counts - whole) * (1 - 0.9))
        judge = judge.reshape(y.shape)
        return np.maximum(y, 0) - judge, judge, (1 - 0.9) / 0.9, 0.9
    n = np.array([math.sqrt(read * read + gain * max(v, 0)) * d.normal() for v, d in zip(flat, draws)]).reshape(y.shape)
    return y + n / 3, y - 3 * n, 1.0, 1.0


def thinning(y, psf, centre, boundary, gain=0, read=0, background=0, most=500, **how):
    """Gain, read noise, iterations, and what the judge thinks of each of them."""
    if not gain:
        gain, found = noise_of(y)
        read = read if read or gain else found
    fitted, judge, ratio, share = split(y, gain, read)
    judged, mean = [], np.mean(np.maximum(y, 0))

    def enough(h):
        m = np.maximum(h, 1e-6 * mean) * ratio
        judged.append(np.sum(m - judge * np.log(m)))
        return len(judged) > 3 and all(b > a for a, b in zip(judged[-4:-1], judged[-3:]))
    richardson_lucy(fitted, psf, centre, boundary, most, background=background * share, enough=enough, start=mean * share,
                    eps=1e-6 * mean, **how)
    return gain, read, 1 + int(np.argmin(judged)), judged


def water_level(d, s, centre, dt, a, r, lag0, lag1):
    n = len(d)
    m = fast(2 * n)
    S = np.fft.fft(conv_frame(s, [centre], [m]))
    w = 2 * np.pi * np.fft.fftfreq(m, dt)
    hh = np.abs(S) ** 2
    x = np.fft.ifft(np.fft.fft(d, m) * np.conj(S) / np.maximum(hh, r * hh.max()) * np.exp(-w * w / (4 * a * a))).real
    lags = np.arange(round(lag0 / dt), round(lag1 / dt) + 1)
    return lags * dt, np.where(np.abs(lags) < n, x[lags % m], 0)


def iterative_spikes(d, s, centre, dt, a, lag0, lag1, tolerance, iterations):
    n = len(d)
    m = fast(2 * n)
    w = 2 * np.pi * np.fft.fftfreq(m, dt)
    G = np.exp(-w * w / (4 * a * a))
    S = np.fft.fft(conv_frame(s, [centre], [m])) * G
    R = np.fft.fft(d, m) * G
    lags = np.arange(round(lag0 / dt), round(lag1 / dt) + 1)
    lags = lags[np.abs(lags) < n]
    all_lags = np.arange(round(lag0 / dt), round(lag1 / dt) + 1)
    spikes = np.zeros(m)
    power = np.mean(np.abs(R) ** 2)
    energy = np.mean(np.abs(S) ** 2)
    misfit, done = power, 0
    for done in range(1, iterations + 1):
        c = np.fft.ifft(R * np.conj(S)).real / energy
        k = lags[np.argmax(np.abs(c[lags % m]))] % m
        spikes[k] += c[k]
        one = np.zeros(m)
        one[k] = c[k]
        R = R - np.fft.fft(one) * S
        now = np.mean(np.abs(R) ** 2)
        change, misfit = (misfit - now) / power, now
        if change < tolerance:
            break
    x = np.fft.ifft(np.fft.fft(spikes) * G).real
    return all_lags * dt, np.where(np.abs(all_lags) < n, x[all_lags % m], 0), done
