"""How far each target's picture climbed, and its brightest pixel.  Usage: python3 read_gradient_ascent.py RESULT.h5"""
import sys
import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    g = f["/gradient_ascent"]  # with `start: dataset` all of these have one more axis in front, that of the inputs
    for n in np.ndindex(g["target"].shape):
        score, picture = g["objective"][n], g["picture"][n]
        y, x, _ = np.unravel_index(picture.argmax(), picture.shape)
        print(f"target {g['target'][n]}: from {score[0]:.4g} to {np.max(score):.4g} in {len(score)} steps; brightest at {y}, {x}")
