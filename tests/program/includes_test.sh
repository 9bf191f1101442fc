#!/bin/bash
# Dependencies run one way: launch -> {layers, comm, io} -> core, by the #include lines of the sources; between launch's folders as its README
# says; and no file calls one of its own folder that calls it back, by the symbols of the object files.
. "$(dirname "$0")/../lib.sh"

# What core/ may use: libc, POSIX, pthread and libm.
libc='assert|complex|ctype|dirent|dlfcn|errno|fcntl|fenv|float|fnmatch|ftw|glob|inttypes|limits|link|locale|math|poll|pthread|sched|semaphore|setjmp|signal|spawn'
libc="($libc|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|tgmath|time|unistd|endian|malloc|alloca"
libc="$libc|sys/(file|ioctl|mman|param|random|resource|select|stat|statvfs|sysinfo|time|times|types|uio|utsname|wait))\.h"

# allowed FOLDER: which includes a file of FOLDER may have, as they are written.
allowed()
{
    local own="\"config\.h\"|\"$1/[^\"]*\"" core='"core/[^"]*"'
    case $1 in
    core) echo "<$libc>|$own" ;;
    layers) echo "<$libc>|$own|$core|<oneapi/dnnl/[^>]*>|<omp\.h>|<(immintrin|cpuid)\.h>|<(cuda|cudnn|nvtx3/)[^>]*>|\"tests/emulator/cuda_emulator\.h\"" ;; # without nvcc
    comm) echo "<$libc>|$own|$core|<mpi(-ext)?\.h>|<(nccl|cuda[^>]*)\.h>|\"tests/emulator/cuda_emulator\.h\"" ;; # without nvcc
    io) echo "<$libc>|$own|$core|<(jpeglib|jerror|hdf5|H5[A-Za-z]*|jansson|xxhash|immintrin|arm_neon|cpuid)\.h>" ;;
    launch) echo '<[^>]*>|"config\.h"|"(core|layers|comm|io|launch)/[^"]*"' ;;
    esac
}

