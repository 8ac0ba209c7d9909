#!/usr/bin/env python3
"""Write small, seeded networks of well-known structure, and float64 references.

For each network: NAME.onnx (float32) and NAME.golden (see README.md for the
format). Needs torch, onnx and numpy; checks with onnxruntime if installed.
Usage: make_small_nets.py [NAME ...]
"""
import copy
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
SEED = 1123
CLASSES = 10
PICTURES = 2           # more than one, so that a wrong batch stride shows
FULL_BYTES = 40_000    # activations kept whole, per network
SAME = 1e-10           # agreement asked of the two float64 evaluations
SINGLE = 2e-6          # relative L2, asked of float32: a fifth of what the tests ask


def f32(x):
    """ONNX keeps float attributes in single precision; so must the reference."""
    return float(np.float32(x))


# ---------------------------------------------------------------- operators

class LRNFunction(torch.autograd.Function):
    # torch exports local_response_norm as a chain of shape operators; files
    # from other tools have the one operator LRN, which is what we want to test.
    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        return F.local_response_norm(x, size, alpha, beta, k)

    @staticmethod
    def symbolic(g, x, size, alpha, beta, k):
        return g.op("LRN", x, size_i=size, alpha_f=alpha, beta_f=beta, bias_f=k).setType(x.type())


class LocalNorm(nn.LocalResponseNorm):
    def forward(self, x):
        return LRNFunction.apply(x, self.size, self.alpha, self.beta, self.k)


class DropoutFunction(torch.autograd.Function):
    # The exporter removes an eval-mode Dropout; many published files keep it.
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, r):
        return r

    @staticmethod
    def symbolic(g, x):
        return g.op("Dropout", x).setType(x.type())


class Dropout(nn.Module):
    def forward(self, x):
        return DropoutFunction.apply(x)


class PoolFunction(torch.autograd.Function):
    # torch's exporter counts indices anew for each plane and knows no MaxUnpool.
    @staticmethod
    def forward(ctx, x):
        return F.max_pool2d(x, 2, 2, return_indices=True)

    @staticmethod
    def symbolic(g, x):
        y, at = g.op("MaxPool", x, kernel_shape_i=[2, 2], strides_i=[2, 2], outputs=2)
        return y.setType(x.type()), at


class UnpoolFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, at):
        n, c, h, w = map(int, x.shape)
        y = torch.zeros(n, c, 4 * h * w, dtype=x.dtype)
        return y.scatter_(2, at.flatten(2), x.flatten(2)).view(n, c, 2 * h, 2 * w)

    @staticmethod
    def symbolic(g, x, at):
        return g.op("MaxUnpool", x, at, kernel_shape_i=[2, 2], strides_i=[2, 2]).setType(x.type())


class Pooled(nn.Module):
    """A body between a pool and its unpooling."""
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        y, at = PoolFunction.apply(x)
        return UnpoolFunction.apply(self.body(y), at)


class Cat(nn.Module):
    """Branches of one input, joined along the channels."""
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([b(x) for b in self.branches], 1)


class Add(nn.Module):
    def __init__(self, body, skip):
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x):
        return self.body(x) + self.skip(x)


class DenseBlock(nn.Module):
    """Each layer reads every earlier output; the first Concat has one input."""
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        parts = [x]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return torch.cat(parts, 1)


def seq(*layers, **named):
    return nn.Sequential(*layers) if layers else nn.Sequential(OrderedDict(named))


def conv_relu(ci, co, k, s=1, p=0, groups=1):
    return seq(conv=nn.Conv2d(ci, co, k, s, p, groups=groups), relu=nn.ReLU())


def conv_bn(ci, co, k, s=1, p=0, groups=1, eps=1e-5, act=nn.ReLU):
    parts = dict(conv=nn.Conv2d(ci, co, k, s, p, groups=groups, bias=False),
                 bn=nn.BatchNorm2d(co, eps=f32(eps)))
    if act:
        parts["act"] = act()
    return seq(**parts)


# ----------------------------------------------------------------- networks

def alexnet():
    # Convolutions 2, 4 and 5 in two groups, as in the paper of 2012.
    return seq(
        conv1=conv_relu(3, 8, 11, 4, 2), pool1=nn.MaxPool2d(3, 2),
        conv2=conv_relu(8, 16, 5, 1, 2, groups=2), pool2=nn.MaxPool2d(3, 2),
        conv3=conv_relu(16, 32, 3, 1, 1),
        conv4=conv_relu(32, 24, 3, 1, 1, groups=2),
        conv5=conv_relu(24, 16, 3, 1, 1, groups=2), pool5=nn.MaxPool2d(3, 2),
        avgpool=nn.AdaptiveAvgPool2d(2),    # identity here, yet exported
        flat=nn.Flatten(), drop6=Dropout(),
        fc6=nn.Linear(16 * 2 * 2, 64), relu6=nn.ReLU(), drop7=Dropout(),
        fc7=nn.Linear(64, 64), relu7=nn.ReLU(), fc8=nn.Linear(64, CLASSES))


