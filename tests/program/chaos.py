"""chaos.py WORK --seed N --job CHAOS_JOB --data DIR --epochs N --worlds 2+2,1+1 --events kill_rank,cut,... : a training on several hosts that is disturbed and
started again by the same command until it is done, then compared with an undisturbed one. --local: checkpoints go to each host's own disk, and to a mirror.

WORK is a new folder. Needs namespaces of its own, see hosts.py, and MPI_KIND of tests/mpi.sh in the environment. Every event is printed when it happens. The test checks that

- each start goes on from the newest checkpoint that was there, or a later one;
- the samples of the steps that counted are those of the undisturbed run, in its order;
- where the number of ranks did not change, the exported weights and the last checkpoint are the same bits;
- after an event that ends the training all processes on all hosts are gone within LEAVE_S;
- the log has no unexpected line."""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time

from chaos_events import EVENTS
from chaos_record import Start, shards_of, what_counted, whole_checkpoints
from hosts import SLOWER, Cluster, Failure, kill, sh

TIMEOUT_S = 4 * SLOWER  # --peer-timeout
LEAVE_S = 40 * SLOWER
GLOBAL_BATCH = 12
EVERY = 10  # steps: a checkpoint

# These lines are always allowed.
ALWAYS = [
    r"lock was left by process \d+ on n\d, which is gone",
    r"lock belongs to process \d+ on n\d: watching",
    r"was still being written when the next was due",
    r"--batch is \d+ now; the run in .* was last started with",  # of a changed world
]
# With disks of the hosts' own these too: a lost host takes checkpoints with it that were not copied. check_resume checks that there was no newer one.
ALWAYS_LOCAL = [
    r"passing over step \d+: no host has a whole shard",
    r"removing .*/step-\d+: training went on from before it",
    r"mirror: the checkpoint of step \d+ is not copied: .* is still busy",
]
SUSPICIOUS = re.compile(r"error|warning|fatal|assert|sanitizer|signal|segmentation|corrupt|passing over|damaged|^dtrain: ", re.I)
HARMLESS = re.compile(r"^dtrain: (writing to|checkpoints are written|going on after|communication:|the run is in|the weights are in|.* million parameters|memory of each rank"
                      r"|.* images to train on|no GPU is used|--lr is at its default|options that the command line does not set|its checkpoints are in|checkpoint: \d+ of the \d+ shards? of step \d+ comes? from the mirror|there was nothing left|stopped on SIG\w+ after step \d+; the same command goes on)")
# Lines with stars are crashes, or Open MPI 5's report of a closed connection.
OPEN_MPI = re.compile(r"\[n\d:\d+\] (?!\*\*\*)|mpirun: Forwarding signal|\[warn\] Epoll|\[n\d:00000\] \*\*\* +"
                      r"(An error occurred in Socket closed|reported by process|on a NULL communicator|Unknown error|MPI_ERRORS_ARE_FATAL|and MPI will try)")


