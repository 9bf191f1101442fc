"""Decode, crop and resize with PIL as torchvision does, and compare with sample_dump's pixels.

    pil_compare.py SAMPLE_DUMP FILE...

For each file: random-resized-crops at 224, flipped or not, small ones at 32, and the evaluation's centre crop. Prints the largest
difference, and how many values differ; exit code 1 when the tolerances below are not met.
"""
import math
import random
import subprocess
import sys

from PIL import Image

# Nothing but the roundings of the resizing weights differs: 1 level, at few pixels.
LARGEST = 1
SHARE = 0.01
# Where the image shrinks 6 times or more, it shrinks in the DCT first (io/source/sample.c).
MEAN_IN_DCT = 0.8


def torchvision_box(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    return 0, 0, width, height


def evaluation(image, n):
    width, height = image.size
    short = min(max(width, n), max(height, n), round(n / 0.875))
    w, h = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    image = image.resize((w, h), Image.BILINEAR)
    left, top = round((w - n) / 2), round((h - n) / 2)
    return image.crop((left, top, left + n, top + n))


def main():
    random.seed(1)
    dump, files = sys.argv[1], sys.argv[2:]
    jobs, expected = [], []
    for path in files:
        image = Image.open(path).convert("RGB")
        for n in (224, 224, 32):
            x, y, w, h = torchvision_box(*image.size)
            flip = random.randint(0, 1)
            jobs.append(f"{x} {y} {w} {h} {n} {n} 0 0 {n} {flip} {path}")
            part = image.crop((x, y, x + w, y + h)).resize((n, n), Image.BILINEAR)
            expected.append((part.transpose(Image.FLIP_LEFT_RIGHT) if flip else part, w >= 6 * n and h >= 6 * n, jobs[-1]))
        jobs.append(f"0 0 0 0 0 0 0 0 224 0 {path}")
        expected.append((evaluation(image, 224), min(image.size) >= 6 * 256, jobs[-1]))
    out = subprocess.run([dump], input=("\n".join(jobs) + "\n").encode(), stdout=subprocess.PIPE, check=True)
    at = n_values = n_different = largest = n_in_dct = 0
    bad = []
    for image, in_dct, job in expected:
        theirs = image.tobytes()
        ours = out.stdout[at:at + len(theirs)]
        at += len(theirs)
        differences = [abs(a - b) for a, b in zip(ours, theirs) if a != b]
        if in_dct:
            n_in_dct += 1
            if sum(differences) > MEAN_IN_DCT * len(theirs):
                bad.append(f"mean difference {sum(differences) / len(theirs):.2f}: {job}")
            continue
        n_values += len(theirs)
        n_different += len(differences)
        largest = max([largest] + differences)
        if len(ours) != len(theirs) or max([0] + differences) > LARGEST:
            bad.append(f"largest difference {max([0] + differences)}: {job}")
    print(f"{len(files)} files, {len(expected)} crops, {n_in_dct} of them shrunk in the DCT; "
          f"otherwise largest difference {largest}, {100 * n_different / max(n_values, 1):.2f}% of the values differ")
    if n_different > SHARE * n_values:
        bad.append("too many values differ")
    print("\n".join(bad[:10]))
    sys.exit(1 if bad else 0)


main()
