"""faults.py DECONVOY MPIEXEC KILLS [SEED]: `deblur` and `blur` stopped, killed and out of room, gone on with on other numbers
of ranks and threads: the bytes of a run that nobody disturbed.  KILLS: of each job (tests/fault/kills.py makes them)."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError:
    sys.exit(77)

program, mpiexec, kills = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
seed = sys.argv[4] if len(sys.argv) > 4 else '1'
killer = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), '../fault/kills.py')
rng = np.random.default_rng(4)
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
        f.writelines('  %s: %s\n' % k for k in keys.items())


def run(config, ranks=1, *more, want=(0,), says=''):
    start = [mpiexec, '-q', '--oversubscribe', '--bind-to', 'none', '-n', str(ranks)] if ranks > 1 else []
    done = subprocess.run(start + [program, 'run', config, *more], capture_output=True, text=True, timeout=100)
    check('%s on %d ranks %s: exit %d, want %s: %s' % (config, ranks, more, done.returncode, want, done.stderr[-300:]),
          done.returncode in want)
    check('%s: "%s" not in: %s' % (config, says, done.stderr[-300:]), says in done.stderr)
    return done.returncode


def same(a, b):
    with open(a, 'rb') as f, open(b, 'rb') as g:
        check('%s and %s differ' % (a, b), f.read() == g.read())


def facts(stem):
    with open(stem + '.run.json') as f:
        return json.load(f)


def told(stem, **want):
    have = facts(stem)
    for k, v in want.items():
        check('%s.run.json: %s is %s, want %s' % (stem, k, have[k], v), have[k] == v)
    return have


with tempfile.TemporaryDirectory(prefix='deconvoy.') as folder:
    os.chdir(folder)
    with h5py.File('one.h5', 'w') as f:
        f['image'] = rng.random((230, 260)) * 100
    with h5py.File('stack.h5', 'w') as f:
        f['image'] = rng.random((24, 90, 80)) * 100
    gauss = '{kind: gaussian, fwhm: 4}'
    yaml('d.yaml', 'deblur', 'd.h5', input='one.h5', psf=gauss, iterations=250, acceleration='biggs_andrews', checkpoint_every=0.1)
    yaml('t.yaml', 'deblur', 't.h5', input='one.h5', psf=gauss, iterations=60, method='rl_tv', stop='{rule: thinning}', checkpoint_every=0)
    yaml('s.yaml', 'deblur', 's.h5', input='stack.h5', psf=gauss, iterations=40, parallel='distributed', checkpoint_every=0.05)
    yaml('i.yaml', 'deblur', 'i.h5', input='stack.h5', psf=gauss, iterations=200, parallel='items')
    yaml('b.yaml', 'blur', 'b.h5', input='stack.h5', psf=gauss, parallel='distributed', noise='{poisson: 100, gaussian: 0.1}')
    yaml('v.yaml', 'blur', 'v.h5', input='stack.h5', psf=gauss, noise='{poisson: 100}')
    jobs = 'dtsibv'
    for j in jobs:
        run(j + '.yaml', 1, '--set', 'output=%s_want.h5' % j)
        many = j not in 'dt'
        have = told(j + '_want', items=24 if many else 1, resumed_units=0, failed_items=0)
        check('%s: %d units' % (j, have['units']), have['units'] >= 1)
        check('%s: %s' % (j, have), 0 < have['compute_s'] <= 1.01 * have['wall_s'] and have['gflops'] > 0 and have['items_per_s'] > 0)

    # A deadline, and going on from within an object and between objects.
    for j, ranks in (('d', 2), ('s', 3)):
        run(j + '.yaml', ranks, '--deadline', '%.3f' % (0.2 * facts(j + '_want')['wall_s']), want=(75,))
        stop = facts(j)
        run(j + '.yaml', 5 - ranks, '--set', 'runtime.threads=2')
        have = told(j, items=24 if j == 's' else 1, units=24 if j == 's' else 1)
        check('%s: %d units of an earlier start, which had done %d' % (j, have['resumed_units'], stop['units']),
              have['resumed_units'] - stop['units'] in (0, 1) and have['resumed_units'] > 0)
        same(j + '.h5', j + '_want.h5')
        os.unlink(j + '.h5')
    run('b.yaml', 2, '--deadline', '0', want=(75,), says='of 24 objects')
    run('b.yaml', 3)
    same('b.h5', 'b_want.h5')
    os.unlink('b.h5')

    # PSFs that are no longer those of the start before are another plan.
    with h5py.File('psfs.h5', 'w') as f:
        f['psf'] = rng.random((24, 3, 3))
    yaml('p.yaml', 'deblur', 'p.h5', input='stack.h5', psf='{kind: file, file: psfs.h5}', iterations=10)
    run('p.yaml', 1, '--deadline', '0', want=(75,))
    with h5py.File('psfs.h5', 'a') as f:
        f['psf'][7, 1, 1] *= 2
    run('p.yaml', want=(78,))

    for j in jobs:
        done = subprocess.run([sys.executable, killer, mpiexec, kills, str(int(seed) + jobs.index(j)), j + '_want.h5', j + '.h5', '--', program, 'run', j + '.yaml',
                               '--set', 'runtime.threads=THREADS'], capture_output=True, text=True,
                              env=dict(os.environ, KILL_WITHIN_S='1.2'))
        print(j, done.stdout.splitlines()[-1:], flush=True)
        check('kills of %s: %s' % (j, (done.stdout + done.stderr)[-1500:]), done.returncode == 0)

    # A disk with room for the result, and for no state beside it, or not much of one (root only).
    os.mkdir('small')
    bytes_of = os.path.getsize('d_want.h5')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%d' % (bytes_of + 60000), 'deconvoy-test', 'small'], stderr=subprocess.DEVNULL).returncode:
        print('no disk of its own: not root')
    else:
        try:
            for ranks in (1, 3):
                run('d.yaml', ranks, '--set', 'output=small/d.h5', '--set', 'deblur.checkpoint_every=0', want=(74,), says='No space left')
            subprocess.run(['mount', '-o', 'remount,size=%d' % (8 * bytes_of), 'small'], check=True)
            run('d.yaml', 2, '--set', 'output=small/d.h5', '--set', 'deblur.checkpoint_every=0')
            with h5py.File('small/d.h5', 'r') as f, h5py.File('d_want.h5', 'r') as g:
                check('after more room', (f['deblur/image'][()] == g['deblur/image'][()]).all())
            check('beside the result: %s' % os.listdir('small'), sorted(os.listdir('small')) == ['d.h5', 'd.run.json'])
        finally:
            subprocess.run(['umount', 'small'])
    os.chdir('/')
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
