"""copied_tree.py: for `run`, a copy of the tree with a build of its own, and the tests of that build."""
import concurrent.futures
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
FLAGS = "--without-cuda --enable-werror"


class Error(Exception):
    """A message for the user."""


def write_json(path, value):
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
    os.replace(path + ".new", path)


def read_json(path, otherwise):
    if not os.path.exists(path):
        return otherwise
    with open(path, encoding="utf-8") as f:
        try:
            return json.load(f)
        except ValueError as e:
            raise Error(f"{path}: {e}") from None


class Copy:
    """DIR/tree is the copy, DIR/tree/build its build, DIR/*.json what is known of it."""

    def __init__(self, folder, files, tree_id, options):
        self.folder, self.files, self.id, self.options = folder, files, tree_id, options
        self.tree, self.build = os.path.join(folder, "tree"), os.path.join(folder, "tree", "build")
        self.mutated = None
        self.running = set()
        os.makedirs(self.build, exist_ok=True)
        self.lock = open(os.path.join(folder, "lock"), "w", encoding="utf-8")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Error(f"another run works in {folder}") from None
        self.sync()

    def sync(self):
        """Write only what differs, so that make compiles only that."""
        known = os.path.join(self.folder, "files.json")
        for name in set(read_json(known, [])) - set(self.files):
            if os.path.exists(os.path.join(self.tree, name)):
                os.unlink(os.path.join(self.tree, name))
        for name, (content, executable) in self.files.items():
            path = os.path.join(self.tree, name)
            if not os.path.exists(path) or open(path, "rb").read() != content:
                self.write(name, content)
            os.chmod(path, 0o755 if executable else 0o644)
        write_json(known, sorted(self.files))
        data, here = os.path.join(SOURCE, "..", "shared"), os.path.join(self.folder, "shared")
        if os.path.isdir(data) and not os.path.lexists(here):
            os.symlink(os.path.abspath(data), here)

    def write(self, name, content):
        path = os.path.join(self.tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)

    def mutate(self, m):
        content = m.mutated(self.files)
        self.restore()
        self.mutated = m.file
        self.write(m.file, content.encode())

    def restore(self):
        if self.mutated:
            self.write(self.mutated, self.files[self.mutated][0])
        self.mutated = None

    def configure(self):
        flags = self.options.configure or FLAGS
        flags += " 'CC=ccache gcc' 'CXX=ccache g++'" if shutil.which("ccache") and "CC=" not in flags else ""
        record = os.path.join(self.build, "mutations-flags")
        before = open(record, encoding="utf-8").read() if os.path.exists(record) else None
        if before == flags:
            return
        print(f"configuring {self.build}", flush=True)
        if not os.path.exists(os.path.join(self.tree, "configure")):
            self.command("bootstrap", ["autotools/bootstrap"], self.tree)
        self.command("configure", ["../configure", "--quiet", *shlex.split(flags)], self.build)
        if before is not None:
            self.command("clean", ["make", "-s", "clean"], self.build)
        with open(record, "w", encoding="utf-8") as f:
            f.write(flags)

    def command(self, name, words, cwd):
        """Run a command; its output is an Error's text if it fails."""
        code, output = self.run(words, cwd, dict(os.environ), None)
        if code != 0:
            raise Error(f"{name} failed:\n" + "\n".join(output.splitlines()[-15:]))
        return output

    def make(self, *words):
        jobs = [] if "mutations" in words[-1] else [f"-j{self.options.jobs}"]
        return self.command("make", ["make", "-s", "--no-print-directory", *jobs, *words], self.build)

    def run(self, words, cwd, env, limit_s, until=None):
        """(exit code, output). None as the code where the command ran longer than limit_s: it was ended with its process group. It is also ended, with 1
        as its code, once a line of the output matches `until`."""
        with tempfile.NamedTemporaryFile() as output:
            child = subprocess.Popen(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output,
                                     stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(child)
            code, end_s = None, time.monotonic() + (limit_s or 3600)
            try:
                while code is None and time.monotonic() < end_s:
                    try:
                        code = child.wait(1.0)
                    except subprocess.TimeoutExpired:
                        if until and re.search(until, self.text(output), re.M):
                            code = 1
                if child.poll() is None:
                    self.end(child)
            finally:
                self.running.discard(child)
            return code, self.text(output)

    @staticmethod
    def text(output):
        with open(output.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def end(self, child):
        for sign, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(child.pid, sign)
                child.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def stop(self):
        """End all commands and this process; for a signal, which may come at any moment."""
        self.restore()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for child in list(self.running):
                try:
                    os.killpg(child.pid, sign)
                except ProcessLookupError:
                    pass
            time.sleep(1)
        os._exit(130)

    def end_all(self):
        for child in list(self.running):
            self.end(child)


# -- tests

class Tests:
    def __init__(self, copy):
        self.copy = copy
        names = ["UNIT_TESTS", "PROGRAM_TESTS", "check_PROGRAMS"]
        rule = "mutations-lists: ; @printf '%s\\n' " + " ".join(f"'$({name})'" for name in names)
        lists = copy.make("--eval", rule, "mutations-lists").splitlines()
        self.units, self.scripts, self.programs = (line.split() for line in lists[-3:])
        env = copy.make("--eval", "mutations-env: ; @printf '\\0'; $(AM_TESTS_ENVIRONMENT) env -0", "mutations-env")
        self.env = dict(v.partition("=")[::2] for v in env.split("\0") if "=" in v)
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"):
            self.env.pop(name, None)
        self.usual_path = os.path.join(copy.folder, "usual.json")
        known = read_json(self.usual_path, {})
        self.usual = known.get(copy.id, {})  # {test: seconds; -1: left out}
        print("building the tests", flush=True)
        copy.make("all")
        # A program that is there shows what it links, even if it is out of date: each test is built again before it runs.
        missing = [p for p in self.programs if (p in self.units or self.is_helper(p)) and not os.path.exists(os.path.join(copy.build, p))]
        if missing:
            copy.make(*missing)
        self.symbols = {p: self.nm(p) for p in self.programs if os.path.exists(os.path.join(copy.build, p))}
        self.objects = self.read_dependencies()

    def is_helper(self, program):
        """A program that a script beside the unit tests starts."""
        return not program.startswith("tests/program/") and program not in self.units

    def nm(self, path):
        out = subprocess.run(["nm", "-P", "-g", "--defined-only", path], cwd=self.copy.build, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False).stdout.decode()
        return {line.split()[0] for line in out.splitlines() if line} - {"main"}

    def read_dependencies(self):
        """{source file: objects that depend on it}, from the files that the compiler writes."""
        objects = {}
        for folder, _, names in os.walk(self.copy.build):
            for name in names:
                if not name.endswith((".Po", ".emulated.d")):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    words = f.read().replace("\\\n", " ").split()
                if not words or not words[0].endswith(":"):
                    continue
                for word in {w for w in words[1:] if w.startswith("../") and not w.startswith("../../")}:
                    objects.setdefault(os.path.normpath(word[3:].rstrip(":")), set()).add(words[0][:-1])
        return objects

    def linking(self, file):
        """The programs that link an object that depends on the file."""
        found = set()
        for name in self.objects.get(file, ()):
            own = os.path.splitext(name)[0]
            if own in self.symbols:
                found.add(own)
                continue
            defined = self.nm(name)
            found |= {p for p, symbols in self.symbols.items() if defined & symbols}
        return found

    def near_and_far(self, m):
        """The unit tests of a mutation: those that it names and those of its folder, that of the file's name first; the others, the quickest first."""
        stem, folder = os.path.splitext(os.path.basename(m.file))[0], os.path.dirname(m.file)
        named = [t for t in m.tests if not t.endswith(".sh")]
        tests = sorted({t for t in [*self.linking(m.file), *named] if t in self.units},
                       key=lambda t: (t not in named, t != f"tests/{folder}/{stem}_test", self.usual.get(t, 0), t))
        near = [t for t in tests if t in named or f"tests/{folder}/".startswith(os.path.dirname(t) + "/")]
        return near, [t for t in tests if t not in near]

    def scripts_beside(self, m):
        """Scripts in the folder of the unit tests that start a program which links the file: tests/comm/mpi_test.sh."""
        helpers = [p for p in self.linking(m.file) if self.is_helper(p)]
        return [s for s in self.scripts
                if not s.startswith("tests/program/") and any(self.names(s, p) for p in helpers)]

    def scripts_of(self, m):
        """Further scripts: those of the mutation, and those of scripts.txt."""
        found = [t for t in m.tests if t.endswith(".sh")]
        with open(os.path.join(HERE, "scripts.txt"), encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split()
                if words and m.file.startswith(words[0]):
                    found += words[1:]
        return [t for t in dict.fromkeys(found) if t in self.scripts]

    def names(self, script, program):
        text = self.copy.files[script][0].decode()
        return re.search(r"(?<!\w)" + re.escape(os.path.basename(program)) + r"(?!\w)", text) is not None

    def build(self, tests):
        targets = [t for t in tests if not t.endswith(".sh")]
        for script in (t for t in tests if t.endswith(".sh")):
            targets += [p for p in self.programs if self.names(script, p)]
        if any(t.endswith(".sh") for t in tests):  # by itself: `all` starts another make, and both would write the same archives
            self.copy.make("all")
        if targets:
            self.copy.make(*dict.fromkeys(targets))

    def run(self, test, limit_s):
        """None if it passes or is skipped; otherwise what failed. Also the seconds that it took, and whether it was skipped."""
        program = ["bash", os.path.join(self.copy.tree, test)] if test.endswith(".sh") else [os.path.join(self.copy.build, test)]
        words = ["env", "--default-signal", *program]  # nohup ignores SIGHUP, and tests of signals need it
        with tempfile.TemporaryDirectory(prefix="mut-", ignore_cleanup_errors=True) as folder:
            begin = time.monotonic()
            code, output = self.copy.run(words, self.copy.build, dict(self.env, TMPDIR=folder), limit_s, "^not ok ")
            seconds = time.monotonic() - begin
        if code in (0, 77):
            return None, seconds, code == 77
        case = re.search(r"^not ok (.*)$", output, re.M) or re.search(r"time limit reached in (.*)$", output, re.M)
        if code is None:
            return f"it ran longer than {limit_s:.0f} s", seconds, False
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return case.group(1) if case else how, seconds, False

    def run_usual(self, tests):
        """Each once without a mutation."""
        new = [t for t in dict.fromkeys(tests) if t not in self.usual]
        if not new:
            return
        print(f"running {len(new)} tests without a mutation", flush=True)
        self.build(new)
        for is_script in (False, True):
            for test, (failed, seconds, skipped) in self.run_each([t for t in new if t.endswith(".sh") == is_script], lambda test: 900):
                self.usual[test] = -1 if failed or skipped else seconds
                if failed:
                    print(f"warning: {test} fails without a mutation, and is left out: {failed}", flush=True)
                write_json(self.usual_path, {**read_json(self.usual_path, {}), self.copy.id: self.usual})

    def run_each(self, tests, limit):
        """Unit tests in parallel, scripts one at a time. Yields (test, result) in the order of their ends."""
        jobs = 1 if any(t.endswith(".sh") for t in tests) else self.copy.options.jobs
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self.run, test, limit(test)): test for test in tests}
            try:
                for future in concurrent.futures.as_completed(futures):
                    yield futures[future], future.result()
            finally:
                for future in futures:
                    future.cancel()
                self.copy.end_all()

    def noticed_by(self, tests):
        """The first test that fails, and what failed in it; None if all pass."""
        tests = [t for t in tests if self.usual.get(t, -1) >= 0]
        step = 1
        while tests:
            batch, tests = tests[:step], tests[step:]
            self.build(batch)
            for test, (failed, _, _) in self.run_each(batch, lambda test: 3 * self.usual[test] + 20):
                if failed:
                    return test, failed
            step = max(self.copy.options.jobs, 1 if batch[-1].endswith(".sh") else 2)
        return None


