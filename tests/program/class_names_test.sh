#!/bin/bash
# Weights know the names of their classes: eval, --init and resume compare them with the data's, map another order, and refuse another set.
. "$(dirname "$0")/../lib.sh"

small=("${ANY_BACKEND[@]}" --arch resnet18 --image-size 32 --batch 8 --lr 0.02 --threads 1)

# trained: in the case's folder, data with the classes 0 to 3, a run of 6 steps on them, and its weights w.safetensors.
trained()
{
    local made=$_base/trained
    if [ ! -d "$made" ]; then
        mkdir "$made"
        (cd "$made" && digits data 4 12 5 && "$DTRAIN" --data data "${small[@]}" --epochs 1 --out run --export w.safetensors >log 2>&1) ||
            fail "the training: $(tail -n 1 "$made/log")"
    fi
    cp -r "$made"/* .
}

# reorder FROM TO NAME...: the same weights with their outputs in the order of the names, which FROM has in another.
# --rename: the outputs stay, and get the names.
reorder()
{
    python3 - "$@" <<'PY'
import json, struct, sys
args = sys.argv[1:]
rename = args[0] == "--rename"
source, target, *names = args[rename:]
data = open(source, "rb").read()
n = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + n]), bytearray(data[8 + n:])
known = json.loads(header["__metadata__"].get("class_names", "[]"))
if names == ["-"]:
    del header["__metadata__"]["class_names"]
else:
    header["__metadata__"]["class_names"] = json.dumps(names)
    for tensor in ("fc.weight", "fc.bias"):
        begin, end = header[tensor]["data_offsets"]
        row = (end - begin) // len(known)
        old = bytes(body[begin:end])
        for i, name in enumerate(names):
            k = i if rename else known.index(name)
            body[begin + i * row:begin + (i + 1) * row] = old[k * row:(k + 1) * row]
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(target, "wb").write(struct.pack("<Q", len(text)) + text + body)
PY
}

# names_of RUN: the names in its newest manifest.
names_of()
{
    python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["class_names"])' "$(ls -d "$1"/checkpoints/step-*/manifest.json | tail -n 1)"
}

begin "checkpoints, exports and inspect name the classes"
trained
expect test "$(names_of run)" = "0 1 2 3"
expect_exit 0 "$DTRAIN" export run --output again.safetensors
expect cmp w.safetensors again.safetensors
expect grep -qa '"class_names":"\[\\"0\\",\\"1\\",\\"2\\",\\"3\\"\]"' w.safetensors
expect_exit 0 "$DTRAIN" inspect run
expect_output "^step 6 knows 4 classes: '0', '1', '2', '3'$"
expect_exit 0 "$DTRAIN" inspect run --json
expect test "$(python3 -c 'import json, sys; print(*json.load(sys.stdin)["folders"][0]["generations"][0]["class_names"])' <"$OUTPUT")" = "0 1 2 3"

begin "eval maps the same classes in another order"
trained
expect_exit 0 "$DTRAIN" eval --data data --weights w.safetensors "${ANY_BACKEND[@]}"
expect_no_output 'another order|does not name'
result=$(grep -o 'top-1.*' "$OUTPUT")
reorder w.safetensors other.safetensors 2 0 3 1
expect_exit 0 "$DTRAIN" eval --data data --weights other.safetensors "${ANY_BACKEND[@]}"
expect_output 'the classes of data/val get the labels that they have in other.safetensors, in another order'
expect test "$(grep -o 'top-1.*' "$OUTPUT")" = "$result"
expect_exit 0 ranks 2 "$DTRAIN" eval --data data --weights other.safetensors "${ANY_BACKEND[@]}"
expect test "$(grep -o 'top-1.*' "$OUTPUT")" = "$result"

begin "eval refuses other classes with the difference, and says when it cannot know"
trained
mv data/train/1 data/train/cat; mv data/val/1 data/val/cat
for weights in w.safetensors run; do
    expect_exit 2 "$DTRAIN" eval --data data --weights $weights "${ANY_BACKEND[@]}"
    expect_output "^dtrain: .*$weights cannot be evaluated on data/val: the classes differ: the data lacks '1' and has 'cat'$"
