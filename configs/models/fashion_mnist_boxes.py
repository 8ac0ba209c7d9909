#!/usr/bin/env python3
"""True boxes for the first 256 test pictures of Fashion-MNIST: the things lie on black ground, so the box of one is the
smallest rectangle around all pixels brighter than 50 of 255.  Writes fashion_mnist_boxes.csv beside itself; wants NumPy."""
import gzip
from pathlib import Path

import numpy as np

SET = "/usr/share/datasets/fashion-mnist/t10k-"


def read(name, head):
    return np.frombuffer(gzip.open(SET + name).read(), np.uint8)[head:]


pictures, labels = read("images-idx3-ubyte.gz", 16).reshape(-1, 28, 28), read("labels-idx1-ubyte.gz", 8)
with open(Path(__file__).with_suffix(".csv"), "w", encoding="utf-8") as f:
    f.write("image,class,y0,x0,y1,x1\n")
    for i in range(256):
        y, x = np.nonzero(pictures[i] > 50)
        f.write(f"{i:06},{labels[i]},{y.min()},{x.min()},{y.max() + 1},{x.max() + 1}\n")
