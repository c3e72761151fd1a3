"""The compiler's front door: graph -> plan -> kernels -> program."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache

from mgrad.compiler import codegen, plan
from mgrad.compiler import steps as native
from mgrad.compiler.executor import Executable
from mgrad.compiler.llvm_printer import llvm_ir
from mgrad.compiler.loops import Function
from mgrad.compiler.plan import KernelStep, Plan, ProductStep
from mgrad.compiler.prepare import prepare
from mgrad.compiler.program import Kernel, Program
from mgrad.graph import Graph

PLACEHOLDER = "mgrad_kernel"


def build(graph: Graph) -> Program:
    """Compile a (simplified) graph."""
    result = plan.plan(prepare(graph))
    kernels = [
        kernel_of(step.lowered.function) if isinstance(step, KernelStep) else None
        for step in result.steps
    ]
    modules = {k.name: k.llvm() for k in kernels if k is not None}
    addresses = codegen.load(modules)
    steps = [
        native_step(step, kernel, addresses, result)
        for step, kernel in zip(result.steps, kernels, strict=True)
    ]
    executable = Executable(steps, result.slots, result.arena_bytes)
    return Program(result, kernels, executable)


@lru_cache(maxsize=4096)
def kernel_of(function: Function) -> Kernel:
    """The kernel of a function; its name is the hash of its code."""
    text = llvm_ir(function, PLACEHOLDER)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    name = f"kernel_{digest}"
    return Kernel(name, function, lambda: text.replace(PLACEHOLDER, name))


def as_word(number: int | float) -> int:
    """An extent as it is, a floating-point parameter as the bits of a double."""
    if isinstance(number, int):
        return number
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return int(bits)


def native_step(
    step: plan.PlannedStep,
    kernel: Kernel | None,
    addresses: dict[str, int],
    result: Plan,
) -> native.Step:
    """A planned step with addresses and slot numbers."""
    if isinstance(step, KernelStep):
        assert kernel is not None
        lowered = step.lowered
        return native.Launch(
            kernel.name,
            addresses[kernel.name],
            tuple(result.slot(key) for key in lowered.buffers),
            tuple(map(as_word, lowered.extents)),
            lowered.size,
            lowered.grain,
        )
    if isinstance(step, ProductStep):
        return plan.product(step, result)
    return plan.host(step, result)
