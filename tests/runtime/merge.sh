# merge.sh DECONVOY MPIEXEC: slices of real jobs, joined by `deconvoy merge`.
. "$(dirname "$0")/lib.sh"
[ -r /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz ] || exit 77
configs=$(cd "$(dirname "$0")/../../configs" && pwd)

for job in max_activation infer; do
    config=$configs/fashion_mnist_$job.yaml
    want 0 "$toy" run "$config" --set dataset.limit=2000 --set "output=$dir/whole.h5" --fresh
    for i in 0 1 2; do
        want 0 ranks 2 "$toy" run "$config" --set dataset.limit=2000 --set "output=$dir/$i.h5" --set "dataset.slice=[$i,3]" --fresh
    done
    rm -f "$dir/m.h5"
    want 0 "$toy" merge "$dir/2.h5" "$dir/0.h5" "$dir/1.h5" -o "$dir/m.h5"
    same "$dir/whole.h5" "$dir/m.h5"
    alone "$dir/m.h5"
    want 65 "$toy" merge "$dir/2.h5" "$dir/0.h5" -o "$dir/n.h5"
    want 65 "$toy" merge "$dir/2.h5" "$dir/0.h5" "$dir/0.h5" -o "$dir/n.h5"
    want 65 "$toy" merge "$dir/whole.h5" -o "$dir/n.h5"
done
want 64 "$toy" merge "$dir/0.h5"
exit $failed
