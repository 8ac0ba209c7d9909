#!/usr/bin/env python3
"""Small ONNX files and what the Python package `onnx` (with numpy, ml_dtypes) reads in them.

    make_onnx_cases.py            writes good/*.onnx, good/*.txt, bad/*.onnx, bad/expected.txt
    make_onnx_cases.py --dump F   prints the text of one file, as tests/io/test_onnx.c does

good/NAME.txt is the dump of good/NAME.onnx; bad/expected.txt has a line `FILE|KIND|MESSAGE` for each hostile file, where
KIND is data, unsupported or noinput and MESSAGE a part of the message that must be given.
"""
import hashlib
import os
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import AttributeProto as A
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 64  # values that a dump prints

# --- The dump ---------------------------------------------------------------------------------


def elem(t):
    return T.DataType.Name(t).lower() if t in T.DataType.values() else "undefined"


def number(v):
    if isinstance(v, float):
        if v != v:
            return "nan"
        return "%.9g" % v
    return str(v)


def values(a):
    if a.dtype.kind in "biu":
        return [min(int(v), 2**63 - 1) for v in a.reshape(-1)[:MOST]]
    with np.errstate(over="ignore"):
        return [float(v) for v in a.reshape(-1)[:MOST].astype(np.float32)]


def dims(shape):
    return "x".join(str(d) for d in shape) or "scalar"


def tensor_text(t, folder):
    a = numpy_helper.to_array(t, folder)
    return " ".join([elem(t.data_type), dims(t.dims)] + [number(v) for v in values(a)])


READABLE = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16}


def attr_text(a, folder):
    if a.type == A.FLOAT:
        return "float " + number(float(a.f))
    if a.type == A.FLOATS:
        return " ".join(["floats"] + [number(float(v)) for v in a.floats[:MOST]])
    if a.type == A.INT:
        return "int %d" % a.i
    if a.type == A.INTS:
        return " ".join(["ints"] + ["%d" % v for v in a.ints[:MOST]])
    if a.type == A.STRING:
        return "string " + a.s.decode("latin1").split("\0")[0]
    if a.type == A.STRINGS:
        return " ".join(["strings"] + [s.decode("latin1").split("\0")[0] for s in a.strings[:MOST]])
    if a.type == A.TENSOR and a.t.data_type in READABLE:
        return "tensor " + tensor_text(a.t, folder)
    return "other"


def value_text(what, v):
    t = v.type.tensor_type
    text = "%s %s %s" % (what, v.name, elem(t.elem_type) if v.type.HasField("tensor_type") else "undefined")
    if not t.HasField("shape"):
        return text + " any"
    for d in t.shape.dim:
        text += " " + (str(d.dim_value) if d.HasField("dim_value") else "-1(%s)" % d.dim_param)
    return text


def in_order(g, given):
    """Nodes producers first; file order otherwise (the recursion that onnx_order.c does without one)."""
    maker = {o: n for n in g.node for o in n.output if o}
    done, out = set(), []

    def place(n):
        if id(n) in done:
            return
        done.add(id(n))
        for i in n.input:
            if i and i not in given and i in maker:
                place(maker[i])
        out.append(n)

    for n in g.node:
        place(n)
    return out


def sha256(file, m):
    """Of the file; then of name, NUL and bytes of each file with external data, in the order of first use."""
    with open(file, "rb") as f:
        hasher = hashlib.sha256(f.read())
    seen = set()
    for t in m.graph.initializer:
        location = {e.key: e.value for e in t.external_data}.get("location")
        if location and location not in seen:
            seen.add(location)
            with open(os.path.join(os.path.dirname(file), location), "rb") as f:
                hasher.update(location.encode() + b"\0" + f.read())
    return hasher.hexdigest()


