#!/usr/bin/python3
"""Computes with PyTorch in float64 what torch_dump has computed with the CUDA backend's graphs and kernels, and compares.

  torch_compare.py FOLDER...

Each FOLDER was written by torch_dump (torch_dump.h has the format). PyTorch computes from a case's inputs alone, and every gradient
is autograd's of the forward operation. So nothing here repeats a formula of dtrain, with two exceptions: the gradient of raw is put
together from the graph's coefficients, a * dz + b * raw + c, and top-k is counted by sorting.

Prints a line `FOLDER KIND agrees ERROR` or `FOLDER KIND differs ERROR TENSOR` for each kind of case: the largest
|dtrain - PyTorch| / largest |PyTorch| of all its tensors. The tolerance is that of float32, or of FP16 for the stem. Exits 1 if any
differs.
"""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

TOLERANCE = 1e-5
TOLERANCE_FP16 = 1e-3
OPTIONAL = ("sum", "sumsq")  # some forward graphs have no sums


def read_cases(folder):
    """Yields (kind, numbers, tensors by name)."""
    data = np.fromfile(os.path.join(folder, "data"), dtype=np.float32)
    at = 0
    cases = []
    with open(os.path.join(folder, "index"), encoding="ascii") as index:
        for line in index:
            words = line.split()
            if words[0] == "case":
                cases.append((words[1], [float(n) for n in words[2:]], {}))
                continue
            shape = [int(n) for n in words[1:]]
            n = int(np.prod(shape))
            cases[-1][2][words[0]] = torch.from_numpy(data[at:at + n].astype(np.float64)).reshape(shape)
            at += n
    if at != len(data):
        raise SystemExit("%s: the index describes %d numbers, and the data are %d" % (folder, at, len(data)))
    return cases


def leaf(tensor):
    return tensor.clone().requires_grad_()


class Norm:
    """A tensor that BatchNorm normalises in training mode, and its parameters, as leaves."""

    def __init__(self, t, prefix="", raw="raw"):
        self.raw = leaf(t[raw])
        self.gamma = leaf(t[prefix + "gamma"].flatten())
        self.beta = leaf(t[prefix + "beta"].flatten())
        self.z = F.batch_norm(self.raw, None, None, self.gamma, self.beta, training=True, eps=1e-5)
        self.z.retain_grad()


def skip_of(t):
    """The join's second input: (what is added, its Norm or None)."""
    if "skip_gamma" in t:
        norm = Norm(t, "skip_", "skip")
        return norm.z, norm
    return leaf(t["skip"]), None


def forward_outputs(x, t, stride, pad):
    y = F.conv2d(x, t["w"], stride=stride, padding=pad)
    return {"y": y, "sum": y.sum((0, 2, 3)), "sumsq": (y * y).sum((0, 2, 3))}


def forward(t, stride, pad):
    return forward_outputs(t["x"], t, stride, pad)


def forward_prologue(t, stride, pad):
    return forward_outputs(F.relu(Norm(t).z), t, stride, pad)


def forward_join(t, stride, pad):
    x = F.relu(Norm(t).z + skip_of(t)[0])
    return dict(forward_outputs(x, t, stride, pad), x=x)


def dgrad(t, stride, pad):
    x = torch.zeros(t["dx"].shape, dtype=torch.float64, requires_grad=True)
    (F.conv2d(x, t["w"], stride=stride, padding=pad) * t["dy"]).sum().backward()
    return {"dx": x.grad + t.get("add", 0)}


def wgrad_of(x, t, stride, pad):
    w = torch.zeros(t["dw"].shape, dtype=torch.float64, requires_grad=True)
    (F.conv2d(x, w, stride=stride, padding=pad) * t["dy"]).sum().backward()
    return {"dw": w.grad}


def wgrad(t, stride, pad):
    return wgrad_of(t["x"], t, stride, pad)


def wgrad_prologue(t, stride, pad):
    return wgrad_of(F.relu(Norm(t).z).detach(), t, stride, pad)


def norm_gradients(t, norm, prefix=""):
    """The graph's gradients of a BatchNorm; its coefficients must give autograd's gradient of raw."""
    t[prefix + "draw"] = t[prefix + "a"] * t["dz"] + t[prefix + "b"] * norm.raw.detach() + t[prefix + "c"]
    return {prefix + "draw": norm.raw.grad, prefix + "dgamma": norm.gamma.grad, prefix + "dbeta": norm.beta.grad}


def dgrad_bn(t, stride, pad):
    norm = Norm(t)
    (F.conv2d(F.relu(norm.z), t["w"], stride=stride, padding=pad) * t["dy"]).sum().backward()
    return dict(norm_gradients(t, norm), dz=norm.z.grad)


def dgrad_join(t, stride, pad):
    norm = Norm(t)
    skip, skip_norm = skip_of(t)
    z = norm.z + skip
    z.retain_grad()
    x = F.relu(z)
    ((F.conv2d(x, t["w"], stride=stride, padding=pad) * t["dy"]).sum() + (x * t["add"]).sum()).backward()
    outputs = dict(norm_gradients(t, norm), dz=z.grad)
    return outputs if skip_norm is None else dict(outputs, **norm_gradients(t, skip_norm, "skip_"))


