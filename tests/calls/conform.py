"""What `deconvoy conform` says of ONNX test cases: conform.py DECONVOY CASES OUT_OF_SCOPE.

CASES: Debian's libonnx-testdata; OUT_OF_SCOPE: conform_out_of_scope.txt.
"""
import fnmatch
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

PROGRAM, CASES, OUT_OF_SCOPE = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
failures = []


def conform(*args, cwd=None):
    return subprocess.run([PROGRAM, "conform", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=500, cwd=cwd)


def check(cond, what, p):
    if not cond:
        failures.append(what)
        print("FAILED:", what, f"exit {p.returncode}, stdout {p.stdout[:600]!r}, stderr {p.stderr[:600]!r}")


def says(p, code, lines, what):
    """The exit code and one regular expression a line."""
    got = p.stdout.splitlines()
    fits = len(got) == len(lines) and all(re.fullmatch(want, line) for want, line in zip(lines, got))
    check(p.returncode == code and fits and not p.stderr, f"{what}: want exit {code} and {lines}", p)


def fails(p, code, text, what):
    check(p.returncode == code and text in p.stderr and p.stderr.count("\n") == 1 and not p.stdout, f"{what}: want exit {code}, {text!r}", p)


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def tensor(path, shape, kind, raw):
    """A TensorProto: dims, data_type, raw_data."""
    with open(path, "wb") as f:
        f.write(b"".join(b"\x08" + varint(n) for n in shape) + b"\x10" + varint(kind) + b"\x4a" + varint(len(raw)) + raw)


def case(where, name, as_name=None):
    to = os.path.join(where, as_name or name)
    shutil.copytree(os.path.join(CASES, "node", name), to)
    return to


def pb(folder, name):
    return os.path.join(folder, "test_data_set_0", name + ".pb")


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def test_call(tmp):
    fails(conform(), 64, "conform: too few arguments; expected deconvoy conform DIR...", "no folder")
    fails(conform("--all", tmp), 64, "conform: unknown option --all; expected --tolerance", "unknown option")
    for text in ("1", "1,", ",1", "1,2,3", "-1,0", "nan,0", "1,inf", "a,b", ""):
        fails(conform(tmp, "--tolerance", text), 64, f"--tolerance is '{text}'; expected A,R", f"tolerance {text!r}")
    fails(conform(tmp + "/nowhere"), 66, "nowhere: No such file", "missing folder")
    fails(conform(tmp), 66, "no model.onnx in it or below", "no cases")
    good = case(tmp, "test_abs")
    fails(conform(good, tmp + "/nowhere"), 66, "nowhere: No such file", "missing second folder")
    says(conform(good + "/"), 0, ["pass test_abs 0", "1 passed, 0 failed, 0 unsupported"], "one case")
    says(conform(".", cwd=good), 0, ["pass test_abs 0", "1 passed, 0 failed, 0 unsupported"], "the folder itself")


def test_walk(tmp):
    case(tmp + "/b", "test_abs")
    case(tmp + "/a/deep", "test_relu")
    case(tmp + "/b", "test_unique_sorted_without_axis")
    says(conform(tmp, tmp + "/b/test_abs"), 0,
         ["pass test_relu 0", "pass test_abs 0", "unsupported test_unique_sorted_without_axis Unique", "pass test_abs 0",
          "3 passed, 0 failed, 1 unsupported"], "walked folders")


def test_numbers(tmp):
    c = case(tmp, "test_abs")
    tensor(pb(c, "input_0"), [3, 4, 5], 1, floats(*[float("nan"), float("-inf"), -2.0] * 20))
    tensor(pb(c, "output_0"), [3, 4, 5], 1, floats(*[float("nan"), float("inf"), 2.0] * 20))
    says(conform(c), 0, ["pass test_abs 0", "1 passed.*"], "NaN and infinity on both sides")
    tensor(pb(c, "output_0"), [3, 4, 5], 1, floats(*[float("nan"), float("inf"), 2.5] * 20))
    says(conform(c), 1, ["fail test_abs 0.5", "0 passed, 1 failed, 0 unsupported"], "wrong numbers")
    says(conform(c, "--tolerance", "0,0.25"), 0, ["pass test_abs 0.5", "1 passed.*"], "looser tolerance")
    says(conform(c, "--tolerance=0.4,0"), 1, ["fail test_abs 0.5", "0 passed.*"], "tighter tolerance")
    tensor(pb(c, "output_0"), [3, 4, 5], 1, floats(*[0.0, float("inf"), 2.0] * 20))
    says(conform(c, "--tolerance", "9,9"), 1, ["fail test_abs nan", "0 passed.*"], "NaN on one side")
    tensor(pb(c, "output_0"), [4, 15], 1, floats(*[2.0] * 60))
    says(conform(c), 1, ['fail test_abs output "y" is 3x4x5; expected 4x15', "0 passed.*"], "wrong shape")
    c = case(tmp, "test_greater")
    with open(pb(c, "output_0"), "rb") as f:
        data = f.read()
    with open(pb(c, "output_0"), "wb") as f:
        f.write(data[:-1] + bytes([data[-1] ^ 1]))
    says(conform(c, "--tolerance", "9,9"), 1, ["fail test_greater 1", "0 passed.*"], "truth values are exact")


def test_broken(tmp):
    c = case(tmp, "test_abs", "cut")
    with open(c + "/model.onnx", "r+b") as f:
        f.truncate(40)
    c = case(tmp, "test_abs", "empty")
    open(c + "/model.onnx", "wb").close()
    c = case(tmp, "test_abs", "fifo")
    os.unlink(c + "/model.onnx")
    os.mkfifo(c + "/model.onnx")
    c = case(tmp, "test_abs", "input")
    with open(pb(c, "input_0"), "wb") as f:
        f.write(b"\xff" * 50)
    c = case(tmp, "test_abs", "output")
    os.unlink(pb(c, "output_0"))
    c = case(tmp, "test_abs", "set")
    shutil.rmtree(c + "/test_data_set_0")
    c = case(tmp, "test_add", "shapes")
    tensor(pb(c, "input_1"), [3, 4, 6], 1, floats(*[1.0] * 72))
    says(conform(tmp), 1,
         ["fail cut model.onnx: .*", "fail empty model.onnx: byte 0: the file is empty", "fail fifo model.onnx: not a regular file",
          "fail input test_data_set_0/input_0.pb: .*", "fail output output_0.pb is missing", "fail set test_data_set_0 is missing",
          'fail shapes graph input "y" cannot have the shape 3x4x6', "0 passed, 7 failed, 0 unsupported"], "broken cases")


def read_globs():
    with open(OUT_OF_SCOPE) as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    assert all(len(line) == 2 for line in lines), "a glob without a reason"
    return [line[0] for line in lines]


def test_corpus():
    """All cases in scope pass, and nothing else does."""
    globs, used = read_globs(), set()
    p = conform(*(os.path.join(CASES, d) for d in ("node", "pytorch-converted", "pytorch-operator", "simple")))
    lines = p.stdout.splitlines()
    passed = 0
    for verdict, name, rest in (line.split(" ", 2) for line in lines[:-1]):
        glob = next((g for g in globs if fnmatch.fnmatchcase(name, g)), None)
        used.add(glob)
        passed += verdict == "pass"
        if (glob is None) != (verdict == "pass"):
            failures.append(name)
            print("FAILED:", verdict, name, rest, "" if glob is None else f"though {glob} is out of scope")
    check(set(globs) <= used, f"no case fits {sorted(set(globs) - used)}", p)
    check(len(lines) == 1073 and lines[-1].startswith(f"{passed} passed, "), "want 1072 cases and their number", p)
    print(f"{passed} of {len(lines) - 1} cases pass, the others are out of scope")


def main():
    if not os.path.isdir(CASES):
        sys.exit(77)
    for test in (test_call, test_walk, test_numbers, test_broken):
        with tempfile.TemporaryDirectory() as tmp:
            test(tmp)
    test_corpus()
    print(len(failures), "failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
