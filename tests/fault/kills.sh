# kills.sh TOY MPIEXEC TIMES [SEED]: random kills of ranks, mpirun and the group; restarts with other numbers of ranks.
. "$(dirname "$0")/../runtime/lib.sh"

job="items=400 per_unit=2 fail_every=9 sleep_us=4000"
want 0 "$toy" "$dir/reference.h5" $job
# Chains: what was computed and not kept is computed again, and no more.
chains="items=300 per_unit=1 chain=150 sleep_us=20000"
want 0 "$toy" "$dir/chains.h5" $chains sleep_us=0
python3 "$(dirname "$0")/kills.py" "$mpiexec" $(($3 / 4 + 1)) 2 "$dir/chains.h5" "$dir/c.h5" -- "$toy" "$dir/c.h5" $chains || bad "kills of chains"
python3 "$(dirname "$0")/kills.py" "$mpiexec" "$3" "${4:-1}" "$dir/reference.h5" "$dir/k.h5" -- "$toy" "$dir/k.h5" $job || bad "kills"
exit $failed
