"""What was deblurred, how long it took to converge, and why it ended.  Usage: python3 read_deblur.py RESULT.h5"""
import sys
import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    d = f["/deblur"]
    print(f"image {d['image'].shape}, PSF {d['psf'].shape}, centre {d['psf'].attrs['centre'].tolist()}")
    for n, why, curve in zip(np.atleast_1d(d["iterations"]), np.atleast_1d(d["stopped_by"]), np.atleast_2d(d["history/divergence"])):
        known = curve[np.isfinite(curve)]
        print(f"{n} iterations, ended by {why.decode()}" + (f", divergence {known[0]:.6g} to {known[-1]:.6g}" if len(known) else ""))
    if "lag" in d:
        print("strongest lags:", [f"{d['lag'][k]:.2f} s" for k in np.abs(d["image"][:]).argmax(1)])
