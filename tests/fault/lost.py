"""How much work does a kill cost?

lost.py MPIEXEC RANKS TIMES SEED FOLDER TOY [KEY=VALUE]...

Kills all processes of a run TIMES times, each after 6 to 14 s, and lets it go on for a while at the end.  The toy notes
every unit that it has finished; one that a later start computed again was lost.  Says the most that a rank lost in a
kill, in seconds and units; what was under way, one unit at most for each thread, is not in it.
"""
import collections
import glob
import os
import random
import signal
import subprocess
import sys
import time


def children(pid):
    found = []
    for p in glob.glob("/proc/[0-9]*/stat"):
        try:
            if int(open(p).read().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(p.split("/")[2]))
        except OSError:
            pass
    return found


mpiexec, ranks, times, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
command = [sys.argv[6], os.path.join(folder, "lost.h5")] + sys.argv[7:]
random.seed(seed)
starts, trace = [], os.path.join(folder, "trace")
for k in range(times + 1):
    at = time.monotonic()
    run = subprocess.Popen([mpiexec, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] + command,
                           start_new_session=True, env=dict(os.environ, TOY_TRACE=trace), stderr=subprocess.DEVNULL)
    starts.append(at)
    try:
        run.wait(random.uniform(6, 14) if k < times else 25)
    except subprocess.TimeoutExpired:
        pass
    for pid in [run.pid] + children(run.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    run.wait()
    time.sleep(0.5)

units = [line.split() for line in open(trace)]
last = {}
for pid, phase, unit, began, took in units:
    last[phase, unit] = max(last.get((phase, unit), 0.0), float(began))
lost = collections.defaultdict(lambda: [0.0, 0])
for pid, phase, unit, began, took in units:
    start = max(k for k, at in enumerate(starts) if at <= float(began))
    if start < times:
        mine = lost[start, pid]
        if last[phase, unit] >= starts[start + 1]:
            mine[0] += float(took)
            mine[1] += 1
seconds = sorted(s for s, n in lost.values())
print(f"{times} kills at {ranks} ranks, {len(units)} units finished, {len(lost)} losses of a rank: at most "
      f"{seconds[-1]:.2f} s and {max(n for s, n in lost.values())} units, median {seconds[len(seconds) // 2]:.2f} s")
