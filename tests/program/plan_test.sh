#!/bin/bash
# dtrain plan: its table, JSON and Markdown, what its options change, and what it refuses. Figures are tested in
# tests/launch/estimate/.
. "$(dirname "$0")/../lib.sh"

TYPES=g5.xlarge,p4d.24xlarge
export LC_ALL=C.UTF-8

# plan OPTION...: the JSON of a plan of two types, in $OUTPUT.
plan() { expect_exit 0 "$DTRAIN" plan --types $TYPES --json "$@"; }
# value EXPRESSION: prints a value of the JSON; `row("g5.xlarge", "spot")` is the cheapest such row.
value()
{
    python3 - "$OUTPUT" "$1" <<'PY'
import json, sys
plan = json.load(open(sys.argv[1]))
def row(instance, buy):
    return next(r for r in plan["rows"] if r["instance"] == instance and r["buy"] == buy and not r["excluded"])
print(eval(sys.argv[2]))
PY
}
# differs EXPRESSION OPTION...: the value differs from that without the options.
differs()
{
    local expression=$1 before
    shift
    plan
    before=$(value "$expression")
    plan "$@"
    [ "$before" != "$(value "$expression")" ] || fail "$*: $expression is $before with it and without it"
}

begin "without options there is a table of 80 columns and three recommendations, in two seconds"
SECONDS=0
expect_exit 0 "$DTRAIN" plan
[ $SECONDS -le $((3 * ${DTRAIN_TEST_SLOWER:-1})) ] || fail "took $SECONDS s"
expect_tables_of_80_columns
expect_output '^resnet50, 90 epochs of 1281167 images'
expect_output '^[*]p4d.24xlarge .* spot '
for title in Cheapest Fastest 'Best value'; do expect_output "^$title"; done
expect_output '^    mpirun -np 8 dtrain --data DIR --batch 256 --lr 0.8'
expect_output 'days ago'
tr '\n' ' ' <"$OUTPUT" >line
expect grep -qE 'prices: on demand of 2026-07-20 \([0-9]+ days old\), spot of .*2025-06-01 \([0-9]+ days old\)' line
# The row of each recommendation, and of the front, is in the table: "Fastest" and the next line name p6-b200.
expect_exit 0 "$DTRAIN" plan --json
value '"\n".join(("*" if "front" in r["marks"] else "") + r["instance"] + " +. " + r["buy"].split()[-1] + " +. " + (r["zone"] or r["region"]) for r in plan["rows"] if not r["excluded"] and r["marks"] and not r["retiring"])' >marked
[ "$(wc -l <marked)" -ge 5 ] || fail "$(cat marked)"
expect_exit 0 "$DTRAIN" plan
sed 's/\xe2\x94\x82/|/g' "$OUTPUT" >table
while read -r row; do grep -qE "^[*]?${row#\*} " table || fail "not in the table: $row"; done <<<"$(sed 's/+\. /+[|] /g; s/^\*/[*]/' marked)"
expect_output '^left out: trn1.2xlarge .*: not supported: '
expect_no_output '[\]x0a'

begin "the README shows the table that the program prints"
expect_exit 0 "$DTRAIN" plan
sed -n '/^    instance .* buy /,/^    [.][.][.]/s/^    //p' "$TOP_SRCDIR/README.md" | grep ' │ .* │ ' >readme.rows
[ "$(wc -l <readme.rows)" -ge 6 ] || fail "README.md: the table of dtrain plan is not there"
grep ' │ .* │ ' "$OUTPUT" | head -n "$(wc -l <readme.rows)" >printed.rows
expect diff readme.rows printed.rows

begin "a wide terminal has more columns"
cat >wide.py <<'P'
import fcntl, os, pty, struct, subprocess, sys, termios
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
child = subprocess.Popen([sys.argv[1], "plan", "--types", "g6e.xlarge"], stdout=theirs, stdin=subprocess.DEVNULL)
os.close(theirs)
text = b""
while True:
    try:
        part = os.read(ours, 65536)
    except OSError:
        break
    if not part:
        break
    text += part
