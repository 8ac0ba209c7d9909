#!/usr/bin/env python3
"""Write small ONNX test cases (model.onnx, test_data_set_0/) of what ONNX's own cases leave out.  Needs onnx and numpy.

Expected values are those of ONNX's reference evaluator, but where a case says otherwise.  Usage: make_cases.py [NAME ...]
"""
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HERE = Path(__file__).resolve().parent
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node, info = helper.make_node, helper.make_tensor_value_info


def tensor(name, x):
    return numpy_helper.from_array(np.asarray(x), name)


def model(nodes, inputs, outputs, constants=(), opset=18, functions=(), domains=()):
    g = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(g, opset_imports=imports, functions=list(functions), ir_version=9)


def branch(nodes, outputs, constants=(), rank=1):
    return helper.make_graph(nodes, "branch", [], [info(o, FLOAT, [None] * rank) for o in outputs], list(constants))


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- If: the condition constant, or from shapes --------------------------------------------------------

def if_constant():
    """The other branch could not be built."""
    good = branch([node("Relu", ["x"], ["a"]), node("Mul", ["a", "two"], ["b"])], ["b"], [tensor("two", np.float32(2))])
    bad = branch([node("Reshape", ["x", "no"], ["a"])], ["a"], [tensor("no", np.array([7, 7], np.int64))])
    m = model([node("If", ["yes"], ["y"], then_branch=good, else_branch=bad)], [info("x", FLOAT, [2, 3])],
              [info("y", FLOAT, None)], [tensor("yes", np.array(True))])
    x = numbers(2, 3)
    return m, [x], [2 * np.maximum(x, 0)]


def if_shape():
    """As PyTorch exports squeeze(1) of an axis of unknown extent."""
    nodes = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "axis"], ["n"], axis=0), node("Equal", ["n", "one"], ["is"]),
             node("If", ["is"], ["z"], then_branch=branch([node("Squeeze", ["x", "axes"], ["s"])], ["s"]),
                  else_branch=branch([node("Identity", ["x"], ["s"])], ["s"])),
             node("Neg", ["z"], ["y"])]
    constants = [tensor("axis", np.array(1, np.int64)), tensor("axes", np.array([1], np.int64)), tensor("one", np.array(1, np.int64))]
    return nodes, constants


def if_squeezes():
    m = model(if_shape()[0], [info("x", FLOAT, ["N", "C", 4])], [info("y", FLOAT, None)], if_shape()[1])
    return m, [numbers(2, 1, 4)], None


def if_leaves():
    m = model(if_shape()[0], [info("x", FLOAT, ["N", "C", 4])], [info("y", FLOAT, None)], if_shape()[1])
    return m, [numbers(2, 3, 4)], None


def if_nested():
    """Two outputs; names that both branches use; an If in a branch that sees the names around it."""
    inner = node("If", ["no"], ["c"], then_branch=branch([node("Abs", ["a"], ["t"])], ["t"]),
                 else_branch=branch([node("Add", ["a", "x"], ["t"])], ["t"]))
    then = branch([node("Exp", ["x"], ["a"]), inner], ["c", "a"])
    other = branch([node("Sqrt", ["x"], ["a"]), node("Neg", ["a"], ["c"])], ["a", "c"])
    nodes = [node("Not", ["yes"], ["no"]), node("If", ["yes"], ["p", "q"], then_branch=then, else_branch=other),
             node("If", ["no"], ["r", "s"], then_branch=other, else_branch=then), node("Sub", ["p", "s"], ["u"]),
             node("Concat", ["u", "q", "r"], ["y"], axis=0)]
    m = model(nodes, [info("x", FLOAT, [3])], [info("y", FLOAT, None)], [tensor("yes", np.array(True))])
    x = numbers(3)
    a, c = np.exp(x), np.exp(x) + x
    return m, [x], [np.concatenate([c - a, a, c])]


def if_input():
    """The condition follows from the input: known where that is constant, refused otherwise."""
    nodes = [node("ReduceMax", ["x"], ["most"], keepdims=0), node("Greater", ["most", "zero"], ["is"]),
             node("If", ["is"], ["y"], then_branch=branch([node("Neg", ["x"], ["t"])], ["t"]),
                  else_branch=branch([node("Abs", ["x"], ["t"])], ["t"]))]
    m = model(nodes, [info("x", FLOAT, [4])], [info("y", FLOAT, None)], [tensor("zero", np.float32(0))])
    return m, [numbers(4)], None


