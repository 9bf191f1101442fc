#!/bin/bash
# Messages count in good English: "1 image", "2 images". A number before a plural needs DT_PLURAL (core/base/units.h).
. "$(dirname "$0")/../lib.sh"

# plurals TREE: the messages of TREE in which a number comes before a fixed plural. What is never 1 is left out: numbers after "more than" and
# "up to", those of pixels and bytes, what only a launcher of several ranks can meet, and errors in dtrain itself.
plurals()
{
    python3 - "$1" <<'PY'
import pathlib, re, sys
nouns = ("images files steps checkpoints ranks classes hosts threads shards epochs names outputs passes hours processes fields values failures "
         "lines copies layers plans configurations folders options GPUs CPUs processors cores batches").split()
counted = re.compile(r"(?<!more than )(?<!up to )(?<!to )%[0-9.]*(?:ll|z)?[dugf]( of (the |its )?%(?:ll|z)?[du])?(?: [a-z-]+){0,2}? (" + "|".join(nouns) + r")\b")
never_one = ("of the files that %lld hosts", "has started %d processes", "of %lld compute threads", "of %d compute threads", "%lld of %d ranks, the first",
             "in %d steps in a row", "%d ranks on this host", "(%lld failures in a row)", "%d compute threads share", "1 to %lld threads", "%.1f images/s",
             "%.2f images/s", "%.0f images/s", "images per rank", "none of the %lld checkpoints", "convolution: ", "synthetic source: ", "%.0f for images")
for folder in ("core", "io", "comm", "layers", "launch"):
    for path in sorted(pathlib.Path(sys.argv[1], folder).rglob("*.c*")):
        text = re.sub(r'"\s*PRI[a-zA-Z]+[0-9]+\s*"', "lld", path.read_text())
        text = re.sub(r'"\s*"', "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
        for match in re.finditer(r'"((?:[^"\\\n]|\\.)*)"', text):
            message = match.group(1)
            if "DT_ERR_INTERNAL" in text[max(text.rfind(c, 0, match.start()) for c in ";{}"):match.start()]:
                continue
            if counted.search(message) and not any(words in message for words in never_one):
                print(f"{path.relative_to(sys.argv[1])}: {message}")
PY
}

begin "no_message_has_a_number_before_a_fixed_plural"
found=$(plurals "$TOP_SRCDIR")
[ -z "$found" ] || { fail "write image%s, and DT_PLURAL(n) after n:"; echo "$found"; }

begin "a_fixed_plural_is_found"
mkdir -p core io
cat >core/a.c <<'END'
void f(void)
{
    dt_log_info("%lld image%s, at most %d hosts", n, DT_PLURAL(n), h);
    dt_log_info("%" PRId64 " of the %" PRId64
                " broken files", n, m);
    dt_fail(err, DT_ERR_INTERNAL, "%d steps", n);
}
END
expect test "$(plurals . | wc -l)" = 2
expect test "$(plurals . | tail -n 1)" = "core/a.c: %lld of the %lld broken files"

finish
