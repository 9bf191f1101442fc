#!/bin/bash
# Builds dtrain once, on the head node of a ParallelCluster, into /shared/dtrain, from where all nodes run it. The nodes
# install nothing. `dtrain cluster` writes this script; the head node runs it as root, after /shared is mounted.
#
#     bootstrap.sh SOURCE [ARCHS]
#
# SOURCE   an archive, s3://BUCKET/KEY.tar.xz or https://....tar.xz or a path; or a git repository, https://....git
# ARCHS    for which GPUs: compute capabilities such as 80,90; all (the default); none: no GPUs
#
# It replaces an older /shared/dtrain when the new one works, and leaves it alone if a step fails. It does not build the
# same SOURCE and ARCHS twice; remove /shared/dtrain/bootstrapped to force a build. Its messages are in
# /var/log/cfn-init-output.log, the output of the compilers is in /var/log/dtrain-bootstrap.log.
set -euo pipefail

# Other places, for tests.
prefix=${DTRAIN_PREFIX:-/shared/dtrain}
log=${DTRAIN_LOG:-/var/log/dtrain-bootstrap.log}
profile=${DTRAIN_PROFILE:-/etc/profile.d/dtrain.sh}
cuda=${CUDA_HOME:-/usr/local/cuda}
mpi=${DTRAIN_MPI:-/opt/amazon/openmpi}

say() { echo "dtrain bootstrap: $*"; }

fail()
{
    say "failed: $*" >&2
    exit 1
}

# step TEXT COMMAND...: runs a command whose output goes to the log.
step()
{
    local text=$1 start=$SECONDS
    shift
    say "$text"
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" | sed 's/^/  | /' >&2
        fail "$text; the whole output is in $log"
    fi
    [ $((SECONDS - start)) -lt 10 ] || say "  took $((SECONDS - start)) s"
}

fetch()
{
    local archive=$work/source.tar
    mkdir "$work/source" || return
    case $source in
    *.git) git clone --quiet --depth 1 "$source" "$work/source" && return ;;
    s3://*) aws s3 cp --only-show-errors "$source" "$archive" ;;
    https://*) curl -fsSL --retry 5 --retry-delay 5 -o "$archive" "$source" ;;
    *) cp "$source" "$archive" ;;
    esac || return
    tar -xf "$archive" -C "$work/source" --strip-components 1
}

# What the build needs, without an MPI, where the image has one, and without what only tests need.
install_packages()
{
    local list=$work/source/autotools/packages.txt names
    names=$(awk '!/^#/ && ($3 == "build" || $3 == "option") && $1 != "-" { print $1 }' "$list" | grep -v cunit)
    [ -z "$with_mpi" ] || names=$(grep -v openmpi <<<"$names")
    [ "$archs" = none ] || names="$names python3-pip"
    # Ubuntu installs updates after a boot, and holds the lock meanwhile.
    apt-get -o DPkg::Lock::Timeout=600 -qq update || return
    # shellcheck disable=SC2086 # names are words
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq -y install --no-install-recommends make xz-utils $names
}

