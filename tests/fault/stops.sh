# Ends that were asked for: signals, deadlines, other plans at resume.
. "$(dirname "$0")/../runtime/lib.sh"

job="items=120 per_unit=1 fail_every=9 sleep_us=15000"
want 0 "$toy" "$dir/reference.h5" $job

# A signal to a run of one process: 75, run.json, and the same bytes after going on.
for signal in USR1 TERM INT; do
    "$toy" "$dir/s.h5" $job 2> "$dir/err" &
    pid=$!
    sleep 1
    kill -$signal $pid
    wait $pid
    [ $? = 75 ] || bad "$signal did not give 75: $(cat "$dir/err")"
    said "run again to go on"
    [ -s "$dir/s.run.json" ] || bad "no run.json after $signal"
    [ -e "$dir/s.h5" ] && bad "a result after $signal"
done
want 78 "$toy" "$dir/s.h5" items=121 per_unit=1 fail_every=9
said "toy.items"
want 0 ranks 3 "$toy" "$dir/s.h5" $job
same "$dir/reference.h5" "$dir/s.h5"
alone "$dir/s.h5"
grep -q '"resumed_units": 0,' "$dir/s.run.json" && bad "nothing was resumed"

# While the data set is read, and between the last unit and the sealed file.
for n in 1 3; do
    if [ $n = 1 ]; then "$toy" "$dir/o.h5" $job open_us=9000000 2> "$dir/err" &
    else "$mpiexec" -q --oversubscribe --bind-to none -n 3 "$toy" "$dir/o.h5" $job open_us=9000000 2> "$dir/err" & fi
    pid=$!
    sleep 1.5
    kill -USR1 $pid
    wait $pid
    [ $? = 75 ] || bad "no 75 from a run that reads its data set"
    said "while reading the numbers"
    once
    [ -s "$dir/o.run.json" ] || bad "no run.json from a run that reads its data set"
    rm -f "$dir"/o.*
done
small="items=30 per_unit=3 phases=1"
want 0 "$toy" "$dir/small.h5" $small
for n in 1 3; do
    want 75 ranks $n "$toy" "$dir/end.h5" $small stop_at_end=1
    said "while computing check sums"
    once
    [ -s "$dir/end.run.json" ] || bad "no run.json from a run that was nearly there"
    want 0 ranks $n "$toy" "$dir/end.h5" $small
    same "$dir/small.h5" "$dir/end.h5"
    alone "$dir/end.h5"
    rm "$dir/end.h5"
done

# A signal when only the first block is under way: all are done then, and all must be in the result.
few="items=9 per_unit=3 phases=1 threads=2"
want 0 "$toy" "$dir/few.h5" $few
"$toy" "$dir/late.h5" $few slow_us=2000000 2> "$dir/err" &
pid=$!
sleep 1.2
kill -USR1 $pid
wait $pid
case $? in 0 | 75) ;; *) bad "a stop in the last unit: $(cat "$dir/err")" ;; esac
want 0 "$toy" "$dir/late.h5" $few
same "$dir/few.h5" "$dir/late.h5"

# USR1 to mpirun.
"$mpiexec" -q --oversubscribe --bind-to none -n 3 "$toy" "$dir/u.h5" $job 2> "$dir/err" &
pid=$!
sleep 1.5
kill -USR1 $pid
wait $pid
[ $? = 75 ] || bad "USR1 to mpirun did not give 75: $(cat "$dir/err")"
once
want 0 "$toy" "$dir/u.h5" $job
same "$dir/reference.h5" "$dir/u.h5"

# A deadline, and --fresh over what is left of it.
want 75 "$toy" "$dir/d.h5" $job deadline=2
want 0 "$toy" "$dir/d.h5" items=20 per_unit=1 fresh=1
want 78 "$toy" "$dir/d.h5" $job
want 75 "$toy" "$dir/d.h5" $job fresh=1 deadline=2
want 0 "$toy" "$dir/d.h5" items=20 per_unit=1 # the old result is still there, and complete
want 0 ranks 2 "$toy" "$dir/d.h5" $job
same "$dir/reference.h5" "$dir/d.h5"
alone "$dir/d.h5"

# --fresh of the plan that is finished already, stopped: it is gone on with, and complete only when it is.
want 75 "$toy" "$dir/d.h5" $job fresh=1 deadline=2
want 75 "$toy" "$dir/d.h5" $job deadline=1
grep -q '"resumed_units": 0,' "$dir/d.run.json" && bad "what --fresh had done was lost"
want 0 "$toy" "$dir/d.h5" $job
grep -q "complete already" "$dir/err" && bad "the old result was taken for the new one"
same "$dir/reference.h5" "$dir/d.h5"
alone "$dir/d.h5"
want 0 "$toy" "$dir/d.h5" $job
said "complete already"

# Data that cannot be read, and can be the next time: what is done is kept.
for n in 1 3; do
    want 65 ranks $n "$toy" "$dir/x$n.h5" $job data_error_at=90
    said "unit 90: bad data; what is done is kept: run again"
    once
    want 0 ranks $n "$toy" "$dir/x$n.h5" $job
    grep -q '"resumed_units": 0,' "$dir/x$n.run.json" && bad "what was done before bad data was lost"
    same "$dir/reference.h5" "$dir/x$n.h5"
done

# A second run on the same output: 75, at once or after runtime.wait, and nothing is touched.
"$toy" "$dir/l.h5" $job &
pid=$!
sleep 0.7
want 75 "$toy" "$dir/l.h5" $job fresh=1
said "is being written by process $pid"
want 75 ranks 2 "$toy" "$dir/l.h5" $job
once
want 0 "$toy" "$dir/l.h5" $job wait=60
said "complete already"
wait $pid || bad "the first run was disturbed"
same "$dir/reference.h5" "$dir/l.h5"
alone "$dir/l.h5"
exit $failed
