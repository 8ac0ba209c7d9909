"""skimage_golden.py SOLVE FILE: `compat: skimage` against scikit-image's own results (tests/golden/deblur), to 1e-10."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    sys.exit(77)

solve, golden = sys.argv[1:3]
failed = checks = 0
with tempfile.TemporaryDirectory(prefix='deconvoy.') as folder:
    for line in open(golden):
        method, shape, p, value, *numbers = line.split()
        shape, p = [tuple(map(int, t.split(','))) for t in (shape, p)]
        v = np.array([float.fromhex(t) for t in numbers])
        y, psf, want = np.split(v, [int(np.prod(shape)), int(np.prod(shape)) + int(np.prod(p))])
        y.tofile(folder + '/y')
        psf.tofile(folder + '/psf')
        axes = lambda s, fill: ','.join(map(str, {1: (fill, fill) + s, 2: (s[0], fill, s[-1]), 3: s}[len(s)]))
        call = [solve, 'method=' + method, 'compat=skimage', 'dimensions=%d' % len(shape), 'n=' + axes(shape, 1), 'p=' + axes(p, 1),
                'c=' + axes(tuple((k - 1) // 2 if method != 'wiener' else k // 2 for k in p), 0),
                'boundary=' + ('zero' if method != 'wiener' else 'periodic'), 'data=%s/y' % folder, 'psf=%s/psf' % folder,
                'out=%s/out' % folder, ('iterations=' if method != 'wiener' else 'regularisation=') + value]
        subprocess.run(call, check=True)
        have = np.fromfile(folder + '/out')[:want.size]
        error = np.linalg.norm(have - want) / np.linalg.norm(want)
        checks += 1
        if not error <= 1e-10:
            failed += 1
            print('FAILED: %s %s %s: error %g' % (method, shape, p, error))
print('%d checks, %d failed' % (checks, failed))
sys.exit(1 if failed or not checks else 0)
