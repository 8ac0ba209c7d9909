# nth.sh TOY MPIEXEC LIBRARY STRIDE: every call that changes a file fails once, in five ways.
. "$(dirname "$0")/../runtime/lib.sh"

job="items=30 per_unit=3 fail_every=7"
want 0 "$toy" "$dir/reference.h5" $job
python3 "$(dirname "$0")/nth.py" "$3" "$4" "$dir/reference.h5" "$dir/n.h5" -- "$toy" "$dir/n.h5" $job || bad "nth"

# The sync of a block's state fails while the next units are computed: the rank must still come to an end.
blocks="items=9216 per_unit=3"
want 0 "$toy" "$dir/whole.h5" $blocks
want 74 env LD_PRELOAD="$3" FAIL_PATH=k.h5.block.0.0. FAIL_NTH=3 FAIL_MODE=5 \
    timeout -k 1 30 "$toy" "$dir/k.h5" $blocks slow_us=4200000 sleep_us=20000
want 0 "$toy" "$dir/k.h5" $blocks
same "$dir/whole.h5" "$dir/k.h5"
exit $failed
