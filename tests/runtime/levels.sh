# levels.sh DECONVOY MPIEXEC: machines with different instruction sets: in one run, and from one start to the next.
. "$(dirname "$0")/lib.sh"
[ -r /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ] || exit 77
grep -q avx512vl /proc/cpuinfo || exit 77 # nothing to level
config=$(cd "$(dirname "$0")/../../configs" && pwd)/fashion_mnist_reconstruct.yaml
less="env ONEDNN_MAX_CPU_ISA=AVX2" # a machine without AVX-512

run() {
    out=$1
    shift
    echo run "$config" --set dataset.limit=20 --set runtime.unit_seconds=0.002 --set "output=$dir/$out" "$@"
}
mixed() { timeout 100 "$mpiexec" -q --oversubscribe --bind-to none -n 1 "$@" : -n 1 $less "$@"; }

for backend in onednn blas; do
    export DECONVOY_BACKEND=$backend
    rm -f "$dir"/*.h5
    want 0 "$toy" $(run least.h5 --set runtime.cpu=avx2)
    want 0 "$toy" $(run most.h5)
    cmp -s "$dir/least.h5" "$dir/most.h5" && bad "instruction sets make no difference: nothing is tested"
    # The ranks of one run use the least of theirs.
    want 0 mixed "$toy" $(run mixed.h5)
    same "$dir/least.h5" "$dir/mixed.h5"
    # Begun with less, gone on with on a machine that has more; and not the other way round.
    want 75 $less "$toy" $(run less.h5 --deadline 0)
    want 0 "$toy" $(run less.h5)
    same "$dir/least.h5" "$dir/less.h5"
    want 75 "$toy" $(run more.h5 --deadline 0)
    want 75 $less "$toy" $(run more.h5)
    said "slurm.constraint"
    want 75 mixed "$toy" $(run more.h5)
    said "slurm.constraint"
    once
    want 0 "$toy" $(run more.h5)
    same "$dir/most.h5" "$dir/more.h5"
done
exit $failed
