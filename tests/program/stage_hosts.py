"""stage_hosts.py WORK CASE --dtrain DTRAIN: dtrain stage on several hosts, each with its own disk; stage_hosts_test.sh names the cases.

WORK is a new folder. Needs namespaces of its own, see hosts.py. The store is s3_server.py on the first host."""
import argparse
import collections
import json
import os
import re
import signal
import subprocess
import sys
import time

from hosts import NET, SLOWER, Cluster, Failure

OBJECTS = [{"bucket": "b", "key": "k/%d.jpg", "bytes": 30000, "count": 400}, {"bucket": "b", "key": "k/empty", "bytes": 0},
           {"bucket": "b", "key": "k/shard.tar", "bytes": 40000000, "checksum": "crc32"}]
N_FILES = 402
ALL_BYTES = 400 * 30000 + 40000000


class Copies:
    def __init__(self, options, n):
        self.options = options
        self.work = options.work
        self.cluster = Cluster(options.work, n, "256m")
        self.s3 = f"{self.work}/s3"
        os.makedirs(self.s3)
        self.write("objects.json", json.dumps(OBJECTS))
        self.write("keys.json", json.dumps({f"AKID{rank}": {"secret": "secret", "token": None} for rank in range(4)}))
        self.mode()
        server = os.path.join(os.path.dirname(os.path.abspath(__file__)), "s3_server.py")
        self.cluster.hosts[0].popen([sys.executable, "-B", server, self.s3], env=dict(os.environ, S3_SERVER_ADDRESS=f"{NET}.1"))
        for _ in range(200):
            if os.path.exists(f"{self.s3}/port"):
                break
            time.sleep(0.05)
        with open(f"{self.s3}/port") as f:
            self.url = f"http://{NET}.1:{f.read()}"
        self.server = server
        self.target = f"{self.work}/local/copy"  # on each host, its own disk

    def write(self, name, text):
        with open(f"{self.s3}/{name}.new", "w") as f:
            f.write(text)
        os.rename(f"{self.s3}/{name}.new", f"{self.s3}/{name}")

    def mode(self, *words):
        self.write("mode", " ".join(words))

    def disk(self, host):
        return f"{self.cluster.hosts[host].disk}/copy"

    def forget(self):
        self.write("requests", "")

    def reads(self):
        """{(key, first byte): how often it was read} of the requests that succeeded."""
        counts = collections.Counter()
        with open(f"{self.s3}/requests") as f:
            for line in f:
                who, method, bucket, key, span, code = line.split()
                if method == "GET" and code in ("200", "206"):
                    counts[(key, span)] += 1
        return counts

    def start(self, ranks, *more, target=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env.update(TMPDIR=f"{self.work}/tmp", HOME="/nowhere", AWS_EC2_METADATA_DISABLED="true", AWS_SECRET_ACCESS_KEY="secret",
                   AWS_ENDPOINT_URL_S3=self.url)
        with_key = ["sh", "-c", 'AWS_ACCESS_KEY_ID=AKID${OMPI_COMM_WORLD_RANK:-$PMI_RANK} exec "$0" "$@"']  # the store records who asks
        self.log = open(f"{self.work}/log", "w+")
        return self.cluster.mpirun(ranks, with_key + [self.options.dtrain, "stage", "s3://b/k", target or self.target, *more], stdout=self.log, stderr=subprocess.STDOUT, env=env)

    def finish(self, process, code):
        got = process.wait(60 * SLOWER)
        self.log.seek(0)
        output = self.log.read()
        print(f"code {got}\n{output}", flush=True)
        if code is not None and got != code:
            raise Failure(f"code {got}, expected {code}")
        return output

    def copy(self, ranks, *more, code=0, target=None):
        return self.finish(self.start(ranks, *more, target=target), code)

    def expect_copy(self, folder):
        done = subprocess.run([sys.executable, "-B", self.server, self.s3, "compare", "b", "k/", folder], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure(f"{folder} is no copy: {done.stdout[:500]}")

    def expect_read_once(self):
        reads = self.reads()
        if len(reads) != 400 + 5 or set(reads.values()) != {1}:
            raise Failure(f"{len(reads)} reads; more than once: {[r for r in reads.items() if r[1] > 1][:5]}")


def expect(output, line):
    if not re.search(line, output):
        raise Failure(f"no line has: {line}")


def files(folder):
    return sum(len(names) for where, _, names in os.walk(folder) if ".dtrain-stage" not in where)


def once(c):
    output = c.copy((2, 2))
    c.expect_read_once()
    for host in range(2):
        c.expect_copy(c.disk(host))
    expect(output, "to each of 2 nodes")
    expect(output, "holds 402 objects, .* on each of 2 nodes; read")
    if output.count("holds 402") != 1:
        raise Failure("it is printed more than once")


def both_read(c):
    c.mode("rate=20000000")
    c.copy((1, 1), "--connections", "1")
    c.expect_read_once()
    with open(f"{c.s3}/requests") as f:
        requests = [line.split() for line in f]
    read = {"AKID0": 0, "AKID1": 0}
    for who, method, _, key, span, _ in requests:
        if method == "GET":
            first, last = span.removeprefix("bytes=").split("-") if span != "-" else (0, 29999)
            read[who] += int(last) - int(first) + 1
    if sum(read.values()) != ALL_BYTES or min(read.values()) < 8000000:
        raise Failure(f"the hosts have read {read}")
    n = sum(method == "LIST" for _, method, *_ in requests)
    if n != 1:
        raise Failure(f"the bucket was listed {n} times")


def new_host(c):
    c.copy((1, 1, 0))
    c.forget()
    output = c.copy((1, 0, 1))
    if c.reads():
        raise Failure(f"{len(c.reads())} objects were read from the store again")
    c.expect_copy(c.disk(2))
    expect(output, "from nodes that have it")


def killed(c):
    """kill -9 of all, in the middle; the next start reads what is whole nowhere."""
    c.mode("rate=1500000")
    process = c.start((1, 1), "--connections", "4")
    for _ in range(600):
        if min(files(c.disk(0)), files(c.disk(1))) >= 60:
            break
        time.sleep(0.02)
    for pid in c.cluster.ranks(c.options.dtrain).values():
        os.kill(pid, signal.SIGKILL)
    c.finish(process, None)
    whole = [set(os.listdir(c.disk(host))) - {".dtrain-stage"} for host in range(2)]
    if min(map(len, whole)) < 60:
        raise Failure(f"{len(whole[0])} and {len(whole[1])} files were there before the kill")
    c.mode()
    c.forget()
    c.copy((1, 1))
    for key, _ in c.reads():
        if key[2:] in whole[0] | whole[1]:
            raise Failure(f"{key} was read again")
    for host in range(2):
        c.expect_copy(c.disk(host))


def split(c):
    output = c.copy((1, 1), "--split")
    c.expect_read_once()
    counts = [files(c.disk(host)) for host in range(2)]
    if sum(counts) != N_FILES or min(counts) == 0:
        raise Failure(f"the hosts have {counts} files")
    expect(output, "Each node keeps a part")


def shared(c):
    output = c.copy((2, 2), target=f"{c.work}/shared")
    c.expect_read_once()
    c.expect_copy(f"{c.work}/shared")
    if "each of" in output:
        raise Failure("it counts two copies")


def full(c):
    """One host's disk is too small: refused before anything is read, with the host's name and a way out."""
    with open(f"{c.cluster.hosts[1].disk}/other", "wb") as f:
        f.write(bytes(220 << 20))
    output = c.copy((1, 1), code=1)
    if c.reads():
        raise Failure("it has read before it refused")
    expect(output, "rank 1 on n1: .*GB are to be copied there, and its disk has .* with --split each of the 2 nodes keeps")


def lost(c):
    """A host loses its network: the other leaves, and both go on later."""
    c.mode("rate=1500000")
    process = c.start((1, 1), "--connections", "4", "--peer-timeout", "6")
    for _ in range(600):
        if files(c.disk(0)) >= 60:
            break
        time.sleep(0.02)
    c.cluster.hosts[1].cable(False)
    c.finish(process, None)
    c.cluster.hosts[1].kill_all()
    c.cluster.hosts[1].cable(True)
    c.mode()
    c.copy((1, 1))
    for host in range(2):
        c.expect_copy(c.disk(host))


CASES = {case.__name__: (case, n) for case, n in ((once, 2), (both_read, 2), (new_host, 3), (killed, 2), (split, 2), (shared, 2), (full, 2), (lost, 2))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--dtrain", required=True)
    options = parser.parse_args()
    case, n = CASES[options.case]
    try:
        case(Copies(options, n))
    except Failure as failure:
        print(f"{options.case}: {failure}")
        sys.exit(1)


main()
