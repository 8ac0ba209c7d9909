# What a start finds of an earlier one: bytes that are no longer those that were written, failures that were passing.
. "$(dirname "$0")/../runtime/lib.sh"

# Write 8 other bytes over the square of a number.
spoil() {
    python3 - "$1" "$2" <<'P' || bad "no square of $2"
import struct, sys
n = int(sys.argv[2])
with open(sys.argv[1], "r+b") as f:
    at = f.read().find(struct.pack("<3q", *((n + i) ** 2 for i in (1, 2, 3)))) - 8
    assert at > 0
    f.seek(at)
    f.write(b"\xa5" * 8)
P
}

# Stop a run of 1,500 blocks when some 300 or more are folded, in one file, and have none of their own any more.
job="items=6000 per_unit=2"
want 0 "$toy" "$dir/reference.h5" $job
begin() {
    want 75 "$toy" "$dir/r.h5" $job sleep_us=600 deadline=4 "$@"
    [ -e "$dir/r.h5.block.0.sum.b" ] || bad "nothing was folded yet"
    ls "$dir"/r.h5.block.0.10.* > /dev/null 2>&1 && bad "a folded block has files"
}
for n in 1 3; do
    begin
    spoil "$dir/r.h5.part" 21 # of the first phase, in a block that is folded
    want 0 ranks $n "$toy" "$dir/r.h5" $job
    said "computed again"
    same "$dir/reference.h5" "$dir/r.h5"
    alone "$dir/r.h5"
    rm "$dir/r.h5"
done

# An item failed in a block that is not folded, and what stood in its place is spoilt: it is computed again, does not
# fail, and is no failure any more.
few="items=400 per_unit=2"
want 0 "$toy" "$dir/few.h5" $few
want 75 "$toy" "$dir/f.h5" $few bad_at=20 sleep_us=10000 deadline=3
ls "$dir"/f.h5.block.0.10.* > /dev/null 2>&1 || bad "block 10 is folded already"
spoil "$dir/f.h5.part" 20
want 0 "$toy" "$dir/f.h5" $few
said "computed again"
same "$dir/few.h5" "$dir/f.h5"

# One that nothing is wrong with goes on being a failure.
want 75 "$toy" "$dir/g.h5" $few bad_at=20 sleep_us=10000 deadline=3
want 0 "$toy" "$dir/g.h5" $few
grep -q "1 of 400 items failed" "$dir/err" || bad "a failure was forgotten: $(cat "$dir/err")"
exit $failed
