#!/usr/bin/env bash
# Sets up a fresh Debian or Ubuntu machine and uses it.
#
#   ./quickstart.sh         install, build, run the main example, name the files to open
#   ./quickstart.sh test    install, build, run the tests (also under ASan and UBSan)
#   ./quickstart.sh long    the tests that take longer than a coffee
#
# Needs no network but apt.  Not root: uses sudo, or says what to ask for.
set -euo pipefail
cd "$(dirname "$0")"

needed=(gcc libc6-dev cmake ninja-build pkg-config python3-h5py hdf5-tools
        libopenmpi-dev openmpi-bin libhdf5-openmpi-dev libopenblas-dev libfftw3-dev libfftw3-mpi-dev
        libyaml-dev libprotobuf-c-dev protobuf-c-compiler nettle-dev zlib1g-dev
        libjpeg-dev libpng-dev libtiff-dev libcfitsio-dev libarchive-dev dataset-fashion-mnist)
wished=(libdnnl-dev libonnx-testdata) # faster with the first; more tests with the second

jobs=$(nproc)

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing() {
    local package
    for package in "$@"; do is_installed "$package" || echo "$package"; done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_install() { [ "$(id -u)" = 0 ] || command -v sudo >/dev/null; }

known() { # those of the packages that this release has
    local package
    for package in "$@"; do if apt-cache show "$package" >/dev/null 2>&1; then echo "$package"; fi; done
}

install_packages() {
    local want=() wish=()
    mapfile -t want < <(missing "${needed[@]}")
    if [ ${#want[@]} -gt 0 ]; then
        if ! can_install; then
            echo "Not root, and there is no sudo. Ask for these packages, then run this again:" >&2
            echo "  apt-get install ${want[*]} $(missing "${wished[@]}" | xargs)" >&2
            exit 1
        fi
        as_root apt-get update -qq
    fi
    mapfile -t wish < <(missing "${wished[@]}")
    mapfile -t wish < <(known ${wish[@]+"${wish[@]}"})
    if ! can_install; then wish=(); fi
    [ $((${#want[@]} + ${#wish[@]})) -gt 0 ] || return 0
    echo "Installing: ${want[*]} ${wish[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${want[@]}" "${wish[@]}" >/dev/null
}

build() { # DIR CMAKE-OPTIONS...
    local dir=$1
    shift
    cmake -S . -B "$dir" -G Ninja "$@" >"$dir.log" 2>&1 || { tail -n 30 "$dir.log" >&2; return 1; }
    cmake --build "$dir" -j "$jobs" >>"$dir.log" 2>&1 || { grep -E 'error|warning|FAILED' "$dir.log" | head -n 30 >&2; return 1; }
    rm -f "$dir.log"
}

# Containers and small machines: Open MPI refuses root and more ranks than cores unless told.
mpi() { # RANKS COMMAND...
    local ranks=$1
    shift
    if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
    mpirun -q --oversubscribe --bind-to none -n "$ranks" "$@"
}

demo() {
    local ranks=$jobs result=results/fashion_mnist_max_activation
    if [ "$ranks" -gt 8 ]; then ranks=8; fi
    echo "What does each channel of a small network look for in 10,000 pictures of clothes? ($ranks ranks)"
    mpi "$ranks" build/deconvoy run configs/fashion_mnist_max_activation.yaml --fresh
    build/deconvoy report "$result.h5" -o "${result}_report" >/dev/null
    cat <<EOF

Open these:
  ${result}_report/index.html    contact sheets on one page: the nine strongest patches of each channel, a sheet a layer
  $result.h5            the numbers: h5dump, h5py, HDFView (jobs/README.md says what is where)
  $result.run.json      how long it took
  configs/fashion_mnist_max_activation.yaml    the job; jobs/README.md has every key
EOF
}

tests() {
    build build -DDECONVOY_WERROR=ON
    (cd build && ctest -LE long -j "$jobs" --output-on-failure)
    build build-asan -DDECONVOY_WERROR=ON -DDECONVOY_SANITIZE=ON
    (cd build-asan && ctest -L unit -LE long -j "$jobs" --output-on-failure)
}

long_tests() {
    build build -DDECONVOY_WERROR=ON
    (cd build && ctest -L long --output-on-failure)
}

case "${1:-demo}" in
demo) install_packages && build build && demo ;;
test) install_packages && tests ;;
long) install_packages && long_tests ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
