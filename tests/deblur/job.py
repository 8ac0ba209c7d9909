"""job.py DECONVOY MPIEXEC: the jobs `deblur` and `blur` from outside: bytes at any number of ranks and threads, kills, readers,
bad input."""
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

from formats import fits, png, sac, tiff

program, mpiexec = sys.argv[1:3]
folder = tempfile.mkdtemp(prefix='deconvoy.')
os.chdir(folder)
rng = np.random.default_rng(3)
failed = checks = 0


def check(what, good):
    global failed, checks
    checks += 1
    if not good:
        failed += 1
        print('FAILED:', what, flush=True)


def yaml(name, job, output, **keys):
    with open(name, 'w') as f:
        f.write('job: %s\noutput: %s\nruntime: {progress: none, durability: process}\n%s:\n' % (job, output, job))
        for k, v in keys.items():
            f.write('  %s: %s\n' % (k, v))


def call(config, ranks=1, *more):
    start = [mpiexec, '-q', '--oversubscribe', '--bind-to', 'none', '-n', str(ranks)] if ranks > 1 else []
    return start + [program, 'run', config] + list(more)


def run(config, ranks=1, *more, want=0, says=''):
    done = subprocess.run(call(config, ranks, *more), capture_output=True, text=True, timeout=100)
    check('%s on %d ranks %s: exit %d, want %d: %s' % (config, ranks, more, done.returncode, want, done.stderr[-300:]),
          done.returncode == want)
    check('%s: "%s" not in: %s' % (config, says, done.stderr[-300:]), says in done.stderr)
    return done


def read(file):
    with open(file, 'rb') as f:
        return f.read()


def image(file, path='/deblur/image'):
    with h5py.File(file, 'r') as f:
        return f[path][()]


def put(file, **arrays):
    with h5py.File(file, 'w') as f:
        for k, v in arrays.items():
            f[k] = v


# One object over all ranks: the same bytes.
scene = np.zeros((61, 76))
scene[10:40, 20:50] = 100
scene[30, 60] = 2000
put('sharp.h5', image=scene)
motion = '{kind: motion, length: 9, angle: 20}'
yaml('blur.yaml', 'blur', 'blurred.h5', input='sharp.h5', psf=motion, background=2,
     noise='{poisson: 500, gaussian: 0.1, seed: 3}')
run('blur.yaml')
run('blur.yaml', 3, '--set', 'output=blurred3.h5')
check('blur on 3 ranks', read('blurred.h5') == read('blurred3.h5'))
yaml('deblur.yaml', 'deblur', 'd.h5', input='blurred.h5', psf=motion, acceleration='biggs_andrews',
     noise='{background: 2}')
run('deblur.yaml', says='differ by')
for ranks, threads in ((1, 4), (2, 1), (3, 2), (5, 1), (7, 1)):
    run('deblur.yaml', ranks, '--set', 'output=e.h5', '--set', 'runtime.threads=%d' % threads, '--fresh')
    check('%d ranks, %d threads' % (ranks, threads), read('d.h5') == read('e.h5'))
check('nothing is left beside the result', sorted(f for f in os.listdir('.') if f.startswith('e')) == ['e.h5', 'e.run.json'])
truth, before, after = scene, image('blurred.h5', '/blur/image'), image('d.h5')
check('closer to the truth: %g, %g' % (np.std(after - truth), np.std(before - truth)),
      np.std(after - truth) < 0.8 * np.std(before - truth))
yaml('tv.yaml', 'deblur', 'tv.h5', input='blurred.h5', psf=motion, method='rl_tv', iterations=20)
run('tv.yaml')
run('tv.yaml', 5, '--set', 'output=tv5.h5')
check('rl_tv on 5 ranks', read('tv.h5') == read('tv5.h5'))
stack = rng.random((9, 20, 18)) * 100
put('stack.h5', image=stack)
yaml('stack.yaml', 'deblur', 'stack1.h5', input='stack.h5', dimensions=3, psf='{kind: gaussian, fwhm: [3, 2, 2.5]}',
     method='tikhonov')
