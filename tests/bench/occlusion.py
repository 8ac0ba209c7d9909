#!/usr/bin/env python3
"""Time occlusion: deconvoy, Captum and ONNX Runtime over batches of occluded pictures, one thread, in turn.

169 windows of 32 px, stride 16, one 224 px picture, one class; processor seconds of a picture (which other work on the
machine disturbs less than wall time), the least of all rounds.  deconvoy reads, starts and compiles once: the time of a
picture is that of a run over three less that of one, halved; `first` is the whole program with one picture.
Needs requirements.txt, and captum for its column.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers import CLASSIFIERS, SIDE, export, network  # noqa: E402


def starts(patch, stride):
    return [i * stride for i in range(-(-(SIDE - patch) // stride) + 1)]


def cpu(run):
    t = time.process_time()
    run()
    return time.process_time() - t


def coarser(patch, stride, sample):
    """A stride that leaves about `sample` windows, and how many times fewer they are.  What a window costs others does not
    depend on where it lies; 0: all windows."""
    every = len(starts(patch, stride)) ** 2
    if not sample or every <= sample:
        return stride, 1
    wide = next(s for s in range(stride, SIDE) if len(starts(patch, s)) ** 2 <= sample)
    return wide, every / len(starts(patch, wide)) ** 2


def captum_seconds(name, patch, stride, picture, per_pass, sample):
    import torch
    from captum.attr import Occlusion
    torch.set_num_threads(1)
    net = Occlusion(network(name))
    stride, times = coarser(patch, stride, sample)
    x = torch.from_numpy(picture)
    with torch.no_grad():
        return times * cpu(lambda: net.attribute(x, sliding_window_shapes=(3, patch, patch), strides=(3, stride, stride), baselines=0.0,
                                         target=3, perturbations_per_eval=per_pass))


def onnxruntime_seconds(path, patch, stride, picture, batch, sample):
    import numpy as np
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    stride, times = coarser(patch, stride, sample)
    corners = [(y, x) for y in starts(patch, stride) for x in starts(patch, stride)]
    session.run(None, {"image": np.repeat(picture, batch, 0)})

    def run():
        for first in range(0, len(corners), batch):
            some = np.repeat(picture, len(corners[first:first + batch]), 0)
            for p, (y, x) in zip(some, corners[first:]):
                p[:, y:y + patch, x:x + patch] = 0
            session.run(None, {"image": some})
    return times * cpu(run)


def deconvoy_seconds(program, folder, path, patch, stride, precision, method, rounds):
    """Seconds of a picture, of a run with one, and the bound by multiply-adds."""
    import h5py
    best = {}
    for _ in range(rounds):
        for n in (1, 3):
            job = {"job": "occlusion", "output": str(folder / "out.h5"), "model": {"file": str(path), "precision": precision},
                   "dataset": {"source": str(folder / f"in{n}.h5")}, "runtime": {"durability": "process", "progress": "none"},
                   "occlusion": {"patch": patch, "stride": stride, "fill": 0, "targets": [3], "method": method}}
            (folder / "job.yaml").write_text(json.dumps(job))
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([program, "run", str(folder / "job.yaml"), "--fresh"], check=True, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            t = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            best[n] = min(t, best.get(n, t))
    with h5py.File(folder / "out.h5") as f:
        done, full = f["/occlusion/work"][0]
    return (best[3] - best[1]) / 2, best[1], full / done


def main():
    import h5py
    import numpy as np
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--deconvoy", required=True)
    p.add_argument("--models", type=Path, help="folder of the networks; made there if missing")
    p.add_argument("--nets", nargs="*", default=CLASSIFIERS)
    p.add_argument("--patch", type=int, default=32)
    p.add_argument("--stride", type=int, default=16)
    p.add_argument("--captum", type=int, nargs="*", default=[1, 16, 32], help="windows per pass; none: leave it out")
    p.add_argument("--onnxruntime", type=int, nargs="*", default=[1, 16])
    p.add_argument("--sample", type=int, default=0, help="time others on about so many windows and scale; our full method is left out")
    p.add_argument("--rounds", type=int, default=2)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        models = a.models or folder
        models.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
        for n in (1, 3):
            with h5py.File(folder / f"in{n}.h5", "w") as f:
                f["images"] = np.repeat(picture, n, 0)
        print(f"| network | Captum {a.captum} | ONNX Runtime {a.onnxruntime} | full strict | strict (first) | full fast | fast (first) | bound | of the bound, strict, fast |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name in a.nets:
            path = models / f"{name}.onnx"
            if not path.exists():
                export(network(name), path)
            ours = {(q, m): deconvoy_seconds(a.deconvoy, folder, path, a.patch, a.stride, q, m, a.rounds)
                    for q in ("strict", "fast") for m in (["incremental"] if a.sample else ["full", "incremental"])}
            captum = [f"{captum_seconds(name, a.patch, a.stride, picture, n, a.sample):.2f}" for n in a.captum]
            ort = [f"{onnxruntime_seconds(path, a.patch, a.stride, picture, n, a.sample):.2f}" for n in a.onnxruntime]
            cells, shares = [name, " / ".join(captum), " / ".join(ort)], []
            for q in ("strict", "fast"):
                one, first, bound = ours[q, "incremental"]
                full = ours.get((q, "full"), [float("nan")])[0]
                cells += [f"{full:.2f}", f"{one:.3f} ({first:.2f})"]
                shares.append(f"{full / one / bound:.2f}")
            print("| " + " | ".join(cells + [f"{bound:.2f}", " ".join(shares)]) + " |", flush=True)


if __name__ == "__main__":
    main()
