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

# More failures than a part lists: all are counted.
job="items=90000 per_unit=500 fail_every=2"
want 0 "$toy" "$dir/many.h5" $job
for i in 0 1 2; do
    want 0 "$toy" "$dir/f.h5.$i" $job slice=$i slices=3
done
want 0 "$toy" "$dir/f.h5" $job merge=3
same "$dir/many.h5" "$dir/f.h5"

# Stopped on the way: it goes on.  A .part of another plan stays as it is, one of the same plan gives way.
job="items=300 per_unit=3"
want 0 "$toy" "$dir/w.h5" $job
for i in 0 1 2; do
    want 0 "$toy" "$dir/p.h5.$i" $job slice=$i slices=3
done
"$toy" "$dir/p.h5" $job merge=3 sleep_us=20000 2> /dev/null &
pid=$!
for i in $(seq 600); do # until some units are joined for good
    [ "$(cat "$dir"/p.h5.journal.* 2> /dev/null | wc -c)" -gt 640 ] && break
    sleep 0.1
done
kill -9 $pid 2> /dev/null
wait $pid
[ -e "$dir/p.h5.part" ] || bad "the join was not stopped"
want 65 "$toy" "$dir/p.h5" items=301 per_unit=3 merge=3
want 0 "$toy" "$dir/p.h5" $job merge=3
grep -q '"resumed_units": 100,' "$dir/p.run.json" && bad "the join began anew"
same "$dir/w.h5" "$dir/p.h5"
want 75 "$toy" "$dir/q.h5" items=301 per_unit=3 sleep_us=20000 deadline=2
cp "$dir/q.h5.part" "$dir/copy"
for i in 0 1 2; do
    mv "$dir/p.h5.$i" "$dir/q.h5.$i"
done
want 78 "$toy" "$dir/q.h5" $job merge=3
said "q.h5.part is there and belongs to another plan: toy.items"
same "$dir/copy" "$dir/q.h5.part"
want 0 "$toy" "$dir/q.h5" items=301 per_unit=3
want 75 "$toy" "$dir/q.h5" $job sleep_us=20000 deadline=2 fresh=1
rm "$dir/q.h5"
want 0 "$toy" "$dir/q.h5" $job merge=3
same "$dir/w.h5" "$dir/q.h5"
exit $failed
