"""A network evaluated in float64 by PyTorch, straight from its ONNX file, and what each cell sees.

Shares nothing with deconvoy: the few operators of the classifiers in the test data, one line each.
Receptive fields are intervals carried up the graph (the hull over all paths, clipped); brute_force_box()
derives the same box from the gradient of a network whose weights are all positive.
"""
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

torch.set_grad_enabled(False)


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def same_upper(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pads_of(a, shape, kernel):
    """top, left, bottom, right"""
    strides = a.get("strides", [1, 1])
    if a.get("auto_pad", b"NOTSET") == b"SAME_UPPER":
        (t, b), (l, r) = (same_upper(n, k, s) for n, k, s in zip(shape, kernel, strides))
        return [t, l, b, r]
    return list(a.get("pads", [0, 0, 0, 0]))


class Net:
    def __init__(self, file, kind=torch.float64):
        self.model, self.kind = onnx.load(file), kind
        g = self.model.graph
        self.constant = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in g.initializer}
        self.constant = {k: v.to(kind) if v.is_floating_point() else v for k, v in self.constant.items()}
        self.input = [i.name for i in g.input if i.name not in self.constant][0]
        self.output = g.output[0].name
        self.nodes = list(g.node)

    def run(self, x):
        """Every value by name, for the input x [N,C,H,W]."""
        v = dict(self.constant)
        v[self.input] = torch.as_tensor(x, dtype=self.kind)
        for node in self.nodes:
            v[node.output[0]] = getattr(self, "op_" + node.op_type)(attributes(node), *[v[i] for i in node.input])
        return v

    def relus(self):
        return [n.output[0] for n in self.nodes if n.op_type == "Relu"]

    def before_relu(self, name):
        return [n.input[0] for n in self.nodes if n.op_type == "Relu" and n.output[0] == name][0]

    @staticmethod
    def op_Conv(a, x, w, b=None):
        t, l, bo, r = pads_of(a, x.shape[2:], w.shape[2:])
        return F.conv2d(F.pad(x, (l, r, t, bo)), w, b, a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1))

    @staticmethod
    def op_Relu(a, x):
        return torch.relu(x)

    @staticmethod
    def op_MaxPool(a, x):
        pads = pads_of(a, x.shape[2:], a["kernel_shape"])
        for i in (0, 1):  # as many windows as the receptive fields have, whatever rounding was asked for
            cells = np.zeros((x.shape[2 + i], 2), np.int64)
            k, s = a["kernel_shape"][i], a.get("strides", [1, 1])[i]
            n = len(window(cells, k, s, pads[i], pads[i + 2], a.get("ceil_mode", 0)))
            pads[i + 2] = (n - 1) * s + k - x.shape[2 + i] - pads[i]
        t, l, b, r = pads
        return F.max_pool2d(F.pad(x, (l, r, t, b), value=-np.inf), a["kernel_shape"], a.get("strides", 1))

    @staticmethod
    def op_Concat(a, *x):
        return torch.cat(x, a["axis"])

    @staticmethod
    def op_GlobalAveragePool(a, x):
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    def op_Flatten(a, x):
        return x.flatten(a.get("axis", 1))

    @staticmethod
    def op_Softmax(a, x):
        return torch.softmax(x, a.get("axis", 1))

    @staticmethod
    def op_Add(a, x, y):
        return x + y

    @staticmethod
    def op_MatMul(a, x, y):
        return x @ y

    @staticmethod
    def op_Gemm(a, x, w, b):
        assert a.get("transB", 0) and a.get("alpha", 1) == 1 and a.get("beta", 1) == 1
        return x @ w.T + b

    @staticmethod
    def op_Dropout(a, x, *ratio):
        return x

    @staticmethod
    def op_Constant(a):
        return torch.from_numpy(numpy_helper.to_array(a["value"]).copy())

    @staticmethod
    def op_Reshape(a, x, shape):
        shape = shape.tolist()
        if x.ndim == 4 and shape[0] == 1:  # written for a batch of one
            shape[0] = x.shape[0]
        return x.reshape(shape)

    def spans(self, shape):
        """{value: (rows, columns)}, each [cells, 2] of input rows or columns, end exclusive."""
        whole = lambda s: np.stack([s[:, 0].min(keepdims=True), s[:, 1].max(keepdims=True)], 1)
        v = {self.input: [np.stack([np.arange(n), np.arange(n) + 1], 1) for n in shape]}
        for node in self.nodes:
            a, ins = attributes(node), [v[i] for i in node.input if i in v]
            if not ins:
                continue
            if node.op_type in ("Conv", "MaxPool"):
                kernel = a.get("kernel_shape") or self.constant[node.input[1]].shape[2:]
                pads = pads_of(a, [len(s) for s in ins[0]], kernel)
                y = [window(ins[0][i], kernel[i], a.get("strides", [1, 1])[i], pads[i], pads[i + 2], a.get("ceil_mode", 0),
                            a.get("dilations", [1, 1])[i]) for i in (0, 1)]
            elif node.op_type in ("GlobalAveragePool", "Flatten", "Reshape", "Softmax", "Gemm", "MatMul"):
                y = [whole(s) for s in ins[0]]
            else:  # cell by cell
                y = [np.stack([np.min([s[i][:, 0] for s in ins], 0), np.max([s[i][:, 1] for s in ins], 0)], 1)
                     for i in (0, 1)]
            v[node.output[0]] = y
        return v

    def brute_force_box(self, name, y, x, shape):
        """What cell (y, x) of a value depends on: where the gradient is not 0 once every weight is 1,
        no ReLU is in the way and pools add up."""
        channels = self.constant[next(n for n in self.nodes if n.op_type == "Conv").input[1]].shape[1]
        with torch.enable_grad():
            data = torch.ones((1, channels, *shape), dtype=torch.float64, requires_grad=True)
            v = {self.input: data}
            for node in self.nodes:
                a, ins = attributes(node), [v[i] for i in node.input if i in v]
                if node.op_type == "Conv":
                    w = torch.ones_like(self.constant[node.input[1]])
                    v[node.output[0]] = self.op_Conv(a, ins[0] / w[0].numel(), w)
                elif node.op_type == "MaxPool":
                    assert not any(a.get("pads", [0]))
                    v[node.output[0]] = F.avg_pool2d(ins[0], a["kernel_shape"], a["strides"])
                elif node.op_type in ("Relu", "Dropout", "Softmax"):
                    v[node.output[0]] = ins[0]
                else:
                    v[node.output[0]] = getattr(self, "op_" + node.op_type)(a, *ins)
                if node.output[0] == name:
                    break
            unit = v[name][0, 0, y, x] if v[name].ndim == 4 else v[name][0, 0]
            at = torch.autograd.grad(unit, data)[0][0, 0].nonzero()
        low, high = at.min(0).values, at.max(0).values + 1
        return [*low.tolist(), *high.tolist()]


