#!/usr/bin/python3
"""How far dtrain is from PyTorch in float64, measured by how far PyTorch in float32 is.

  parity_torch.py --reference torch_reference.py --data DIR --arch resnet18 --steps 3 --batch 16 --lr 0.05 INIT DTRAIN...

INIT is the .safetensors file that the training started from, each DTRAIN one that dtrain has exported at its end. PyTorch
trains from INIT on the same images in the same order, once in float64 and once in float32: SGD with momentum 0.9, weight
decay 1e-4, label smoothing 0.1, a constant learning rate. How images are read, and the model itself, come from --reference.

--micro-batches N cuts every batch into N equal parts, which have BatchNorm statistics of their own: what N ranks compute, or one
rank that accumulates N micro-batches. Gradients are averaged over the parts; so are the batch statistics that enter the running ones.

Of every tensor, ||x - f64|| / ||f64 - INIT||, the error relative to the way that the tensor has gone. For each of the files and for
PyTorch in float32 (the first line) it prints the largest over all tensors, the tensor, the median, and the share of the tensors in
which the file is nearer to float64 than float32 PyTorch is. Exits 1 if a file's largest error is above --limit, and above --margin
times PyTorch's own: where both are far, rounding has been amplified beyond what the comparison can see.
"""
import argparse
import importlib.util
import os
import sys

import numpy as np
import torch


def load_module(path):
    spec = importlib.util.spec_from_file_location("torch_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def buffers_of(model):
    return {name: b for name, b in model.named_buffers() if b.is_floating_point()}


def forward_backward(model, loss_of, parts):
    """Gradients of the mean loss into .grad, running statistics into the buffers; each part sees the buffers as they were before."""
    buffers = buffers_of(model)
    before = {name: b.clone() for name, b in buffers.items()}
    after = {name: torch.zeros_like(b) for name, b in buffers.items()}
    total = 0.0
    for x, y in parts:
        for name, b in buffers.items():
            b.copy_(before[name])
        loss = loss_of(model(x), y) / len(parts)
        loss.backward()
        total += loss.item()
        for name, b in buffers.items():
            after[name] += b / len(parts)
    for name, b in buffers.items():
        b.copy_(after[name])
    return total


def train(reference, first, dtype, o):
    root = os.path.join(o.data, "train")
    model = reference.model(o.arch, len(os.listdir(root)))
    model.load_state_dict({k: torch.from_numpy(v.copy()) if v.shape else torch.tensor(v.item()) for k, v in first.items()})
    model.to(dtype).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=o.lr, momentum=0.9, weight_decay=1e-4)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    losses = []
    for step, (x, y) in enumerate(reference.batches(root, o.batch)):
        if step == o.steps:
            break
        optimizer.zero_grad()
        losses.append(forward_backward(model, loss_of, list(zip(x.to(dtype).chunk(o.micro_batches), y.chunk(o.micro_batches)))))
        optimizer.step()
    if len(losses) < o.steps:
        sys.exit(f"{root}: {len(losses)} batches of {o.batch}, {o.steps} are wanted")
    return {k: v.numpy() for k, v in model.state_dict().items() if v.is_floating_point()}, losses


def errors(first, exact, x):
    out = {}
    for name, b in exact.items():
        if name not in x or x[name].shape != b.shape:
            sys.exit(f"{name}: missing, or of another shape")
        e = np.linalg.norm(x[name].astype(np.float64) - b) / max(np.linalg.norm(b - first[name]), 1e-12)
        out[name] = e if np.isfinite(e) else float("inf")
    return out


def report(label, e, torch_e):
    worst = max(e, key=e.get)
    nearer = np.mean([e[k] <= torch_e[k] for k in e])
    print(f"{label}: worst {e[worst]:.6f} at {worst}, median {np.median(list(e.values())):.6f}, nearer than float32 PyTorch in {nearer:.0%}")
    return e[worst]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--reference", required=True, metavar="FILE")
    p.add_argument("--data", required=True, metavar="DIR")
    p.add_argument("--arch", default="resnet18")
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--batch", type=int, default=16, help="of all ranks together")
    p.add_argument("--micro-batches", type=int, default=1)
    p.add_argument("--lr", type=float, default=0.05)
    p.add_argument("--limit", type=float, default=0.0)
    p.add_argument("--margin", type=float, default=2.0)
    p.add_argument("init", metavar="INIT")
    p.add_argument("files", nargs="+", metavar="DTRAIN")
    o = p.parse_args()
    torch.set_num_threads(1)
    reference = load_module(o.reference)
    first = reference.load(o.init)
    exact, losses = train(reference, first, torch.float64, o)
    single, _ = train(reference, first, torch.float32, o)
    print("losses:", *(f"{x:.6f}" for x in losses))
    torch_e = errors(first, exact, single)
    torch_worst = report("PyTorch float32", torch_e, torch_e)
    limit = max(o.limit, o.margin * torch_worst)
    bad = [f for f in o.files if not report(f, errors(first, exact, reference.load(f)), torch_e) <= limit]
    print(f"limit {limit:.6f}:", f"exceeded by {' '.join(bad)}" if bad else "kept")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
