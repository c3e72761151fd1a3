"""Steps and buffers: which kernel runs when, and which memory each value lives in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from mgrad.compiler import steps as native
from mgrad.compiler.accumulation import Accumulation, ProductSum, RegionSum
from mgrad.compiler.finish import Lowered
from mgrad.compiler.groups import Group
from mgrad.compiler.lower import BufferKey, Partial, Request, lower
from mgrad.compiler.matrices import as_matrices, letters_of
from mgrad.compiler.regions import lower_assembly, lower_region_sum, lower_scatter
from mgrad.compiler.schedule import schedule
from mgrad.compiler.walk import is_leaf, storage
from mgrad.expr import CAPTURED, Expr
from mgrad.graph import Graph
from mgrad.primitive import Assembly, Contraction, Reduction, Scatter

ALIGNMENT = 64


@dataclass(frozen=True)
class KernelStep:
    """A run of a kernel over some buffers; computes `roots`."""

    lowered: Lowered
    roots: tuple[Expr, ...]


@dataclass(frozen=True)
class ProductStep:
    """A matrix product by BLAS into the node's buffer."""

    node: Expr

    @property
    def operands(self) -> tuple[Expr, Expr]:
        """The buffers of the two matrices."""
        x, y, *_ = self.node.args
        return storage(x), storage(y)


@dataclass(frozen=True)
class HostStep:
    """A primitive that runs in Python."""

    node: Expr


PlannedStep = KernelStep | ProductStep | HostStep


@dataclass
class Plan:
    """The steps in order, and a slot for every buffer."""

    graph: Graph
    steps: list[PlannedStep] = field(default_factory=list)
    slots: list[native.Slot] = field(default_factory=list)
    number: dict[BufferKey, int] = field(default_factory=dict)
    alias: dict[Expr, Expr] = field(default_factory=dict)
    arena_bytes: int = 0

    def slot(self, key: BufferKey) -> int:
        """The slot of a buffer."""
        while isinstance(key, Expr) and key in self.alias:
            key = self.alias[key]
        return self.number[key]


def plan(graph: Graph) -> Plan:
    """The program of a prepared graph, before any code is generated."""
    groups = schedule(graph)
    result = Plan(graph)
    stored = {root for group in groups for root in group.roots}
    written = needed_in_memory(graph, groups)
    for group in groups:
        result.steps += group_steps(group, stored, written)
    for root in stored:
        if isinstance(root.primitive, Accumulation):
            result.alias[storage(root.args[-1])] = root
    assign_slots(result)
    return result


def group_steps(
    group: Group, stored: set[Expr], written: set[Expr]
) -> list[PlannedStep]:
    """The steps that compute a group."""
    if group.loops:
        if not prod(group.domain) and not group.rows:
            return []
        request = Request(group, written, stored)
        return [KernelStep(k, tuple(group.roots)) for k in lower(request)]
    (node,) = group.roots
    if isinstance(node.primitive, Assembly):
        return [KernelStep(k, (node,)) for k in lower_assembly(node, stored)]
    if isinstance(node.primitive, Scatter):
        return [KernelStep(k, (node,)) for k in lower_scatter(node, stored)]
    if isinstance(node.primitive, RegionSum):
        return [KernelStep(k, (node,)) for k in lower_region_sum(node, stored)]
    if isinstance(node.primitive, (Contraction, ProductSum)):
        return [ProductStep(node)]
    return [HostStep(node)]


def needed_in_memory(graph: Graph, groups: Sequence[Group]) -> set[Expr]:
    """Roots that something reads from their buffer."""
    needed = {storage(node) for node in graph.outputs}
    for group in groups:
        own = set(group.roots)
        needed |= group.reads - own
        if not group.loops:
            needed |= own
            continue
        if group.column_wise:
            needed |= {r for r in own if isinstance(r.primitive, Reduction)}
        if len(set(group.phase.values())) > 1:
            needed |= (own & group.reads) - group.rows
    return needed


# --- memory -----------------------------------------------------------------------


