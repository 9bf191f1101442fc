"""Reads the records of chaos_job.c's ranks, which samples each step took, and folders of checkpoints."""
import json
import os
import re


class Start:
    """One start of a job: a folder with a file for each rank."""

    def __init__(self, folder):
        self.ranks = {}
        for name in sorted(os.listdir(folder)):
            self.ranks[int(name)] = Rank(f"{folder}/{name}")

    def first_step(self, steps_per_epoch):
        """The step after which it resumed; None: it made no step."""
        first = [rank.starts[0] for rank in self.ranks.values() if rank.starts]
        return first[0][0] * steps_per_epoch + first[0][1] // self.ranks[min(self.ranks)].global_batch if first else None

    def samples(self):
        """{(epoch, position): id} of all samples that its ranks have taken."""
        return {place: sample for rank in self.ranks.values() for place, sample in rank.samples().items()}


class Rank:
    def __init__(self, path):
        self.rank = int(os.path.basename(path))
        self.starts = []  # (epoch, position, [[id ...] of each micro-batch])
        self.opened, self.names, self.totals = [], {}, None
        with open(path) as f:
            for line in f:
                word, *rest = line.split()
                if word == "source":
                    self.world, self.accumulate, self.batch, self.n_samples = map(int, rest)
                    self.global_batch = self.world * self.accumulate * self.batch
                elif word == "start":
                    self.starts.append((int(rest[0]), int(rest[1]), []))
                elif word == "next":
                    self.starts[-1][2].append(list(map(int, rest)))
                elif word == "open":
                    self.opened.append(rest[0])
                elif word == "sample":
                    self.names[int(rest[0])] = rest[1]
                elif word == "stop":
                    self.totals = tuple(map(int, rest))

    def samples(self):
        """By core/source.h: rank r of a step takes micro-batches r * accumulate to (r + 1) * accumulate - 1 of it."""
        found = {}
        for epoch, position, batches in self.starts:
            for k, ids in enumerate(batches):
                step, micro = k // self.accumulate, self.rank * self.accumulate + k % self.accumulate
                first = position + step * self.global_batch + micro * self.batch
                for row, sample in enumerate(ids):
                    found[epoch, first + row] = sample
        return found


def shards_of(folders):
    """{(step, hash of the manifest): [the folders that a shard is in] of each shard}: each folder may have a part of a checkpoint."""
    found = {}
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            try:
                with open(f"{folder}/{name}/manifest.json") as f:
                    manifest = json.load(f)
                present = set(os.listdir(f"{folder}/{name}"))
            except (OSError, ValueError):
                continue  # not a checkpoint, or it has just been removed
            if re.fullmatch(r"step-\d+", name):
                shards = found.setdefault((manifest["step"], manifest["manifest_xxh3_128"]), {shard["file"]: [] for shard in manifest["shards"]})
                for file in shards:
                    if file in present:
                        shards[file].append(f"{folder}/{name}")
    return found


def whole_checkpoints(folders):
    """The steps of the checkpoints whose shards all exist somewhere."""
    return sorted({step for (step, _), shards in shards_of(folders).items() if all(shards.values())})


def what_counted(starts, steps_per_epoch, global_batch):
    """{(epoch, position): id} of the steps that counted: where a later start repeated steps, those of the later start."""
    counted = {}
    for start in starts:
        first = start.first_step(steps_per_epoch)
        if first is None:
            continue
        here = (first // steps_per_epoch, first % steps_per_epoch * global_batch)
        counted = {place: sample for place, sample in counted.items() if place < here}
        counted.update(start.samples())
    return counted
