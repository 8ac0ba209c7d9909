#!/usr/bin/env python3
"""Train the Fashion-MNIST example network and export it as ONNX.

Needs the Debian package dataset-fashion-mnist, and torch, onnx and numpy.
Writes fashion_mnist.onnx and fashion_mnist.txt beside this file.
"""
import argparse
import datetime
import gzip
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

DATA = Path("/usr/share/datasets/fashion-mnist")  # where the Debian package puts it
HERE = Path(__file__).resolve().parent
SEED = 1123
SHIFT = 2  # pixels of random translation, each way


def read_idx(path):
    """An IDX file of bytes: two zeros, type 8, rank, then big-endian sizes."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise SystemExit(f"{path}: not an IDX file of bytes")
    shape = np.frombuffer(raw, ">u4", raw[3], 4).astype(int)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def load(split):
    images = read_idx(DATA / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(DATA / f"{split}-labels-idx1-ubyte.gz")
    # 0..1 and nothing more: the network runs with `preset: none`.
    x = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return x, torch.from_numpy(labels.astype(np.int64))


def network():
    # No BatchNorm: four layers train well without it, and the exported graph
    # then holds exactly the layers written here.
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(1, 16, 3, padding=1), relu1=nn.ReLU(),
        conv2=nn.Conv2d(16, 32, 3, padding=1), relu2=nn.ReLU(),
        pool1=nn.MaxPool2d(2),                                   # 14 x 14
        conv3=nn.Conv2d(32, 48, 3, padding=1), relu3=nn.ReLU(),
        pool2=nn.MaxPool2d(2),                                   # 7 x 7
        conv4=nn.Conv2d(48, 64, 3, padding=1), relu4=nn.ReLU(),
        pool3=nn.MaxPool2d(2),                                   # 3 x 3
        flat=nn.Flatten(), drop1=nn.Dropout(0.3),
        dense1=nn.Linear(64 * 3 * 3, 64), relu5=nn.ReLU(), drop2=nn.Dropout(0.2),
        dense2=nn.Linear(64, 10)))


def augment(x):
    """A shift and a mirror image of its own for each picture of the batch."""
    n = len(x)
    side = 2 * SHIFT + 1
    windows = F.pad(x, [SHIFT] * 4).unfold(2, 28, 1).unfold(3, 28, 1)
    x = windows[torch.arange(n), :, torch.randint(side, (n,)), torch.randint(side, (n,))]
    mirror = torch.rand(n) < 0.5
    return torch.where(mirror[:, None, None, None], x.flip(3), x)


def train(net, x, y, epochs, batch):
    steps = epochs * (len(x) // batch)
    opt = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        total = 0.0
        order = torch.randperm(len(x))
        for i in range(len(x) // batch):
            pick = order[i * batch:(i + 1) * batch]
            loss = F.cross_entropy(net(augment(x[pick])), y[pick])
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs} loss {total / (len(x) // batch):.4f}", flush=True)


@torch.no_grad()
def predict(net, x):
    net.eval()
    return torch.cat([net(part) for part in x.split(500)])


def rename(model):
    """Names a user can type: each ReLU's output carries its layer's name."""
    names, count = {"image": "image"}, {"Conv": 0, "MaxPool": 0, "Gemm": 0}
    stem = {"Conv": "conv", "MaxPool": "pool", "Gemm": "dense"}
    last = len(model.graph.node) - 1
    for i, node in enumerate(model.graph.node):
        if node.op_type == "Relu":
            new = names[node.input[0]].removesuffix("_sum")
        elif node.op_type in stem:
            count[node.op_type] += 1
            new = stem[node.op_type] + str(count[node.op_type])
            new += "" if node.op_type == "MaxPool" else "_sum"  # before its ReLU
        else:
            new = node.op_type.lower()
        new = "logits" if i == last else new
        names[node.output[0]] = new
        node.input[0] = names[node.input[0]]
        node.output[0] = node.name = new
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model), full_check=True)


def export(net, path):
    net.eval()
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        # The TorchScript exporter: it writes a self-contained file at opset 13.
        torch.onnx.export(net, (torch.zeros(2, 1, 28, 28),), str(path), dynamo=False,
                          opset_version=13, input_names=["image"],
                          output_names=["logits"], dynamic_axes=axes)
    model = onnx.load(path)
    rename(model)
    onnx.save(model, path)


def verify(path, x, y, want):
    try:
        import onnxruntime
    except ImportError:
        return "not checked: onnxruntime is not installed"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    got = np.concatenate([run.run(["logits"], {"image": part.numpy()})[0]
                          for part in x.split(500)])
    worst = np.abs(got - want.numpy()).max()
    if worst > 1e-3:
        raise SystemExit(f"{path.name}: onnxruntime differs from torch by {worst:g}")
    right = int((got.argmax(1) == y.numpy()).sum())
    return (f"onnxruntime {onnxruntime.__version__}: {right} of {len(y)} right, "
            f"largest difference of a logit {worst:.1e}")


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--epochs", type=int, default=20)
    args.add_argument("--batch", type=int, default=128)
    args = args.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the order of sums, so the result, depends on it
    net = network()
    train(net, *load("train"), args.epochs, args.batch)

    # The test set is used once, here: nothing above was chosen by it.
    x, y = load("t10k")
    logits = predict(net, x)
    right = int((logits.argmax(1) == y).sum())
    path = HERE / "fashion_mnist.onnx"
    export(net, path)
    lines = [
        f"test accuracy {100 * right / len(y):.2f} % ({right} of {len(y)})",
        verify(path, x, y, logits),
        f"{sum(p.numel() for p in net.parameters())} parameters, "
        f"{path.stat().st_size} bytes of ONNX",
        f"epochs {args.epochs}, batch {args.batch}, seed {SEED}, one thread",
        f"torch {torch.__version__.split('+')[0]}, onnx {onnx.__version__}",
        f"date {datetime.date.today().isoformat()}",
    ]
    (HERE / "fashion_mnist.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