# violations TREE FOLDER: FILE:LINE:INCLUDE of every include that is not allowed.
violations()
{
    (cd "$1" && find "$2" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | LC_ALL=C sort | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
        awk -v allowed=":[[:space:]]*#[[:space:]]*include[[:space:]]*($(allowed "$2" | sed 's/\\/&&/g'))[[:space:]]*(//.*|/[*].*)?\$" \
            '$0 !~ allowed || /[.][.]\// || /<(core|layers|comm|io|launch|tests)\//')
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

begin "a_planted_include_is_found"
planted_is_seen core '#include "layers/conv.h"'
planted_is_seen core '#include <mpi.h>'
planted_is_seen core '#include "error.h"'
planted_is_seen layers '#  include <mpi.h>'
planted_is_seen layers '#include "comm/mpi.h"'
planted_is_seen comm '#include "io/pack.h" /* why */'
planted_is_seen io ' #include "launch/options/options.h"'
planted_is_seen launch '#include "tests/testing.h"'
planted_is_seen launch '#include <launch/run/run_lock.h>'
planted_is_seen core '#include "core/../launch/show/table.h"'

begin "what_is_allowed_is_not_reported"
plant tree2/core/a.h '#include <sys/stat.h> /* mkdir */'
plant tree2/layers/a.c '#include "core/layer.h" // why'
expect test -z "$(violations tree2 core)$(violations tree2 layers)"

# arrows README: `FROM TO` for each entry of the block below the words "Which folder may include which": lines `    FROM: TO TO...`.
arrows()
{
    awk '/Which folder may include which/ { below = 1; next }
        below && /^    [^ ]+:/ { seen = 1; sub(/:$/, "", $1); print $1, $1; for (i = 2; i <= NF; i++) print $1, $i; next }
        below && seen { exit }' "$1"
}

# sideways TREE README: FILE:LINE:INCLUDE of every include between launch's folders for which README has no arrow. main.c counts as a folder.
sideways()
{
    local arrows
    arrows=$(arrows "$2" | tr '\n' ',')
    (cd "$1" && find launch -name '*.[ch]' | LC_ALL=C sort | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]launch/') | awk -v arrows="$arrows" '
        function folder(path,    part) { split(path, part, /[\/:]/); return part[2] }
        BEGIN { n = split(arrows, arrow, ","); for (i = 1; i <= n; i++) allowed[arrow[i]] = 1 }
        { split($0, quoted, "[\"<]"); if (!((folder($0) " " folder(quoted[2])) in allowed)) print }'
}

# circles: one line `A -[NAME]-> B -[NAME]-> A` for each edge that closes a circle in the graph on standard input, lines `FROM TO [NAME]`.
circles()
{
    awk '
        function visit(node, depth,    i, n, to) {
            state[node] = "open"; path[depth] = node; n = split(edges[node], to, " ")
            for (i = 1; i <= n; i++) {
                if (state[to[i]] == "open") print circle(to[i], depth)
                else if (state[to[i]] == "") visit(to[i], depth + 1)
            }
            state[node] = "done"
        }
        function arrow(from, to) { return " -" (name[from, to] == "" ? "" : "[" name[from, to] "]-") "> " to }
        function circle(to, depth,    i, out) {
            for (i = depth; path[i] != to; i--);
            for (out = to; i < depth; i++) out = out arrow(path[i], path[i + 1])
            return out arrow(path[depth], to)
        }
        $1 != $2 && !(($1, $2) in name) { name[$1, $2] = $3; edges[$1] = edges[$1] " " $2; nodes[++n_nodes] = $1 }
        END { for (k = 1; k <= n_nodes; k++) if (state[nodes[k]] == "") visit(nodes[k], 1) }'
}

# calls SOURCES BUILD: `FROM TO SYMBOL`: FROM needs SYMBOL, which TO, a source file of the same folder, defines. Types and inline functions of
# headers are no symbols. layers/liblayers_a-add.o is made of layers/add.c; an object file whose source is gone does not count.
calls()
{
    {
        (cd "$1" && find core layers comm io launch \( -name '*.c' -o -name '*.cu' \) -printf 'source %p\n' 2>/dev/null)
        (cd "$2" && find core layers comm io launch -name '*.o' 2>/dev/null | LC_ALL=C sort | xargs -r nm -gA 2>/dev/null)
    } | awk '
        function folder(path) { sub(/[^\/]*$/, "", path); return path }
        function source_of(object,    stem) {
            stem = object; sub(/\.o$/, "", stem); sub(/\/lib[^\/]*_a-/, "/", stem)
            return (stem ".c") in sources ? stem ".c" : (stem ".cu") in sources ? stem ".cu" : ""
        }
        $1 == "source" { sources[$2] = 1; next }
        { split($0, at, ":"); from = source_of(at[1]); if (from == "") next }
        $(NF - 1) ~ /^[Uwv]$/ { user[++n] = from; used[n] = $NF; next }
        { owner[folder(from), $NF] = from }
        END { for (i = 1; i <= n; i++) if ((folder(user[i]), used[i]) in owner) print user[i], owner[folder(user[i]), used[i]], used[i] }' | LC_ALL=C sort
}

begin "launch_folders_include_only_what_their_README_allows"
readme=$TOP_SRCDIR/launch/README.md
if [ -z "$(arrows "$readme")" ]; then
    fail 'launch/README.md has no block below the words "Which folder may include which"'
else
    found=$(sideways "$TOP_SRCDIR" "$readme")
    [ -z "$found" ] || fail "launch/README.md has no such arrow:" $'\n'"$found"
    found=$(arrows "$readme" | circles)
    [ -z "$found" ] || fail "the arrows of launch/README.md run in circles:" $'\n'"$found"
fi

begin "a_planted_include_between_launch_folders_is_found"
mkdir -p tree3/launch/run tree3/launch/show
printf 'Which folder may include which:\n\n    main.c: run\n    run: show\n    show:\n\n    later: run\n' >tree3/README.md
printf '#include "launch/show/table.h"\n#include "launch/run/lock.h"\n' >tree3/launch/run/lock.c
printf '#include "launch/run/lock.h"\n' | tee tree3/launch/show/table.c >tree3/launch/main.c
expect test "$(sideways tree3 "$PWD/tree3/README.md")" = 'launch/show/table.c:1:#include "launch/run/lock.h"'
printf 'Which folder may include which\n    run: show\n    show: run\n' >tree3/README.md
expect test "$(arrows tree3/README.md | circles)" = "run -> show -> run"

begin "no_files_of_one_folder_call_each_other_in_a_circle"
# shellcheck disable=SC2094 # the function does not read the file of its name
calls "$TOP_SRCDIR" "$TOP_BUILDDIR" >calls
expect grep -q '^core/.* dt_' calls
found=$(circles <calls)
[ -z "$found" ] || fail "each file calls the next one:" $'\n'"$found"

begin "a_planted_circle_of_calls_is_found"
mkdir -p tree4/core/a build4/core/a tree4/io build4/io
plant_call()
{
    printf 'int %s(void);\nint %s(void);\nint %s(void) { return %s(); }\n' "$3" "$2" "$2" "$3" >"tree4/$1.c"
    ${CC:-cc} -c -o "build4/${1%/*}/libx_a-${1##*/}.o" "tree4/$1.c" || fail "cc"
}
plant_call core/a/one one two
plant_call core/a/two two three
plant_call core/a/three three four
plant_call core/a/four four outside
plant_call io/outside outside one
expect test -z "$(calls tree4 build4 | circles)"
plant_call core/a/three three one
expect test "$(calls tree4 build4 | circles)" = "core/a/one.c -[two]-> core/a/two.c -[three]-> core/a/three.c -[one]-> core/a/one.c"
rm tree4/core/a/two.c # its old object file counts no more
expect test -z "$(calls tree4 build4 | circles)"

begin "all_of_core_links_with_libc_pthread_and_libm_alone"
echo 'int main(void) { return 0; }' >main.c
expect_exit 0 ${LINK:-cc} -o alone main.c -Wl,--whole-archive "$TOP_BUILDDIR/libdtcore.a" -Wl,--no-whole-archive -pthread -lm

finish