def zfnet():
    # alpha is far above the published 1e-4, where the norm is almost a constant
    # and a wrong window would go unseen.
    def norm():
        return LocalNorm(5, alpha=0.5, beta=0.75, k=2.0)
    return seq(
        conv1=conv_relu(3, 12, 7, 2, 1), pool1=nn.MaxPool2d(3, 2, 1), norm1=norm(),
        conv2=conv_relu(12, 24, 5, 2), pool2=nn.MaxPool2d(3, 2, 1), norm2=norm(),
        conv3=conv_relu(24, 32, 3, 1, 1), conv4=conv_relu(32, 32, 3, 1, 1),
        conv5=conv_relu(32, 24, 3, 1, 1), pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
        flat=nn.Flatten(),
        fc6=nn.Linear(24 * 2 * 2, 64), relu6=nn.ReLU(), drop6=Dropout(),
        fc7=nn.Linear(64, 64), relu7=nn.ReLU(), drop7=Dropout(),
        fc8=nn.Linear(64, CLASSES))


def vgg16():
    plan = [(4, 4), (8, 8), (12, 12, 12), (24, 24, 24), (24, 24, 24)]
    parts, ci = OrderedDict(), 3
    for i, widths in enumerate(plan, 1):
        for j, co in enumerate(widths, 1):
            parts[f"conv{i}_{j}"] = conv_relu(ci, co, 3, 1, 1)
            ci = co
        parts[f"pool{i}"] = nn.MaxPool2d(2, 2)
    parts.update(flat=nn.Flatten(), fc6=nn.Linear(ci * 2 * 2, 48), relu6=nn.ReLU(),
                 drop6=Dropout(), fc7=nn.Linear(48, 48), relu7=nn.ReLU(),
                 drop7=Dropout(), fc8=nn.Linear(48, CLASSES))
    return nn.Sequential(parts)


def googlenet():
    def cb(*args):
        return conv_bn(*args, eps=1e-3)

    def block(ci, c1, c3r, c3, c5r, c5, cp):  # the widths of the paper, by 16
        c1, c3r, c3, c5r, c5, cp = (c // 16 for c in (c1, c3r, c3, c5r, c5, cp))
        return Cat(cb(ci, c1, 1),
                   seq(cb(ci, c3r, 1), cb(c3r, c3, 3, 1, 1)),
                   seq(cb(ci, c5r, 1), cb(c5r, c5, 5, 1, 2)),
                   seq(nn.MaxPool2d(3, 1, 1, ceil_mode=True), cb(ci, cp, 1)))

    def shrink(k):
        return nn.MaxPool2d(k, 2, ceil_mode=True)
    return seq(
        conv1=cb(3, 4, 7, 2, 3), pool1=shrink(3),
        conv2=cb(4, 4, 1), conv3=cb(4, 12, 3, 1, 1), pool2=shrink(3),
        inception3a=block(12, 64, 96, 128, 16, 32, 32),
        inception3b=block(16, 128, 128, 192, 32, 96, 64), pool3=shrink(3),
        inception4a=block(30, 192, 96, 208, 16, 48, 64),
        inception4b=block(32, 160, 112, 224, 24, 64, 64),
        inception4c=block(32, 128, 128, 256, 24, 64, 64),
        inception4d=block(32, 112, 144, 288, 32, 64, 64),
        inception4e=block(33, 256, 160, 320, 32, 128, 128), pool4=shrink(2),
        inception5a=block(52, 256, 160, 320, 32, 128, 128),
        inception5b=block(52, 384, 192, 384, 48, 128, 128),
        avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), drop=Dropout(),
        fc=nn.Linear(64, CLASSES))


