#!/usr/bin/env python3
"""Time ONNX Runtime, OpenVINO and PyTorch, and deconvoy beside them, on one core.

Five torchvision networks with random weights at 224 x 224, forward only; median
milliseconds per picture. Prints a Markdown table. Needs requirements.txt.
"""
import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before any of the libraries is loaded

NETS = ["squeezenet1_1", "alexnet", "resnet18", "resnet50", "vgg16"]
BATCHES = [1, 8]
PEERS = ["ONNX Runtime", "OpenVINO", "PyTorch"]
PRECISIONS = ["fast", "strict"]
SIDE = 224


def network(name):
    import torch
    import torchvision
    torch.manual_seed(1123)
    return getattr(torchvision.models, name)(weights=None).eval()


def export(net, path):
    import torch
    if path.exists():
        return
    unfinished = path.with_suffix(".part")  # an interrupted export must not stay
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(net, (torch.zeros(1, 3, SIDE, SIDE),), str(unfinished),
                          dynamo=False, opset_version=13, input_names=["image"],
                          output_names=["logits"], dynamic_axes=axes)
    unfinished.rename(path)


def onnxruntime_runner(path, images):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options,
                                           providers=["CPUExecutionProvider"])
    return lambda: session.run(["logits"], {"image": images})[0]


def openvino_runner(path, images):
    import openvino
    model = openvino.Core().read_model(path)
    model.reshape(images.shape)  # it does best with fixed sizes
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False,       # this script has pinned already
                "INFERENCE_PRECISION_HINT": "f32"}  # else bf16 where the core has it
    request = openvino.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: images}, share_inputs=True)[0]


def pytorch_runner(net, images):
    import torch
    torch.set_num_threads(1)
    x = torch.from_numpy(images)

    def run():
        with torch.inference_mode():
            return net(x).numpy()
    return run


def measure(run, batch, budget):
    """Median over as many runs as fit into the budget, at least three."""
    start = time.perf_counter()
    run()
    while time.perf_counter() - start < 0.2 * budget:  # warm-up
        run()
    times = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < budget:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return 1000 * statistics.median(times) / batch


def measure_deconvoy(program, path, batch, precision):
    command = [program, "bench", str(path), "--batch", str(batch), "--threads", "1",
               "--precision", precision, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    try:
        return json.loads(done.stdout)["walks"]["forward"]["ms_per_picture"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{' '.join(command)}: not the expected JSON: {error!r}")


def time_network(name, args, cache):
    """{(who, batch): ms}: the median of the rounds."""
    import numpy as np
    path = cache / f"{name}.onnx"
    net = network(name)
    export(net, path)
    runners, outputs = {}, {}
    for batch in BATCHES:
        images = np.random.default_rng(batch).standard_normal(
            (batch, 3, SIDE, SIDE), dtype=np.float32)
        runners["ONNX Runtime", batch] = onnxruntime_runner(path, images)
        runners["OpenVINO", batch] = openvino_runner(path, images)
        runners["PyTorch", batch] = pytorch_runner(net, images)
        for who in PEERS:
            outputs[who] = np.array(runners[who, batch]())
        want = outputs["PyTorch"]
        for who in PEERS:  # a wrong answer's time means nothing
            gap = np.abs(outputs[who] - want).max() / np.abs(want).max()
            if gap > 1e-3:
                raise SystemExit(f"{name}: {who} differs from PyTorch by {gap:g}")

    rounds = {}
    for turn in range(args.rounds):
        # Everybody in turn within each round, so that a change of the clock or
        # another program's load falls on all alike.
        for batch in BATCHES:
            for who in PEERS:
                ms = measure(runners[who, batch], batch, args.budget)
                rounds.setdefault((who, batch), []).append(ms)
            for precision in PRECISIONS if args.deconvoy else []:
                ms = measure_deconvoy(args.deconvoy, path, batch, precision)
                rounds.setdefault((precision, batch), []).append(ms)
        now = ", ".join(f"{who} {batch}: {ms[-1]:.2f}" for (who, batch), ms in rounds.items())
        print(f"{name} round {turn + 1}/{args.rounds}: {now}", file=sys.stderr, flush=True)
    return {key: statistics.median(ms) for key, ms in rounds.items()}


def better_batch(found, who):
    return min((found[who, batch], batch) for batch in BATCHES)


def row(name, found, with_deconvoy):
    cells = [name]
    cells += [" / ".join(f"{found[who, batch]:.2f}" for batch in BATCHES) for who in PEERS]
    if with_deconvoy:
        best = min(better_batch(found, who)[0] for who in ("ONNX Runtime", "OpenVINO"))
        mine = [better_batch(found, precision) for precision in PRECISIONS]
        cells += [f"{ms:.2f} (batch {batch})" for ms, batch in mine]
        cells += [f"{ms / best:.2f}" for ms, batch in mine]
    return "| " + " | ".join(cells) + " |"


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--cache", type=Path, help="folder for the ONNX files, kept; "
                      "without it a temporary one")
    args.add_argument("--nets", nargs="+", choices=NETS, default=NETS, metavar="NET")
    args.add_argument("--budget", type=float, default=3.0, help="seconds per measurement")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    args.add_argument("--deconvoy", metavar="PATH", help="the program to compare")
    args = args.parse_args()
    if args.rounds < 1:
        raise SystemExit("--rounds must be at least 1")

    os.sched_setaffinity(0, {args.core})  # before the libraries count the cores
    import onnxruntime
    import openvino
    import torch

    with tempfile.TemporaryDirectory() as temporary:
        cache = args.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        results = {}
        for name in args.nets:
            results[name] = time_network(name, args, cache)
            gc.collect()  # the sessions of one network before the next one's

    heads = ["network"] + [f"{who}, batch {' / '.join(map(str, BATCHES))}" for who in PEERS]
    if args.deconvoy:
        heads += [f"deconvoy {p}" for p in PRECISIONS]
        heads += [f"{p} to best peer" for p in PRECISIONS]
    print("| " + " | ".join(heads) + " |")
    print("|---" + "|---:" * (len(heads) - 1) + "|")
    for name, found in results.items():
        print(row(name, found, args.deconvoy))
    print(f"\nMilliseconds per picture of {SIDE} x {SIDE}, forward, float32, one thread on one "
          f"core of {processor()}; median over rounds: {args.rounds}. ONNX Runtime "
          f"{onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}, "
          f"PyTorch {torch.__version__.split('+')[0]}.")
    if args.deconvoy:
        print("The best peer is the better of ONNX Runtime and OpenVINO at its better batch; "
              "a ratio below 1 means that deconvoy is faster.")


if __name__ == "__main__":
    main()
