"""What the command line says and how it exits, seen from outside: cli.py DECONVOY MPIEXEC SOURCE_DIR."""
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

PROGRAM, MPIEXEC, SOURCE = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
failures = []


def call(*args, ranks=0, cwd=None, stdout=subprocess.PIPE, env=None):
    launcher = [MPIEXEC, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    return subprocess.run(launcher + [PROGRAM, *args], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, cwd=cwd,
                          env=dict(os.environ, **(env or {})))


def check(cond, what, p=None):
    if not cond:
        failures.append(what)
        print("FAILED:", what, "" if p is None else f"exit {p.returncode}, stdout {str(p.stdout)[:300]!r}, stderr {p.stderr[:600]!r}")


def fails(p, code, text, what):
    """One error line with text, nothing on stdout, the right code."""
    lines = [line for line in p.stderr.splitlines() if line]
    check(p.returncode == code, f"{what}: want exit {code}", p)
    check(len(lines) == 1 and lines[0].startswith("deconvoy: "), f"{what}: want one line", p)
    check(text in p.stderr, f"{what}: want {text!r}", p)
    check(not p.stdout, f"{what}: stdout should be empty", p)


def png(path, side=28, value=128):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * y + value) % 256 for x in range(side)) for y in range(side))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_usage():
    fails(call(), 64, "no call; expected", "no call")
    fails(call("rnu"), 64, "unknown call 'rnu'; expected run,", "unknown call")
    fails(call("rnu"), 64, "; nearest: run", "nearest call")
    fails(call("--nonsense"), 64, "unknown call '--nonsense'", "unknown option")
    fails(call("run"), 64, "run: too few arguments; expected deconvoy run CONFIG", "run without a config")
    fails(call("run", "a", "b"), 64, "run: 'b' is one too many", "two configs")
    fails(call("run", "a", "--frehs"), 64, "run: unknown option --frehs; expected --set, --fresh or --deadline; nearest: --fresh", "option")
    fails(call("run", "a", "--deadline", "soon"), 64, "run: --deadline is 'soon'", "deadline")
    fails(call("run", "a", "--deadline=-1"), 64, "run: --deadline is '-1'", "negative deadline")
    fails(call("run", "a", "--set"), 64, "run: --set has no value", "set without an argument")
    fails(call("check", "a", "--ranks", "0"), 64, "check: --ranks is '0'", "no ranks")
    fails(call("describe", "inver"), 64, "describe: unknown job 'inver'; expected max_activation", "unknown job")
    fails(call("describe", "inver"), 64, "; nearest: infer", "nearest job")
    fails(call("verify"), 64, "verify: too few arguments; expected deconvoy verify RESULT.h5", "verify without a file")
    fails(call("verify", "--all", "x"), 64, "verify: unknown option --all; expected none", "verify with an option")
    fails(call("report", "x", "-o"), 64, "report: -o has no value", "report without a folder")
    fails(call("report", "x", "-d", "y"), 64, "report: unknown option -d; expected -o", "report with another option")
    fails(call("new"), 64, "new: too few arguments", "new without a job")
    fails(call("help", "chekc"), 64, "; nearest: check", "help of an unknown call")
    fails(call("doctor", "x"), 64, "doctor: 'x' is one too many", "doctor with an operand")
    fails(call("run", "/nonexistent.yaml"), 66, "/nonexistent.yaml: No such file", "missing config")
    fails(call("run", "/"), 66, "/: Is a directory", "a folder as config")


def test_words():
    p = call("--version")
    check(p.returncode == 0 and re.match(r"deconvoy \d+\.\d+\.\d+\n", p.stdout) and not p.stderr, "--version", p)
    p = call("--help")
    check(p.returncode == 0 and "run CONFIG" in p.stdout and not p.stderr, "--help", p)
    check(call("help").stdout == p.stdout, "help says what --help says")
    p = call("run", "--help")
    check(p.returncode == 0 and p.stdout == call("help", "run").stdout and "--fresh" in p.stdout, "run --help", p)
    p = call("describe")
    check(p.returncode == 0 and "dataset.preprocess.crop_at" in p.stdout and "infer" in p.stdout, "describe", p)
    p = call("describe", "max_activation")
    check(p.returncode == 0 and re.search(r"^max_activation\.top +a whole number +9 +", p.stdout, re.M), "describe max_activation", p)
    p = call("describe", stdout=open("/dev/full", "w"))
    check(p.returncode == 74 and "stdout" in p.stderr, "a full disk behind stdout", p)
    p = call("doctor")
    lines = p.stdout.splitlines()
    check(p.returncode == 0 and all(re.match(r"(ok|warn) [A-Za-z0-9 ]+: .", line) for line in lines), "doctor", p)
    for name in "launch", "binding", "shared memory", "space", "limits", "HDF5", "BLAS", "convolutions":
        check(any(re.match(f"(ok|warn) {name}: ", line) for line in lines), f"doctor: {name}", p)