run('stack.yaml')
run('stack.yaml', 12, '--set', 'output=stack12.h5')
check('cross-validation in three dimensions on 12 ranks', read('stack1.h5') == read('stack12.h5'))
put('flat.h5', image=rng.random((3, 40)) * 100)
yaml('flat.yaml', 'deblur', 'flat1.h5', input='flat.h5', psf='{kind: gaussian, fwhm: 2}', method='wiener', boundary='periodic')
run('flat.yaml')
run('flat.yaml', 5, '--set', 'output=flat5.h5', says='2 of 5 ranks idle: the object has 3 planes')
check('more ranks than planes', read('flat1.h5') == read('flat5.h5'))

# The noise that `blur` draws and the split that judges it are independent, also where both seeds are the default.
yaml('seeds.yaml', 'blur', 's.h5', input='sharp.h5', psf=motion, background=20, noise='{poisson: 2000, seed: 1}')
yaml('thin.yaml', 'deblur', 't.h5', input='s.h5', psf=motion, noise='{gain: %r}' % (image('blurred.h5', '/blur/image').max() / 2000))
ends = []
for seed in (1, 2, 3):
    run('seeds.yaml', 1, '--set', 'blur.noise.seed=%d' % seed, '--fresh')
    run('thin.yaml', 1, '--fresh')
    with h5py.File('t.h5', 'r') as f:
        ends.append(int(f['/deblur/iterations'][()]))
check('thinning ends after %s iterations for three seeds of the noise' % ends, max(ends) < 3 * min(ends) and max(ends) < 500)

# Killed and asked to stop, with states, and gone on with on another number of ranks.
big = np.kron(scene, np.ones((6, 6)))
put('big.h5', image=big)
yaml('long.yaml', 'deblur', 'l.h5', input='big.h5', psf='{kind: gaussian, fwhm: 4}', iterations=150, checkpoint_every=0,
     acceleration='biggs_andrews')
