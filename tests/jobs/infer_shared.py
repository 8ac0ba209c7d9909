#!/usr/bin/env python3
"""infer with published generators and a published super-resolution network, against figures of another implementation.

    infer_shared.py DECONVOY DATA WORK MPIEXEC

DATA has models/, photos/exact227/ and expected_forward.json (float64 PyTorch); exit 77 where it, or h5py, is missing.
"""
import json
import os
import shutil
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError:
    print("h5py and NumPy are not there")
    sys.exit(77)

from onnx_file import write_png
from verdict import Verdict, read_png

PROGRAM, DATA, WORK, MPIEXEC = *(os.path.abspath(a) for a in sys.argv[1:4]), sys.argv[4]
DATA = os.environ.get("DECONVOY_TEST_DATA", DATA)
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
EDGE = 7
v = Verdict()


def run(name, config, ranks=0):
    with open(name + ".yaml", "w", encoding="utf-8") as f:
        f.write(f"output: {name}.h5\njob: infer\nruntime: {{durability: process}}\n" + config)
    launch = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    p = subprocess.run([*launch, PROGRAM, "run", name + ".yaml", "--fresh"], capture_output=True, text=True, timeout=250,
                       env={**os.environ, **MPI_ENV})
    return v.check(p.returncode == 0, name, "exit", p.returncode, p.stderr[-1500:])


def generator(name, z, want):
    with h5py.File(name + "_in.h5", "w") as f:
        f["latent"] = z[None].astype(np.float32)
    for precision, tolerance in (("strict", 2e-5), ("fast", 1e-3)):
        model = f"model: {{file: {DATA}/models/{name}.onnx, precision: {precision}}}\n"
        if not run(name, model + f"dataset: {{source: {name}_in.h5, inputs: {{z: /latent}}}}\n"):
            return
        with h5py.File(name + ".h5", "r") as f:
            got = f["/infer/img"][0, 0]
        v.near(f"{name}: {precision} row 14", got[14], want["row14"], tolerance)
        v.near(f"{name}: {precision} mean", got.mean(), want["mean"], tolerance)
        v.near(f"{name}: {precision} std", got.std(), want["std"], tolerance)
    run(name + "_drawn", model + "infer: {latent: {count: 5}}\n")
    with h5py.File(name + "_drawn.h5", "r") as f:
        got = f["/infer/img"][:]
        v.check(f["/infer/latent"].shape == (5, *z.shape) and np.isfinite(got).all() and got.std(axis=0).max() > 0.1, name, "drawn")


def super_resolution(expected):
    name = "waifu2x_upconv7_photo_2x.onnx"
    with open("pictures.txt", "w", encoding="utf-8") as f:
        f.writelines(f"{i:02d}.png\n" for i in range(len(expected)))
    truth = []
    for i, photo in enumerate(expected):
        sharp = read_png(f"{DATA}/photos/exact227/{photo}.png")[:226, :226, :3].astype(float)
        half = np.rint((sharp / 255).reshape(113, 2, 113, 2, 3).mean(axis=(1, 3)) * 255).astype(np.uint8)
        truth.append(sharp / 255)
        write_png(f"{i:02d}.png", np.pad(half, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), mode="edge"))
    config = f"model: {{file: {DATA}/models/{name}, precision: strict}}\ndataset: {{source: pictures.txt}}\n"
    run("whole", config)
    run("tiled", config + "infer: {tile: 64}\n", 2)
    with h5py.File("whole.h5", "r") as f, h5py.File("tiled.h5", "r") as g:
        whole, tiled = f["/infer/y"][:], g["/infer/y"][:]
    v.near("waifu2x: tiled", tiled, whole, 1e-6 * np.abs(whole).max())
    for i, (photo, want) in enumerate(expected.items()):
        error = np.clip(whole[i].transpose(1, 2, 0), 0, 1).astype(float) - truth[i]
        v.near(f"waifu2x: {photo} PSNR, dB", -10 * np.log10((error ** 2).mean()), want[name]["psnr_net"], 1e-3)


def main():
    if not os.path.isfile(DATA + "/expected_forward.json"):
        print(DATA, "is not there")
        return 77
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    os.chdir(WORK)
    with open(DATA + "/expected_forward.json", encoding="utf-8") as f:
        expected = json.load(f)
    with open(DATA + "/models/cvae_labels.json", encoding="utf-8") as f:
        labels = json.load(f)
    generator("dcgan_mnist", 1.5 * np.sin(1.7 * np.arange(1, 65)).reshape(64, 1, 1), expected["dcgan_mnist.onnx"])
    z = np.zeros(67)
    z[:16] = 0.5 * np.sin(np.arange(1, 17))
    z[17 + labels.index("light_bulb")] = 1
    generator("cvae_quickdraw", z, expected["cvae_quickdraw.onnx"])
    super_resolution({k: e for k, e in expected.items() if isinstance(e, dict) and "waifu2x_upconv7_photo_2x.onnx" in e})
    return v.end()


if __name__ == "__main__":
    sys.exit(main())
