# submit.sh DECONVOY MPIEXEC: the script for sbatch, run with bash where there is no Slurm.
. "$(dirname "$0")/lib.sh"
data=/usr/share/datasets/fashion-mnist
[ -r $data/train-images-idx3-ubyte.gz ] || exit 77
config=$(cd "$(dirname "$0")/../../configs" && pwd)/fashion_mnist_max_activation.yaml
out=$dir/s.h5

script() { "$toy" submit "$config" --dry-run --set slurm.ranks_per_node=2 --set "output=$out" --set dataset.limit=20000 \
    --set dataset.source=$data/train-images-idx3-ubyte.gz --set dataset.labels=none "$@" > "$dir/job.sh"; }

script || bad "no script"
grep -q '^#SBATCH --requeue --no-kill --signal=B:USR1@120$' "$dir/job.sh" || bad "no #SBATCH lines"
bash -n "$dir/job.sh" || bad "not a script"
want 0 bash "$dir/job.sh"
mv "$out" "$dir/reference.h5"

# Asked to end: 75, and the next start goes on.
bash "$dir/job.sh" 2> "$dir/err" &
pid=$!
sleep 2.5
kill -USR1 $pid
wait $pid
code=$?
[ $code = 75 ] || [ $code = 0 ] || bad "exit $code after USR1: $(cat "$dir/err")"
want 0 bash "$dir/job.sh"
same "$dir/reference.h5" "$out"
rm "$out"

# A rank dies: the script itself starts again.
bash "$dir/job.sh" 2> "$dir/err" &
pid=$!
sleep 2.5
for p in /proc/[0-9]*; do
    if tr '\0' ' ' < "$p/cmdline" 2> /dev/null | grep -q "^$toy run .*output=$out"; then
        kill -9 "${p#/proc/}"
        break
    fi
done
wait $pid || bad "the script did not get over a lost rank: $(tail -c 300 "$dir/err")"
same "$dir/reference.h5" "$out"

# What trying again cannot mend is passed on.
script --set max_activation.top=8
want 78 bash "$dir/job.sh"
"$toy" submit "$config" --dry-run --set slurm.array=3 --set "output=$out" | grep -q 'dataset.slice=\[$SLURM_ARRAY_TASK_ID, 3\]' || bad "no slices"
exit $failed
