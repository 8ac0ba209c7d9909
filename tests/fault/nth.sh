# nth.sh TOY MPIEXEC LIBRARY STRIDE: every call that changes a file fails once, in five ways.
. "$(dirname "$0")/../runtime/lib.sh"

job="items=30 per_unit=3 fail_every=7"
want 0 "$toy" "$dir/reference.h5" $job
python3 "$(dirname "$0")/nth.py" "$3" "$4" "$dir/reference.h5" "$dir/n.h5" -- "$toy" "$dir/n.h5" $job || bad "nth"
exit $failed
