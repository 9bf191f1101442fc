#!/bin/bash
# No text from outside reaches the terminal as it is: each name here could clear the screen or look like a line of dtrain's own.
. "$(dirname "$0")/../lib.sh"

evil=$'a\e[2J\ndtrain: error: forged\r\x7f\xc2\x9b\xff\xe2\x80\xae'
shown='a\x1b[2J\x0adtrain: error: forged\x0d\x7f\xc2\x9b\xff\u{202e}'

# expect_clean: the last output has no control character but line feeds, is UTF-8, and no line that the name forged.
expect_clean()
{
    [ "$_state" != skipped ] || return 0
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f\xff]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$OUTPUT" ||
        fail "a control character was printed: $(LC_ALL=C grep -P -m 1 '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' "$OUTPUT" | od -c | head -n 4)"
    ! grep -q '^dtrain: error: forged' "$OUTPUT" || fail "a forged line was printed"
}

# expect_shown CODE CMD...: CMD exits with CODE and prints the name, escaped.
expect_shown()
{
    expect_exit "$@"
    expect_clean
    expect grep -qF -e "$shown" "$OUTPUT"
}

begin "an error shows what the user typed, escaped, in one line"
for words in "--bacth" "--data=x --arch=" "--batch=" "--crop-scale=" "--time-limit=" "--data=" "--config=" "--precision=" "--init=" \
    "--imds-endpoint=" "eval --data=x --weights=" "inspect " "export --output=x.safetensors " "info --plans --device="; do
    case $words in *=) set -- ${words%=} && set -- "${@:1:$#-1}" "${!#}=$evil" ;; *' ') set -- $words "$evil" ;; *) set -- "$words$evil" ;; esac
    expect_exit '1|2' "$DTRAIN" "$@"
    expect_clean
    [ "$(wc -l <"$OUTPUT")" = 1 ] || fail "more than one line for '$words': $(head -n 5 "$OUTPUT")"
done
expect_shown 2 "$DTRAIN" "$evil"
expect_shown 1\|2 "$DTRAIN" inspect "$evil"
expect_shown 1\|2 env DTRAIN_FAULT="$evil" "$DTRAIN" "${ANY_BACKEND[@]}" --data x

begin "a configuration file's name, keys and values are escaped"
printf '%s = 3;\n' batch >"$evil"
printf 'data = "x\\x1b[2J\\ndtrain: error: forged";\n' >value.conf
expect_exit 2 "$DTRAIN" --config "$evil" --batch 0
expect_clean
expect_exit '1|2' "$DTRAIN" --config value.conf
expect_clean
printf 'batch = 0;\n' >"$evil"
expect_shown 2 "$DTRAIN" --config "$evil"

begin "names of classes, files and folders are escaped in a training's lines and tables"
digits data 2 4 2
run=$'run-a\e[2Jb'
for split in train val; do mv data/$split/1 "data/$split/${evil%$'\xff'*}"; done
printf 'no image' >$'data/train/0/b\e[31m\ndtrain: error: forged.jpg'
mv data $'d\e[2J'
expect_exit 0 "$DTRAIN" --data $'d\e[2J' --arch resnet18 --image-size 16 --batch 4 --epochs 1 --out "$run" \
    --max-broken 1 "${ANY_BACKEND[@]}"
expect_clean
expect_output 'b\\x1b\[31m\\x0adtrain: error: forged.jpg'
expect_output 'run-a\\x1b\[2Jb'
expect python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1])]' "$run/metrics.jsonl"
expect_exit 0 "$DTRAIN" inspect "$run"
expect_clean
expect_exit 0 "$DTRAIN" inspect --json "$run"
expect_clean
expect python3 -c 'import json, sys; path = json.load(open(sys.argv[1]))["folders"][0]["path"]; assert path == "run-a\33[2Jb/checkpoints", path' "$OUTPUT"
expect_exit 0 "$DTRAIN" export "$run" --output $'w\e[2J.safetensors'
expect_clean
expect_output 'w\\x1b\[2J.safetensors'

begin "inspect prints valid JSON also of a folder whose name is not UTF-8"
digits data 2 4 2
expect_exit 0 "$DTRAIN" --data data --arch resnet18 --image-size 16 --batch 4 --epochs 1 --out run "${ANY_BACKEND[@]}"
mv run $'r\xff'
expect_exit 0 "$DTRAIN" inspect --json $'r\xff'
expect_clean
expect python3 -c 'import json, sys; path = json.load(open(sys.argv[1]))["folders"][0]["path"]; assert path == "r\uefff/checkpoints", path' "$OUTPUT"
expect_exit 0 "$DTRAIN" inspect --json --diff $'r\xff' $'r\xff'
expect python3 -m json.tool "$OUTPUT" "$TMP/formatted"

begin "demo-data shows the folder's name, escaped"
expect_shown 0 "$DTRAIN" demo-data "$evil"
finish
