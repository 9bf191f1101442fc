"""Reads the text of PTX: kernels with their parameters, registers, shared memory and statements.

    for kernel in read_kernels("residual.sm_90.ptx"): ...

What it does not know it refuses: Unknown, with file and line."""
import re

SIZES = {"pred": 1, "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "b32": 4, "u32": 4, "s32": 4,
         "f32": 4, "b64": 8, "u64": 8, "s64": 8, "f64": 8}
HALVES = {"f16": "b16", "bf16": "b16", "f16x2": "b32", "bf16x2": "b32"}  # registers that only hold their bits
# Directives that say something only to the assembler.
IGNORED = (".version", ".target", ".address_size", ".maxntid", ".minnctapersm", ".reqntid", ".pragma", ".visible")


class Unknown(Exception):
    """PTX that the translator does not know."""

    def __init__(self, file, line, what):
        super().__init__(f"{file}:{line}: {what}")


class Statement:
    """kind: "label", "open", "close", "register", "instruction". text: the label; "TYPE NAME"; the instruction."""

    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line


class Kernel:
    def __init__(self, name, file, line):
        self.name, self.file, self.line = name, file, line
        self.parameters = {}  # name: offset
        self.parameter_bytes = 0
        self.registers = {}  # name: type
        self.shared = {}  # name: offset
        self.shared_bytes = 0
        self.statements = []

    def refuse(self, line, what):
        raise Unknown(self.file, line, what)


def aligned(at, alignment):
    return (at + alignment - 1) // alignment * alignment


def tokens_of(text):
    """(line, token): what ends with ; { } : ( or ), without comments and runs of spaces."""
    line, start, token = 1, 1, ""
    text = re.sub(r"//[^\n]*", "", text)
    depth = 0  # of braces and brackets inside an instruction: vectors, addresses
    for i, c in enumerate(text):
        if c == "\n":
            line += 1
        if not token.strip():
            start = line
        if c in "{}" and (depth > 0 or (c == "{" and is_vector(token))):
            depth += 1 if c == "{" else -1
            token += c
        elif c in ";{}":
            if token.strip():
                yield start, re.sub(r"\s+", " ", token.strip())
            if c != ";":
                yield line, c
            token = ""
        elif c == ":" and re.fullmatch(r"\s*\$?\w+", token):
            yield start, token.strip() + ":"
            token = ""
        elif c == "\n" and token.strip().startswith(IGNORED):
            token = ""
        else:
            token += c
    if token.strip():
        yield start, re.sub(r"\s+", " ", token.strip())


def is_vector(token):
    """A brace after this is a vector of registers: an instruction has begun, a kernel's head has not."""
    return token.strip() != "" and ".entry" not in token


def read_head(text, file, line):
    match = re.fullmatch(r"(?:\.visible )?\.entry (\w+)\((.*)\).*", text, re.S)
    if not match:
        raise Unknown(file, line, f"no head of a kernel: {text}")
    kernel = Kernel(match.group(1), file, line)
    for parameter in filter(None, (p.strip() for p in match.group(2).split(","))):
        found = re.fullmatch(r"\.param (?:\.align (\d+) )?\.(\w+) (\w+)(?:\[(\d+)\])?", parameter)
        if not found or found.group(2) not in SIZES:
            kernel.refuse(line, f"unknown parameter: {parameter}")
        alignment, kind, name, count = found.groups()
        at = aligned(kernel.parameter_bytes, int(alignment or SIZES[kind]))
        kernel.parameters[name] = at
        kernel.parameter_bytes = at + SIZES[kind] * int(count or 1)
    return kernel


def read_declaration(kernel, text, line, depth):
    """Return the statements of a .reg of an inner block; note others in the kernel."""
    found = re.fullmatch(r"\.reg \.(\w+) (%?\w+)<(\d+)>", text)
    if found and found.group(1) in SIZES and depth == 1:
        for i in range(int(found.group(3))):
            kernel.registers[f"{found.group(2)}{i}"] = found.group(1)
        return []
    found = re.fullmatch(r"\.reg \.(\w+) (.+)", text)
    kind = HALVES.get(found.group(1), found.group(1)) if found else None
    if kind in SIZES and "<" not in text:
        names = [name.strip() for name in found.group(2).split(",")]
        for name in names:
            if kernel.registers.setdefault(name, kind) != kind:
                kernel.refuse(line, f"{name} has two types: {text}")
        return [Statement("register", f"{kind} {name}", line) for name in names]
    found = re.fullmatch(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", text)
    if not found:
        kernel.refuse(line, f"unknown declaration: {text}")
    at = aligned(kernel.shared_bytes, int(found.group(1)))
    kernel.shared[found.group(2)] = at
    kernel.shared_bytes = at + int(found.group(3))
    return []


def read_body(kernel, tokens):
    depth = 1
    for line, token in tokens:
        if token == "{":
            depth += 1
            kernel.statements.append(Statement("open", "", line))
        elif token == "}":
            depth -= 1
            if depth == 0:
                return
            kernel.statements.append(Statement("close", "", line))
        elif token.endswith(":"):
            kernel.statements.append(Statement("label", token[:-1], line))
        elif token.startswith("."):
            if not token.startswith(IGNORED):
                kernel.statements += read_declaration(kernel, token, line, depth)
        else:
            kernel.statements.append(Statement("instruction", token, line))
    kernel.refuse(kernel.line, f"{kernel.name} has no end")


def read_kernels(path):
    with open(path, encoding="utf-8") as file:
        tokens = tokens_of(file.read())
    for line, token in tokens:
        if token.startswith(IGNORED) and ".entry" not in token:
            continue
        kernel = read_head(token, path, line)
        line, token = next(tokens)
        if token != "{":
            kernel.refuse(line, f"no body after the head of {kernel.name}")
        read_body(kernel, tokens)
        yield kernel
