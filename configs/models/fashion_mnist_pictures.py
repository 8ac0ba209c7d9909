#!/usr/bin/env python3
"""Train the networks of the Fashion-MNIST examples whose outputs are pictures, and export them as ONNX.

decoder   z [N,8] and label [N,10] (one-hot) -> image [N,1,28,28]: the decoder of a conditional
          variational auto-encoder (Kingma and Welling 2014, Sohn et al. 2015)
double    image [N,1,H,W] -> double [N,1,2H,2W]: super-resolution, taught on 14 x 14 halves of the pictures
segment   image [N,1,H,W] -> scores [N,11,H,W]: a U-Net (Ronneberger et al. 2015); class 0 is the black
          ground, the others are 1 + the picture's class

Needs the Debian package dataset-fashion-mnist, and torch, onnx and numpy.
Writes fashion_mnist_NAME.onnx and its figures, fashion_mnist_NAME.txt, beside this file.
"""
import argparse
import datetime
import time
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

from fashion_mnist import HERE, SEED, load


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(18, 32 * 7 * 7)
        self.up1 = nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1)  # 14 x 14
        self.up2 = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)   # 28 x 28
        self.last = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, z, label):
        x = F.relu(self.dense(torch.cat([z, label], 1))).reshape(-1, 32, 7, 7)
        return torch.sigmoid(self.last(F.relu(self.up2(F.relu(self.up1(x))))))


class Encoder(nn.Module):
    """Only for training the decoder."""
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 4, stride=2, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 4, stride=2, padding=1)
        self.dense = nn.Linear(32 * 7 * 7 + 10, 16)

    def forward(self, x, label):
        x = F.relu(self.conv2(F.relu(self.conv1(x)))).flatten(1)
        return self.dense(torch.cat([x, label], 1)).chunk(2, 1)


class Double(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1)
        self.slope1, self.slope2 = nn.PReLU(16), nn.PReLU(16)

    def forward(self, image):
        return self.up(self.slope2(self.conv2(self.slope1(self.conv1(image)))))


