"""Elementary functions as scalar LLVM IR that the loop vectoriser makes into SIMD code.

Each is a branch-free `alwaysinline` function of IEEE operations without fast-math
flags, so NaN, infinities and signed zeros come out right. What is not in the table of
formulas is a call of libm. Object code with these calls needs this package imported
before it is loaded again, and the same `LIBRARY` and processor features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import error_function, exponential, libm, logarithm, trigonometric
from .builder import FORMATS, Body, Value
from .libm import LIBRARY as LIBRARY

FORMULAS: dict[str, Callable[[Value], Value]] = {
    f.__name__: f
    for f in (
        exponential.exp, exponential.exp2, exponential.expm1,
        exponential.sinh, exponential.cosh, exponential.tanh, exponential.sigmoid,
        logarithm.log, logarithm.log2, logarithm.log10, logarithm.log1p,
        trigonometric.sin, trigonometric.cos, trigonometric.tan,
        error_function.erf,
    )
}  # fmt: skip

OPERANDS: dict[str, int] = dict.fromkeys(FORMULAS, 1) | libm.OPERANDS


NOT_IN_LIBM = frozenset({"sigmoid"})


def names() -> frozenset[str]:
    """The functions there are; `OPERANDS` has their numbers of operands."""
    return frozenset(OPERANDS)


def symbol(name: str, type: str) -> str:
    """The LLVM name of a function of `double` or `float` operands."""
    return f"mgrad.{name}.{type}"


def definitions(
    used: Iterable[tuple[str, str]], called: bool = False
) -> tuple[str, frozenset[str]]:
    """The IR of the (name, type) pairs, each once, and the `declare` lines it needs.

    `called` prefers calls of libm (and libmvec) to formulas, which are inlined: much
    less to compile where there is no loop to vectorise, or a great many functions.
    Where vector variants must stay alive until the loop vectoriser refers to them, the
    text defines `@llvm.compiler.used`; a module has only one. Call this once for all
    that is linked together: a duplicate is renamed, and loses its vector variants.
    """
    texts: list[str] = []
    declarations: set[str] = set()
    kept: list[str] = []
    for name, type in sorted(set(used)):
        if name in libm.OPERANDS or (called and name not in NOT_IN_LIBM):
            text, needed, vectors = libm.wrapper(
                name, FORMATS[type], symbol(name, type), OPERANDS[name]
            )
            kept += vectors
        else:
            body = Body(FORMATS[type])
            text, needed = formula(name, body), body.declarations
            for guard in body.guards:
                text += guard.definitions()
                needed |= guard.declarations
                kept += guard.variants
        texts.append(text)
        declarations |= needed
    if kept:
        texts.append(keep_alive(kept))
    return "\n".join(texts), frozenset(declarations)


def formula(name: str, body: Body) -> str:
    type = body.format.name
    result = FORMULAS[name](Value(body, type, "%x"))
    lines = "\n".join(body.lines)
    return f"""
define internal {type} @{symbol(name, type)}({type} %x) alwaysinline nounwind {{
{lines}
  ret {type} {result.text}
}}"""


def keep_alive(symbols: list[str]) -> str:
    pointers = ", ".join(f"ptr @{s}" for s in symbols)
    return (
        f"\n@llvm.compiler.used = appending global [{len(symbols)} x ptr] "
        f'[{pointers}], section "llvm.metadata"'
    )
