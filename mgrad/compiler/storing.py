"""Which values get a buffer, and what is read when all others are inlined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mgrad.compiler.accumulation import RegionSum
from mgrad.compiler.affine import Affine, flat
from mgrad.compiler.walk import (
    Access,
    Position,
    identity,
    is_constant,
    is_fusible,
    is_leaf,
    operands,
    squeezed,
    storage,
    stored_operands,
)
from mgrad.expr import Expr, Shape
from mgrad.graph import Graph
from mgrad.primitive import Assembly, Elementwise, Gather, Movement, Reduction, Scatter

EXPANSION_COST = 3
"""An expression this dear is stored before it is repeated along an axis."""
LOAD_COST = 4
"""Reading an array, in units of an addition."""
MAXIMUM_DEPTH = 800
"""A chain of more work than this is cut, so that compile time stays linear."""


@dataclass
class Analysis:
    """What one root reads when everything that is not stored is inlined."""

    domain: Shape
    accesses: list[Access]
    inlined: list[Expr]

    @property
    def work(self) -> int:
        """The work for one element."""
        return sum(map(own_cost, self.inlined))


def start(root: Expr) -> tuple[Shape, list[tuple[Expr, Position]]]:
    """The loops of a root and the values that it needs in them."""
    if isinstance(root.primitive, Reduction):
        (operand,) = root.args
        return squeezed(operand.shape), [(operand, identity(operand.shape))]
    position = identity(root.shape)
    return squeezed(root.shape), inner(root, position)


def inner(node: Expr, position: Position) -> list[tuple[Expr, Position]]:
    """The operands of a node, and the buffers that it reads at computed places."""
    needed = operands(node, position)
    for stored in stored_operands(node):
        if isinstance(node.primitive, Movement):
            place = flat(position, node.shape)
            needed.append((stored, (place,)))
        else:
            needed.append((stored, (None,)))
    return needed


class Stored(set[Expr]):
    """The values that get a buffer, with what each of them reads (found once)."""

    def __init__(self, values: Iterable[Expr]) -> None:
        super().__init__(values)
        self._analyses: dict[Expr, Analysis] = {}

    def has_buffer(self, node: Expr) -> bool:
        """Whether the node can be read: it is stored, or an array that exists."""
        owner = storage(node)
        return is_leaf(owner) or owner in self

    def analysis(self, root: Expr) -> Analysis:
        """What a root reads when everything that is not stored is inlined."""
        if root not in self._analyses:
            self._analyses[root] = analyse(root, self)
        return self._analyses[root]

    def extend(self, values: set[Expr]) -> None:
        """Store more values; what inlined them is analysed again."""
        self |= values
        for root, found in list(self._analyses.items()):
            if not values.isdisjoint(found.inlined):
                del self._analyses[root]


def analyse(root: Expr, stored: Stored) -> Analysis:
    """Walk from a root to the buffers that it reads."""
    domain, stack = start(root)
    seen = set(stack)
    accesses: list[Access] = []
    inlined: dict[Expr, None] = {root: None}
    while stack:
        node, position = stack.pop()
        if stored.has_buffer(node):
            accesses.append((storage(node), place(node, position)))
            continue
        inlined[node] = None
        for need in inner(node, position):
            if need not in seen:
                seen.add(need)
                stack.append(need)
    return Analysis(domain, accesses, list(inlined))


ANYWHERE = Affine(-1)
"""The place of a read whose position is computed."""


def place(node: Expr, position: Position) -> Affine:
    """The flat position of a read."""
    if len(position) == 1 and position[0] is None:
        return ANYWHERE
    if len(position) == 1 and len(node.shape) != 1:
        return position[0]  # type: ignore[no-any-return]
    return flat(position, node.shape)


def required(graph: Graph) -> set[Expr]:
    """The values that need a buffer whatever the cost."""
    stored: set[Expr] = {storage(node) for node in graph.outputs}
    for node in graph.nodes:
        if is_leaf(node) or is_constant(node):
            continue
        if is_fusible(node):
            stored.update(storage(arg) for arg in stored_operands(node))
            continue
        stored.add(node)
        if isinstance(node.primitive, (Reduction, Assembly, Scatter)):
            continue
        inlined = isinstance(node.primitive, RegionSum)
        stored.update(storage(arg) for arg in node.args[inlined:])
    return {node for node in stored if not is_leaf(node)}


def add_expansions(graph: Graph, stored: set[Expr]) -> None:
    """Store dear values before they are repeated, and cut chains that are too long."""
    cost: dict[Expr, int] = {}
    depth: dict[Expr, int] = {}
    for node in graph.nodes:
        if is_leaf(node) or is_constant(node) or not is_fusible(node):
            cost[node] = LOAD_COST if node.size > 1 else 0
            depth[node] = 0
            continue
        if isinstance(node.primitive, Movement):
            (arg,) = node.args
            source = storage(arg)
            grows = node.size > arg.size > 1
            if grows and cost[arg] > EXPANSION_COST and worth_storing(source):
                stored.add(source)
                cost[arg], depth[arg] = LOAD_COST, 0
        own = own_cost(node)
        cost[node] = min(own + sum(cost[a] for a in node.args), 1 << 20)
        depth[node] = own + max((depth[a] for a in node.args), default=0)
        if depth[node] > MAXIMUM_DEPTH and isinstance(node.primitive, Elementwise):
            stored.add(node)
        if storage(node) in stored:
            cost[node], depth[node] = LOAD_COST if node.size > 1 else 0, 0


def own_cost(node: Expr) -> int:
    """The work of one operation for one element."""
    if isinstance(node.primitive, Gather):
        return LOAD_COST
    return node.primitive.cost if isinstance(node.primitive, Elementwise) else 0


def worth_storing(node: Expr) -> bool:
    """A value that takes computing: not an array that exists, nor a constant."""
    return isinstance(node.primitive, (Elementwise, Gather))
