#!/usr/bin/env python3
"""Time the walks back of Captum on PyTorch, and of deconvoy beside it, on one core.

Five torchvision networks with random weights at 224 x 224: deconvnet, guided backprop
and gradient of one logit down to the input, forward and back together; milliseconds a
map at batch 1 and 8, and memory. Prints Markdown tables. Needs requirements.txt.

Two clocks: what passed (median over rounds) and the processor's (least of rounds),
which other work on the machine disturbs less.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import peers  # sets OMP_NUM_THREADS

WALKS = {"deconvnet": "Deconvolution", "guided_backprop": "GuidedBackprop", "gradient": "Saliency"}
ASKED = {"squeezenet1_1": 2.5, "alexnet": 1.5, "resnet18": 1.9, "resnet50": 1.8, "vgg16": 2.7}
MB = 1e6


def captum_runner(net, walk, batch):
    import captum.attr
    import torch
    torch.set_num_threads(1)
    method = getattr(captum.attr, WALKS[walk])(net)
    more = {"abs": False} if walk == "gradient" else {}
    x = torch.randn(batch, 3, peers.SIDE, peers.SIDE, generator=torch.Generator().manual_seed(batch))
    x.requires_grad_(True)
    target = torch.zeros(batch, dtype=torch.long)
    return lambda: method.attribute(x, target=target, **more)


def network(name):
    """Captum's hooks want activations that do not work in place."""
    net = peers.network(name)
    for m in net.modules():
        if hasattr(m, "inplace"):
            m.inplace = False
    for p in net.parameters():
        p.requires_grad_(False)
    return net


def measure(run, batch, budget):
    """(median ms, least ms of the processor) a map."""
    run()
    wall, processor = [], []
    start = time.perf_counter()
    while len(wall) < 3 or time.perf_counter() - start < budget:
        t, c = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - t)
        processor.append(time.process_time() - c)
    return 1000 * statistics.median(wall) / batch, 1000 * min(processor) / batch


LINE = re.compile(r"^(\w+) +([\d.]+) ms per picture \(processor ([\d.]+)\), .*; weights ([\d.]+) MB, walk ([\d.]+) MB")


def measure_deconvoy(program, path, batch, precision):
    """{walk: (ms, ms of the processor, MB of weights, MB of a walk)}"""
    command = [program, "bench", str(path), "--batch", str(batch), "--threads", "1", "--precision", precision,
               "--walks", "forward," + ",".join(WALKS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}")
    found = {}
    for line in done.stdout.splitlines():
        if m := LINE.match(line):
            found[m[1]] = tuple(float(v) for v in m.groups()[1:])
    if set(found) != {"forward", *WALKS}:
        raise SystemExit(f"{' '.join(command)}: not the expected lines:\n{done.stdout}")
    return found


def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def peak_memory(name, batch):
    """In a process of its own: MB that a guided backprop takes at most, weights not counted."""
    run = captum_runner(network(name), "guided_backprop", batch)
    captum_runner(network("squeezenet1_1"), "guided_backprop", 1)()  # what the library makes once
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    run()
    return (status("VmHWM") - before) / MB


def time_network(name, args, cache):
    path = cache / f"{name}.onnx"
    net = network(name)
    peers.export(net, path)
    runners = {(walk, batch): captum_runner(net, walk, batch) for walk in WALKS for batch in peers.BATCHES}
    captum, ours = {}, {}
    for turn in range(args.rounds):
        for batch in peers.BATCHES:  # in turn, so that other programs' load falls on all alike
            for walk in WALKS:
                captum.setdefault((walk, batch), []).append(measure(runners[walk, batch], batch, args.budget))
            for walk, found in measure_deconvoy(args.deconvoy, path, batch, args.precision).items():
                ours.setdefault((walk, batch), []).append(found)
        print(f"{name} round {turn + 1}/{args.rounds}", file=sys.stderr, flush=True)
    memory = {}
    for batch in peers.BATCHES:
        code = f"import peers_back; print(peers_back.peak_memory({name!r}, {batch}))"
        here = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parent))
        memory[batch] = float(subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=here, check=True,
                                             capture_output=True, text=True).stdout.split()[-1])
    return captum, ours, memory, path.stat().st_size / MB


def best(found, clock):
    """Over batches: the median of rounds, or the least of the processor's."""
    pick = min if clock else statistics.median
    return {batch: pick(r[clock] for r in rounds) for batch, rounds in found.items()}


def tables(results):
    def of(found, walk):
        return {batch: rounds for (w, batch), rounds in found.items() if w == walk}

    yield "| network | walk | Captum, batch 1 / 8 | deconvoy | times faster | asked | by processor time | three of one |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for name, (captum, ours, _, _) in results.items():
        forward = best(of(ours, "forward"), 1)[1]
        each = {walk: best(of(ours, walk), 1)[1] for walk in WALKS}
        three = forward + sum(each[w] - forward for w in WALKS)
        for walk in WALKS:
            them, us = ([best(of(found, walk), clock) for clock in (0, 1)] for found in (captum, ours))
            ratio = [min(them[c].values()) / min(us[c].values()) for c in (0, 1)]
            cells = [name, walk, " / ".join(f"{v:.1f}" for v in them[0].values()),
                     " / ".join(f"{v:.1f}" for v in us[0].values()), f"{ratio[0]:.2f}", f"{ASKED[name]}",
                     f"{ratio[1]:.2f}", f"{three / each[walk]:.2f}"]
            yield "| " + " | ".join(cells) + " |"
    yield ""
    yield "| network | PyTorch's memory, batch 1 / 8, MB | a walk of deconvoy, up to 8, MB | file, MB | weights resident, MB | times the file |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, (_, ours, memory, file) in results.items():
        _, _, weights, walk = ours["guided_backprop", 8][0]
        yield (f"| {name} | " + " / ".join(f"{v:.0f}" for v in memory.values()) +
               f" | {walk:.1f} | {file:.1f} | {weights:.1f} | {weights / file:.2f} |")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--deconvoy", metavar="PATH", required=True, help="the program to compare")
    args.add_argument("--cache", type=Path, help="folder for the ONNX files, kept; without it a temporary one")
    args.add_argument("--nets", nargs="+", choices=peers.CLASSIFIERS, default=peers.CLASSIFIERS, metavar="NET")
    args.add_argument("--precision", choices=["fast", "strict"], default="fast")
    args.add_argument("--budget", type=float, default=1.0, help="seconds per measurement")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    args = args.parse_args()
    os.sched_setaffinity(0, {args.core})  # before the libraries count the cores
    warnings.simplefilter("ignore")
    import captum
    import torch
    with tempfile.TemporaryDirectory() as temporary:
        cache = args.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        results = {name: time_network(name, args, cache) for name in args.nets}
    print("\n".join(tables(results)))
    print(f"\nms a map of {peers.SIDE} x {peers.SIDE}, forward and back, float32, {args.precision}, one thread on one core "
          f"of {peers.processor()}; rounds: {args.rounds}. Captum {captum.__version__}, PyTorch "
          f"{torch.__version__.split('+')[0]}. Each program at its better batch.")


if __name__ == "__main__":
    main()
