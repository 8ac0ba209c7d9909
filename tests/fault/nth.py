"""Fail the n-th call that changes a file of the output, go on without failures, compare the bytes.

nth.py LIBRARY STRIDE REFERENCE OUTPUT -- COMMAND...

Five ways: SIGKILL before the call, SIGKILL after it, half of a write, ENOSPC, EIO.  Each n from 1 in steps of STRIDE
(one more each way, so that the ways meet different calls).  (74 for a
kill: the process that makes the skeleton is not the run itself.)  A killed run, one that says 74, and one that got over it
must all end in the same bytes, with no stray file.
"""
import glob
import os
import subprocess
import sys

LIMIT_S = 60
WAYS = {"before": {-9, 74}, "after": {-9, 74, 0}, "short": {0}, "28": {74, 0}, "5": {74, 0}}


def main():
    library, stride, reference, output = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    command = sys.argv[6:]
    want = open(reference, "rb").read()
    counter = output + "-calls"
    env = dict(os.environ, LD_PRELOAD=library, FAIL_PATH=os.path.basename(output), FAIL_NTH="0", FAIL_COUNT=counter)
    tried = bad = 0
    codes = {}

    def clear():
        for f in glob.glob(glob.escape(output[:-3]) + "*"):
            os.unlink(f)

    def run(env):
        try:
            return subprocess.run(command, env=env, timeout=LIMIT_S, capture_output=True)
        except subprocess.TimeoutExpired:
            return None

    clear()
    run(env)
    calls = int(open(counter).read())
    clear()
    for k, (way, allowed) in enumerate(WAYS.items()):
        for n in range(1 + k % stride, calls + 1, stride):
            first = run(dict(env, FAIL_NTH=str(n), FAIL_MODE=way, FAIL_COUNT="/dev/null"))
            again = run(os.environ)
            tried += 1
            code = first.returncode if first else "hung"
            codes[way, code] = codes.get((way, code), 0) + 1
            wrong = []
            if code not in allowed:
                wrong.append(f"exit {code}: {first.stderr[-200:] if first else ''}")
            if not again or again.returncode:
                wrong.append(f"going on: {again.returncode if again else 'hung'} {again.stderr[-300:] if again else ''}")
            elif open(output, "rb").read() != want:
                wrong.append("bytes differ")
            stray = [f for f in glob.glob(glob.escape(output) + "?*")]
            if stray:
                wrong.append(f"stray {stray}")
            if wrong:
                bad += 1
                print(f"call {n} of {calls}, {way}: {'; '.join(wrong)}", flush=True)
            if tried % 100 == 0:
                print(f"{tried} faults, {bad} bad", flush=True)
            clear()
    print(f"{tried} faults in {calls} calls, {bad} bad; exit codes {codes}")
    return 1 if bad else 0


sys.exit(main())
