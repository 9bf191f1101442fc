#!/bin/bash
# The assembler's report on the CUDA kernels (their *.resources, which the rule for .cu writes): registers, stack, spills; and make kernel-report.
. "$(dirname "$0")/../lib.sh"

# A stack is memory, and the kernels are limited by memory.
most_stack_bytes=0

archs=$(sed -n 's/^#define DT_CUDA_ARCHS "\(.*\)"/\1/p' "$TOP_BUILDDIR/config.h")

folders=layers/cuda
grep -q '^#define DT_WITH_NCCL 1' "$TOP_BUILDDIR/config.h" && folders="$folders comm/nccl"

# reports: of all kernels.
reports()
{
    local folder
    for folder in $folders; do ls "$TOP_BUILDDIR/$folder"/*.resources; done
}

need_cuda()
{
    grep -q '^#define DT_WITH_CUDA 1' "$TOP_BUILDDIR/config.h" && return 0
    skip "this build has no cuda backend"
    return 1
}

# kernels FILE...: a line "ARCH FILE KERNEL STACK SPILLED REGISTERS" for each kernel and architecture.
kernels()
{
    awk '/Compiling entry function/ { split($0, part, "\x27"); kernel = part[2]; arch = part[4]; stack = spilled = 0 }
         /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
         /: Used [0-9]+ registers/ && kernel != "" {
             match($0, /Used [0-9]+/)
             print arch, FILENAME, kernel, stack, spilled, substr($0, RSTART + 5, RLENGTH - 5)
             kernel = ""
         }' "$@"
}

# too_much FILE...: the kernels that spill, or have a larger stack than most_stack_bytes.
too_much()
{
    kernels "$@" | awk -v most="$most_stack_bytes" '$4 > most || $5 > 0 { print $1 ": " $3 ": " $4 " bytes of stack, " $5 " bytes spilled" }'
}

begin "every kernel source is compiled for every architecture of this build"
need_cuda && {
    for source in $(cd "$TOP_SRCDIR" && for folder in $folders; do ls $folder/*.cu; done); do
        report=$TOP_BUILDDIR/${source%.cu}.resources
        if [ ! -f "$report" ]; then
            fail "there is no $report"
            continue
        fi
        for arch in $archs; do
            kernels "$report" | grep -q "^sm_$arch " || fail "$(basename "$source"): no kernel for sm_$arch"
        done
    done
    for arch in $archs; do
        kernels $(reports) | awk -v arch="sm_$arch" \
            '$1 == arch { n++; if ($6 > most) most = $6 } END { print "  " arch ": " n " kernels, at most " most " registers" }'
    done
}

begin "no kernel spills registers or has a stack"
need_cuda && {
    found=$(too_much $(reports))
    [ -z "$found" ] || fail "$found"
}

# defaults PATTERN: the architectures that configure chooses for the versions of nvcc that it writes as PATTERN.
defaults()
{
    sed -n "s/^ *\[$1.*\], \[DT_CUDA_ARCHS=\"\(.*\)\"\],$/\1/p" "$TOP_SRCDIR/autotools/dt_cuda.m4"
}
cuda_12=$(defaults '12\.') cuda_13=$(defaults '1@<:@3')

# Builds under sanitizers are configured for fewer.
begin "the default architectures are included"
need_cuda && {
    default=$cuda_13
    grep -q '^#define DT_NVCC_VERSION "12' "$TOP_BUILDDIR/config.h" && default=$cuda_12
    expect [ "$(wc -w <<<"$default")" -ge 5 ]
    for arch in $default; do
        case " $archs " in *" $arch "*) ;; *) skip "configured with --enable-cuda-archs=$(tr ' ' ',' <<<"$archs")" ;; esac
    done
}

begin "the README names the default architectures where it says that nothing spills"
in_words=$(sed 's/ /, /g; s/, \([0-9]*\)$/ and \1/' <<<"$cuda_13")
expect grep -q "^No register spills .* CUDA 13 compiles for: sm_$in_words\. " "$TOP_SRCDIR/layers/cuda/README.md"

begin "a planted spill and a planted stack are found"
cat >good.resources <<'EOF'
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4goodPf' for 'sm_80'
ptxas info    : Function properties for _Z4goodPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 384 bytes cmem[0]
EOF
cat >bad.resources <<'EOF'
ptxas info    : Compiling entry function '_Z5spillPf' for 'sm_90'
ptxas info    : Function properties for _Z5spillPf
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 384 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5stackPf' for 'sm_75'
ptxas info    : Function properties for _Z5stackPf
    32 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, 384 bytes cmem[0]
EOF
expect test -z "$(too_much good.resources)"
expect test "$(kernels good.resources)" = "sm_80 good.resources _Z4goodPf 0 0 40"
expect test "$(too_much good.resources bad.resources)" = "sm_90: _Z5spillPf: 8 bytes of stack, 16 bytes spilled
sm_75: _Z5stackPf: 32 bytes of stack, 0 bytes spilled"

# The kernels that walk over rows in vectors (others have a loop for the last elements in it). Beside vectors their inner loops access only masks (8 bits) and argmax (64 bits).
row_kernels='act_materialize bn_backward_apply bn_backward_reduce bn_sums max_pool_backward max_pool_backward_stem max_pool_forward residual_backward residual_forward'

# not_in_vectors REPORT: the row kernels that have no loop of 128-bit accesses, or other accesses in it; and those that the report lacks.
not_in_vectors()
{
    awk -F '  +' -v names="$row_kernels" '
        BEGIN { n = split(names, name, " "); for (i = 1; i <= n; i++) wanted[name[i]] = 1 }
        { kernel = $1; sub(/<.*/, "", kernel) }
        kernel in wanted && NF == 12 {
            seen[kernel] = 1
            accesses = $12 ~ /x128/ ? $12 : "no vectors"
            gsub(/[0-9]+x(128|64|8)( |$)/, "", accesses)
            if (accesses != "") print $1 ": " accesses
        }
        END { for (i = 1; i <= n; i++) if (!(name[i] in seen)) print name[i] ": not in the report" }' "$1"
}

