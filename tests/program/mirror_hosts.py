"""mirror_hosts.py WORK CASE --job CHAOS_JOB : which folders of several hosts are taken for checkpoints, and what a disk of one of them refuses.

WORK is a new folder. Needs namespaces of its own, see chaos_hosts.py."""
import argparse
import os
import subprocess
import sys

from chaos_hosts import Cluster

SLOWER = int(os.environ.get("DTRAIN_TEST_SLOWER", "1"))


class Failure(Exception):
    pass


class Job:
    def __init__(self, options):
        self.job = options.job
        self.work = options.work
        self.cluster = Cluster(options.work, 3, "4m")
        os.makedirs(f"{self.work}/record")

    def run(self, places, code, expected, *more, steps=5):
        """So many ranks on each host: its exit code, and what it has to say."""
        command = [self.job, "--arch", "resnet18", "--image-size", "16", "--batch", "4", "--epochs", "1", "--steps", str(steps), "--threads", "1", "--workers", "1",
                   "--checkpoint-every", "5", "--log-every", "0", "--eval-every", "0", "--out", f"{self.work}/run", *more]
        env = dict(os.environ, DT_CHAOS_RECORD=f"{self.work}/record", TMPDIR=f"{self.work}/tmp")
        with open(f"{self.work}/log", "w+") as log:
            got = self.cluster.mpirun(places, command, stdout=log, stderr=subprocess.STDOUT, env=env).wait(60 * SLOWER)
            log.seek(0)
            said = log.read()
        print(f"{'+'.join(map(str, places))} ranks: code {got}\n{said}", flush=True)
        if got != code:
            raise Failure(f"code {got}, expected {code}")
        for text in expected:
            if text not in said:
                raise Failure(f"nothing says: {text}")

    def mount(self, host, *arguments):
        if self.cluster.hosts[host].popen(["mount", *arguments]).wait() != 0:
            raise Failure("mount " + " ".join(arguments))

    def checkpoints(self, host):
        return sorted(name for name in os.listdir(f"{self.cluster.hosts[host].disk}/c") if name.startswith("step-"))


def refused(j):
    """Own folders without a mirror, a mirror that is each host's own, a folder that some share."""
    local, shared = f"{j.work}/local/c", f"{j.work}/shared"
    j.run((1, 1, 0), 2, ["--checkpoint-dir: " + local + " is a folder of each host's own", "add --checkpoint-mirror DIR"], "--checkpoint-dir", local)
    j.run((1, 1, 0), 2, ["--checkpoint-mirror: " + local + " is a folder of each host's own"], "--checkpoint-dir", shared, "--checkpoint-mirror", local)
    j.mount(1, "--bind", j.cluster.hosts[0].disk, f"{j.work}/local")
    j.run((1, 1, 1), 2, ["must be one folder that all hosts see, or each host's own; of the files that 3 hosts have made there, n0 sees 2, n1 sees 2, n2 sees 1"],
          "--checkpoint-dir", local, "--checkpoint-mirror", shared)
    left = [name for host in (0, 2) for name in os.listdir(f"{j.cluster.hosts[host].disk}/c")]
    if left:
        raise Failure(f"it leaves {left}")


def one_full(j):
    """What one host cannot write, none has; the checkpoint before stands on both, and the next start goes on from it."""
    options = ("--checkpoint-dir", f"{j.work}/local/c", "--checkpoint-mirror", f"{j.work}/mirror")
    j.run((2, 2, 0), 0, [], *options)
    filler = f"{j.cluster.hosts[1].disk}/filler"
    subprocess.run(["sh", "-c", f"cat /dev/zero >{filler} 2>/dev/null"], check=False)
    j.run((2, 2, 0), 1, ["No space left on device", "the training is done, but its last checkpoint was not written"], *options, steps=10)
    for host in (0, 1):
        if j.checkpoints(host) != ["step-00000005"]:
            raise Failure(f"host {host} has {j.checkpoints(host)}")
    os.unlink(filler)
    j.run((2, 2, 0), 0, ["going on after step 5,"], *options, steps=10)
    for host in (0, 1):
        if j.checkpoints(host) != ["step-00000005", "step-00000010"]:
            raise Failure(f"host {host} has {j.checkpoints(host)}")


CASES = {f.__name__: f for f in (refused, one_full)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--job", required=True)
    options = parser.parse_args()
    try:
        CASES[options.case](Job(options))
    except Failure as failure:
        print(f"mirror_hosts: {options.case}: {failure}")
        return 1
    return 0


sys.exit(main())
