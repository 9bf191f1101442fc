"""A cluster for tests: Slurm's own daemons on three hosts of hosts.py, n0 with the controller, n1 and n2 to compute.

It must run in namespaces of its own as process 1 (hosts.py): so all daemons and jobs end with it, and nothing of the machine is touched: ports, sockets,
keys, state and logs are in these namespaces and in WORK.

    slurm = Slurm("/path/work", requeue_exit=True, path="/folders/of:/dtrain")
    slurm.start_daemons()
    job = slurm.submit(["dtrain.sbatch", ...])      a job's number
    state, code, n_restarts = slurm.wait_end(job, 60)
    slurm.kill_slurmd(2)                            SIGKILL; what it has started runs on
    slurm.start_slurmd(2)
"""
import os
import re
import subprocess
import time

from hosts import NET, SLOWER, Cluster, Failure, sh

# cred_expire: a job that is requeued waits so long, and a second.
CONF = """ClusterName=dtrain-test
SlurmctldHost=n0({net}.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={work}/munge/socket,cred_expire=5
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool/%n
TmpFS={work}/tmp
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
TCPTimeout=2
KillWait=10
MailProg=/bin/true
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n1 NodeAddr={net}.2 CPUs=2 Gres=gpu:1
NodeName=n2 NodeAddr={net}.3 CPUs=2 Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE OverSubscribe=EXCLUSIVE State=UP
{more}
"""


def wait_for(what, limit_s, poll, every_s=0.2):
    """Calls poll() until it returns something true, and returns that."""
    end = time.monotonic() + limit_s * SLOWER
    while time.monotonic() < end:
        found = poll()
        if found:
            return found
        time.sleep(every_s)
    raise Failure(f"after {limit_s * SLOWER} s: no {what}")


class Slurm:
    def __init__(self, work, requeue_exit, path):
        self.work = work
        self.daemons = {}  # (name, host): its process
        with open(f"{work}/names", "w") as f:
            f.write("127.0.0.1 localhost\n" + "".join(f"{NET}.{i + 1} n{i}\n" for i in range(3)))
        sh("mount", "--bind", f"{work}/names", "/etc/hosts")
        self.err = ""  # of the last command
        self.cluster = Cluster(work, 3, "64m")
        for name in ("munge", "state", "spool"):
            os.makedirs(f"{work}/{name}", 0o755)
        with open(f"{work}/slurm.conf", "w") as f:
            f.write(CONF.format(work=work, net=NET, more="RequeueExit=75" if requeue_exit else ""))
        with open(f"{work}/gres.conf", "w") as f:
            f.write("Name=gpu File=/dev/null\n")  # slurmd counts files
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH"))}
        self.env.update(SLURM_CONF=f"{work}/slurm.conf", TMPDIR=f"{work}/tmp", PATH=f"{path}:{os.environ['PATH']}:/usr/sbin:/sbin")

    def start_daemons(self):
        self.start_munge()
        self.start("slurmctld", 0, ["-D", "-i"])
        for host in (1, 2):
            self.start_slurmd(host)
        wait_for("two idle nodes", 60, lambda: self.run("sinfo", "-h", "-o", "%D %t").split() == ["2", "idle"])

    # -- daemons

    def start(self, name, host, arguments):
        log = open(f"{self.work}/{name}-n{host}.log", "a")
        self.daemons[name, host] = self.cluster.hosts[host].popen([name] + arguments, stdout=log, stderr=subprocess.STDOUT, env=self.env)

    def start_munge(self):
        """One for all hosts, which see the same files."""
        folder = f"{self.work}/munge"
        with open(os.open(f"{folder}/key", os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(os.urandom(128))
        self.start("munged", 0, ["--foreground", "--force", f"--key-file={folder}/key", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
                                 f"--log-file={folder}/log", f"--seed-file={folder}/seed", "--num-threads=2"])
        wait_for("socket of munged", 20, lambda: os.path.exists(f"{folder}/socket"))

    def start_slurmd(self, host):
        self.start("slurmd", host, ["-D", "-N", f"n{host}"])

    def kill_slurmd(self, host):
        """As if it had crashed: its host and the processes of the jobs there run on."""
        self.daemons["slurmd", host].kill()
        self.daemons["slurmd", host].wait()

    def power_off(self, host):
        self.cluster.hosts[host].power_off()
        self.daemons["slurmd", host].wait()

    def boot(self, host):
        self.cluster.hosts[host].boot()
        self.start_slurmd(host)

    # -- commands and jobs

    def run(self, *command, code=0):
        """Runs a command on n0, in WORK; returns what it prints on stdout. code None: any."""
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', self.work]
        done = self.cluster.hosts[0].popen(inside + list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, text=True)
        out, err = done.communicate(timeout=60 * SLOWER)
        if code is not None and done.returncode != code:
            raise Failure(f"{' '.join(command)}: code {done.returncode}: {out}{err}")
        self.err = err
        return out

    def submit(self, command):
        return int(re.search(r"Submitted batch job (\d+)", self.run(*command)).group(1))

    def field(self, job, name):
        found = re.search(rf"(?:^| ){name}=(\S*)", self.run("scontrol", "show", "job", "-o", str(job), code=None))
        return found.group(1) if found else ""

    def state(self, job):
        return self.field(job, "JobState")

    def log(self, job):
        try:
            with open(f"{self.work}/dtrain-{job}.log") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, job, pattern, limit_s=60):
        return wait_for(f"line {pattern} in the job's log", limit_s, lambda: re.search(pattern, self.log(job), re.M))

    def wait_end(self, job, limit_s):
        """Waits for the job's last end; returns its state, the exit code and the number of its restarts."""
        def ended():
            state = self.state(job)
            return state not in ("", "PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "NODE_FAIL", "SUSPENDED") and state
        state = wait_for("end of the job", limit_s, ended, 0.5)
        return state, self.field(job, "ExitCode"), int(self.field(job, "Restarts"))

    def stop(self):
        """Ends the daemons in their order, so that their logs are complete. The namespaces would end them too."""
        for process in reversed(self.daemons.values()):
            process.terminate()
        for process in self.daemons.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
