#!/bin/bash
# dtrain for aarch64, on an x86-64 machine: cross-compiled with -Werror, its tests run by qemu-user, its results compared with this build's.
#
#     make check-aarch64        in build/: builds in build-aarch64/; repeated, only what has changed
#
# The libraries are Debian's, for arm64, from the package sources of this machine: an apt with its own state downloads them to
# build-aarch64/, and they are unpacked there. No arm64 package is installed, so none conflicts with this machine's -dev packages.
# autotools/install-packages aarch64 installs compiler and qemu.
# If something is missing it is skipped with the reason. The last line is `N passed, N failed, N skipped`; each of the two builds counts as one case.
set -euo pipefail
exec </dev/null
unset MAKEFLAGS MAKELEVEL # make itself starts this
. "$TOP_SRCDIR/.ci/lib.sh" # title, add_logs and the totals

host=aarch64-linux-gnu
source=$TOP_SRCDIR
native=$TOP_BUILDDIR
work=$native/build-aarch64
root=$work/root
libraries=$root/usr/lib/$host
# Exported also for a make that configures again.
export PKG_CONFIG_LIBDIR=$libraries/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] || exit 1
    exit 0
}

skip() {
    echo "skipped check-aarch64: $*"
    skipped=$((skipped + 1))
    finish
}

# build_step LOG COMMAND: a build, one case.
build_step() {
    local log=$work/$1.log
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "---- failed: $*"
        tail -n 40 "$log"
        return 1
    fi
}

need_tools() {
    local tool
    [ "$(uname -m)" = x86_64 ] || skip "this machine is $(uname -m), not x86_64: make check"
    for tool in apt-get dpkg-deb $host-gcc $host-g++ qemu-aarch64-static; do
        command -v $tool >/dev/null || skip "there is no $tool here (Debian: autotools/install-packages aarch64)"
    done
}

# --- the libraries

# apt-get for arm64, with this machine's sources and its own state.
apt() { apt-get -c "$work/apt/apt.conf" "$@"; }

write_apt_conf() {
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/debs"
    : >"$work/apt/status"
    cat >"$work/apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State::Lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::State::extended_states "$work/apt/extended_states";
Dir::Cache "$work/apt/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
}

# The libraries in the build and option rows of packages.txt, and their dependencies, without compilers and tools.
library_packages() {
    local wanted
    wanted=$(awk '!/^#/ && ($3 == "build" || $3 == "option") && $1 ~ /^lib.*-dev$/ { print $1 }' "$source/autotools/packages.txt")
    apt install -s $wanted libgomp1 | awk '/^Inst lib|^Inst zlib|^Inst linux-libc-dev|^Inst openmpi-common|^Inst ocl-icd|^Inst ibverbs/ { print $2 }' |
        grep -Ev '^lib(perl|gcc-[0-9]+-dev|gfortran-|binutils|[a-z]+san[0-9])'
}

download() {
    write_apt_conf
    apt update || true # one source without arm64 does not matter
    library_packages >"$work/apt/names"
    cd "$work/apt/debs" && apt download $(cat "$work/apt/names")
}

# Links that lead from / lead from the new root: qemu and the linker follow them there.
unpack() {
    local deb link
    rm -rf "$root.part"
    mkdir -p "$root.part/usr/lib"
    ln -s usr/lib "$root.part/lib"
    for deb in "$work"/apt/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root.part" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc' --exclude='./etc' --exclude='./var'
    done
    find "$root.part" -type l -lname '/*' | while IFS= read -r link; do
        ln -sfn "$root$(readlink "$link")" "$link"
    done
    # update-alternatives makes this one.
    ln -sfn hdf5-serial.pc "$root.part/usr/lib/$host/pkgconfig/hdf5.pc"
    mv "$root.part" "$root"
    rm -rf "$work/apt"
}

make_root() {
    [ ! -d "$root" ] || return 0
    title "libraries for arm64"
    rm -rf "$work/apt"
    mkdir -p "$work"
    (download) >"$work/download.log" 2>&1 || {
        tail -n 5 "$work/download.log"
        skip "the package sources of this machine have not all libraries for arm64, or cannot be reached"
    }
    unpack
}

# --- the builds