class Job:
    """The training, its folders, and its starts so far."""

    def __init__(self, cluster, options, name):
        self.cluster, self.options = cluster, options
        self.disk = f"{cluster.work}/shared"
        self.out = f"{self.disk}/run"
        self.mirror = f"{cluster.work}/mirror/of-run"
        self.folders = [f"{host.disk}/checkpoints" for host in cluster.hosts] + [self.mirror] if options.local else [f"{self.out}/checkpoints"]
        self.folder = f"{cluster.work}/{name}"
        self.weights = f"{cluster.work}/weights.safetensors"
        self.process, self.n_starts = None, 0
        os.makedirs(self.folder)

    def start(self, places, fault):
        self.places = places
        self.n_starts += 1
        self.record = f"{self.folder}/record-{self.n_starts}"
        self.log = f"{self.folder}/log-{self.n_starts}"
        os.makedirs(self.record)
        # One thread and one worker, because all ranks share the cores. DT_CHAOS_PACE_MS makes steps slow enough for events to strike at every moment.
        command = [self.options.job, "--data", self.options.data, "--arch", "resnet18", "--image-size", "16", "--batch", str(GLOBAL_BATCH // sum(places)),
                   "--epochs", str(self.options.epochs), "--lr", "0.02", "--threads", "1", "--workers", "1", "--checkpoint-every", str(EVERY), "--log-every", "0",
                   "--max-checkpoint-failures", "0", "--peer-timeout", str(TIMEOUT_S), "--out", self.out, "--export", self.weights]
        if self.options.local:
            command += ["--checkpoint-dir", f"{self.cluster.work}/local/checkpoints", "--checkpoint-mirror", self.mirror]
        env = dict(os.environ, DT_CHAOS_RECORD=self.record, DT_CHAOS_PACE_MS="20", DTRAIN_FAULT=fault, TMPDIR=f"{self.cluster.work}/tmp")
        with open(self.log, "w") as log:
            self.process = self.cluster.mpirun(places, command, stdout=log, stderr=subprocess.STDOUT, env=env)

    def runs(self):
        return self.process.poll() is None

    def steps_per_epoch(self):
        return self.options.n_samples // GLOBAL_BATCH

    def step(self):
        """The step of this start that rank 0 has reached; -1: none yet."""
        try:
            start = Start(self.record)
        except (ValueError, IndexError):
            return -1  # a line is being written
        if 0 not in start.ranks or not start.ranks[0].starts:
            return -1
        epoch, position, batches = start.ranks[0].starts[-1]
        return epoch * self.steps_per_epoch() + position // GLOBAL_BATCH + len(batches)

    def checkpoints(self):
        """The steps of the whole checkpoints."""
        return whole_checkpoints(self.folders)

    def is_writing(self):
        return any(name.endswith(".tmp") for folder in self.folders if os.path.isdir(folder) for name in os.listdir(folder))

    def keep_last(self, step):
        """Copies the checkpoint of `step`, from wherever its shards are, to the folder `last`."""
        os.makedirs(f"{self.folder}/last")
        for (of, _), shards in shards_of(self.folders).items():
            for file, places in shards.items() if of == step else []:
                shutil.copy(f"{places[0]}/{file}", f"{self.folder}/last/{file}")
                shutil.copy(f"{places[0]}/manifest.json", f"{self.folder}/last/manifest.json")

    def log_lines(self):
        """The lines of the log, without the zero bytes that Open MPI 5 puts before its report of a closed connection."""
        with open(self.log, errors="replace") as f:
            return f.read().replace("\0", "").splitlines()

    def own_lines(self):
        """The lines of the log without Open MPI's reports about a lost process, which are between lines of dashes."""
        inside = False
        for line in self.log_lines():
            if line and not line.strip("-"):
                inside = not inside
            elif not inside and not OPEN_MPI.match(line):
                yield line

    def show_log(self):
        print(f"    | {self.log}")
        for line in self.log_lines()[-40:]:
            print(f"    | {line}")


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def check_log(job, expected):
    allowed = [re.compile(p) for p in ALWAYS + (ALWAYS_LOCAL if job.options.local else []) + expected]
    for line in job.own_lines():
        if SUSPICIOUS.search(line) and not HARMLESS.match(line) and not any(p.search(line) for p in allowed):
            raise Failure(f"start {job.n_starts}: an unexpected line: {line}")


def check_resume(job, newest):
    first = Start(job.record).first_step(job.steps_per_epoch())
    if first is not None and first < newest:
        raise Failure(f"start {job.n_starts}: it went on after step {first}, and the checkpoint {newest} was there")


def undisturbed(cluster, options):
    job = Job(cluster, options, "undisturbed")
    job.start(options.worlds[0], "")
    if job.process.wait(LEAVE_S + 60 * SLOWER) != 0:
        raise Failure("the undisturbed run failed")
    check_log(job, [])
    job.keep_last(options.epochs * job.steps_per_epoch())
    shutil.move(job.weights, f"{job.folder}/weights")
    for folder in [job.out] + job.folders:
        shutil.rmtree(folder, ignore_errors=True)
    return job


def wait_for_moment(job, event, trigger, dice):
    """Returns false if the job ended first."""
    if event.moment == "startup":
        time.sleep(dice.uniform(0, 0.8))
        return job.runs()
    wait_until(lambda: job.step() >= trigger or not job.runs(), 120 * SLOWER)
    if event.wants_copy:
        wait_until(lambda: whole_checkpoints([job.mirror]) or not job.runs(), 20 * SLOWER)
    if event.moment == "writing":
        wait_until(lambda: job.is_writing() or not job.runs(), 20 * SLOWER)
    return job.runs()


def one_start(job, places, plan, dice):
    """Runs the job until it ends, and removes the events that happened from the plan. Returns whether the training is done."""
    newest = max(job.checkpoints(), default=0)
    expected, ends = [], False
    fault = plan[0][1].fault(places, dice) if plan else ""
    job.start(places, fault)
    print(f"start {job.n_starts}: {'+'.join(map(str, places))} ranks, newest checkpoint {newest}{', held at ' + fault.split(':')[0] if fault else ''}", flush=True)
    while plan and not ends:
        trigger, event = plan[0]
        if not wait_for_moment(job, event, trigger, dice):
            break
        del plan[0]
        at = job.step()
        print(f"  step {at}: {event.name}: {event.happen(job, dice)}", flush=True)
        expected += list(event.lines)
        ends = event.ends
    try:
        code = job.process.wait(LEAVE_S if ends else 300 * SLOWER)
    except subprocess.TimeoutExpired:
        raise Failure(f"start {job.n_starts}: it has not ended") from None
    if ends and not event.hurries and not wait_until(lambda: not job.cluster.pids(), LEAVE_S):
        raise Failure(f"start {job.n_starts}: processes are left: {job.cluster.pids()}")
    print(f"  code {code}", flush=True)
    done = os.path.exists(job.weights)
    if ends and (done or code not in event.codes):
        raise Failure(f"start {job.n_starts}: code {code} after {event.name}{', and it is done' if done else ''}")
    if not ends and (code != 0 or not done):
        raise Failure(f"start {job.n_starts}: code {code}{'' if done else ', and it is not done'}, though nothing happened that would end it")
    check_resume(job, newest)
    check_log(job, expected)
    if ends:
        event.after(job)
    return done


def make_plan(options, dice):
    """[(step, event)]: the events in the given order, or shuffled, distributed over the first three quarters of the training."""
    names = list(options.events)
    if options.shuffle:
        dice.shuffle(names)
    total = options.epochs * options.n_samples // GLOBAL_BATCH
    return [(int(total * 0.75 * (i + dice.random()) / len(names)), EVENTS[name]) for i, name in enumerate(names)]


def same_bits(options):
    """Whether all starts sum in the same order, which depends on the ranks on each host: comm/README.md."""
    return len({tuple(n for n in places if n) for places in options.worlds}) == 1


def check_end(job, reference, options):
    per_epoch = job.steps_per_epoch()
    order = Start(reference.record).samples()
    counted = what_counted([Start(f"{job.folder}/record-{i + 1}") for i in range(job.n_starts)], per_epoch, GLOBAL_BATCH)
    if len(order) != options.epochs * options.n_samples:
        raise Failure(f"the undisturbed run took {len(order)} samples")
    for epoch in range(options.epochs):
        if sorted(counted.get((epoch, position), -1) for position in range(options.n_samples)) != list(range(options.n_samples)):
            raise Failure(f"epoch {epoch}: not each sample once")
    if counted != order:
        raise Failure("the order of the samples is not the undisturbed run's")
    if not same_bits(options):
        return
    job.keep_last(options.epochs * per_epoch)
    sh("cmp", f"{reference.folder}/weights", job.weights)
    sh("diff", "-r", f"{reference.folder}/last", f"{job.folder}/last")
    if options.local: # the mirror has all of it
        sh("diff", "-r", f"{reference.folder}/last", f"{job.mirror}/step-{options.epochs * per_epoch:08d}")


def chaos(cluster, options):
    dice = random.Random(options.seed)
    reference = undisturbed(cluster, options)
    job = Job(cluster, options, "disturbed")
    plan = make_plan(options, dice)
    n_events = len(plan)
    try:
        while not one_start(job, options.worlds[(job.n_starts) % len(options.worlds)], plan, dice):
            pass
        if len(plan) > n_events // 2:
            raise Failure(f"{len(plan)} of {n_events} events found no training any more")
        check_end(job, reference, options)
    except (Failure, subprocess.CalledProcessError):
        job.show_log()
        raise
    finally:
        for pid in cluster.pids():
            kill(pid)
    print(f"{n_events - len(plan)} events, {job.n_starts} starts, {options.epochs} epochs: each sample once, in order" +
          ("; the same bits" if same_bits(options) else ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--worlds", required=True, type=lambda text: [tuple(map(int, world.split("+"))) for world in text.split(",")])
    parser.add_argument("--events", required=True, type=lambda text: text.split(","))
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    options.n_samples = sum(len(files) for _, _, files in os.walk(f"{options.data}/train"))
    for name in ("shared", "mirror"):
        os.makedirs(f"{options.work}/{name}")
        sh("mount", "-t", "tmpfs", "-o", "size=8m", "none", f"{options.work}/{name}")
    print(f"seed {options.seed}", flush=True)
    try:
        chaos(Cluster(options.work, len(options.worlds[0]), "8m"), options)
    except (Failure, subprocess.CalledProcessError) as failure:
        print(f"chaos, seed {options.seed}: {failure}", flush=True)
        return 1
    return 0


sys.exit(main())