def test_one_rank_prints():
    p = call("--version", ranks=3)
    check(p.returncode == 0 and p.stdout.count("deconvoy ") == 1, "--version under mpirun", p)
    fails(call("describe", "inver", ranks=3), 64, "unknown job 'inver'", "describe under mpirun")
    p = call("doctor", ranks=2)
    check(p.returncode == 0 and "launch: 2 ranks" in p.stdout and p.stdout.count(" launch: ") == 1, "doctor under mpirun", p)


BASE = f"""job: infer
output: out.h5
model: {{file: {SOURCE}/configs/models/fashion_mnist.onnx}}
dataset: {{source: p.png, preprocess: {{channels: gray}}}}
"""

# YAML, place (line:column, or --set and its text), exit code, words
CASES = [
    ("", "1:1", 78, "job is missing; expected max_activation"),
    ("job: infre\n", "1:6", 78, "unknown job 'infre'; expected"),
    ("job: infre\n", "1:6", 78, "; nearest: infer"),
    ("- job\n", "1:1", 78, "a list; expected a mapping"),
    ("job: infer\nmodel: {file: m.onnx}\ndataset: {source: x}\n", "1:1", 78, "output is missing"),
    (BASE + "infre: {}\n", "5:1", 78, "unknown key 'infre'; expected job, output, model, dataset, runtime, slurm or infer; nearest: infer"),
    (BASE + "infer:\n  tops: 5\n", "6:3", 78, "unknown key 'tops' in infer"),
    (BASE + "infer:\n  tops: 5\n", "6:3", 78, "; nearest: top"),
    (BASE + "infer:\n  top: five\n", "6:8", 78, "infer.top is the text 'five'; expected a whole number"),
    (BASE + "infer:\n  top: '5'\n", "6:8", 78, "infer.top is the text '5'"),
    (BASE + "infer:\n  top: 0\n", "6:8", 78, "infer.top is 0; expected a whole number"),
    (BASE + "infer:\n  top: true\n", "6:8", 78, "infer.top is true"),
    (BASE + "infer:\n  picture: 1\n", "6:12", 78, "infer.picture is 1; expected true or false"),
    (BASE + "runtime:\n  memory: lots\n", "6:11", 78, "runtime.memory is the text 'lots'; expected a size"),
    (BASE + "runtime:\n  unit_seconds: .inf\n", "6:17", 78, "runtime.unit_seconds is .inf"),
    (BASE + "job: infer\n", "5:1", 78, "duplicate key 'job'"),
    (BASE + "infer: &a {top: 5}\n", "5:8", 78, "anchor &a"),
    (BASE + "infer: *a\n", "5:8", 78, "alias *a"),
    (BASE + "infer: !x {top: 5}\n", "5:8", 78, "tag !x"),
    (BASE + "<<: {top: 5}\n", "5:1", 78, "merge key"),
    (BASE + "---\njob: infer\n", "5:1", 78, "a second document"),
    (BASE + "infer:\n\ttop: 5\n", "6:1", 78, "not YAML"),
    (BASE + "infer: {top: 5\n", "", 78, "not YAML"),
    (BASE + "infer: " + "{a: " * 40 + "1" + "}" * 40 + "\n", "", 78, "more than 16 levels"),
    ("\xff\xfe", "1:1", 78, "not YAML"),
    ("job: infer\noutput: o.h5\nmodel: {}\ndataset: {source: p.png}\n", "3:1", 78, "model.file is missing"),
    ("job: infer\noutput: o.h5\nmodel:\n  file:\ndataset: {source: p.png}\n", "4:", 78, "model.file is without a value"),
]

