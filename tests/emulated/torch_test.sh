#!/bin/bash
# The CUDA backend's graphs and kernels, executed on the CPU, against PyTorch's operations and autograd: a third implementation beside layers/ref and the
# graphs' interpreter, which would share a misreading of what an operation means. torch_dump.h and torch_compare.py say how.
. "$(dirname "$0")/../lib.sh"
all_cases_need need_cunit

python=${PYTHON:-/usr/bin/python3}
dump=$TOP_BUILDDIR/tests/emulated/torch_dump
export OMP_NUM_THREADS=1

# A misreading, and a kind of case that must notice it.
planted="unbiased-variance:forward-prologue unbiased-variance:batchnorm biased-running-variance:batchnorm normalised-padding:forward-prologue
    flipped-filter:forward flipped-filter:dgrad flipped-filter:wgrad early-relu:forward-join early-relu:forward-prologue early-relu:wgrad-prologue
    mask-of-raw:dgrad-bn mask-of-raw:dgrad-join mask-without-skip:dgrad-join lost-shortcut:dgrad-join constant-mean:dgrad-bn constant-mean:dgrad-join
    scaled-sums:dgrad-bn other-classes:softmax-loss damped-momentum:update"

# Writes ../verdicts once, of the program as it is (folder ../none) and with each misreading.
have_verdicts=
need_verdicts()
{
    [ "$_state" != skipped ] || return 1
    [ -x "$dump" ] || { skip "there are no CUDA headers to compile the kernels with"; return 1; }
    [ -n "$have_verdicts" ] || have_verdicts=$("$python" -c 'import torch; print("yes")' 2>/dev/null || echo no)
    [ "$have_verdicts" != no ] || { skip "$python has no PyTorch (Debian: python3-torch)"; return 1; }
    [ "$have_verdicts" = yes ] || return 0
    local folder
    have_verdicts=made
    for folder in none $(printf '%s\n' $planted | cut -d: -f1 | sort -u); do
        mkdir -p "../$folder"
        "$dump" "../$folder" "$folder" || fail "torch_dump $folder"
    done
    (cd .. && "$python" "$TOP_SRCDIR/tests/emulated/torch_compare.py" none $(printf '%s\n' $planted | cut -d: -f1 | sort -u)) >../verdicts || true
}

agrees()
{
    need_verdicts || return
    local kind
    for kind in "$@"; do
        grep -q "^none $kind agrees" ../verdicts || fail "$(grep "^none $kind " ../verdicts || echo "$kind: no verdict")"
    done
}

begin "convolutions forward agree with conv2d"
agrees forward

begin "convolutions that normalise their input agree with batch_norm, relu and conv2d"
agrees forward-prologue

begin "convolutions that read a residual join agree"
agrees forward-join

begin "data gradients agree with autograd, accumulated or not"
agrees dgrad

begin "data gradients through relu and batch_norm agree with autograd"
agrees dgrad-bn

begin "data gradients through a residual join agree with autograd"
agrees dgrad-join

begin "weight gradients agree with autograd, of a normalised input too"
agrees wgrad wgrad-prologue

begin "the fully connected layer agrees with linear and autograd"
agrees linear

begin "batch normalisation agrees in training, in evaluation, and its running statistics"
agrees batchnorm

begin "the residual join as a kernel agrees with autograd"
agrees residual

begin "pooling agrees with max_pool2d and adaptive_avg_pool2d"
agrees max-pool max-pool-plain average-pool

begin "the loss agrees with cross_entropy with label smoothing, and top-1 and top-5 with sorted logits"
agrees softmax-loss

begin "the update agrees with SGD with momentum, Nesterov's too, and running averages"
agrees update

begin "the stem agrees with conv2d of the normalised image in fp16"
agrees stem

begin "planted misreadings are noticed"
need_verdicts && for pair in $planted; do
    grep -q "^${pair%:*} ${pair#*:} differs" ../verdicts || fail "$(grep "^${pair%:*} ${pair#*:} " ../verdicts || echo "$pair: no verdict")"
done

finish
