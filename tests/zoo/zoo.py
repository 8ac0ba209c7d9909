#!/usr/bin/env python3
"""Export torchvision's classification and segmentation networks and compare with float64 PyTorch.

    tests/zoo/zoo.py --deconvoy build/deconvoy [--log zoo.jsonl] [NET ...]
    tests/zoo/zoo.py --log zoo.jsonl --table

Each network gets seeded random weights, made so that no signal dies or swells (README.md): BatchNorm's variances are
those of data, constant parameters (norms, biases, layer scales, heads of zeros) are drawn.  Both exporters of PyTorch
write it with an open batch axis; `infer` and, from the first file, `reconstruct` with `gradient` run in strict on the
two of twelve pictures whose gradient noise moves least.  Outputs must be within 1e-5 (relative L2).  So must the
gradient of each picture where noise of 2e-7 of each module's rms moves the float64 gradient by less than 4e-6;
elsewhere its figures are printed, beside those of float32 PyTorch.

By hand only: needs requirements.txt, up to 10 GB of memory and an hour.  A line of JSON each goes to the log;
networks that are there already are left out, and lines of one network are laid together.  Exits 1 if any has failed.
"""
import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

LIMIT, NOISE, STILL = 1e-5, 2e-7, 4e-6
DRAWS = 4  # of the noise: one may pass a gate by
CALIBRATION, CANDIDATES, TAKEN, TOGETHER = 16, 12, 2, 4  # pictures
SEED = 1123
SIDE = 64
# What needs more, or other, pixels: fixed windows, adaptive pools that must divide, stems that shrink much.
SIDES = {"alexnet": 224, "vgg": 224, "inception_v3": 139, "maxvit_t": 224, "vit_h_14": 56}
EXPORTERS = ("torchscript", "dynamo")


def starts_with(table, name, default):
    return next((v for k, v in table.items() if name.startswith(k)), default)


def side_of(name):
    return starts_with(SIDES, name, SIDE)


# ---------------------------------------------------------------- networks

def make(name):
    import torch
    import torchvision.models as zoo
    options = {"weights": None}
    if name in zoo.list_models(zoo.segmentation):
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options.update(init_weights=False, aux_logits=False)
    if name.startswith("vit_"):
        options["image_size"] = side_of(name)
    torch.manual_seed(SEED)
    return zoo.get_model(name, **options)


def draw_parameters(net):
    """What is constant at the start hides mistakes; what has no norm behind it needs a scale."""
    import torch
    from torch import nn
    norms = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    if not any(isinstance(m, norms) for m in net.modules()):
        for m in net.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
    for p in net.parameters():
        if p.numel() > 1 and p.min() != p.max():
            continue
        noise = torch.randn(p.shape)
        if p.dim() == 2 or p.dim() == 4:          # a head of zeros
            p.copy_(noise / p[0].numel() ** 0.5)
        elif p.dim() == 1:                        # a norm's weight, or a bias
            p.copy_(p.mean().round() + 0.1 * noise)
        else:                                     # layer scale
            p.copy_(0.4 + 0.1 * noise)


RESIDUAL = ("BasicBlock", "Bottleneck", "MBConv", "FusedMBConv", "InvertedResidual", "_InvertedResidual",
            "ResBottleneckBlock")


def calm_branches(net):
    """Residual branches count less than what they are added to, or deep networks are chaotic."""
    from torch import nn
    for block in net.modules():
        if type(block).__name__ in RESIDUAL:
            norms = [m for n, m in block.named_modules() if isinstance(m, nn.BatchNorm2d) and
                     not n.startswith(("downsample", "proj", "branch"))]
            if norms:
                norms[-1].weight.mul_(0.3)