SETS = [
    (["infer.top"], 64, "--set infer.top: no '='; expected"),
    (["=5"], 64, "--set =5: an empty key"),
    (["infer.top=0"], 78, "--set infer.top=0: infer.top is 0; expected a whole number"),
    (["infer.tpo=1"], 78, "--set infer.tpo=1: unknown key 'tpo' in infer"),
    (["infer.top=["], 78, "--set infer.top=[: not YAML"),
    (["job=infre"], 78, "--set job=infre: unknown job 'infre'"),
    (["output.x=1"], 78, "--set output.x=1: output has a value"),
    (["infer.outputs=[]"], 78, "infer.outputs is a list of 0"),
    (["infer.top=3", "infer.top=no"], 78, "--set infer.top=no: infer.top is the text 'no'"),
]


def test_wrong_yaml(folder):
    file = os.path.join(folder, "wrong.yaml")
    for text, place, code, words in CASES:
        with open(file, "w", encoding="latin-1") as f:
            f.write(text)
        for word in "check", "run":
            p = call(word, file)
            fails(p, code, words, f"{word} {text[-60:]!r}")
            check(f"deconvoy: {file}:{place}" in p.stderr, f"{word} {text[-60:]!r}: want the place {place}", p)
    check(not os.path.exists(os.path.join(folder, "out.h5.part")), "a wrong configuration leaves no files")
    with open(file, "w") as f:
        f.write(BASE)
    for sets, code, words in SETS:
        args = [word for s in sets for word in ("--set", s)]
        fails(call("check", file, *args), code, words, f"check {args}")
        fails(call("run", file, *args), code, words, f"run {args}")
    fails(call("run", file, "--set", "infer.top=0", ranks=3), 78, "--set infer.top=0: infer.top is 0", "run on 3 ranks")
    fails(call("check", file, "--set", "infer.top=0", ranks=3), 78, "--set infer.top=0: infer.top is 0", "check on 3 ranks")
    fails(call("run", file, "--fresh", "--deadline", "x", ranks=2), 64, "run: --deadline is 'x'", "usage on 2 ranks")


def test_judged(folder):
    """Keys that only the model or the data can judge have their place as well."""
    png(os.path.join(folder, "p.png"))
    file = os.path.join(folder, "judged.yaml")
    with open(file, "w") as f:
        f.write(BASE)
    top = ["--set", "job=max_activation", "--set"]
    for args, words in ((["--set", "model.input_shape=[1, 27, 28]"], "--set model.input_shape=[1, 27, 28]: extent 27"),
                        (["--set", "infer.outputs=[logits, logits]"], "--set infer.outputs=[logits, logits]: output \"logits\" is there twice"),
                        (["--set", "infer.outputs=[logit]"], "nearest is \"logits\""),
                        ([*top, "max_activation.channels=0"], "the first 0 channels are none"),
                        ([*top, "max_activation.channels=[3, 1, 3]"], "channel 3 is there twice"),
                        ([*top, "max_activation.channels=[]"], "max_activation.channels is a list of 0"),
                        ([*top, "max_activation.layers=[]"], "max_activation.layers is a list of 0"),
                        ([*top, "max_activation.layers=[nothing]"], "no layer \"nothing\"")):
        fails(call("check", file, *args), 78, words, f"check {args}")
    for text, words in (('slurm.account="a\\nb"', "slurm.account has blanks"), ('slurm.constraint="a b"', "slurm.constraint has blanks"),
                        ('output="a b.h5"', "output has blanks"), ('slurm.extra=["--x", "--y\\nz"]', "entry 1 has more than one line")):
        fails(call("submit", file, "--dry-run", "--set", text), 78, f"--set {text}: {words}", f"submit {text}")
    check(call("submit", file, "--dry-run", "--set", 'slurm.extra=["--comment=a b"]').returncode == 0, "submit with a blank in extra")
    sized = ["--set", f"model.file={SOURCE}/tests/golden/jobs/sized.onnx", "--set", "dataset.preprocess.channels=rgb", "--set"]
    for key in "model.input_shape=[3, 1, 1]", "dataset.preprocess.crop=1", "dataset.preprocess.resize=[2, 1]":
        fails(call("check", file, *sized, key), 78, f"--set {key}: inputs are too small for the network: ", f"check {key}")
    os.symlink("nowhere", os.path.join(folder, "dead.png"))
    p = call("check", file, "--set", "dataset.source=dead.png")
    fails(p, 66, "dead.png: No such file or directory", "a link that leads nowhere")
    check("nearest" not in p.stderr, "a name is not its own nearest", p)


