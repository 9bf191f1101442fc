"""slurm_cases.py WORK CASE --dtrain FILE --source DIR --data DIR --whole FILE: trainings under a real Slurm; slurm_test.sh names the cases.

WORK is a new folder. Needs namespaces of its own, see hosts.py. All trainings have two ranks on two nodes and END steps; the case `undisturbed` writes its
weights to --whole, and all others that finish must have the same bits. They are submitted with the files of launch/deploy/slurm as they are."""
import argparse
import filecmp
import functools
import glob
import os
import re
import subprocess
import sys
import time

from hosts import Failure
from slurm_cluster import Slurm, wait_for

END = 60
HOLD = 40  # the step before which the first start waits, so that what disturbs it comes in time
PORT = 8169  # of the metadata service, on n1


class Training:
    def __init__(self, options, requeue_exit):
        self.options = options
        self.work = options.work
        self.files = f"{options.source}/launch/deploy/slurm"
        self.run = f"{self.work}/run"
        self.weights = f"{self.work}/weights.safetensors"
        # dtrain and dtrain-run as they are after an installation, and a nvidia-smi that knows one GPU.
        os.makedirs(f"{self.work}/bin")
        os.symlink(options.dtrain, f"{self.work}/bin/dtrain")
        with open(f"{self.work}/bin/nvidia-smi", "w") as f:
            f.write("#!/bin/sh\necho 'GPU 0: a fake (UUID: GPU-0)'\n")
        os.chmod(f"{self.work}/bin/nvidia-smi", 0o755)
        self.slurm = Slurm(self.work, path=f"{self.work}/bin:{options.source}/launch/deploy", requeue_exit=requeue_exit)
        self.requeue_exit = requeue_exit

    def command(self, file="dtrain-cpu.sbatch", sbatch=("sbatch",), run=(), more=()):
        return [*sbatch, file if sbatch[0].endswith("submit") else f"{self.files}/{file}", *run, "--", "--data", self.options.data, "--backend", "cpu",
                "--arch", "resnet18", "--image-size", "16", "--batch", "4", "--epochs", "1000", "--steps", str(END), "--threads", "1", "--workers", "1", "--checkpoint-every", "10",
                "--eval-every", "0", "--log-every", "0", "--out", self.run, "--export", self.weights, "--spot", "imds", "--imds-endpoint", f"http://127.0.0.1:{PORT}", *more]

    def submit(self, fault="", **keywords):
        self.slurm.env["DTRAIN_FAULT"] = fault
        return self.slurm.submit(self.command(**keywords))

    def serve(self, mode=""):
        """Starts the metadata service of n1. On n2 there is none, of which dtrain warns."""
        os.makedirs(f"{self.work}/imds")
        self.mode(mode)
        self.slurm.cluster.hosts[1].popen([sys.executable, "-B", f"{self.options.source}/tests/program/imds_server.py", f"{self.work}/imds", str(PORT)])
        wait_for("metadata service", 20, lambda: os.path.exists(f"{self.work}/imds/port"))

    def mode(self, mode):
        with open(f"{self.work}/imds/mode.new", "w") as f:
            f.write(mode)
        os.rename(f"{self.work}/imds/mode.new", f"{self.work}/imds/mode")

    def wait_hold(self):
        """Waits until the training comes to the step HOLD: its last checkpoint before that is there."""
        wait_for("checkpoint", 60, lambda: os.path.exists(f"{self.run}/checkpoints/step-{HOLD - 10:08d}/manifest.json"))

    def expect_end(self, job, restarts, state="COMPLETED", code="0:0", limit_s=120):
        found = self.slurm.wait_end(job, limit_s)
        if found != (state, code, restarts):
            raise Failure(f"job {job} ended with state, code, restarts {found}, expected {(state, code, restarts)}")

    def expect_log(self, job, *patterns):
        for pattern in patterns:
            if not re.search(pattern, self.slurm.log(job), re.M):
                raise Failure(f"no line of the job's log matches: {pattern}")

    def expect_no_log(self, job, pattern):
        if re.search(pattern, self.slurm.log(job), re.M):
            raise Failure(f"a line of the job's log matches: {pattern}")

    def expect_bits(self):
        if not filecmp.cmp(self.weights, self.options.whole, shallow=False):
            raise Failure("the weights are not those of the undisturbed training")

    def expect_starts(self, n):
        """So many starts in the run's own log."""
        starts = [line for line in open(f"{self.run}/starts.log") if " start=" in line]
        if len(starts) != n:
            raise Failure(f"{self.run}/starts.log has {len(starts)} starts, expected {n}")


