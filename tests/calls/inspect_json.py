#!/usr/bin/env python3
"""inspect --json is JSON, and says of the golden network what ONNX Runtime shows of it.

    inspect_json.py PROGRAM SOURCE     PROGRAM: calls_test_inspect
"""
import json
import os
import subprocess
import sys
import tempfile

program, source = sys.argv[1:3]
golden = os.path.join(source, "tests", "golden")


def inspect(file, *more, code=0):
    run = subprocess.run([program, file, "--json", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.returncode == code, (file, run.returncode, run.stderr)
    return json.loads(run.stdout.decode("utf-8")) if run.stdout else None


def check_nodes(found, expected, size_known=True):
    assert len(found["nodes"]) == len(expected) + 1  # and the softmax
    for node, want in zip(found["nodes"], expected):
        for key in ("op", "output", "parameters"):
            assert node[key] == want[key], (node, want)
        if size_known:
            assert node["shape"] == want["shape"] and node["macs"] == want["macs"], (node, want)
            assert node["receptive_field"] == want["receptive_field"], (node, want)
        elif want["receptive_field"]["stride"] != [0, 0]:
            assert node["receptive_field"] == want["receptive_field"], (node, want)
            assert node["shape"] == want["shape"][:2] + [None, None], (node, want)
        else:
            assert node["shape"] == want["shape"] and node["receptive_field"]["size"] == [None, None], (node, want)
    return found


def check_models():
    with open(os.path.join(golden, "inspect", "expected.json")) as f:
        expected = json.load(f)
    fixed, symbolic = (os.path.join(golden, "inspect", n) for n in ("fixed.onnx", "open.onnx"))
    d = check_nodes(inspect(fixed), expected)
    assert d["kind"] == "model" and d["file"] == fixed and d["classes"] == 5 and d["logits"] == "logits", d
    assert d["totals"] == {"nodes": 14, "parameters": 629, "macs": sum(e["macs"] for e in expected)}, d["totals"]
    assert d["nodes"][1]["layer"] and not d["nodes"][0]["layer"] and d["nodes"][12]["layer"], d
    back = ["max_activation", "reconstruct", "occlusion", "gradient_ascent"]
    assert d["nodes"][0]["methods"] == [*back, "cam"], d
    assert d["nodes"][12]["methods"] == back, d
    assert d["nodes"][13]["methods"] == [*back, "infer"], d
    d = check_nodes(inspect(symbolic), expected, size_known=False)
    assert d["totals"]["macs"] is None and d["inputs"][0]["shape"] == [1, 2, None, None], d
    check_nodes(inspect(symbolic, "--input-shape", "2,96,80"), expected)
    inspect(symbolic, "--input-shape=3,96,80", code=78)
    for name in ("attributes", "old_inputs", "optional"):
        run = subprocess.run([program, os.path.join(golden, "onnx", "good", name + ".onnx"), "--json"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        assert run.returncode in (0, 65), (name, run)
        if run.stdout:
            json.loads(run.stdout.decode("utf-8"))


def check_uses():
    """What needs a classifier, one input, or a walk back is not offered elsewhere; counts as PyTorch has them."""
    models = os.path.join(source, "configs", "models")
    d = inspect(os.path.join(models, "fashion_mnist_segment.onnx"), "--input-shape", "1,28,28")
    by = {n["output"]: n["methods"] for n in d["nodes"]}
    assert by["relu"] == ["max_activation", "reconstruct", "gradient_ascent"] and by["scores"][-1] == "infer", by
    assert d["totals"]["parameters"] == 41243, d["totals"]
    conv = lambda c_in, c_out, k, side: c_in * c_out * k * k * side * side
    macs = (conv(1, 8, 3, 28) + conv(8, 24, 3, 14) + conv(24, 40, 3, 7) + conv(40, 40, 3, 7) + conv(40, 24, 2, 7) +
            conv(48, 24, 3, 14) + conv(24, 8, 2, 14) + conv(16, 8, 3, 28) + conv(8, 11, 1, 28))
    assert d["totals"]["macs"] == macs, (d["totals"], macs)
    d = inspect(os.path.join(models, "fashion_mnist_decoder.onnx"))
    assert all(n["methods"] in ([], ["infer"]) for n in d["nodes"]) and d["totals"]["parameters"] == 40129, d


def check_h5():
    with tempfile.TemporaryDirectory() as folder:
        assert subprocess.run([program, "--make", folder]).returncode == 0
        d = inspect(os.path.join(folder, "out.h5"))
        assert (d["kind"], d["complete"], d["job"]) == ("result", True, "infer"), d
        assert (d["items"], d["done"], d["failed"]) == (5, 3, 1), d
        assert d["failures"] == [{"item": 2, "message": "b.png: cut?off"}], d
        assert {"path": "/infer/prob", "type": "f4", "shape": [5, 10]} in d["datasets"], d
        assert ("/checksums/crc32c", "u4") in [(x["path"], x["type"]) for x in d["datasets"]], d
        d = inspect(os.path.join(folder, "out.h5.part"))
        assert (d["kind"], d["complete"]) == ("run", False), d
        assert (d["starts"], d["units_done"], d["units"], d["failed"]) == (1, 4, 10, 1), d
        assert d["last_commit"].endswith("Z"), d
        d = inspect(os.path.join(folder, "data.h5"))
        assert (d["kind"], d["items"], d["float"], d["shape"]) == ("dataset", 4, True, [1, 3, 8, 6]), d


def check_pictures():
    with tempfile.TemporaryDirectory() as folder:
        idx = os.path.join(folder, "pictures-idx3-ubyte")
        with open(idx, "wb") as f:
            f.write(b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 5, 4)) + bytes(60))
        d = inspect(idx)
        assert (d["kind"], d["source"], d["items"], d["channels"]) == ("dataset", "idx", 3, 1), d
        assert (d["height"], d["width"], d["one_size"]) == (5, 4, True), d


check_models()
check_uses()
check_h5()
check_pictures()
