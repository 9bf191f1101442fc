"""The events that chaos.py disturbs a training with.

An event: happen(job, dice) does it and returns a description for the log; the other fields say when it happens and what must follow. EVENTS lists all."""
import os
import signal
import subprocess
import time

from hosts import Failure, fill, kill, sh

# of a rank, or of the agreement that ends a checkpoint
MISSED = r"^dtrain: (rank \d+ on n\d|error: the checkpoint of step \d+ was not written): .*there is no sign of rank"
NOT_WRITTEN = r"(the checkpoint of step \d+ was not written|metrics.jsonl: ).*No space left on device"


class Event:
    """When: after a step ("step"); soon after the start ("startup"); while a checkpoint is being written ("writing")."""
    moment = "step"
    ends = True  # the training, with one of these codes:
    codes = (1, 75, 137, 14, 9, 205, -signal.SIGKILL)  # 9, 205: mpirun has lost its daemon on another host; 14: KILLED_CODE of tests/mpi.sh; the last: it was killed itself
    lines = (MISSED,)  # regular expressions of what the log may say
    wants_copy = False  # wait until the mirror has a checkpoint: without one no checkpoint would be left, and dtrain refuses to start over
    hurries = False     # the next start does not wait until all processes of this one have ended

    def __init__(self, name, **fields):
        self.name = name
        self.__dict__.update(fields)

    def fault(self, places, dice):
        """DTRAIN_FAULT for the start in which it happens: delays a checkpoint at a point where a failure does most harm."""
        if self.moment != "writing":
            return ""
        everywhere = ["store.open", "store.fsync", "store.hash"]
        point = dice.choice(everywhere + ["store.manifest", "store.manifest.fsync", "store.folder.fsync", "store.rename"])
        rank = dice.randrange(sum(places)) if point in everywhere else 0
        return ",".join(f"{point}@{rank}:{n}:sleep=0.3" for n in range(1, 15))

    def happen(self, job, dice):
        raise NotImplementedError

    def after(self, job):
        """Called when all processes of the training have ended (hurries: when mpirun has)."""


class KillRank(Event):
    number = signal.SIGKILL

    def happen(self, job, dice):
        ranks = job.cluster.ranks(job.options.job)
        rank = dice.choice(sorted(ranks)) if ranks else None
        kill(ranks[rank] if ranks else job.process.pid, self.number)
        return f"{self.number.name} of {f'rank {rank}' if ranks else 'mpirun: there are no ranks yet'}"


class SignalMpirun(Event):
    def happen(self, job, dice):
        kill(job.process.pid, self.number)
        return f"{self.number.name} of mpirun"


class KillAll(Event):
    def happen(self, job, dice):
        for host in job.cluster.hosts:
            host.kill_all()
        return "SIGKILL of everything"


class HostEvent(Event):
    """A host is lost. Open MPI 5's mpirun then may return 0, as if all were well, or 213."""
    codes = Event.codes + (0, 213) if os.environ["MPI_KIND"] == "openmpi5" else Event.codes


class KillHost(HostEvent):
    """All processes of a host; its kernel lives, and closes the connections."""

    def happen(self, job, dice):
        host = dice.choice(job.cluster.hosts)
        host.kill_all()
        return f"SIGKILL of everything on {host.name}"


class PowerOff(HostEvent):
    def happen(self, job, dice):
        self.host = dice.choice(job.cluster.hosts)
        self.host.power_off()
        return self.host.name

    def after(self, job):
        self.host.boot()


class Cut(HostEvent):
    def happen(self, job, dice):
        self.host = dice.choice(job.cluster.hosts)
        self.host.cable(False)
        return f"the cable of {self.host.name}"

    def after(self, job):
        self.host.cable(True)


class Flap(Cut):
    ends = False
    lines = ()

    def happen(self, job, dice):
        what = super().happen(job, dice)
        seconds = dice.uniform(0.05, 0.4)
        time.sleep(seconds)
        self.after(job)
        return f"{what} for {seconds:.2f} s"


class Pause(Event):
    ends = False
    lines = ()

    def happen(self, job, dice):
        ranks = job.cluster.ranks(job.options.job)
        rank, seconds = dice.choice(sorted(ranks)), dice.uniform(0.1, 1)
        kill(ranks[rank], signal.SIGSTOP)
        time.sleep(seconds)
        kill(ranks[rank], signal.SIGCONT)
        return f"rank {rank} for {seconds:.2f} s"


