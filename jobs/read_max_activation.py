"""Which pictures, and where, excite each channel most.  Usage: python3 read_max_activation.py RESULT.h5"""
import sys
import h5py

with h5py.File(sys.argv[1], "r") as f:
    names = [name.decode() for name in f["/inputs/name"]]
    for group in f["/max_activation"].values():
        print("layer", group.attrs["layer"].decode())
        for channel, (value, image, box) in enumerate(zip(group["value"], group["image"], group["box"])):
            if image[0] >= 0:  # the strongest place; y0, x0, y1, x1 in network-input pixels
                print(f"  channel {channel}: {value[0]:.4g} in {names[image[0]]}, box {box[0].tolist()}")
