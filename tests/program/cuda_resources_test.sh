#!/bin/bash
# The assembler's report on the CUDA kernels (their *.resources, which the rule for .cu writes): registers, stack, spills.
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

# Builds under sanitizers are configured for fewer.
begin "the default architectures are included"
need_cuda && {
    for arch in 75 80 86 89 90; do
        case " $archs " in *" $arch "*) ;; *) skip "configured with --enable-cuda-archs=$(tr ' ' ',' <<<"$archs")" ;; esac
    done
}

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

finish
