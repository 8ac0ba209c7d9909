"""What scikit-image makes of small scenes: `pip install scikit-image==0.26.0`, python3 make_skimage.py > skimage.txt

A line each: method, data shape, PSF shape, parameter, then data, PSF and result as hexadecimal floats."""
import numpy as np
from skimage import restoration

rng = np.random.default_rng(11)
CASES = [('richardson_lucy', (9, 12), (3, 5), 20), ('richardson_lucy', (10, 9), (4, 4), 20), ('richardson_lucy', (20,), (6,), 15),
         ('richardson_lucy', (5, 6, 7), (2, 3, 4), 10), ('wiener', (9, 12), (3, 5), 0.1), ('wiener', (10, 9), (4, 4), 0.02),
         ('wiener', (8, 6, 6), (3, 3, 2), 0.1)]
for method, shape, p, value in CASES:
    y, psf = rng.random(shape), rng.random(p)
    psf /= psf.sum() * 1.1  # not normalised there
    if method == 'wiener':
        x = restoration.wiener(y, psf, value)
    else:
        x = restoration.richardson_lucy(y, psf, num_iter=value)
    print(method, ','.join(map(str, shape)), ','.join(map(str, p)), value,
          *(' '.join(float(v).hex() for v in a.ravel()) for a in (y, psf, x)))
