"""A tiny expression-to-LLVM-IR builder: arithmetic on `Value`s writes SSA lines."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from .guard import Guard


@dataclass(frozen=True)
class Format:
    """One IEEE 754 binary format and the integer type of its bits."""

    name: str
    suffix: str
    bits: int
    fraction: int
    bias: int

    @property
    def integer(self) -> str:
        return f"i{self.bits}"

    @property
    def epsilon(self) -> float:
        return 2.0**-self.fraction

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def rounder(self) -> float:
        """Adding it rounds to an integer, found in the low bits of the sum."""
        return 1.5 * 2.0**self.fraction

    def round(self, x: float | Fraction) -> float:
        if self.bits == 64:
            return float(x)
        return float(struct.unpack("f", struct.pack("f", float(x)))[0])

    def encode(self, x: float) -> int:
        """The bits of x, as an integer."""
        code = "<f" if self.bits == 32 else "<d"
        return int.from_bytes(struct.pack(code, x), "little")

    def literal(self, x: float) -> str:
        return f"0x{DOUBLE.encode(self.round(x)):016X}"

    def pieces(self, x: Fraction, count: int) -> list[float]:
        """Numbers of this format with the sum x, to `count` times its precision."""
        out = []
        for _ in range(count):
            out.append(self.round(x))
            x -= Fraction(out[-1])
        return out


DOUBLE = Format("double", "f64", 64, 52, 1023)
FLOAT = Format("float", "f32", 32, 23, 127)
FORMATS = {f.name: f for f in (DOUBLE, FLOAT)}

Number = Union["Value", float, int]


@dataclass
class Body:
    """The straight-line body of one scalar function."""

    format: Format
    lines: list[str] = field(default_factory=list)
    declarations: set[str] = field(default_factory=set)
    guards: list[Guard] = field(default_factory=list)

    def emit(self, type: str, text: str) -> Value:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return Value(self, type, name)

    def intrinsic(self, name: str, *args: Value) -> Value:
        type, symbol = self.format.name, f"@llvm.{name}.{self.format.suffix}"
        types = ", ".join(a.type for a in args)
        self.declarations.add(f"declare {type} {symbol}({types})")
        return self.call(symbol, *args)

    def call(self, symbol: str, *args: Value, attributes: str = "") -> Value:
        operands = ", ".join(f"{a.type} {a.text}" for a in args)
        type = self.format.name
        text = f"call {type} {symbol}({operands}) {attributes}"
        return self.emit(type, text.rstrip())


@dataclass(frozen=True, eq=False)
class Value:
    """An SSA value or a literal; numbers become literals of their partner's type."""

    body: Body
    type: str
    text: str

    @property
    def format(self) -> Format:
        return self.body.format

    @property
    def is_real(self) -> bool:
        return self.type == self.format.name

    def lift(self, x: Number) -> Value:
        if isinstance(x, Value):
            return x
        text = self.format.literal(x) if self.is_real else str(int(x))
        return Value(self.body, self.type, text)

    def binary(
        self, real: str, integer: str, other: Number, swap: bool = False
    ) -> Value:
        x, y = self, self.lift(other)
        x, y = (y, x) if swap else (x, y)
        op = real if self.is_real else integer
        return self.body.emit(self.type, f"{op} {self.type} {x.text}, {y.text}")

    def compare(self, predicate: str, other: Number) -> Value:
        y = self.lift(other)
        text = f"fcmp {predicate} {self.type} {self.text}, {y.text}"
        return self.body.emit("i1", text)

    def __add__(self, y: Number) -> Value:
        return self.binary("fadd", "add", y)

    def __radd__(self, y: Number) -> Value:
        return self.binary("fadd", "add", y)

    def __sub__(self, y: Number) -> Value:
        return self.binary("fsub", "sub", y)

    def __rsub__(self, y: Number) -> Value:
        return self.binary("fsub", "sub", y, swap=True)

    def __mul__(self, y: Number) -> Value:
        return self.binary("fmul", "mul", y)

    def __rmul__(self, y: Number) -> Value:
        return self.binary("fmul", "mul", y)

    def __truediv__(self, y: Number) -> Value:
        return self.binary("fdiv", "sdiv", y)

    def __rtruediv__(self, y: Number) -> Value:
        return self.binary("fdiv", "sdiv", y, swap=True)

    def __and__(self, y: Number) -> Value:
        return self.binary("", "and", y)

    def __or__(self, y: Number) -> Value:
        return self.binary("", "or", y)

    def __xor__(self, y: Number) -> Value:
        return self.binary("", "xor", y)

    def __lshift__(self, y: int) -> Value:
        return self.binary("", "shl", y)

    def __rshift__(self, y: int) -> Value:
        """Logical: AVX2 has no arithmetic right shift of 64-bit integers."""
        return self.binary("", "lshr", y)

    def __neg__(self) -> Value:
        return self.body.emit(self.type, f"fneg {self.type} {self.text}")

    def __abs__(self) -> Value:
        return self.body.intrinsic("fabs", self)

    def __lt__(self, y: Number) -> Value:
        return self.compare("olt", y)

    def __gt__(self, y: Number) -> Value:
        return self.compare("ogt", y)

    def equals(self, y: Number) -> Value:
        return self.compare("oeq", y)

    def is_nonzero(self) -> Value:
        return self.body.emit("i1", f"icmp ne {self.type} {self.text}, 0")

    def as_bits(self) -> Value:
        to = self.format.integer
        return self.body.emit(to, f"bitcast {self.type} {self.text} to {to}")

    def as_real(self) -> Value:
        to = self.format.name
        return self.body.emit(to, f"bitcast {self.type} {self.text} to {to}")

    def with_sign_of(self, other: Value) -> Value:
        return self.body.intrinsic("copysign", self, other)

    def clamp(self, low: float | None, high: float | None) -> Value:
        """Into [low, high]; NaN stays NaN."""
        x = self
        if low is not None:
            x = select(x < low, low, x)
        if high is not None:
            x = select(x > high, high, x)
        return x


def fma(x: Number, y: Number, z: Number) -> Value:
    """x * y + z, rounded once."""
    some = next(v for v in (x, y, z) if isinstance(v, Value))
    return some.body.intrinsic("fma", some.lift(x), some.lift(y), some.lift(z))


def select(condition: Value, x: Number, y: Number) -> Value:
    some = next(v for v in (x, y) if isinstance(v, Value))
    a, b = some.lift(x), some.lift(y)
    text = f"select i1 {condition.text}, {a.type} {a.text}, {b.type} {b.text}"
    return some.body.emit(some.type, text)


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Sum of c[k] x**k by two interleaved Horner chains, for half the latency."""
    if len(coefficients) < 5:
        return horner(x, coefficients)
    square = x * x
    return fma(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


def horner(x: Value, coefficients: tuple[float, ...]) -> Value:
    out = x.lift(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = fma(out, x, c)
    return out