run('long.yaml', 1, '--set', 'output=want.h5')
for ranks, pause in ((1, 1.0), (2, 1.6), (3, 2.2)):
    p = subprocess.Popen(call('long.yaml', ranks), stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(pause)
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    time.sleep(0.3)
check('a state is there after kills', any('.block.together' in f for f in os.listdir('.')) or os.path.exists('l.h5'))
p = subprocess.Popen(call('long.yaml', 2), stderr=subprocess.PIPE, text=True)
time.sleep(1.5)
p.send_signal(signal.SIGUSR1)
err = p.communicate(timeout=60)[1]
check('USR1: exit %d (%s)' % (p.returncode, err[-200:]), p.returncode in (0, 75))
run('long.yaml', 5)
check('killed and gone on with', read('l.h5') == read('want.h5'))
check('no state is left', not any('.block' in f for f in os.listdir('.')))

# Many objects: one that is broken fails alone.
many = np.stack([before, before * 2, before])
many[1, 7, 5] = np.nan
put('many.h5', image=many)
yaml('many.yaml', 'deblur', 'm.h5', input='many.h5', psf=motion, iterations=8)
run('many.yaml', says='1 of 3 items failed')
run('many.yaml', 3, '--set', 'output=m3.h5')
check('items on 3 ranks', read('m.h5') == read('m3.h5'))
with h5py.File('m.h5', 'r') as f:
    check('message: %s' % f['failures/message'][0], b'000001: NaN or infinity at [7, 5]' in f['failures/message'][0])
    check('status', list(f['inputs/status'][()]) == [1, 2, 1])
    check('rows', np.isnan(f['deblur/image'][1]).all() and f['deblur/iterations'][1] == -1)
    check('history', f['deblur/history/flux'].shape == (3, 8) and np.isfinite(f['deblur/history/flux'][2]).all())
run('many.yaml', 2, '--set', 'deblur.parallel=distributed', '--set', 'output=n.h5', want=65, says='NaN or infinity at [7, 5]')

# Several objects over all ranks, one of which one rank cannot read: no rank waits for it.
for side in ('here', 'there'):
    os.mkdir(side)
    for i in range(2):
        put('%s/%d.h5' % (side, i), image=before, psf=np.ones((1, 1)))
    put('%s/psf.h5' % side, psf=np.ones((2, 3, 3)))
    with open(side + '/list.txt', 'w') as f:
        f.write('0.h5\n1.h5\n')
    for name, psf in (('object', motion), ('psf', '{kind: file, file: psf.h5}')):
        yaml('%s/%s.yaml' % (side, name), 'deblur', os.path.join(folder, name + '_out.h5'), input='list.txt', dataset='/image', psf=psf,
             iterations=3, parallel='distributed')


def spoil(file, at, n):
    with open(file, 'r+b') as f:
        f.seek(at)
        f.write(b'\0' * n)


with h5py.File('there/psf.h5', 'r') as f:
    second = f['psf'].id.get_offset() + 72
spoil('there/1.h5', 0, 64)
spoil('there/psf.h5', second, 72)
for name, says in (('object', '1.h5'), ('psf', 'no mass')):
    done = subprocess.run([mpiexec, '-q', '--oversubscribe', '--bind-to', 'none', '-n', '1', program, 'run', 'here/%s.yaml' % name, ':',
                           '-n', '1', program, 'run', 'there/%s.yaml' % name], capture_output=True, text=True, timeout=60)
    check('one rank cannot read the %s: exit %d (%s)' % (name, done.returncode, done.stderr[-300:]),
          done.returncode == 65 and says in done.stderr)

# Readers: a PSF of one sample gives back what was read.
put('one.h5', psf=np.ones((1, 1)))


def reads(name, want, **keys):
    keys = dict({'input': name, 'psf': '{kind: file, file: one.h5}', 'precision': 'float64'}, **keys)
    yaml('r.yaml', 'blur', 'r.h5', **keys)
    run('r.yaml', 1, '--fresh')
    have = image('r.h5', '/blur/image') if os.path.exists('r.h5') else np.zeros(0)
    check('%s: %s %s' % (name, have.shape, want.shape), have.shape == want.shape and np.allclose(have, want, rtol=1e-12, atol=1e-9))


grey16 = rng.integers(0, 65536, (11, 13)).astype(np.uint16)
rgb = rng.integers(0, 256, (10, 12, 3)).astype(np.uint8)
png('g.png', grey16, 16)
reads('g.png', grey16.astype(float))
png('c.png', rgb, 8)
reads('c.png', rgb.astype(float))
tiff('s.tif', [rng.random((9, 8)).astype('f4') for _ in range(3)], 3)
pages = [np.float64(p) for p in np.random.default_rng(5).random((3, 9, 8)).astype('f4')]
tiff('s.tif', [p.astype('f4') for p in pages], 3, '>')
put('one3.h5', psf=np.ones((1, 1, 1)))
reads('s.tif', np.stack(pages), dimensions=3, psf='{kind: file, file: one3.h5}')
reads('s.tif', np.stack(pages))
tiff('i.tif', [rgb.astype(np.uint16) * 256 + 7], 1)
reads('i.tif', rgb * 256.0 + 7)
counts = rng.integers(-1000, 1000, (3, 7, 6))
fits('f.fits', counts, 16, 0.5, 100.0)
reads('f.fits', counts * 0.5 + 100, dimensions=3, psf='{kind: file, file: one3.h5}')
os.mkdir('folder')
for i in range(3):
    fits('folder/%d.fits' % i, counts[i] * 0.25, -32)
reads('folder', counts * 0.25)
np.savetxt('t.txt', counts[:2].reshape(2, -1).T, fmt='%d')
put('one1.h5', psf=np.ones(1))
reads('t.txt', counts[:2].reshape(2, -1).astype(float), dimensions=1, psf='{kind: file, file: one1.h5}')
trace = rng.standard_normal(50).astype('f4')
sac('t.sac', trace, 0.05)
reads('t.sac', trace.astype(float), dimensions=1, psf='{kind: file, file: one1.h5}')
put('w.h5', psf=np.exp(-(np.arange(9) - 4.0) ** 2))
yaml('sac.yaml', 'deblur', 'sac.h5', input='t.sac', method='water_level', psf='{kind: file, file: w.h5}', lags=[-1, 2])
run('sac.yaml')
with h5py.File('sac.h5', 'r') as f:
    check('sampling of a SAC file', np.allclose(f['deblur/lag'][()], np.arange(-20, 41) * 0.05) and f['deblur/image'].shape == (1, 61))

sac('quick.sac', trace, 1e-30)
for more in ({'input': 'quick.sac'}, {'input': 'one1.h5', 'sampling': 1e-300, 'lags': [1, 1]}):
    yaml('quick.yaml', 'deblur', 'quick.h5', **dict({'method': 'water_level', 'psf': '{kind: file, file: w.h5}'}, **more))
    run('quick.yaml', want=78, says='are more than 1e+09 samples')

# Reports of rows of colour, of rows in more axes, and of a single row, whose widths differ from what a row holds.
for name, shape, dimensions in (('rows.png', None, 1), ('rows.h5', (3, 5, 40), 1), ('row.h5', (40,), 1)):
    if shape:
        put(name, image=rng.random(shape))
    else:
        with open(name, 'wb') as f:
            part = lambda kind, data: struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            pixels = b''.join(b'\0' + bytes(rng.integers(0, 256, 90, np.uint8)) for _ in range(20))
            f.write(b'\x89PNG\r\n\x1a\n' + part(b'IHDR', struct.pack('>2I5B', 30, 20, 8, 2, 0, 0, 0)) +
                    part(b'IDAT', zlib.compress(pixels)) + part(b'IEND', b''))
    yaml('rows.yaml', 'deblur', 'rows_out.h5', input=name, dimensions=dimensions, psf='{kind: gaussian, fwhm: 2}', iterations=2)
    run('rows.yaml', 1, '--fresh')
    done = subprocess.run([program, 'report', 'rows_out.h5', '-o', 'rows_report'], capture_output=True, text=True)
    check('report of %s: %d %s' % (name, done.returncode, done.stderr[-200:]), done.returncode == 0)
yaml('rgb.yaml', 'deblur', 'rgb.h5', input='rows.png', method='water_level', psf='{kind: file, file: w.h5}')
run('rgb.yaml', want=78, says='pictures of 3 channels, not traces')
yaml('other.yaml', 'deblur', 'other.h5', input='row.h5', dimensions=1, psf='{kind: gaussian, fwhm: 2, radius: 3}', iterations=2)
run('other.yaml', says='deblur.psf.radius is not used: the PSF is of kind gaussian')
yaml('kind.yaml', 'deblur', 'kind.h5', input='row.h5')
run('kind.yaml', want=78, says='deblur.psf.kind is missing')

# Memory is asked for where it is held: a regularisation that is not looked for needs no spectrum of the data.
def per_rank(**keys):
    yaml('memory.yaml', 'deblur', 'memory.h5', input='blurred.h5', psf=motion, **keys)
    done = subprocess.run([program, 'check', 'memory.yaml'], capture_output=True, text=True)
    return ([line.split(', of')[0] for line in (done.stdout + done.stderr).split('\n') if 'memory per rank' in line] or ['?'])[0]


given, found = per_rank(method='wiener', regularisation=0.1), per_rank(method='wiener')
for how in ({'method': 'inverse'}, {'method': 'landweber', 'iterations': 5}):
    check('memory of %s: %s, %s, %s' % (how, per_rank(**how), given, found), per_rank(**how) == given != found)

# And no less of it than is taken, also for frames that are long along one axis.  (Sanitizers take memory of their own.)
def peak_of(config):
    p = os.posix_spawn(program, [program, 'run', config, '--fresh'], os.environ,
                       file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)])
    return os.wait4(p, 0)[2].ru_maxrss * 1024


