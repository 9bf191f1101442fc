#!/bin/bash
# Decoding, cropping and resizing against PIL and torchvision's arithmetic: within 1 level (pil_compare.py states the tolerances).
. "$(dirname "$0")/../../lib.sh"

for python in python3 /usr/bin/python3 ''; do
    [ -n "$python" ] && "$python" -c 'import PIL.Image' 2>/dev/null && break
done
need_pil()
{
    [ -n "$python" ] || skip "no python3 here has PIL (Debian: python3-pil)"
}
compare()
{
    expect_exit 0 "$python" -W ignore "$TOP_SRCDIR/tests/io/source/pil_compare.py" "$TOP_BUILDDIR/tests/io/source/sample_dump" "$@"
}

begin "samples_of_imagenet_are_what_pil_makes_of_them"
need_pil && need_shared imagenet-sample.tar && {
    tar xf "$SHARED"
    compare $(find imagenet-sample -type f | LC_ALL=C sort | awk 'NR % 8 == 1')
}

begin "unusual_jpegs_are_what_pil_makes_of_them"
need_pil && need_shared odd-jpegs && {
    names="plain-420 plain-444 plain-422 progressive grey cmyk one-pixel thin-3x2000 wide-2000x3 exif-orientation-6 exif-garbage trailing-garbage"
    compare $(for name in $names; do echo "$SHARED/$name.jpg"; done)
}

finish
