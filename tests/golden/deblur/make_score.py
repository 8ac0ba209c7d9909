"""The best that scikit-image makes of the scenes of tests/deblur/scenes.py, its parameter chosen with the truth at hand:
`pip install scikit-image==0.26.0 h5py`, python3 make_score.py DECONVOY [SCENE...] > score.txt

Tried for each: wiener (61 balances from 1e-6 to 1e3), unsupervised_wiener (pictures alone have it), richardson_lucy (1 to 331 iterations; 3-D: to 87); each on the
data as they are and continued by reflection by twice the PSF's size (3-D: once), which scikit-image leaves to its user; background
subtracted before or after; no clipping.  Data are those of `blur` with the seed of score.py."""
import os
import sys
import tempfile
import warnings

import h5py
import numpy as np
import scipy
import skimage
from skimage import restoration

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../../deblur'))
program, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
warnings.simplefilter('ignore')
with tempfile.TemporaryDirectory() as folder:  # score.py is a script: what it has is run for its functions alone
    text = open(os.path.join(HERE, '../../deblur/score.py')).read().split("\nwith tempfile")[0]
    sys.argv = ['score.py', program, os.path.join(HERE, 'score.txt')]
    tools = {'__name__': 'score'}
    exec(compile(text, 'score.py', 'exec'), tools)
    scenes = tools['scenes']
    os.chdir(folder)
    print('# scikit-image %s, numpy %s, scipy %s; columns: scene, method, parameter, PSNR dB, rim, PSNR of the data' %
          (skimage.__version__, np.__version__, scipy.__version__))
    for name, (draw, dims, psf, counts, read, background, pad, whole, _) in scenes.SCENES.items():
        if wanted and name not in wanted:
            continue
        data, truth, unit = tools['observe'](draw(), dims, psf, counts, read, background, pad, whole, 5)
        with h5py.File('y.h5', 'r') as f:
            spread = f['blur/psf'][()]
        top, sky = data.max(), background * unit
        best = {}

        def tried(method, value, x):
            p, e = scenes.psnr(x, truth), scenes.edge(x, truth) / unit
            if np.isfinite(p) and (method not in best or p > best[method][1]):
                best[method] = (value, p, e)

        for continued in (False, True):
            reach = [s * (2 if dims < 3 else 1) for s in spread.shape] if continued else [0] * dims
            y = np.pad((data - sky) / top, [(r, r) for r in reach], mode='symmetric')
            back = lambda x: x[tuple(slice(r, r + n) for r, n in zip(reach, data.shape))] * top
            tag = ' continued' if continued else ''
            for balance in np.logspace(-6, 3, 61):
                tried('wiener' + tag, '%.2g' % balance, back(restoration.wiener(y, spread, balance, clip=False)))
            if dims == 2:
                tried('unsupervised_wiener' + tag, '-', back(restoration.unsupervised_wiener(y, spread, clip=False, rng=1)[0]))
            for k in sorted({int(round(1.25 ** i)) for i in range(27 if dims < 3 else 21)}):
                tried('richardson_lucy' + tag, str(k), back(restoration.richardson_lucy(np.maximum(y, 0), spread, k, clip=False)))
                if sky:
                    tried('richardson_lucy' + tag, str(k), back(restoration.richardson_lucy(
                        np.maximum(y + sky / top, 0), spread, k, clip=False)) - sky)
        for method, (value, p, e) in sorted(best.items()):
            print('#', name, method, value, '%.3f dB, rim %.4f' % (p, e))
        method = max(best, key=lambda m: best[m][1])
        value, p, e = best[method]
        print('\t'.join([name, method, value, '%.4f' % p, '%.4f' % e, '%.4f' % scenes.psnr(data - sky, truth)]), flush=True)
    os.chdir('/')