put('tiny.h5', image=np.ones((8, 8)))
for shape in () if b'__asan_init' in read(program) else ((1000, 900), (150000, 12), (12, 150000), (3000000,)):
    peak = []
    for name in ('tiny.h5', 'long.h5'):
        put('long.h5', image=np.arange(np.prod(shape), dtype='f4').reshape(shape))
        yaml('long.yaml', 'deblur', 'long_out.h5', input=name, dimensions=len(shape), iterations=1, psf='{kind: gaussian, fwhm: 2}')
        peak.append(peak_of('long.yaml'))
    said = subprocess.run([program, 'check', 'long.yaml'], capture_output=True, text=True).stdout
    want = 2 ** 20 * float(said.split('memory per rank: ')[1].split(' MiB')[0])
    check('memory for %s: %.1f MiB, took %.1f' % (shape, want / 2 ** 20, (peak[1] - peak[0]) / 2 ** 20), peak[1] - peak[0] <= 1.02 * want + 2 ** 20)

# What is refused, and how.
put('flat.h5', psf=np.zeros((3, 3)))
put('line.h5', image=np.ones(7))
put('nan.h5', image=np.where(np.arange(63).reshape(9, 7) == 40, np.inf, 1.0))
put('psf3.h5', psf=np.ones((3, 3, 3)))
put('fine.h5', image=np.ones((9, 7)))
put('coarse.h5', psf=np.ones((3, 3)))
for name, path, v in (('fine.h5', 'image', 0.1), ('coarse.h5', 'psf', 0.2)):
    with h5py.File(name, 'a') as f:
        f[path].attrs['spacing'] = [v, 0.1]