# --- Functions of the model's own -----------------------------------------------------------------------

def ref(op, ins, outs, **names):
    """A node whose attributes are those of the call: attribute = (name of the call's, type)."""
    n = node(op, ins, outs)
    for name, (of, kind) in names.items():
        a = n.attribute.add()
        a.name, a.ref_attr_name, a.type = name, of, kind
    return n


def function(name, ins, outs, nodes, opset=18, attributes=(), defaults=(), domains=()):
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_function("own", name, ins, outs, nodes, imports, list(attributes), list(defaults))


def function_calls():
    """Called three times: with an attribute, its default, and one of its outputs left out."""
    leak = function("Leak", ["v"], ["w", "plain"], [ref("LeakyRelu", ["v"], ["t"], alpha=("slope", onnx.AttributeProto.FLOAT)),
                                                     node("Neg", ["t"], ["w"]), node("Relu", ["v"], ["plain"])],
                    defaults=[helper.make_attribute("slope", 0.25)])
    nodes = [node("Leak", ["x"], ["a", "b"], domain="own", slope=0.5), node("Leak", ["a"], ["t"], domain="own"),
             node("Leak", ["t"], ["", "c"], domain="own", slope=2.0), node("Sum", ["t", "b", "c"], ["y"])]
    m = model(nodes, [info("x", FLOAT, [2, 5])], [info("y", FLOAT, None)], functions=[leak], domains=["own"])

    def by(v, slope):
        return -np.where(v > 0, v, np.float32(slope) * v), np.maximum(v, 0)
    x = numbers(2, 5)
    a, b = by(x, 0.5)
    t, _ = by(a, 0.25)
    return m, [x], [t + b + by(t, 2)[1]]


def function_nested():
    """A function in a function, an If in it with an attribute of the outer call, an input left out."""
    inner = function("Inner", ["v", "low", "high"], ["w"], [node("Clip", ["v", "low", "high"], ["w"])])
    then = branch([node("Inner", ["v", "", "most"], ["t"], domain="own")], ["t"])
    other = branch([ref("Elu", ["v"], ["t"], alpha=("rate", onnx.AttributeProto.FLOAT))], ["t"])
    outer = function("Outer", ["v", "most"], ["w"],
                     [ref("Constant", [], ["is"], value_int=("bounded", onnx.AttributeProto.INT)),
                      node("Cast", ["is"], ["cond"], to=BOOL), node("If", ["cond"], ["w"], then_branch=then, else_branch=other)],
                     attributes=["bounded", "rate"], domains=["own"])
    nodes = [node("Outer", ["x", "half"], ["a"], domain="own", bounded=1, rate=1.0),
             node("Outer", ["x", "half"], ["b"], domain="own", bounded=0, rate=0.5), node("Add", ["a", "b"], ["y"])]
    m = model(nodes, [info("x", FLOAT, [7])], [info("y", FLOAT, None)], [tensor("half", np.float32(0.5))],
              functions=[inner, outer], domains=["own"])
    x = numbers(7)
    return m, [x], [np.minimum(x, np.float32(0.5)) + np.where(x > 0, x, np.float32(0.5) * np.expm1(x))]


def function_opset():
    """The body is of an opset in which Softmax takes all axes from its own on together, and ReduceSum has axes as an attribute."""
    old = function("Old", ["v"], ["w"], [node("Softmax", ["v"], ["s"], axis=1), node("ReduceSum", ["s"], ["w"], axes=[2], keepdims=0)],
                   opset=11)
    m = model([node("Old", ["x"], ["a"], domain="own"), node("Softmax", ["a"], ["y"], axis=0)], [info("x", FLOAT, [2, 3, 4])],
              [info("y", FLOAT, None)], functions=[old], domains=["own"])
    x = numbers(2, 3, 4)
    e = np.exp(x - x.max((1, 2), keepdims=True))
    s = (e / e.sum((1, 2), keepdims=True)).sum(2)
    return m, [x], [np.exp(s) / np.exp(s).sum(0)]


