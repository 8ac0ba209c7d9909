# slab.sh PROGRAM_F32 PROGRAM_F64 MPIEXEC: the same bytes at every number of ranks, threads and nodes.
dir=$(mktemp -d "${TMPDIR:-/tmp}/deconvoy.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
for program in "$1" "$2"; do
    "$program" 1 > "$dir/want" || exit 1
    [ "$(wc -l < "$dir/want")" = 6 ] || exit 1
    for run in "1 2 1" "1 4 1" "2 1 1" "2 2 2" "3 1 3" "3 2 1" "5 1 1" "5 1 2" "7 1 1" "7 2 3" "7 1 7"; do
        # shellcheck disable=SC2086
        set -- "$1" "$2" "$3" $run
        DECONVOY_NODES=$6 timeout 100 "$3" -q --oversubscribe --bind-to none -n "$4" "$program" "$5" > "$dir/have" || exit 1
        cmp "$dir/want" "$dir/have" || { echo "$4 ranks on $6 nodes, $5 threads differ" >&2; exit 1; }
    done
done