print(text.decode(), end="")
sys.exit(child.wait())
P
expect_exit 0 python3 wide.py "$DTRAIN"
expect_output 'without it .* start .* USD/h .* price of'
expect_output 'g6e.xlarge .* demand .* 1428 .* decode .* 1853 .* 14 min .* 1.861 '

begin "the same command prints the same bytes"
expect_exit 0 "$DTRAIN" plan --json
cp "$OUTPUT" first
expect_exit 0 "$DTRAIN" plan --json
expect cmp "$OUTPUT" first

begin "options of a training change what is planned"
rate='row("p4d.24xlarge", "on demand")["throughput"]["stages_images_s"]["GPU"]'
hours='row("p4d.24xlarge", "on demand")["hours"]["mean"]'
differs "$rate" --image-size 160
differs "$rate" --resize-schedule 160:0,192:0.5
differs "$rate" --arch resnet18
differs "$rate" --precision fp32
differs "$hours" --epochs 16
differs "$hours" --eval-every 10
differs 'row("p4d.24xlarge", "on demand")["throughput"]["batch"]' --batch 128
differs 'row("p4d.24xlarge", "spot")["throughput"]["checkpoint_s"]' --ema 0.999
differs 'row("p4d.24xlarge", "spot")["spot"]["checkpoint_interval_s"]' --checkpoint-every 500
differs 'row("p4d.24xlarge", "spot")["spot"]["checkpoint_interval_s"]' --checkpoint-every 0
hours='[r["hours"]["mean"] for r in plan["rows"] if r["nodes"] == 16 and r["buy"] == "on demand"]'
for option in "--accumulate 8" "--wire fp32"; do
    plan --max-nodes 16 --batch 32 --types g5.xlarge
    before=$(value "$hours")
    plan --max-nodes 16 --batch 32 --types g5.xlarge $option
    [ "$before" != "$(value "$hours")" ] || fail "$option changes nothing"
done
plan --types g5.xlarge --epochs 16 --resize-schedule 160:0,192:0.5 --precision bf16 --accumulate 2 --mtti normal --batch 128
[ "$(value 'plan["recommendations"][0]["command"]')" = "mpirun -np 1 dtrain --data DIR --batch 128 --resize-schedule 160:0,192:0.5 --epochs 16 --accumulate 2 --precision bf16 --lr 0.1 --checkpoint-every auto --mtti 8" ] || fail "$(value 'plan["recommendations"][0]["command"]')"
echo 'arch = "resnet18"; epochs = 16; mtti = 8.0; lr = 0.1; data = "/nowhere/imagenet"; batch = 64;' >run.conf
plan --config run.conf
[ "$(value '(plan["workload"]["arch"], plan["workload"]["epochs"], plan["mtti_hours"])')" = "('resnet18', 16.0, 8.0)" ] || fail "$(value 'plan["workload"]')"
expect_output 'the folder of the configuration is not on this machine'
[ "$(value 'plan["recommendations"][0]["command"]')" = "mpirun -np 1 dtrain --config run.conf --checkpoint-every auto" ] || fail "$(value 'plan["recommendations"][0]["command"]')"
echo 'lr = "fast";' >bad.conf
expect_exit 2 "$DTRAIN" plan --config bad.conf
expect_output '^dtrain: bad.conf:1: lr: .*; a training would refuse this file$'
echo 'mtti = "calm";' >bad.conf
expect_exit 2 "$DTRAIN" plan --config bad.conf
expect_output '^dtrain: bad.conf:1: mtti: .*; a training would refuse this file$'

begin "a command of several lines is one for a shell"
mkdir -p 'my  own images of a folder with a name that needs  a second line' && echo 'epochs = 16;' >'my  own images of a folder with a name that needs  a second line/run.conf'
expect_exit 0 "$DTRAIN" plan --config 'my  own images of a folder with a name that needs  a second line/run.conf' --types g5.xlarge --ema 0.999 --wire fp32
(printf 'mpirun() { printf "<%%s>" "$@"; echo; }\n'; sed -n '/^    mpirun/,/[^\\]$/p' "$OUTPUT") >command.sh
bash command.sh >started
expect grep -qxF '<-np><1><dtrain><--config><my  own images of a folder with a name that needs  a second line/run.conf><--data><DIR><--ema><0.999><--wire><fp32><--batch><256><--lr><0.1><--checkpoint-every><auto><--mtti><3.1>' started