def dump(file):
    m = onnx.load(file, load_external_data=False)
    folder = os.path.dirname(file)
    g = m.graph
    opset = [o.version for o in m.opset_import if o.domain in ("", "ai.onnx")]
    consts = {t.name for t in g.initializer}
    lines = ["ir %d opset %d producer %s" % (m.ir_version, opset[-1] if opset else 0, m.producer_name), "sha256 " + sha256(file, m)]
    lines += ["const %s %s" % (t.name, tensor_text(t, folder)) for t in g.initializer]
    lines += [value_text("in", v) for v in g.input if v.name not in consts]
    lines += [value_text("out", v) for v in g.output]
    for n in in_order(g, consts | {v.name for v in g.input}):
        domain = "" if n.domain == "ai.onnx" else n.domain
        lines.append("node [%s] %s [%s] (%s) -> (%s)" % (n.name, n.op_type, domain, ",".join(n.input), ",".join(n.output)))
        lines += ["  %s %s" % (a.name, attr_text(a, folder)) for a in n.attribute]
    return "\n".join(lines) + "\n"


# --- Good files --------------------------------------------------------------------------------


def relu(x="x", y="y", name="r"):
    return h.make_node("Relu", [x], [y], name=name)


def info(name, shape=(1, 3, 8, 8), t=T.FLOAT):
    return h.make_tensor_value_info(name, t, shape)


def model(nodes=None, inits=(), ins=None, outs=None, opset=13, ir=8, **kw):
    nodes = [relu()] if nodes is None else nodes
    g = h.make_graph(nodes, "g", [info("x")] if ins is None else ins, [info("y")] if outs is None else outs, list(inits))
    m = h.make_model(g, opset_imports=[h.make_opsetid("", opset)], producer_name="cases", ir_version=ir, **kw)
    return m


def raw(name, t, shape, data):
    return T(name=name, data_type=t, dims=shape, raw_data=data)


def half_patterns():
    special = [0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]
    return np.array(special + list(range(77, 0x7C00, 2011)) + list(range(0x8077, 0xFC00, 2503)), dtype=np.uint16)