os.mkdir('empty')
fits('huge.fits', np.zeros((1, 1)), -32)
with open('huge.fits', 'r+b') as f:  # a header of 4e18 samples
    f.write(read('huge.fits').replace(b'%20d' % 1, b'%20d' % 2000000000))
BAD = [(78, 'has axes 3x3x3', dict(psf='{kind: file, file: psf3.h5}')), (65, 'no file in it', dict(input='empty')),
       (65, 'voxels are 0.2 wide', dict(input='fine.h5', psf='{kind: file, file: coarse.h5}')),
       (65, '2^40', dict(input='huge.fits')), (65, 'at [5, 5]', dict(input='nan.h5')), (65, 'no mass', dict(psf='{kind: file, file: flat.h5}')),
       (78, 'unknown is not defined', dict(method='wiener', boundary='unknown')), (78, 'iterations', dict(method='landweber')),
       (78, 'axes', dict(input='line.h5')), (66, 'nowhere.h5', dict(input='nowhere.h5')),
       (78, 'x 20000 samples is too large', dict(psf='{kind: gaussian, fwhm: 2, size: 20000}')),
       (78, 'fwhm', dict(psf='{kind: gaussian}')), (78, 'no data set', dict(dataset='/other')),
       (78, 'Richardson-Lucy', dict(method='inverse', acceleration='biggs_andrews')), (78, 'centre', dict(psf='{kind: file, file: one.h5, centre: [3, 0]}'))]
for code, says, keys in BAD:
    yaml('bad.yaml', 'deblur', 'bad.h5', **dict({'input': 'blurred.h5', 'psf': motion}, **keys))
    run('bad.yaml', 1, '--fresh', want=code, says=says)
yaml('bad.yaml', 'deblur', 'bad.h5', input='blurred.h5', psf=motion)
run('bad.yaml', 2, '--fresh', '--set', 'runtime.memory=20000', want=78, says='needs')
for name in ('g.png', 's.tif', 'f.fits', 't.sac'):
    with open('cut_' + name, 'wb') as f:
        f.write(read(name)[:len(read(name)) // 2])
    yaml('cut.yaml', 'deblur', 'bad.h5', input='cut_' + name, psf='{kind: gaussian, fwhm: 2}', dimensions=1 if 'sac' in name else 2)
    run('cut.yaml', 1, '--fresh', want=65)

# The mirrored frame goes by the PSF's size alone: an origin off its middle is told of, a PSF padded around its origin is exact.
lopsided = rng.random((7, 5))
lopsided /= lopsided.sum()
put('lopsided.h5', psf=lopsided)
put('padded.h5', psf=np.pad(lopsided, ((6, 0), (2, 2))))
small = rng.random((12, 9)) * 100
put('small.h5', image=small)
around = np.pad(small, 9, mode='symmetric')
want = sum(lopsided[i, j] * np.roll(around, (i, j - 2), (0, 1))[9:-9, 9:-9] for i in range(7) for j in range(5))
for file, centre, told in (('lopsided', '[0, 2]', True), ('padded', '[6, 4]', False)):
    yaml('off.yaml', 'blur', 'off.h5', input='small.h5', precision='float64', psf='{kind: file, file: %s.h5, centre: %s}' % (file, centre))
    said = run('off.yaml', 1, '--fresh')
    check('%s: origin off the middle' % file, ("the PSF's origin is off its middle: up to 3 samples" in said.stderr) == told)
    check('%s: blurred' % file, np.allclose(image('off.h5', '/blur/image'), want, rtol=1e-12, atol=1e-10) != told)

# PSF larger than the data; a result read back by the next job.
yaml('large.yaml', 'deblur', 'large.h5', input='c.png', psf='{kind: gaussian, fwhm: 9, size: 41}', iterations=5)
run('large.yaml', says='a PSF of 41x41 samples is larger than the data, 10x12')
check('RGB in and out', image('large.h5').shape == (10, 12, 3) and np.isfinite(image('large.h5')).all())
yaml('again.yaml', 'blur', 'again.h5', input='large.h5', dataset='/deblur/image', psf='{kind: disk, radius: 1.5}')
run('again.yaml')
check('RGB is known again', image('again.h5', '/blur/image').shape == (10, 12, 3))

os.chdir('/')
shutil.rmtree(folder)
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
