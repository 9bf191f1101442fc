"""checkpoint_hosts.py WORK CASE --job CHAOS_JOB [--whole FILE]: checkpoints on the disks of several hosts and in a mirror; mirror_test.sh and
node_local_test.sh name the cases.

WORK is a new folder. Needs namespaces of its own, see hosts.py. Where a training is started again after hosts and disks were exchanged, it must end
with the weights of one that was left alone: the case `undisturbed` writes those to FILE."""
import argparse
import filecmp
import os
import subprocess
import sys

from hosts import SLOWER, Cluster, Failure, fill

STOP, END = 12, 16  # steps


class Training:
    """A small training on three hosts."""

    def __init__(self, options):
        self.options = options
        self.work = options.work
        self.cluster = Cluster(options.work, 3, "64m")
        self.local = f"{self.work}/local/checkpoints"  # on each host, its own disk
        self.mirror = f"{self.work}/mirror"
        self.weights = f"{self.work}/weights.safetensors"
        os.makedirs(f"{self.work}/record")

    def disk(self, host):
        return f"{self.cluster.hosts[host].disk}/checkpoints"

    def checkpoints(self, host):
        return sorted(name for name in os.listdir(self.disk(host)) if name.startswith("step-"))

    def start(self, ranks, steps, code=0, folders=None):
        """Trains to the step `steps` with ranks[i] ranks on host i; fails on another exit code. `folders`: --checkpoint-dir, and --checkpoint-mirror if
        there is a second. Returns the output."""
        command = [self.options.job, "--arch", "resnet18", "--image-size", "16", "--batch", "4", "--epochs", "1", "--steps", str(steps), "--threads", "1",
                   "--workers", "1", "--checkpoint-every", "5", "--log-every", "0", "--eval-every", "0", "--out", f"{self.work}/run", "--export", self.weights]
        for option, folder in zip(("--checkpoint-dir", "--checkpoint-mirror"), folders or (self.local, self.mirror)):
            command += [option, folder]
        env = dict(os.environ, DT_CHAOS_RECORD=f"{self.work}/record", TMPDIR=f"{self.work}/tmp")
        with open(f"{self.work}/log", "w+") as log:
            got = self.cluster.mpirun(ranks, command, stdout=log, stderr=subprocess.STDOUT, env=env).wait(60 * SLOWER)
            log.seek(0)
            output = log.read()
        print(f"{'+'.join(map(str, ranks))} ranks to step {steps}: code {got}\n{output}", flush=True)
        if got != code:
            raise Failure(f"code {got}, expected {code}")
        return output

    def expect_weights(self, expected):
        if not filecmp.cmp(self.weights, expected, shallow=False):
            raise Failure(f"the weights are not those of {expected}")


def expect(output, *lines):
    for line in lines:
        if line not in output:
            raise Failure(f"no line has: {line}")


def expect_not(output, line):
    if line in output:
        raise Failure(f"a line has: {line}")


def expect_same(what, found, expected):
    if found != expected:
        raise Failure(f"{what} has {found}, expected {expected}")


def shards(folder, step):
    return sorted(name for name in os.listdir(f"{folder}/step-{step:08d}") if name.startswith("shard-"))


def undisturbed(t):
    t.start((2, 2, 0), END)
    os.rename(t.weights, t.options.whole)
    for host, ranks in enumerate(([0, 1], [2, 3])):
        expect_same(f"host {host}", shards(t.disk(host), END), [f"shard-{i:04d}-of-0004.h5" for i in ranks])
    expect_same("the mirror", len(shards(t.mirror, END)), 4)


def emptied(t, hosts, ranks, n_lost):
    t.start((2, 2, 0), STOP)
    for host in hosts:
        t.cluster.hosts[host].empty_disk()
    expect(t.start(ranks, END), f"{n_lost} of the 4 shards of step {STOP} come{'s' if n_lost == 1 else ''} from the mirror", f"going on after step {STOP},")
    t.expect_weights(t.options.whole)


def one_empty(t):
    emptied(t, [1], (2, 2, 0), 2)


