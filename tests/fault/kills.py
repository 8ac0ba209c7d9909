"""Kill a run at random moments, go on with another number of ranks, compare the bytes.

kills.py MPIEXEC TIMES SEED REFERENCE OUTPUT -- COMMAND...

COMMAND (in which THREADS becomes 1, 2 or 4) writes OUTPUT; REFERENCE are its bytes when nobody kills it.  TIMES kills are spread over as many runs as it
takes; whenever a run ends well the output is compared, removed, and begun again.  Says how many of what; exits 1 if a
byte differed, a run hung or failed otherwise, or a stray file stayed.
"""
import glob
import os
import random
import signal
import subprocess
import sys
import time

LIMIT_S = 60
KINDS = ["rank", "rank 0", "mpirun", "group", "usr1", "term"]


def children(pid, zombies=True):
    found = []
    for p in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = open(p).read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and (zombies or fields[0] != "Z"):
            found.append(int(p.split("/")[2]))
    return sorted(found)


def kill(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def strike(kind, run):
    ranks = children(run.pid)
    if kind == "group":
        os.killpg(run.pid, signal.SIGKILL)
    elif kind == "mpirun":
        kill(run.pid, signal.SIGKILL)
    elif kind == "usr1":
        kill(run.pid, signal.SIGUSR1)
    elif kind == "term":
        kill(run.pid, signal.SIGTERM)
    elif ranks:
        kill(ranks[0] if kind == "rank 0" else random.choice(ranks), signal.SIGKILL)


def sweep(run):
    """After mpirun itself was killed its ranks live on for a moment; nobody else uses this group."""
    try:
        os.killpg(run.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main():
    mpiexec, times, seed, reference, output = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    command = sys.argv[7:]
    random.seed(seed)
    want = open(reference, "rb").read()
    count = dict.fromkeys(KINDS, 0)
    finished = differing = hung = wrong = stray = starts = waited = deaf = stuck = 0
    whole_s = float(os.environ.get("KILL_WITHIN_S", "3"))
    done = False
    while sum(count.values()) < times or not done:
        n = random.choice([1, 2, 3, 5])
        starts += 1
        now = [c.replace("THREADS", str(random.choice([1, 2, 4]))) if "THREADS" in c else c for c in command]
        run = subprocess.Popen([mpiexec, "-q", "--oversubscribe", "--bind-to", "none", "-n", str(n)] + now,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        kind, swept = None, False
        if sum(count.values()) < times:
            try:
                run.wait(random.uniform(0.05, whole_s))
            except subprocess.TimeoutExpired:
                kind = random.choice(KINDS)
                count[kind] += 1
                strike(kind, run)
                if sum(count.values()) % 50 == 0:
                    print(f"{sum(count.values())} kills, {starts} starts, {finished} finished, {differing} differing, "
                          f"{hung} hung, {wrong} wrong exits, {stuck} mpirun without ranks", flush=True)
        try:
            err = run.communicate(timeout=LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            if run.poll() is None and not children(run.pid, zombies=False):
                swept = True
                stuck += 1  # Open MPI 4.1.4, sometimes, where a rank of any program dies while it is being launched
            else:
                hung += 1
                print(f"hung: {kind} at {n} ranks", flush=True)
                subprocess.run(["ps", "-o", "pid,ppid,stat,wchan:30,etime,args", "-g", str(run.pid)])
            sweep(run)
            err = run.communicate()[1]
        sweep(run)
        time.sleep(0.05)
        done = run.returncode == 0
        if done:
            finished += 1
            if open(output, "rb").read() != want:
                differing += 1
                print("bytes differ after", count)
            for f in glob.glob(glob.escape(output) + "?*"):
                stray += 1
                print("stray file", f)
            os.unlink(output)
        elif swept:
            pass  # by us
        elif run.returncode == 75 and b"is being written by" in err:
            waited += 1  # ranks outlive a killed mpirun for a moment, and hold the output
        elif kind == "usr1" and (run.returncode == -signal.SIGUSR1 or
                                 run.returncode == 128 + signal.SIGUSR1 and not os.path.exists(output)):
            deaf += 1  # mpirun itself, or a rank that is only just being loaded, does not listen
        elif kind is None or kind == "usr1" and run.returncode != 75:
            wrong += 1
            print(f"exit {run.returncode} after {kind} at {n} ranks: {err[-400:]}")
            if wrong > 3:
                break
    print(f"{sum(count.values())} kills {count}, {starts} starts, {finished} finished, {differing} differing, "
          f"{hung} hung, {wrong} wrong exits, {stray} stray files, {waited} starts met a dying run, {deaf} USR1 before anybody listened, {stuck} mpirun that went on "
          "without ranks")
    return 1 if differing or hung or wrong or stray else 0


sys.exit(main())
