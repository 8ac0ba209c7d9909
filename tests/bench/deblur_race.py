#!/usr/bin/env python3
"""Time to a divergence: scikit-image's 100 iterations of Richardson-Lucy against deconvoy's accelerated ones.

A photograph (--photo; default: scikit-image's own), enlarged to --side squared, is shaken by `deconvoy blur` (one-sided
motion, photon noise).  What is reached is the divergence D(y || Hx) of 100 plain iterations; how many accelerated ones
it takes is read from a first run, and the run that is timed does that many: the whole program, with reading and
writing.  scikit-image is timed without either.  All on one thread; run it under `taskset -c 1`.
--items N: instead, N small pictures of 128 x 128, 20 iterations each, in one program.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import h5py  # noqa: E402
import numpy as np  # noqa: E402

PSF = "{kind: motion, length: 31, angle: 20}"


def photograph(path, side):
    from PIL import Image
    if path:
        picture = Image.open(path).convert("L")
    else:
        from skimage import data
        picture = Image.fromarray(data.camera())
    return np.asarray(picture.resize((side, side), Image.BICUBIC), np.float32)


def run(program, work, name, body, ranks):
    config = work / (name + ".yaml")
    result = work / (name + ".h5")
    config.write_text(f"job: {body.split(':')[0]}\noutput: {result}\nruntime: {{threads: 1}}\n{body}")
    start = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)] if ranks > 1 else []
    t = time.perf_counter()
    subprocess.run(start + [program, "run", str(config), "--fresh"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return time.perf_counter() - t, result


def deblur(program, work, name, source, extra, ranks=1):
    return run(program, work, name, f"deblur:\n  input: {source}\n  psf: {PSF}\n{extra}", ranks)


def divergences(result):
    with h5py.File(result) as f:
        return f["/deblur/history/divergence"][...], f["/deblur/psf"][...]


def skimage_seconds(picture, psf, iterations):
    from skimage.restoration import richardson_lucy
    y = picture / picture.max()
    t = time.perf_counter()
    richardson_lucy(y.astype(np.float32), psf.astype(np.float32), num_iter=iterations)
    return time.perf_counter() - t


def to_a_divergence(a, work):
    picture = photograph(a.photo, a.side)
    with h5py.File(work / "sharp.h5", "w") as f:
        f["image"] = picture
    _, blurred = run(a.deconvoy, work, "blurred",
                     f"blur:\n  input: {work}/sharp.h5\n  psf: {PSF}\n  noise: {{poisson: 1000, seed: 1}}\n", 1)
    plain_s, plain = deblur(a.deconvoy, work, "plain", blurred, "  iterations: 100\n", a.ranks)
    goal, psf = divergences(plain)
    _, probe = deblur(a.deconvoy, work, "probe", blurred, "  iterations: 60\n  acceleration: biggs_andrews\n", a.ranks)
    reached = np.flatnonzero(divergences(probe)[0] <= goal[99])
    n = int(reached[0]) + 1
    fast_s = min(deblur(a.deconvoy, work, "fast", blurred, f"  iterations: {n}\n  acceleration: biggs_andrews\n",
                        a.ranks)[0] for _ in range(2))
    with h5py.File(blurred) as f:
        data = f["/blur/image"][...]
    theirs = skimage_seconds(data, psf, a.iterations) / a.iterations
    print(json.dumps({"side": a.side, "ranks": a.ranks, "psf": psf.shape, "divergence": float(goal[99]),
                      "accelerated_iterations": n, "plain_100_s": round(plain_s, 2), "accelerated_s": round(fast_s, 2),
                      "skimage_ms_per_iteration": round(1e3 * theirs, 1), "skimage_100_s": round(100 * theirs, 2),
                      "times_faster": round(100 * theirs / fast_s, 1)}))


def small_pictures(a, work):
    rng = np.random.default_rng(1)
    pictures = rng.gamma(2, 50, (a.items, 128, 128)).astype(np.float32)
    with h5py.File(work / "small.h5", "w") as f:
        f["image"] = pictures
    s, result = deblur(a.deconvoy, work, "items", work / "small.h5",
                       "  dimensions: 2\n  parallel: items\n  iterations: 20\n", a.ranks)
    with h5py.File(result) as f:
        psf = f["/deblur/psf"][...].reshape(f["/deblur/psf"].shape[-2:])
    t = time.perf_counter()
    for y in pictures[:50]:
        skimage_seconds(y, psf, 20)
    theirs = (time.perf_counter() - t) / 50
    print(json.dumps({"items": a.items, "ranks": a.ranks, "deconvoy_s": round(s, 2),
                      "ms_an_item": round(1e3 * s / a.items, 2), "skimage_ms_an_item": round(1e3 * theirs, 2),
                      "times_faster": round(theirs * a.items / s, 1)}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--deconvoy", default="build/deconvoy")
    p.add_argument("--photo", type=Path)
    p.add_argument("--side", type=int, default=2048)
    p.add_argument("--ranks", type=int, default=1)
    p.add_argument("--iterations", type=int, default=20, help="of scikit-image's 100, that are timed")
    p.add_argument("--items", type=int, default=0)
    a = p.parse_args()
    a.deconvoy = str(Path(a.deconvoy).resolve())
    with tempfile.TemporaryDirectory() as work:
        (small_pictures if a.items else to_a_divergence)(a, Path(work))


if __name__ == "__main__":
    main()
