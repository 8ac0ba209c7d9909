#!/bin/sh
# Write the tables of keys in README.md anew from what `deconvoy describe` says:
#   jobs/make_reference.sh DECONVOY           rewrite README.md
#   jobs/make_reference.sh DECONVOY --check   exit 1 and show the difference if it is out of date
set -eu
deconvoy=$1
readme=$(dirname "$0")/README.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT

# Lines of `describe` (columns apart by two blanks or more) to a table; $1: keys that belong in it.
table() {
    awk -F '   *' -v keys="$1" '
        NR == 1 { print "| key | type | default | range | unit | meaning |\n|---|---|---|---|---|---|" }
        $1 ~ keys { sub(/ +$/, "", $6); printf "| `%s` | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6 }'
}

tables() {
    printf '\n## Keys of every job\n\n'
    "$deconvoy" describe | sed '/^$/,$d' | table '^(job|output|model|dataset|runtime|slurm)([.]|$)'
    "$deconvoy" describe | sed '1,/^jobs /d' | while read -r job help; do
        printf '\n## `%s`\n\n%s.\n\n' "$job" "$help"
        "$deconvoy" describe "$job" | sed 1,2d | table "^$job[.]"
    done
}

{
    sed '/^<!-- keys: from here on/q' "$readme"
    tables
} > "$new"
if [ "${2-}" = --check ]; then
    diff -u "$readme" "$new" || { echo "out of date: run jobs/make_reference.sh deconvoy" >&2; exit 1; }
else
    cat "$new" > "$readme"
fi
