"""What a classifier said of each picture; the outputs of other networks.  Usage: python3 read_infer.py RESULT.h5"""
import sys
import h5py

with h5py.File(sys.argv[1], "r") as f:
    for name, values in f["/infer"].items():
        print(name, values.shape, values.dtype)
    if "/infer/top_class" in f:
        label, status = f["/inputs/label"][:], f["/inputs/status"][:]
        best, p = f["/infer/top_class"][:, 0], f["/infer/top_probability"][:, 0]
        for name, c, probability, done in zip(f["/inputs/name"][:], best, p, status == 1):
            print(name.decode(), f"class {c}, probability {probability:.3f}" if done else "failed")
        print("right:", (best == label)[(label >= 0) & (status == 1)].sum(), "of", (label >= 0).sum())
