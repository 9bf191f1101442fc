"""kernel_report.py ARCH [ptx]: a table of the kernels as they are for sm_ARCH. make kernel-report runs it, in the build folder, after the build.

From x.resources (what ptxas reported in the build), x.ptxARCH (nvcc's PTX), and what tests/ptx/traffic moves on tests/ptx/sm_90.so. Where PATH or
NVDISASM has NVIDIA's disassembler, the instructions are SASS, which ptxas (PTXAS) makes of the PTX; else, or with "ptx", they are those of the PTX."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Of a multiprocessor; registers and shared memory as the "CUDA C++ Programming Guide" and the occupancy calculator of NVIDIA count them.
REGISTERS, MOST_WARPS, MOST_BLOCKS = 65536, 64, 32
SHARED_BYTES = {"80": 164 << 10, "90": 228 << 10}
LEGEND = """registers, and bytes of registers spilled to memory, of stack and of shared memory: ptxas.
threads: of __launch_bounds__, else 1,024. blocks: how many fit on a multiprocessor at once, the least of
  65,536 registers, given to warps in units of 256, and to 4 warps at a time;
  {shared:,} bytes of shared memory, of which a block takes 1,024 more than it declares, in units of 128;
  64 warps; 32 blocks.
read, written: bytes of global memory per element in the launch that moved most, as counted while the emulator executed the PTX in FP16 (traffic.c);
  elements of the input, of a loss and a bias those of the logits. -: not counted.
