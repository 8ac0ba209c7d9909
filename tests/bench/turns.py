#!/usr/bin/env python3
"""Ratios that other work on the machine disturbs less: everybody runs one batch in turn, over and over.

ONNX Runtime and OpenVINO (batch 1 and 8) and deconvoy's engine (bench_turns), on one core. For each network and
precision, against the peer and batch whose median is least: the median of the ratios within a round, by time elapsed
and by processor time, and the ratio of the least of all times. Above 1: deconvoy is faster. Needs requirements.txt.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import peers


class Engine:
    """bench_turns, started once: an answer for each line."""

    def __init__(self, program, path, precision, batch):
        self.p = subprocess.Popen([program, str(path), precision, str(batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, bufsize=1, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})

    def __call__(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return tuple(map(float, self.p.stdout.readline().split()))

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def timed(run, batch):
    def one():
        elapsed, used = time.perf_counter(), time.process_time()
        run()
        return 1e3 * (time.perf_counter() - elapsed) / batch, 1e3 * (time.process_time() - used) / batch
    return one


def race(name, args, cache):
    import numpy as np
    path = cache / f"{name}.onnx"
    peers.export(peers.network(name), path)
    run = {}
    for batch in peers.BATCHES:
        x = np.random.default_rng(batch).standard_normal((batch, 3, peers.SIDE, peers.SIDE), dtype=np.float32)
        run["ONNX Runtime", batch] = timed(peers.onnxruntime_runner(path, x), batch)
        run["OpenVINO", batch] = timed(peers.openvino_runner(path, x), batch)
    own = {p: Engine(args.walk, path, p, 8) for p in peers.PRECISIONS}
    run.update(own)
    for one in run.values():
        one()
    times, end = {k: [] for k in run}, time.time() + args.seconds
    while time.time() < end or len(times["strict"]) < 3:
        for k, one in run.items():
            times[k].append(one())
    for engine in own.values():
        engine.close()
    for p in own:
        cells = [name, p, str(len(times[p]))]
        for clock in (0, 1):
            median = {k: statistics.median(t[clock] for t in v) for k, v in times.items()}
            best = min((k for k in run if k not in own), key=median.get)
            ratio = statistics.median(a[clock] / b[clock] for a, b in zip(times[best], times[p]))
            least = min(t[clock] for k in run if k not in own for t in times[k]) / min(t[clock] for t in times[p])
            cells += [f"{best[0]} {best[1]}", f"{median[best]:.2f}", f"{median[p]:.2f}", f"{ratio:.3f}", f"{least:.3f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--walk", required=True, metavar="PATH", help="the program bench_turns")
    args.add_argument("--cache", type=Path, help="folder for the ONNX files, kept; without it a temporary one")
    args.add_argument("--nets", nargs="+", choices=[n for n in peers.NETS if peers.NETS[n][0][1] == peers.SIDE], default=peers.CLASSIFIERS, metavar="NET")
    args.add_argument("--seconds", type=float, default=120, help="for a network")
    args.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    args = args.parse_args()
    os.sched_setaffinity(0, {args.core})  # before the libraries count the cores
    heads = ["network", "precision", "rounds"]
    for clock in ("elapsed", "processor"):
        heads += [f"best peer, {clock}", "its ms", "ours", "ratio", "of least"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        cache = args.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        for name in args.nets:
            race(name, args, cache)


if __name__ == "__main__":
    main()
