# What the scripts here share: `want CODE WHAT COMMAND...`, `same A B`, and a folder that goes away.
toy=$1
mpiexec=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/deconvoy.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

bad() { echo "FAILED: $*" >&2; failed=1; }

# Run with a number of ranks: ranks N COMMAND...
ranks() {
    n=$1
    shift
    timeout 100 "$mpiexec" -q --oversubscribe --bind-to none -n "$n" "$@"
}

want() {
    code=$1
    shift
    "$@" > "$dir/out" 2> "$dir/err"
    got=$?
    [ "$got" = "$code" ] || bad "exit $got, want $code: $* ($(head -c 300 "$dir/err"))"
}

said() { grep -q -- "$1" "$dir/err" || bad "no \"$1\" in: $(head -c 300 "$dir/err")"; }

once() { [ "$(grep -c '^deconvoy: ' "$dir/err")" = 1 ] || bad "not one message: $(cat "$dir/err")"; }

same() { cmp -s "$1" "$2" || bad "$1 and $2 differ"; }

# Nothing beside a finished result but its run.json.
alone() {
    for f in "$1"*; do
        case $f in "$1" | "${1%.h5}.run.json") ;; *) bad "stray file $f"; return ;; esac
    done
}
