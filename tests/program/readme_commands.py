"""The commands in documents: lists them, and checks that their programs, options and files exist.

    python3 readme_commands.py list TABLE FILE.md...    prints `FILE:LINE<TAB>COMMAND` for each
    python3 readme_commands.py check TABLE FILE.md...   checks them, prints what is wrong, and counts
    python3 readme_commands.py verify TABLE             compares TABLE with those of its programs that are installed

A command is a line of a block of code that begins with `$ `, or each line of a block whose first word is a program that is known here, or such text
between backticks. A backslash at its end continues it. In a block with `$ `, the other lines are output.

`check` asks dtrain ($DTRAIN) and dtrain-run ($DTRAIN_RUN) for their options. What other programs know is in TABLE: lines `PROGRAM [COMMAND] OPTION...`. Files
that a document names, by a path from its own folder, the top ($TOP_SRCDIR) or share/dtrain, must exist.
"""
import collections
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys

# Of a shell or a bare system: their options are not checked.
PLAIN = set("cat cd chmod cp curl echo exit export git grep head kill ls make mkdir mv pip python3 rm scp sed sh source ssh sudo sync tail tar "
            "tmux trap until while wget".split())
Command = collections.namedtuple("Command", "where text words")


class Table:
    """What is known of programs that may not be installed here: name, or name and command, to options."""

    def __init__(self, path):
        self.rows = {}
        self.unhelped = set()  # (name, option) that are in a manual only
        for line in open(path, encoding="utf-8"):
            words = line.split("#")[0].split()
            names = [word for word in words if not word.startswith("-")]
            if words:
                self.rows[" ".join(names)] = {word.rstrip("!") for word in words[len(names):]}
                self.unhelped.update((" ".join(names), word[:-1]) for word in words if word.endswith("!"))
        self.programs = {name.split()[0] for name in self.rows}

    def find(self, words):
        """(name, the words after it) of the longest row that `words` begin with; options may come first, as in `aws --profile P s3 sync`."""
        for n in (4, 3, 2, 1):
            if " ".join(words[:n]) in self.rows:
                return " ".join(words[:n]), words[n:]
        return None, words


def split(text):
    """The simple commands of a line: lists of words, without redirections and assignments."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    simple, skip = [[]], False
    for word in lexer:
        if set(word) <= set("();|&"):
            simple.append([])
        elif set(word) <= set("<>"):
            skip = True
        elif word == "#":
            break
        elif skip:
            skip = False
        elif word != "..." and (simple[-1] or not re.match(r"\w+=", word)):
            simple[-1].append(word)
    return [words for words in simple if words]


def first_word(text):
    match = re.match(r"(?:\w+=\S* +)*(?:(?:if|then|do|exec|sudo|until|!) +)*(?:\./)?([\w.-]+)(?= |$)", text)
    return match[1] if match else ""


def blocks(path):
    """Lists of (line number, text), one for each block of code, without its indentation."""
    block, fenced, before = [], False, ""
    for number, line in enumerate([*open(path, encoding="utf-8"), ""], 1):
        line = line.rstrip("\n")
        indented = line.startswith("    ") and (block or not before.strip())
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or indented:
            block.append((number, line))
            before = line
            continue
        if block and line.strip():
            yield block
            block = []
        before = line
    if block:
        yield block


def joined(lines):
    """(number, text) with lines that end with a backslash joined."""
    text, start = "", 0
    for number, line in lines:
        start = start if text else number
        text += line.strip()
        if text.endswith("\\"):
            text = text[:-1].rstrip() + " "
            continue
        yield start, text
        text = ""


def commands(path, programs):
    for block in blocks(path):
        texts = [(number, line.strip()) for number, line in block if line.strip()]
        if any(text.startswith("$ ") for _, text in texts):
            lines, inside = [], False
            for number, text in texts:
                if text.startswith("$ ") or inside:
                    lines.append((number, text.removeprefix("$ ")))
                    inside = text.endswith("\\")
        elif texts and first_word(texts[0][1]) in programs:
            lines = texts
        else:
            continue
        for number, text in joined(lines):
            yield number, text
    # Between backticks: only with arguments. A name alone is no command.
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        if not line.startswith("    "):
            for text in re.findall(r"`([^`]+)`", line):
                if " " in text and first_word(text) in programs - PLAIN:
                    yield number, text


@functools.cache
def help_of(*command):
    result = subprocess.run([*command, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return set(re.findall(r"(?<![\w-])-{1,2}[a-zA-Z][\w-]*", result.stdout + result.stderr))


def options(words):
    return [word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]


def dtrain_problems(words):
    """`dtrain [COMMAND] OPTION...`, without dtrain itself."""
    dtrain = os.environ["DTRAIN"]
    known = help_of(dtrain)
    sub = [words[0]] if words and not words[0].startswith("-") else []
    if sub and sub[0] not in ("help", "version"):
        known = help_of(dtrain, *sub)
        if "--help" not in known:
            return [f"dtrain has no command {sub[0]}"]
    return [f"dtrain {' '.join(sub)} has no {word}" for word in options(words) if word not in known | {"--help"}]


def dtrain_run_problems(words):
    """dtrain-run's own options come before `--`, or are all those that it knows if there is none."""
    known = help_of(os.environ["DTRAIN_RUN"])
    if "--" in words:
        at = words.index("--")
        own, others = words[:at], words[at + 1:]
        problems = [f"dtrain-run has no {word}" for word in options(own) if word not in known]
    else:
        own, others = [], [word for word in words if word.split("=")[0] not in known]
        problems = []
    return problems + dtrain_problems([word for word in others if word.startswith("-")])