def hold(seconds):
    """Rank 0 waits so long before step HOLD of the first start; a later start has fewer steps to do."""
    return f"train.step@0:{HOLD}:sleep={seconds}"


def undisturbed(t):
    job = t.submit()
    t.expect_end(job, 0)
    t.expect_log(job, r"^dtrain: job \d+: start 1, .* on n\[1-2\]: 2 nodes, 1\(x2\) tasks", "2 nodes checked: same programs and libraries")
    os.rename(t.weights, t.options.whole)


def spot(t):
    t.serve()
    job = t.submit(hold(12))
    t.wait_hold()
    t.mode("notice=120")
    t.slurm.wait_log(job, "job .*: code 75: ")
    t.mode("")
    t.expect_end(job, 1)
    t.expect_log(job, "EC2 will take this instance back", "stopped on an EC2 spot notice", r"start 2, ", r"going on after step \d+",
                 r"code 75: Slurm requeues this job \(RequeueExit\)" if t.requeue_exit else "code 75: requeueing this job")
    t.expect_bits()


def lost_node(t, batch_host, powered):
    """slurmd dies, or the whole host, with the batch script or without. Slurm notices, ends what runs on the other node and requeues."""
    host = 1 if batch_host else 2
    job = t.submit(hold(120))
    t.wait_hold()
    (t.slurm.power_off if powered else t.slurm.kill_slurmd)(host)
    wait_for("requeued job", 120, lambda: t.slurm.field(job, "Restarts") == "1")
    wait_for("lost node", 60, lambda: "down" in t.slurm.run("sinfo", "-h", "-n", f"n{host}", "-o", "%t"))
    t.slurm.boot(host) if powered else t.slurm.start_slurmd(host)
    t.expect_end(job, 1, limit_s=180)
    t.expect_log(job, r"start 2, ", r"going on after step \d+")
    if batch_host or not powered:
        with open(f"{t.work}/slurmctld-n0.log") as f:
            if "requeue job" not in f.read():
                raise Failure("slurmctld's log does not say that it has requeued the job")
    t.expect_bits()


def failed(t):
    """A rank fails with what a restart would repeat."""
    job = t.submit(more=("--lr", "1000"))
    t.expect_end(job, 0, "FAILED", "1:0")
    t.expect_log(job, "not finite", "job .*: code 1: not requeued")
    t.expect_starts(1)


def no_progress(t):
    """EC2 takes the instance back before the first step, again and again."""
    t.serve("notice=600")
    job = t.submit()
    t.expect_end(job, 3, "FAILED", "1:0", limit_s=240)
    t.expect_log(job, "start 4, ", "before the first step", "job .*: code 1: not requeued")
    t.expect_starts(4)


def stopped(t):
    """The file for GPUs, by submit. SIGUSR1, as before the time limit, requeues; SIGINT does not, and another submission goes on."""
    gpu = dict(file="dtrain.sbatch", sbatch=(f"{t.files}/submit", "--ntasks-per-node=1", "--gpus-per-node=1"))
    job = t.submit(hold(6), **gpu)
    t.wait_hold()
    t.slurm.run("scancel", "--batch", "--signal=USR1", str(job))
    t.slurm.wait_log(job, r"start 2, ")
    t.slurm.wait_log(job, r"going on after step \d+")
    t.slurm.run("scancel", "--batch", "--signal=INT", str(job))
    t.expect_end(job, 1, "FAILED", "130:0")
    t.expect_log(job, "SIGUSR1: stopping with a checkpoint", "SIGINT: stopping with a checkpoint", "stopped, and not requeued")
    job = t.submit(**gpu)
    t.expect_end(job, 0)
    t.expect_log(job, r"going on after step \d+")
    t.expect_bits()


