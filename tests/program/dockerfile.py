"""Builds and runs the image of a Dockerfile without a container engine, in folders, as root.

    python3 dockerfile.py stages DOCKERFILE [NAME=VALUE...]    prints `STAGE IMAGE` for each stage
    python3 dockerfile.py commands DOCKERFILE                  prints the RUN commands, each ended by a NUL
    python3 dockerfile.py build DOCKERFILE CONTEXT FOLDER NEW_ROOT [NAME=VALUE...]
    python3 dockerfile.py run FOLDER WORK SHM_MIB USER COMMAND...

`build` makes FOLDER/STAGE, the root folder of each stage, and FOLDER/image.json: the last stage's folder and settings. NEW_ROOT is a command: with an
image's name and a folder it makes the system of that image there. NAME=VALUE is a --build-arg. `run` starts a container of the image: COMMAND, where `+`
stands for the entry point, is process 1 of namespaces of its own (PID, mounts), as USER, in a shared memory of SHM_MIB, with the folder WORK as the image's
working folder. It ends with the container's exit code, or dies with it when it is killed.

It knows the instructions that our Dockerfile uses, and refuses others. What a container engine also does is not here: layers, networks, cgroups,
capabilities. .dockerignore is not read: CONTEXT is a fresh clone.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A process in the root folder $0, with the mounts of a container; $1 is the size of its shared memory, $2 a folder to mount on $3, if not empty. pivot_root:
# user namespaces, which a chroot would forbid, stay possible.
ENTER = """set -e
mount --bind "$0" "$0"
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs -o "size=$1" tmpfs "$0/dev/shm"
chmod 1777 "$0/dev/shm"
[ -z "$2" ] || mount --bind "$2" "$0$3"
cd "$0"
pivot_root . mnt
umount -l /mnt
shift 3
exec "$@"
"""


class Problem(Exception):
    pass


def instructions(path):
    """(line number, instruction, rest) of each, with continuation lines joined and comments removed, as Docker does."""
    joined, first = "", 0
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        if line.lstrip().startswith("#") or (not joined and not line.strip()):
            continue
        first = first if joined else number
        joined += line.rstrip("\n")
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        word, _, rest = joined.strip().partition(" ")
        yield first, word.upper(), rest.strip()
        joined = ""
    if joined:
        raise Problem(f"{path}:{first}: the last line ends with a backslash")


def expand(text, values):
    """$NAME and ${NAME}, as Docker replaces them in all instructions but RUN, ENTRYPOINT and CMD."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: values.get(m[1] or m[2], ""), text)


def parse(path, given):
    """The stages: dicts with name, image, steps [(instruction, ...)], env, user, workdir, entrypoint, cmd."""
    defaults, stages = {}, []
    used = set()
    for number, word, rest in instructions(path):
        where = f"{path}:{number}"
        stage = stages[-1] if stages else None
        if word == "ARG":
            name, has_default, value = rest.partition("=")
            used.add(name)
            if stage is None:
                defaults[name] = given.get(name, value)
            elif name in given or has_default or name in defaults:
                stage["args"][name] = given.get(name, value if has_default else defaults.get(name, ""))
        elif word == "FROM":
            parts = expand(rest, defaults).split()
            if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].upper() != "AS"):
                raise Problem(f"{where}: FROM IMAGE [AS NAME] expected")
            stages.append({"name": parts[2] if len(parts) == 3 else str(len(stages)), "image": parts[0], "steps": [], "args": {},
                           "env": {"PATH": PATH}, "user": "0", "workdir": "/", "entrypoint": [], "cmd": []})
        elif stage is None:
            raise Problem(f"{where}: {word} before FROM")
        elif word == "RUN":
            if rest.startswith(("[", "--")):
                raise Problem(f"{where}: only RUN COMMAND is known here")
            stage["steps"].append(("RUN", rest, {**stage["args"], **stage["env"]}, stage["user"], stage["workdir"]))
        elif word == "COPY":
            words = expand(rest, {**stage["args"], **stage["env"]}).split()
            source = words.pop(0)[len("--from="):] if words[0].startswith("--from=") else None
            if len(words) < 2 or words[0].startswith("--"):
                raise Problem(f"{where}: COPY [--from=STAGE] SOURCE... FOLDER expected")
            if source is not None and source not in [s["name"] for s in stages[:-1]]:
                raise Problem(f"{where}: there is no stage {source} before")
            stage["steps"].append(("COPY", source, words[:-1], os.path.join(stage["workdir"], words[-1])))
        elif word == "ENV":
            for item in shlex.split(rest):
                name, is_pair, value = item.partition("=")
                if not is_pair:
                    raise Problem(f"{where}: ENV NAME=VALUE expected")
                stage["env"][name] = expand(value, {**stage["args"], **stage["env"]})
        elif word == "WORKDIR":
            stage["workdir"] = os.path.join(stage["workdir"], expand(rest, {**stage["args"], **stage["env"]}))
            stage["steps"].append(("WORKDIR", stage["workdir"]))
        elif word == "USER":
            stage["user"] = expand(rest, {**stage["args"], **stage["env"]})
        elif word in ("ENTRYPOINT", "CMD"):
            try:
                stage[word.lower()] = json.loads(rest)
            except ValueError:
                raise Problem(f"{where}: {word} [\"PROGRAM\", ...] expected: a shell would be process 1") from None
        else:
            raise Problem(f"{where}: {word}: this script does not know that instruction")
    unknown = set(given) - used
    if unknown:
        raise Problem(f"{path}: no ARG {', '.join(sorted(unknown))}")
    if not stages:
        raise Problem(f"{path}: no FROM")
    return stages


