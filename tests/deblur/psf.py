"""psf.py DECONVOY: point spread functions against NumPy: the integral of Gibson and Lanni by another rule of quadrature, files
with each rule of their centre in each format, and one PSF an object."""
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

import reference as ref
from formats import fits, png, tiff

program = os.path.abspath(sys.argv[1])
rng = np.random.default_rng(11)
failed = checks = 0


def check(what, good):
    global failed, checks
    checks += 1
    if not good:
        failed += 1
        print('FAILED:', what, flush=True)


def near(what, have, want, tolerance):
    have, want = np.asarray(have, float), np.asarray(want, float)
    if have.shape != want.shape:
        return check('%s: shapes %s, %s' % (what, have.shape, want.shape), False)
    error = np.linalg.norm(have - want) / np.linalg.norm(want)
    check('%s: error %g, want at most %g' % (what, error, tolerance), error <= tolerance)


def run(job, output, want=0, says='', **keys):
    with open('c.yaml', 'w') as f:
        f.write('job: %s\noutput: %s\nruntime: {progress: none, durability: process}\n%s:\n' % (job, output, job))
        f.writelines('  %s: %s\n' % k for k in keys.items())
    done = subprocess.run([program, 'run', 'c.yaml', '--fresh'], capture_output=True, text=True, timeout=100)
    check('%s: exit %d, want %d: %s' % (keys, done.returncode, want, done.stderr[-300:]), done.returncode == want and says in done.stderr)
    if done.returncode:
        return None
    with h5py.File(output, 'r') as f:
        return f[job + '/image'][()], f[job + '/psf'][()], f[job + '/psf'].attrs['centre'][()]


def put(file, **arrays):
    with h5py.File(file, 'w') as f:
        for k, v in arrays.items():
            f[k] = v


# --- Gibson and Lanni ---------------------------------------------------------------------

NODES, WEIGHTS = np.polynomial.legendre.leggauss(1200)


def j0(x):
    """Bessel's integral, by the trapezoidal rule, which converges like a Fourier series."""
    n = int(np.max(np.abs(x))) + 40
    t = np.pi * (np.arange(n) + 0.5) / n
    return sum(np.cos(x * np.sin(k)) for k in t) / n


