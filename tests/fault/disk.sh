# A small disk: no room for the result, and room for the result but not for what stands beside it.  Needs root.
. "$(dirname "$0")/../runtime/lib.sh"

mkdir "$dir/small"
mount -t tmpfs -o size=1m deconvoy-test "$dir/small" 2> /dev/null || exit 77
trap 'umount "$dir/small"; rm -rf "$dir"' EXIT

job="items=100000 per_unit=50"
want 0 "$toy" "$dir/reference.h5" $job
for n in 1 3; do
    want 74 ranks $n "$toy" "$dir/small/x.h5" $job
    said "needs .* MiB, free"
    once
    [ -z "$(ls "$dir/small")" ] || bad "left behind: $(ls "$dir/small")"
done

# The result takes 1.9 MB; journal and block states find no room, now or later.
mount -o remount,size=1990k "$dir/small"
for n in 1 3; do
    ranks $n "$toy" "$dir/small/x.h5" $job 2> "$dir/err"
    code=$?
    [ $code = 74 ] || [ $code = 0 ] || bad "exit $code on a full disk: $(cat "$dir/err")"
    [ $code = 74 ] && [ -e "$dir/small/x.h5" ] && bad "a result although the disk was full"
done
mount -o remount,size=16m "$dir/small"
want 0 ranks 2 "$toy" "$dir/small/x.h5" $job
same "$dir/reference.h5" "$dir/small/x.h5"
alone "$dir/small/x.h5"
exit $failed