def batchnorm(t, relu, _):
    norm = Norm(t)
    activation = F.relu if relu else (lambda v: v)
    y = activation(norm.z)
    (y * t["dy"]).sum().backward()
    mean, var = torch.zeros(len(norm.gamma)).double(), torch.ones(len(norm.gamma)).double()
    with torch.no_grad():
        F.batch_norm(norm.raw, mean, var, training=True, momentum=1.0)
        evaluated = activation(F.batch_norm(norm.raw, mean, var, norm.gamma, norm.beta, training=False, eps=1e-5))
    return {"y": y, "running_mean": mean, "running_var": var, "evaluated": evaluated, "draw": norm.raw.grad,
            "dgamma": norm.gamma.grad, "dbeta": norm.beta.grad}


def residual(t, _, __):
    norm = Norm(t)
    skip, skip_norm = skip_of(t)
    y = F.relu(norm.z + skip)
    (y * t["dy"]).sum().backward()
    outputs = {"y": y, "draw": norm.raw.grad, "dgamma": norm.gamma.grad, "dbeta": norm.beta.grad}
    if skip_norm is None:
        return dict(outputs, dskip=skip.grad)
    return dict(outputs, dskip=skip_norm.raw.grad, skip_dgamma=skip_norm.gamma.grad, skip_dbeta=skip_norm.beta.grad)


def max_pool(t, _, __):
    norm = Norm(t)
    y = F.max_pool2d(F.relu(norm.z), 3, 2, 1)
    (y * t["dy"]).sum().backward()
    return {"y": y, "draw": norm.raw.grad, "dgamma": norm.gamma.grad, "dbeta": norm.beta.grad}


def max_pool_plain(t, _, __):
    return {"y": F.max_pool2d(t["x"], 3, 2, 1)}


def average_pool(t, _, __):
    x = leaf(t["x"])
    y = F.adaptive_avg_pool2d(x, 1)
    (y * t["dy"]).sum().backward()
    return {"y": y, "dx": x.grad}


def linear(t, _, __):
    x, w = leaf(t["x"].flatten(1)), leaf(t["w"].flatten(1))
    bias = leaf(t["bias"].flatten()) if "bias" in t else None
    y = F.linear(x, w, bias)
    (y * t["dy"].flatten(1)).sum().backward()
    outputs = {"y": y, "dx": x.grad, "dw": w.grad}
    return outputs if bias is None else dict(outputs, dbias=bias.grad)


def softmax_loss(t, smoothing, factor):
    logits, labels = leaf(t["logits"].flatten(1)), t["labels"].flatten().long()
    loss = F.cross_entropy(logits, labels, reduction="sum", ignore_index=-1, label_smoothing=round(smoothing, 6))
    loss.backward()
    best = logits.detach().argsort(1, descending=True)
    hits = best == labels[:, None]
    counts = torch.stack([hits[:, :1].sum(), hits[:, :5].sum(), (labels >= 0).sum()]).double()
    return {"dlogits": logits.grad * factor, "loss": loss, "counts": counts}


def update(t, nesterov, loss_scale):
    """Three steps of one gradient each; the running averages are those of BatchNorm, which moves a tenth of the way to the batch's."""
    w = leaf(t["w"])
    sgd = torch.optim.SGD([w], lr=0.5, momentum=0.9, weight_decay=0.01, nesterov=bool(nesterov))
    average = t["running"]
    for step in range(3):
        w.grad = t["g%d" % step] / loss_scale
        sgd.step()
        average = torch.lerp(average, t["batch%d" % step], 0.1)
    return {"updated": w, "running_after": average}


def stem(t, stride, pad):
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (t["pixels"] / 255 - mean) / std
    rounded = x.half().double()
    return dict(forward_outputs(rounded, t, stride, pad), x=x, **wgrad_of(rounded, t, stride, pad))


KINDS = {"forward": forward, "forward-prologue": forward_prologue, "forward-join": forward_join, "dgrad": dgrad, "dgrad-bn": dgrad_bn,
         "dgrad-join": dgrad_join, "wgrad": wgrad, "wgrad-prologue": wgrad_prologue, "linear": linear, "batchnorm": batchnorm, "residual": residual,
         "max-pool": max_pool, "max-pool-plain": max_pool_plain, "average-pool": average_pool, "softmax-loss": softmax_loss,
         "update": update, "stem": stem}


def error_of(actual, expected):
    actual, expected = actual.flatten(), expected.detach().flatten()
    if actual.shape != expected.shape or not torch.isfinite(actual).all():
        return float("inf")
    return float((actual - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def compare(folder):
    """True if all agree."""
    worst = {}
    for kind, numbers, t in read_cases(folder):
        numbers = numbers if kind == "softmax-loss" else [int(n) for n in numbers]
        expected = KINDS[kind](t, *numbers)
        for name in sorted(expected):
            if name in t or name not in OPTIONAL:
                worst[kind] = max(worst.get(kind, (0.0, "")), (error_of(t[name], expected[name]), name))
    for kind, (error, name) in worst.items():
        agrees = error <= (TOLERANCE_FP16 if kind == "stem" else TOLERANCE)
        print(folder, kind, "agrees %.1e" % error if agrees else "differs %.1e %s" % (error, name))
        worst[kind] = agrees
    return all(worst.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    sys.exit(0 if all([compare(folder) for folder in sys.argv[1:]]) else 1)