narrow: accesses to global memory of fewer than 128 bits in the whole kernel's PTX, by their number of bits; 0: none.
loop: the inner loop that moves most 16-byte vectors: how many accesses to global memory of each number of bits it has;
  instr: its instructions for each vector, from {source}. -: it has no such loop."""


def divide_up(a, b):
    return -(-a // b)


def blocks_of(arch, registers, shared, threads):
    """How many blocks of a kernel a multiprocessor holds."""
    warps = divide_up(threads, 32)
    by_registers = REGISTERS // (divide_up(registers * 32, 256) * 256) // 4 * 4 // warps
    by_shared = SHARED_BYTES[arch] // (divide_up(shared + 1024, 128) * 128)
    return min(by_registers, by_shared, MOST_WARPS // warps, MOST_BLOCKS)


def resources(path, arch):
    """{symbol: [registers, bytes spilled, bytes of stack, bytes of shared memory]}, from ptxas -v."""
    found, symbol, spilled, stack = {}, None, 0, 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line)
            frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)
            used = re.search(r"Used (\d+) registers", line)
            if entry:
                symbol = entry.group(1) if entry.group(2) == f"sm_{arch}" else None
            elif frame:
                stack, spilled = int(frame.group(1)), int(frame.group(2)) + int(frame.group(3))
            elif used and symbol:
                shared = re.search(r"(\d+) bytes smem", line)
                found[symbol] = [int(used.group(1)), spilled, stack, int(shared.group(1)) if shared else 0]
                symbol = None
    return found


def threads_of(path):
    """{symbol: threads of a block}: __launch_bounds__, else 1,024."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for head in re.findall(r"\.entry (\w+)\(([^{]*)\{", file.read()):
            bounds = re.search(r"\.maxntid (\d+)", head[1])
            found[head[0]] = int(bounds.group(1)) if bounds else 1024
    return found


# -- instructions: ("label", name), ("branch", label), ("access", bits), ("other", "")


def sass_line(line):
    label = re.match(r"(\.L_x_\d+):", line)
    if label:
        return "label", label.group(1)
    found = re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)(.*)", line)
    if not found or found.group(1) == "NOP":
        return None
    name, rest = found.groups()
    target = re.search(r"`\((\.L_x_\d+)\)", rest)
    if name.startswith("BRA") and target:
        return "branch", target.group(1)
    if re.match(r"(LDG|STG)\b", name):
        width = re.search(r"\.(128|64|[US]?16|[US]?8)\b", name)
        return "access", int(re.sub(r"\D", "", width.group(1))) if width else 32
    return "other", ""


def ptx_line(line):
    label = re.match(r"(\$\w+):", line)
    if label:
        return "label", label.group(1)
    found = re.match(r"\s+(?:\{ )?(?:@!?%\w+ )?\s*([a-z][\w.]*)\s+(.*);", line)
    if not found:
        return None
    name, rest = found.groups()
    if name.startswith("bra"):
        return "branch", rest.strip()
    # without a state space the address is generic: nvcc has not seen that it is global
    access = re.match(r"(?:ld|st)\.(?!.*(?:param|shared|local|const)).*?(?:\.v(\d))?\.\w(\d+)$", name)
    return ("access", int(access.group(1) or 1) * int(access.group(2))) if access else ("other", "")


def functions(text, head, read_line):
    """{symbol: instructions}"""
    found, symbol = {}, None
    for line in text.split("\n"):
        begins = re.match(head, line)
        if begins:
            symbol = begins.group(1)
            found[symbol] = []
        elif symbol:
            instruction = read_line(line)
            found[symbol] += [instruction] if instruction else []
    return found


def inner_loop(instructions):
    """The instructions of the loop that has most accesses of 128 bits, without a loop inside it that has some; [] if there is none."""
    labels = {name: i for i, (kind, name) in enumerate(instructions) if kind == "label"}
    loops = [(labels[name], i) for i, (kind, name) in enumerate(instructions) if kind == "branch" and labels.get(name, i) < i]
    vectors = {loop: instructions[loop[0]:loop[1]].count(("access", 128)) for loop in loops}
    best, most = [], 0
    for (first, last), n in vectors.items():
        inside = any(m > 0 and first <= f and g <= last and (f, g) != (first, last) for (f, g), m in vectors.items())
        if n > most and not inside:
            best, most = [x for x in instructions[first:last + 1] if x[0] != "label"], n
    return best


def accesses_of(instructions, below=1 << 10):
    """How many accesses have each number of bits below this one: "4x128 2x8"."""
    bits = [n for kind, n in instructions if kind == "access" and n < below]
    return " ".join(f"{bits.count(n)}x{n}" for n in sorted(set(bits), reverse=True))


def loop_columns(instructions):
    loop = inner_loop(instructions)
    if not loop:
        return "-", "-"
    return f"{len(loop) / loop.count(('access', 128)):.1f}", accesses_of(loop)


def disassembler():
    return None if "ptx" in sys.argv[2:] else os.environ.get("NVDISASM") or shutil.which("nvdisasm")


def read_ptx(stem, arch):
    with open(f"{stem}.ptx{arch}", encoding="utf-8") as file:
        return functions(file.read(), r"(?:\.visible )?\.entry (\w+)\(", ptx_line)


def read_instructions(stem, arch):
    """{symbol: instructions}"""
    if disassembler():
        with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
            subprocess.run([os.environ.get("PTXAS", "ptxas"), f"-arch=sm_{arch}", f"{stem}.ptx{arch}", "-o", cubin.name], check=True)
            run = subprocess.run([disassembler(), "-c", cubin.name], check=True, capture_output=True, text=True)
        return functions(run.stdout, r"\.text\.(\w+):", sass_line)
    return read_ptx(stem, arch)


def measure_traffic():
    """{symbol: (bytes read per element, bytes written)}, of the first case of traffic.c that launches the kernel."""
    found = {}
    cases = subprocess.run(["tests/ptx/traffic", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for case in cases:
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as report:
            env = dict(os.environ, DTRAIN_TEST_PTX="tests/ptx/sm_90.so", DTRAIN_TEST_PTX_REPORT=report.name)
            run = subprocess.run(["tests/ptx/traffic", case], env=env, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                sys.exit(run.stdout + run.stderr)
            elements = int(re.search(r"^elements (\d+)$", run.stdout, re.M).group(1))
            for symbol, _, _, read, written in (line.split() for line in report):
                found.setdefault(symbol, (f"{int(read) / elements:.2f}", f"{int(written) / elements:.2f}"))
    return found


def names_of(symbols):
    """As in the source, without parameters."""
    if not shutil.which("c++filt"):
        return {symbol: symbol for symbol in symbols}
    run = subprocess.run(["c++filt", *symbols], check=True, capture_output=True, text=True)
    return {symbol: re.sub(r"\(.*", "", re.sub(r"\((?:int|bool)\)", "", line)).replace("void ", "").replace("__nv_bfloat16", "bf16").replace("__half", "fp16")
            for symbol, line in zip(symbols, run.stdout.split("\n"))}


def main(arch):
    rows, moved = [], measure_traffic()
    for path in sorted(glob.glob("layers/cuda/*.resources") + glob.glob("comm/nccl/*.resources")):
        stem = path[:-len(".resources")]
        threads, code, ptx = threads_of(f"{stem}.ptx{arch}"), read_instructions(stem, arch), read_ptx(stem, arch)
        for symbol, (registers, spilled, stack, shared) in sorted(resources(path, arch).items()):
            blocks = blocks_of(arch, registers, shared, threads[symbol])
            instructions, loop = loop_columns(code[symbol])
            rows.append([symbol, registers, spilled, stack, shared, threads[symbol], blocks, *moved.get(symbol, ("-", "-")), instructions,
                         accesses_of(ptx[symbol], 128) or "0", loop])
    if not rows:
        sys.exit(f"the kernels of this build are not compiled for sm_{arch}: configure --enable-cuda-archs={arch}")
    names = names_of([row[0] for row in rows])
    rows = [[names[row[0]], *map(str, row[1:])] for row in rows]
    head = ["kernel", "registers", "spilled", "stack", "shared", "threads", "blocks", "read", "written", "instr", "narrow", "loop"]
    width = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    print(f"sm_{arch}: {len(rows)} kernels")
    for row in [head, *rows]:
        print(row[0].ljust(width[0]), *(cell.rjust(w) for cell, w in zip(row[1:-1], width[1:])), row[-1], sep="  ")
    print(LEGEND.format(shared=SHARED_BYTES[arch], source="SASS" if disassembler() else "PTX, not SASS: nvdisasm would show that"))


if __name__ == "__main__":
    main(sys.argv[1])
