"""methods.py SOLVE: each method and option of deblurring against NumPy in float64 (reference.py); SOLVE is
tests/deblur/solve.c."""
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    sys.exit(77)

import reference as ref

program, folder = sys.argv[1], tempfile.mkdtemp(prefix='deconvoy.')
rng = np.random.default_rng(7)
failed = checks = refused = 0


def frame(shape, fill):
    """Axes of a frame: a picture's are rows, 1, columns."""
    shape = list(shape)
    return ','.join(str(k) for k in ([fill] * (3 - len(shape)) + shape if len(shape) != 2 else [shape[0], fill, shape[1]]))


def refuse(data, keys, done):
    global refused
    refused += 1
    print('FAILED: %s: exit %d: %s' % (keys, done.returncode, done.stderr))
    return {'image': np.full(data.shape, np.nan), 'history': np.full((4, 1), np.nan),
            **dict.fromkeys(('iterations', 'regularisation', 'gain', 'read', 'adjoint_error'), np.nan)}


def run(data, psf, centre=None, n=[0], **keys):
    """Image, facts and history of one object; keys: as tests/deblur/solve.c knows them."""
    n[0] += 1
    name = os.path.join(folder, 'r')
    axes = psf.ndim
    data.astype(float).tofile(name + '.data')
    psf.astype(float).tofile(name + '.psf')
    keys = dict({'dimensions': axes, 'threads': 1 + n[0] % 2}, **keys)
    call = [program] + ['%s=%s' % k for k in keys.items()] + [
        'data=%s.data' % name, 'psf=%s.psf' % name, 'out=%s.out' % name, 'n=' + frame(data.shape[:axes], 1),
        'p=' + frame(psf.shape, 1), 'c=' + frame([k // 2 for k in psf.shape] if centre is None else centre, 0)]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:  # nothing to compare; the next one may have something
        return refuse(data, keys, done)
    out = np.fromfile(name + '.out')
    rows = 0
    for rows in range(501):  # the facts say how many rows of history follow them
        at = len(out) - 8 - 4 * rows
        if at >= 0 and out[at + 6] == rows and out[at + 7] == 0:
            break
    facts = out[at:at + 8]
    history = out[at + 8:].reshape(rows, 4).T
    return {'image': out[:at].reshape(data.shape if at == data.size else -1), 'iterations': facts[0],
            'regularisation': facts[1], 'gain': facts[2], 'read': facts[3], 'adjoint_error': facts[4], 'history': history}


def check(what, have, want, tolerance):
    global failed, checks
    have, want = np.asarray(have, float), np.asarray(want, float)
    if np.isnan(have).all() and refused:
        return  # said already
    checks += 1
    scale = np.linalg.norm(want)
    error = np.linalg.norm(have - want) / (scale if scale else 1) if have.shape == want.shape else np.nan
    if not error <= tolerance:
        failed += 1
        print('FAILED: %s: error %g, want at most %g (shapes %s, %s)' % (what, error, tolerance, have.shape, want.shape))


def scene(shape):
    x = rng.random(shape) ** 4 * 50 + 5
    return x


def spread(shape):
    """One-sided and lopsided, so that what is turned round shows."""
    p = rng.random(shape) ** 2
    p[tuple(0 for _ in shape)] += 1.5
    return p / p.sum()


SPACING = {1: {'h2': 1.0}, 2: {'h0': 1.0, 'h2': 2.0}, 3: {'h0': 1.0, 'h1': 2.0, 'h2': 0.5}}
CASES = [((24, 33), (5, 7)), ((25, 32), (4, 6)), ((40,), (9,)), ((41,), (6,)), ((12, 9, 14), (3, 4, 5)), ((16, 1), (5, 1)),
         ((13, 17), (21, 19))]
for shape, p in CASES:
    psf, y = spread(p), scene(shape)
    centre = [k // 2 for k in p]
    d = {'dimensions': len(shape)}
    for boundary in ('reflect', 'periodic', 'zero'):
        o = dict(d, boundary=boundary)
        tag = '%s %s %s' % (shape, p, boundary)
        check('inverse ' + tag, run(y, psf, method='inverse', regularisation=0.05, **o)['image'],
              ref.inverse(y, psf, centre, boundary, 0.05), 1e-10)
        check('wiener ' + tag, run(y, psf, method='wiener', regularisation=0.01, **o)['image'],
              ref.wiener(y, psf, centre, boundary, 0.01), 1e-10)
        check('tikhonov ' + tag, run(y, psf, method='tikhonov', regularisation=0.003, **o)['image'],
              ref.tikhonov(y, psf, centre, boundary, 0.003), 1e-10)
        check('landweber ' + tag, run(y, psf, method='landweber', iterations=25, **o)['image'],
              ref.landweber(y, psf, centre, boundary, 25), 1e-10)
    for boundary in ('unknown', 'reflect', 'periodic', 'zero'):
        o = dict(d, boundary=boundary, iterations=30)
        tag = '%s %s %s' % (shape, p, boundary)
        r = run(y, psf, gain=1, read=2, **o)
        x, h = ref.richardson_lucy(y, psf, centre, boundary, 30, read=2)
        check('richardson_lucy ' + tag, r['image'], x, 1e-10)
        for k, name in enumerate(('divergence', 'change', 'flux', 'chi2')):
            check(name + ' ' + tag, r['history'][k], h[k], 1e-8)
        r = run(y, psf, precision='float32', gain=1, **o)
        check('float32 ' + tag, r['image'], x, 1e-4)
        check('adjoint ' + tag, r['adjoint_error'], 0, 1e-5)
        r = run(y, psf, acceleration='biggs_andrews', gain=1, background=3, **o)
        x, h = ref.richardson_lucy(y, psf, centre, boundary, 30, background=3, accelerate=True)
        check('biggs_andrews ' + tag, r['image'], x, 1e-7)
        check('biggs_andrews divergence ' + tag, r['history'][0], h[0], 1e-7)
        r = run(y, psf, method='rl_tv', regularisation=0.01, gain=1, **dict(o, **SPACING[len(shape)]))
        x, h = ref.richardson_lucy(y, psf, centre, boundary, 30, tv=0.01, spacing=[1.0, 2.0, 0.5][:len(shape)])
        check('rl_tv ' + tag, r['image'], x, 1e-9)

# Thinning: the same numbers drawn, the same noise found, the same count and result; and what a rule by hand ends.
for shape, p, boundary in (((24, 33), (5, 7), 'unknown'), ((25, 32), (4, 6), 'reflect'), ((80,), (9,), 'unknown'),
                           ((12, 9, 14), (3, 4, 5), 'zero'), ((23, 28), (3, 6), 'periodic')):
    psf, centre = spread(p), [k // 2 for k in p]
    m = ref.Model(shape, psf, centre, 'periodic')
    clean = np.maximum(m.times(scene(shape)), 0)
    counts = rng.poisson(clean * 3).astype(float)
    soft = clean + 1.5 * rng.standard_normal(shape)
    for name, y, how in (('counts', counts, {}), ('gain given', counts * 0.37, {'gain': 0.37}),
                         ('counts and background', counts + 20, {'background': 20}), ('read noise', soft, {}),
                         ('read noise given', soft, {'read': 1.5}), ('both', soft, {'gain': 0.05, 'read': 1.4}),
                         ('fractions of counts', counts + 0.25, {'gain': 1, 'read': 0.5})):
        for fast in ('none', 'biggs_andrews'):
            gain, read, count, judged = ref.thinning(y, psf, centre, boundary, most=120, accelerate=fast != 'none', **how)
            tag = ' %s %s %s %s' % (name, shape, boundary, fast)
            r = run(y, psf, stop='thinning', boundary=boundary, acceleration=fast, iterations=120, **how)
            check('gain' + tag, r['gain'], gain, 1e-12)
            check('read' + tag, r['read'], read, 1e-12)
            check('count' + tag, r['iterations'], count, 0)
            x, h = ref.richardson_lucy(y, psf, centre, boundary, int(np.nan_to_num(r['iterations'], nan=1)), accelerate=fast != 'none', gain=gain,
                                       read=read, background=how.get('background', 0))
            check('image' + tag, r['image'], x, 1e-7 if fast != 'none' else 1e-10)
    y = soft
    r = run(y, psf, stop='discrepancy', boundary=boundary, iterations=200, read=1.5 * 1.02)
    x, h = ref.richardson_lucy(y, psf, centre, boundary, 200, gain=0, read=1.5 * 1.02)
    under = np.nonzero(h[3] <= 1)[0]
    check('discrepancy %s' % (shape,), r['iterations'], under[0] + 1 if len(under) else 200, 0)
    r = run(y, psf, stop='change', tolerance=0.01, boundary=boundary, iterations=200)
    check('change %s' % (shape,), r['iterations'], np.nonzero(h[1] <= 0.01)[0][0] + 1, 0)

# Units do not matter: powers of two scale every float exactly, also where squares of the data are beyond float32.
psf, clean = spread((5, 7)), scene((24, 33))
counts = rng.poisson(clean * 3) + 0.25
for scale in (2.0 ** -70, 2.0 ** 60):
    for how in ({'iterations': 12}, {'iterations': 12, 'acceleration': 'biggs_andrews'}, {'iterations': 12, 'method': 'rl_tv'},
                {'iterations': 90, 'stop': 'change', 'tolerance': 0.05}, {'iterations': 90, 'stop': 'thinning', 'read': 0.1},
                {'iterations': 90, 'stop': 'discrepancy', 'read': 9}):
        for gain in (0, 1) if scale < 1 else (1,):  # large floats are whole numbers, whose gain is 1
            a = run(counts, psf, precision='float32', gain=gain, **dict({'read': 2}, **how))
            b = run(counts * scale, psf, precision='float32', gain=gain * scale, **dict(how, read=how.get('read', 2) * scale))
            tag = ' of data times %g %s, gain %g' % (scale, how, gain)
            check('count' + tag, b['iterations'], a['iterations'], 0)
            check('image' + tag, b['image'] / scale, a['image'], 1e-20)  # but for what vanishes
            for k, unit in enumerate((scale, 1, scale, 1)):
                check('history %d' % k + tag, b['history'][k] / unit, a['history'][k], 1e-12)
r = run(clean * 0.01, psf, iterations=30, read=1e-4)  # a noise far below the data, which are small numbers themselves
check('chi2 of small numbers', r['history'][3],
      ref.richardson_lucy(clean * 0.01, psf, [2, 3], 'unknown', 30, gain=0, read=1e-4)[1][3], 1e-8)

# Unmatched back projector, centres, PSFs of no sum, closed forms in float32.
psf, y = spread((7, 5)), scene((30, 28))
bump = np.exp(-((np.arange(7)[:, None] - 3) ** 2 + (np.arange(5) - 2) ** 2) / 3.0)
for boundary in ('unknown', 'periodic'):
    r = run(y, bump / bump.sum(), acceleration='wiener_butterworth', iterations=3, boundary=boundary, gain=1)
    x, h = ref.richardson_lucy(y, bump / bump.sum(), [3, 2], boundary, 3, butterworth=True)
    check('wiener_butterworth ' + boundary, r['image'], x, 1e-9)
check('centre [1, 4]', run(y, psf, centre=[1, 4], iterations=10, gain=1)['image'],
      ref.richardson_lucy(y, psf, [1, 4], 'unknown', 10)[0], 1e-10)
check('wiener float32', run(y, psf, method='wiener', regularisation=1e-3, precision='float32')['image'],
      ref.wiener(y, psf, [3, 2], 'reflect', 1e-3), 1e-5)

# Regularisation by cross-validation: as good as the best of a fine search.
smooth = np.cumsum(np.cumsum(rng.standard_normal((48, 40)), 0), 1)
for boundary in ('periodic', 'reflect', 'zero'):
    m = ref.Model(smooth.shape, psf, [3, 2], boundary)
    blurred = m.times(m.lay(smooth))[m.window] + 0.5 * rng.standard_normal(smooth.shape)
    for method in ('wiener', 'tikhonov'):
        r = float(run(blurred, psf, method=method, boundary=boundary)['regularisation'])
        best = ref.best_r(blurred, psf, [3, 2], boundary, method)
        v = [ref.gcv(blurred, psf, [3, 2], boundary, method, k) for k in (r, best)]
        check('auto %s %s: %g, best %g' % (method, boundary, r, best), v[0] / v[1], 1, 1e-4)

# Traces.
dt, t = 0.05, np.arange(300) * 0.05
wavelet = np.exp(-((np.arange(61) - 20) * dt) ** 2 / 0.02)
d = np.zeros((3, 300))
for i in range(3):
    for at, a in ((10 + 7 * i, 1.0), (60, -0.4), (140 + i, 0.3)):
        d[i] += a * np.interp(np.arange(300) - at, np.arange(61) - 20, wavelet, left=0, right=0)
lags = dict(sampling=dt, lag0=-2, lag1=20, gaussian=3.0)
w = wavelet / wavelet.sum()
for k in d:
    check('water_level', run(k, w, method='water_level', **lags)['image'], ref.water_level(k, w, 30, dt, 3.0, 0.01, -2, 20)[1], 1e-10)
    r = run(k, w, method='iterative_spikes', **lags)
    want = ref.iterative_spikes(k, w, 30, dt, 3.0, -2, 20, 1e-3, 500)
    check('iterative_spikes', r['image'], want[1], 1e-9)
    check('its iterations', r['iterations'], want[2], 0)

shutil.rmtree(folder)
print('%d checks, %d failed, %d runs without a result' % (checks, failed, refused))
sys.exit(1 if failed or refused or not checks else 0)
