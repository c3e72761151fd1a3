"""Programs: graphs compiled to lists of steps, which can be called, read, timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mgrad.compiler import steps as native
from mgrad.compiler.executor import Executable
from mgrad.compiler.loops import Function
from mgrad.compiler.plan import KernelStep, Plan, ProductStep
from mgrad.compiler.python_printer import python_source
from mgrad.expr import Expr
from mgrad.graph import Graph, short_type


@dataclass(frozen=True)
class Kernel:
    """A compiled function: its symbol, and its two printed forms."""

    name: str
    function: Function
    llvm: Callable[[], str]

    @property
    def source(self) -> str:
        """Readable Python."""
        return python_source(self.function, self.name)


@dataclass(frozen=True)
class StepProfile:
    """One step's measured time and estimated traffic and work."""

    text: str
    nanoseconds: int
    bytes: int
    operations: int


class Profile(tuple[StepProfile, ...]):
    """A measured run; prints as a table."""

    def __str__(self) -> str:
        rows = [
            f"{s.nanoseconds / 1e3:10.1f} us {s.bytes / 1e6:10.3f} MB "
            f"{s.operations / 1e6:10.3f} Mop  {s.text}"
            for s in self
        ]
        total = sum(s.nanoseconds for s in self)
        return "\n".join([*rows, f"{total / 1e3:10.1f} us in {len(self)} steps"])


class Program:
    """A compiled graph: `program(leaves)` gives the outputs as a tuple.

    A call returns NotImplemented if a leaf has not the dtype, shape and layout that
    the program was compiled for. `print(program)` lists its steps.
    """

    def __init__(
        self, plan: Plan, kernels: Sequence[Kernel | None], executable: Executable
    ) -> None:
        self.plan = plan
        self.graph: Graph = plan.graph
        self.executable = executable
        self.call = executable.entry
        self._kernel_of_step = tuple(kernels)
        self.kernels = tuple(dict.fromkeys(k for k in kernels if k is not None))

    def __call__(self, leaves: tuple[Any, ...]) -> Any:
        return self.call(leaves)

    def profile(self, leaves: tuple[Any, ...], repeats: int = 5) -> Profile:
        """The median time of each step over a few runs, with bytes and operations."""
        times = np.median(
            [self.executable.profile(leaves) for _ in range(repeats)], axis=0
        )
        rows = zip(
            self._step_texts(),
            times,
            self.plan.steps,
            self.executable.steps,
            strict=True,
        )
        return Profile(
            StepProfile(text, int(t), self._bytes(step), operations(planned, step))
            for text, t, planned, step in rows
        )

    def _bytes(self, step: native.Step) -> int:
        slots = set(native.slots_of(step))
        return sum(native.nbytes(self.executable.slots[s]) for s in slots)

    def slot_name(self, number: int) -> str:
        """in0, out0, captured0, t0 (a temporary)."""
        slot = self.executable.slots[number]
        if isinstance(slot, native.Input):
            return f"in{slot.index}"
        if isinstance(slot, native.Output):
            return f"out{slot.index}"
        if isinstance(slot, native.Constant):
            return f"captured{number}"
        return f"t{number}"

    def _step_texts(self) -> list[str]:
        steps = zip(
            self.plan.steps, self.executable.steps, self._kernel_of_step, strict=True
        )
        return [self._step_text(*step) for step in steps]

    def _step_text(self, planned: Any, step: Any, kernel: Kernel | None) -> str:
        if isinstance(planned, KernelStep) and kernel is not None:
            arguments = [
                self.slot_name(slot) + ("*" if buffer.written else "")
                for slot, buffer in zip(
                    step.buffers, kernel.function.buffers, strict=True
                )
            ]
            what = f"{kernel.name}({', '.join(arguments)}) over {step.size}"
            return f"launch {what}: {summary(planned.roots)}"
        if isinstance(planned, ProductStep):
            a, b, c = (self.slot_name(s) for s in (step.a, step.b, step.c))
            a += ".T" if step.trans_a else ""
            b += ".T" if step.trans_b else ""
            sign = "+=" if step.beta else "="
            sizes = f"{step.m}x{step.k}x{step.n}"
            batch = f" batch {step.batch}" if step.batch != 1 else ""
            return f"gemm   {c} {sign} {a} @ {b} ({step.dtype} {sizes}{batch})"
        names = [self.slot_name(s) for s in (*step.inputs, *step.outputs)]
        return f"host   {step.name}({', '.join(names)})"

    def __str__(self) -> str:
        inputs = ", ".join(
            f"in{i}:{short_type(n)}" for i, n in enumerate(self.graph.inputs)
        )
        outputs = ", ".join(
            f"out{i}:{short_type(n)}" for i, n in enumerate(self.graph.outputs)
        )
        texts = self._step_texts()
        steps = [f"  {i:2d} {text}" for i, text in enumerate(texts)]
        arena = f"  arena {self.executable.arena_bytes} bytes"
        return "\n".join([f"program({inputs}) -> ({outputs})", *steps, arena])


def summary(roots: tuple[Expr, ...]) -> str:
    """What a kernel computes, briefly."""
    names = [f"{r.primitive.name} {short_type(r)}" for r in roots]
    return ", ".join(names[:4]) + (
        f", ... ({len(names)} values)" if len(names) > 4 else ""
    )


def operations(planned: Any, step: Any) -> int:
    """Arithmetic work of a step, in operations."""
    if isinstance(planned, KernelStep):
        return planned.lowered.operations
    if isinstance(planned, ProductStep):
        return 2 * int(step.m) * int(step.n) * int(step.k) * int(step.batch)
    return sum(prod(arg.shape) for arg in planned.node.args)