def problems_of(words, table):
    program = os.path.basename(words[0])
    if program in ("if", "then", "do", "exec", "sudo", "until", "while", "!"):
        return problems_of(words[1:], table) if len(words) > 1 else []
    if program == "dtrain":
        return dtrain_problems(words[1:])
    if program == "dtrain-run":
        return dtrain_run_problems(words[1:])
    if program in ("mpirun", "mpiexec", "env", "srun", "timeout"):
        for i, word in enumerate(words[1:], 1):
            if os.path.basename(word) in ("dtrain", "dtrain-run"):
                return problems_of(words[i:], table)
        if program != "srun":
            return []
    if program in ("sbatch", "submit"):
        return sbatch_problems(words, table)
    if program not in table.programs:
        return [] if program in PLAIN or "=" in program else [f"{program}: not known here"]
    name, rest = table.find([program, *words[1:]])
    if name is None:
        return [f"{' '.join(words[:3])}: not in the table"]
    if program == "docker" and "run" in words:
        # What follows the image's name is the container's.
        image = next((i for i, word in enumerate(rest) if re.match(r"dtrain(:\w+)?$", word) and rest[i - 1] not in ("--entrypoint", "--name")), len(rest))
        inner, rest = rest[image + 1:], rest[:image]
        program_inside = "dtrain" if "--entrypoint" in rest else "dtrain-run"
        return [f"{name} has no {word}" for word in options(rest) if word not in table.rows[name]] + problems_of([program_inside, *inner], table)
    return [f"{name} has no {word}: look it up, and add it to the table" for word in options(rest) if word not in table.rows[name]]


def own_problems(words, own, table):
    return [f"{words[0]} has no {word}: look it up, and add it to the table" for word in options(own) if word not in table.rows["sbatch"]]


def sbatch_problems(words, table):
    """`sbatch [OPTION...] FILE [dtrain-run's options --] [dtrain's options]`."""
    at = next((i for i, word in enumerate(words) if word.endswith(".sbatch")), None)
    if at is None:
        wrapped = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--wrap"]
        return own_problems(words, words, table) + [problem for text in wrapped for simple in split(text) for problem in problems_of(simple, table)]
    name = os.path.basename(words[at])
    problems = [] if os.path.exists(os.path.join(os.environ["TOP_SRCDIR"], "launch/deploy/slurm", name)) else [f"there is no slurm/{name}"]
    inner = words[at + 1:]
    while inner and inner[0] in ("--no-checks", "--scratch"):  # of the batch file itself
        inner = inner[1 if inner[0] == "--no-checks" else 2:]
    return problems + own_problems(words, words[:at], table) + dtrain_run_problems(inner)


def path_problems(path):
    top = os.environ["TOP_SRCDIR"]
    text = "".join(line for line in open(path, encoding="utf-8") if not line.startswith("    "))
    for name in re.findall(r"`([^` ]+)`", text):
        if re.fullmatch(r"(\.\./|tests/|launch/|\.ci/|share/dtrain/|slurm/|parallelcluster/|container/)[\w./-]+", name):
            installed = re.sub(r"^share/dtrain/", "launch/deploy/", name)
            places = (os.path.join(os.path.dirname(path), name), os.path.join(top, name), os.path.join(top, installed))
            if not any(os.path.exists(place) for place in places):
                yield f"{path}: there is no {name}"


def check(table, paths):
    n, wrong = 0, []
    for path in paths:
        for number, text in commands(path, table.programs | PLAIN | {"dtrain", "dtrain-run", "mpirun", "sbatch", "submit"}):
            n += 1
            try:
                simple = split(text)
            except ValueError as error:
                wrong.append(f"{path}:{number}: {error}: {text}")
                continue
            wrong += [f"{path}:{number}: {problem}" for words in simple for problem in problems_of(words, table)]
        wrong += path_problems(path)
    for line in wrong:
        print(line)
    print(f"{n} commands in {len(paths)} documents, {len(wrong)} mistakes")
    return not wrong


def aws_options(words):
    """The options of `aws SERVICE COMMAND`, from the description of AWS that botocore has; None: it is none of AWS's own requests, or there is no botocore."""
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError:
        return None
    try:
        service = botocore.session.Session().get_service_model(words[1])
    except (IndexError, botocore.exceptions.UnknownServiceError):
        return None
    for name in service.operation_names:
        if len(words) == 3 and botocore.xform_name(name, "-") == words[2]:
            shape = service.operation_model(name).input_shape
            return {"--" + botocore.xform_name(member, "-") for member in shape.members} | {"--region", "--query", "--output"}
    return None


def verify(table):
    """Each row of a program that is installed has only options that the program's own help names."""
    fine = True
    for name, known in sorted(table.rows.items()):
        program = name.split()[0]
        # Some programs show no help without a server.
        there = aws_options(name.split()) if program == "aws" else help_of(*name.split()) if shutil.which(program) else None
        if not there:
            continue
        missing = {word for word in known if word not in there and (name, word) not in table.unhelped}
        print(f"{name}: {len(known)} options" + (f", but it has no {' '.join(sorted(missing))}" if missing else ""))
        fine = fine and not missing
    return fine


def main(what, *words):
    if what == "list":
        table = Table(words[0])
        for path in words[1:]:
            for number, text in commands(path, table.programs | PLAIN | {"dtrain", "dtrain-run", "mpirun", "sbatch", "submit"}):
                print(f"{path}:{number}\t{text}")
        return True
    return check(Table(words[0]), words[1:]) if what == "check" else verify(Table(words[0]))


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