# Accesses of fewer than 16 bytes that the row kernels with 16-bit elements have, in the whole kernel, and what they access. Any other is one too many: a scalar
# load takes as long as one of 16 bytes.
narrow_accesses='
act_materialize<*>         0          none
average_pool_backward<*>   0          none
average_pool_forward<*>    0          none
bn_backward_apply<*>       12x32      the constants of each channel, from the sums: once a thread
bn_backward_reduce<*>      2x32       the sums of a block
bn_sums<*>                 2x32       the sums of a block
max_pool_backward<*>       3x64,2x32  positions of 8 channels; the sums of a block
max_pool_backward_stem<*>  4x64,2x32  the same
max_pool_forward<*, *>     1x64       positions of 8 channels
residual_backward<*, 0>    3x8        masks of 8 channels
residual_backward<*, 1>    3x8,2x32   masks; the sums of a block
residual_backward<*, 2>    2x8,3x32   masks; the sums of a block
residual_forward<*>        3x8        masks of 8 channels
tensor_add<*>              0          none
'

# too_narrow REPORT: the row kernels with 16-bit elements that have more accesses of some width than narrow_accesses lists; and those that the report lacks.
too_narrow()
{
    local kernels allowed reason type name row
    while read -r row; do
        [ -n "$row" ] || continue
        kernels=${row%%  *}
        read -r allowed reason <<<"${row#"$kernels"}"
        for type in fp16 bf16; do
            name=${kernels/\*/$type}
            awk -F '  +' -v name="$name" -v allowed="$allowed" '
                BEGIN { n = split(allowed, part, ","); for (i = 1; i <= n; i++) { split(part[i], x, "x"); most[x[2]] = x[1] } }
                { kernel = $1; if (name ~ /\*/) sub(/, [0-9]+>$/, ", *>", kernel); else if (name !~ /,/) sub(/, (true|false)>$/, ">", kernel) }
                kernel == name && NF == 12 {
                    seen = 1
                    n = split($11, part, " ")
                    for (i = 1; i <= n; i++)
                        if (split(part[i], x, "x") == 2 && x[1] > most[x[2]] + 0) print $1 ": " part[i] ", not " allowed
                }
                END { if (!seen) print name ": not in the report" }' "$1"
        done
    done <<<"$narrow_accesses"
}