# cuDNN and NCCL, which the image does not have, beside dtrain: their headers to build with, their libraries to run with.
install_gpu_libraries()
{
    local major name
    major=$("$cuda/bin/nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
    python3 -m pip install --quiet --no-cache-dir --target "$libraries" "nvidia-cudnn-cu$major" "nvidia-nccl-cu$major" || return
    for name in cudnn nccl; do
        [ -f "$libraries/nvidia/$name/include/$name.h" ] || {
            echo "there is no $libraries/nvidia/$name/include/$name.h"
            return 1
        }
        # configure links a program with -l$name; the packages have the versioned name alone.
        ln -sf "$(basename "$(echo "$libraries/nvidia/$name/lib/lib$name".so.*)")" "$libraries/nvidia/$name/lib/lib$name.so"
    done
}

build()
{
    local options=(--prefix="$prefix" --without-cunit LDFLAGS="-Wl,-rpath,$prefix/lib -Wl,--disable-new-dtags")
    [ -z "$with_mpi" ] || options+=("$with_mpi")
    if [ "$archs" = none ]; then
        options+=(--without-cuda)
    else
        options+=(--with-cuda="$cuda" --with-cudnn="$libraries/nvidia/cudnn" --with-nccl="$libraries/nvidia/nccl")
        [ "$archs" = all ] || options+=(--enable-cuda-archs="$archs")
    fi
    cd "$work/source" || return
    [ -x configure ] || autotools/bootstrap || return
    ./configure "${options[@]}" && make -j"$(nproc)" && make install DESTDIR="$work/root"
}

# Copies the libraries that the nodes do not have: all but the C library's, MPI's and what the driver brings.
bundle_libraries()
{
    local name path
    mkdir -p "$work/root$prefix/lib" || return
    while read -r name path; do
        case $name in
        libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | libutil.so* | libcuda.so* | libnvidia*) continue ;;
        esac
        case $path in
        /opt/* | "$prefix"/*) continue ;; # the image has these on all nodes
        /*) cp -L "$path" "$work/root$prefix/lib/$name" || return ;;
        *)
            echo "$name: $path"
            return 1
            ;;
        esac
    done < <(ldd "$work/root$prefix/bin/dtrain" | sed -n 's/^[[:space:]]*\([^ ]*\) => \(.*[^ ]\) (0x.*/\1 \2/p; s/^[[:space:]]*\([^ ]*\) => not found/\1 not found/p')
}

# A wrong library shows here, and not on a node that is paid for.
check()
{
    LD_LIBRARY_PATH=$work/root$prefix/lib "$work/root$prefix/bin/dtrain" version &&
        LD_LIBRARY_PATH=$work/root$prefix/lib "$work/root$prefix/bin/dtrain" info
}

# By two renames, between which there is no dtrain for an instant. The old one stays until the next time, for jobs that run
# it, and comes back if the second rename fails.
put_in_place()
{
    rm -rf "$prefix.old" || return
    [ ! -e "$prefix" ] || mv "$prefix" "$prefix.old" || return
    mv "$work/root$prefix" "$prefix" || {
        [ ! -e "$prefix.old" ] || mv "$prefix.old" "$prefix"
        return 1
    }
    printf '%s\n' "$stamp" >"$prefix/bootstrapped"
}

write_profile()
{
    local path=$prefix/bin
    [ -z "$with_mpi" ] || path=$path:$mpi/bin
    cat >"$profile" <<END
# Written by the bootstrap script of dtrain; sbatch passes it on to the nodes.
PATH=$path:\$PATH
export PATH
END
}

main()
{
    case $# in 1 | 2) ;; *) fail "usage: bootstrap.sh SOURCE [ARCHS]" ;; esac
    source=$1
    archs=${2:-all}
    stamp="$source $archs"
    if [ "$(cat "$prefix/bootstrapped" 2>/dev/null)" = "$stamp" ]; then
        say "$prefix has this dtrain already"
        return
    fi
    [ "$archs" = none ] || [ -x "$cuda/bin/nvcc" ] || fail "there is no $cuda/bin/nvcc: not an image of ParallelCluster's? ARCHS none builds without GPUs"
    command -v apt-get >/dev/null || fail "there is no apt-get: the script is for ParallelCluster's image of Ubuntu"
    : >"$log" || fail "cannot write $log"
    mkdir -p "$(dirname "$prefix")"
    # Beside its place, so that the last step is a rename.
    work=$(mktemp -d "$prefix.new-XXXXXX")
    trap 'cd /; rm -rf "$work"' EXIT
    with_mpi=
    [ ! -x "$mpi/bin/mpicc" ] || with_mpi=--with-mpi=$mpi
    # In a place of its own that stays: configure compiles its path into dtrain.
    libraries=$prefix-libraries
    step "fetching $source" fetch
    step "installing packages" install_packages
    [ "$archs" = none ] || step "installing cuDNN and NCCL" install_gpu_libraries
    step "building" build
    step "collecting libraries" bundle_libraries
    step "trying it" check
    step "putting it into $prefix" put_in_place
    step "writing $profile" write_profile
    mkdir -p "$(dirname "$prefix")/runs" && chmod 1777 "$(dirname "$prefix")/runs"
    say "done: $("$prefix/bin/dtrain" version) in $prefix, after $SECONDS s"
}

main "$@"
