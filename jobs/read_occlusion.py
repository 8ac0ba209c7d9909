"""Where a window costs each picture's class most.  Usage: python3 read_occlusion.py RESULT.h5"""
import sys
import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    o = f["/occlusion"]
    for n, name in enumerate(f["/inputs/name"]):
        falls = o["sensitivity"][n, 0]  # [ny, nx], of the first target
        i, j = np.unravel_index(np.nan_to_num(falls, nan=-np.inf).argmax(), falls.shape)
        print(f"{name.decode()}: class {o['target'][n, 0]} falls from {o['clean'][n, 0]:.3f} by {falls[i, j]:.3f} at y {o['y'][i]}, x {o['x'][j]}")
