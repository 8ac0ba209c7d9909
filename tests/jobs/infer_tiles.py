#!/usr/bin/env python3
"""infer over large pictures in tiles, against the same pictures walked whole.

    infer_tiles.py CASE DECONVOY SOURCE WORK MPIEXEC

nets     networks with borders, strides, enlargement and skips: tiled equal to whole within 1e-6 of the largest value, strict
ranks    the same bytes at 1, 2, 3 and 5 ranks and after a kill, and under less memory
refused  what cannot be cut, tiles that are too small or do not fit into memory

Networks and pictures are made here from seeds.  Exit 77 where h5py is missing.
"""
import os
import shutil
import signal
import subprocess
import sys
import time

try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py and NumPy are not there")
    sys.exit(77)

import onnx_file
from verdict import Verdict, text

CASE, PROGRAM, SOURCE, WORK, MPIEXEC = sys.argv[1], *(os.path.abspath(a) for a in sys.argv[2:5]), sys.argv[5]
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
v = Verdict()
rng = np.random.default_rng(11)


class Net:
    """Nodes one after the other; weights of a fair size, so that nothing vanishes."""
    def __init__(self, channels=3):
        self.nodes, self.weights, self.name, self.channels, self.start = [], {}, "x", channels, channels

    def add(self, op, ins=(), more=(), **attrs):
        out = f"v{len(self.nodes)}"
        self.nodes.append((op, [*ins] if ins else [self.name, *more], [out], attrs))
        self.name = out
        return out

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        self.weights[name] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return name

    def conv(self, out, kernel, stride=1, dilation=1, **attrs):
        w = [self.weight(out, self.channels, kernel, kernel), self.weight(out)]
        attrs = attrs or {"pads": [dilation * (kernel // 2)] * 4}
        self.channels = out
        return self.add("Conv", more=w, kernel_shape=[kernel] * 2, strides=[stride] * 2, dilations=[dilation] * 2, **attrs)

    def up(self, out, kernel, stride, pad):
        w = [self.weight(self.channels, out, kernel, kernel), self.weight(out)]
        self.channels = out
        return self.add("ConvTranspose", more=w, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def relu(self):
        return self.add("LeakyRelu", alpha=0.2)

    def pool(self, **attrs):
        return self.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], **attrs)

    def join(self, other, channels):
        self.channels += channels
        return self.add("Concat", ins=[self.name, other], axis=1)

    def constant(self, values):
        name = f"c{len(self.weights)}"
        self.weights[name] = values
        return name

    def write(self, file, outputs=None):
        outputs = outputs or {self.name: self.channels}
        onnx_file.write(file, self.nodes, self.weights, {"x": ["N", self.start, "H", "W"]},
                        {o: ["N", c, f"{o}h", f"{o}w"] for o, c in outputs.items()})
        return list(outputs)


def double():
    """Super-resolution without borders: 2 n - 12."""
    net = Net()
    for c in (8, 12, 8):
        net.conv(c, 3, pads=[0] * 4)
        net.relu()
    net.up(3, 4, 2, 1)
    return net, None


def u_net():
    net = Net(1)
    net.conv(6, 3)
    a = net.relu()
    net.pool()
    net.conv(9, 3)
    b = net.relu()
    net.pool()
    net.conv(12, 3, dilation=2)
    net.relu()
    net.up(9, 2, 2, 0)
    net.join(b, 9)
    net.conv(9, 3)
    net.relu()
    net.up(6, 2, 2, 0)
    net.join(a, 6)
    net.conv(5, 3)
    return net, None


def strides():
    """Steps of 2 and 3 with borders of their own making, sizes that leave a rest; three outputs of three sizes."""
    net = Net()
    net.conv(4, 3, 2, auto_pad="SAME_UPPER")
    one = net.relu()
    net.add("AveragePool", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=0)
    two = net.pool(ceil_mode=1)
    net.conv(5, 5, 3, pads=[2] * 4)
    net.add("Sigmoid")
    return net, {one: 4, net.name: 5, two: 4}


def resized():
    net = Net()
    net.conv(4, 3, 2)
    net.relu()
    net.add("Resize", more=["", net.constant(np.array([1, 1, 2, 2], np.float32))], mode="linear",
            coordinate_transformation_mode="half_pixel")
    net.add("Pad", more=[net.constant(np.array([0, 0, 2, 1, 0, 0, 1, 2]))], mode="reflect")
    net.conv(3, 4, pads=[0] * 4)
    net.add("Softmax", axis=1)
    return net, None


def shuffle():
    """Super-resolution with borders, by moving channels into space."""
    net = Net()
    net.conv(8, 5)
    net.relu()
    net.conv(12, 3)
    net.add("DepthToSpace", blocksize=2, mode="CRD")
    net.channels = 3
    net.conv(3, 3)
    return net, None


def even():
    """Sizes are rounded up to eights: a tile that is none gives more than it takes, and so does what fits into one."""
    net = Net()
    for c in (4, 6, 8):
        net.conv(c, 3, 2, auto_pad="SAME_UPPER")
        net.relu()
    for c in (6, 4, 5):
        net.up(c, 2, 2, 0)
    return net, None


def odd():
    """Sizes are rounded down to eights, and a border is added to that."""
    net = Net()
    net.conv(4, 8, 8, pads=[0] * 4)
    net.up(4, 8, 8, 0)
    net.conv(3, 1, pads=[3] * 4)
    return net, None


NETS = {"even": (even, [(200, 208), (97, 105), (49, 49)]), "odd": (odd, [(103, 111), (96, 80), (32, 32)]), "shuffle": (shuffle, [(63, 90), (33, 20)]), "double": (double, [(70, 90), (41, 120), (30, 20)]), "u_net": (u_net, [(96, 128), (64, 164)]),
        "strides": (strides, [(97, 122), (101, 60), (35, 36)]), "resized": (resized, [(90, 122), (64, 64)])}


def pictures(folder, sizes, channels):
    os.makedirs(folder)
    for i, (h, w) in enumerate(sizes):
        a = rng.integers(0, 256, (h, w, 3) if channels == 3 else (h, w), np.uint8)
        onnx_file.write_png(f"{folder}/{i:03d}.png", a)


def run(name, config, ranks=0, want=0, says="", more=(), fresh=True):
    with open(name + ".yaml", "w", encoding="utf-8") as f:
        f.write(f"output: {name}.h5\njob: infer\n" + config)
    launch = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    p = subprocess.run([*launch, PROGRAM, "run", name + ".yaml", *(["--fresh"] if fresh else []), *more], capture_output=True,
                       text=True, timeout=200, env={**os.environ, **MPI_ENV})
    v.check(p.returncode == want and says in p.stderr, name, "exit", p.returncode, "want", want, repr(says), p.stderr[-1500:], config)
    return p


def config(name, tile, more="", runtime="durability: process"):
    return (f"model: {{file: {name}.onnx, precision: strict}}\ndataset: {{source: {name}_in}}\nruntime: {{{runtime}}}\n"
            f"infer: {{tile: {tile}{more}}}\n")


def everything(name):
    with h5py.File(name + ".h5", "r") as f:
        all_of = {}
        f.visititems(lambda k, d: all_of.__setitem__(k, d[()]) if isinstance(d, h5py.Dataset) else None)
    return {k: a for k, a in all_of.items() if k.startswith(("infer/", "inputs/", "failures/"))}


def compare(tiled, whole):
    a, b = everything(tiled), everything(whole)
    v.check(a.keys() == b.keys(), tiled, "data sets", a.keys(), b.keys())
    for k in b:
        if b[k].dtype.kind != "f":
            same = a[k] == b[k]
            v.check(same.mean() > 0.999 if k.endswith("class_map") else same, tiled, k)
            continue
        v.check(np.array_equal(np.isnan(a[k]), np.isnan(b[k])), tiled, k, "NaN")
        v.near(f"tiled: {tiled} {k}", np.nan_to_num(a[k]), np.nan_to_num(b[k]), 1e-6 * np.nanmax(np.abs(b[k])))


def make(name):
    net, outputs = NETS[name][0]()
    net.write(name + ".onnx", outputs)
    pictures(name + "_in", NETS[name][1], net.start)


def nets():
    for name, tiles in (("double", (32, 45)), ("u_net", (48, 53)), ("strides", (40, 57)), ("resized", (33,)), ("shuffle", (32, 41)),
                        ("even", (48, 49)), ("odd", (32, 33))):
        make(name)
        run(name + "_whole", config(name, 1000))
        with h5py.File(name + "_whole.h5", "r") as f:
            v.check((f["/inputs/status"][:] == 1).all(), name, "status", f["/failures/message"][:])
        for tile in tiles:
            run(f"{name}_{tile}", config(name, tile))
            compare(f"{name}_{tile}", name + "_whole")
    pictures("large_in", [(530, 620), (40, 50)], 3)  # tiles that nobody has asked for
    double()[0].write("large.onnx")
    for name, tile in (("large_whole", 1000), ("large_tiles", 0)):
        run(name, config("large", tile))
    compare("large_tiles", "large_whole")
    p = subprocess.run([PROGRAM, "check", "large_tiles.yaml"], capture_output=True, text=True, check=False)
    v.check(p.returncode == 0 and "tiles: up to 2 x 2 of " in p.stdout, "check", p.stdout)
    p = subprocess.run([PROGRAM, "check", "u_net_48.yaml"], capture_output=True, text=True, check=False)
    v.check(p.returncode == 0 and "tiles: up to " in p.stdout and " of 48 x 48 px" in p.stdout, "check", p.stdout)


def same_bytes(a, b, *message):
    with open(a + ".h5", "rb") as f, open(b + ".h5", "rb") as g:
        v.check(f.read() == g.read(), a, b, "differ", *message)


def ranks():
    name = "u_net"
    make(name)
    unit = ", unit_seconds: 1.0e-4"  # rows of tiles of one picture go to several ranks
    one = config(name, 48, runtime="durability: process" + unit)
    run("one", one)
    for n in (1, 2, 3, 5):
        run("many", one, n)
        same_bytes("one", "many", n)
    run("many", one.replace(unit, unit + ", threads: 3, memory: 64MiB"), 2)
    same_bytes("one", "many", "threads, memory")
    for k in range(6):
        with open("killed.yaml", "w", encoding="utf-8") as f:
            f.write("output: killed.h5\njob: infer\n" + one)
        p = subprocess.Popen([PROGRAM, "run", "killed.yaml"], stderr=subprocess.DEVNULL, env={**os.environ, **MPI_ENV})
        end = time.time() + 0.05 * (k + 1) + 0.3
        while p.poll() is None and time.time() < end:
            time.sleep(0.005)
        if p.poll() is None:
            p.send_signal(signal.SIGKILL)
        p.wait()
    run("killed", one, 3, fresh=False)
    same_bytes("one", "killed", "killed")


def refused():
    net = Net()
    net.conv(4, 3)
    local = net.name
    net.add("GlobalAveragePool")
    net.add("Add", ins=[local, net.name])
    net.write("joins.onnx", {local: 4, net.name: 4})
    pictures("joins_in", [(60, 70)], 3)
    run("joins", config("joins", 32), want=78, says="(GlobalAveragePool) joins all of the picture")
    run("joins", config("joins", 0))
    run("joins", config("joins", 32, f", outputs: [{local}]"))
    make("double")
    run("small", config("double", 6), want=78, says="tiles of 6 px")
    run("least", config("double", 8))
    run("memory", config("double", 45, runtime="memory: 100KiB"), want=78, says="runtime.memory")
    net, _ = u_net()
    net.write("fixed.onnx")
    onnx_file.write("fixed.onnx", net.nodes, net.weights, {"x": ["N", 1, 64, 64]}, {net.name: ["N", 5, 64, 64]})
    pictures("fixed_in", [(64, 64)], 1)
    run("fixed", config("fixed", 32), want=78, says="it fixes height and width")
    net.write("u_net.onnx")  # a picture that the network cannot take is its own fault
    pictures("u_net_in", [(96, 128), (50, 51), (3, 3)], 1)
    run("rest", config("u_net", 48))
    with h5py.File("rest.h5", "r") as f:
        v.check(f["/inputs/status"][:].tolist() == [1, 2, 2], "status", f["/inputs/status"][:])
        v.check(text(f["/failures/message"][0]).startswith("001.png: "), "message", f["/failures/message"][0])


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    os.chdir(WORK)
    {"nets": nets, "ranks": ranks, "refused": refused}[CASE]()
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
