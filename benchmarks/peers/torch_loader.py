#!/usr/bin/python3
"""Time PyTorch's DataLoader on a folder of classes: what a user would decode and augment images with instead of dtrain.

DIR holds <class>/*.jpg. One worker process, pinned to one core, decodes with PIL and applies torchvision's
RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize; the main process, pinned to another core where there is
one, only takes the batches. The clock runs from the first batch's arrival to the last one's. Prints one JSON object;
benchmarks/README.md says what each key means.
"""
import argparse
import json
import os
import time


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", metavar="DIR", help="folder of class folders")
    p.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="default: %(default)s")
    p.add_argument("--batch", type=int, default=32, metavar="IMAGES", help="default: %(default)s")
    p.add_argument("--passes", type=int, default=1, metavar="N", help="over the folder (default: %(default)s)")
    p.add_argument("--core", type=int, metavar="N", help="of the worker (default: the last one this process may use)")
    return p, p.parse_args()


def main():
    p, a = arguments()
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if a.core is None else a.core
    if core not in cores:
        p.error(f"--core {core}: this process may use {cores}")
    if not os.path.isdir(a.data):
        p.error(f"{a.data}: no such folder")

    import torch
    from torchvision import datasets, transforms

    torch.manual_seed(1)
    steps = transforms.Compose([
        transforms.RandomResizedCrop(a.image_size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    data = datasets.ImageFolder(a.data, steps)
    loader = torch.utils.data.DataLoader(
        data, batch_size=a.batch, shuffle=True, num_workers=1, persistent_workers=True,
        worker_init_fn=lambda _: os.sched_setaffinity(0, {core}))
    others = set(cores) - {core}
    if others:
        os.sched_setaffinity(0, others)

    n_images, start, end = 0, None, None
    for _ in range(a.passes):
        for images, _ in loader:
            end = time.perf_counter()
            if start is None:
                start = end  # the worker's start-up and its first batch are not counted
            else:
                n_images += len(images)
    if n_images == 0:
        p.error(f"{a.data}: {len(data)} images are not more than one batch")
    print(json.dumps({
        "program": "torch " + torch.__version__, "image_size": a.image_size, "batch": a.batch, "threads": 1,
        "images": n_images, "seconds": round(end - start, 3), "images_per_s": round(n_images / (end - start), 3),
    }))


if __name__ == "__main__":
    main()
