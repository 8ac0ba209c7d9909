# A unit that kills its process is reported as failed after three times, with the same bytes wherever it happened.
. "$(dirname "$0")/../runtime/lib.sh"

for signal in 11 6 8; do
    job="items=60 per_unit=2 sleep_us=500 fault_at=11 signal=$signal"
    for n in 1 3; do
        out=$dir/p$signal.$n.h5
        for time in 1 2 3; do
            ranks $n "$toy" "$out" $job > /dev/null 2>&1 && bad "signal $signal ended well"
            [ -e "$out" ] && bad "a result after signal $signal"
        done
        want 0 ranks $n "$toy" "$out" $job
        alone "$out"
    done
    same "$dir/p$signal.1.h5" "$dir/p$signal.3.h5"
done
# Kills from outside never count.
for time in 1 2 3 4; do
    "$toy" "$dir/k.h5" items=60 per_unit=2 fault_at=0 signal=9 2> /dev/null && bad "SIGKILL ended well"
done
[ -s "$dir/k.h5.journal.faults" ] && bad "SIGKILL was counted"
python3 - "$dir/p11.1.h5" <<'P' || bad "what is in it"
import sys
try:
    import h5py
except ImportError:
    sys.exit(0)
f = h5py.File(sys.argv[1])
assert f["failures/count"][()] == 2 and list(f["failures/item"][:3]) == [22, 23, -1], list(f["failures/item"])
assert b"3 times (SEGV)" in f["failures/message"][0], f["failures/message"][0]
assert list(f["toy/square"][21:25]) == [441, -1, -1, 576]
P
exit $failed