begin "--data is counted, and --images and --data-bytes say other"
digits digits 10 5 3
plan --data digits
[ "$(value '(plan["workload"]["images"], plan["workload"]["val_images"])')" = "(50.0, 30.0)" ] || fail "$(value 'plan["workload"]')"
# shellcheck disable=SC2002 # all of them
[ "$(value 'plan["workload"]["data_bytes"]')" = "$(cat $(find digits -name '*.jpg') | wc -c).0" ] || fail "$(value 'plan["workload"]["data_bytes"]')"
plan --data digits --images 500
[ "$(value '(plan["workload"]["images"], plan["workload"]["val_images"])')" = "(500.0, 300.0)" ] || fail "$(value 'plan["workload"]')"
plan --data-bytes 1.5T
[ "$(value 'plan["workload"]["data_bytes"]')" = 1500000000000.0 ] || fail "$(value 'plan["workload"]["data_bytes"]')"
expect_exit 1\|2 "$DTRAIN" plan --data nowhere
expect_output 'nowhere'

begin "the JSON has the keys that its description names"
plan --deadline 12h
value 'sorted(k for r in plan["rows"] if not r["excluded"] for k in r)' >keys
value 'sorted(plan)' >>keys
value 'sorted(k for k in row("g5.xlarge", "spot")["throughput"])' >>keys
# shellcheck disable=SC2013 # words
for key in $(grep -oE "[a-z_0-9]+" keys | sort -u); do
    grep -q "\"$key\"" "$TOP_SRCDIR/launch/estimate/README.md" || fail "launch/estimate/README.md does not name $key"
done

begin "Markdown has the rows of the table"
expect_exit 0 "$DTRAIN" plan --types $TYPES --markdown
expect_output '^[|] instance [|] buy [|]'
expect_output '^[|] g5.xlarge [|] demand [|] us-east-1 [|] 638 [|] GPU [|]'
expect_output '^[*][*]Cheapest[.][*][*] '
expect_output '^    mpirun -np 8 dtrain --data DIR '
expect_output '; ~: estimated; !: being retired'
expect_output '^prices: on demand of '
expect_exit 0 "$DTRAIN" plan --markdown
expect_output '^- left out: trn1.2xlarge .*: not supported: '
expect_exit 0 "$DTRAIN" plan --types $TYPES --markdown --batch 700
expect_output '^- left out: g5.xlarge .*: a batch of 700 needs'
expect_exit 0 "$DTRAIN" plan --types $TYPES --markdown --nodes 1,2
expect_output '^[|] nodes [|] GPUs [|]'
expect_output '^[|] 2 [|] 16 [|]'

begin "--html writes one page that needs nothing else"
expect_exit 0 "$DTRAIN" plan --types $TYPES --html page.html
expect grep -q '<svg' page.html
expect grep -q 'p4d.24xlarge' page.html
! grep -q 'of ideal' page.html || fail "the page shows how types scale without --nodes"
expect_exit 0 "$DTRAIN" plan --types $TYPES --html page.html --nodes 1,2
expect grep -q 'of ideal' page.html
expect grep -q 'No instance is paid while none can be had' page.html
! grep -qE '(src|href)="?https?:' page.html || fail "the page asks for something from outside"

begin "counts on a page have no decimals"
expect_exit 0 "$DTRAIN" plan --types g5.xlarge --images 11 --html page.html
tr -d '\n' <page.html >line.html
expect grep -qE '<dt>Choices compared</dt><dd>[0-9]+</dd>' line.html
expect grep -qE '<dt>Images × epochs</dt><dd>11 × 90</dd>' line.html

begin "--html follows a link and keeps a mode, and puts no file in the place of a FIFO"
mkfifo pipe
: >real.html
chmod 600 real.html
ln -s real.html link.html
expect_exit 0 "$DTRAIN" plan --types g5.xlarge --html link.html
[ -L link.html ] && [ "$(stat -c %a real.html)" = 600 ] && grep -q '<svg' real.html || fail "$(ls -l)"
for option in --html --refresh-prices; do
    expect_exit 1 "$DTRAIN" plan --types g5.xlarge $option pipe
    expect_output "^dtrain: $option: pipe: is not a regular file, and would be replaced by one$"
    [ -p pipe ] || fail "$(ls -l pipe)"