begin "the report names every kernel, its blocks and its bytes; row kernels move 16 bytes at a time"
grep -q '^#define DT_WITH_PTX_TESTS 1' "$TOP_BUILDDIR/config.h" || skip "this build has no PTX: tests/ptx/ptx_test.sh says what it needs"
case " $archs " in
*" 90 "*)
    if [ "$_state" = passed ]; then
        # from tests/ptx/traffic and tests/ptx/sm_90.so, which make check builds
        expect_exit 0 env -C "$TOP_BUILDDIR" python3 "$TOP_SRCDIR/tests/ptx/kernel_report.py" 90 ptx
        cp "$OUTPUT" report
        expect_output "^sm_90: $(kernels $(reports) | grep -c '^sm_90 ') kernels$"
        expect test -z "$(not_in_vectors report)"
        not_in_vectors report
        expect test -z "$(too_narrow report)"
        too_narrow report
        # 2 bytes an element: the sums read one tensor; the gradient reads two, and vectors of each channel, and writes one.
        expect_output '^bn_sums<fp16> .* 2\.0[0-9]  +0\.0[0-9] '
        expect_output '^bn_backward_apply<fp16, false> .* 4\.[0-9]+  +2\.0[0-9] '
    fi
    ;;
*) skip "the kernels are not compiled for sm_90" ;;
esac

begin "a planted scalar access in a row kernel is found"
cat >report <<'EOF_REPORT'
kernel                     registers  spilled  stack  shared  threads  blocks  read  written  instr      narrow  loop
bn_sums<fp16>                     56        0      0    8192      256       4  2.01     0.01   45.0        2x32  4x128
bn_sums<bf16>                     56        0      0    8192      256       4  2.01     0.01   45.0        3x32  4x128
max_pool_forward<fp16, 3>         74        0      0       0      256       3  8.28     3.00   97.0  1x64 72x16  1x128
max_pool_forward<bf16, 3>         74        0      0       0      256       3  8.28     3.00   97.0        1x64  1x128
residual_forward<fp16, 0>         76        0      0       0      256       3  4.01     2.06  130.2           0  6x128 2x8
residual_forward<bf16, 0>         76        0      0       0      256       3  4.01     2.06  130.2           0  6x128 1x16 2x8
pack<fp16>                        40        0      0       0      256       6  4.00     2.00      -           0  -
EOF_REPORT
row_kernels='bn_sums residual_forward pack unpack'
expect test "$(not_in_vectors report)" = "residual_forward<bf16, 0>: 1x16 
pack<fp16>: no vectors
unpack: not in the report"
narrow_accesses='bn_sums<*>  2x32  sums
max_pool_forward<*, *>  1x64  positions
residual_forward<*>  0  none'
expect test "$(too_narrow report)" = "bn_sums<bf16>: 3x32, not 2x32
max_pool_forward<fp16, 3>: 72x16, not 1x64
residual_forward<fp16>: not in the report
residual_forward<bf16>: not in the report"

begin "make kernel-report prints no command of the build before the table"
grep -q '^#define DT_WITH_PTX_TESTS 1' "$TOP_BUILDDIR/config.h" || skip "this build has no PTX: tests/ptx/ptx_test.sh says what it needs"
# -n builds nothing; with a file that counts as new, the build has something to do
expect_exit 0 make -n -C "$TOP_BUILDDIR" -W tests/ptx/traffic.o kernel-report
expect_output 'kernel_report\.py'
expect_no_output '(CCLD|NVCC|-o tests)'

finish