def ints(t):
    i = np.iinfo(t)
    return np.array([i.min, i.max, 0, 1, i.max // 2, i.max // 3], dtype=t)


NP = {T.UINT8: np.uint8, T.INT8: np.int8, T.UINT16: np.uint16, T.INT16: np.int16, T.INT32: np.int32, T.INT64: np.int64,
      T.UINT32: np.uint32, T.UINT64: np.uint64}


def raw_types():
    reals = np.array([0.0, -0.0, 1.5, -2.25, 3.4e38, 1e-40, np.inf, -np.inf], dtype=np.float32)
    out = [raw("f32", T.FLOAT, [2, 4], reals.tobytes()),
           raw("f64", T.DOUBLE, [5], np.array([1.0, 1e-3, 1e300, -1e-320, 16777217.0]).tobytes()),
           raw("f16", T.FLOAT16, [len(half_patterns())], half_patterns().tobytes()),
           raw("bf16", T.BFLOAT16, [6], np.array([0, 0x8000, 0x3F80, 0xC049, 0x7F7F, 0x0001], dtype=np.uint16).tobytes()),
           raw("bool", T.BOOL, [3], bytes([0, 1, 1])), raw("scalar", T.FLOAT, [], struct.pack("<f", 7.25)),
           raw("none", T.FLOAT, [0, 3], b"")]
    return out + [raw(elem(t), t, [6], ints(n).tobytes()) for t, n in NP.items()]


def typed_types():
    out = [T(name="f32", data_type=T.FLOAT, dims=[3], float_data=[1.5, -2.25, 1e-40]),
           T(name="f64", data_type=T.DOUBLE, dims=[2], double_data=[1e-3, -16777217.0]),
           T(name="f16", data_type=T.FLOAT16, dims=[len(half_patterns())], int32_data=[int(v) for v in half_patterns()]),
           T(name="bf16", data_type=T.BFLOAT16, dims=[2], int32_data=[0x3F80, 0xC049]),
           T(name="bool", data_type=T.BOOL, dims=[3], int32_data=[0, 1, 1])]
    for t, n in NP.items():
        v = [int(x) for x in ints(n)]
        key = {T.INT64: "int64_data", T.UINT32: "uint64_data", T.UINT64: "uint64_data"}.get(t, "int32_data")
        out.append(T(name=elem(t), data_type=t, dims=[6], **{key: v}))
    return out


def attributes():
    inner = h.make_graph([relu("x", "z")], "inner", [], [info("z")])
    n = relu()
    n.attribute.extend([h.make_attribute("f", 0.1), h.make_attribute("i", -3), h.make_attribute("s", "SAME_UPPER"),
                        h.make_attribute("fs", [0.1, 1e30]), h.make_attribute("is", [1, -(2**63), 2**63 - 1]),
                        h.make_attribute("ss", ["a", "", "c d"]), h.make_attribute("g", inner),
                        h.make_attribute("t", raw("", T.FLOAT16, [2], struct.pack("<2e", 0.5, -2))),
                        h.make_attribute("text", h.make_tensor("", T.STRING, [1], [b"no"])),
                        A(name="no_ints", type=A.INTS), A(name="zero", type=A.INT)])
    return n


def external(name, location, **kw):
    t = T(name=name, data_type=T.FLOAT, dims=[4], data_location=T.EXTERNAL)
    for k, v in dict(location=location, **kw).items():
        t.external_data.add(key=k, value=str(v))
    return t


def key(number, wire):
    return varint(number << 3 | wire)


def varint(v):
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, body):
    return key(number, 2) + varint(len(body)) + body


def with_tensor(body):
    """A model whose one initializer is given as protobuf bytes."""
    m = model()
    graph = m.graph.SerializeToString() + field(5, body)
    m.ClearField("graph")
    return m.SerializeToString() + field(7, graph)


def unpacked():
    """Values one by one, and in two packed stretches: any protobuf reader takes both."""
    floats = b"".join(key(4, 5) + struct.pack("<f", v) for v in (1, 2.5)) + field(4, struct.pack("<2f", 3, 4))
    dims_ = field(1, varint(2) + varint(2))
    return with_tensor(dims_ + key(2, 0) + varint(1) + floats + field(8, b"w"))


def deep():
    """A subgraph in a subgraph, 20,000 times; readers with a recursion must give up, this one has none."""
    body = b""
    for _ in range(20000):
        body = field(1, field(5, field(6, body)))  # graph.node.attribute.g
    m = model()
    graph = m.graph.SerializeToString() + field(1, field(1, b"x") + field(2, b"z") + field(4, b"Neg") +
                                                field(5, field(1, b"body") + key(20, 0) + b"\x05" + field(6, body)))
    m.ClearField("graph")
    return m.SerializeToString() + field(7, graph)


def good():
    chain = [relu("b", "c", "third"), relu("x", "a", "first"), h.make_node("Add", ["a", "w"], ["b"]), relu("c", "y", "fourth"),
             h.make_node("Identity", ["a"], ["unused"], domain="ai.onnx")]
    w = raw("w", T.FLOAT, [1], struct.pack("<f", 2))
    vague = onnx.ValueInfoProto(name="v")
    weights = np.arange(16, dtype=np.float32)
    with open(os.path.join(HERE, "good", "weights.bin"), "wb") as f:
        f.write(weights.tobytes())
    return {
        "raw_types": model(inits=raw_types()),
        "typed_types": model(inits=typed_types()),
        "attributes": model([attributes()]),
        "unsorted": model(chain, [w]),
        "old_inputs": model(chain, [w], ins=[info("w", [1]), info("x")], ir=3, opset=7),
        "symbolic": model(ins=[info("x", ["N", 3, None, "W"]), vague, info("u", None)],
                          outs=[h.make_tensor_value_info("y", T.FLOAT16, None)]),
        "optional": model([h.make_node("Clip", ["x", "", "w"], ["y", ""])], [w]),
        "external": model(inits=[external("a", "weights.bin", length=16), external("b", "weights.bin", offset=16, length=16),
                                 external("c", "./weights.bin", offset=48, checksum="x")]),
        "newest": model(opset=999),
        "unpacked": unpacked(),
    }


# --- Hostile files -------------------------------------------------------------------------------


def patched(m, old, new):
    b = m.SerializeToString()
    assert b.count(old) == 1 and len(old) == len(new)
    return b.replace(old, new)


def calls(*functions):
    """A model that calls F0; each function: (inputs, names of the operators of its nodes, of the same domain or none)."""
    m = model([h.make_node("F0", ["x"], ["y"], name="call", domain="own")])
    m.opset_import.append(h.make_opsetid("own", 1))
    for i, (ins, ops) in enumerate(functions):
        names = ["v", *("t%d" % k for k in range(len(ops) - 1)), "w"]
        nodes = [h.make_node(op, [a], [b], domain="own" if op[0] == "F" else "") for op, a, b in zip(ops, names, names[1:])]
        m.functions.append(h.make_function("own", "F%d" % i, ins, ["w"], nodes, m.opset_import))
    return m


def choice(then=1, other=1, ins=(), **attributes):
    """An If whose branches have so many outputs."""
    def branch(n):
        return h.make_graph([relu("x", "b%d" % k) for k in range(n)], "branch", list(ins), [info("b%d" % k) for k in range(n)])
    branches = {"then_branch": branch(then), "else_branch": branch(other)}
    return model([h.make_node("If", ["c"], ["y"], name="fork", **{**branches, **attributes})], inits=[raw("c", T.BOOL, [], b"\1")])


def bad():
    one = struct.pack("<f", 1)
    whole = model(inits=[raw("w", T.FLOAT, [64], one * 64)]).SerializeToString()
    outside = {"up": "../good/weights.bin", "up2": "a/../../good/weights.bin", "absolute": "/etc/passwd", "back": "..\\w", "blank": ""}
    cases = {
        "cycle": (model([relu("b", "a", "one"), relu("a", "b", "two"), relu("x", "y")]), "data", "node one (Relu): is part of a cycle"),
        "self": (model([relu("y", "y", "loop")]), "data", "node loop (Relu): is part of a cycle"),
        "twice": (model([relu(), relu("x", "y", "again")]), "data", "node again (Relu): makes a value that is there already: y"),
        "twice_input": (model([relu(), relu("y", "x", "again")]), "data", "node again (Relu): makes a value that is there already: x"),
        "nothing": (model([relu("q", "y", "")]), "data", "node #0 (Relu): reads a value that nothing makes: q"),
        "function_recursive": (calls((["v"], ["F1"]), (["v"], ["Relu", "F0"])), "data", "more than 64 deep in each other"),
        "function_many": (calls(*[(["v"], ["F%d" % (k + 1)] * 8) for k in range(7)], (["v"], ["Relu"] * 8)), "data",
                          "more than 1048576 nodes once functions are inlined"),
        "function_inputs": (calls(([], ["Relu"])), "data", "node call (F0): more inputs or outputs than the function has"),
        "if_no_branch": (choice(else_branch=1), "data", "node fork (If): a branch is missing"),
        "if_outputs": (choice(other=2), "data", "node fork (If): a branch has inputs, or another number of outputs"),
        "if_inputs": (choice(ins=[info("q")]), "data", "node fork (If): a branch has inputs, or another number of outputs"),
        "no_outputs": (model([relu(), h.make_node("Relu", ["x"], [], name="mute")]), "data", "node mute (Relu): has no outputs"),
        "no_graph_outputs": (model(outs=[]), "data", "the graph has no outputs"),
        "no_such_output": (model(outs=[info("z")]), "data", "output z: nothing makes it"),
        "no_operator": (model([h.make_node("", ["x"], ["y"], name="n")]), "data", "node n (): no operator is named"),
        "attribute_twice": (model([h.make_node("Relu", ["x"], ["y"], name="n")]), "data", "attribute a is given twice"),
        "initializer_twice": (model(inits=[raw("w", T.FLOAT, [1], one)] * 2), "data", "tensor w: a second initializer"),
        "input_twice": (model(ins=[info("x")] * 2), "data", "input x: a second graph input"),
        "dims_2e40": (model(inits=[raw("w", T.FLOAT, [1 << 40], one)]), "data", "tensor w: "),
        "dims_overflow": (model(inits=[raw("w", T.FLOAT, [1 << 32, 1 << 32, 4], one)]), "data", "tensor w: "),
        "dims_wrap": (model(inits=[raw("w", T.FLOAT, [1 << 62, 4, 1], one)]), "data", "tensor w: "),
        "dims_negative": (model(inits=[raw("w", T.FLOAT, [-1, -4], one * 4)]), "data", "tensor w: "),
        "dims_large": (model(inits=[raw("w", T.FLOAT, [(1 << 40) - 1], one)]), "data", "tensor w: 4 bytes; shape 1099511627775 of float wants"),
        "rank": (model(inits=[raw("w", T.FLOAT, [1] * 9, one)]), "data", "tensor w: 9 dimensions; at most 8"),
        "input_2e40": (model(ins=[info("x", [1, 3, 1 << 40, 8])]), "data", "input x: "),
        "input_negative": (model(ins=[info("x", [1, 3, -2, 8])]), "data", "input x: extent -2"),
        "input_rank": (model(ins=[info("x", [1] * 9)]), "data", "input x: 9 dimensions"),
        "raw_short": (model(inits=[raw("w", T.FLOAT, [4], one * 3)]), "data", "tensor w: 12 bytes; shape 4 of float wants 16"),
        "raw_long": (model(inits=[raw("w", T.FLOAT, [4], one * 4 + b"!")]), "data", "tensor w: 17 bytes; shape 4 of float wants 16"),
        "raw_none": (model(inits=[raw("w", T.FLOAT, [4], b"")]), "data", "tensor w: 0 bytes; shape 4 of float wants 16"),
        "typed_short": (model(inits=[T(name="w", data_type=T.INT64, dims=[4], int64_data=[1, 2, 3])]), "data", "tensor w: 3 values; shape 4 of int64 wants 4"),
        "typed_wrong": (model(inits=[T(name="w", data_type=T.FLOAT, dims=[1], int32_data=[1])]), "data", "tensor w: float values in field 5"),
        "typed_mixed": (with_tensor(T(name="w", data_type=T.FLOAT, dims=[1], float_data=[1]).SerializeToString() + field(9, one)), "data", "tensor w: values in two fields"),
        "typed_cut": (with_tensor(T(name="w", data_type=T.INT64, dims=[1]).SerializeToString() + field(7, b"\x01\x80")), "data", "tensor w: cut off inside a number"),
        "float_cut": (with_tensor(T(name="w", data_type=T.FLOAT, dims=[2]).SerializeToString() + field(4, b"\0" * 6) + field(4, b"\0\0")), "data", "tensor w: a stretch of 6 bytes"),
        "own_field": (with_tensor(T(name="w", data_type=T.FLOAT, dims=[1]).SerializeToString() +
                                  field(1000, b"\x08\x09" + b"\x11" + struct.pack("<Q", 1 << 40) + b"\x19" + struct.pack("<Q", 4))),
                      "data", "tensor w: 0 bytes; shape 1 of float wants 4"),
        "no_type": (model(inits=[raw("w", 0, [1], one)]), "data", "tensor w: element type 0"),
        "type_99": (model(inits=[raw("w", 99, [1], one)]), "data", "tensor w: element type 99"),
        "type_string": (model(inits=[h.make_tensor("w", T.STRING, [1], [b"s"])]), "unsupported", "tensor w: element type string"),
        "nameless": (model(inits=[raw("", T.FLOAT, [1], one)]), "data", "initializer #0 has no name"),
        "opset_none": (onnx.ModelProto(ir_version=8, graph=model().graph), "data", "opset 0; 1"),
        "no_graph": (onnx.ModelProto(ir_version=8), "data", "byte 0: no graph"),
        "external_missing": (model(inits=[external("w", "no_such.bin")]), "noinput", 'tensor w: external data "no_such.bin"'),
        "external_folder": (model(inits=[external("w", ".")]), "data", "tensor w: external data"),
        "external_beyond": (model(inits=[external("w", "cycle.onnx", offset=1 << 40)]), "data", "tensor w: external data"),
        "external_short": (model(inits=[external("w", "cycle.onnx", length=15)]), "data", "tensor w: 15 bytes; shape 4 of float wants 16"),
        "external_number": (model(inits=[external("w", "cycle.onnx", offset=-4)]), "data", 'offset "-4"'),
        "external_nowhere": (model(inits=[T(name="w", data_type=T.FLOAT, dims=[4], data_location=T.EXTERNAL)]), "data", "without a location"),
        "external_link": (model(inits=[external("w", "outside.bin")]), "data", "leads out of the model's folder"),
        "empty": (b"", "data", "byte 0: the file is empty"),
        "text": (b"%YAML 1.2\n# not a model\n", "data", "not an ONNX file"),
        "group": (key(7, 3) + key(7, 4), "data", "byte 0: wire type 3"),
        "wire": (key(7, 0) + b"\x01", "data", "byte 0: ModelProto.graph has wire type 0"),
        "field_0": (b"\x02\x01\x00", "data", "byte 0: no such field number"),
        "long_number": (key(1, 0) + b"\xff" * 10 + b"\x01", "data", "byte 1: a number of more than 10 bytes"),
        "long_length": (key(7, 2) + b"\xff" * 9 + b"\x01", "data", "byte 0: field 7 wants 18446744073709551615 bytes"),
        "graph_twice": (model().SerializeToString() + field(7, b""), "data", "a second ModelProto.graph"),
        "not_utf8": (patched(model([relu(name="NAME")]), b"NAME", b"N\xff\xfeE"), "data", "text that is not UTF-8"),
        "nul": (patched(model([relu(name="NAME")]), b"NAME", b"N\0ME"), "data", "text that is not UTF-8"),
    }
    cases["attribute_twice"][0].graph.node[0].attribute.extend([h.make_attribute("a", 1)] * 2)
    for k, v in outside.items():
        cases["external_" + k] = (model(inits=[external("w", v)]), "data", "tensor w: external data at ")
    for n in (1, 40, len(whole) - 1):
        cases["cut_%d" % n] = (whole[:n], "data", "byte ")
    return cases


def save(path, m):
    with open(path, "wb") as f:
        f.write(m if isinstance(m, bytes) else m.SerializeToString())


def main():
    os.makedirs(os.path.join(HERE, "good"), exist_ok=True)
    os.makedirs(os.path.join(HERE, "bad"), exist_ok=True)
    for name, m in good().items():
        path = os.path.join(HERE, "good", name + ".onnx")
        save(path, m)
        with open(path[:-5] + ".txt", "w") as f:
            f.write(dump(path))
    save(os.path.join(HERE, "good", "deep.onnx"), deep())  # Python's reader refuses it: no dump
    save(os.path.join(HERE, "good", "tensor.pb"), raw("t", T.FLOAT, [2, 2], struct.pack("<4f", 1, 2, 3, 4)))
    with open(os.path.join(HERE, "bad", "expected.txt"), "w") as f:
        for name, (m, kind, message) in bad().items():
            save(os.path.join(HERE, "bad", name + ".onnx"), m)
            f.write("%s|%s|%s\n" % (name, kind, message))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.stdout.write(dump(sys.argv[2]))
    else:
        main()
