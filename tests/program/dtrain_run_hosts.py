"""dtrain_run_hosts.py WORK CASE --job CHAOS_JOB --script DTRAIN_RUN --mpirun COMMAND: dtrain-run on two hosts, one of which is lost and comes back.

COMMAND is mpirun with its options for the hosts' network. WORK is a new folder. Needs namespaces of its own, see hosts.py. Cases:

    undisturbed     writes WORK/weights.safetensors
    power           the other host loses its power, and boots again
    killed          the other host's processes are killed, as by a shutdown, and it boots again
    cable           its cable is pulled for some seconds; TCP does not give up (a quarter of an hour), so the launcher would wait
    removed         it is lost and taken out of the hostfile: the training goes on without it
    stop            SIGTERM while dtrain-run waits for the lost host
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import time

from hosts import SLOWER, Cluster, Failure

STEPS = 60


class Run:
    """dtrain-run on host 0, for two ranks on each host."""

    def __init__(self, options):
        self.options = options
        self.work = options.work
        self.cluster = Cluster(options.work, 2, "64m")
        os.makedirs(f"{self.work}/record")
        self.write_hostfile("n0 slots=2", "n1 slots=2")
        with open(f"{self.work}/rsh", "w") as f:  # an agent that needs the network, as ssh does
            f.write(f'#!/bin/sh\n[ ! -e {self.work}/cut ] || exit 255\nexec {self.work}/agent "$@"\n')
        os.chmod(f"{self.work}/rsh", 0o755)

    def write_hostfile(self, *lines):
        with open(f"{self.work}/hostfile", "w") as f:
            f.write("".join(line + "\n" for line in lines))

    def start(self):
        command = [self.options.script, "--program", self.options.job, "--mpirun", self.options.mpirun, "--rsh", f"{self.work}/rsh", "--hostfile",
                   f"{self.work}/hostfile", "--pause", "1", "--", "--arch", "resnet18", "--image-size", "16", "--batch", "4", "--epochs", "1", "--steps",
                   str(STEPS), "--threads", "1", "--workers", "1", "--checkpoint-every", "5", "--log-every", "0", "--eval-every", "0", "--peer-timeout", "3",
                   "--out", f"{self.work}/run", "--export", f"{self.work}/weights.safetensors"]
        env = dict(os.environ, DT_CHAOS_RECORD=f"{self.work}/record", DT_CHAOS_PACE_MS="50", TMPDIR=f"{self.work}/tmp")
        self.log = open(f"{self.work}/log", "w")
        self.process = self.cluster.hosts[0].popen(command, stdout=self.log, stderr=subprocess.STDOUT, env=env)

    def output(self):
        with open(f"{self.work}/log") as f:
            return f.read()

    def wait_for(self, what, condition):
        end = time.monotonic() + 90 * SLOWER
        while not condition():
            if self.process.poll() is not None:
                raise Failure(f"dtrain-run ended with {self.process.returncode} before: {what}")
            if time.monotonic() > end:
                raise Failure(f"this never became true: {what}")
            time.sleep(0.05)

    def wait_for_line(self, pattern):
        self.wait_for(pattern, lambda: re.search(pattern, self.output(), re.MULTILINE))

    def steps(self):
        try:
            with open(f"{self.work}/run/metrics.jsonl") as f:
                return sum('"event": "step"' in line for line in f)
        except OSError:
            return 0

    def reach(self, n):
        self.wait_for(f"{n} steps", lambda: self.steps() >= n)

    def end(self, code):
        try:
            got = self.process.wait(120 * SLOWER)
        except subprocess.TimeoutExpired:
            raise Failure("dtrain-run does not end") from None
        if got != code:
            raise Failure(f"dtrain-run returned {got}, expected {code}")

    def expect_lines(self, n, pattern):
        found = len(re.findall(pattern, self.output() + self.starts(), re.MULTILINE))
        if found != n:
            raise Failure(f"{found} lines match {pattern}, expected {n}")

    def starts(self):
        with open(f"{self.work}/run/starts.log") as f:
            return f.read()


def undisturbed(run):
    run.start()
    run.end(0)
    run.expect_lines(1, r"^dtrain-run: start 1: 4 ranks on n0:2,n1:2, after step 0 of ")


def came_back(run):
    run.end(0)
    run.expect_lines(1, r"^dtrain-run: start 2: 4 ranks on n0:2,n1:2, after step [1-9]")
    run.expect_lines(1, r" end=2 code=0 step=60$")


def power(run):
    run.start()
    run.reach(12)
    run.cluster.hosts[1].power_off()
    run.wait_for_line(r"^dtrain-run: waiting for n1, which does not answer to: ")
    run.cluster.hosts[1].boot()
    came_back(run)


def killed(run):
    run.start()
    run.reach(12)
    run.cluster.hosts[1].kill_all()
    came_back(run)


def cable(run):
    subprocess.run(["nsenter", "--target", str(run.cluster.hosts[0].holder.pid), "--net", "sh", "-c", "echo 15 >/proc/sys/net/ipv4/tcp_retries2"], check=True)
    run.start()
    run.reach(12)
    open(f"{run.work}/cut", "w").close()
    run.cluster.hosts[1].cable(False)
    run.wait_for_line(r"^dtrain: rank [01] on n0: .* there is no sign of rank 2 ")
    run.wait_for_line(r"^dtrain-run: the ranks have ended with code 75, but \S*mpirun has not: ending it")
    run.wait_for_line(r"^dtrain-run: waiting for n1")
    run.cluster.hosts[1].cable(True)
    os.remove(f"{run.work}/cut")
    came_back(run)


def removed(run):
    run.start()
    run.reach(12)
    run.cluster.hosts[1].power_off()
    run.wait_for_line(r"^dtrain-run: waiting for n1")
    run.write_hostfile("n0 slots=2")
    run.end(0)
    run.expect_lines(1, r"^dtrain-run: start 2: 2 ranks on n0:2, after step [1-9]")


def stop(run):
    run.start()
    run.reach(12)
    run.cluster.hosts[1].power_off()
    run.wait_for_line(r"^dtrain-run: waiting for n1")
    run.process.send_signal(signal.SIGTERM)  # nsenter has become dtrain-run
    began = time.monotonic()
    run.end(75)
    if time.monotonic() - began > 5 * SLOWER:
        raise Failure("dtrain-run took too long to stop")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=["undisturbed", "power", "killed", "cable", "removed", "stop"])
    parser.add_argument("--job", required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--mpirun", required=True)
    options = parser.parse_args()
    run = Run(options)
    try:
        globals()[options.case](run)
        time.sleep(0.2)
        left = [pid for pid in run.cluster.pids() if pid != os.getpid()]
        if left:
            raise Failure("these processes are left: " + ", ".join(open(f"/proc/{pid}/cmdline").read().replace("\0", " ") for pid in left))
    except Failure as failure:
        print(f"{run.output()}\n{options.case}: {failure}")
        return 1
    print(run.output())
    return 0


sys.exit(main())