def assign_slots(result: Plan) -> None:
    """Inputs, captured arrays and outputs by themselves; the rest in one arena."""

    def add(key: BufferKey, slot: native.Slot) -> None:
        result.number[key] = len(result.slots)
        result.slots.append(slot)

    graph = result.graph
    for index, node in enumerate(graph.inputs):
        add(node, native.Input(index, node.dtype, node.shape))
    for node in graph.nodes:
        if node.primitive is CAPTURED:
            add(node, native.Constant(node.params[0].array))
    for index, node in enumerate(graph.outputs):
        owner = storage(node)
        owner = result.alias.get(owner, owner)
        add(owner, native.Output(index, node.dtype, node.shape))
    for key, offset in place_temporaries(result).items():
        shape, dtype = key_type(key)
        add(key, native.Temporary(offset, dtype, shape))


def key_type(key: BufferKey) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a buffer."""
    if isinstance(key, Partial):
        return (key.blocks,), key.root.dtype
    return key.shape, key.dtype


def touched(step: PlannedStep) -> tuple[BufferKey, ...]:
    """The buffers that a step reads or writes."""
    if isinstance(step, KernelStep):
        return step.lowered.buffers
    if isinstance(step, ProductStep):
        return (*step.operands, step.node)
    return (*(storage(arg) for arg in step.node.args), step.node)


def lifetimes(result: Plan) -> dict[BufferKey, tuple[int, int]]:
    """First and last step of every temporary."""
    span: dict[BufferKey, tuple[int, int]] = {}
    for time, step in enumerate(result.steps):
        for key in touched(step):
            while isinstance(key, Expr) and key in result.alias:
                key = result.alias[key]
            if key in result.number or (isinstance(key, Expr) and is_leaf(key)):
                continue
            first, _ = span.get(key, (time, time))
            span[key] = (first, time)
    return span


def place_temporaries(result: Plan) -> dict[BufferKey, int]:
    """Offsets in the arena; buffers whose lives do not overlap share memory."""
    span = lifetimes(result)
    live: list[tuple[int, int, int]] = []  # offset, end, last step
    offsets: dict[BufferKey, int] = {}
    for key in sorted(span, key=lambda k: span[k][0]):
        first, last = span[key]
        shape, dtype = key_type(key)
        size = max(prod(shape), 1) * dtype.itemsize
        size = -(-size // ALIGNMENT) * ALIGNMENT
        live = sorted(block for block in live if block[2] >= first)
        offset = first_gap(live, size)
        offsets[key] = offset
        live.append((offset, offset + size, last))
        result.arena_bytes = max(result.arena_bytes, offset + size)
    return offsets


def first_gap(live: list[tuple[int, int, int]], size: int) -> int:
    """The lowest offset where `size` bytes are free."""
    offset = 0
    for start, end, _ in live:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


# --- native steps -----------------------------------------------------------------


def product(step: ProductStep, result: Plan) -> native.Gemm:
    """The BLAS call of a contraction."""
    node = step.node
    x, y, *_ = node.args
    letters = letters_of((x.shape, y.shape), node.params)
    views = as_matrices(letters, node.params)
    assert views is not None, node
    a, b = step.operands
    m, n = letters.size(letters.m), letters.size(letters.n)
    if views.swapped:
        a, b, m, n = b, a, n, m
    return native.Gemm(
        dtype=node.dtype.name,
        m=m, n=n, k=letters.size(letters.k),
        a=result.slot(a), lda=views.x.leading, trans_a=views.x.transposed,
        b=result.slot(b), ldb=views.y.leading, trans_b=views.y.transposed,
        c=result.slot(node), ldc=views.out.leading,
        alpha=1.0, beta=1.0 if isinstance(node.primitive, Accumulation) else 0.0,
        batch=letters.size(letters.batch),
        stride_a=views.x.batch_stride, stride_b=views.y.batch_stride,
        stride_c=views.out.batch_stride,
    )  # fmt: skip


def host(step: HostStep, result: Plan) -> native.Host:
    """A call of the primitive's NumPy meaning."""
    node = step.node

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        shaped = [a.reshape(x.shape) for a, x in zip(arrays, node.args, strict=True)]
        return [np.asarray(node.primitive.evaluate(node.params, *shaped), node.dtype)]

    inputs = tuple(result.slot(storage(arg)) for arg in node.args)
    return native.Host(node.primitive.name, call, inputs, (result.slot(node),))
