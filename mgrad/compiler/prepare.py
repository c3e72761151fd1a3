"""Graphs made ready for the scheduler: contractions in the form that suits them.

A contraction becomes a matrix product that BLAS takes with free transposes, or
(small, integer, or a matrix with a vector) a multiplication and a sum that fuse as
any others; a sum with a matrix product becomes accumulation into the other operand.
"""

from __future__ import annotations

from math import prod

from mgrad.compiler.accumulation import Accumulation, add_into_region, contract_into
from mgrad.compiler.builder import operation_of
from mgrad.compiler.matrices import Letters, as_matrices, letters_of
from mgrad.compiler.walk import is_leaf, storage
from mgrad.expr import Expr, Params, make, set_origin, transforming
from mgrad.graph import Graph, rebuild, substitute
from mgrad.primitive import (
    Assembly,
    Contraction,
    Elementwise,
    Reduction,
    broadcast_to,
)
from mgrad.primitives.contraction import contract
from mgrad.primitives.logic import copy
from mgrad.primitives.movement import permute, reshape_to
from mgrad.primitives.reduction import reduce_sum

UNROLLED = 16
"""A sum over at most this many products is unrolled in a kernel."""
SMALL = 65_536
"""So many multiplications are done in a kernel if the sum is unrolled."""


def prepare(graph: Graph) -> Graph:
    """The graph with contractions decided and every output in a buffer of its own."""
    uses = count_uses(graph)
    result: dict[Expr, Expr] = {node: node for node in graph.inputs}
    with transforming():
        for node in graph.nodes:
            if node in result:
                continue
            args = tuple(result[arg] for arg in node.args)
            set_origin(node.where)
            if isinstance(node.primitive, Contraction):
                x, y = args
                result[node] = contraction_form(x, y, node.params)
            else:
                merged = accumulated(node, args, uses)
                result[node] = rebuild(node, args) if merged is None else merged
        outputs = own_buffers(tuple(result[node] for node in graph.outputs))
    return own_bases(Graph(graph.inputs, outputs))


def own_bases(graph: Graph) -> Graph:
    """Copies of bases that something else uses too: rewriting can merge values."""
    uses = count_uses(graph)
    shared = [
        node
        for node in graph.nodes
        if isinstance(node.primitive, Accumulation) and uses[node.args[-1]] > 1
    ]
    if not shared:
        return graph
    replacement: dict[Expr, Expr] = {}
    for number, node in enumerate(shared):
        *operands, base = substitute(node.args, replacement)
        own = make(copy, (base,), ("base", number))
        replacement[node] = make(node.primitive, (*operands, own), node.params)
    return Graph(graph.inputs, substitute(graph.outputs, replacement))


def count_uses(graph: Graph) -> dict[Expr, int]:
    """How often each node is an operand or an output."""
    uses: dict[Expr, int] = {}
    for node in graph.nodes:
        for arg in node.args:
            uses[arg] = uses.get(arg, 0) + 1
    for node in graph.outputs:
        uses[node] = uses.get(node, 0) + 1
    return uses


def own_buffers(outputs: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Copies of outputs that are inputs, or that are returned already."""
    taken: set[Expr] = set()
    result = []
    for number, node in enumerate(outputs):
        owner = storage(node)
        if is_leaf(owner) or owner in taken:
            node = make(copy, (node,), (number,))
            owner = node
        taken.add(owner)
        result.append(node)
    return tuple(result)


# --- contractions -----------------------------------------------------------------


def contraction_form(x: Expr, y: Expr, params: Params) -> Expr:
    """The contraction as a product for BLAS, or as multiplication and sum."""
    letters = letters_of((x.shape, y.shape), params)
    if not suits_blas(x, letters):
        return multiply_and_sum(x, y, params, letters)
    if as_matrices(letters, params) is not None:
        return make(contract, (x, y), params)
    batch, m, n, k = letters.batch, letters.m, letters.n, letters.k
    product = make(
        contract,
        (
            reordered(x, params[0], batch + m + k),
            reordered(y, params[1], batch + k + n),
        ),
        (batch + m + k, batch + k + n, batch + m + n),
    )
    return reordered(product, batch + m + n, params[2])


def suits_blas(x: Expr, letters: Letters) -> bool:
    """Floating-point matrices large enough for BLAS to win over a fused loop."""
    if x.dtype.kind != "f":
        return False
    m, n, k, batch = (letters.size(g) for g in letters.groups)
    if min(m, n) <= 1 or k == 0:
        return False
    return k > UNROLLED or m * n * k * batch > SMALL


def multiply_and_sum(x: Expr, y: Expr, params: Params, letters: Letters) -> Expr:
    """reduce_sum(x * y) over loops in the order of the larger operand."""
    xs, ys, outs = params
    if letters.size(letters.k) <= UNROLLED:
        order = outs + letters.k
    else:
        first = xs if x.size >= y.size else ys
        order = first + "".join(c for c in outs + letters.k if c not in first)
    product = spread(x, xs, order, letters) * spread(y, ys, order, letters)
    axes = tuple(i for i, c in enumerate(order) if c in letters.k)
    total = make(reduce_sum, (product,), (axes,)) if axes else product
    kept = "".join(c for c in order if c not in letters.k)
    return reordered(total, kept, outs)


def spread(x: Expr, own: str, order: str, letters: Letters) -> Expr:
    """An operand with one axis for each letter of the loops."""
    present = "".join(c for c in order if c in own)
    aligned = reordered(x, own, present)
    shape = tuple(letters.extents[c] if c in own else 1 for c in order)
    return broadcast_to(
        reshape_to(aligned, shape), tuple(letters.extents[c] for c in order)
    )


def reordered(x: Expr, letters: str, order: str) -> Expr:
    """`x` with its axes in the order of other letters."""
    if letters == order:
        return x
    return make(permute, (x,), (tuple(letters.index(c) for c in order),))


# --- accumulation -----------------------------------------------------------------


def is_sum(node: Expr) -> bool:
    """Whether a node adds two operands, by its scalar form."""
    primitive = node.primitive
    if not isinstance(primitive, Elementwise) or len(node.args) != 2:
        return False
    return operation_of(primitive.scalar, *"xy") == "add"


def accumulated(
    node: Expr, args: tuple[Expr, ...], uses: dict[Expr, int]
) -> Expr | None:
    """base + contract(...) or base + pad(...), if nothing else uses the addend."""
    if not is_sum(node):
        return None
    for addend, old, base, other in (
        (args[1], node.args[1], args[0], node.args[0]),
        (args[0], node.args[0], args[1], node.args[1]),
    ):
        if uses[old] != 1 or not worth_accumulating(base, uses[other]):
            continue
        if isinstance(addend.primitive, Contraction):
            return make(contract_into, (*addend.args, base), addend.params)
        if isinstance(addend.primitive, Assembly) and len(addend.args) == 1:
            (part,) = addend.args
            (region,) = addend.primitive.regions([part.shape], *addend.params)
            return make(add_into_region, (part, base), tuple(region))
    return None


def worth_accumulating(base: Expr, uses: int) -> bool:
    """Another value in a buffer that only this addition uses: it can be taken."""
    owner = base.primitive
    produced = isinstance(owner, (Contraction, Accumulation, Reduction, Assembly))
    return produced and uses == 1 and prod(base.shape) > 1
