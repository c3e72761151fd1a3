"""A rarely taken branch that the loop vectoriser keeps out of the loop's control flow.

A branch inside a function that has been inlined into a loop would be flattened, and its
slow side run for every element. So the branch lives in a function of its own with
vector variants: the vectoriser takes one through the `vector-function-abi-variant`
attribute of the call (LLVM Language Reference, "Call Site Attributes"), and the variant
branches once for all of its lanes. Without a fitting variant the scalar one is called
lane by lane.
"""

from __future__ import annotations

from dataclasses import dataclass

import llvmlite.binding as llvm

from .builder import Format, Value
from .libm import target_name

VECTOR_BITS = 512 if llvm.get_host_cpu_features().get("avx512f") else 256
PURE = "nounwind willreturn memory(none)"


@dataclass(frozen=True)
class Guard:
    """`fast` where |x| <= limit, and libm's function of x elsewhere."""

    name: str
    format: Format
    limit: float

    @property
    def symbol(self) -> str:
        return f"mgrad.{self.name}.{self.format.name}.guard"

    @property
    def libm(self) -> str:
        return target_name(self.name, self.format)

    @property
    def lanes(self) -> list[int]:
        return [n for n in (2, 4, 8, 16) if n * self.format.bits <= VECTOR_BITS]

    @property
    def variants(self) -> list[str]:
        return [self.variant(n) for n in self.lanes]

    def variant(self, lanes: int) -> str:
        return f"{self.symbol}.{lanes}"

    @property
    def attributes(self) -> str:
        """Of the call: where the vectoriser finds the variants."""
        names = (
            f"_ZGV_LLVM_N{n}vv_{self.symbol}({self.variant(n)})" for n in self.lanes
        )
        return f'"vector-function-abi-variant"="{",".join(names)}"'

    @property
    def declarations(self) -> set[str]:
        real, suffix = self.format.name, self.format.suffix
        vectors = {
            f"declare <{n} x {real}> @llvm.fabs.v{n}{suffix}(<{n} x {real}>)"
            for n in self.lanes
        }
        scalar = f"declare {real} @llvm.fabs.{suffix}({real})"
        return vectors | {scalar, f"declare {real} @{self.libm}({real})"}

    def definitions(self) -> str:
        return "\n".join([self.scalar(), *map(self.vector, self.lanes)])

    def scalar(self) -> str:
        t = self.format.name
        return f"""
define internal {t} @{self.symbol}({t} %x, {t} %fast) noinline {PURE} {{
  %size = call {t} @llvm.fabs.{self.format.suffix}({t} %x)
  %huge = fcmp ogt {t} %size, {self.format.literal(self.limit)}
  br i1 %huge, label %slow, label %done
slow:
  %exact = call {t} @{self.libm}({t} %x) {PURE}
  br label %done
done:
  %out = phi {t} [ %fast, %0 ], [ %exact, %slow ]
  ret {t} %out
}}"""

    def vector(self, lanes: int) -> str:
        t = self.format.name
        v = f"<{lanes} x {t}>"
        slow = []
        for i in range(lanes):
            so_far = "poison" if i == 0 else f"%e{i - 1}"
            slow += [
                f"  %x{i} = extractelement {v} %x, i32 {i}",
                f"  %y{i} = call {t} @{self.libm}({t} %x{i}) {PURE}",
                f"  %e{i} = insertelement {v} {so_far}, {t} %y{i}, i32 {i}",
            ]
        return f"""
define internal {v} @{self.variant(lanes)}({v} %x, {v} %fast) {PURE} {{
  %size = call {v} @llvm.fabs.v{lanes}{self.format.suffix}({v} %x)
  %huge = fcmp ogt {v} %size, splat ({t} {self.format.literal(self.limit)})
  %mask = bitcast <{lanes} x i1> %huge to i{lanes}
  %any = icmp ne i{lanes} %mask, 0
  br i1 %any, label %slow, label %done
slow:
{chr(10).join(slow)}
  %mixed = select <{lanes} x i1> %huge, {v} %e{lanes - 1}, {v} %fast
  br label %done
done:
  %out = phi {v} [ %fast, %0 ], [ %mixed, %slow ]
  ret {v} %out
}}"""


def guarded(name: str, x: Value, fast: Value, limit: float) -> Value:
    """`fast`, but libm's result of `name` where |x| > limit."""
    guard = Guard(name, x.format, limit)
    x.body.guards.append(guard)
    return x.body.call(f"@{guard.symbol}", x, fast, attributes=guard.attributes)