def inception_v3():
    w = 24  # the published widths, by this

    def cb(ci, co, *args):
        return conv_bn(ci, co, *args, eps=1e-3)

    def pooled(ci, co, border):
        # The padding counts in torchvision's form and not in the first one.
        return seq(nn.AvgPool2d(3, 1, 1, count_include_pad=border), cb(ci, co, 1))

    def a(ci, pool, border):
        c = 64 // w
        return Cat(cb(ci, 64 // w, 1),
                   seq(cb(ci, 48 // w, 1), cb(48 // w, 64 // w, 5, 1, 2)),
                   seq(cb(ci, c, 1), cb(c, 96 // w, 3, 1, 1), cb(96 // w, 96 // w, 3, 1, 1)),
                   pooled(ci, pool // w, border))

    def b(ci):
        c = 96 // w
        return Cat(cb(ci, 384 // w, 3, 2),
                   seq(cb(ci, 64 // w, 1), cb(64 // w, c, 3, 1, 1), cb(c, c, 3, 2)),
                   nn.MaxPool2d(3, 2))

    row, column = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))

    def c(ci, c7, border):
        c7, out = c7 // w, 192 // w
        return Cat(cb(ci, out, 1),
                   seq(cb(ci, c7, 1), cb(c7, c7, *row), cb(c7, out, *column)),
                   seq(cb(ci, c7, 1), cb(c7, c7, *column), cb(c7, c7, *row),
                       cb(c7, c7, *column), cb(c7, out, *row)),
                   pooled(ci, out, border))

    def d(ci):
        out = 192 // w
        return Cat(seq(cb(ci, out, 1), cb(out, 320 // w, 3, 2)),
                   seq(cb(ci, out, 1), cb(out, out, *row), cb(out, out, *column),
                       cb(out, out, 3, 2)),
                   nn.MaxPool2d(3, 2))

    def e(ci, border):
        m = 384 // w

        def split():
            return Cat(cb(m, m, (1, 3), 1, (0, 1)), cb(m, m, (3, 1), 1, (1, 0)))
        return Cat(cb(ci, 320 // w, 1), seq(cb(ci, m, 1), split()),
                   seq(cb(ci, 448 // w, 1), cb(448 // w, m, 3, 1, 1), split()),
                   pooled(ci, 192 // w, border))

    return seq(
        conv1a=cb(3, 32 // w + 1, 3, 2), conv2a=cb(32 // w + 1, 32 // w + 1, 3),
        conv2b=cb(32 // w + 1, 64 // w + 1, 3, 1, 1), pool1=nn.MaxPool2d(3, 2),
        conv3b=cb(64 // w + 1, 80 // w, 1), conv4a=cb(80 // w, 192 // w, 3),
        pool2=nn.MaxPool2d(3, 2),
        mixed5b=a(8, 48, True), mixed5c=a(10, 64, False), mixed5d=a(10, 64, True),
        mixed6a=b(10),
        mixed6b=c(30, 128, True), mixed6c=c(32, 160, False),
        mixed6d=c(32, 160, True), mixed6e=c(32, 192, False),
        mixed7a=d(32), mixed7b=e(53, True), mixed7c=e(85, False),
        avgpool=nn.AdaptiveAvgPool2d(1), drop=Dropout(), flat=nn.Flatten(),
        fc=nn.Linear(85, CLASSES))


def squeezenet1_1():
    def fire(ci, squeeze, expand):
        return seq(squeeze=conv_relu(ci, squeeze, 1),
                   expand=Cat(conv_relu(squeeze, expand, 1),
                              conv_relu(squeeze, expand, 3, 1, 1)))

    def shrink():
        return nn.MaxPool2d(3, 2, ceil_mode=True)
    return seq(
        conv1=conv_relu(3, 16, 3, 2), pool1=shrink(),
        fire2=fire(16, 4, 16), fire3=fire(32, 4, 16), pool3=shrink(),
        fire4=fire(32, 8, 32), fire5=fire(64, 8, 32), pool5=shrink(),
        fire6=fire(64, 12, 48), fire7=fire(96, 12, 48),
        fire8=fire(96, 16, 64), fire9=fire(128, 16, 64),
        drop=Dropout(), conv10=conv_relu(128, CLASSES, 1),
        avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())


def resnet(base, counts, bottleneck):
    grow = 4 if bottleneck else 1

    def block(ci, c, stride):
        co = c * grow
        if bottleneck:
            body = seq(conv_bn(ci, c, 1), conv_bn(c, c, 3, stride, 1),
                       conv_bn(c, co, 1, act=None))
        else:
            body = seq(conv_bn(ci, c, 3, stride, 1), conv_bn(c, co, 3, 1, 1, act=None))
        plain = stride == 1 and ci == co
        skip = nn.Identity() if plain else conv_bn(ci, co, 1, stride, act=None)
        return seq(add=Add(body, skip), relu=nn.ReLU())

    parts, ci = OrderedDict(conv1=conv_bn(3, base, 7, 2, 3), pool1=nn.MaxPool2d(3, 2, 1)), base
    for i, count in enumerate(counts):
        for j in range(count):
            c = base << i
            parts[f"layer{i + 1}_{j}"] = block(ci, c, 2 if i and not j else 1)
            ci = c * grow
    parts.update(avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(ci, CLASSES))
    return nn.Sequential(parts)


def resnet18():
    return resnet(4, (2, 2, 2, 2), False)


def resnet50():
    return resnet(3, (3, 4, 6, 3), True)


def densenet121():
    growth, ci = 2, 4

    def pre(ci, co, k, p=0):  # norm and ReLU before the convolution: not foldable into it
        return seq(bn=nn.BatchNorm2d(ci, eps=f32(1e-5)), relu=nn.ReLU(),
                   conv=nn.Conv2d(ci, co, k, 1, p, bias=False))

    parts = OrderedDict(conv0=conv_bn(3, ci, 7, 2, 3), pool0=nn.MaxPool2d(3, 2, 1))
    for i, count in enumerate((6, 12, 24, 16), 1):
        parts[f"block{i}"] = DenseBlock(
            [seq(pre(ci + j * growth, 4 * growth, 1), pre(4 * growth, growth, 3, 1))
             for j in range(count)])
        ci += count * growth
        if i < 4:
            parts[f"transition{i}"] = seq(pre(ci, ci // 2, 1), nn.AvgPool2d(2, 2))
            ci //= 2
    parts.update(bn5=nn.BatchNorm2d(ci, eps=f32(1e-5)), relu5=nn.ReLU(),
                 avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(ci, CLASSES))
    return nn.Sequential(parts)


def mobilenet_v2():
    def block(ci, co, stride, expand):
        mid = ci * expand
        body = [conv_bn(ci, mid, 1, act=nn.ReLU6)] if expand > 1 else []
        body += [conv_bn(mid, mid, 3, stride, 1, groups=mid, act=nn.ReLU6),
                 conv_bn(mid, co, 1, act=None)]
        plain = stride == 1 and ci == co
        return Add(seq(*body), nn.Identity()) if plain else seq(*body)

    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]  # expand, width, count, stride
    parts, ci = OrderedDict(conv0=conv_bn(3, 4, 3, 2, 1, act=nn.ReLU6)), 4
    for i, (expand, co, count, stride) in enumerate(plan, 1):
        for j in range(count):
            parts[f"block{i}_{j}"] = block(ci, co // 8, 1 if j else stride, expand)
            ci = co // 8
    parts.update(conv18=conv_bn(ci, 160, 1, act=nn.ReLU6), avgpool=nn.AdaptiveAvgPool2d(1),
                 flat=nn.Flatten(), drop=Dropout(), fc=nn.Linear(160, CLASSES))
    return nn.Sequential(parts)


def head(ci):
    return seq(avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(ci, CLASSES))


def segnet():
    inner = Pooled(seq(mid1=conv_bn(12, 16, 3, 1, 1), mid2=conv_bn(16, 12, 3, 1, 1)))
    outer = Pooled(seq(enc2=conv_bn(8, 12, 3, 1, 1), inner=inner, dec2=conv_bn(12, 8, 3, 1, 1)))
    return seq(enc1=conv_bn(3, 8, 3, 1, 1), outer=outer, dec1=conv_bn(8, 12, 3, 1, 1), head=head(12))


def unet():
    def level(ci, c, below, up):
        return seq(a=conv_relu(ci, c, 3, 1, 1), b=conv_relu(c, c, 3, 1, 1),
                   join=Cat(nn.Identity(), seq(pool=nn.MaxPool2d(2), below=below, up=up)),
                   c=conv_relu(2 * c, c, 3, 1, 1))
    lowest = seq(a=conv_relu(12, 16, 3, 1, 1), b=conv_relu(16, 16, 3, 1, 1))
    middle = level(8, 12, lowest, nn.ConvTranspose2d(16, 12, 2, 2))
    return seq(top=level(3, 8, middle, nn.ConvTranspose2d(12, 8, 4, 2, 1)), head=head(8))


def superres():
    def block():
        return seq(conv1=nn.Conv2d(16, 16, 3, 1, 1), act=nn.PReLU(16), conv2=nn.Conv2d(16, 16, 3, 1, 1))
    return seq(
        conv1=nn.Conv2d(3, 16, 5, 1, 2), act1=nn.PReLU(16),
        block1=Add(block(), nn.Identity()), act2=nn.PReLU(), block2=Add(block(), nn.Identity()), act3=nn.PReLU(16),
        up=nn.ConvTranspose2d(16, 16, 3, 2, 1, output_padding=1), act4=nn.LeakyReLU(f32(0.2)),
        flip=nn.ConvTranspose2d(16, 8, 3, 1, 1, bias=False), norm=nn.BatchNorm2d(8), relu5=nn.ReLU(),
        conv6=conv_relu(8, 8, 3, 1, 1), conv7=conv_relu(8, 12, 3, 1, 1), head=head(12))


class HardSigmoid(nn.Module):
    """As ONNX has it: the slope is a float attribute."""
    def forward(self, x):
        return HardSigmoidFunction.apply(x)


class HardSigmoidFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * f32(1 / 6) + 0.5
        ctx.save_for_backward((y > 0) & (y < 1))
        return y.clamp(0, 1)

    @staticmethod
    def backward(ctx, r):
        inside, = ctx.saved_tensors
        return torch.where(inside, r * f32(1 / 6), 0)

    @staticmethod
    def symbolic(g, x):
        return g.op("HardSigmoid", x, alpha_f=1 / 6).setType(x.type())


class Gated(nn.Module):
    """Squeeze and excitation: every channel times a number that the means of all give."""
    def __init__(self, c, mid, act, gate):
        super().__init__()
        self.squeeze = seq(pool=nn.AdaptiveAvgPool2d(1), fc1=nn.Conv2d(c, mid, 1), act=act(), fc2=nn.Conv2d(mid, c, 1),
                           gate=gate())

    def forward(self, x):
        return self.squeeze(x) * x


def inverted(ci, co, k, stride, mid, act, gated=None):
    """Widen, filter each channel alone, gate, narrow; added to the input where the shapes allow."""
    body = [conv_bn(ci, mid, 1, act=act)] if mid != ci else []
    body += [conv_bn(mid, mid, k, stride, k // 2, groups=mid, act=act)]
    body += [Gated(mid, *gated)] if gated else []
    body += [conv_bn(mid, co, 1, act=None)]
    return Add(seq(*body), nn.Identity()) if stride == 1 and ci == co else seq(*body)


def efficientnet():
    # Kernels of 3 and 5 with either stride, as in B0; the first block does not widen.
    plan = [(1, 8, 3, 1), (4, 10, 3, 2), (3, 12, 5, 2), (3, 12, 3, 1), (3, 20, 5, 2)]
    # widening, width, kernel, stride
    parts, ci = OrderedDict(stem=conv_bn(3, 8, 3, 2, 1, act=nn.SiLU)), 8
    for i, (grow, co, k, stride) in enumerate(plan, 1):
        parts[f"block{i}"] = inverted(ci, co, k, stride, ci * grow, nn.SiLU, (max(4, ci // 3), nn.SiLU, nn.Sigmoid))
        ci = co
    parts.update(top=conv_bn(ci, 40, 1, act=nn.SiLU), avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), drop=Dropout(),
                 fc=nn.Linear(40, CLASSES))
    return nn.Sequential(parts)


def mobilenet_v3():
    # Small: ReLU first and HardSwish then, gates in most blocks, a dense layer with HardSwish at the end.
    relu, swish = nn.ReLU, nn.Hardswish
    plan = [(3, 8, 8, True, relu, 2), (3, 24, 12, False, relu, 2), (3, 28, 12, False, relu, 1), (5, 32, 16, True, swish, 2),
            (5, 48, 16, True, swish, 1), (5, 40, 20, True, swish, 1)]  # kernel, widened, width, gate, activation, stride
    parts, ci = OrderedDict(stem=conv_bn(3, 8, 3, 2, 1, act=swish)), 8
    for i, (k, mid, co, gated, act, stride) in enumerate(plan, 1):
        parts[f"block{i}"] = inverted(ci, co, k, stride, mid, act, (max(4, mid // 4), relu, HardSigmoid) if gated else None)
        ci = co
    parts.update(top=conv_bn(ci, 48, 1, act=swish), avgpool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
                 fc1=nn.Linear(48, 32), act=swish(), drop=Dropout(), fc2=nn.Linear(32, CLASSES))
    return nn.Sequential(parts)


class Permute(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(self.order)


class Scale(nn.Module):
    """A number a channel."""
    def __init__(self, c):
        super().__init__()
        self.scale = nn.Parameter(0.4 + 0.8 * torch.rand(c, 1, 1))

    def forward(self, x):
        return x * self.scale


class Bell(nn.Module):
    """GELU spelt as exporters do before opset 20, whose root of 2 is in single precision."""
    def forward(self, x):
        return x * (torch.erf(x / f32(2 ** 0.5)) + 1) * 0.5


def convnext():
    last, first = (0, 2, 3, 1), (0, 3, 1, 2)

    def norm(c):
        return seq(Permute(*last), nn.LayerNorm(c, eps=f32(1e-6)), Permute(*first))

    def block(c):
        return Add(seq(depth=nn.Conv2d(c, c, 7, 1, 3, groups=c), last=Permute(*last), norm=nn.LayerNorm(c, eps=f32(1e-6)),
                       wide=nn.Linear(c, 4 * c), act=Bell(), narrow=nn.Linear(4 * c, c), first=Permute(*first),
                       scale=Scale(c)), nn.Identity())
    return seq(
        stem=nn.Conv2d(3, 12, 4, 4), norm0=norm(12), block1=block(12), block2=block(12),
        norm1=norm(12), down1=nn.Conv2d(12, 20, 2, 2), block3=block(20), block4=block(20),
        avgpool=nn.AdaptiveAvgPool2d(1), norm=norm(20), flat=nn.Flatten(), fc=nn.Linear(20, CLASSES))


class Attention(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weight = ((q * f32((c // self.heads) ** -0.5)) @ k.transpose(-2, -1)).softmax(-1)
        return self.out((weight @ v).transpose(1, 2).reshape(n, t, c))


class Tokens(nn.Module):
    """Patches as rows, a token of no patch in front, a place added to each."""
    def __init__(self, c, patch, count):
        super().__init__()
        self.conv = nn.Conv2d(3, c, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, c))
        self.place = nn.Parameter(0.5 * torch.randn(1, count + 1, c))

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place


class Token(nn.Module):
    def forward(self, x):
        return x[:, 0]


def vit():
    c = 24

    def block():
        return seq(Add(seq(norm=nn.LayerNorm(c, eps=f32(1e-6)), attention=Attention(c, 3)), nn.Identity()),
                   Add(seq(norm=nn.LayerNorm(c, eps=f32(1e-6)), wide=nn.Linear(c, 3 * c), act=nn.GELU(),
                           narrow=nn.Linear(3 * c, c)), nn.Identity()))
    return seq(tokens=Tokens(c, 8, 25), block1=block(), block2=block(), norm=nn.LayerNorm(c, eps=f32(1e-6)),
               token=Token(), fc=nn.Linear(c, CLASSES))


# builder, input side. The sides make pools with ceil_mode reach past the edge.
NETS = {
    "alexnet": (alexnet, 95), "zfnet": (zfnet, 79), "vgg16": (vgg16, 64),
    "googlenet": (googlenet, 64), "inception_v3": (inception_v3, 79),
    "squeezenet1_1": (squeezenet1_1, 65), "resnet18": (resnet18, 64),
    "resnet50": (resnet50, 64), "densenet121": (densenet121, 64),
    "mobilenet_v2": (mobilenet_v2, 64), "segnet": (segnet, 36),
    "unet": (unet, 40), "superres": (superres, 24),
    "efficientnet": (efficientnet, 45), "mobilenet_v3": (mobilenet_v3, 52), "convnext": (convnext, 40), "vit": (vit, 40),
}
# Where it is not 13: HardSwish is an operator from 14 on, LayerNormalization from 17, Gelu from 20.
OPSET = {"mobilenet_v3": 14, "vit": 20}
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU, Bell)


UNTIED = {"segnet", "unet"}  # walks back meet no pool that rounding could turn
STEADY = {"efficientnet", "mobilenet_v3", "convnext", "vit"}  # nor slopes: their gradients are within SINGLE / 3


# ------------------------------------------------------------------ weights

def scale_layer(m, inputs, out):
    size = out.square().mean().sqrt()
    m.weight /= size
    if m.bias is not None:
        m.bias /= size
    return out / size


def settle_norm(m, inputs):
    # The mean square in place of the variance, and none of the mean: what the true
    # statistics subtract carries no rounding error, so the rest is the less exact
    # for it, layer after layer. The noise is there so that neither statistic can be
    # left out unseen.
    x = inputs[0]
    square = x.square().mean((0, 2, 3))
    square.clamp_(min=max(0.01, square.mean().item() / 4))
    noise = torch.randn(2, len(square))
    m.running_mean.copy_(0.3 * noise[0] * square.sqrt())
    m.running_var.copy_(square * torch.exp(0.3 * noise[1]))


def pictures(count, side):
    """Coarse patches under some noise: pure noise would average out, and all
    pictures give nearly the same output."""
    coarse = F.interpolate(1.5 * torch.randn(count, 3, 5, 5), size=side, mode="bilinear")
    return coarse + 0.5 * torch.randn(count, 3, side, side)


def initialise(net, side, bias):
    """He weights; then, from the first layer to the last, scales and statistics
    taken from a run, so that the activations stay near one at any depth."""
    relu6 = any(isinstance(m, nn.ReLU6) for m in net.modules())
    hooks = []
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                nn.init.normal_(m.bias, 0, bias)
            if m.bias is not None or isinstance(m, nn.ConvTranspose2d):
                hooks.append(m.register_forward_hook(scale_layer))
        elif isinstance(m, nn.PReLU):
            nn.init.uniform_(m.weight, 0.05, 0.4)
        elif isinstance(m, nn.LayerNorm):
            nn.init.uniform_(m.weight, 0.7, 1.6)
            nn.init.normal_(m.bias, 0, 0.3)
        elif isinstance(m, nn.BatchNorm2d):
            # With ReLU6 the scale is larger, so that the upper bound is met too.
            nn.init.uniform_(m.weight, *((1.2, 3.0) if relu6 else (0.7, 1.8)))
            # Biases that are positive on the whole: of networks without, the deep
            # ones amplify the smallest difference of the input 20 to 350 times.
            nn.init.normal_(m.bias, 1.2 if relu6 else 0.4, 0.3)
            hooks.append(m.register_forward_pre_hook(settle_norm))
    net.eval()
    with torch.no_grad():
        net(pictures(16, side))
    for hook in hooks:
        hook.remove()


# --------------------------------------------------------------- references

def export(net, side, path, opset=13):
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # PRESERVE and no constant folding keep BatchNormalization as it is;
        # TrainingMode.EVAL would fold it, and the reader's folding go untested.
        torch.onnx.export(net, (torch.zeros(PICTURES, 3, side, side),), str(path),
                          dynamo=False, opset_version=opset,
                          training=torch.onnx.TrainingMode.PRESERVE,
                          do_constant_folding=False, input_names=["image"],
                          output_names=["logits"], dynamic_axes=axes)
    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(path)


def reference(net, x, kind=torch.float64):
    """The activations in the order they are computed, and the output."""
    seen = []
    net = copy.deepcopy(net).to(kind)
    for m in net.modules():
        if isinstance(m, ACTIVATIONS):
            m.register_forward_hook(lambda m, i, out: seen.append(out.numpy()))
    with torch.no_grad():
        return net(x.to(kind)).numpy(), seen


def activations(graph):
    """Their outputs, in the order of the nodes; of those spelt as several nodes (x * Sigmoid(x), GELU by Erf) the last."""
    by, found = {o: n for n in graph.node for o in n.output}, []
    for n in graph.node:
        ops = [by[i].op_type if i in by else "" for i in n.input]
        gated = n.op_type == "Mul" and any(op == "Sigmoid" and by[i].input[0] in n.input for i, op in zip(n.input, ops))
        bell = n.op_type == "Mul" and any(
            op == "Mul" and any(by[k].op_type == "Add" and "Erf" in [by[m].op_type for m in by[k].input if m in by]
                                for k in by[i].input if k in by) for i, op in zip(n.input, ops))
        if n.op_type in ("Relu", "Clip", "HardSwish", "Gelu") or gated or bell:
            found.append(n.output[0])
    return found


def to_double(model):
    model = copy.deepcopy(model)
    del model.graph.value_info[:]

    def widen(tensor):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for tensor in model.graph.initializer:
        widen(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen(attribute.t)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return model


# Operators by the ONNX specification, where the evaluator's own (onnx 1.23) do not
# follow it, or not in double precision.

class Erf(OpRun):
    """Its own works in single precision."""
    op_domain = ""

    def _run(self, x):
        return (torch.erf(torch.from_numpy(x)).numpy(),)


class Gelu(OpRun):
    """As Erf."""
    op_domain = ""

    def _run(self, x, approximate=None):
        assert approximate in (None, "none")
        return (x * (torch.erf(torch.from_numpy(x / np.sqrt(2))).numpy() + 1) / 2,)


class HardSwish(OpRun):
    """Its own takes a sixth in single precision."""
    op_domain = ""

    def _run(self, x):
        return (x * np.clip(x / 6 + 0.5, 0, 1),)


class BatchNormalization(OpRun):
    """Its own works as in training, at opset 13."""
    op_domain = ""

    def _run(self, x, scale, bias, mean, var, epsilon=None, momentum=None,
             training_mode=0):
        scale, bias, mean, var = (v.reshape(-1, 1, 1) for v in (scale, bias, mean, var))
        return (scale * (x - mean) / np.sqrt(var + float(epsilon)) + bias,)


class LRN(OpRun):
    """Its own covers only as many channels as there are pictures."""
    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        alpha, beta, bias = float(alpha), float(beta), float(bias)  # not NumPy's float32
        before, after = (size - 1) // 2, size // 2
        total = np.zeros_like(x)
        for c in range(x.shape[1]):
            window = x[:, max(0, c - before):c + after + 1]
            total[:, c] = (window ** 2).sum(1)
        return (x / (bias + alpha / size * total) ** beta,)


class MaxPool(OpRun):
    """Its own gives too large an output for stride 1, padding and ceil_mode together."""
    op_domain = ""

    def _run(self, x, auto_pad=None, ceil_mode=0, dilations=None, kernel_shape=None,
             pads=None, storage_order=None, strides=None):
        pads = pads or [0, 0, 0, 0]
        assert set(dilations or [1]) == {1}
        border = [(0, 0), (0, 0)]
        for size, k, s, before, after in zip(x.shape[2:], kernel_shape, strides,
                                             pads[:2], pads[2:]):
            steps = size + before + after - k
            count = (-(-steps // s) if ceil_mode else steps // s) + 1
            if (count - 1) * s >= size + before:  # a window must start in the picture
                count -= 1
            border.append((before, max(0, (count - 1) * s + k - size - before)))
        padded = np.pad(x, border, constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel_shape, (2, 3))
        y = windows[:, :, ::strides[0], ::strides[1]].max((4, 5))
        if len(self.onnx_node.output) == 1:
            return (y,)
        number = np.arange(x.size).reshape(x.shape)  # of windows side by side, as networks that unpool have them
        assert list(kernel_shape) == list(strides) and border == [(0, 0), (0, 0)] + [(0, 0)] * 2
        tiles = np.lib.stride_tricks.sliding_window_view(number, kernel_shape, (2, 3))[:, :, ::strides[0], ::strides[1]]
        best = windows[:, :, ::strides[0], ::strides[1]].reshape(y.shape + (-1,)).argmax(-1)
        return y, np.take_along_axis(tiles.reshape(y.shape + (-1,)), best[..., None], -1)[..., 0]


def with_outputs(model, names):
    model = copy.deepcopy(model)
    kind = model.graph.output[0].type.tensor_type.elem_type
    have = {v.name for v in model.graph.output}
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, kind, None)
                              for n in names if n not in have)
    return model


def onnx_double(model, x, names):
    own = [BatchNormalization, Erf, Gelu, HardSwish, LRN, MaxPool]
    run = ReferenceEvaluator(with_outputs(to_double(model), names), new_ops=own)
    return run.run(names, {"image": x.numpy().astype(np.float64)})


def difference(a, b):
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def stats(a):
    """Per picture: L2 norm, sum, largest, where, and a sum that order changes."""
    a = a.reshape(len(a), -1)
    weight = (np.arange(a.shape[1]) % 251 + 1) / 251
    rows = []
    for v in a:
        at = int(v.argmax())
        rest = np.delete(v, at)
        # Not to be asked of single precision when the runner-up is too near.
        where = at if len(rest) == 0 or v[at] - rest.max() > 1e-4 * abs(v[at]) else -1
        rows.append([np.linalg.norm(v), v.sum(), v[at], where, (v * weight).sum()])
    return np.array(rows)


def write_golden(path, tensors):
    with open(path, "wb") as f:
        f.write(b"DCVG1\n")
        for name, a in tensors:
            assert not any(c.isspace() for c in name)
            kind = {"float32": "f4", "float64": "f8"}[a.dtype.name]
            f.write(f"{name} {kind} {a.ndim} {' '.join(map(str, a.shape))}\n".encode())
            f.write(np.ascontiguousarray(a, "<" + kind).tobytes())


def relative(a, b):
    """The worst picture's relative L2 distance; NaN if one of b is 0 everywhere."""
    a, b = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())


def draw(name, seed):
    """A network, its pictures, and how far PyTorch's float32 is from float64."""
    build, side = NETS[name]
    torch.manual_seed(seed)
    net = build()
    # One network with zero biases: the exporter writes equal parameters once and
    # the others as Identity nodes, which a reader has to see through.
    initialise(net, side, 0.0 if name == "squeezenet1_1" else 0.2)
    x = pictures(PICTURES, side)
    logits, seen = reference(net, x)
    single_logits, single_seen = reference(net, x, torch.float32)
    gaps = [relative(a, b) for a, b in zip(single_seen + [single_logits], seen + [logits])]
    return net, x, max(gaps) if not np.isnan(gaps).any() else float("nan")


def slopes(net, x):
    """How far the gradient of the first picture's best class is from float64 in PyTorch's float32."""
    def gradient(kind):
        p = x[:1].to(kind).requires_grad_(True)
        return torch.autograd.grad(copy.deepcopy(net).to(kind)(p).max(), p)[0].numpy()
    return relative(gradient(torch.float32), gradient(torch.float64))


def ties(net, x):
    """Windows of 2x2 pools whose winner is ahead by less than rounding could make up; zeros tie in any precision."""
    found = []

    def look(m, inputs):
        v = inputs[0]
        two = v.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).topk(2, -1).values
        margin = two[..., 0] - two[..., 1]
        near = (margin <= 1e-6 * v.square().mean().sqrt()) & (two[..., 0] != 0)
        found.append(int(near.sum()))
    net = copy.deepcopy(net).to(torch.float64)
    for m in net.modules():
        if isinstance(m, (nn.MaxPool2d, Pooled)):
            m.register_forward_pre_hook(look)
    with torch.no_grad():
        net(x.to(torch.float64))
    return sum(found)


def make(name):
    seed = SEED + list(NETS).index(name)
    net, x, moved = draw(name, seed)
    while not moved < SINGLE or (name in UNTIED and ties(net, x)) or (name in STEADY and not slopes(net, x) < SINGLE / 3):
        seed += 100
        net, x, moved = draw(name, seed)
    side = NETS[name][1]
    onnx_path = HERE / f"{name}.onnx"
    model = export(net, side, onnx_path, OPSET.get(name, 13))

    # The exporter writes nodes in the order of execution, as the hooks run.
    relus = activations(model.graph)
    logits, seen = reference(net, x)
    assert len(relus) == len(seen), (len(relus), len(seen))
    *other, other_logits = onnx_double(model, x, relus + ["logits"])
    worst = max(map(difference, other, seen))
    worst_out = difference(other_logits, logits)
    assert max(worst, worst_out) < SAME, (worst, worst_out)

    tensors = [("image", x.numpy()), ("logits", logits)]
    tensors += [(n + "#stats", stats(a)) for n, a in zip(relus, seen)]
    room = FULL_BYTES
    whole = []
    for n, a in reversed(list(zip(relus, seen))):  # the deep, small ones first
        if a.nbytes <= room:
            room -= a.nbytes
            whole.append((n, a))
    golden = HERE / f"{name}.golden"
    write_golden(golden, tensors + whole[::-1])

    ops = {}
    for n in model.graph.node:
        ops[n.op_type] = ops.get(n.op_type, 0) + 1
    peaks = [float(a.max()) for a in seen]
    live = [float((a > 0).mean()) for a in seen]
    if name in STEADY:
        print(f"gradient, torch, float32: {slopes(net, x):.1e}")
    print(f"{name}: {sum(p.numel() for p in net.parameters())} parameters, "
          f"onnx {onnx_path.stat().st_size}, golden {golden.stat().st_size} bytes\n"
          f"  {' '.join(f'{k}:{v}' for k, v in sorted(ops.items()))}\n"
          f"  seed {seed}; torch, float32: {moved:.1e}\n"
          f"  torch against onnx, float64: activations {worst:.1e}, logits {worst_out:.1e}"
          f"{single(model, x, relus + ['logits'], seen + [logits])}\n"
          f"  {len(seen)} activations, {len(whole)} kept whole, largest {min(peaks):.2f} to "
          f"{max(peaks):.2f}, positive part {min(live):.2f} to {max(live):.2f}, "
          f"logits {logits.min():.2f} to {logits.max():.2f}", flush=True)
    if "Clip" in ops:
        bound = np.concatenate([a.ravel() == 6 for a in seen]).mean()
        print(f"  at the upper bound: {bound:.3f} of all values")


def single(model, x, names, want):
    """How far another engine's single precision is from the reference."""
    try:
        import onnxruntime
    except ImportError:
        return ""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    run = onnxruntime.InferenceSession(with_outputs(model, names).SerializeToString(),
                                       options, providers=["CPUExecutionProvider"])
    gaps = list(map(relative, run.run(names, {"image": x.numpy()}), want))
    assert max(gaps) < 2 * SINGLE, gaps
    return f"\n  onnxruntime, float32: activations {max(gaps[:-1]):.1e}, logits {gaps[-1]:.1e}"


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or NETS:
        if name not in NETS:
            raise SystemExit(f"no such network: {name}; known: {' '.join(NETS)}")
        make(name)
    print(f"torch {torch.__version__.split('+')[0]}, onnx {onnx.__version__}, seed {SEED}")


if __name__ == "__main__":
    main()
