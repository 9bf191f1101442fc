#!/bin/bash
# The program opens cuDNN and NCCL when it uses a GPU. Where they are moved away, everything else works, and what needs them says so.
. "$(dirname "$0")/../lib.sh"

fake=$TOP_BUILDDIR/tests/fakes/fake_library.so

need_gpu_path()
{
    grep -qs '^#define DT_WITH_NCCL 1' "$TOP_BUILDDIR/config.h" && return 0
    skip "this build has no cuDNN or no NCCL"
    return 1
}

# "${without[@]}" COMMAND...: runs it where the folders with libcudnn and libnccl are empty.
folders=$(
    sed -n 's/^#define DT_\(CUDNN\|NCCL\)_DIR "\(.*\)"/\2/p' "$TOP_BUILDDIR/config.h"
    ldconfig -p 2>/dev/null | sed -n 's|.* => \(/.*\)/lib\(cudnn\|nccl\)\.so.*|\1|p'
    ls -d /usr/local/cuda/lib64 /usr/local/cuda/lib 2>/dev/null
)
without=(env -u LD_LIBRARY_PATH -u CUDA_HOME -u CUDA_PATH -u CUDNN_HOME -u NCCL_HOME -u VIRTUAL_ENV -u CONDA_PREFIX
    unshare -rm bash -c 'for folder in $1; do mount -t tmpfs none "$folder" || exit 99; done; shift; exec "$@"' - "$(sort -u <<<"$folders")")

need_without()
{
    need_gpu_path || return 1
    if [ -n "$(find / -xdev -path '*/nvidia/*/lib/libcudnn.so.*' -print -quit 2>/dev/null)" ]; then
        skip "NVIDIA's Python packages are installed here"
    elif "${without[@]}" true 2>/dev/null; then
        return 0
    else
        skip "mounting is not allowed"
    fi
    return 1
}

begin "the program is linked with neither cuDNN nor NCCL nor a CUDA library"
need_gpu_path && {
    expect_exit 0 ldd "$DTRAIN"
    expect_output 'libmpi|libhdf5'
    expect_no_output 'libcud|libnccl|libnv'
}

begin "without them it trains, inspects, exports and evaluates on the CPU"
need_without && {
    digits data 4 40 40
    expect_exit 0 "${without[@]}" "$DTRAIN" "${ANY_BACKEND[@]}" --data data --out run --arch resnet18 --epochs 1 --batch 16 --checkpoint-every 5
    [ ${#ANY_BACKEND[@]} -gt 0 ] || expect_output 'no GPU is used; .*libcudnn.* in none of these places: .*set CUDNN_HOME to its folder'
    expect_exit 0 "${without[@]}" "$DTRAIN" inspect run/checkpoints
    expect_exit 0 "${without[@]}" "$DTRAIN" export run --output exported.safetensors
    expect_exit 0 "${without[@]}" "$DTRAIN" eval "${ANY_BACKEND[@]}" --data data --weights exported.safetensors
    expect_output 'top-1'
    expect_exit 0 "${without[@]}" "$DTRAIN" info
    expect_output 'needs cuDNN'
    expect_output 'needs NCCL'
}

begin "without them the cuda backend says what is missing, and where it was looked for"
need_without && {
    expect_exit 1 "${without[@]}" "$DTRAIN" --backend cuda
    expect_output '^dtrain: --backend cuda: .*needs cuDNN, and libcudnn\.so\.[0-9]+ is in none of these places: .*the system.s folders.*set CUDNN_HOME'
    expect_exit 1 "${without[@]}" "$DTRAIN" info --plans --device h200 --arch resnet18 --batch 32
    expect_output 'needs cuDNN, and libcudnn'
}

# fake NAME: a folder with fakes of both libraries.
fake_home()
{
    local major
    mkdir -p home/lib
    major=$(sed -n 's/^#define DT_CUDNN_VERSION "\([0-9]*\).*/\1/p' "$TOP_BUILDDIR/config.h")
    cp "$fake" home/lib/libcudnn.so."$major"
    cp "$fake" home/lib/libnccl.so.2
    with_fakes=(env CUDNN_HOME="$TMP/home" NCCL_HOME="$TMP/home" FAKE_CUDNN_VERSION=91203 FAKE_NCCL_VERSION=22105 COLUMNS=400)
}

begin "CUDNN_HOME and NCCL_HOME come first, and dtrain info says what was opened"
need_gpu_path && {
    fake_home
    expect_exit 0 "${with_fakes[@]}" "$DTRAIN" info
    expect_output "^cuDNN .*9\.12\.3, from"
    expect_output "^NCCL .*2\.21\.5, from"
    tr -d '\n │|' <"$OUTPUT" >joined # the table breaks long paths
    expect grep -q "home/lib/libcudnn" joined
    expect grep -q "home/lib/libnccl" joined
}

begin "a version that is too old is named, with its path and what wants it"
need_gpu_path && {
    fake_home
    expect_exit 0 "${with_fakes[@]}" FAKE_CUDNN_VERSION=8907 FAKE_NCCL_VERSION=21304 "$DTRAIN" info
    tr -d '\n│' <"$OUTPUT" | tr -s ' ' >line
    expect grep -q "the cuda backend needs cuDNN 9.0.0 or later: " line
    expect grep -q "is version 8.9.7; set CUDNN_HOME" line
    expect grep -q "comm nccl needs NCCL 2.14.0 or later: " line
    expect grep -q "is version 2.13.4; set NCCL_HOME" line
    expect_exit 1 "${with_fakes[@]}" FAKE_CUDNN_VERSION=8907 "$DTRAIN" info --plans --device h200 --arch resnet18 --batch 32
    expect_output 'the cuda backend needs cuDNN 9\.0\.0 or later: .*home/lib/libcudnn.* is version 8\.9\.7'
}

begin "plans for a GPU that is not present need cuDNN 9.8"
need_gpu_path && {
    fake_home
    expect_exit 1 "${with_fakes[@]}" FAKE_CUDNN_VERSION=90700 "$DTRAIN" info --plans --device h200 --arch resnet18 --batch 32
    expect_output 'need cuDNN 9\.8 or later; this is 9\.7'
}

begin "a file that is no library is named with the loader's reason"
need_gpu_path && {
    fake_home
    for library in home/lib/*; do echo text >"$library"; done
    expect_exit 0 "${with_fakes[@]}" "$DTRAIN" info
    tr -d '\n │|' <"$OUTPUT" >joined
    expect grep -qE 'home/lib/libcudnn.*(filetooshort|invalidELFheader)' joined
    need_without && {
        expect_exit 1 "${without[@]}" "${with_fakes[@]}" "$DTRAIN" info --plans --device h200 --arch resnet18 --batch 32
        expect_output 'needs cuDNN, which does not load: .*home/lib/libcudnn.*(file too short|invalid ELF header)'
    }
}

finish
