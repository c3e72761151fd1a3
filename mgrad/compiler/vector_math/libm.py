"""Functions that are calls of the C library, vectorised by glibc's libmvec where it is.

libmvec's vector results (at most 4 ulp by its documentation; 2.9 measured) may differ
in the last bits from libm's scalar ones, which serve the last few elements of a loop.
"""

from __future__ import annotations

import importlib
import platform

import llvmlite.binding as llvm

from .builder import Format

OPERANDS = dict.fromkeys(
    "acos acosh asin asinh atan atanh cbrt erfc lgamma tgamma".split(), 1
) | dict.fromkeys("atan2 fmod hypot pow".split(), 2)

# The letters of x86's vector function ABI, with the feature and vector bytes they need.
INSTRUCTION_SETS = {"b": ("sse2", 16), "d": ("avx2", 32), "e": ("avx512f", 64)}


def load() -> str:
    """Make the symbols known to LLVM; returns what cached object code depends on."""
    try:
        llvm.load_library_permanently("libm.so.6")
    except RuntimeError:  # not glibc: ask the linker, in a process of its own
        libm = importlib.import_module("ctypes.util").find_library("m")
        if libm is not None:
            llvm.load_library_permanently(libm)
    try:
        llvm.load_library_permanently("libmvec.so.1")
    except RuntimeError:
        return "libm"
    return "libmvec " + "-".join(platform.libc_ver())


LIBRARY = load()


def wrapper(
    name: str, format: Format, symbol: str, count: int
) -> tuple[str, set[str], list[str]]:
    """The definition of `symbol` as a call of libm, the declarations it needs, and the
    vector functions that must be kept alive for the vectoriser."""
    real = format.name
    target = target_name(name, format)
    operands = ", ".join(f"{real} {p}" for p in ("%x", "%y")[:count])
    vectors = vector_functions(target, format, count)
    mappings = ",".join(
        f"_ZGV_LLVM_N{lanes}{'v' * count}_{target}({vector})"
        for vector, lanes in vectors.items()
    )
    attribute = f' "vector-function-abi-variant"="{mappings}"' if vectors else ""
    text = f"""
define internal {real} @{symbol}({operands}) alwaysinline nounwind {{
  %out = call {real} @{target}({operands}) nounwind willreturn memory(none){attribute}
  ret {real} %out
}}"""
    declarations = {f"declare {real} @{target}({', '.join([real] * count)})"}
    for vector, lanes in vectors.items():
        types = ", ".join([f"<{lanes} x {real}>"] * count)
        declarations.add(f"declare <{lanes} x {real}> @{vector}({types})")
    return text, declarations, list(vectors)


def target_name(name: str, format: Format) -> str:
    return name if format.bits == 64 else name + "f"


def vector_functions(target: str, format: Format, operands: int) -> dict[str, int]:
    """libmvec's variants of a libm function for this machine, with their lanes."""
    features = llvm.get_host_cpu_features()
    found = {}
    for letter, (feature, size) in INSTRUCTION_SETS.items():
        lanes = size * 8 // format.bits
        vector = f"_ZGV{letter}N{lanes}{'v' * operands}_{target}"
        if features.get(feature) and llvm.address_of_symbol(vector) is not None:
            found[vector] = lanes
    return found