done
expect_exit 2 "$DTRAIN" plan --refresh-prices nowhere/prices.json
expect_output '^dtrain: --refresh-prices nowhere/prices.json: the folder nowhere'

begin "--mtti changes hours more than dollars"
plan --mtti calm
calm=$(value 'row("g5.xlarge", "spot")["hours"]["mean"]') calm_usd=$(value 'row("g5.xlarge", "spot")["usd"]["parts"]["training"]')
plan --mtti traces
traces=$(value 'row("g5.xlarge", "spot")["hours"]["mean"]') traces_usd=$(value 'row("g5.xlarge", "spot")["usd"]["parts"]["training"]')
expect awk -v a="$calm" -v b="$traces" -v c="$calm_usd" -v d="$traces_usd" 'BEGIN { exit !(b > 1.25 * a && d < 1.05 * c) }'

begin "--types, --regions and --max-nodes choose the rows"
plan --regions us-east-2 --max-nodes 4
[ "$(value 'sorted({(r["instance"], r["region"], r["nodes"]) for r in plan["rows"]})')" = "[('g5.xlarge', 'us-east-2', 1), ('g5.xlarge', 'us-east-2', 2), ('g5.xlarge', 'us-east-2', 4), ('p4d.24xlarge', 'us-east-2', 1), ('p4d.24xlarge', 'us-east-2', 2), ('p4d.24xlarge', 'us-east-2', 4)]" ] || fail "$(value 'sorted({(r["instance"], r["region"], r["nodes"]) for r in plan["rows"]})')"

begin "--nodes shows how each type scales"
expect_exit 0 "$DTRAIN" plan --types $TYPES --nodes 1,2,16,512 --batch 16
expect_tables_of_80_columns
expect_output '^ *nodes .* of ideal .* sums .* wait '
expect_output '^ *1 [^ ]* *8 [^ ]* *24736 [^ ]* *100.0% '
expect_output '^ *512 [^ ]* *4096 '
plan --nodes 3,1
[ "$(value 'sorted({r["nodes"] for r in plan["rows"]})')" = '[1, 3]' ] || fail "$(value 'sorted({r["nodes"] for r in plan["rows"]})')"
expect_exit 2 "$DTRAIN" plan --nodes 1,many
expect_output "^dtrain: --nodes: 'many' is not a number from 1 to 512$"

begin "a deadline and a budget have their own recommendations"
expect_exit 0 "$DTRAIN" plan --deadline 12h --budget 50
expect_output '^Cheapest in 12 h'
expect_output '^Fastest for [$]50.00'
plan --deadline 3h --types p4d.24xlarge
[ "$(value 'row("p4d.24xlarge", "mixed")["hours"]["p95"] <= 3')" = True ] || fail "$(value 'row("p4d.24xlarge", "mixed")')"
[ "$(value '0 < row("p4d.24xlarge", "mixed")["spot"]["runs_on_demand"] < 1')" = True ] || fail "$(value 'row("p4d.24xlarge", "mixed")')"
expect_exit 0 "$DTRAIN" plan --types g5.xlarge --deadline 20m --budget 3
expect_output 'No choice is done by then in 95 of 100 runs[.] The nearest is g5.xlarge'
expect_output 'No choice stays below that in 95 of 100 runs[.] The nearest is'

begin "--startup replaces the estimate of a start"
plan --startup 15m
[ "$(value 'row("g5.xlarge", "on demand")["throughput"]["startup_s"]["total"]')" = 900.0 ] || fail "$(value 'row("g5.xlarge", "on demand")["throughput"]["startup_s"]')"

begin "--assume seed has the four figures of the first table"
expect_exit 0 "$DTRAIN" plan --assume seed
expect_output 'g5.xlarge .*[$]200, 200 h; spot [$]80 '
expect_output 'p3.2xlarge .*[$]306, 100 h '
expect_output 'p4d.24xlarge .*[$]786, 24 h '
expect_output '167 for each of 8 GPUs'
tr '\n' ' ' <"$OUTPUT" >line
expect grep -q 'limited by its disk, to [0-9]* images/s' line
expect_tables_of_80_columns

