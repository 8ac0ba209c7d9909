"""What a classifier said of each picture.  Usage: python3 read_infer.py RESULT.h5"""
import sys
import h5py

with h5py.File(sys.argv[1], "r") as f:
    names, labels, status = (f["/inputs/" + key][:] for key in ("name", "label", "status"))
    classes, probability = f["/infer/top_class"][:], f["/infer/top_probability"][:]
    for name, best, p, done in zip(names, classes, probability, status == 1):
        print(name.decode(), f"class {best[0]}, probability {p[0]:.3f}" if done else "failed")
    known = (labels >= 0) & (status == 1)
    print("right:", (classes[known, 0] == labels[known]).sum(), "of", known.sum())
