"""translate.py FILE.ptx OUTPUT.c: nvcc's PTX as C, a function for each kernel.

A CUDA thread is a call of the function. A register is a variable, a label a label. Barriers, shuffles and shared memory are the emulator's
(machine.h); library.c checks accesses to memory.

An instruction, an operand or a directive that is not known here ends the program with code 1 and a message that names file and line: nothing is
guessed."""
import re
import sys

from ptx_instructions import C_TYPES, INSTRUCTIONS
from ptx_text import SIZES, Unknown, read_kernels

SPECIAL = {f"%{special}.{axis}": f"ptx_machine->state->{field}.{axis}" for axis in "xyz"
           for special, field in (("tid", "thread"), ("ntid", "block_dim"), ("ctaid", "block"), ("nctaid", "grid_dim"))}
# Parts of the names of loads and stores, in this order: space, cache, vector.
ACCESS = re.compile(r"(ld|st)(?:\.(volatile))?\.(param|global|shared)(?:\.nc)?(?:\.(v2|v4))?\.(\w+)")


def variable(name):
    return re.sub(r"\W", "_", name)


def split_operands(text):
    """At the commas outside of braces and brackets."""
    return [part.strip() for part in re.split(r",(?![^{\[]*[}\]])", text) if part.strip()]


class Translator:
    """The C of one kernel."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.line = kernel.line

    def refuse(self, what):
        self.kernel.refuse(self.line, what)

    # -- operands

    def literal(self, text, kind):
        if re.fullmatch(r"0f[0-9A-Fa-f]{8}", text) and kind in ("f32", "b32"):
            return f"ptx_f32_of(0x{text[2:]}U)" if kind == "f32" else f"0x{text[2:]}U"
        if re.fullmatch(r"0d[0-9A-Fa-f]{16}", text) and kind in ("f64", "b64"):
            return f"ptx_f64_of(0x{text[2:]}ULL)" if kind == "f64" else f"0x{text[2:]}ULL"
        if re.fullmatch(r"-?\d+|0[xX][0-9A-Fa-f]+", text) and kind[0] in "bus":
            return f"({C_TYPES[kind]})INT64_MIN" if text == str(-2**63) else f"({C_TYPES[kind]}){text}LL"
        return None

    def read(self, text, kind):
        """A C expression for an operand, as a value of this type."""
        if kind == "pred":
            if text in ("0", "1", "-1"):
                return "false" if text == "0" else "true"
            if self.kernel.registers.get(text.lstrip("!")) == "pred":
                return f"({text[0] == '!' and '!' or ''}{variable(text.lstrip('!'))})"
            self.refuse(f"no predicate: {text}")
        if text in SPECIAL and SIZES[kind] == 4:
            return f"({C_TYPES[kind]}){SPECIAL[text]}"
        if text in self.kernel.shared and SIZES[kind] in (4, 8):
            return f"({C_TYPES[kind]}){self.kernel.shared[text]}"
        if text in self.kernel.parameters and SIZES[kind] == 8:
            return f"({C_TYPES[kind]}){self.kernel.parameters[text]}"
        value = self.literal(text, kind)
        if value is not None:
            return value
        of = self.kernel.registers.get(text)
        if of is None or of == "pred":
            self.refuse(f"unknown operand: {text}")
        if C_TYPES[of] == C_TYPES[kind]:
            return variable(text)
        if of in ("f32", "f64") and kind == f"b{of[1:]}":
            return f"ptx_bits{of[1:]}_of({variable(text)})"
        if kind in ("f32", "f64") and of == f"b{kind[1:]}":
            return f"ptx_{kind}_of({variable(text)})"
        if kind[0] == "f" or of[0] == "f" or SIZES[of] < SIZES[kind]:
            self.refuse(f"{text} is a register of type {of}, and {kind} is wanted")
        return f"({C_TYPES[kind]}){variable(text)}"

    def write(self, text, kind, value):
        """The C statement that sets a register from a value of this type; a wider one is filled with the sign or with zeros."""
        to = self.kernel.registers.get(text)
        if to is None or (to == "pred") != (kind == "pred"):
            self.refuse(f"no register for a {kind}: {text}")
        if to != kind and to in ("f32", "f64") and kind == f"b{to[1:]}":
            return f"{variable(text)} = ptx_{to}_of({value});"
        if to != kind and kind in ("f32", "f64") and to == f"b{kind[1:]}":
            return f"{variable(text)} = ptx_bits{kind[1:]}_of({value});"
        if (to != kind and "f" in to[0] + kind[0]) or SIZES[to] < SIZES[kind]:
            self.refuse(f"{text} is a register of type {to}, which cannot hold {kind}")
        return f"{variable(text)} = ({C_TYPES[to]})({C_TYPES[kind]})({value});"

    # -- instructions

    def address(self, text, space, n_bytes, is_write):
        found = re.fullmatch(r"\[([%$\w]+)(?:\+(-?\d+))?\]", text)
        if not found:
            self.refuse(f"unknown address: {text}")
        base, offset = found.group(1), int(found.group(2) or 0)
        if space == "param":
            if is_write:
                self.refuse(f"a store to a parameter: {text}")
            return f"ptx_parameter(parameters, {self.read(base, 'u64')} + (uint64_t){offset}LL, {n_bytes}, {self.line})"
        kind = self.kernel.registers.get(base, "b32")
        check = f"{n_bytes}, {'true' if is_write else 'false'}, {self.line})"
        if space == "shared":
            return f"ptx_shared(shared, sizeof_shared, (uint64_t)({self.read(base, kind)} + {offset}), {check}"
        return f"ptx_global({self.read(base, 'b64')} + (uint64_t){offset}LL, {check}"

    def access(self, name, operands):
        found = ACCESS.fullmatch(name)
        if not found or found.group(5) not in SIZES or len(operands) != 2:
            self.refuse(f"unknown instruction: {name}")
        operation, _, space, vector, kind = found.groups()
        is_write = operation == "st"
        where, what = operands if is_write else operands[::-1]
        parts = split_operands(what[1:-1]) if vector else [what]
        if len(parts) != int(vector[1:] if vector else 1):
            self.refuse(f"{name} has {len(parts)} values")
        size = SIZES[kind]
        out = [f"{'const ' if space == 'param' else ''}char *at = {self.address(where, space, size * len(parts), is_write)};"]
        for i, part in enumerate(parts):
            if is_write:
                out.append(f"{{ {C_TYPES[kind]} v = {self.read(part, kind)}; memcpy(at + {i * size}, &v, {size}); }}")
            else:
                out.append(f"{{ {C_TYPES[kind]} v; memcpy(&v, at + {i * size}, {size}); {self.write(part, kind, 'v')} }}")
        return " ".join(out)

    def pack(self, kind, operands):
        """mov of a register into parts, or of parts into a register; the first part is the lowest."""
        into_parts = operands[0].startswith("{")
        parts = split_operands(operands[0 if into_parts else 1][1:-1])
        width = 8 * SIZES[kind] // len(parts)
        part, c = f"b{width}", C_TYPES[kind]
        if into_parts:
            value = self.read(operands[1], kind)
            return f"{c} v = {value}; " + " ".join(
                self.write(name, part, f"(uint{width}_t)(v >> {width * i})") for i, name in enumerate(parts) if name != "_")
        return self.write(operands[0], kind, " | ".join(
            f"({c})((uint{width}_t){self.read(name, part)}) << {width * i}" for i, name in enumerate(parts)))

    def compute(self, name, operands):
        combined = re.fullmatch(r"(setp\.\w+)\.(and|or|xor)(\.\w+)", name)
        if combined:
            name = combined.group(1) + combined.group(3)
        operation = INSTRUCTIONS.get(name)
        if operation is None:
            self.refuse(f"unknown instruction: {name}")
        if len(operands) != 1 + len(operation.operands) + (1 if combined else 0):
            self.refuse(f"{name} has {len(operands)} operands")
        values = [self.read(text, kind) for text, kind in zip(operands[1:], operation.operands)]
        value = operation.expression.format(**dict(zip("abcd", values)))
        if combined:
            value = INSTRUCTIONS[f"{combined.group(2)}.pred"].expression.format(a=f"({value})", b=self.read(operands[3], "pred"))
        return self.write(operands[0], operation.result, value)

    def shuffle(self, operands):
        if len(operands) != 5:
            self.refuse(f"a shuffle with {len(operands)} operands")
        arguments = ", ".join(self.read(text, "b32") for text in operands[1:])
        to = operands[0].split("|")[0]  # the predicate after it is true: every lane is in the segment
        also = [self.write(name, "pred", "true") for name in operands[0].split("|")[1:]]
        return " ".join([self.write(to, "b32", f"ptx_shuffle_xor({arguments}, {self.line})")] + also)

    def effect(self, name, operands):
        if name in ("bra", "bra.uni") and len(operands) == 1:
            return f"goto {variable(operands[0])};"
        if name == "ret" and not operands:
            return "return;"
        if name == "bar.sync" and operands == ["0"]:
            return f"ptx_machine->sync_block({self.line});"
        if name == "shfl.sync.bfly.b32":
            return self.shuffle(operands)
        if name.startswith(("ld.", "st.")):
            return self.access(name, operands)
        if re.fullmatch(r"mov\.b\d+", name) and any(o.startswith("{") for o in operands):
            return self.pack(name[4:], operands)
        return self.compute(name, operands)

    def instruction(self, text):
        found = re.fullmatch(r"(?:@(!?)(\S+) )?([\w.]+)(?: (.*))?", text)
        if not found:
            self.refuse(f"no instruction: {text}")
        negation, guard, name, rest = found.groups()
        effect = self.effect(name, split_operands(rest or ""))
        return f"if ({self.read(negation + guard, 'pred')}) {{ {effect} }}" if guard else f"{{ {effect} }}"

    def statement(self, statement):
        self.line = statement.line
        if statement.kind == "label":
            return f"{variable(statement.text)}: ;"
        if statement.kind == "register":
            kind, name = statement.text.split(" ")
            return f"{C_TYPES[kind]} {variable(name)};"
        if statement.kind == "instruction":
            return self.instruction(statement.text)
        return "{" if statement.kind == "open" else "}"

    def body(self, index):
        statements = [self.statement(s) for s in self.kernel.statements]
        inner = {s.text.split(" ")[1] for s in self.kernel.statements if s.kind == "register"}
        yield "{"
        for name, kind in self.kernel.registers.items():
            if name not in inner:
                yield f"{C_TYPES[kind]} {variable(name)} = ({C_TYPES[kind]})PTX_UNSET;"
        if self.kernel.shared_bytes:
            yield "static dt_emulator_shared memory;"
            yield f"enum {{ sizeof_shared = {self.kernel.shared_bytes} }};"
            yield "char *const shared = ptx_machine->shared_data(&memory, sizeof_shared);"
        yield "const char *const parameters = parameters_of_launch;"
        yield f"ptx_begin(&kernel_{index});"
        yield from statements
        yield "}"


def main(path, output):
    """The table of kernels is a section of pointers, so that the linker joins those of all files."""
    names = set()
    with open(output, "w", encoding="utf-8") as file:
        print('#include "tests/ptx/semantics.h"', file=file)
        for kernel in read_kernels(path):
            if kernel.name in names:
                kernel.refuse(kernel.line, f"a second kernel {kernel.name}")
            index = len(names)
            names.add(kernel.name)
            print(f"static dt_ptx_kernel kernel_{index};", file=file)
            print(f"static void run_{index}(const void *parameters_of_launch)", *Translator(kernel).body(index), sep="\n", file=file)
            print(f'static dt_ptx_kernel kernel_{index} = {{.name = "{kernel.name}", .file = "{kernel.file}", '
                  f".run = run_{index}, .parameter_bytes = {kernel.parameter_bytes}}};", file=file)
            print(f"PTX_KERNEL(kernel_{index});", file=file)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unknown as refusal:
        sys.exit(str(refusal))