begin "files of the user's override the built-in data"
cat >rates.json <<'J'
{"sources": {"mine": {"text": "measured here", "date": "2026-11-30", "confidence": "measured"}},
 "rates": [{"gpu": "A10G", "arch": "resnet50", "precision": "fp16", "image_size": 224, "gpus": 1,
            "images_s": 700, "software": "dtrain", "source": "mine"}]}
J
plan --rates rates.json
[ "$(value 'row("g5.xlarge", "on demand")["throughput"]["images_s"]')" = 700.0 ] || fail "$(value 'row("g5.xlarge", "on demand")["throughput"]')"
cat >prices.json <<'J'
{"sources": {"mine": {"text": "a contract", "date": "2026-11-30", "confidence": "published"}},
 "prices": [{"type": "g5.xlarge", "region": "us-east-1", "kind": "on demand", "usd_h": 0.5, "source": "mine"}]}
J
plan --prices prices.json
[ "$(value 'row("g5.xlarge", "on demand")["price"]["usd_h"]')" = 0.5 ] || fail "$(value 'row("g5.xlarge", "on demand")["price"]')"
sed -i 's/2026-11-30/2099-01-01/' prices.json
plan --prices prices.json --types g5.xlarge
expect_output 'WARNING: a price here is of 2099-01-01, and today is '
sed -i 's/usd_h/usd/' prices.json
expect_exit 2 "$DTRAIN" plan --prices prices.json
expect_output '^dtrain: prices.json:2: "usd" is no known key; did you mean "usd_h"[?]$'
cat >instances.json <<'J'
{"sources": {"mine": {"text": "looked up", "date": "2026-11-30", "confidence": "published"}},
 "instances": [{"type": "g5.xlarge", "source": "mine", "nvme_gb": 100}]}
J
plan --instances instances.json
[ "$(value 'row("g5.xlarge", "on demand")["throughput"]["data_on"]')" = EBS ] || fail "$(value 'row("g5.xlarge", "on demand")["throughput"]')"

begin "--refresh-prices and --check say how to get credentials"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_PROFILE AWS_SESSION_TOKEN
export AWS_EC2_METADATA_DISABLED=true HOME=$TMP AWS_SHARED_CREDENTIALS_FILE=$TMP/none AWS_CONFIG_FILE=$TMP/none
expect_exit 1\|2 "$DTRAIN" plan --refresh-prices new.json --types g5.xlarge
expect_output 'credentials|libcurl|expat'
expect_exit 1\|2 "$DTRAIN" plan --check --types g5.xlarge
expect_output 'credentials|libcurl|expat'

begin "what cannot be planned is refused in one line, with what was meant"
refused() { expect_exit 2 "$DTRAIN" plan "${@:2}"; expect_output "$1"; [ "$(wc -l <"$OUTPUT")" = 1 ] || fail "$(cat "$OUTPUT")"; }
refused "^dtrain: --types: there is no instance type 'p4d.24xlage'; did you mean 'p4d.24xlarge'[?]$" --types p4d.24xlage
refused "^dtrain: --types: a name is missing between commas$" --types g5.xlarge,
refused "^dtrain: --regions: no price is known in 'mars'; there are prices in us-east-1" --regions mars
refused '^dtrain: --images: 0 is out of range: 1 to 10000000000, or auto$' --images 0
refused '^dtrain: --images: 1000000000000 is out of range' --images 1000000000000
refused '^dtrain: --budget: 0 is out of range: more than 0, up to 1000000000, or none$' --budget 0
refused "^dtrain: --data-bytes: '3q' is not a size: for example 144G" --data-bytes 3q
refused "^dtrain: --mtti: 'often' is not a number, nor calm, nor normal, nor hard, nor traces$" --mtti often
refused "^dtrain: --mtti: 'clam' is not a number, .*; did you mean 'calm'[?]$" --mtti clam
refused "^dtrain: --regions: no price is known in 'us-west-3'; did you mean 'us-west-2'[?] There are prices in " --regions us-west-3
refused '^dtrain: --deadline: 12 is 12 seconds, .*; for hours write 12h$' --deadline 12
refused '^dtrain: --epochs: the table of --assume seed is of ResNet-50, 90 epochs ' --assume seed --epochs 16
refused '^dtrain: --types: the table of --assume seed is of .* its own five types' --assume seed --types g6.xlarge
refused '^dtrain: --prices none.json: ' --prices none.json
refused '^dtrain: --json and --markdown exclude each other$' --json --markdown
refused '^dtrain: --assume seed prints a table: ' --assume seed --json
refused '^dtrain: --nodes and --max-nodes exclude each other$' --nodes 1 --max-nodes 4
refused '^dtrain: --nodes is not for --here, which plans for one machine$' --here --nodes 4
refused '^dtrain: --html is not for --refresh-prices, which makes no plan$' --refresh-prices new.json --html page.html
expect_exit 1 "$DTRAIN" plan --types g5.xlarge --html nowhere/page.html
expect_output '^dtrain: --html: nowhere/page.html'