def set_statistics(net, pictures):
    """BatchNorm divides by the rms of what it really meets: of the channel, or of all channels where that is larger, for
    a channel that is small by cancellation has rounding errors as large as any.  It takes off a little at random: the
    mean itself would leave only what differs from picture to picture, and with it the errors of all that does not."""
    import torch
    from torch import nn

    def measure(norm, args):
        square = args[0].transpose(0, 1).flatten(1).square().mean(1)
        norm.running_var.copy_(square.clamp(min=square.mean().item()))
        norm.running_mean.copy_(0.1 * norm.running_var.sqrt() * torch.randn(square.shape))
    hooks = [m.register_forward_pre_hook(measure) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    net.eval()
    if hooks:
        net(pictures)
    for hook in hooks:
        hook.remove()


def network(name):
    import torch
    net = make(name)
    with torch.no_grad():
        draw_parameters(net)
        calm_branches(net)
        set_statistics(net, pictures(name, CALIBRATION, SEED + 1))
    return net


def pictures(name, n, seed):
    import torch
    generator = torch.Generator().manual_seed(seed)
    side = side_of(name)
    coarse = torch.randn(n, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return smooth + 0.3 * torch.randn(n, 3, side, side, generator=generator)


def outputs_of(net, x):
    y = net(x)
    return y if isinstance(y, dict) else {"out": y}


# ---------------------------------------------------------------- export

class Flat:
    """A dict of outputs as a tuple, for exporters."""
    def __new__(cls, net):
        import torch

        class Tuple(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, image):
                return tuple(outputs_of(self.net, image).values())
        return Tuple().eval()


def export(net, name, exporter, names, path):
    import torch
    x = pictures(name, 2, SEED + 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            axes = {n: {0: "N"} for n in ["image"] + names}
            torch.onnx.export(Flat(net), (x,), str(path), dynamo=False, opset_version=17, input_names=["image"],
                              output_names=names, dynamic_axes=axes)
            return
        for batch in ({0: torch.export.Dim.AUTO}, None):
            program = torch.onnx.export(Flat(net), (x if batch else x[:1],), dynamo=True, input_names=["image"],
                                        output_names=names, dynamic_shapes=(batch,) if batch else None, verbose=False)
            first = program.model.graph.inputs[0].shape[0]
            if not isinstance(first, int) or first == 1:
                break
        program.save(str(path), external_data=parameter_bytes(net) > 1 << 30)


def parameter_bytes(net):
    return sum(p.numel() * p.element_size() for p in net.parameters())


# ---------------------------------------------------------------- float64

def gradient(net, x):
    """The gradient of what reconstruct is asked for, and the classes."""
    import torch
    x = x.clone().requires_grad_(True)
    first = next(iter(outputs_of(net, x).values()))
    classes = first.detach().argmax(1) if first.dim() == 2 else None
    seed = first.gather(1, classes[:, None]) if first.dim() == 2 else first[:, CHANNEL]
    (g,) = torch.autograd.grad(seed.sum(), x)
    return g.detach(), classes


CHANNEL = 3  # of a segmentation network, summed over its map


class Noise:
    """Every module's output is moved by NOISE of its rms."""
    def __init__(self, net):
        self.net = net

    def __enter__(self):
        import torch

        def move(module, args, y):
            if not isinstance(y, torch.Tensor) or not y.is_floating_point():
                return None
            return y + NOISE * y.detach().square().mean().sqrt() * torch.randn_like(y)
        self.hooks = [m.register_forward_hook(move) for m in self.net.modules()]

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()


def relative(got, want):
    import numpy as np
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    return float(np.sqrt(np.sum((got - want) ** 2) / np.sum(want ** 2)))


def each(got, want):
    """Relative error, picture by picture."""
    return [relative(g, w) for g, w in zip(got, want)]


def stillest(net, x):
    """The TAKEN pictures whose float32 gradient two draws of noise move least: few gates are near their kinks."""
    import torch
    moved = []
    torch.manual_seed(SEED + 5)
    for part in x.split(TOGETHER):
        g, _ = gradient(net, part)
        with Noise(net):
            moved += largest([each(gradient(net, part)[0], g) for _ in range(2)])
    return x[torch.tensor(moved).argsort()[:TAKEN]]


def largest(rows):
    return [max(column) for column in zip(*rows)]


def reference(net, x, forward_only):
    """Outputs and gradient in float64; how far noise and float32 move them."""
    import torch
    r = {}
    with torch.no_grad():
        single = {k: v.numpy() for k, v in outputs_of(net, x).items()}
    if not forward_only:
        single_gradient, _ = gradient(net, x)
    net.double()
    x = x.double()
    with torch.no_grad():
        r["outputs"] = {k: v.numpy() for k, v in outputs_of(net, x).items()}
    r["torch"] = max(relative(single[k], r["outputs"][k]) for k in single)
    if forward_only:
        return r
    g, classes = gradient(net, x)
    torch.manual_seed(SEED + 3)
    with Noise(net):
        noisy = [gradient(net, x)[0] for _ in range(DRAWS)]
    r["gradient"], r["classes"] = g.numpy(), None if classes is None else classes.numpy()
    r["torch_gradient"] = each(single_gradient, g)
    r["noise"] = largest([each(n, g) for n in noisy])
    return r


# ---------------------------------------------------------------- deconvoy

def run(program, job, work):
    config = work / "job.yaml"
    config.write_text(json.dumps(job))
    start = time.monotonic()
    done = subprocess.run([program, "run", str(config), "--fresh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=3600)
    return done.returncode, done.stderr.strip(), time.monotonic() - start


def job_of(kind, path, work, **options):
    return {"job": kind, "output": str(work / "out.h5"), "model": {"file": str(path), "precision": "strict"},
            "dataset": {"source": str(work / "in.h5"), "path": "/x", "on_error": "fail"},
            "runtime": {"memory": "16GiB", "durability": "process", "progress": "none"}, kind: options}


def last_line(text):
    return text.splitlines()[-1].replace("deconvoy: ", "") if text else "no message"


def forward(program, path, work, want):
    import h5py
    code, message, seconds = run(program, job_of("infer", path, work), work)
    if code:
        return {"error": f"exit {code}: {last_line(message)}"}
    with h5py.File(work / "out.h5") as f:
        missing = [k for k in want["outputs"] if k not in f["infer"]]
        if missing:
            return {"error": f"no output {missing[0]}: {last_line(message)}"}
        errors = {k: relative(f["infer"][k][:], v) for k, v in want["outputs"].items()}
    bad = [e for e in errors.values() if isinstance(e, str)]
    return {"error": bad[0]} if bad else {"relative": max(errors.values()), "seconds": round(seconds, 2)}


def backward(program, path, work, want):
    import h5py
    import numpy as np
    ask = {"at": "logits", "targets": ["top1"]} if want["classes"] is not None else \
        {"at": next(iter(want["outputs"])), "targets": [CHANNEL], "unit": "sum"}
    code, message, seconds = run(program, job_of("reconstruct", path, work, methods=["gradient"], seed="one", **ask), work)
    if code:
        return {"error": f"exit {code}: {last_line(message)}"}
    with h5py.File(work / "out.h5") as f:
        got = f["reconstruct/gradient/map"][:, 0]
        classes = f["reconstruct/target"][:, 0]
    if want["classes"] is not None and not np.array_equal(classes, want["classes"]):
        return {"error": f"classes {classes}, expected {want['classes']}"}
    e = each(got, want["gradient"])
    return {"error": e[0]} if isinstance(e[0], str) else {"relative": e, "seconds": round(seconds, 2)}


def one(name, args, work):
    import h5py
    import torch
    net = network(name)
    x = pictures(name, CANDIDATES, SEED + 4)
    x = x[:TAKEN] if args.forward else stillest(net, x)
    with torch.no_grad():
        names = list(outputs_of(net, x))
    row = {"net": name, "side": side_of(name), "parameters": sum(p.numel() for p in net.parameters())}
    with h5py.File(work / "in.h5", "w") as f:
        f["x"] = x.numpy()
    paths = {}
    for exporter in args.exporters:
        path = work / exporter / f"{name}.onnx"
        path.parent.mkdir(exist_ok=True)
        try:
            export(net, name, exporter, names, path)
            paths[exporter] = path
        except Exception as error:  # an exporter's failure is a row of the table, not the end
            row[exporter] = {"error": f"export: {type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"}
        gc.collect()
    want = reference(net, x, args.forward)
    row.update({k: want[k] for k in ("torch", "torch_gradient", "noise") if k in want})
    del net
    gc.collect()
    for exporter, path in paths.items():
        row[exporter] = forward(args.deconvoy, path, work, want)
        if not args.forward and "relative" not in row.get("back", {}):
            row["back"] = backward(args.deconvoy, path, work, want)
    return row


# ---------------------------------------------------------------- verdict and table

def passes(row):
    good = all("relative" in row[e] and row[e]["relative"] <= LIMIT for e in EXPORTERS
               if e in row and not row[e].get("error", "").startswith("export:"))
    if "back" not in row:
        return good
    back = row["back"]
    return good and "relative" in back and all(e <= LIMIT or not noise < STILL for e, noise in zip(back["relative"], row["noise"]))


def short(number):
    """A number, or one of each picture."""
    return ", ".join(f"{n:.0e}" for n in number) if isinstance(number, list) else f"{number:.0e}"


def cell(found):
    if found is None:
        return "-"
    if not isinstance(found, dict):
        return short(found)
    return short(found["relative"]) if "relative" in found else found["error"].replace("|", "/")


COLUMNS = {"forward (TorchScript)": "torchscript", "forward (dynamo)": "dynamo", "backward": "back",
           "float32 PyTorch forward": "torch", "float32 PyTorch backward": "torch_gradient", "noise": "noise"}


def table(rows):
    print(f"| network | px | Mio. parameters | {' | '.join(COLUMNS)} |")
    print("|---" + "|---:" * (len(COLUMNS) + 2) + "|")
    for r in rows:
        cells = [cell(r.get(key)) for key in COLUMNS.values()]
        print(f"| {r['net']} | {r['side']} | {r['parameters'] / 1e6:.1f} | {' | '.join(cells)} |")


def read_log(path):
    rows = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows.setdefault(row["net"], {}).update(row)
    return rows


def all_networks():
    import torchvision.models as zoo
    segmentation = zoo.list_models(zoo.segmentation)
    return [n for n in zoo.list_models(zoo)] + segmentation


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("nets", nargs="*", help="all by default")
    args.add_argument("--deconvoy", default="build/deconvoy", help="the program")
    args.add_argument("--exporters", nargs="+", choices=EXPORTERS, default=list(EXPORTERS))
    args.add_argument("--forward", action="store_true", help="no gradients")
    args.add_argument("--log", type=Path, default=Path("zoo.jsonl"))
    args.add_argument("--again", action="store_true", help="also those that the log has")
    args.add_argument("--table", action="store_true", help="print the log as a table and end")
    args = args.parse_args()
    rows = read_log(args.log)
    if args.table:
        table([rows[n] for n in sorted(rows)])
        return 0
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    failed = 0
    for name in args.nets or all_networks():
        if name in rows and not args.again:
            continue
        with tempfile.TemporaryDirectory() as work:
            row = one(name, args, Path(work))
        row["passes"] = passes(row)
        failed += not row["passes"]
        with args.log.open("a") as log:
            log.write(json.dumps(row) + "\n")
        print("ok    " if row["passes"] else "FAILED", json.dumps(row), flush=True)
        gc.collect()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
