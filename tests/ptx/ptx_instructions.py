"""The instructions of PTX that compute: what each does, in C.

INSTRUCTIONS["add.s32"] is Operation("s32", ("s32", "s32"), "(int32_t)((uint32_t){a} + (uint32_t){b})"): the type of the result, those of the
operands, and an expression of the operands a, b, c and d. semantics.h has the functions. What is not here is refused: add an instruction only with its
meaning in NVIDIA's "Parallel Thread Execution ISA"."""
from collections import namedtuple

Operation = namedtuple("Operation", "result operands expression")

C_TYPES = {"pred": "bool", "b8": "uint8_t", "u8": "uint8_t", "s8": "int8_t", "b16": "uint16_t", "u16": "uint16_t",
           "s16": "int16_t", "b32": "uint32_t", "u32": "uint32_t", "s32": "int32_t", "f32": "float", "b64": "uint64_t",
           "u64": "uint64_t", "s64": "int64_t", "f64": "double"}
INSTRUCTIONS = {}


def bits(kind):
    return int(kind[1:])


def unsigned(kind):
    return f"uint{bits(kind)}_t"


def put(name, result, operands, expression):
    INSTRUCTIONS[name] = Operation(result, operands, expression)


def integers():
    """Sums, products and negation wrap around, in unsigned arithmetic."""
    for t in ("u16", "s16", "u32", "s32", "u64", "s64"):
        u, c = unsigned(t), C_TYPES[t]
        put(f"add.{t}", t, (t, t), f"({c})(({u}){{a}} + ({u}){{b}})")
        put(f"sub.{t}", t, (t, t), f"({c})(({u}){{a}} - ({u}){{b}})")
        put(f"mul.lo.{t}", t, (t, t), f"({c})(({u}){{a}} * ({u}){{b}})")
        put(f"mad.lo.{t}", t, (t, t, t), f"({c})(({u}){{a}} * ({u}){{b}} + ({u}){{c}})")
        put(f"div.{t}", t, (t, t), "{a} / {b}")
        put(f"rem.{t}", t, (t, t), "{a} % {b}")
        put(f"min.{t}", t, (t, t), "{a} < {b} ? {a} : {b}")
        put(f"max.{t}", t, (t, t), "{a} > {b} ? {a} : {b}")
    for t in ("s16", "s32", "s64"):
        put(f"neg.{t}", t, (t,), f"({C_TYPES[t]})(0 - ({unsigned(t)}){{a}})")
        put(f"abs.{t}", t, (t,), f"{{a}} < 0 ? ({C_TYPES[t]})(0 - ({unsigned(t)}){{a}}) : {{a}}")
    for t, wide in (("u16", "u32"), ("s16", "s32"), ("u32", "u64"), ("s32", "s64")):
        c, w = C_TYPES[t], C_TYPES[wide]
        put(f"mul.wide.{t}", wide, (t, t), f"({w}){{a}} * ({w}){{b}}")
        put(f"mul.hi.{t}", t, (t, t), f"({c})((({w}){{a}} * ({w}){{b}}) >> {bits(t)})")
        put(f"mad.wide.{t}", wide, (t, t, wide), f"({w})(({unsigned(wide)})(({w}){{a}} * ({w}){{b}}) + ({unsigned(wide)}){{c}})")


def logic():
    """A shift by the width or more gives 0, or the sign."""
    for t in ("b16", "b32", "b64"):
        c = C_TYPES[t]
        for name, sign in (("and", "&"), ("or", "|"), ("xor", "^")):
            put(f"{name}.{t}", t, (t, t), f"({c})({{a}} {sign} {{b}})")
        put(f"not.{t}", t, (t,), f"({c})~{{a}}")
        put(f"shl.{t}", t, (t, "u32"), f"({c})({{b}} >= {bits(t)} ? 0 : {{a}} << {{b}})")
    for t in ("b16", "u16", "b32", "u32", "b64", "u64"):
        put(f"shr.{t}", t, (t, "u32"), f"({C_TYPES[t]})({{b}} >= {bits(t)} ? 0 : {{a}} >> {{b}})")
    for t in ("s16", "s32", "s64"):
        put(f"shr.{t}", t, (t, "u32"), f"({C_TYPES[t]})({{a}} >> ({{b}} >= {bits(t)} ? {bits(t) - 1} : {{b}}))")
    for t in ("b32", "b64"):
        put(f"bfi.{t}", t, (t, t, "u32", "u32"), f"({C_TYPES[t]})ptx_bfi({{a}}, {{b}}, {{c}}, {{d}}, {bits(t)})")
    for name, sign in (("and", "&&"), ("or", "||"), ("xor", "!=")):
        put(f"{name}.pred", "pred", ("pred", "pred"), f"{{a}} {sign} {{b}}")
    put("not.pred", "pred", ("pred",), "!{a}")


