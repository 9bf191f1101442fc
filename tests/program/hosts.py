"""Hosts for tests: network, mount and UTS namespaces on one switch, each with its own disk and folder for temporary files.

It must run in namespaces of its own as process 1, so that everything in them ends with it:

    unshare --net --mount --pid --fork --kill-child --mount-proc python3 ...

    cluster = Cluster("/path/work", 2, "8m")
    cluster.hosts[0].popen(["mpirun", ...])        starts a program there
    cluster.hosts[1].cable(False)                  unplugs its network
    cluster.hosts[1].power_off()                   ends it; its connections are not closed
    cluster.hosts[1].boot()

Every host sees the same files; WORK/local is its own disk, WORK/tmp its own /tmp."""
import os
import signal
import subprocess
import time

NET = "10.78.0"
SLOWER = int(os.environ.get("DTRAIN_TEST_SLOWER", "1"))  # time limits are so many times as long


class Failure(Exception):
    """A check of the test failed."""


def sh(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def network_of(pid):
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None  # it has just ended


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def fill(path):
    """Writes to the file until the disk is full."""
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


class Host:
    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"n{number}"
        self.disk = f"{cluster.work}/disks/{self.name}"
        os.makedirs(self.disk)
        sh("mount", "-t", "tmpfs", "-o", f"size={cluster.disk_size}", "none", self.disk)
        self.boot()

    def boot(self):
        """Starts the host: new namespaces, the same disk."""
        work = self.cluster.work
        script = f"""hostname {self.name} && mount --bind {self.disk} {work}/local && mount -t tmpfs none {work}/tmp &&
            mount -t tmpfs none /dev/shm && ip link set lo up && echo 3 >/proc/sys/net/ipv4/tcp_retries2 && echo up && exec sleep infinity"""
        # tcp_retries2: how often TCP retries before it gives up on a host. The default, 15, takes a quarter of an hour.
        self.holder = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b"up\n":
            raise RuntimeError(f"{self.name} does not come up")
        self.network = network_of(self.holder.pid)
        sh("ip", "link", "add", f"port{self.number}", "type", "veth", "peer", "name", "eth0", "address", f"02:00:00:00:00:{self.number:02x}", "netns",
           str(self.holder.pid))  # a fixed hardware address: the others still know it after a boot
        sh("ip", "link", "set", f"port{self.number}", "master", "switch", "up")
        inside = ["nsenter", "--target", str(self.holder.pid), "--net", "ip"]
        sh(*inside, "addr", "add", f"{NET}.{self.number + 1}/24", "dev", "eth0")
        sh(*inside, "link", "set", "eth0", "up")
        with open(f"{work}/hosts/{self.name}", "w") as f:
            f.write(str(self.holder.pid))

    def popen(self, command, **keywords):
        enter = ["nsenter", "--target", str(self.holder.pid), "--net", "--uts", "--mount", "--"]
        return subprocess.Popen(enter + command, stdin=subprocess.DEVNULL, **keywords)

    def pids(self):
        """The processes on this host that run."""
        return [pid for pid in processes() if pid != self.holder.pid and network_of(pid) == self.network and is_alive(pid)]

    def ranks(self, program):
        """{rank: pid} of the MPI processes on this host that run `program`."""
        found = {}
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    ours = f.read().split(b"\0")[0] == program.encode()
                with open(f"/proc/{pid}/environ", "rb") as f:
                    variables = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
            except OSError:
                continue
            rank = variables.get(b"OMPI_COMM_WORLD_RANK", variables.get(b"PMI_RANK"))  # Open MPI, MPICH
            if ours and rank is not None:
                found[int(rank)] = pid
        return found

    def cable(self, plugged):
        sh("ip", "link", "set", f"port{self.number}", "up" if plugged else "down")

    def kill_all(self):
        """Kills all its processes. The kernel lives, and closes their connections."""
        while self.pids():
            for pid in self.pids():
                kill(pid)
            time.sleep(0.01)

    def power_off(self):
        """Ends the host without closing its connections. The temporary files are lost, the disk is kept."""
        self.cable(False)
        self.kill_all()
        sh("ip", "link", "del", f"port{self.number}")
        self.holder.kill()
        self.holder.wait()

    def empty_disk(self):
        sh("find", self.disk, "-mindepth", "1", "-delete")


class Cluster:
    def __init__(self, work, n, disk_size):
        self.work = work
        self.disk_size = disk_size
        for name in ("disks", "hosts", "local", "tmp"):
            os.makedirs(f"{work}/{name}")
        # What mpirun starts its daemons on other hosts with, in place of ssh.
        with open(f"{work}/agent", "w") as f:
            f.write(f"""#!/bin/sh
host=$1
shift
exec nsenter --target "$(cat {work}/hosts/$host)" --net --uts --mount -- sh -c "$*"
""")
        os.chmod(f"{work}/agent", 0o755)
        sh("ip", "link", "add", "switch", "type", "bridge")
        sh("ip", "link", "set", "switch", "up")
        self.hosts = [Host(self, number) for number in range(n)]

    def pids(self):
        return [pid for host in self.hosts for pid in host.pids()]

    def ranks(self, program):
        return {rank: pid for host in self.hosts for rank, pid in host.ranks(program).items()}

    def mpirun(self, places, command, **keywords):
        """Starts `command` with so many ranks on each host, from the first that has any."""
        where = ",".join(f"{host.name}:{n}" for host, n in zip(self.hosts, places) if n)
        head = next(host for host, n in zip(self.hosts, places) if n)
        ranks = [f"{os.path.dirname(os.path.abspath(__file__))}/../ranks", "--hosts", where, "--agent", f"{self.work}/agent", "--net", f"{NET}.0/24", str(sum(places))]
        return head.popen(ranks + command, **keywords)