class RefusingDisk(Event):
    """A disk that refuses writes until at least two checkpoints were due."""
    ends = False
    lines = (NOT_WRITTEN, r"the checkpoint of step \d+ was not written either, for the same reason", r"metrics.jsonl: \d+ events? could not be written")

    def disk(self, job, dice):
        """The mount point of the disk."""
        return job.disk

    def refuse(self, disk):
        fill(os.path.join(disk, "filler"))

    def allow(self, disk):
        os.unlink(os.path.join(disk, "filler"))

    def happen(self, job, dice):
        disk, begin = self.disk(job, dice), job.step()
        self.refuse(disk)
        while job.runs() and job.step() < begin + 25:
            time.sleep(0.05)
        self.allow(disk)
        return f"{os.path.basename(disk)} until step {job.step()}"


class FullHostDisk(RefusingDisk):
    def disk(self, job, dice):
        return dice.choice(job.cluster.hosts).disk


class FullMirror(RefusingDisk):
    lines = (r"mirror.*No space left on device", r"mirror.*for the same reason")

    def disk(self, job, dice):
        return os.path.dirname(job.mirror)


class ReadOnlyMirror(FullMirror):
    lines = (r"mirror.*Read-only file system", r"mirror.*for the same reason")

    def refuse(self, disk):
        while subprocess.run(["mount", "-o", "remount,ro", "none", disk], stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.005)  # not while a file is open for writing

    def allow(self, disk):
        sh("mount", "-o", "remount,rw", "none", disk)


class ReplaceHosts(HostEvent):
    """Hosts are replaced by new ones with empty disks."""
    wants_copy = True

    def happen(self, job, dice):
        self.hosts = dice.sample(job.cluster.hosts, self.number)
        for host in self.hosts:
            host.power_off()
            host.empty_disk()
        return ", ".join(host.name for host in self.hosts)

    def after(self, job):
        for host in self.hosts:
            host.boot()


class RestartOnFullDisk(KillAll):
    """The start is refused, and no checkpoint is lost."""

    def happen(self, job, dice):
        fill(os.path.join(job.disk, "filler"))
        return super().happen(job, dice)

    def after(self, job):
        before = job.checkpoints()
        job.start(job.places, "")
        code = job.process.wait(60)
        if code != 1 or not any("No space left on device" in line for line in job.log_lines()) or job.checkpoints() != before:
            raise Failure(f"start {job.n_starts} on a full disk: code {code}, checkpoints {before}, then {job.checkpoints()}")
        os.unlink(os.path.join(job.disk, "filler"))


EVENTS = {
    event.name: event
    for event in (
        KillRank("kill_rank"), KillRank("kill_rank_writing", moment="writing"), KillRank("kill_rank_starting", moment="startup"),
        KillRank("freeze_rank", number=signal.SIGSTOP), SignalMpirun("kill_mpirun", number=signal.SIGKILL),
        SignalMpirun("term", number=signal.SIGTERM), SignalMpirun("usr1", number=signal.SIGUSR1, codes=(75,), lines=()),
        SignalMpirun("usr1_writing", number=signal.SIGUSR1, codes=(75,), lines=(), moment="writing"),
        KillAll("kill_all"), KillAll("kill_all_writing", moment="writing"), KillHost("kill_host"), KillHost("kill_host_writing", moment="writing"),
        PowerOff("power_off"), PowerOff("power_off_writing", moment="writing"), Cut("cut"), Cut("cut_writing", moment="writing"),
        Cut("cut_hurried", hurries=True), PowerOff("power_off_hurried", hurries=True, moment="writing"),
        SignalMpirun("kill_mpirun_hurried", number=signal.SIGKILL, hurries=True, moment="writing"), Flap("flap"), Pause("pause"), RefusingDisk("full_disk"),
        RestartOnFullDisk("restart_on_full_disk"),
        FullHostDisk("full_host_disk"), FullMirror("full_mirror"), ReadOnlyMirror("read_only_mirror"), ReplaceHosts("replace_host", number=1),
        ReplaceHosts("replace_host_writing", number=1, moment="writing"), ReplaceHosts("replace_all", number=2))
}
