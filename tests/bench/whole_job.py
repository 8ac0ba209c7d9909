#!/usr/bin/env python3
"""The whole job as one would script it today, to compare deconvoy with.

SqueezeNet 1.1 over a folder of JPEG files in PyTorch: each channel's largest
value at every ReLU, and the nine pictures that excite each channel most.
"""
import time

BEGIN = time.perf_counter()  # loading the libraries is part of the job

import argparse
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import squeezenet1_1

TOP = 9


class Pictures(Dataset):
    def __init__(self, paths):
        self.paths = paths
        self.prepare = transforms.Compose([
            transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with Image.open(self.paths[i]) as picture:
            return self.prepare(picture.convert("RGB"))


def load_weights(net, path):
    """By the order of the convolutions: the names differ from file to file."""
    import onnx
    from onnx import numpy_helper
    graph = onnx.load(path).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:  # torch writes equal parameters once, the others as Identity
        if node.op_type == "Identity" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    nodes = [n for n in graph.node if n.op_type == "Conv"]
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    if len(nodes) != len(layers):
        raise SystemExit(f"{path}: {len(nodes)} convolutions, SqueezeNet 1.1 has {len(layers)}")
    for node, layer in zip(nodes, layers):
        for name, parameter in zip(node.input[1:], (layer.weight, layer.bias)):
            value = tensors[name]
            if value.shape != tuple(parameter.shape):
                raise SystemExit(f"{path}: {name} is {value.shape}, "
                                 f"not {tuple(parameter.shape)}")
            parameter.data.copy_(torch.from_numpy(value.copy()))


def watch(net):
    """Keep, for every ReLU, the last batch's per-channel maxima."""
    seen = {}

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = output.amax((2, 3))
        return hook
    for name, module in net.named_modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(keep(name))
    return seen


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("folder", type=Path)
    args.add_argument("--onnx", type=Path, help="take the weights from this file")
    args.add_argument("--times", type=int, default=1, help="go over the folder so often")
    args.add_argument("--batch", type=int, default=8)
    args.add_argument("--core", type=int, help="stay on this core")
    args.add_argument("--out", type=Path, help="write the results to this HDF5 file")
    args = args.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    torch.set_num_threads(1)

    paths = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    paths *= args.times
    if not paths:
        raise SystemExit(f"{args.folder}: no JPEG files")
    torch.manual_seed(1123)
    net = squeezenet1_1(weights=None).eval()
    if args.onnx:
        load_weights(net, args.onnx)
    seen = watch(net)

    ready = time.perf_counter()
    maxima, best = {}, {}
    done = 0
    with torch.inference_mode():
        for x in DataLoader(Pictures(paths), batch_size=args.batch):
            net(x)
            index = torch.arange(done, done + len(x))
            done += len(x)
            for name, peak in seen.items():
                maxima.setdefault(name, []).append(peak)
                at = index[:, None].expand_as(peak)
                if name in best:
                    peak = torch.cat([best[name][0], peak])
                    at = torch.cat([best[name][1], at])
                value, place = peak.topk(min(TOP, len(peak)), 0)
                best[name] = value, at.gather(0, place)
    maxima = {name: torch.cat(parts) for name, parts in maxima.items()}
    if args.out:
        import h5py
        with h5py.File(args.out, "w") as f:
            for name, value in maxima.items():
                f[f"{name}/max"] = value.numpy()
                f[f"{name}/top_value"] = best[name][0].numpy()
                f[f"{name}/top_picture"] = best[name][1].numpy()

    end = time.perf_counter()
    channels = sum(value.shape[1] for value in maxima.values())
    print(f"{done} pictures, {len(maxima)} ReLU layers, {channels} channels, batch {args.batch}")
    print(f"wall {end - BEGIN:.2f} s (libraries and weights {ready - BEGIN:.2f} s), "
          f"{1000 * (end - ready) / done:.2f} ms per picture")


if __name__ == "__main__":
    main()