# configure_in FOLDER OPTIONS: once.
configure_in() {
    local folder=$work/$1
    shift
    [ ! -f "$folder/Makefile" ] || return 0
    mkdir -p "$folder" && cd "$folder" &&
        "$source/configure" --quiet --build=x86_64-linux-gnu --host=$host \
            --enable-werror --with-mpi="$libraries/openmpi" CC="$host-gcc --sysroot=$root" CXX="$host-g++ --sysroot=$root" "$@"
}

# The program and its tests. With CUDA's headers its kernels are built too, as C++ for the CPU; no nvcc and no cuDNN.
build_cpu() {
    local cuda=(--without-cuda)
    [ -z "$cuda_dir" ] || cuda=(--with-cuda="$work/cuda-stubs" --without-cudnn --without-nccl NVCC=/bin/false)
    # One after the other: `all` starts a make of its own.
    configure_in cpu "${cuda[@]}" && make -C "$work/cpu" -j2 all && make -C "$work/cpu" -j2 check-programs
}

# CUDA's headers are the same for all processors. Empty libraries stand in for those of arm64 so that configure succeeds; nothing is linked.
write_cuda_stubs() {
    local stubs=$work/cuda-stubs library
    mkdir -p "$stubs/lib" "$stubs/bin"
    ln -sfn "$cuda_dir/include" "$stubs/include"
    echo 'int cudaGetDeviceCount(int *n); int cudaGetDeviceCount(int *n) { return *n; }' | $host-gcc -x c -c -o "$stubs/stub.o" -
    for library in cudart_static cudnn nccl; do $host-ar crs "$stubs/lib/lib$library.a" "$stubs/stub.o"; done
    printf '#!/bin/sh\nexec "%s" -ccbin %s-g++ -I"%s" "$@"\n' "$nvcc" $host "$cuda_dir/include" >"$stubs/bin/nvcc"
    chmod +x "$stubs/bin/nvcc"
}

# The host code of the cuda backend and of NCCL, and the kernels by nvcc, to archives.
build_cuda() {
    configure_in cuda --with-cuda="$work/cuda-stubs" --enable-cuda-archs=90 LDFLAGS=-Wl,--unresolved-symbols=ignore-all &&
        grep -q 'define DT_WITH_NCCL 1' "$work/cuda/config.h" && make -C "$work/cuda" -j2 liblayers.a libcomm.a liblaunch.a
}

# --- the tests

# The tests in layers/ of the reference backend and half precision, and the fibers; not the cpu backend, which is oneDNN's generic code there, slow in
# qemu.
layers_tests="half_test ref_conv_gradients_test ref_gradients_test ref_operations_test ref_loss_test ref_create_test ref_optimizer_test cpu_create_test"

unit_tests() {
    local name
    printf 'include Makefile\nshow: ; @echo $(CORE_TESTS) $(IO_TESTS)\n' | make -C "$work/cpu" --no-print-directory -s -f - show
    for name in $layers_tests; do echo "tests/layers/$name"; done
    [ -z "$cuda_dir" ] || echo tests/emulator/emulator_test
}

run_tests() {
    find "$work/cpu/tests" -name '*.trs' -delete # of an earlier run
    export DTRAIN_TEST_SLOWER=10 OMP_NUM_THREADS=2 NATIVE_BUILDDIR=$native EMULATOR="qemu-aarch64-static -L $root"
    make -C "$work/cpu" -j2 check TESTS="tests/cross/same_test.sh $(unit_tests | tr '\n' ' ')" LOG_COMPILER="$EMULATOR" >"$work/check.log" 2>&1 || true
}

need_tools
cuda_dir=
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
[ -z "$nvcc" ] || cuda_dir=$(cd "$(dirname "$nvcc")/.." && pwd)
[ -f "$cuda_dir/include/cuda_runtime_api.h" ] || cuda_dir=
make_root
[ -z "$cuda_dir" ] || write_cuda_stubs

title "the program and its tests, -Werror"
build_step cpu-build build_cpu || finish

title "CUDA and NCCL, compiled only"
if [ -z "$cuda_dir" ]; then
    echo "skipped: there is no nvcc here"
    skipped=$((skipped + 1))
elif [ ! -f "$cuda_dir/include/cudnn.h" ] || [ ! -f "$cuda_dir/include/nccl.h" ]; then
    echo "skipped: there is no cudnn.h or no nccl.h in $cuda_dir/include"
    skipped=$((skipped + 1))
else
    build_step cuda-build build_cuda || true
fi

title "unit tests under qemu, and the same results as on x86-64"
run_tests
add_logs "$work/cpu" check-aarch64
title "done"
finish
