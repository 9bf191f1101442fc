#!/bin/bash
# bundle.sh: packs what a GPU machine needs for first_hour.sh, so that nothing has to be built or installed there.
#
#     tests/gpu/bundle.sh OUT [BUILD]      writes the folder OUT and OUT.tar.gz; BUILD is the build folder (default: build)
#
# There: tar xzf OUT.tar.gz; OUT/run first_hour.sh --out results         or OUT/run dtrain --help, OUT/run mpirun -np 2 dtrain ...
#
# Packed are dtrain, the test programs for GPUs, the libraries that they load and Open MPI's parts. glibc, libstdc++, the driver, cuDNN
# and NCCL are that machine's: glibc must be as new as here, and dtrain finds cuDNN and NCCL itself (README.md, "On GPUs").
# The build must have the cuda backend (--enable-cuda-archs=80,90 saves space), Open MPI, and its test programs (make check-programs).
set -euo pipefail

fail()
{
    echo "bundle.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
out=$1
build=${2:-$source/build}
programs='dtrain tests/gpu/gpu_test tests/gpu/fused_main tests/comm/nccl_gpu_cases tests/comm/nccl_failures'

grep -qs '^#define DT_WITH_CUDA 1' "$build/config.h" || fail "$build has no cuda backend: configure --with-cuda=DIR"
for program in $programs; do
    [ -x "$build/$program" ] || fail "there is no $build/$program: make -C $build all check-programs"
done
parts=$(ompi_info --path pkglibdir --parsable | sed -n 's/.*:pkglibdir://p') || fail "there is no Open MPI here"
data=$(ompi_info --path pkgdatadir --parsable | sed -n 's/.*:pkgdatadir://p')
[ ! -e "$out" ] || fail "$out exists"

mkdir -p "$out/bin" "$out/lib/openmpi" "$out/share"
for program in $programs; do
    mkdir -p "$(dirname "$out/bin/$program")"
    strip -o "$out/bin/$program" "$build/$program"
done
cp -L "$(command -v mpirun)" "$out/bin/mpirun"
cp -L "$(command -v orted)" "$out/bin/orted"
cp -rL "$data" "$out/share/openmpi"
# Not the parts for networks that need hardware of their own: their libraries are large.
for part in "$parts"/mca_*.so; do
    case ${part##*/} in
    *ucx* | *_ofi* | *psm* | *openib* | *usnic* | *portals* | *hcoll*) ;;
    *) cp -L "$part" "$out/lib/openmpi/" ;;
    esac
done
find "$out/bin" -type f -print0 | xargs -0 ldd "$out"/lib/openmpi/*.so 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
    while read -r name path; do
        case $name in
        libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | libutil.so* | libstdc++* | libgcc_s* | libcud* | libnccl* | libnv*) ;;
        *) cp -L "$path" "$out/lib/$name" ;;
        esac
    done
cp "$here/first_hour.sh" "$source/tests/mpi.sh" "$source/tests/ranks" "$source/benchmarks/peers/torch_step.py" "$out/"

cat >"$out/run" <<'R'
#!/bin/bash
# run PROGRAM [ARGUMENT...]: a program of bin/, or first_hour.sh, with the libraries of this folder.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export OPAL_PREFIX=$here OPAL_PKGLIBDIR=$here/lib/openmpi OPAL_PKGDATADIR=$here/share/openmpi OPAL_DATADIR=$here/share OPAL_LIBDIR=$here/lib
export OMPI_MCA_mca_base_component_path=$here/lib/openmpi OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PATH=$here/bin:$here:$PATH LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} TOP_BUILDDIR=$here/bin
exec "$@"
R
chmod +x "$out/run"
tar -C "$(dirname "$out")" -czf "$out.tar.gz" "$(basename "$out")"
du -m "$out.tar.gz" | awk '{ print $2 ": " $1 " MiB" }'