def test_foreseen(folder):
    """check says beforehand what headers and permissions tell: items that will fail, an output that cannot be made."""
    many = os.path.join(folder, "many")
    os.mkdir(many)
    for k in range(3):
        png(os.path.join(many, f"small{k}.png"), side=20)
    file = os.path.join(folder, "foreseen.yaml")
    with open(file, "w") as f:
        f.write(BASE.replace("p.png", "many"))
    words = "every one of 3 items"
    why = "the first: small0.png: 20 x 20 px; the network takes 28 x 28"
    for call_, verb in ("check", "will fail"), ("run", "failed"):
        fails(call(call_, file), 65, f"{words} {verb}; {why}", f"{call_}: no item fits")
    fails(call("check", file, "--set", "dataset.preprocess.crop=28"), 65, "will fail; the first: small0.png: ", "no item is as large as the crop")
    png(os.path.join(many, "good.png"))
    with open(os.path.join(many, "cut.png"), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n")
    p = call("check", file)
    check(p.returncode == 0 and "items: 4 of 5 looked at will fail; the first: cut.png: " in p.stdout, "some items will fail", p)
    check(call("check", file, "--set", "dataset.source=many/good.png").stdout.count("will fail") == 0, "nothing to foresee")
    fails(call("check", file, "--set", "output=many/good.png/x/out.h5"), 74, "good.png/x: cannot write here: Not a directory", "an output below a file")
    fails(call("check", file, "--set", "output=."), 74, "this is a folder; output must be a file", "a folder as output")
    p = call("check", file, "--set", "output=new/folder/out.h5")
    check(p.returncode == 0 and not os.path.exists(os.path.join(folder, "new")), "check makes no folder", p)


def test_other_source(folder):
    """A .part of another source is another plan, and the message names the key, not an item."""
    for name in "p.png", "q.png":
        png(os.path.join(folder, name))
    file = os.path.join(folder, "source.yaml")
    with open(file, "w") as f:
        f.write(BASE.replace("out.h5", "source.h5"))
    fails(call("run", file, "--deadline", "0"), 75, "run again to go on", "a run stopped before its first unit")
    fails(call("run", file, "--set", "dataset.source=q.png"), 78, "belongs to another plan: dataset.source", "another source")


def test_run(folder):
    png(os.path.join(folder, "p.png"))
    file = os.path.join(folder, "good.yaml")
    with open(file, "w", newline="") as f:
        f.write("\ufeff" + BASE.replace("\n", "\r\n") + "max_activation: {nonsense: 1}\r\n")
    p = call("check", file)
    check(p.returncode == 0 and "job: infer" in p.stdout, "check", p)
    check(f"deconvoy: warning: {file}:5:1: section max_activation is ignored; the job is infer" in p.stderr, "a section ignored", p)
    p = call("check", file, "--set", "occlusion.patch=8")
    check(p.returncode == 0 and "section occlusion is ignored; the job is infer" in p.stderr, "a section of another job of the format", p)
    p = call("run", file, "--set", "runtime.progress=none", env={"OMP_NUM_THREADS": "7"})
    check(p.returncode == 0 and not p.stdout, "run alone", p)
    check(p.stderr.count("is ignored") == 1, "warned once", p)
    check(os.path.exists(os.path.join(folder, "out.h5")), "run alone: a result", p)
    one = open(os.path.join(folder, "out.h5"), "rb").read()
    p = call("run", file, "--fresh", "--set=runtime.progress=none", ranks=2)
    check(p.returncode == 0 and p.stderr.count("is ignored") == 1, "run on 2 ranks", p)
    check(open(os.path.join(folder, "out.h5"), "rb").read() == one, "the same bytes on 2 ranks")
    p = call("run", "good.yaml", "--fresh", "--set", "runtime.progress=none", "--set", "runtime.cpu=avx2", cwd=folder)
    check(p.returncode == 0 and p.stderr.count("is ignored") == 1, "run with avx2: warned once", p)


test_usage()
test_words()
test_one_rank_prints()
with tempfile.TemporaryDirectory() as where:
    test_wrong_yaml(where)
    test_judged(where)
    test_foreseen(where)
    test_other_source(where)
    test_run(where)
print(f"{len(failures)} failed")
sys.exit(1 if failures else 0)
