"""Draws the scenes of the deblurring examples, and blurs them with NumPy alone: python3 make_scenes.py"""
import struct
import zlib

import h5py
import numpy as np

rng = np.random.default_rng(2)


def png(name, a, bits):
    raw = b''.join(b'\0' + row.astype('>u%d' % (bits // 8)).tobytes() for row in a)
    chunk = lambda kind, body: struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    with open(name, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', a.shape[1], a.shape[0], bits, 0, 0, 0, 0)) +
                chunk(b'IDAT', zlib.compress(raw, 9)) + chunk(b'IEND', b''))


def blurred(x, psf):
    """What a camera sees of a scene that goes on beyond its frame: the scene is larger than the result by the PSF."""
    full = [a + b - 1 for a, b in zip(x.shape, psf.shape)]
    y = np.fft.irfftn(np.fft.rfftn(x, full) * np.fft.rfftn(psf, full), full)
    return y[tuple(slice(b - 1, a) for a, b in zip(x.shape, psf.shape))]


def segment(length, angle, half):
    """Length of a path from the origin's edge within each sample of a grid of 2 half + 1."""
    t = (np.arange(20000) + 0.5) / 20000 * length - 0.5
    k = np.rint([t * np.sin(np.radians(angle)), t * np.cos(np.radians(angle))]).astype(int) + half
    p = np.zeros((2 * half + 1, 2 * half + 1))
    np.add.at(p, tuple(k), 1)
    return p / p.sum()


# A chart: spokes, bars, a ramp and blots.
n, pad = 144, 12
y, x = np.mgrid[-pad:n + pad, -pad:n + pad]
chart = 40 + 60.0 * (x + pad) / (n + 2 * pad)
r, a = np.hypot(y - 50, x - 50), np.arctan2(y - 50, x - 50)
chart = np.where(r < 42, np.where(np.sin(18 * a) > 0, 220, 30), chart)
for k, width in enumerate((6, 4, 3, 2)):
    bar = (y > 104) & (y < 132) & (x > 8 + 34 * k) & (x < 36 + 34 * k)
    chart = np.where(bar & ((x // width) % 2 == 0), 235, chart)
for cy, cx, s, v in ((20, 115, 8, 200), (48, 122, 5, 250), (70, 108, 3, 255), (84, 130, 2, 255)):
    chart = np.where(np.hypot(y - cy, x - cx) < s, v, chart)
psf = segment(9, 20, pad)
png('chart.png', np.rint(chart[pad:-pad, pad:-pad]), 8)
png('chart_blurred.png', rng.poisson(blurred(chart, psf) * 4), 16)

# Stars through a Moffat PSF of FWHM 3.2, beta 3; sky and read noise; FITS of float32.
n, h = 96, 12
sky = np.zeros((n + 2 * h, n + 2 * h))
for _ in range(60):
    sky[tuple(rng.integers(0, n + 2 * h, 2))] += 200 * rng.pareto(1.2) + 100
j, i = np.mgrid[-h:h + 1, -h:h + 1]
moffat = (1 + 4 * (2 ** (1 / 3.0) - 1) * (i * i + j * j) / 3.2 ** 2) ** -3.0
stars = blurred(sky, moffat / moffat.sum()) + 20
stars = rng.poisson(np.maximum(stars, 0)) + rng.normal(0, 3, stars.shape)
cards = ['SIMPLE  =                    T', 'BITPIX  =                  -32', 'NAXIS   =                    2',
         'NAXIS1  = %20d' % n, 'NAXIS2  = %20d' % n, 'END']
body = stars.astype('>f4').tobytes()
with open('stars.fits', 'wb') as f:
    f.write(''.join(c.ljust(80) for c in cards).ljust(2880).encode() + body + b'\0' * (-len(body) % 2880))

# Hollow beads in three dimensions, counts.
shape, h = (20, 40, 40), (6, 5, 5)
z, y, x = np.mgrid[tuple(slice(-b, a + b) for a, b in zip(shape, h))]
beads = np.full(z.shape, 2.0)
for cz, cy, cx, s in ((10, 20, 20, 7), (6, 8, 30, 4), (14, 31, 9, 5)):
    d = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
    beads += 60 * (np.abs(d - s) < 1)
z, y, x = np.mgrid[tuple(slice(-b, b + 1) for b in h)]
gauss = np.exp(-4 * np.log(2) * ((z / 4.0) ** 2 + (y / 2.5) ** 2 + (x / 2.5) ** 2))
with h5py.File('beads.h5', 'w', track_order=False) as f:
    f.create_dataset('data', data=rng.poisson(blurred(beads, gauss / gauss.sum())).astype('u2'), compression='gzip',
                     track_times=False)

# Two seismic traces: spikes through a wavelet, a column each; the wavelet in a file of its own.
t = (np.arange(41) - 10) * 0.05
wavelet = np.exp(-t * t / 0.05)
traces = []
for spikes in (((40, 1.0), (100, 0.5), (180, -0.3)), ((40, 1.0), (130, 0.4), (150, -0.35))):
    d = np.zeros(400)
    for at, v in spikes:
        d[at - 10:at + 31] += v * wavelet
    traces.append(d + rng.normal(0, 0.005, 400))
np.savetxt('traces.txt', np.transpose(traces), '%.5f')
np.savetxt('wavelet.txt', wavelet, '%.6f')
