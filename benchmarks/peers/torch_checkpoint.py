#!/usr/bin/python3
"""Time torch.save (with fsync) and torch.load of a torchvision ResNet's weights and momentum: what a user would run instead of dtrain.

    torch_checkpoint.py FOLDER [ROUNDS [ARCH]]

Prints one JSON object; benchmarks/README.md says what each key means.
"""
import json
import os
import statistics
import sys
import time

import torch
import torchvision


def main():
    folder = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    arch = sys.argv[3] if len(sys.argv) > 3 else "resnet50"
    torch.manual_seed(1)
    model = getattr(torchvision.models, arch)()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()  # makes the momentum
    path = os.path.join(folder, "torch.pt")
    times = {"write_s": [], "write_cpu_s": [], "load_s": [], "load_cpu_s": [], "cached_load_s": [], "cached_load_cpu_s": []}
    for _ in range(rounds):
        start, start_cpu = time.perf_counter(), time.process_time()
        with open(path, "wb") as f:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, f)
            f.flush()
            os.fsync(f.fileno())
        times["write_s"].append(time.perf_counter() - start)
        times["write_cpu_s"].append(time.process_time() - start_cpu)
        for kind in "load", "cached_load":
            start, start_cpu = time.perf_counter(), time.process_time()
            state = torch.load(path)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            times[kind + "_s"].append(time.perf_counter() - start)
            times[kind + "_cpu_s"].append(time.process_time() - start_cpu)
    print(json.dumps({"program": "torch " + torch.__version__, "file_bytes": os.path.getsize(path), "rounds": rounds,
                      **{key: round(statistics.median(values), 4) for key, values in times.items()}}))


if __name__ == "__main__":
    main()
