# What a run says no to, and with which exit code; every message once.
. "$(dirname "$0")/lib.sh"

for n in 1 3; do
    out=$dir/r$n.h5
    want 0 ranks $n "$toy" "$out" items=20
    cp "$out" "$dir/copy"
    want 0 ranks $n "$toy" "$out" items=20
    said "complete already"
    want 78 ranks $n "$toy" "$out" items=21
    said "toy.items"
    once
    want 78 ranks $n "$toy" "$out" items=20 unit_seconds=2
    said "unit_seconds"
    same "$out" "$dir/copy"
    alone "$out"
    want 0 ranks $n "$toy" "$out" items=20 fresh=1
    same "$out" "$dir/copy"
    want 65 ranks $n "$toy" "$dir/e$n.h5" items=20 data_error_at=3
    said "unit 3: bad data"
    once
    want 65 ranks $n "$toy" "$dir/a$n.h5" items=20 fail_every=1
    said "every one of 20 items failed"
    want 78 ranks $n "$toy" "$dir/m$n.h5" items=20 memory=100
    want 74 ranks $n "$toy" /proc/nowhere/x.h5 items=20
    once
    [ -e "$dir/e$n.h5" ] && bad "a failed run left a result"
done
want 65 ranks 3 "$toy" "$dir/d.h5" ranks_differ=1
said "on rank 0"
once
want 66 ranks 3 "$toy" "$dir/d.h5" ranks_differ=2
said "rank 1 has no model"
once
want 0 "$toy" "$dir/new/folder/x.h5" items=20
[ -s "$dir/new/folder/x.h5" ] || bad "no folder was made"
want 0 "$toy" "$dir/check.h5" check=1
grep -q "units" "$dir/out" || bad "check says nothing: $(cat "$dir/out")"
[ -e "$dir/check.h5" ] && bad "check made a file"
exit $failed
