#!/usr/bin/python3
"""Time whole training steps of a torchvision ResNet: what a user would run instead of dtrain.

A step is forward, cross-entropy with label smoothing, backward, SGD with momentum and weight decay, and zero_grad, on one
synthetic batch that stays in memory. Prints one JSON object; benchmarks/README.md says what each key means.

Each memory format runs in a process of its own, so that peak_rss_bytes is that format's alone. `best` runs both and
prints the faster one. --device cuda measures on the first GPU; --precision fp16 and bf16 use autocast, fp16 a loss scale too.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--arch", default="resnet50", help="a ResNet of torchvision.models (default: %(default)s)")
    p.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="default: %(default)s")
    p.add_argument("--batch", type=int, default=16, metavar="IMAGES", help="default: %(default)s")
    p.add_argument("--classes", type=int, default=1000, metavar="N", help="default: %(default)s")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="compute threads (default: %(default)s)")
    p.add_argument("--steps", type=int, default=10, metavar="N", help="timed steps (default: %(default)s)")
    p.add_argument("--warmup", type=int, default=2, metavar="N", help="steps before them (default: %(default)s)")
    p.add_argument("--memory-format", choices=("best", "nchw", "channels_last"), default="best", help="default: %(default)s")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    p.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp32", help="default: %(default)s")
    a = p.parse_args()
    for name in ("image_size", "batch", "classes", "threads", "steps"):
        if getattr(a, name) < 1:
            p.error(f"--{name.replace('_', '-')} {getattr(a, name)}: 1 or more is wanted")
    if a.warmup < 0:
        p.error(f"--warmup {a.warmup}: 0 or more is wanted")
    return a


def memory_bytes(key):
    """VmHWM (the maximum so far) or VmRSS (now) of this process."""
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0


def measure(a):
    import torch
    import torchvision

    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    start_rss = memory_bytes("VmRSS")
    layout = torch.channels_last if a.memory_format == "channels_last" else torch.contiguous_format
    device = torch.device(a.device)
    model = getattr(torchvision.models, a.arch)(num_classes=a.classes).to(device, memory_format=layout).train()
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(a.batch, 3, a.image_size, a.image_size).contiguous(memory_format=layout).to(device)
    labels = torch.randint(a.classes, (a.batch,)).to(device)
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(a.precision)
    scaler = torch.cuda.amp.GradScaler(enabled=a.precision == "fp16" and a.device == "cuda")
    torch.backends.cudnn.benchmark = True

    times, cpu_times, loss = [], [], None
    for _ in range(a.warmup + a.steps):
        start, cpu_start = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device, dtype=half or torch.bfloat16, enabled=half is not None):
            loss = loss_of(model(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if a.device == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
        cpu_times.append(1000 * (time.process_time() - cpu_start))
    times, cpu_times = times[a.warmup:], cpu_times[a.warmup:]
    median = statistics.median(times)
    return {
        "program": "torch " + torch.__version__, "arch": a.arch, "image_size": a.image_size, "batch": a.batch,
        "threads": a.threads, "steps": a.steps, "memory_format": a.memory_format, "device": a.device, "precision": a.precision,
        "ms_per_step": round(median, 3), "ms_min": round(min(times), 3), "ms_max": round(max(times), 3),
        "cpu_ms_per_step": round(statistics.median(cpu_times), 3),
        "images_per_s": round(1000 * a.batch / median, 3),
        "start_rss_bytes": start_rss, "peak_rss_bytes": memory_bytes("VmHWM"), "loss": round(float(loss), 6),
    }


def best(a):
    results = []
    for layout in ("nchw", "channels_last"):
        run = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--memory-format", layout], stdout=subprocess.PIPE, check=False)
        if run.returncode != 0:
            sys.exit(run.returncode)
        results.append(json.loads(run.stdout))
    return min(results, key=lambda r: r["ms_min"])  # the minimum: a busy machine disturbs it least


if __name__ == "__main__":
    options = arguments()
    print(json.dumps(best(options) if options.memory_format == "best" else measure(options)))
