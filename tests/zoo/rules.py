#!/usr/bin/env python3
"""Three rules of the way back and incremental occlusion on torchvision's own networks, beside float64 PyTorch.

    tests/zoo/rules.py --deconvoy build/deconvoy [NET ...]

Networks, weights and pictures are those of zoo.py.  PyTorch runs the module itself in float64, its activations replaced
by functions whose backward is the rule (tests/golden/back/make_back.py writes them out); the maps of the two pictures
that noise moves least are compared, picture by picture, as are the scores under every window, incremental and full.
A map must be within 1e-5 (relative L2) where noise moves the float64 map by less than 4e-6, scores always.
By hand only, as zoo.py.  Exits 1 if any is farther.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

import zoo

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden" / "back"))

NETS = ("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "inception_v3")
RULES = ("gradient", "deconvnet", "guided_backprop")
FILL = 0.25
TARGETS = [3, 14, 159]


def map_of(net, x, rule):
    """The map of one rule, to the input, of each picture's best class."""
    import torch
    from torch.nn import functional as F
    from torch.overrides import TorchFunctionMode
    from make_back import Activation, Curve
    rules = {F.relu: lambda x: Activation.apply(x, 0.0, float("inf"), rule), F.silu: lambda x: Curve.apply(x, "SiLU", rule),
             F.hardswish: lambda x: Curve.apply(x, "HardSwish", rule)}

    class Rule(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function in rules:
                met.add(function)
                return rules[function](args[0])
            return function(*args, **(kwargs or {}))
    met = set()
    x = x.clone().requires_grad_(True)
    with Rule():
        y = net(x)
    assert met
    (g,) = torch.autograd.grad(y.max(1).values.sum(), x)
    return g.detach().numpy()


def rules(net, x, args, path, work):
    import h5py
    import torch
    job = zoo.job_of("reconstruct", path, work, methods=list(RULES), seed="one", at="logits", targets=["top1"])
    code, message, _ = zoo.run(args.deconvoy, job, work)
    if code:
        return [f"reconstruct: exit {code}: {message}"], False
    lines, good = [], True
    with h5py.File(work / "out.h5") as f:
        for rule in RULES:
            want = map_of(net, x, rule)
            error = zoo.each(f[f"reconstruct/{rule}/map"][:, 0], want)
            torch.manual_seed(zoo.SEED + 3)
            with zoo.Noise(net):
                noise = zoo.largest([zoo.each(map_of(net, x, rule), want) for _ in range(zoo.DRAWS)])
            good &= all(e <= zoo.LIMIT or not n < zoo.STILL for e, n in zip(error, noise))
            lines.append(f"{rule}: error {' '.join(f'{e:.0e}' for e in error)}, noise {' '.join(f'{n:.0e}' for n in noise)}")
    return lines, good


def occlusion(net, x, args, path, work):
    import h5py
    import numpy as np
    import torch
    got, cost = {}, {}
    patch, side = args.patch, x.shape[-1]
    for method in ("full", "incremental"):
        job = zoo.job_of("occlusion", path, work, patch=patch, stride=patch // 2, fill=FILL, score="logit", targets=TARGETS,
                         edge="drop", method=method)
        code, message, seconds = zoo.run(args.deconvoy, job, work)
        if code:
            return [f"occlusion {method}: exit {code}: {message}"], False
        with h5py.File(work / "out.h5") as f:
            got[method], cost[method] = f["occlusion/score"][:], (f["occlusion/work"][:].sum(0), seconds)
    at = range(0, side - patch + 1, patch // 2)
    want = np.empty((len(x), len(TARGETS), len(at), len(at)))
    with torch.no_grad():
        for i, top in enumerate(at):
            for j, left in enumerate(at):
                y = x.clone()
                y[:, :, top:top + patch, left:left + patch] = FILL
                want[:, :, i, j] = net(y)[:, TARGETS]
    error = {m: zoo.relative(got[m], want) for m in got}
    apart = zoo.relative(got["incremental"], got["full"])
    (part, whole), _ = cost["incremental"]
    lines = [f"occlusion {patch} px, {len(at) ** 2} windows: full {error['full']:.0e}, incremental {error['incremental']:.0e}, "
             f"apart {apart:.0e}; {part / whole:.2f} of the work, {cost['incremental'][1]:.1f} s for {cost['full'][1]:.1f} s"]
    return lines, all(e <= zoo.LIMIT for e in error.values())


def one(name, args, work):
    import h5py
    import torch
    net = zoo.network(name)
    x = zoo.stillest(net, zoo.pictures(name, zoo.CANDIDATES, zoo.SEED + 4))
    with h5py.File(work / "in.h5", "w") as f:
        f["x"] = x.numpy()
    path = work / f"{name}.onnx"
    zoo.export(net, name, "torchscript", ["out"], path)
    net, x = net.double(), x.double()
    found = [rules(net, x, args, path, work), occlusion(net, x, args, path, work)]
    good = all(g for _, g in found)
    print("ok    " if good else "FAILED", name, zoo.side_of(name), "px")
    for line in sum((lines for lines, _ in found), []):
        print("      ", line, flush=True)
    return good


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("nets", nargs="*", help=f"{', '.join(NETS)} by default")
    args.add_argument("--deconvoy", default="build/deconvoy", help="the program")
    args.add_argument("--patch", type=int, default=16, help="side of the window, px")
    args = args.parse_args()
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    good = True
    for name in args.nets or NETS:
        with tempfile.TemporaryDirectory() as work:
            good &= one(name, args, Path(work))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