def floats():
    """-fmad=false writes .rn, which C's operators do, too."""
    for t, suffix in (("f32", "f"), ("f64", "")):
        for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("div", "/")):
            put(f"{name}.rn.{t}", t, (t, t), f"{{a}} {sign} {{b}}")
        put(f"fma.rn.{t}", t, (t, t, t), f"fma{suffix}({{a}}, {{b}}, {{c}})")
        put(f"rcp.rn.{t}", t, (t,), "1 / {a}")
        put(f"sqrt.rn.{t}", t, (t,), f"sqrt{suffix}({{a}})")
        put(f"neg.{t}", t, (t,), "-{a}")
        put(f"abs.{t}", t, (t,), f"fabs{suffix}({{a}})")
    put("min.f32", "f32", ("f32", "f32"), "ptx_min({a}, {b})")
    put("max.f32", "f32", ("f32", "f32"), "ptx_max({a}, {b})")
    put("fma.rm.f32", "f32", ("f32", "f32", "f32"), "ptx_fma_rm({a}, {b}, {c})")
    put("ex2.approx.ftz.f32", "f32", ("f32",), "ptx_ex2_ftz({a})")


def moves():
    for t in C_TYPES:
        if t not in ("b8", "u8", "s8"):
            put(f"mov.{t}", t, (t,), "{a}")
            put(f"selp.{t}", t, (t, t, "pred"), "{c} ? {a} : {b}")
    put("cvta.to.global.u64", "u64", ("u64",), "{a}")


def conversions():
    whole = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
    for to in whole:
        for of in whole:
            put(f"cvt.{to}.{of}", to, (of,), f"({C_TYPES[to]}){{a}}")
    for of in whole:
        put(f"cvt.rn.f32.{of}", "f32", (of,), "(float){a}")
        put(f"cvt.rn.f64.{of}", "f64", (of,), "(double){a}")
    put("cvt.f64.f32", "f64", ("f32",), "{a}")
    put("cvt.rn.f32.f64", "f32", ("f64",), "(float){a}")
    put("cvt.f32.f16", "f32", ("b16",), "dt_half_to_float({a})")
    put("cvt.rn.f16.f32", "b16", ("f32",), "dt_half_from_float({a})")
    put("cvt.rn.f16x2.f32", "b32", ("f32", "f32"), "ptx_f16x2({a}, {b})")
    put("cvt.f32.bf16", "f32", ("b16",), "dt_bfloat_to_float({a})")
    put("cvt.rn.bf16.f32", "b16", ("f32",), "dt_bfloat_from_float({a})")
    put("cvt.rn.bf16x2.f32", "b32", ("f32", "f32"), "ptx_bf16x2({a}, {b})")
    put("cvt.sat.f32.f32", "f32", ("f32",), "ptx_saturate({a})")


def comparisons():
    """setp. eq to ge are false where an operand is NaN, also ne; equ to geu are true there."""
    for t in C_TYPES:
        if t in ("pred", "b8", "u8", "s8"):
            continue
        names = {"eq": "==", "ne": "!="}
        if t[0] != "b":
            names.update({"lt": "<", "le": "<=", "gt": ">", "ge": ">="})
        for name, sign in names.items():
            put(f"setp.{name}.{t}", "pred", (t, t), f"{{a}} {sign} {{b}}")
    for t in ("f32", "f64"):
        put(f"setp.ne.{t}", "pred", (t, t), "({a} < {b} || {a} > {b})")
        put(f"setp.equ.{t}", "pred", (t, t), "!({a} < {b} || {a} > {b})")
        put(f"setp.neu.{t}", "pred", (t, t), "{a} != {b}")
        for name, sign in (("ltu", ">="), ("leu", ">"), ("gtu", "<="), ("geu", "<")):
            put(f"setp.{name}.{t}", "pred", (t, t), f"!({{a}} {sign} {{b}})")
        put(f"setp.num.{t}", "pred", (t, t), "!isnan({a}) && !isnan({b})")
        put(f"setp.nan.{t}", "pred", (t, t), "isnan({a}) || isnan({b})")


for group in (integers, logic, floats, moves, conversions, comparisons):
    group()