done
rm -r data/train/cat data/val/cat
expect_exit 2 "$DTRAIN" eval --data data --weights w.safetensors "${ANY_BACKEND[@]}"
expect_output "the classes differ: the data lacks '1'$"
mkdir data/train/1 data/val/1
cp data/train/0/* data/train/1; cp data/val/0/* data/val/1
reorder w.safetensors unnamed.safetensors -
expect_exit 0 "$DTRAIN" eval --data data --weights unnamed.safetensors "${ANY_BACKEND[@]}"
expect_output 'unnamed.safetensors does not name its classes'

begin "a resume refuses other classes with the difference"
trained
mv data/train/3 data/train/dog; mv data/val/3 data/val/dog
expect_exit 2 "$DTRAIN" --data data "${small[@]}" --epochs 2 --out run
expect_output "^dtrain: the checkpoint of step 6 and data: the classes differ: the data lacks '3' and has 'dog': use another --out"

begin "--init keeps a classifier of the same classes, and a resume its order"
trained
reorder w.safetensors other.safetensors 2 0 3 1
expect_exit 0 "$DTRAIN" --data data "${small[@]}" --epochs 2 --steps 6 --out as-is --init w.safetensors
expect_output "init w.safetensors: its classifier is used: it names the classes of this data$"
expect_exit 0 ranks 1 "$DTRAIN" --data data "${small[@]}" --epochs 2 --steps 6 --out moved --init other.safetensors --export moved.safetensors
expect_output 'its classifier is used: it names the classes of this data, in another order, which labels follow'
expect test "$(names_of moved)" = "2 0 3 1"
# the same first step, but for the order of sums over classes
loss() { grep '"event": "step"' "$1/metrics.jsonl" | head -n 1 | grep -o '"loss": [0-9.]*' | cut -c9-13; }
expect test "$(loss as-is)" = "$(loss moved)"
expect_exit 0 "$DTRAIN" --data data "${small[@]}" --epochs 2 --out moved --export moved.safetensors
expect_output 'the classes keep the labels that they have in the checkpoint, in another order'
expect test "$(names_of moved)" = "2 0 3 1"
final=$(grep -o 'final .*top-1 [0-9.]*' "$OUTPUT" | grep -o '[0-9.]*$')
for weights in moved moved.safetensors; do
    expect_exit 0 "$DTRAIN" eval --data data --weights $weights "${ANY_BACKEND[@]}"
    expect_output 'in another order'
    expect test "$(grep -o 'top-1 [0-9.]*' "$OUTPUT" | awk '{printf "%.2f", 100 * $2}')" = "$final"
done

begin "--init begins a new classifier for other classes, and logs that"
trained
reorder --rename w.safetensors other.safetensors 0 1 2 x
expect_exit 0 ranks 2 "$DTRAIN" --data data "${small[@]}" --batch 4 --steps 1 --out other --init other.safetensors
expect_output "warning: --init other.safetensors: its classifier is not used, and a new one begins with random values: the classes differ: the data lacks 'x' and has '3'"
rm -r data/train/3 data/val/3
expect_exit 0 "$DTRAIN" --data data "${small[@]}" --steps 1 --out fewer --init w.safetensors
expect_output "its classifier is not used, and a new one begins with random values: the classes differ: the data lacks '3'"
reorder w.safetensors unnamed.safetensors -
expect_exit 0 "$DTRAIN" --data "$_base/trained/data" "${small[@]}" --steps 1 --out unnamed --init unnamed.safetensors
expect_output 'its classifier is used: it has 4 outputs and does not name their classes'

begin "names of classes that do not fit are ignored with a warning"
trained
reorder --rename w.safetensors twice.safetensors 0 1 2 2
expect_exit 0 "$DTRAIN" eval --data data --weights twice.safetensors "${ANY_BACKEND[@]}"
expect_output 'warning: twice.safetensors: its names of classes are ignored: the metadata "class_names" has a name twice'
expect_output 'twice.safetensors does not name its classes'

begin "names of classes may hold any bytes"
digits data 2 8 4
for split in train val; do
    mv data/$split/0 data/$split/$'caf\xe9 \x1b[2J'
    mv data/$split/1 data/$split/$'a"\\\n\xee\xbf\xa9'
done
expect_exit 0 "$DTRAIN" --data data "${small[@]}" --epochs 1 --out run --export w.safetensors
expect_exit 0 "$DTRAIN" --data data "${small[@]}" --epochs 2 --out run
expect_output 'going on after step 2'
for weights in run w.safetensors; do
    expect_exit 0 "$DTRAIN" eval --data data --weights $weights "${ANY_BACKEND[@]}"
    expect_no_output 'another order'
done
expect_exit 0 "$DTRAIN" inspect run --verify
expect_output "know 2 classes: .*'caf\\\\xe9 \\\\x1b\[2J'"
expect_exit 0 "$DTRAIN" export run --step 2 --output again.safetensors
expect cmp w.safetensors again.safetensors

finish