class Segment(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(1, 8, 3, padding=1)
        self.down2 = nn.Conv2d(8, 24, 3, padding=1)
        self.low1 = nn.Conv2d(24, 40, 3, padding=1)
        self.low2 = nn.Conv2d(40, 40, 3, padding=2, dilation=2)
        self.up2 = nn.ConvTranspose2d(40, 24, 2, stride=2)
        self.mix2 = nn.Conv2d(48, 24, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(24, 8, 2, stride=2)
        self.mix1 = nn.Conv2d(16, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 11, 1)

    def forward(self, image):
        a = F.relu(self.down1(image))
        b = F.relu(self.down2(F.max_pool2d(a, 2)))
        c = F.relu(self.low2(F.relu(self.low1(F.max_pool2d(b, 2)))))
        b = F.relu(self.mix2(torch.cat([b, self.up2(c)], 1)))
        return self.last(F.relu(self.mix1(torch.cat([a, self.up1(b)], 1))))


def one_hot(y):
    return F.one_hot(y, 10).float()


def truth(x, y):
    """What segment is to say: where something is, its class + 1."""
    return (x[:, 0] > 0.1) * (y[:, None, None] + 1)


def decoder_loss(net, x, y):
    mean, log_var = net.encoder(x, one_hot(y))
    z = mean + torch.randn_like(mean) * (log_var / 2).exp()
    kl = (mean ** 2 + log_var.exp() - 1 - log_var).sum() / 2
    return (F.binary_cross_entropy(net(z, one_hot(y)), x, reduction="sum") + kl) / len(x)


def double_loss(net, x, y):
    return F.mse_loss(net(F.avg_pool2d(x, 2)), x)


def segment_loss(net, x, y):
    return F.cross_entropy(net(x), truth(x, y))


def psnr(a, b):
    return 10 * float(torch.log10(1 / F.mse_loss(a, b)))


@torch.no_grad()
def decoder_figures(net, x, y):
    mean, _ = net.encoder(x, one_hot(y))
    return f"test pictures coded in 8 numbers and decoded: {psnr(net(mean, one_hot(y)), x):.2f} dB"


@torch.no_grad()
def double_figures(net, x, y):
    half = F.avg_pool2d(x, 2)
    other = {m: psnr(F.interpolate(half, scale_factor=2, mode=m).clamp(0, 1), x) for m in ("nearest", "bicubic")}
    got = psnr(net(half).clamp(0, 1), x)
    return f"test pictures halved and doubled: {got:.2f} dB (bicubic {other['bicubic']:.2f}, nearest {other['nearest']:.2f})"


@torch.no_grad()
def segment_figures(net, x, y):
    got, want = torch.cat([net(p).argmax(1) for p in x.split(500)]), truth(x, y)
    there = want > 0
    return (f"of the test pictures' pixels {100 * float((got == want).float().mean()):.2f} % are right, "
            f"of those that are not ground {100 * float((got == want)[there].float().mean()):.2f} %")


NETWORKS = {  # net, loss, figures, inputs for export, names of inputs and output, epochs, learning rate
    "decoder": (Decoder, decoder_loss, decoder_figures, (torch.zeros(2, 8), torch.zeros(2, 10)), ["z", "label"], "image", 6, 2e-3),
    "double": (Double, double_loss, double_figures, (torch.zeros(2, 1, 14, 14),), ["image"], "double", 4, 1e-2),
    "segment": (Segment, segment_loss, segment_figures, (torch.zeros(2, 1, 28, 28),), ["image"], "scores", 2, 6e-3),
}


def train(name, net, loss_of, x, y, epochs, rate, batch):
    steps = epochs * (len(x) // batch)
    opt = torch.optim.Adam(net.parameters())
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, rate, total_steps=steps)
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(x))
        for i in range(len(x) // batch):
            pick = order[i * batch:(i + 1) * batch]
            loss = loss_of(net, x[pick], y[pick])
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        print(f"{name}: epoch {epoch + 1}/{epochs} loss {total / (len(x) // batch):.4f}", flush=True)


def rename(model, output):
    """Names a user can type: the last part of the module's, with its operator where that is not enough."""
    names, taken = {}, set()
    for node in model.graph.node:
        part = node.name.strip("/").split("/")
        stem = part[-2] if len(part) > 1 else part[-1].lower()
        name = stem if stem not in taken else f"{stem}_{node.op_type.lower()}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[node.output[0]] = output if node.output[0] == model.graph.output[0].name else name
    for node in model.graph.node:
        node.input[:] = [names.get(i, i) for i in node.input]
        node.output[0] = node.name = names[node.output[0]]
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model), full_check=True)


def export(net, path, example, inputs, output):
    axes = {name: {0: "N"} for name in [*inputs, output]}
    if example[0].ndim == 4:
        axes[inputs[0]] = {0: "N", 2: "H", 3: "W"}
        axes[output] = {0: "N", 2: "2H", 3: "2W"} if output == "double" else {0: "N", 2: "H", 3: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, example, str(path), dynamo=False, opset_version=13, input_names=inputs,
                          output_names=[output], dynamic_axes=axes)
    model = onnx.load(path)
    rename(model, output)
    onnx.save(model, path)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("names", nargs="*", default=list(NETWORKS))
    args.add_argument("--batch", type=int, default=64)
    args = args.parse_args()
    torch.set_num_threads(1)  # the order of sums, so the result, depends on it
    x, y = load("train")
    test_x, test_y = load("t10k")  # used once, for the figures
    for name in args.names:
        make, loss_of, figures, example, inputs, output, epochs, rate = NETWORKS[name]
        torch.manual_seed(SEED)
        net, start = make(), time.time()
        if name == "decoder":
            net.encoder = Encoder()
        train(name, net, loss_of, x, y, epochs, rate, args.batch)
        net.eval()
        path = HERE / f"fashion_mnist_{name}.onnx"
        text = figures(net, test_x, test_y)
        if name == "decoder":
            del net.encoder
        export(net, path, example, inputs, output)
        lines = [text, f"{sum(p.numel() for p in net.parameters())} parameters, {path.stat().st_size} bytes of ONNX",
                 f"epochs {epochs}, batch {args.batch}, seed {SEED}, one thread, {time.time() - start:.0f} s",
                 f"torch {torch.__version__.split('+')[0]}, onnx {onnx.__version__}, numpy {np.__version__}",
                 f"date {datetime.date.today().isoformat()}"]
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
