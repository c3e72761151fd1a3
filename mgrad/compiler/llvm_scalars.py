"""Scalar operations of the loop language as LLVM instructions.

Products may contract with sums, and only accumulations may be reordered. NaN and
infinity keep their meaning, and no integer operation can trap.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from mgrad.compiler import vector_math
from mgrad.compiler.loops import (
    COMPARISONS,
    REORDERED,
    Accumulate,
    Constant,
    Let,
    Operand,
    Parameter,
    Value,
)

REGISTER = {
    "bool": "i1",
    "int32": "i32",
    "int64": "i64",
    "float32": "float",
    "float64": "double",
}
INTRINSICS = {
    "abs": "fabs",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "rint",
    "copysign": "copysign",
}
FLOAT_OPERATIONS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
INTEGER_OPERATIONS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "bit_and": "and",
    "bit_or": "or",
    "bit_xor": "xor",
}
FLOAT_COMPARISONS = {
    "eq": "oeq",
    "ne": "une",
    "lt": "olt",
    "le": "ole",
    "gt": "ogt",
    "ge": "oge",
}
SIGNED = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
UNSIGNED = {"eq": "eq", "ne": "ne", "lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge"}


def is_float(dtype: str) -> bool:
    """Whether a dtype is floating-point."""
    return dtype.startswith("float")


def is_number(operand: Operand) -> bool:
    """A constant that is not NaN."""
    if isinstance(operand, Constant):
        return operand.text != "nan"
    return isinstance(operand, Parameter)


def literal(value: Constant) -> str:
    """A constant as LLVM writes it: floats by the bits of the double."""
    if is_float(value.dtype):
        (bits,) = struct.unpack("<Q", struct.pack("<d", value.number))
        return f"0x{bits:016X}"
    return str(value.number).lower() if value.dtype == "bool" else value.text


class ScalarPrinter:
    """Instructions on their way to text, with the declarations that they need."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.declarations: set[str] = set()
        self.math: set[tuple[str, str]] = set()
        self.math_calls = 0
        self.parameters: set[str] = set()
        self.count = 0

    # text

    def emit(self, text: str) -> None:
        """One instruction."""
        self.lines.append(f"  {text}")

    def new(self) -> str:
        """A fresh register."""
        self.count += 1
        return f"%t{self.count}"

    def assign(self, text: str, name: str | None = None) -> str:
        """An instruction with a result."""
        name = name or self.new()
        self.emit(f"{name} = {text}")
        return name

    def intrinsic(
        self, name: str, dtype: str, operands: list[str], extra: str = ""
    ) -> str:
        """A call of an LLVM intrinsic on one type, as text."""
        kind = REGISTER[dtype]
        suffix = {"float": "f32", "double": "f64"}.get(kind, kind)
        types = ", ".join(
            [kind] * len(operands) + ([extra.split()[0]] if extra else [])
        )
        self.declarations.add(f"declare {kind} @llvm.{name}.{suffix}({types})")
        arguments = [f"{kind} {x}" for x in operands] + ([extra] if extra else [])
        return f"call {kind} @llvm.{name}.{suffix}({', '.join(arguments)})"

    def accumulate(self, s: Accumulate) -> None:
        """variable = operation(variable, value), with leave to reorder sums."""
        kind = REGISTER[s.dtype]
        before = self.assign(f"load {kind}, ptr %{s.name}")
        value = self.operand(s.value)
        if is_float(s.dtype) and s.operation in REORDERED:
            name = FLOAT_OPERATIONS[s.operation]
            after = self.assign(f"{name} reassoc contract {kind} {before}, {value}")
        elif is_float(s.dtype):
            name = {"max": "maximum", "min": "minimum"}[s.operation]
            after = self.assign(self.intrinsic(name, s.dtype, [before, value]))
        else:
            after = self.operation(s.operation, s.dtype, [before, value], ())
        self.emit(f"store {kind} {after}, ptr %{s.name}")

    def operand(self, operand: Operand) -> str:
        """A register or a literal."""
        if isinstance(operand, Parameter):
            return self.parameter(operand)
        return literal(operand) if isinstance(operand, Constant) else f"%{operand.name}"

    def parameter(self, operand: Parameter) -> str:
        """A constant that lies among the extents: floats as the bits of a double."""
        name, source = f"%c{operand.position}", f"%e{operand.position}"
        if name in self.parameters:
            return name
        self.parameters.add(name)
        if operand.dtype == "float64":
            self.entry.append(f"  {name} = bitcast i64 {source} to double")
        elif operand.dtype == "float32":
            self.entry.append(f"  {name}d = bitcast i64 {source} to double")
            self.entry.append(f"  {name} = fptrunc double {name}d to float")
        else:
            kind = REGISTER[operand.dtype]
            verb = "trunc" if kind == "i32" else "bitcast"
            self.entry.append(f"  {name} = {verb} i64 {source} to {kind}")
        return name

    def let(self, s: Let) -> None:
        """One scalar operation into its register."""
        operands = [self.operand(x) for x in s.operands]
        target = f"%{s.result.name}"
        if s.operation == "convert":
            text = self.conversion(s.operands[0].dtype, s.result.dtype, operands[0])
            self.assign(text, target)
            return
        if s.operation == "select":
            kind = REGISTER[s.result.dtype]
            condition, x, y = operands
            self.assign(f"select i1 {condition}, {kind} {x}, {kind} {y}", target)
            return
        dtype = s.operands[-1].dtype
        result = self.operation(s.operation, dtype, operands, s.operands)
        self.alias(result, target, s.result.dtype)

    def alias(self, register: str, target: str, dtype: str) -> None:
        """Give a computed register the name that later statements use."""
        last = self.lines[-1]
        if last.startswith(f"  {register} = "):
            self.lines[-1] = f"  {target} = " + last.split(" = ", 1)[1]
            return
        kind = REGISTER[dtype]
        self.emit(f"{target} = select i1 true, {kind} {register}, {kind} {register}")

    def operation(
        self, name: str, dtype: str, operands: list[str], typed: tuple[Operand, ...]
    ) -> str:
        """The register of an operation on operands of one dtype."""
        kind = REGISTER[dtype]
        if name in COMPARISONS:
            return self.compare(name, dtype, operands)
        if not is_float(dtype):
            return self.integer(name, dtype, operands)
        if name in FLOAT_OPERATIONS:
            x, y = operands
            return self.assign(f"{FLOAT_OPERATIONS[name]} contract {kind} {x}, {y}")
        if name == "neg":
            return self.assign(f"fneg {kind} {operands[0]}")
        if name in INTRINSICS:
            return self.assign(self.intrinsic(INTRINSICS[name], dtype, operands))
        if name in ("max", "min"):
            return self.extreme(name, dtype, operands, typed)
        special: dict[str, Callable[[str, str, str], str]] = {
            "fmod": self.fmod,
            "remainder": self.remainder,
            "floor_divide": self.floor_divide,
        }
        if name in special:
            return special[name](kind, *operands)
        self.math.add((name, kind))
        self.math_calls += 1
        arguments = ", ".join(f"{kind} {x}" for x in operands)
        symbol = vector_math.symbol(name, kind)
        return self.assign(f"call {kind} @{symbol}({arguments})")

    def compare(self, name: str, dtype: str, operands: list[str]) -> str:
        """A comparison: false for NaN, except `ne`."""
        x, y = operands
        kind = REGISTER[dtype]
        if is_float(dtype):
            return self.assign(f"fcmp {FLOAT_COMPARISONS[name]} {kind} {x}, {y}")
        predicate = (UNSIGNED if dtype == "bool" else SIGNED)[name]
        return self.assign(f"icmp {predicate} {kind} {x}, {y}")

    def extreme(
        self, name: str, dtype: str, operands: list[str], typed: tuple[Operand, ...]
    ) -> str:
        """max or min that gives NaN if either is; one instruction beside a literal."""
        kind, test = REGISTER[dtype], "ogt" if name == "max" else "olt"
        x, y = operands
        if typed and not isinstance(typed[1], Value):
            x, y = y, x
            typed = typed[::-1]
        wins = self.assign(f"fcmp {test} {kind} {x}, {y}")
        chosen = self.assign(f"select i1 {wins}, {kind} {x}, {kind} {y}")
        if typed and is_number(typed[0]):
            return chosen
        nan = self.assign(f"fcmp uno {kind} {x}, {x}")
        return self.assign(f"select i1 {nan}, {kind} {x}, {kind} {chosen}")

    def fmod(self, kind: str, x: str, y: str) -> str:
        """The remainder with the sign of x."""
        return self.assign(f"frem {kind} {x}, {y}")

    def remainder(self, kind: str, x: str, y: str) -> str:
        """The remainder with the sign of y; a zero one takes it too."""
        dtype = "float64" if kind == "double" else "float32"
        rest = self.fmod(kind, x, y)
        unit = self.assign(self.intrinsic("copysign", dtype, ["1.0", y]))
        signs = self.assign(f"fmul {kind} {rest}, {unit}")
        wrong = self.assign(f"fcmp olt {kind} {signs}, 0.0")
        moved = self.assign(f"fadd {kind} {rest}, {y}")
        chosen = self.assign(f"select i1 {wrong}, {kind} {moved}, {kind} {rest}")
        zero = self.assign(f"fcmp oeq {kind} {chosen}, 0.0")
        signed = self.assign(self.intrinsic("copysign", dtype, ["0.0", y]))
        return self.assign(f"select i1 {zero}, {kind} {signed}, {kind} {chosen}")

    def floor_divide(self, kind: str, x: str, y: str) -> str:
        """floor(x / y) from the exact remainder, as NumPy computes it."""
        dtype = "float64" if kind == "double" else "float32"
        rest = self.fmod(kind, x, y)
        multiple = self.assign(f"fsub {kind} {x}, {rest}")
        exact = self.assign(f"fdiv {kind} {multiple}, {y}")
        unit = self.assign(self.intrinsic("copysign", dtype, ["1.0", y]))
        signs = self.assign(f"fmul {kind} {rest}, {unit}")
        below = self.assign(f"fcmp olt {kind} {signs}, 0.0")
        lower = self.assign(f"fsub {kind} {exact}, 1.0")
        exact = self.assign(f"select i1 {below}, {kind} {lower}, {kind} {exact}")
        down = self.assign(self.intrinsic("floor", dtype, [exact]))
        gap = self.assign(f"fsub {kind} {exact}, {down}")
        short = self.assign(f"fcmp ogt {kind} {gap}, 0.5")
        up = self.assign(f"fadd {kind} {down}, 1.0")
        whole = self.assign(f"select i1 {short}, {kind} {up}, {kind} {down}")
        plain = self.assign(f"fdiv {kind} {x}, {y}")
        zero = self.assign(f"fcmp oeq {kind} {whole}, 0.0")
        signed = self.assign(self.intrinsic("copysign", dtype, ["0.0", plain]))
        whole = self.assign(f"select i1 {zero}, {kind} {signed}, {kind} {whole}")
        by_zero = self.assign(f"fcmp oeq {kind} {y}, 0.0")
        return self.assign(f"select i1 {by_zero}, {kind} {plain}, {kind} {whole}")

    def integer(self, name: str, dtype: str, operands: list[str]) -> str:
        """Integer and boolean operations; none can trap."""
        kind = REGISTER[dtype]
        if name in INTEGER_OPERATIONS:
            return self.assign(
                f"{INTEGER_OPERATIONS[name]} {kind} {', '.join(operands)}"
            )
        if name == "bit_not":
            return self.assign(f"xor {kind} {operands[0]}, -1")
        if name == "neg":
            return self.assign(f"sub {kind} 0, {operands[0]}")
        if name == "abs":
            return self.assign(self.intrinsic("abs", dtype, operands, "i1 false"))
        if name in ("max", "min"):
            sign = "u" if dtype == "bool" else "s"
            return self.assign(self.intrinsic(f"{sign}{name}", dtype, operands))
        x, y = operands
        if name in ("fmod", "remainder", "floor_divide"):
            return self.division(name, kind, x, y)
        raise KeyError(f"no integer operation {name}")

    def division(self, name: str, kind: str, x: str, y: str) -> str:
        """Integer division rounded down; by zero it is 0, as in NumPy."""
        zero = self.assign(f"icmp eq {kind} {y}, 0")
        minus = self.assign(f"icmp eq {kind} {y}, -1")
        unsafe = self.assign(f"or i1 {zero}, {minus}")
        safe = self.assign(f"select i1 {unsafe}, {kind} 1, {kind} {y}")
        quotient = self.assign(f"sdiv {kind} {x}, {safe}")
        rest = self.assign(f"srem {kind} {x}, {safe}")
        signs = self.assign(f"xor {kind} {rest}, {safe}")
        opposite = self.assign(f"icmp slt {kind} {signs}, 0")
        inexact = self.assign(f"icmp ne {kind} {rest}, 0")
        adjust = self.assign(f"and i1 {opposite}, {inexact}")
        negated = self.assign(f"sub {kind} 0, {x}")
        if name == "floor_divide":
            lower = self.assign(f"sub {kind} {quotient}, 1")
            whole = self.assign(
                f"select i1 {adjust}, {kind} {lower}, {kind} {quotient}"
            )
            whole = self.assign(f"select i1 {minus}, {kind} {negated}, {kind} {whole}")
            return self.assign(f"select i1 {zero}, {kind} 0, {kind} {whole}")
        if name == "remainder":
            upper = self.assign(f"add {kind} {rest}, {safe}")
            rest = self.assign(f"select i1 {adjust}, {kind} {upper}, {kind} {rest}")
        return self.assign(f"select i1 {unsafe}, {kind} 0, {kind} {rest}")

    def conversion(self, source: str, target: str, x: str) -> str:
        """The instruction that changes a dtype, as text."""
        before, after = REGISTER[source], REGISTER[target]
        if target == "bool":
            test = "fcmp une" if is_float(source) else "icmp ne"
            return f"{test} {before} {x}, {'0.0' if is_float(source) else '0'}"
        if is_float(target):
            if is_float(source):
                verb = "fpext" if target == "float64" else "fptrunc"
            else:
                verb = "uitofp" if source == "bool" else "sitofp"
            return f"{verb} {before} {x} to {after}"
        if is_float(source):
            suffix = f"{after}.{'f64' if before == 'double' else 'f32'}"
            self.declarations.add(
                f"declare {after} @llvm.fptosi.sat.{suffix}({before})"
            )
            return f"call {after} @llvm.fptosi.sat.{suffix}({before} {x})"
        if source == "bool":
            return f"zext i1 {x} to {after}"
        return f"{'sext' if target == 'int64' else 'trunc'} {before} {x} to {after}"