def command_in(root, command, env, user, workdir, shm, work="", at=""):
    """The command line of `command` in the folder `root`."""
    uid, _, gid = user.partition(":")
    identity = [] if uid == "0" else ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups", "--"]
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, root, shm, work, at,
            *identity, "env", "-i", f"--chdir={workdir}", *[f"{name}={value}" for name, value in env.items()], *command]


def copy(source, target):
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        os.makedirs(target, exist_ok=True)
        shutil.copy2(source, target)


def build(path, context, folder, new_root, given):
    stages = parse(path, given)
    os.makedirs(folder, exist_ok=True)
    for stage in stages:
        stage["root"] = root = os.path.join(folder, stage["name"])
        print(f"FROM {stage['image']} AS {stage['name']}", flush=True)
        subprocess.run([*shlex.split(new_root), stage["image"], root], check=True, stdin=subprocess.DEVNULL)
        for step in stage["steps"]:
            print(*step[:2] if step[0] == "RUN" else step, flush=True)
            if step[0] == "RUN":
                _, text, env, user, workdir = step
                subprocess.run(command_in(root, ["/bin/sh", "-c", text], env, user, workdir, "64m"), check=True, stdin=subprocess.DEVNULL)
            elif step[0] == "COPY":
                _, source, names, target = step
                start = context if source is None else next(s["root"] for s in stages if s["name"] == source)
                for name in names:
                    copy(os.path.join(start, name.lstrip("/")), root + target)
            else:
                os.makedirs(root + step[1], exist_ok=True)
    with open(os.path.join(folder, "image.json"), "w", encoding="utf-8") as f:
        json.dump({key: stages[-1][key] for key in ("root", "env", "user", "workdir", "entrypoint", "cmd")}, f)


def run(folder, work, shm_mib, user, *command):
    with open(os.path.join(folder, "image.json"), encoding="utf-8") as f:
        image = json.load(f)
    words = [*image["entrypoint"], *(command[1:] or image["cmd"])] if command[:1] == ("+",) else list(command)
    line = command_in(image["root"], words, {"HOME": "/", **image["env"]}, user or image["user"], image["workdir"], f"{shm_mib}m", work,
                      image["workdir"])
    os.execvp(line[0], line)


def main(what, *words):
    def pairs(texts):
        return dict(text.split("=", 1) for text in texts)

    if what == "stages":
        for stage in parse(words[0], pairs(words[1:])):
            print(stage["name"], stage["image"])
    elif what == "commands":
        for stage in parse(words[0], {}):
            sys.stdout.write("".join(step[1] + "\0" for step in stage["steps"] if step[0] == "RUN"))
    elif what == "build":
        build(*words[:4], pairs(words[4:]))
    elif what == "run":
        run(*words)
    else:
        raise Problem(f"dockerfile.py: {what}?")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Problem as problem:
        sys.exit(str(problem))
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with code {error.returncode}: {error.cmd[-1]}")
