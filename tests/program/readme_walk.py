"""Runs a section of a document: its commands, lines of code that begin with `$ `, in their order and in one shell.

    python3 readme_walk.py FILE.md HEADING FOLDER OLD=NEW...

FOLDER comes first in the PATH. Each OLD in a command is replaced by NEW before. A command that fails ends the walk. What dtrain prints is compared with the lines below its command, but for
the digits: each line must be there, in this order; a line `...` stands for any. What other programs print is not compared: they are stand-ins.
"""
import os
import re
import subprocess
import sys
import tempfile

from readme_commands import blocks


def section(path, heading):
    """(number of the line, command, [documented lines]) of each command below `heading`, to the next heading of its level."""
    lines = open(path, encoding="utf-8").read().split("\n")
    first = lines.index(heading) + 1
    level = heading.split(" ")[0]
    last = next((i for i in range(first, len(lines)) if lines[i].startswith(level + " ")), len(lines)) + 1
    steps = []
    for block in blocks(path):
        if not first <= block[0][0] < last:
            continue
        for number, line in block:
            text = line[4:]
            if text.startswith("$ "):
                steps.append((number, text[2:], []))
            elif steps:
                steps[-1][2].append(text)
    return steps


def shape(text):
    return re.sub(r"[\d.]+", "#", " ".join(text.split()))


def compare(documented, printed):
    """The first documented line that was not printed after those before it; None: all were."""
    there = [shape(line) for line in printed.split("\n")]
    for line in documented:
        if line.strip() in ("", "..."):
            continue
        if shape(line) not in there:
            return line
        there = there[there.index(shape(line)) + 1:]
    return None


def main(path, heading, programs, *pairs):
    steps = section(path, heading)
    with tempfile.TemporaryDirectory() as folder:
        # Here, and not before python3 was started, which may be a script that changes the PATH itself.
        script = f"PATH='{os.path.abspath(programs)}':$PATH\n"
        for i, (_, command, _) in enumerate(steps):
            for pair in pairs:
                old, _, new = pair.partition("=")
                command = command.replace(old, new)
            # `exit` ends a login on another machine, which is this one here.
            script += f"{{ {'true' if command == 'exit' else command}\n}} >{folder}/{i} 2>&1 || exit 1\n"
        failed = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, check=False).returncode != 0
        done = [i for i in range(len(steps)) if os.path.exists(f"{folder}/{i}")]
        for i in done:
            number, command, documented = steps[i]
            printed = open(f"{folder}/{i}", encoding="utf-8").read()
            has_failed = failed and i == done[-1]
            missing = compare(documented, printed) if command.startswith("dtrain ") and not has_failed else None
            if has_failed or missing is not None:
                print(f"{path}:{number}: {command}\n{printed}")
                print(f"{path}:{number}: " + ("it failed" if has_failed else f"it did not print: {missing}"))
                return False
    print(f"{len(steps)} commands of {path}, all done")
    return True


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
