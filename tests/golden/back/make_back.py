#!/usr/bin/env python3
"""Maps of three rules for the small networks of ../models, and thrice.onnx, in float64 PyTorch.

The reference works node by node on the ONNX file: every activation is an autograd
function whose backward is the rule, so re-used modules are no special case.
Usage: make_back.py [NAME ...]     (README.md has the format and the versions)
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
NETS = ["alexnet", "zfnet", "vgg16", "googlenet", "inception_v3", "squeezenet1_1",
        "resnet18", "resnet50", "densenet121", "mobilenet_v2", "thrice", "segnet", "unet", "superres",
        "efficientnet", "mobilenet_v3", "convnext", "vit"]
RULES = ["gradient", "deconvnet", "guided_backprop"]
STEP = 11      # every 11th number of a map is kept
NOISE = 2e-7   # of each tensor's rms
GATE_STEP = 29  # every 29th gate and switch is kept
SURE = 1e-5     # of the tensor's rms: a gate nearer to its kink, or a pool's margin below, is not judged


class Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lo, hi, rule):
        ctx.save_for_backward((x > lo) & (x < hi))
        ctx.rule = rule
        return x.clamp(lo, hi)

    @staticmethod
    def backward(ctx, r):
        gate, = ctx.saved_tensors
        if ctx.rule == "gradient":
            r = torch.where(gate, r, 0)
        elif ctx.rule == "deconvnet":
            r = r.clamp(min=0)
        else:
            r = torch.where(gate, r.clamp(min=0), 0)
        return r, None, None, None


class Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope, rule):
        ctx.save_for_backward(torch.where(x > 0, 1.0, slope.expand_as(x)).to(x.dtype))
        ctx.rule = rule
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx, r):
        slope, = ctx.saved_tensors
        if ctx.rule == "gradient":
            r = r * slope
        elif ctx.rule == "deconvnet":
            r = r.clamp(min=0)
        else:
            r = torch.where(slope != 0, r.clamp(min=0), 0)
        return r, None, None


class Curve(torch.autograd.Function):
    """SiLU, HardSwish and GELU: value and derivative written out."""
    @staticmethod
    def forward(ctx, x, kind, rule):
        if kind == "SiLU":
            gate = torch.sigmoid(x)
            y, slope = x * gate, gate * (1 + x * (1 - gate))
        elif kind == "HardSwish":
            y = x * (x / 6 + 0.5).clamp(0, 1)
            slope = torch.where(x <= -3, 0, torch.where(x < 3, x / 3 + 0.5, 1))
        else:
            half = (1 + torch.erf(x / 2 ** 0.5)) / 2
            y, slope = x * half, half + x * torch.exp(-x * x / 2) / (2 * torch.pi) ** 0.5
        ctx.save_for_backward(slope)
        ctx.rule = rule
        return y

    @staticmethod
    def backward(ctx, r):
        slope, = ctx.saved_tensors
        if ctx.rule == "gradient":
            r = r * slope
        elif ctx.rule == "deconvnet":
            r = r.clamp(min=0)
        else:
            r = torch.where(slope != 0, r.clamp(min=0), 0)
        return r, None, None


def spelt(g):
    """Activations made of several nodes: the last node's output -> kind, what they are of."""
    by, found = {o: n for n in g.node for o in n.output}, {}

    def made(name, op):
        return by[name] if name in by and by[name].op_type == op else None
    for n in g.node:
        for gate, x in (n.input[:2], n.input[1::-1]) if n.op_type == "Mul" else ():
            inner = made(gate, "Sigmoid")
            if inner and inner.input[0] == x:
                found[n.output[0]] = "SiLU", x
            inner = made(gate, "Mul")  # x * (1 + erf(x / sqrt 2)), and this node halves it
            for x, plus in (inner.input[:2], inner.input[1::-1]) if inner else ():
                plus = made(plus, "Add")
                if plus and any(made(i, "Erf") for i in plus.input):
                    found[n.output[0]] = "GELU", x
    return found


def unpooled(x, at, a):
    """Cells go to their flat places in N*C*H*W of what kernel and strides lead to."""
    k, s = a["kernel_shape"], a.get("strides", [1, 1])
    size = [*x.shape[:2], *((n - 1) * t + w for n, t, w in zip(x.shape[2:], s, k))]
    return torch.zeros(int(np.prod(size)), dtype=x.dtype).scatter(0, at.flatten(), x.flatten()).view(size)


def pool_indices(x, a):
    n, c, h, w = x.shape
    at = F.max_pool2d(x, a["kernel_shape"], a["strides"], return_indices=True)[1]
    return at + torch.arange(n * c).reshape(n, c, 1, 1) * h * w