# --- Resize -----------------------------------------------------------------------------------------------

def resize_modes():
    """Drawn combinations.  Scales are exact in binary, so that no position is a question of rounding (of half_pixel_symmetric, where
    extents that are no whole numbers count, such that none is near a cell or the middle of two); pytorch_half_pixel always leaves
    more than one cell, as the text puts a single one at 0 and the evaluator at -0.5."""
    rng = np.random.default_rng(19)
    words = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
    nodes, constants, outputs = [], [], []
    while len(nodes) < 60:
        mode, where, k = ("nearest", "linear", "cubic")[len(nodes) % 3], words[len(nodes) // 3 % 6], len(nodes)
        a = {"mode": mode, "coordinate_transformation_mode": where, "axes": [2, 3]}
        if mode == "nearest":
            a["nearest_mode"] = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"][k // 18]
        else:
            a.update(exclude_outside=int(rng.integers(2)), antialias=int(rng.integers(2)))
        if mode == "cubic":
            a["cubic_coeff_a"] = float(rng.choice([-0.75, -0.5]))
        inputs = ["x", "", "", ""]
        if where == "tf_crop_and_resize":
            low = rng.uniform(-0.3, 0.5, 2)
            a["extrapolation_value"] = 3.0
            inputs[1] = f"roi{k}"
            constants.append(tensor(inputs[1], np.concatenate([low, low + rng.uniform(0.3, 0.9, 2)]).astype(np.float32)))
        if rng.random() < 0.5:
            scales = [0.7, 0.9, 1.3, 1.7, 2.3] if where == "half_pixel_symmetric" else [0.5, 0.625, 0.75, 1.25, 1.5, 2, 2.5]
            by = rng.choice(scales, 2).astype(np.float32)
            inputs = [*inputs[:2], f"scales{k}"]
        else:
            by = rng.integers(2, 13, 2)
            inputs[3] = f"sizes{k}"
            if rng.random() < 0.3 and where != "half_pixel_symmetric":
                a["keep_aspect_ratio_policy"] = str(rng.choice(["not_larger", "not_smaller"]))
        constants.append(tensor(inputs[-1], by))
        nodes.append(node("Resize", inputs, [f"y{k}"], **a))
        outputs.append(info(f"y{k}", FLOAT, None))
    return model(nodes, [info("x", FLOAT, [1, 2, 5, 7])], outputs, constants, opset=19), [numbers(1, 2, 5, 7)], None


CASES = [resize_modes, if_constant, if_squeezes, if_leaves, if_nested, if_input, function_calls, function_nested, function_opset]


def save(name, m, inputs, outputs):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "test_data_set_0").mkdir(parents=True)
    try:
        found = ReferenceEvaluator(m).run(None, {i.name: x for i, x in zip(m.graph.input, inputs)})
    except Exception as e:  # noqa: BLE001  the evaluator has faults of its own
        found = None
        print(name, "evaluator:", str(e)[:100])
    if outputs is None:
        outputs = found
    elif found is not None:
        print(name, "evaluator:", max(float(np.abs(np.asarray(a, np.float64) - b).max()) for a, b in zip(found, outputs)))
    for i, x in zip(m.graph.output, outputs):
        i.CopyFrom(info(i.name, helper.np_dtype_to_tensor_dtype(np.asarray(x, np.float32).dtype), np.shape(x)))
    if name != "function_opset":  # a mix of opsets that the checker does not like
        onnx.checker.check_model(m)
    onnx.save(m, folder / "model.onnx")
    for kind, values, infos in (("input", inputs, m.graph.input), ("output", outputs, m.graph.output)):
        for k, (x, i) in enumerate(zip(values, infos)):
            x = np.asarray(x)
            x = x.astype(np.float32) if x.dtype == np.float64 else x
            (folder / "test_data_set_0" / f"{kind}_{k}.pb").write_bytes(tensor(i.name, x).SerializeToString())


def main():
    for make in CASES:
        if not sys.argv[1:] or make.__name__ in sys.argv[1:]:
            save(make.__name__, *make())
    print("onnx", onnx.__version__, "numpy", np.__version__)


if __name__ == "__main__":
    main()
