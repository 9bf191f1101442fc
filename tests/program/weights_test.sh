#!/bin/bash
# Weights that people bring: files of other kinds, names with prefixes, tensors too many or too few, values that are not finite.
. "$(dirname "$0")/../lib.sh"

digits "$_base/data" 4 6 2
digits "$_base/three" 3 6 2
small=(--data "$_base/data" --arch resnet18 --image-size 16 --batch 4 --steps 1 "${ANY_BACKEND[@]}")
"$DTRAIN" "${small[@]}" --out "$_base/run" --export "$_base/good.safetensors" >/dev/null 2>&1 || exit 99
evaluate=("$DTRAIN" eval --data "$_base/data" "${ANY_BACKEND[@]}" --weights)

# edit TO EDIT...
edit()
{
    local to=$1
    shift
    python3 -B "$TOP_SRCDIR/tests/program/edit_weights.py" "$_base/good.safetensors" "$to" "$@" || fail "edit $*"
}

begin "a file of another kind is named, with what to do"
while read -r name bytes said; do
    # shellcheck disable=SC2059 # with backslashes
    printf "$bytes" >"$name"
    expect_exit 1 "${evaluate[@]}" "$name"
    expect_output "^dtrain: --weights: $name: not a safetensors file, but $said"
    expect_exit 1 "$DTRAIN" "${small[@]}" --out run --init "$name"
    expect_output "^dtrain: --init: $name: not a safetensors file, but $said"
done <<'END'
a.pth PK\3\4\0\0\10\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0a/data.pkl a PyTorch file .*; to convert it: python3 -c ".*torch.load.*safetensors
old.pth \200\2\212\nl\374\234F\371\40j\250P\31.\200\2M\351\3. a PyTorch file
keras.h5 \211HDF\r\n\32\n\0\0\0\0\0\0\0\0 an HDF5 file
a.onnx \10\10\22\7pytorch\32\0052.1.0:\0 an ONNX model
index.json {"metadata":{"total_size":1},"weight_map":{}} the index of a model in several
a.gz \37\213\10\10\100\100\100\100\0\3a compressed with gzip; unpack it first
lfs version\40https://git-lfs.github.com/spec/v1\noid\40sha256:12\n a pointer of Git LFS.*git lfs pull
page.html <!DOCTYPE\40html><html> a web page
END
: >empty
expect_exit 1 "${evaluate[@]}" empty
expect_output '^dtrain: --weights: empty: not a safetensors file, but an empty file'

begin "a prefix of all names is left out, whatever it is"
expect_exit 0 "${evaluate[@]}" "$_base/good.safetensors"
without=$(grep val_loss "$OUTPUT")
for prefix in module. model.backbone. $(if_long _orig_mod. module._orig_mod.); do
    edit p.safetensors prefix $prefix add n_averaged I64 1
    expect_exit 0 "${evaluate[@]}" p.safetensors
    expect_output "p.safetensors: all names begin with \"$prefix\", which is left out"
    expect_output 'p.safetensors: left out n_averaged, which this network does not have'
    expect test "$(grep val_loss "$OUTPUT")" = "$without"
done
expect_exit 0 "$DTRAIN" "${small[@]}" --out run --init p.safetensors
edit two.safetensors twice teacher.
expect_exit 2 "${evaluate[@]}" two.safetensors
expect_output '^dtrain: --weights: two.safetensors holds two networks, of tensors that begin with "" and with "teacher."'

begin "tensors that nobody needs are left out and logged, but not those of a deeper network"
edit more.safetensors add mask BOOL 7 add head.0.weight F32 3 add layer1.0.mask BOOL 2
expect_exit 0 "$DTRAIN" "${small[@]}" --out run --init more.safetensors
expect_output 'more.safetensors: left out .* and other tensors, which this network does not have'
edit deeper.safetensors add layer1.2.conv1.weight F32 3
expect_exit 2 "$DTRAIN" "${small[@]}" --out run --init deeper.safetensors
expect_output '^dtrain: --init: deeper.safetensors holds layer1.2.conv1.weight, which this network does not have'
edit bool.safetensors drop bn1.weight add bn1.weight BOOL 64
expect_exit 1 "$DTRAIN" "${small[@]}" --out run --init bool.safetensors
expect_output '^dtrain: --init: .*tensor bn1.weight: dtype BOOL is not one of F32'

begin "a missing classifier keeps its initialisation in --init, and is an error in eval"
edit headless.safetensors drop fc.weight drop fc.bias
expect_exit 0 "$DTRAIN" "${small[@]}" --out run --init headless.safetensors
expect_output 'headless.safetensors has no fc.weight: it keeps its random initialisation'
expect_output 'headless.safetensors has no fc.bias: it keeps its random initialisation'
edit half.safetensors drop fc.bias
expect_exit 0 "$DTRAIN" "${small[@]}" --out run --resume never --init half.safetensors
expect_exit 2 "${evaluate[@]}" headless.safetensors
expect_output 'headless.safetensors has no tensor fc.weight'

begin "values that are not finite are refused with file and tensor, before the first step"
while read -r tensor index value said; do
    edit bad.safetensors set "$tensor" "$index" "$value"
    expect_exit 1 "${evaluate[@]}" bad.safetensors
    expect_output "^dtrain: .*bad.safetensors: $said"
    expect_no_output 'val_loss'
    expect_exit 1 "$DTRAIN" "${small[@]}" --out run --init bad.safetensors
    expect_output "^dtrain: --init: bad.safetensors: $said"
    expect_no_output '^epoch|--lr or'
done <<'END'
fc.weight 5 nan fc.weight is not finite: its element 5 is nan
conv1.weight 0 inf conv1.weight is not finite: its element 0 is inf
layer4.1.bn2.running_mean 1 -inf layer4.1.bn2.running_mean is not finite: its element 1 is -inf
layer1.0.bn1.running_var 3 -1 layer1.0.bn1.running_var has a negative variance: its element 3 is -1
END

begin "weights that overflow in the evaluation are an error"
edit large.safetensors set fc.weight 0 3e38 set bn1.weight 0 3e38 set bn1.bias 1 3e38
expect_exit 1 "${evaluate[@]}" large.safetensors
expect_output '^dtrain: --weights large.safetensors: the loss is not finite \(.*\) in the evaluation'
expect_no_output 'val_loss'

finish
