"""Which pixel made each picture's unit fire most.  Usage: python3 read_reconstruct.py RESULT.h5"""
import sys
import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    for method in [name for name, thing in f["/reconstruct"].items() if isinstance(thing, h5py.Group)]:
        for n, maps in enumerate(f[f"/reconstruct/{method}/map"]):  # [target, channel, y, x]
            c, y, x = np.unravel_index(np.abs(maps[0]).argmax(), maps[0].shape)
            print(f"{method}: {f['/inputs/name'][n].decode()}, unit {f['/reconstruct/target'][n, 0]}: channel {c}, y {y}, x {x}")