class Straight(torch.autograd.Function):
    """A normalisation that is left out on the way back."""
    @staticmethod
    def forward(ctx, x, y):
        return y.detach().clone()

    @staticmethod
    def backward(ctx, r):
        return r, None


def pads(a, n):
    p = a.get("pads", [0] * (2 * n))
    return [p[i + j * n] for i in reversed(range(n)) for j in (0, 1)]


def pool_end(x, a, fill):
    """Pad in front and behind as ONNX does, ceil_mode included."""
    p, k, s = pads(a, 2), a["kernel_shape"], a.get("strides", [1, 1])
    if a.get("ceil_mode"):
        for axis, at in ((2, 3), (3, 1)):
            i = axis - 2
            n = x.shape[axis] + p[at - 1] + p[at]
            out = -(-(n - k[i]) // s[i]) + 1
            if (out - 1) * s[i] >= x.shape[axis] + p[at - 1]:
                out -= 1
            p[at] += max(0, (out - 1) * s[i] + k[i] - n)
    return F.pad(x, p, value=fill)


def run_node(nd, a, x, rule):
    op = nd.op_type
    if op == "Conv":
        y = F.conv2d(F.pad(x[0], pads(a, 2)), x[1], x[2] if len(x) > 2 else None, a.get("strides", 1), 0,
                     a.get("dilations", 1), a.get("group", 1))
    elif op == "ConvTranspose":
        p = a.get("pads", [0, 0, 0, 0])
        assert p[:2] == p[2:]
        y = F.conv_transpose2d(x[0], x[1], x[2] if len(x) > 2 else None, a.get("strides", 1), p[:2],
                               a.get("output_padding", 0), a.get("group", 1), a.get("dilations", 1))
    elif op == "MaxUnpool":
        y = unpooled(x[0], x[1], a)
    elif op == "LeakyRelu":
        y = Leaky.apply(x[0], torch.tensor(float(a["alpha"]), dtype=x[0].dtype), rule)
    elif op == "PRelu":
        y = Leaky.apply(x[0], x[1], rule)
    elif op == "Unsqueeze":
        y = x[0].reshape([1 if i in [int(n) for n in x[1]] else -1 for i in range(x[0].ndim + len(x[1]))])
    elif op == "Relu":
        y = Activation.apply(x[0], 0.0, float("inf"), rule)
    elif op == "Clip":
        y = Activation.apply(x[0], float(x[1]), float(x[2]), rule)
    elif op == "HardSwish":
        y = Curve.apply(x[0], op, rule)
    elif op == "Gelu":
        y = Curve.apply(x[0], "GELU", rule)
    elif op == "Sigmoid":
        y = torch.sigmoid(x[0])
    elif op == "HardSigmoid":
        y = (a["alpha"] * x[0] + a.get("beta", 0.5)).clamp(0, 1)
    elif op == "MaxPool":
        y = F.max_pool2d(pool_end(x[0], a, float("-inf")), a["kernel_shape"], a.get("strides", 1))
    elif op == "AveragePool":
        ones = torch.ones_like(x[0]) if not a.get("count_include_pad") else F.pad(torch.ones_like(x[0]), pads(a, 2), value=1)
        k, s = a["kernel_shape"], a.get("strides", 1)
        area = F.avg_pool2d(F.pad(ones, pads(a, 2)) if not a.get("count_include_pad") else ones, k, s)
        y = F.avg_pool2d(F.pad(x[0], pads(a, 2)), k, s) / area
    elif op == "GlobalAveragePool":
        y = x[0].mean((2, 3), keepdim=True)
    elif op == "BatchNormalization":
        y = F.batch_norm(x[0], x[3], x[4], x[1], x[2], False, 0, a.get("epsilon", 1e-5))
    elif op == "LRN":
        y = F.local_response_norm(x[0], a["size"], a["alpha"], a["beta"], a["bias"])
        if rule == "deconvnet":
            y = Straight.apply(x[0], y)
    elif op == "Gemm":
        y = a.get("alpha", 1) * x[0] @ (x[1].T if a.get("transB") else x[1]) + a.get("beta", 1) * x[2]
    elif op == "Concat":
        y = torch.cat(x, a["axis"])
    elif op in ("Add", "Sub", "Mul", "Div", "Pow"):
        y = getattr(torch, {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow"}[op])(x[0], x[1])
    elif op in ("Sqrt", "Erf"):
        y = getattr(torch, op.lower())(x[0])
    elif op == "MatMul":
        y = x[0] @ x[1]
    elif op == "Softmax":
        y = x[0].softmax(a.get("axis", -1))
    elif op == "LayerNormalization":
        y = F.layer_norm(x[0], x[0].shape[a.get("axis", -1):], x[1], x[2], a["epsilon"])
    elif op == "Transpose":
        y = x[0].permute(a["perm"])
    elif op == "Gather":
        y = x[0].index_select(a.get("axis", 0), x[1].reshape(-1).long())
        y = y.squeeze(a.get("axis", 0)) if x[1].ndim == 0 else y
    elif op == "Shape":
        y = torch.tensor(x[0].shape, dtype=torch.float64)
    elif op == "Slice":
        (lo,), (hi,), (axis,) = ([int(v) for v in k] for k in x[1:4])
        y = x[0].narrow(axis, lo, min(hi, x[0].shape[axis]) - lo)
    elif op == "Squeeze":
        y = x[0].squeeze([int(v) for v in x[1]])
    elif op == "Expand":
        y = x[0].expand(torch.broadcast_shapes(x[0].shape, [int(v) for v in x[1]]))
    elif op == "ConstantOfShape":
        y = torch.full([int(v) for v in x[0]], float(numpy_helper.to_array(a["value"])[0]), dtype=torch.float64)
    elif op == "Equal":
        y = (x[0] == x[1]).double()
    elif op == "Where":
        y = torch.where(x[0] != 0, x[1], x[2])
    elif op == "Cast":  # of shapes, which are whole
        y = x[0]
    elif op == "Flatten":
        y = x[0].flatten(1)
    elif op == "Reshape":
        y = x[0].reshape([int(n) or x[0].shape[i] for i, n in enumerate(x[1])])
    elif op in ("Dropout", "Identity"):
        y = x[0]
    elif op == "ReduceMean":
        y = x[0].mean(a["axes"], keepdim=bool(a.get("keepdims", 1)))
    else:
        raise SystemExit(f"operator {op}")
    return y


def walk(g, consts, image, rule, noise=None):
    v, curves = dict(consts), spelt(g)
    v[g.input[0].name] = image
    for nd in g.node:
        a = {p.name: onnx.helper.get_attribute_value(p) for p in nd.attribute}
        if nd.op_type == "Constant":
            v[nd.output[0]] = torch.from_numpy(numpy_helper.to_array(a["value"]).astype(np.float64))
            continue
        if nd.op_type == "Split":  # into equal parts
            for name, y in zip(nd.output, v[nd.input[0]].chunk(len(nd.output), a["axis"])):
                v[name] = y
            continue
        if nd.output[0] in curves:
            kind, x = curves[nd.output[0]]
            y = Curve.apply(v[x], kind, rule)
        else:
            y = run_node(nd, a, [v[n] for n in nd.input if n], rule)
        if nd.op_type == "MaxPool" and len(nd.output) > 1:
            v[nd.output[1]] = pool_indices(v[nd.input[0]], a)
        if noise is not None and y.requires_grad:
            # zeros stay zeros, as they do in any precision: what a ReLU cuts off ties in the pools
            y = y + NOISE * y.detach().pow(2).mean().sqrt() * (y.detach() != 0) * torch.randn(
                y.shape, generator=noise, dtype=y.dtype)
        v[nd.output[0]] = y
    return v


def put(f, name, x, kind):
    x = np.asarray(x, dtype=kind)
    f.write(f"{name} {kind[1:]} {x.ndim} {' '.join(map(str, x.shape))}\n".encode() + x.tobytes())


def read_golden(path):
    out, data = {}, path.read_bytes()
    at = data.index(b"\n") + 1
    while at < len(data):
        end = data.index(b"\n", at)
        name, kind, rank, *dims = data[at:end].split()
        n, dt = int(np.prod([int(d) for d in dims])), np.dtype("<" + kind.decode())
        out[name.decode()] = np.frombuffer(data, dt, n, end + 1).reshape([int(d) for d in dims])
        at = end + 1 + n * dt.itemsize
    return out


def back(g, consts, image, rule, name, at, weight, noise=None):
    x = image.clone().requires_grad_(True)
    y = walk(g, consts, x, rule, noise)[name]
    seed = torch.zeros_like(y)
    seed.view(-1)[at] = weight
    m, = torch.autograd.grad(y, x, seed)
    return m


def gate_of(nd, a, x):
    """Every GATE_STEP'th gate (0, 1) or winner (flat place in the input), -1 where rounding may decide."""
    sure = SURE * x[0].pow(2).mean().sqrt()
    if nd.op_type == "Relu":
        v, near = x[0] > 0, x[0].abs() <= sure
    elif nd.op_type == "Clip":
        lo, hi = float(x[1]), float(x[2])
        v, near = (x[0] > lo) & (x[0] < hi), ((x[0] - lo).abs() <= sure) | ((x[0] - hi).abs() <= sure)
    else:
        n, c, h, w = x[0].shape
        k, s, p = a["kernel_shape"], a.get("strides", [1, 1]), pads(a, 2)
        wide = pool_end(x[0], a, float("-inf"))
        y, at = F.max_pool2d(wide, k, s, return_indices=True)
        parts = wide.unfold(2, k[0], s[0]).unfold(3, k[1], s[1]).flatten(4)
        two = parts.topk(2, -1).values if parts.shape[-1] > 1 else torch.stack([y, y - 1], -1)
        row, column = at // wide.shape[3] - p[2], at % wide.shape[3] - p[0]
        v = torch.arange(n * c).reshape(n, c, 1, 1) * h * w + row * w + column
        # ties of what a ReLU cut off are ties in any precision, and the first one wins
        near = (two[..., 0] - two[..., 1] <= sure) & ~((two[..., 0] == 0) & (two[..., 1] == 0))
    return torch.where(near, -1, v.to(torch.int64)).flatten()[::GATE_STEP].numpy()


class Thrice(torch.nn.Module):
    """One convolution, one ReLU and one pool, used three times, added to what went in."""
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.conv = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.relu = torch.nn.ReLU()
        self.pool = torch.nn.MaxPool2d(3, 2, 1)
        self.last = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = self.relu(self.first(x))
        for _ in range(3):
            x = self.pool(self.relu(self.conv(x)) + F.relu(x - 0.1))
        return self.last(x.mean((2, 3)))


def make_thrice():
    torch.manual_seed(1123)
    torch.onnx.export(Thrice().eval(), (torch.zeros(1, 3, 32, 32),), str(HERE / "thrice.onnx"), dynamo=False,
                      opset_version=13, input_names=["image"], output_names=["logits"])


def main(name):
    if name == "thrice":
        make_thrice()
    g = onnx.load((HERE if name == "thrice" else MODELS) / f"{name}.onnx").graph
    consts = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float64)) for t in g.initializer}
    if name == "thrice":
        image = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(3)).double() - 0.5
    else:
        image = torch.from_numpy(read_golden(MODELS / f"{name}.golden")["image"][:1].astype(np.float64))
    v = walk(g, consts, image, "gradient")
    curves = spelt(g)
    acts = [n.output[0] for n in g.node if n.op_type in ("Relu", "Clip", "HardSwish", "Gelu") or n.output[0] in curves]
    # an inner unit where there is space, strong, and below several branches
    inner = [n for n in acts if v[n].ndim >= 3 and v[n].shape[2] > 2]
    inner = inner[-3] if len(inner) > 2 else inner[-1]
    logits = g.output[0].name
    with open(HERE / f"{name}.golden", "wb") as f:
        f.write(b"DCVG1\n")
        if name == "thrice":
            put(f, "image", image.numpy(), "<f4")
        for nd in g.node:
            if nd.op_type in ("Relu", "Clip", "MaxPool"):
                a = {p.name: onnx.helper.get_attribute_value(p) for p in nd.attribute}
                put(f, f"gate:{nd.output[0]}", gate_of(nd, a, [v[n] for n in nd.input if n]), "<f4")
        for value in (logits, inner):
            y = v[value]
            at = int(torch.where(y < 5.9, y, -1).argmax()) if value == inner else int(y.argmax())  # no ReLU6 at its end
            weight = 1.0 if value == logits else float(y.view(-1)[at])
            put(f, f"target:{value}", [at, np.float32(weight)], "<f8")
            for rule in RULES:
                m = back(g, consts, image, rule, value, at, float(np.float32(weight)))
                moved = max(float((back(g, consts, image, rule, value, at, float(np.float32(weight)),
                                        torch.Generator().manual_seed(k)) - m).norm() / m.norm()) for k in range(2))
                m = m.numpy().ravel()
                put(f, f"{rule}:{value}", m[::STEP], "<f4")
                w = (np.arange(m.size) % 251 + 1) / 251
                put(f, f"{rule}:{value}#stats",
                    [np.linalg.norm(m), m.sum(), np.abs(m).max(), np.abs(m).argmax(), (m * w).sum(), np.abs(m).sum(), moved], "<f8")
                print(f"{name:14} {value[:40]:40} {rule:16} l2 {np.linalg.norm(m):.4g} noise {moved:.1e}")


if __name__ == "__main__":
    for net in sys.argv[1:] or NETS:
        main(net)