def first_replaced(t):
    """Rank 0's host is a new one, and so is the other: neither has a checkpoint of this training."""
    emptied(t, [0], (2, 0, 2), 4)


def all_empty(t):
    emptied(t, [0, 1], (2, 2, 0), 4)


def damaged(t):
    t.start((2, 2, 0), STOP)
    shard = f"step-{STOP:08d}/shard-0003-of-0004.h5"
    with open(f"{t.disk(1)}/{shard}", "r+b") as f:
        f.seek(5000)
        byte = f.read(1)
        f.seek(5000)
        f.write(bytes([byte[0] ^ 4]))
    expect(t.start((2, 2, 0), END), f"checkpoint: step {STOP}: rank 3 on n1: {t.local}/{shard}: its XXH3-128 is",
           f"1 of the 4 shards of step {STOP} comes from the mirror")
    t.expect_weights(t.options.whole)


def one_more(t):
    """Another number of ranks, on another number of hosts. The new host gets everything from the others; the mirror is not needed. It does not
    train: the order of sums would be another."""
    t.start((2, 2, 0), STOP)
    os.rename(t.weights, f"{t.weights}.before")
    output = t.start((1, 1, 1), STOP)
    expect_not(output, "from the mirror")
    expect(output, f"going on after step {STOP},")
    t.expect_weights(f"{t.weights}.before")


def lost(t):
    """A host and the mirror are lost: the training does not start over."""
    t.start((2, 2, 0), STOP)
    t.cluster.hosts[1].empty_disk()
    os.rename(t.mirror, f"{t.mirror}.lost")
    expect(t.start((2, 2, 0), END, code=1),
           f"passing over step {STOP}: no host has a whole shard-0002-of-0004.h5 in {t.local}; the mirror {t.mirror} has no such checkpoint",
           "checkpoints there is whole; bring a good copy back, or start over with --resume never")


def refused(t):
    """Own folders without a mirror, a mirror that is each host's own, a folder that some share."""
    shared = f"{t.work}/shared"
    expect(t.start((1, 1, 0), 5, code=2, folders=(t.local,)), f"--checkpoint-dir: {t.local} is a folder of each host's own", "add --checkpoint-mirror DIR")
    expect(t.start((1, 1, 0), 5, code=2, folders=(shared, t.local)), f"--checkpoint-mirror: {t.local} is a folder of each host's own")
    if t.cluster.hosts[1].popen(["mount", "--bind", t.cluster.hosts[0].disk, f"{t.work}/local"]).wait() != 0:
        raise Failure("mount --bind")
    expect(t.start((1, 1, 1), 5, code=2, folders=(t.local, shared)), "must be one folder that all hosts see, or each host's own; of the files that 3 hosts have made there, "
           "n0 sees 2, n1 sees 2, n2 sees 1")
    for host in (0, 2):
        expect_same(f"host {host}", os.listdir(t.disk(host)), [])


def one_full(t):
    """A start that one host could not save is refused; the checkpoint before stands on both, and the next start goes on from it."""
    t.start((2, 2, 0), 5)
    filler = f"{t.cluster.hosts[1].disk}/filler"
    fill(filler)
    expect(t.start((2, 2, 0), 10, code=1), "No space left on device", "--checkpoint-dir: no checkpoint can be written")
    for host in (0, 1):
        expect_same(f"host {host}", t.checkpoints(host), ["step-00000005"])
    os.unlink(filler)
    expect(t.start((2, 2, 0), 10), "going on after step 5,")
    for host in (0, 1):
        expect_same(f"host {host}", t.checkpoints(host), ["step-00000005", "step-00000010"])


CASES = {f.__name__: f for f in (undisturbed, one_empty, first_replaced, all_empty, damaged, one_more, lost, refused, one_full)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--job", required=True)
    parser.add_argument("--whole")
    options = parser.parse_args()
    try:
        CASES[options.case](Training(options))
    except Failure as failure:
        print(f"checkpoint_hosts: {options.case}: {failure}")
        return 1
    return 0


sys.exit(main())
