#!/bin/bash
# The page of dtrain plan in a browser: no script error, no request, nothing that overlaps or leaves its place, every figure of a drawing in its
# table; as a window, as a phone, dark, and on paper. plan_page_check.py does it; DTRAIN_TEST_PAGES=FOLDER keeps screenshots and the PDF.
. "$(dirname "$0")/../lib.sh"

CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || CHROMIUM=
need_chromium()
{
    [ -n "$CHROMIUM" ] || { skip "there is no Chromium here (Debian: apt-get install chromium)"; return 1; }
}
sample=$TOP_BUILDDIR/tests/program/plan_page_sample
# What a user's files may say, with a type that would be the cheapest of all.
hostile='<script>alert(1)</script>" x='"'&"
write_hostile_files()
{
    python3 - "$hostile" <<'END'
import json, sys
name, sources = sys.argv[1], {"mine": {"text": sys.argv[1], "date": "2026-11-30", "confidence": "measured"}}
instance = {"type": name, "source": "mine", "gpus": 1, "gpu": "A10G", "gpu_memory_gib": 24, "vcpus": 16, "cores": 8, "ram_gib": 64, "nvme_gb": 600}
price = {"type": name, "region": "us-east-1", "kind": "on demand", "usd_h": 0.01, "source": "mine"}
json.dump({"sources": sources, "instances": [instance]}, open("instances.json", "w"))
json.dump({"sources": sources, "prices": [price]}, open("prices.json", "w"))
END
}
check=(python3 "$TOP_SRCDIR/tests/program/plan_page_check.py" "$CHROMIUM")

all=(--deadline 12h --budget 50 --max-nodes 4 --mtti hard --instances instances.json --prices prices.json)

begin "dtrain plan --html writes a page beside its table"
expect_exit 0 "$DTRAIN" plan --html page.html
expect_output '^[*]p4d.24xlarge '
expect grep -q '<h1>What it costs to train ResNet-50 on EC2</h1>' page.html
expect test "$(grep -c '<svg class="wide"' page.html)" = 4

begin "names from a user's files are no markup"
write_hostile_files
expect_exit 0 "$DTRAIN" plan --html page.html "${all[@]}"
expect test "$(grep -c '<script' page.html)" = 0
expect test "$(grep -c '&lt;script&gt;alert(1)&lt;/script&gt;&quot; x=&#39;&amp;' page.html)" -gt 5

begin "a page that cannot be written is an error"
expect_exit 1 "$DTRAIN" plan --html /nowhere/page.html
expect_output '^dtrain: .*/nowhere/page.html'
expect_exit 1 "$DTRAIN" plan --html .
expect_output '^dtrain: .*is a folder; name a file'

begin "in a browser: the page of a plan, and one with a deadline, a budget, several nodes and a user's types"
need_chromium && {
    write_hostile_files
    expect_exit 0 "$DTRAIN" plan --html page.html
    mkdir -p "${DTRAIN_TEST_PAGES:-pages}"
    expect_exit 0 "${check[@]}" page.html "${DTRAIN_TEST_PAGES:-pages}"
    expect_output '^nothing is wrong$'
    expect_exit 0 "$DTRAIN" plan --html page.html "${all[@]}"
    expect_exit 0 "${check[@]}" page.html
}

begin "in a browser: figures from cents to thousands of dollars, and data that take months"
need_chromium && for options in "--max-nodes 512 --mtti 0.1" "--images 10000000000"; do
    expect_exit "0|1" "$DTRAIN" plan --html page.html $options # 1: no choice is possible
    expect_exit 0 "${check[@]}" page.html
done

begin "in a browser: crowded charts, names made to break out of the text, and no possible choice"
need_chromium && for kind in crowded hostile none; do
    expect_exit 0 "$sample" page.html $kind
    expect_exit 0 "${check[@]}" page.html
done

begin "in a browser: planted mistakes are found"
need_chromium && {
    expect_exit 0 "$sample" page.html
    python3 - <<'END'
text = open("page.html").read()
def plant(old, new):
    global text
    assert old in text, old
    text = text.replace(old, new, 1)
plant("<h1>", '<img alt="" src="http://127.0.0.1:9/a.png"><script>console.error("planted")</script><h1>')
plant('http-equiv="Content-Security-Policy"', 'name="off"')
plant("</header>", '<p style="color:#999">pale</p><div style="width:2000px">wide</div></header>')
plant('role="img"', 'role="presentation"')
plant("prefers-color-scheme: dark", "prefers-color-scheme: no-preference")
plant("details:not(.long)::details-content", "details.never::details-content")
open("page.html", "w").write(text)
END
    expect_exit 1 "${check[@]}" page.html
    expect_output '^1280: request: http://127.0.0.1:9/a.png$'
    expect_output '^1280: console: .*planted'
    expect_output '^390: the page is 2[0-9]* wide, in a window of 390$'
    expect_output '^1280: a drawing without a title and a description$'
    expect_output '^1280: P : contrast 2.8'
    expect_output '^dark: the background is rgb\(255, 255, 255\)$'
    expect_output '^print: [0-9]+ tables of figures are folded$'
}

begin "in a browser: planted figures, texts in a drawing and scripts are found"
need_chromium && {
    expect_exit 0 "$sample" page.html
    sed -i 's|<h1>|<script>document.title = "run"</script><h1>|' page.html
    sed -i '0,/<\/desc>/s||</desc><text class="figure" x="600" y="70">$77.77</text><text x="605" y="70">over it</text><text x="900" y="30">out</text>|' page.html
    expect_exit 1 "${check[@]}" page.html
    expect_output '^1280: log: .*Content Security Policy'
    expect_output '^1280: Dollars against hours: 77.77 of "[$]77.77" is not in the table$'
    expect_output '^1280: Dollars against hours: "over it" overlaps "[$]77.77"$'
    expect_output '^1280: Dollars against hours: "out" leaves the drawing$'
}

finish
