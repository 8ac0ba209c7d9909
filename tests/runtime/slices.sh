# Slices, computed apart and joined, have the bytes of a run without slice.
. "$(dirname "$0")/lib.sh"

for job in "items=100 per_unit=3 fail_every=7" "items=5 per_unit=1" "items=9000 per_unit=4" "items=143 per_unit=2 chain=10 phases=1"; do
    rm -f "$dir"/*
    want 0 "$toy" "$dir/whole.h5" $job
    for i in 0 1 2; do
        want 0 ranks $((i + 1)) "$toy" "$dir/m.h5.$i" $job slice=$i slices=3
    done
    want 0 "$toy" "$dir/m.h5" $job merge=3
    same "$dir/whole.h5" "$dir/m.h5"
    rm -f "$dir"/m.h5.?
    rm -f "$dir"/m.h5.*.run.json
    alone "$dir/m.h5"
done
job="items=100 per_unit=3"
for i in 0 1 2; do
    want 0 "$toy" "$dir/n.h5.$i" $job slice=$i slices=3
done
want 65 "$toy" "$dir/n.h5" $job merge=2
said "all parts"
want 65 "$toy" "$dir/n.h5" items=101 per_unit=3 merge=3
said "another plan"
cp "$dir/n.h5.1" "$dir/n.h5.2"
want 65 "$toy" "$dir/n.h5" $job merge=3
said "twice"
cp "$dir/m.h5" "$dir/n.h5.2"
want 65 "$toy" "$dir/n.h5" $job merge=3
said "not a part"
[ -e "$dir/n.h5" ] && bad "a result of wrong parts"
exit $failed
