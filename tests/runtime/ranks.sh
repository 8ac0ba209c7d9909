# The same bytes at every number of ranks and threads, with failed items and without.
. "$(dirname "$0")/lib.sh"

for job in "items=100 per_unit=3 fail_every=7" "items=5000 per_unit=2 sleep_us=100" "items=1 per_unit=1" "items=143 per_unit=2 chain=10 fail_every=17" "items=40 per_unit=1 sleep_us=2000 threads=3 memory=20000"; do
    want 0 "$toy" "$dir/one.h5" $job fresh=1
    alone "$dir/one.h5"
    for n in 1 2 3 5; do
        for threads in 1 2; do
            rm -f "$dir/many.h5"
            want 0 ranks $n "$toy" "$dir/many.h5" $job threads=$threads
            same "$dir/one.h5" "$dir/many.h5"
            alone "$dir/many.h5"
        done
    done
done

python3 - "$dir/one.h5" "$dir/one.run.json" <<'P' || bad "what is in it"
import sys, json
try:
    import h5py
except ImportError:
    sys.exit(0)
f = h5py.File(sys.argv[1])
n = len(f["toy/square"])
assert list(f["toy/square"]) == [i * i for i in range(n)]
assert f["toy/sum"][()] == sum(i * i for i in range(n))
assert list(f["toy/shifted"]) == [i * i + f["toy/sum"][()] % 1000 for i in range(n)]
assert f["failures/count"][()] == 0 and list(f["failures/item"]) == [-1] * n
run = json.load(open(sys.argv[2]))
assert run["units"] == 2 * n and run["ranks"] == 1 and len(run["hosts"]) == 1, run
P
exit $failed
