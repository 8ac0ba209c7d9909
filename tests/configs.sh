#!/bin/sh
# configs.sh DECONVOY CONFIG OUT.h5 -- run an example as it is, verify the result, draw it, read it as its documentation does.
set -e
program=$1 config=$2 out=$3
rm -f "$out" "$out".* "${out%.h5}.run.json"
"$program" run "$config" --set output="$out"
"$program" verify "$out"
rm -rf "${out%.h5}_report"
"$program" report "$out" -o "${out%.h5}_report"
test -n "$(ls "${out%.h5}_report")"
job=$(sed -n 's/^job: *\([a-z_]*\).*/\1/p' "$config")
/usr/bin/python3 -c 'import h5py' 2>/dev/null || exit 0
/usr/bin/python3 "$(dirname "$0")/../jobs/read_$job.py" "$out"
