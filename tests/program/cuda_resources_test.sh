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
        kernel in wanted && NF == 11 {
            seen[kernel] = 1
            accesses = $11 ~ /x128/ ? $11 : "no vectors"
            gsub(/[0-9]+x(128|64|8)( |$)/, "", accesses)
            if (accesses != "") print $1 ": " accesses
        }
        END { for (i = 1; i <= n; i++) if (!(name[i] in seen)) print name[i] ": not in the report" }' "$1"
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
        # 2 bytes an element: the sums read one tensor; the gradient reads two, and vectors of each channel, and writes one.
        expect_output '^bn_sums<fp16> .* 2\.0[0-9]  +0\.0[0-9] '
        expect_output '^bn_backward_apply<fp16, false> .* 4\.[0-9]+  +2\.0[0-9] '
    fi
    ;;
*) skip "the kernels are not compiled for sm_90" ;;
esac

begin "a planted scalar access in a row kernel is found"
cat >report <<'EOF_REPORT'
kernel                     registers  spilled  stack  shared  threads  blocks  read  written  instr  loop
bn_sums<fp16>                     56        0      0    8192      256       4  2.01     0.01   45.0  4x128
residual_forward<fp16, 0>         76        0      0       0      256       3  4.01     2.06  130.2  6x128 2x8
residual_forward<bf16, 0>         76        0      0       0      256       3  4.01     2.06  130.2  6x128 1x16 2x8
pack<fp16>                        40        0      0       0      256       6  4.00     2.00      -  -
EOF_REPORT
row_kernels='bn_sums residual_forward pack unpack'
expect test "$(not_in_vectors report)" = "residual_forward<bf16, 0>: 1x16 
pack<fp16>: no vectors
unpack: not in the report"

finish