begin "choices that cannot train are left out with the reason"
expect_exit 1 "$DTRAIN" plan --types trn1.2xlarge
expect_output '^left out: trn1.2xlarge .*: not supported'
expect_output '^no choice is possible: trn1.2xlarge in us-east-1: not supported'
expect_output '^dtrain: no choice is possible: the plan says why$'
expect_exit 1 "$DTRAIN" plan --types g5.xlarge --batch 4096
expect_output '^left out: g5.xlarge .*: a batch of 4096 needs'
expect_exit 1 "$DTRAIN" plan --images 10000000000
expect_output '^left out: g5.xlarge .*: [0-9]* GB of images'
expect_no_output '^(Cheapest|Fastest|Best value)'
expect_exit 0 "$DTRAIN" plan --types g5.xlarge --mtti 0.01
expect_output 'would$|it would never finish|never finish'
expect_output '^[*]?g5.xlarge .* demand '
expect_exit 0 "$DTRAIN" plan --types p3.2xlarge
expect_output 'being$|retired'

begin "a type without a price is left out with the reason"
expect_exit 1 "$DTRAIN" plan --types p5e.48xlarge --regions us-east-1
expect_output '^left out: p5e.48xlarge on demand in us-east-1: no price is known here, but in'
expect_output 'no choice is possible: p5e.48xlarge in us-east-1: no price is known here, but in'
expect_output '[-]-prices FILE'
for format in --json --markdown; do
    expect_exit 1 "$DTRAIN" plan --types p5e.48xlarge --regions us-east-1 $format
    expect_output 'no choice is possible: p5e.48xlarge in us-east-1: no price is known here, but in us-east-2, us-west-2 \(--regions'
done
plan --types p5e.48xlarge --regions us-east-2,us-east-1
[ "$(value 'sorted((r["region"], r["buy"], r["excluded"][:18]) for r in plan["rows"] if r["excluded"])')" = "[('us-east-1', 'on demand', 'no price is known '), ('us-east-2', 'on demand', 'no price on demand')]" ] || fail "$(value 'plan["rows"]')"
cat >instances.json <<'J'
{"sources": {"mine": {"text": "looked up", "date": "2026-11-30", "confidence": "published"}},
 "instances": [{"type": "x9.large", "source": "mine", "gpus": 1, "gpu": "A10G", "gpu_memory_gib": 24, "vcpus": 8, "cores": 4, "ram_gib": 32, "nvme_gb": 500}]}
J
expect_exit 0 "$DTRAIN" plan --instances instances.json
expect_output '^left out: x9.large on demand in us-east-1: no price is known in any'

begin "a type without a spot price in a region says so"
cat >prices.json <<'J'
{"sources": {"mine": {"text": "a contract", "date": "2026-11-30", "confidence": "published"}},
 "prices": [{"type": "g5.xlarge", "region": "eu-north-1", "kind": "on demand", "usd_h": 0.5, "source": "mine"}]}
J
expect_exit 0 "$DTRAIN" plan --types g5.xlarge --regions eu-north-1 --prices prices.json
expect_output '^left out: g5.xlarge on spot in eu-north-1: no spot price is known in this region$'
expect_output '^[*]g5.xlarge .* demand .* eu-north-1 '

finish
