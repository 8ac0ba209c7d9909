# The body of what `deconvoy submit` gives to sbatch.  Above it stand the #SBATCH lines and:
#   deconvoy  the program            config   the YAML            output   the result
#   sets      array of --set ...     ranks    per node            threads  per rank
#   launcher  mpirun or srun         interface  network or ""     requeue  how often at most
#
# USR1 (time is nearly up, from Slurm) and TERM (scancel, preemption) both ask the run for an end; only after USR1 is
# the job put back into the queue, else a cancelled job would come back.

asked=
pid=
on_usr1() { asked=${asked:-usr1}; [ -n "$pid" ] && kill -USR1 "$pid" 2> /dev/null; }
on_term() { asked=term; [ -n "$pid" ] && kill -USR1 "$pid" 2> /dev/null; }
trap on_usr1 USR1
trap on_term TERM INT

export OMPI_MCA_plm_slurm_args="--overlap --no-kill" # launches after a node is lost
unset SLURM_NO_KILL                                  # breaks srun
[ -n "$interface" ] && export OMPI_MCA_btl_tcp_if_include=$interface OMPI_MCA_oob_tcp_if_include=$interface
ulimit -n "$(ulimit -Hn)" 2> /dev/null # a socket to each rank

# Nodes of the job that still answer, one a line; without Slurm this machine.
nodes() {
    if [ -z "$SLURM_JOB_NODELIST" ]; then
        echo localhost
        return
    fi
    for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
        timeout 20 srun --overlap --no-kill --nodes=1 --ntasks=1 --nodelist="$node" true 2> /dev/null && echo "$node"
    done
}

# Bytes of records: they grow while units get done.
done_bytes() { cat "$output".journal.[0-9]* 2> /dev/null | wc -c; }

launch() {
    local run=("$deconvoy" run "$config" "${sets[@]}" --set runtime.wait=180)
    if [ "$launcher" = srun ]; then
        srun --mpi=pmix --no-kill --ntasks-per-node="$ranks" --cpus-per-task="$threads" "${run[@]}" &
    elif [ -z "$SLURM_JOB_NODELIST" ]; then
        mpirun -q --oversubscribe --bind-to none -n "$ranks" "${run[@]}" &
    else
        mpirun -q --map-by "slot:PE=$threads" --bind-to core --host "$(sed "s/\$/:$((ranks * threads))/" <<< "$alive" | paste -sd,)" \
            -n "$(($(wc -l <<< "$alive") * ranks))" "${run[@]}" &
    fi
    pid=$!
    # bash runs a trap only after a child that it waits for in the foreground: so the child is in the background.
    wait "$pid"
    code=$?
    while kill -0 "$pid" 2> /dev/null; do
        wait "$pid"
        code=$?
    done
    pid=
}

tries=0
while :; do
    before=$(done_bytes)
    alive=$(nodes)
    if [ -z "$alive" ]; then
        echo "deconvoy: no node of the job answers" >&2
        code=71
        break
    fi
    launch
    [ -n "$asked" ] && break
    case $code in
    71 | 13[4-9] | 205) ;; # a rank or a node was lost
    *) break ;;
    esac
    # Three times without a unit done is enough: by then a unit that ends its process has been found out.
    if [ "$(done_bytes)" -gt $((before + 1000)) ]; then tries=0; else tries=$((tries + 1)); fi
    [ "$tries" -lt 4 ] || break
    echo "deconvoy: exit $code; going on with $(wc -l <<< "$alive") nodes" >&2
done

[ -n "$asked" ] && [ "$code" = 138 ] && code=75 # asked while ranks were only just being loaded
if [ "$code" = 75 ] && [ "$asked" != term ] && [ -n "$SLURM_JOB_ID" ] &&
    [ "${SLURM_RESTART_COUNT:-0}" -lt "$requeue" ]; then
    scontrol requeue "$SLURM_JOB_ID" # of a task of an array, its own number
fi
exit "$code"
