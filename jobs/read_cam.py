"""Boxes of each picture's first target, and how well they meet the truth.  Usage: python3 read_cam.py RESULT.h5"""
import sys
import h5py

with h5py.File(sys.argv[1], "r") as f:
    names, target = f["/inputs/name"][:], f["/cam/target"][:, 0]
    for method, group in ((m, g) for m, g in f["/cam"].items() if isinstance(g, h5py.Group)):
        for name, c, box in zip(names, target, group["box"][:, 0, 0] if "box" in group else []):
            print(f"{method}: {name.decode()}, class {c}: y0, x0, y1, x1 {box.tolist()}")
        if "metrics" in group:
            print(f"{method}: counted {group['metrics/counted'][0]}, CorLoc {group['metrics/corloc'][0].max():.3f}")