def gibson_lanni(shape, na, wavelength, pixel, step=1, immersion=1.515, sample=1.33, thickness=0, depth=0):
    """|int J0(k r a) exp(i k W(a)) a da|^2 over a = 0 .. min(na, immersion, sample), Gauss and Legendre's rule in the angle
    of the ray that the wider of the two media sees.  shape: planes, rows, columns."""
    top = min(na, immersion, sample)
    t = np.arcsin(top / min(immersion, sample))
    angle, weight = t * (NODES + 1) / 2, WEIGHTS * t / 2
    a = min(immersion, sample) * np.sin(angle)
    weight = weight * a * min(immersion, sample) * np.cos(angle)
    k = 2 * np.pi / wavelength
    z, y, x = (np.arange(n) - n // 2 for n in shape)
    radii, at = np.unique(np.round(np.hypot(y[:, None], x[None, :]), 12), return_inverse=True)
    bessel = np.array([j0(k * a * r * pixel) for r in radii])
    out = []
    for d in z:
        w = (d * step + thickness) * (np.sqrt(immersion ** 2 - a ** 2) - immersion) + depth * (np.sqrt(sample ** 2 - a ** 2) - sample)
        out.append((np.abs(bessel @ (weight * np.exp(1j * k * w))) ** 2)[at].reshape(len(y), len(x)))
    out = np.array(out)
    return out / out.sum()


MICROSCOPES = [
    dict(na=1.4, wavelength=0.525, pixel=0.1, step=0.2),  # in focus, oil
    dict(na=1.2, wavelength=0.6, pixel=0.08, step=0.25, immersion=1.33, sample=1.4, depth=4.0),
    dict(na=1.4, wavelength=0.525, pixel=0.1, step=0.2, depth=10.0),  # deep: beyond the sample's index nothing gets through
    dict(na=0.8, wavelength=0.5, pixel=0.2, step=1.5, immersion=1.0, sample=1.33, depth=60.0, thickness=-3.0),
    dict(na=1.33, wavelength=0.45, pixel=0.07, step=0.3, immersion=1.406, sample=1.33, depth=25.0, thickness=1.7),
    dict(na=0.3, wavelength=0.7, pixel=0.6, step=4.0, immersion=1.0, sample=1.0, depth=100.0),
]


def written(how, size):
    return '{kind: gibson_lanni, size: [%s], %s}' % (', '.join(map(str, size)), ', '.join('%s: %r' % k for k in how.items()))


def microscopes():
    put('beads.h5', image=np.eye(9)[None] * np.ones((5, 1, 1)))
    for how in MICROSCOPES:
        for size in ((9, 13, 11), (12, 10, 14)):
            want = gibson_lanni(size, **dict({'immersion': 1.515}, **how))
            _, have, centre = run('blur', 'g.h5', input='beads.h5', dimensions=3, psf=written(how, size))
            near('gibson_lanni %s %s' % (how, size), have, want, 1e-9)
            check('its centre: %s' % centre, list(centre) == [k // 2 for k in size])
            for plane in (0, size[0] // 2, size[0] - 1):  # each on its own: dim planes count as much as bright ones
                near('plane %d of %s' % (plane, how), have[plane] / want[plane].sum(), want[plane] / want[plane].sum(), 1e-8)
    deep = gibson_lanni((9, 13, 11), **MICROSCOPES[2])
    lopsided = np.linalg.norm(deep - deep[::-1]) / np.linalg.norm(deep)
    check('the deep one is not the same above and below: %g' % lopsided, lopsided > 0.1)
    how = {k: v for k, v in MICROSCOPES[3].items() if k != 'step'}
    _, have, _ = run('blur', 'g.h5', input='beads.h5', dimensions=2, psf=written(how, (13, 12)))
    near('gibson_lanni in a plane', have, gibson_lanni((1, 13, 12), **how)[0], 1e-9)
    # Wide: the Bessel function turns often.
    how = dict(MICROSCOPES[1], depth=30.0)
    _, have, _ = run('blur', 'g.h5', input='beads.h5', dimensions=3, psf=written(how, (3, 1, 401)))
    near('gibson_lanni, 401 columns', have, gibson_lanni((3, 1, 401), **how), 1e-8)
    # The support that is found leaves out 1e-4 of the sum along an axis.
    how = MICROSCOPES[0]
    _, have, _ = run('blur', 'g.h5', input='beads.h5', dimensions=3, psf='{kind: gibson_lanni, %s}' % ', '.join('%s: %r' % k for k in how.items()))
    check('its support: %s' % (have.shape,), all(n % 2 for n in have.shape))
    near('gibson_lanni, support found', have, gibson_lanni(have.shape, **how), 1e-9)


# --- Files ------------------------------------------------------------------------------------

def centre_by(rule, psf):
    if rule == 'floor':
        return [n // 2 for n in psf.shape]
    if rule == 'max':
        return list(np.unravel_index(np.argmax(psf), psf.shape))
    if rule == 'centroid':
        return [int(np.rint(np.sum(np.arange(n) * psf.sum(tuple(b for b in range(psf.ndim) if b != a))) / psf.sum()))
                for a, n in enumerate(psf.shape)]
    return rule


def blurred(x, psf, centre, boundary):
    m = ref.Model(x.shape, psf / psf.sum(), centre, boundary)
    return m.times(m.lay(x))[m.window]


def write(name, psf):
    if name.endswith('.h5'):
        put(name, psf=psf)
    elif name.endswith('.fits'):
        fits(name, psf, -64)
    elif name.endswith('.tif'):
        tiff(name, [p.astype('f4') for p in (psf if psf.ndim == 3 else psf[None])], 3)
    else:
        png(name, psf.astype(np.uint16), 16)


def files():
    scene = rng.random((19, 22)) ** 3 * 90 + 4
    put('scene.h5', image=scene)
    for shape in ((5, 7), (4, 6), (5, 4), (6, 1)):
        psf = np.floor(rng.random(shape) ** 3 * 60000) + 1
        psf[tuple(min(1, n - 1) for n in shape)] = 65000
        for name in ('p.h5', 'p.fits', 'p.tif', 'p.png'):
            write(name, psf)
            for rule in ('floor', 'max', 'centroid', [shape[0] - 1, 0]) if name == 'p.h5' else ('max', 'centroid'):
                y, have, centre = run('blur', 'y.h5', input='scene.h5', precision='float64', boundary='periodic',
                                      psf='{kind: file, file: %s, centre: %s}' % (name, rule))
                want = centre_by(rule, psf)
                check('%s %s %s: centre %s, want %s' % (name, shape, rule, centre, want), list(centre) == want)
                near('%s %s, its samples' % (name, shape), have, psf / psf.sum(), 1e-12)
                near('%s %s %s' % (name, shape, rule), y, blurred(scene, psf, want, 'periodic'), 1e-12)
    for rule in ('floor', 'max'):
        psf = rng.random((4, 5)) ** 2
        put('p.h5', psf=psf)
        x, _, _ = run('deblur', 'x.h5', input='scene.h5', precision='float64', iterations=6, psf='{kind: file, file: p.h5, centre: %s}' % rule)
        near('deblur, centre %s' % rule, x, ref.richardson_lucy(scene, psf / psf.sum(), centre_by(rule, psf), 'unknown', 6)[0], 1e-10)
    cube, psf = rng.random((9, 8, 10)), np.float64(rng.random((3, 4, 2)).astype('f4'))
    put('cube.h5', image=cube)
    for name in ('q.h5', 'q.fits', 'q.tif'):
        write(name, psf)
        y, _, centre = run('blur', 'y.h5', input='cube.h5', dimensions=3, precision='float64', boundary='zero', psf='{kind: file, file: %s}' % name)
        check('%s: centre %s' % (name, centre), list(centre) == [1, 2, 1])
        near(name, y, blurred(cube, psf, [1, 2, 1], 'zero'), 1e-12)
    run('blur', 'y.h5', want=78, says='expected one for each of 3 blurred axes', input='cube.h5', dimensions=3, psf='{kind: file, file: q.h5, centre: [1, 2]}')
    run('blur', 'y.h5', want=78, says='samples along that axis', input='cube.h5', dimensions=3, psf='{kind: file, file: q.h5, centre: [1, 4, 1]}')


def items():
    stack, psfs = rng.random((4, 17, 14)) * 50 + 3, rng.random((4, 4, 5)) ** 3
    psfs[2] *= 7  # normalised one by one
    put('stack.h5', image=stack)
    put('psfs.h5', psf=psfs)
    fits('psfs.fits', psfs, -64)
    os.makedirs('folder')
    for i, s in enumerate(stack):
        fits('folder/%d.fits' % i, s, -64)
    for source in ('stack.h5', 'folder'):
        for file in ('psfs.h5', 'psfs.fits'):
            for rule in ('floor', 'max', 'centroid'):
                how = dict(input=source, precision='float64', psf='{kind: file, file: %s, centre: %s}' % (file, rule))
                x, have, _ = run('deblur', 'x.h5', iterations=5, **how)
                w, _, _ = run('deblur', 'x.h5', method='wiener', regularisation=0.02, **how)
                for i in range(4):
                    p, c = psfs[i] / psfs[i].sum(), centre_by(rule, psfs[i])
                    tag = '%s %s %s, item %d' % (source, file, rule, i)
                    near('PSF of ' + tag, have[i], p, 1e-12)
                    near('richardson_lucy ' + tag, x[i], ref.richardson_lucy(stack[i], p, c, 'unknown', 5)[0], 1e-10)
                    near('wiener ' + tag, w[i], ref.wiener(stack[i], p, c, 'reflect', 0.02), 1e-10)
    for more in ({}, {'parallel': 'distributed'}):
        y, _, _ = run('blur', 'y.h5', input='stack.h5', precision='float64', psf='{kind: file, file: psfs.h5, centre: max}', **more)
        for i in range(4):
            near('blur %s, item %d' % (more, i), y[i], blurred(stack[i], psfs[i], centre_by('max', psfs[i]), 'reflect'), 1e-12)
    # PSFs alike in every item, and as many as there are not.
    run('blur', 'y.h5', want=78, says='4x4x5', input='folder/0.fits', psf='{kind: file, file: psfs.h5}')
    psfs[3] = 0
    put('psfs.h5', psf=psfs)
    run('deblur', 'x.h5', want=65, says='PSF 3: the PSF has no mass', input='stack.h5', iterations=5, psf='{kind: file, file: psfs.h5}')


with tempfile.TemporaryDirectory(prefix='deconvoy.') as folder:
    os.chdir(folder)
    microscopes()
    files()
    items()
    os.chdir('/')
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