def cancelled(t):
    """A plain scancel ends the job for good, although its processes leave with 75."""
    job = t.submit(hold(6))
    t.wait_hold()
    t.slurm.run("scancel", str(job))
    state, _, restarts = t.slurm.wait_end(job, 60)
    wait_for("end of the batch script", 60, lambda: not t.slurm.run("squeue", "-h"))
    time.sleep(3)  # a requeue would have shown by now
    if (state, restarts) != ("CANCELLED", 0) or t.slurm.state(job) != "CANCELLED" or t.slurm.field(job, "Restarts") != "0":
        raise Failure(f"a cancelled job is {t.slurm.state(job)}, with {t.slurm.field(job, 'Restarts')} restarts")
    t.expect_starts(1)


def refused(t):
    """What the checks find: at the submission, and on the nodes."""
    t.slurm.run(*t.command(file="dtrain.sbatch", sbatch=(f"{t.files}/submit",)), code=1)
    if not re.search("error: Slurm refuses this job: .*\n.*sinfo", t.slurm.err):
        raise Failure(f"submit says: {t.slurm.err}")
    if t.slurm.run("squeue", "-h"):
        raise Failure("submit has submitted a job that it refused")
    job = t.submit(more=("--data", f"{t.work}/nothing", "--out", f"{t.work}/local/run"))
    t.expect_end(job, 0, "FAILED", "1:0")
    t.expect_log(job, rf"error: n2 does not see {t.work}/local as n1 does", rf"error: n1 has no folder {t.work}/nothing", rf"error: n2 has no folder")


def pmix(t):
    """srun starts the ranks in place of mpirun."""
    if "pmix" not in t.slurm.run("srun", "--mpi=list", code=None) + t.slurm.err:
        print("skipped: Slurm has no pmix here")
        return
    job = t.submit(run=("--mpirun", "srun --mpi=pmix"))
    t.expect_end(job, 0)
    t.expect_bits()


# What happens, and whether slurm.conf has RequeueExit=75.
cases = {
    "undisturbed": (undisturbed, False),
    "spot": (spot, False),
    "spot-requeue-exit": (spot, True),
    "lost-node": (functools.partial(lost_node, batch_host=False, powered=False), False),
    "lost-batch-node": (functools.partial(lost_node, batch_host=True, powered=False), False),
    "power-off": (functools.partial(lost_node, batch_host=False, powered=True), False),
    "batch-power-off": (functools.partial(lost_node, batch_host=True, powered=True), True),
    "failed": (failed, True),
    "no-progress": (no_progress, True),
    "stopped": (stopped, False),
    "cancelled": (cancelled, False),
    "cancelled-requeue-exit": (cancelled, True),
    "refused": (refused, False),
    "pmix": (pmix, False),
}


def show(t):
    for name in sorted(glob.glob(f"{t.work}/*-*.log")):
        with open(name, errors="replace") as f:
            print(f"---- {os.path.basename(name)}\n" + "".join(f.readlines()[-60:]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=cases)
    parser.add_argument("--dtrain", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--whole", required=True)
    options = parser.parse_args()
    case, requeue_exit = cases[options.case]
    t = Training(options, requeue_exit)
    try:
        t.slurm.start_daemons()
        case(t)
    except (Failure, subprocess.TimeoutExpired) as why:
        show(t)
        print(f"{options.case}: {why}", flush=True)
        return 1
    finally:
        t.slurm.stop()
    return 0


sys.exit(main())
