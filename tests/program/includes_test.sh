#!/bin/bash
# Dependencies run one way, launch -> {layers, comm, io} -> core: the #include lines of the sources say so.
. "$(dirname "$0")/../lib.sh"

# What core/ may use: libc, POSIX, pthread and libm.
libc='assert|complex|ctype|dirent|errno|fcntl|fenv|float|fnmatch|ftw|glob|inttypes|limits|locale|math|poll|pthread|sched|semaphore|setjmp|signal'
libc="($libc|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|tgmath|time|unistd|endian|malloc|alloca"
libc="$libc|sys/(file|ioctl|mman|param|random|resource|select|stat|statvfs|sysinfo|time|times|types|uio|utsname|wait))\.h"

# allowed FOLDER: which includes a file of FOLDER may have, as they are written.
allowed()
{
    local own="\"config\.h\"|\"$1/[^\"]*\"" core='"core/[^"]*"'
    case $1 in
    core) echo "<$libc>|$own" ;;
    layers) echo "<$libc>|$own|$core|<oneapi/dnnl/[^>]*>|<omp\.h>|<(immintrin|cpuid)\.h>|<(cuda|cudnn|nvtx3/)[^>]*>|<dlfcn\.h>|\"tests/emulator/cuda_emulator\.h\"" ;; # without nvcc
    comm) echo "<$libc>|$own|$core|<mpi(-ext)?\.h>|<(nccl|cuda[^>]*)\.h>|\"tests/emulator/cuda_emulator\.h\"" ;; # without nvcc
    io) echo "<$libc>|$own|$core|<(jpeglib|jerror|hdf5|H5[A-Za-z]*|jansson|xxhash|immintrin|arm_neon|cpuid)\.h>" ;;
    launch) echo '<[^>]*>|"config\.h"|"(core|layers|comm|io|launch)/[^"]*"' ;;
    esac
}

# violations TREE FOLDER: FILE:LINE:INCLUDE of every include that is not allowed.
violations()
{
    (cd "$1" && find "$2" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | LC_ALL=C sort | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
        grep -vE "^[^:]*:[0-9]*:[[:space:]]*#[[:space:]]*include[[:space:]]*($(allowed "$2"))[[:space:]]*(//.*|/\*.*)?$")
}

for folder in core layers comm io launch; do
    begin "${folder}_includes_only_what_it_may"
    found=$(violations "$TOP_SRCDIR" "$folder")
    [ -z "$found" ] || fail "$found"
done

plant()
{
    mkdir -p "$(dirname "$1")"
    printf '#include "config.h"\n\n%s\n' "$2" >"$1"
}

planted_is_seen()
{
    plant "tree/$1/deep/a.h" "$2"
    expect test "$(violations tree "$1")" = "$1/deep/a.h:3:$2"
}

begin "a_planted_violation_is_seen"
planted_is_seen core '#include "layers/conv.h"'
planted_is_seen core '#include <mpi.h>'
planted_is_seen core '#include "error.h"'
planted_is_seen layers '#  include <mpi.h>'
planted_is_seen layers '#include "comm/mpi.h"'
planted_is_seen comm '#include "io/pack.h" /* why */'
planted_is_seen io ' #include "launch/options/options.h"'
planted_is_seen launch '#include "tests/testing.h"'

begin "what_is_allowed_is_not_reported"
plant tree2/core/a.h '#include <sys/stat.h> /* mkdir */'
plant tree2/layers/a.c '#include "core/layer.h" // why'
expect test -z "$(violations tree2 core)$(violations tree2 layers)"

begin "all_of_core_links_with_libc_pthread_and_libm_alone"
echo 'int main(void) { return 0; }' >main.c
expect_exit 0 ${LINK:-cc} -o alone main.c -Wl,--whole-archive "$TOP_BUILDDIR/libdtcore.a" -Wl,--no-whole-archive -pthread -lm

finish
