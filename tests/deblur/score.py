"""score.py DECONVOY SOURCE [--table]: blur -> deblur -> score on drawn scenes, with everything at its default.

Asked: the stopping rule comes within a few dB (3.5; chart 1, bars 1.5) of the count that the truth would choose, the result
is closer to the truth than the data are, and at the edges no worse than with data reflected or taken as zero beyond them."""
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

program, source = sys.argv[1:3]
table = '--table' in sys.argv
folder = tempfile.mkdtemp(prefix='deconvoy.')
os.chdir(folder)
rng = np.random.default_rng(4)
failed = checks = 0


def check(what, good):
    global failed, checks
    checks += 1
    if not good:
        failed += 1
        print('FAILED:', what)


def run(job, output, **keys):
    with open('c.yaml', 'w') as f:
        f.write('job: %s\noutput: %s\nruntime: {progress: none, durability: process}\n%s:\n' % (job, output, job))
        f.writelines('  %s: %s\n' % k for k in keys.items())
    done = subprocess.run([program, 'run', 'c.yaml', '--fresh'], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    with h5py.File(output, 'r') as f:
        return f[job + '/image'][()].astype(float), int(f['deblur/iterations'][()]) if job == 'deblur' else 0


def psnr(x, truth):
    return 10 * np.log10(np.ptp(truth) ** 2 / np.mean((x - truth) ** 2))


def edge(x, truth, zone):
    """Root mean square error in a rim."""
    rim = np.ones(truth.shape, bool)
    rim[tuple(slice(min(zone, n // 3), n - min(zone, n // 3)) for n in truth.shape)] = False
    return np.sqrt(np.mean((x - truth)[rim] ** 2))


def ssim(x, y):
    """Structural similarity over windows of 7 samples, mean."""
    def mean(a):
        for axis in range(a.ndim):
            c = np.cumsum(np.insert(a, 0, 0, axis), axis)
            a = (np.take(c, range(7, c.shape[axis]), axis) - np.take(c, range(c.shape[axis] - 7), axis)) / 7
        return a
    k1, k2 = (0.01 * np.ptp(y)) ** 2, (0.03 * np.ptp(y)) ** 2
    a, b = mean(x), mean(y)
    va, vb, cov = mean(x * x) - a * a, mean(y * y) - b * b, mean(x * y) - a * b
    return np.mean((2 * a * b + k1) * (2 * cov + k2) / ((a * a + b * b + k1) * (va + vb + k2)))


# Scenes go on beyond their frame: blurred whole, cut afterwards.
pad = 16
n = 160
y, x = np.mgrid[0:n, 0:n]
chart = 60 + 50 * np.sin(x / 9.0) * np.cos(y / 13.0)
chart = np.where(np.hypot(y - 60, x - 70) < 36, np.where(np.sin(16 * np.arctan2(y - 60, x - 70)) > 0, 210, 40), chart)
chart = np.where((y > 115) & ((x // 5) % 2 == 0), 230, chart)
stars = np.full((128, 128), 0.0)
for _ in range(50):
    stars[tuple(rng.integers(0, 128, 2))] += 300 * rng.pareto(1.3) + 200
for axis in (0, 1):  # stars of finite width, off the grid
    stars = (stars + np.roll(stars, 1, axis)) / 2
    stars = (np.roll(stars, 1, axis) + 2 * stars + np.roll(stars, -1, axis)) / 4
bars = np.full((28, 56, 56), 5.0)
bars[:, 10:46, 12::8] = 90
bars[10:18, 20:36, :] += 60
trace = np.zeros((1, 360))
for at, v in ((40, 400), (90, 250), (97, 180), (200, 500), (300, 150)):
    trace[0, at] = v
SCENES = [('chart, motion', chart, 2, '{kind: motion, length: 9, angle: 25}', {'poisson': 2000}, 0, 1.0),
          ('stars', stars, 2, '{kind: moffat, fwhm: 3, beta: 3, size: 21}', {'poisson': 3000, 'gaussian': 4}, 20, 3.5),
          ('bars in 3-D', bars, 3, '{kind: gaussian, fwhm: [4, 2.5, 2.5]}', {'poisson': 500}, 0, 1.5),
          ('spikes', trace[0], 1, '{kind: gaussian, fwhm: 5}', {'poisson': 1000}, 2, 3.5)]
rows = []
for name, scene, dims, psf, noise, background, margin in SCENES:
    with h5py.File('sharp.h5', 'w') as f:
        f['image'] = scene
    noisy, _ = run('blur', 'whole.h5', input='sharp.h5', dimensions=dims, psf=psf, background=background,
                   noise='{%s, seed: 5}' % ', '.join('%s: %g' % k for k in noise.items()), boundary='reflect')
    inner = tuple(slice(min(pad, k // 6), k - min(pad, k // 6)) for k in scene.shape)
    truth, data = scene[inner], noisy[inner]
    with h5py.File('data.h5', 'w') as f:
        f['image'] = data
    keys = dict(input='data.h5', dimensions=dims, psf=psf, noise='{background: %g}' % background)
    result, count = run('deblur', 'd.h5', **keys)
    best = max((psnr(run('deblur', 'd.h5', iterations=k, **keys)[0], truth), k)
               for k in sorted({max(1, min(500, int(count * f))) for f in ((0.25, 0.5, 1, 2, 4) if table else (0.5, 1, 3))}))
    by_rule = psnr(result, truth)
    by_discrepancy = run('deblur', 'd.h5', stop='{rule: discrepancy}', **keys) if table else (truth, 0)
    rims = {b: edge(run('deblur', 'd.h5', boundary=b, iterations=count, **keys)[0], truth, 8) for b in (('reflect', 'zero') if table else ('zero',))}
    rim = edge(result, truth, 8)
    check('%s: %.2f dB by thinning at %d, %.2f at %d' % (name, by_rule, count, best[0], best[1]), by_rule >= best[0] - margin)
    check('%s: %.2f dB, data %.2f' % (name, by_rule, psnr(data - background, truth)), by_rule > psnr(data - background, truth))
    check('%s: rim %.3f, others %s' % (name, rim, rims), name == 'stars' or rim <= 1.03 * min(rims.values()))
    flux = result.sum() / truth.sum()
    check('%s: flux %.4f' % (name, flux), 0.8 < flux < 1.25)
    rows.append((name, psnr(data - background, truth), by_rule, count, best[0], best[1], psnr(by_discrepancy[0], truth + 1e-9),
                 by_discrepancy[1], ssim(result, truth), np.sqrt(np.mean((result - truth) ** 2) / np.mean(truth ** 2)), flux, rim,
                 rims.get('reflect', 0), rims['zero']))
if table:
    print('| scene | data dB | thinning dB (at) | best dB (at) | discrepancy dB (at) | SSIM | NRMSE | flux | rim: unknown, reflect, zero |')
    for r in rows:
        print('| %s | %.1f | %.1f (%d) | %.1f (%d) | %.1f (%d) | %.3f | %.3f | %.3f | %.2f, %.2f, %.2f |' % r)
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
