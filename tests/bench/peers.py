#!/usr/bin/env python3
"""Time ONNX Runtime, OpenVINO and PyTorch, and deconvoy beside them, on one core.

Torchvision networks with random weights at 224 x 224, a DCGAN generator, a
U-Net and, where its file is given, a super-resolution network, forward only;
median milliseconds per picture. Prints a Markdown table. Needs requirements.txt.
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

# name: shape of one input, batches
SIDE, BATCHES = 224, [1, 8]
CLASSIFIERS = ["squeezenet1_1", "alexnet", "resnet18", "resnet50", "vgg16"]  # which the other races here have too
NETS = {name: ((3, SIDE, SIDE), BATCHES)
        for name in CLASSIFIERS + ["googlenet", "densenet121", "mobilenet_v2", "efficientnet_b0"]}
OPTIONS = {"googlenet": {"aux_logits": False, "init_weights": False}}  # its own initial weights take minutes
NETS.update(dcgan=((100, 1, 1), [64]), unet=((3, 256, 256), [1]), upconv7=((3, 512, 512), [1]))
PEERS = ["ONNX Runtime", "OpenVINO", "PyTorch"]
PRECISIONS = ["fast", "strict"]


def dcgan():
    """100 -> 512-256-128-64-3, 64 px."""
    from torch import nn

    def up(ci, co, stride, pad):
        return [nn.ConvTranspose2d(ci, co, 4, stride, pad, bias=False), nn.BatchNorm2d(co), nn.ReLU()]
    return nn.Sequential(*up(100, 512, 1, 0), *up(512, 256, 2, 1), *up(256, 128, 2, 1), *up(128, 64, 2, 1),
                         nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def unet():
    """Three levels of 32, 64 and 128 channels."""
    import torch
    from torch import nn

    def block(ci, co):
        return nn.Sequential(nn.Conv2d(ci, co, 3, padding=1), nn.ReLU(), nn.Conv2d(co, co, 3, padding=1), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.low = block(3, 32), block(32, 64), block(64, 128)
            self.up2, self.up1 = nn.ConvTranspose2d(128, 64, 2, 2), nn.ConvTranspose2d(64, 32, 2, 2)
            self.join2, self.join1 = block(128, 64), block(64, 32)
            self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(32, 2, 1)

        def forward(self, x):
            a = self.down1(x)
            b = self.down2(self.pool(a))
            b = self.join2(torch.cat([self.up2(self.low(self.pool(b))), b], 1))
            return self.last(self.join1(torch.cat([self.up1(b), a], 1)))
    return UNet()


def network(name):
    import torch
    import torchvision
    torch.manual_seed(1123)
    own = {"dcgan": dcgan, "unet": unet}
    return (own[name]() if name in own else getattr(torchvision.models, name)(weights=None, **OPTIONS.get(name, {}))).eval()


def export(net, path, shape=(3, SIDE, SIDE)):
    import torch
    if path.exists():
        return
    unfinished = path.with_suffix(".part")  # an interrupted export must not stay
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(net, (torch.zeros(1, *shape),), str(unfinished),
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
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})[0]


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


def measure_deconvoy(program, path, shape, batch, precision):
    command = [program, "bench", str(path), "--batch", str(batch), "--threads", "1",
               "--precision", precision, "--json"]
    command += ["--input-shape", ",".join(map(str, shape))]
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
    shape, batches = NETS[name]
    path = args.upconv7 if name == "upconv7" else cache / f"{name}.onnx"
    net = None if name == "upconv7" else network(name)
    peers = [who for who in PEERS if net or who != "PyTorch"]
    if net:
        export(net, path, shape)
    runners, outputs = {}, {}
    for batch in batches:
        images = np.random.default_rng(batch).standard_normal((batch, *shape), dtype=np.float32)
        runners["ONNX Runtime", batch] = onnxruntime_runner(path, images)
        runners["OpenVINO", batch] = openvino_runner(path, images)
        if net:
            runners["PyTorch", batch] = pytorch_runner(net, images)
        for who in peers:
            outputs[who] = np.array(runners[who, batch]())
        want = outputs[peers[-1]]
        for who in peers:  # a wrong answer's time means nothing
            gap = np.abs(outputs[who] - want).max() / np.abs(want).max()
            if gap > 1e-3:
                raise SystemExit(f"{name}: {who} differs from {peers[-1]} by {gap:g}")

    rounds = {}
    for turn in range(args.rounds):
        # Everybody in turn within each round, so that a change of the clock or
        # another program's load falls on all alike.
        for batch in batches:
            for who in peers:
                ms = measure(runners[who, batch], batch, args.budget)
                rounds.setdefault((who, batch), []).append(ms)
            for precision in PRECISIONS if args.deconvoy else []:
                ms = measure_deconvoy(args.deconvoy, path, shape, batch, precision)
                rounds.setdefault((precision, batch), []).append(ms)
        now = ", ".join(f"{who} {batch}: {ms[-1]:.2f}" for (who, batch), ms in rounds.items())
        print(f"{name} round {turn + 1}/{args.rounds}: {now}", file=sys.stderr, flush=True)
    return {key: statistics.median(ms) for key, ms in rounds.items()}


def better_batch(found, who):
    return min((ms, batch) for (whose, batch), ms in found.items() if whose == who)


def row(name, found, with_deconvoy):
    cells = [name]
    batches = NETS[name][1]
    cells += [" / ".join(f"{found[who, batch]:.2f}" for batch in batches) if (who, batches[0]) in found else "-"
              for who in PEERS]
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
    args.add_argument("--nets", nargs="+", choices=NETS, metavar="NET", help="all by default")
    args.add_argument("--upconv7", type=Path, metavar="FILE", help="waifu2x_upconv7_photo_2x.onnx; left out without it")
    args.add_argument("--budget", type=float, default=3.0, help="seconds per measurement")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    args.add_argument("--deconvoy", metavar="PATH", help="the program to compare")
    args = args.parse_args()
    args.nets = [name for name in args.nets or NETS if name != "upconv7" or args.upconv7]
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

    heads = ["network"] + [f"{who}, by batch" for who in PEERS]
    if args.deconvoy:
        heads += [f"deconvoy {p}" for p in PRECISIONS]
        heads += [f"{p} to best peer" for p in PRECISIONS]
    print("| " + " | ".join(heads) + " |")
    print("|---" + "|---:" * (len(heads) - 1) + "|")
    for name, found in results.items():
        print(row(name, found, args.deconvoy))
    print("\nBatches: " + ", ".join(f"{name} {' / '.join(map(str, NETS[name][1]))}" for name in results) + ".")
    print(f"Milliseconds per picture, forward, float32, one thread on one "
          f"core of {processor()}; median over rounds: {args.rounds}. ONNX Runtime "
          f"{onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}, "
          f"PyTorch {torch.__version__.split('+')[0]}.")
    if args.deconvoy:
        print("The best peer is the better of ONNX Runtime and OpenVINO at its better batch; "
              "a ratio below 1 means that deconvoy is faster.")


if __name__ == "__main__":
    main()
