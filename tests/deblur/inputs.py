"""inputs.py DECONVOY MPIEXEC: what `deblur` and `blur` read: formats down to their odd corners, folders of mixed files, and what
`check` says of them beforehand."""
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
from formats import fits, png, sac, tiff

program, mpiexec = os.path.abspath(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(13)
failed = checks = 0


def check(what, good):
    global failed, checks
    checks += 1
    if not good:
        failed += 1
        print('FAILED:', what, flush=True)


def write(**keys):
    with open('c.yaml', 'w') as f:
        job = keys.pop('job')
        f.write('job: %s\noutput: r.h5\nruntime: {progress: none, durability: process}\n%s:\n' % (job, job))
        f.writelines('  %s: %s\n' % k for k in keys.items())


def call(verb, *more, ranks=1, want=0, says='', out=''):
    start = [mpiexec, '-q', '--oversubscribe', '--bind-to', 'none', '-n', str(ranks)] if ranks > 1 else []
    done = subprocess.run(start + [program, verb, 'c.yaml', *more], capture_output=True, text=True, timeout=100)
    check('%s: exit %d, want %d: %s' % (verb, done.returncode, want, done.stderr[-400:]), done.returncode == want)
    check('%s: "%s" not in: %s' % (verb, says, done.stderr[-400:]), says in done.stderr)
    check('%s: "%s" not in: %s' % (verb, out, done.stdout[-800:]), out in done.stdout)
    return done


def image(path='/blur/image'):
    with h5py.File('r.h5', 'r') as f:
        return f[path][()]


def put(file, **arrays):
    with h5py.File(file, 'w') as f:
        for k, v in arrays.items():
            f[k] = v


def reads(name, want, **keys):
    """A PSF of one sample gives back what was read."""
    want = np.asarray(want, float)
    write(job='blur', input=name, precision='float64', psf='{kind: file, file: one%d.h5}' % keys.get('dimensions', 2), **keys)
    if call('run', '--fresh').returncode == 0:
        have = image()
        check('%s: %s, want %s: %s' % (name, have.shape, want.shape, np.abs(have - want).max() if have.shape == want.shape else ''),
              have.shape == want.shape and np.allclose(have, want, rtol=1e-12, atol=1e-9))


def refuses(name, says, **keys):
    write(job='deblur', input=name, iterations=2, psf='{kind: gaussian, fwhm: 2}', **keys)
    call('run', '--fresh', want=65, says=says)


def formats():
    wide = rng.integers(0, 65536, (3, 9, 7)).astype(np.uint16)
    deep = rng.integers(0, 2 ** 32, (2, 9, 7)).astype(np.uint32)
    soft = (rng.standard_normal((4, 9, 7)) * 1e3).astype('f4')
    fine = rng.standard_normal((2, 9, 7))
    for order in '<>':
        tiff('a.tif', list(wide), 1, order)
        reads('a.tif', wide, dimensions=3)
        reads('a.tif', wide)
        tiff('a.tif', list(soft), 3, order)
        reads('a.tif', soft, dimensions=3)
        tiff('a.tif', list(fine), 3, order)
        reads('a.tif', fine)
        tiff('a.tif', list(wide.astype(np.int16)), 2, order)
        reads('a.tif', wide.astype(np.int16))
        tiff('a.tif', list(deep), 1, order)
        reads('a.tif', deep)
    tiff('a.tif', [wide[0], wide[1][:5]], 1)
    refuses('a.tif', 'a.tif')  # pages of two sizes
    soft[2, 3, 4] = np.nan
    tiff('a.tif', list(soft), 3)
    refuses('a.tif', 'NaN or infinity at [2, 3, 4]', dimensions=3)

    counts = rng.integers(-30000, 30000, (3, 6, 8))
    fits('a.fits', counts, 16, 0.25, -7.5)
    reads('a.fits', counts * 0.25 - 7.5)
    fits('a.fits', counts, 16, 1, 32768)  # the usual way to write unsigned counts
    reads('a.fits', counts + 32768, dimensions=3)
    fits('a.fits', counts * 60000, 32, 1e-3)
    reads('a.fits', counts * 60.0)
    fits('a.fits', counts % 256, 8)
    reads('a.fits', counts % 256)
    counts[1, 2, 5] = -32768
    fits('a.fits', counts, 16, 0.5, 3, more=[('BLANK', -32768)])
    refuses('a.fits', 'NaN or infinity at [1, 2, 5]', dimensions=3)
    fits('a.fits', counts, 16, 0.5, 3, more=[('BLANK', -32767)])  # that value is nowhere in it
    reads('a.fits', counts * 0.5 + 3)
    floats = counts.astype('f4')
    floats[0, 4, 1] = np.nan
    fits('a.fits', floats[0], -32)
    refuses('a.fits', 'NaN or infinity at [4, 1]')

    trace = rng.standard_normal(70).astype('f4')
    put('w.h5', psf=np.exp(-(np.arange(9) - 4.0) ** 2))
    for order in '<>':
        sac('t.sac', trace, 0.04, order)
        reads('t.sac', trace, dimensions=1)
        write(job='deblur', input='t.sac', method='water_level', psf='{kind: file, file: w.h5}', lags='[-1, 2]')
        call('run', '--fresh')
        check('sampling, %s' % order, np.allclose(image('/deblur/lag'), np.arange(-25, 51) * 0.04, atol=1e-6))
    os.makedirs('sacs')
    for i in range(3):
        sac('sacs/%d.sac' % i, trace + i, 0.04, '<>'[i % 2])
    reads('sacs', np.array([trace + np.float32(i) for i in range(3)]), dimensions=1)
    trace[11] = np.inf
    sac('t.sac', trace, 0.04, '>')
    refuses('t.sac', 'NaN or infinity at [11]', dimensions=1)


def folders():
    os.makedirs('mixed/below')
    shapes = {'a.png': (12, 10), 'b.png': (9, 8), 'below/c.png': (12, 10), 'd.png': (12, 11), 'e.png': (12, 10)}
    pictures = {k: rng.integers(1, 256, n).astype(np.uint8) for k, n in shapes.items()}
    for k, p in pictures.items():
        png('mixed/' + k, p, 8)
    with open('mixed/f.png', 'wb') as f:
        f.write(b'no picture')
    for name in ('y.webp', 'x.bmp', 'z.gif'):
        with open('mixed/' + name, 'wb') as f:
            f.write(b'RIFF')
    with open('mixed/.hidden.bmp', 'wb') as f:
        f.write(b'BM')
    left = '3 files are left out'
    write(job='deblur', input='mixed', iterations=3, psf='{kind: gaussian, fwhm: 2}', precision='float64')
    call('check', says=left, out='items: 3 of 6 looked at will fail; the first: b.png: 9x8 with 1 channels; the others are 12x10 with 1')
    done = call('run', '--fresh', says='3 of 6 items failed')
    check('the first left out: %s' % done.stderr, 'the first: x.bmp' in done.stderr)
    with h5py.File('r.h5', 'r') as f:
        names, status = [n.decode() for n in f['inputs/name'][()]], list(f['inputs/status'][()])
        check('%s %s' % (names, status), names == ['a.png', 'b.png', 'below/c.png', 'd.png', 'e.png', 'f.png'] and status == [1, 2, 1, 2, 1, 2])
        p = np.exp(-4 * np.log(2) * (np.arange(-8, 9) / 2.0) ** 2)
        psf = f['deblur/psf'][()]
        for i in (0, 2, 4):
            want = ref.richardson_lucy(pictures[names[i]].astype(float), psf, [n // 2 for n in psf.shape], 'unknown', 3)[0]
            check('%s beside broken ones' % names[i], np.allclose(f['deblur/image'][i], want, rtol=1e-9))
        check('the PSF', np.allclose(psf[psf.shape[0] // 2] / psf.max(), p[8 - psf.shape[1] // 2:9 + psf.shape[1] // 2], rtol=1e-9))
    call('run', '--fresh', '--set', 'deblur.parallel=distributed', ranks=2, want=65, says='b.png: 9x8')
    call('check', '--set', 'deblur.parallel=distributed', want=65, says='b.png: 9x8')
    write(job='blur', input='mixed', psf='{kind: gaussian, fwhm: 2}')
    call('check', out='items: 3 of 6 looked at will fail')
    os.makedirs('alien')
    for name in ('b.webp', 'a.webp'):
        with open('alien/' + name, 'wb') as f:
            f.write(b'RIFF')
    write(job='deblur', input='alien', psf='{kind: gaussian, fwhm: 2}')
    call('check', want=65, says='2 are of other kinds, the first: a.webp')
    # Every object of another size than the first that can be read is missing, or broken: nothing is worth a run.
    with open('list.txt', 'w') as f:
        f.write('mixed/f.png\nmixed/nowhere.png\n')
    write(job='deblur', input='list.txt', psf='{kind: gaussian, fwhm: 2}')
    call('check', want=65, says='none of 2 files can be read')


def negatives():
    stack = rng.standard_normal((3, 15, 13)) * 4 + 5
    put('neg.h5', image=stack)
    put('neg1.h5', image=stack[1])
    below = int((stack[1] < 0).sum())
    psf = ref.conv_frame(np.ones((1, 1)), [0, 0], (1, 1))
    psf = rng.random((3, 4))
    put('p.h5', psf=psf)
    psf = psf / psf.sum()
    for method, how in (('richardson_lucy', {}), ('rl_tv', {'tv': 0.002}), ('wiener', None)):
        keys = dict(job='deblur', psf='{kind: file, file: p.h5}', precision='float64', method=method)
        keys.update({'regularisation': 0.01} if how is None else {'iterations': 4})
        for ranks in (1, 2):
            write(input='neg1.h5', **keys)
            call('run', '--fresh', ranks=ranks, says='%d samples are below 0 and count as 0' % below if how is not None else '')
            want = ref.wiener(stack[1], psf, [1, 2], 'reflect', 0.01) if how is None else \
                ref.richardson_lucy(np.maximum(stack[1], 0), psf, [1, 2], 'unknown', 4, **how)[0]
            check('%s of negative data' % method, np.allclose(image('/deblur/image'), want, rtol=1e-9, atol=1e-9))
        write(input='neg.h5', **keys)
        done = call('run', '--fresh')
        check('%s, many: %s' % (method, done.stderr), done.stderr.count('samples are below 0') == (how is not None))
        check('%s, many' % method, np.allclose(image('/deblur/image')[1], want, rtol=1e-9, atol=1e-9))
    put('neg1.h5', image=-np.abs(stack[1]))
    write(job='deblur', input='neg1.h5', psf='{kind: file, file: p.h5}', iterations=4)
    call('run', '--fresh', says='%d samples are below 0' % stack[1].size)
    check('nothing but negatives', (image('/deblur/image') == 0).all())


def sheet_width(result):
    """Of the first sheet of a report made from elsewhere."""
    done = subprocess.run([program, 'report', os.path.abspath(result), '-o', os.path.abspath('sheets')], capture_output=True, text=True, cwd='/')
    check('report: %d %s' % (done.returncode, done.stderr), done.returncode == 0)
    with open(done.stdout.split()[0], 'rb') as f:
        return int.from_bytes(f.read(20)[16:], 'big')


def sheets():
    """The input stands beside the result, as long as it can be found and is of its shape."""
    os.makedirs('shots')
    for name in ('a.png', 'b.png'):
        png('shots/' + name, rng.integers(0, 256, (30, 40)).astype(np.uint8), 8)
    with open('shots.txt', 'w') as f:
        f.write('shots/b.png\nshots/a.png\n')
    put('cube.h5', image=rng.random((2, 30, 40)), other=rng.random((3, 3)))
    for given, more in (('shots/a.png', {}), ('shots', {}), ('shots.txt', {}), ('cube.h5', {'dataset': '/image'})):
        for job, how in (('deblur', {'iterations': 2}), ('blur', {})):
            write(job=job, input=given, psf='{kind: gaussian, fwhm: 2}', **more, **how)
            call('run', '--fresh', '--set', 'output=results/deep/r.h5')
            whole = sheet_width('results/deep/r.h5')
            os.rename(given, 'away')
            alone = sheet_width('results/deep/r.h5')
            os.rename('away', given)
            check('%s of %s: sheets %d and %d wide' % (job, given, whole, alone), whole == alone + 4 * 40 + 6)
    write(job='blur', input='shots/a.png', psf='{kind: gaussian, fwhm: 2}')
    call('run', '--fresh')
    whole = sheet_width('r.h5')
    png('shots/a.png', np.zeros((30, 41), np.uint8), 8)
    check('another picture in its place', sheet_width('r.h5') == whole - 4 * 40 - 6)


with tempfile.TemporaryDirectory(prefix='deconvoy.') as folder:
    os.chdir(folder)
    for axes in (1, 2, 3):
        put('one%d.h5' % axes, psf=np.ones((1,) * axes))
    formats()
    folders()
    negatives()
    sheets()
    os.chdir('/')
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
