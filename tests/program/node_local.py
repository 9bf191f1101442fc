"""node_local.py WORK CASE --job CHAOS_JOB --whole FILE : a training whose checkpoints lie on the hosts' own disks and in a mirror, started again after hosts and
disks were exchanged. It must end with the weights of one that nobody disturbed, which `undisturbed` writes to FILE.

WORK is a new folder. Needs namespaces of its own, see chaos_hosts.py."""
import argparse
import filecmp
import os
import subprocess
import sys

from chaos_hosts import Cluster

SLOWER = int(os.environ.get("DTRAIN_TEST_SLOWER", "1"))
N_HOSTS = 3
STOP, END = 12, 16  # steps


class Failure(Exception):
    pass


class Training:
    def __init__(self, options):
        self.options = options
        self.cluster = Cluster(options.work, N_HOSTS, "64m")
        self.mirror = f"{options.work}/mirror"
        self.weights = f"{options.work}/weights.safetensors"
        os.makedirs(f"{options.work}/record")

    def disk(self, host):
        return f"{self.cluster.hosts[host].disk}/checkpoints"

    def start(self, places, steps, code=0):
        """So many ranks on each host, to this step. What it said."""
        work = self.options.work
        command = [self.options.job, "--arch", "resnet18", "--image-size", "16", "--batch", "4", "--epochs", "1", "--steps", str(steps), "--threads", "1",
                   "--workers", "1", "--checkpoint-every", "5", "--log-every", "0", "--eval-every", "0", "--out", f"{work}/run", "--export", self.weights,
                   "--checkpoint-dir", f"{work}/local/checkpoints", "--checkpoint-mirror", self.mirror]
        env = dict(os.environ, DT_CHAOS_RECORD=f"{work}/record", TMPDIR=f"{work}/tmp")
        with open(f"{work}/log", "w+") as log:
            process = self.cluster.mpirun(places, command, stdout=log, stderr=subprocess.STDOUT, env=env)
            got = process.wait(60 * SLOWER)
            log.seek(0)
            said = log.read()
        print(f"{'+'.join(map(str, places))} ranks to step {steps}: code {got}\n{said}", flush=True)
        if got != code:
            raise Failure(f"code {got}, expected {code}")
        return said

    def expect_weights(self, expected):
        if not filecmp.cmp(self.weights, expected, shallow=False):
            raise Failure(f"the weights are not those of {expected}")


def expect(said, line):
    if line not in said:
        raise Failure(f"no line has: {line}")


def expect_not(said, line):
    if line in said:
        raise Failure(f"a line has: {line}")


def shards(folder, step):
    return sorted(name for name in os.listdir(f"{folder}/step-{step:08d}") if name.startswith("shard-"))


def undisturbed(t):
    t.start((2, 2, 0), END)
    os.rename(t.weights, t.options.whole)
    for host, expected in enumerate(([0, 1], [2, 3])):
        if shards(t.disk(host), END) != [f"shard-{i:04d}-of-0004.h5" for i in expected]:
            raise Failure(f"host {host} has {shards(t.disk(host), END)}")
    if len(shards(t.mirror, END)) != 4:
        raise Failure(f"the mirror has {shards(t.mirror, END)}")


def emptied(t, hosts, places, n_lost):
    t.start((2, 2, 0), STOP)
    for host in hosts:
        t.cluster.hosts[host].empty_disk()
    said = t.start(places, END)
    expect(said, f"{n_lost} of the 4 shards of step {STOP} come from the mirror")
    expect(said, f"going on after step {STOP},")
    t.expect_weights(t.options.whole)


def one_empty(t):
    emptied(t, [1], (2, 2, 0), 2)


def first_replaced(t):
    """Rank 0's host is a new one, and so is the other: neither has ever heard of this training."""
    emptied(t, [0], (2, 0, 2), 4)


def all_empty(t):
    emptied(t, [0, 1], (2, 2, 0), 4)


def damaged(t):
    t.start((2, 2, 0), STOP)
    path = f"{t.disk(1)}/step-{STOP:08d}/shard-0003-of-0004.h5"
    with open(path, "r+b") as f:
        f.seek(5000)
        byte = f.read(1)
        f.seek(5000)
        f.write(bytes([byte[0] ^ 4]))
    said = t.start((2, 2, 0), END)
    expect(said, f"checkpoint: step {STOP}: rank 3 on n1: {t.options.work}/local/checkpoints/step-{STOP:08d}/shard-0003-of-0004.h5: its XXH3-128 is")
    expect(said, f"1 of the 4 shards of step {STOP} come from the mirror")
    t.expect_weights(t.options.whole)


def one_more(t):
    """Another number of ranks, on another number of hosts. The new one gets everything from its peers; the mirror is not needed. It does not train: the order
    of sums would be another."""
    t.start((2, 2, 0), STOP)
    os.rename(t.weights, f"{t.weights}.before")
    said = t.start((1, 1, 1), STOP)
    expect_not(said, "from the mirror")
    expect(said, f"going on after step {STOP},")
    t.expect_weights(f"{t.weights}.before")


def lost(t):
    """A host and the mirror are gone: nothing is started anew."""
    t.start((2, 2, 0), STOP)
    t.cluster.hosts[1].empty_disk()
    os.rename(t.mirror, f"{t.mirror}.lost")
    said = t.start((2, 2, 0), END, code=1)
    expect(said, f"passing over step {STOP}: no host has a whole shard-0002-of-0004.h5 in {t.options.work}/local/checkpoints; the mirror {t.mirror} has no such checkpoint")
    expect(said, "checkpoints there is whole; bring a good copy back, or start over with --resume never")


CASES = {f.__name__: f for f in (undisturbed, one_empty, first_replaced, all_empty, damaged, one_more, lost)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--job", required=True)
    parser.add_argument("--whole", required=True)
    options = parser.parse_args()
    try:
        CASES[options.case](Training(options))
    except Failure as failure:
        print(f"node_local: {options.case}: {failure}")
        return 1
    return 0


sys.exit(main())
