#!/usr/bin/env python3
"""Write the node cases of the installed onnx package as folders and let deconvoy run them: newest_onnx.py DECONVOY [DIR].

For development: the tests of the package are newer than Debian's libonnx-testdata.  Prints what does not pass, by
operator, and how many do.  Cases whose values are no tensors (sequences, optionals) get an input that cannot be read.
"""
import collections
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def write(case, where):
    folder = os.path.join(where, case.name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(case.model.SerializeToString())
    for i, values in enumerate(case.data_sets):
        data = os.path.join(folder, f"test_data_set_{i}")
        os.makedirs(data, exist_ok=True)
        for kind, tensors, infos in zip(("input", "output"), values, (case.model.graph.input, case.model.graph.output)):
            for k, (value, info) in enumerate(zip(tensors, infos)):
                with open(os.path.join(data, f"{kind}_{k}.pb"), "wb") as f:
                    if isinstance(value, onnx.TensorProto):
                        f.write(value.SerializeToString())
                    elif value is None or isinstance(value, (list, dict)):
                        f.write(b"\xff")
                    else:
                        f.write(numpy_helper.from_array(np.asarray(value), info.name).SerializeToString())


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as tmp:
        where = sys.argv[2] if len(sys.argv) > 2 else tmp
        for case in collect_testcases(None):
            write(case, where)
        lines = subprocess.run([program, "conform", where], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    missing = collections.Counter()
    for line in lines[:-1]:
        verdict, name, rest = line.split(" ", 2)
        if verdict == "fail":
            print(line)
        missing[rest] += verdict == "unsupported"
    print(", ".join(f"{op} {n}" for op, n in missing.most_common() if n))
    print(f"onnx {onnx.__version__}: {lines[-1]}")


if __name__ == "__main__":
    main()