def window(below, kernel, stride, before, after, ceil=0, dilation=1):
    """What each window sees: the hull of the cells that its taps really meet."""
    over = len(below) + before + after - (kernel - 1) * dilation - 1
    n = (-(-over // stride) if ceil else over // stride) + 1
    while ceil and (n - 1) * stride >= len(below) + before:
        n -= 1
    out = np.empty((n, 2), np.int64)
    for i in range(n):
        taps = i * stride - before + dilation * np.arange(kernel)
        taps = taps[(taps >= 0) & (taps < len(below))]
        out[i] = below[taps, 0].min(), below[taps, 1].max()
    return out


def caffe(picture):
    """u1 [H,W,3] RGB to the network's input [3,H,W]: BGR, 0..255, minus the mean."""
    return np.ascontiguousarray((picture[:, :, ::-1].astype(np.float64) - [104, 117, 123]).transpose(2, 0, 1))


def resize_and_crop(picture, side, crop):
    """A Pillow picture as the contract resizes it: shorter side, then the middle; u1 [crop,crop,3]."""
    w, h = picture.size
    short, long = min(w, h), max(w, h)
    to = {True: (side, side * long // short), False: (side * long // short, side)}[w <= h]
    picture = picture.convert("RGB").resize(to, 2)  # bilinear
    x, y = (int(np.rint((n - crop) / 2)) for n in to)
    return np.asarray(picture)[y:y + crop, x:x + crop]
