"""Which values get a buffer, and which of them are computed by one kernel.

A stored value is a *root*; everything else is computed inside the loops that need
it. Roots with the same loops are grouped into one kernel when they share what they
read or feed each other at the same element, and when no path leads out of the group
and back. Row-wise chains (softmax, normalisation) become phases over one row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from mgrad.compiler.accumulation import RegionSum
from mgrad.compiler.affine import Affine, flat, strides
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

RECOMPUTE_COST = 12
"""An expression this dear is stored when two kernels need it."""
EXPANSION_COST = 3
"""An expression this dear is stored before it is repeated along an axis."""
LOAD_COST = 4
"""Reading an array, in units of an addition."""
MAXIMUM_DEPTH = 800
"""A chain of more work than this is cut, so that compile time stays linear."""
MAXIMUM_WORK = 3000
"""A kernel stops growing at this much work for an element."""
BLOCKED_SIZE = 8192
"""A full reduction of more elements than this is split into blocks."""
MAXIMUM_PHASES = 6


@dataclass(eq=False)
class Group:
    """Roots computed together: loops over `domain`, of which `kept` are the outer.

    `kept` is None while no root reduces. `phase` says in which pass over the
    reduced axes each root is computed; roots in `rows` have one value for each row.
    """

    number: int
    domain: Shape
    roots: list[Expr] = field(default_factory=list)
    kept: tuple[int, ...] | None = None
    phase: dict[Expr, int] = field(default_factory=dict)
    rows: set[Expr] = field(default_factory=set)
    reads: set[Expr] = field(default_factory=set)
    ancestors: int = 0
    work: int = 0
    loops: bool = True

    @property
    def column_wise(self) -> bool:
        """Whether the contiguous axis is kept: accumulators are then in memory."""
        return bool(self.kept) and self.kept[-1] == len(self.domain) - 1  # type: ignore[index]

    @property
    def blocked(self) -> bool:
        """Whether it reduces so much to so little that it is split into blocks."""
        return self.kept == () and prod(self.domain) > BLOCKED_SIZE

    @property
    def single_phase(self) -> bool:
        """Whether elements may not depend on the group's own reductions."""
        return self.column_wise or self.blocked


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


def analyse(root: Expr, stored: set[Expr]) -> Analysis:
    """Walk from a root to the buffers that it reads."""
    domain, stack = start(root)
    seen = set(stack)
    accesses: list[Access] = []
    inlined: dict[Expr, None] = {root: None}
    while stack:
        node, position = stack.pop()
        owner = storage(node)
        if is_leaf(owner) or owner in stored:
            accesses.append((owner, place(node, position)))
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


# --- which values are stored ----------------------------------------------------


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


def shared_values(groups: Iterable[Group], stored: Stored) -> set[Expr]:
    """Dear values that several kernels would compute again."""
    users: dict[Expr, set[int]] = {}
    consumers: dict[Expr, list[Expr]] = {}
    order: dict[Expr, None] = {}
    for group in groups:
        for root in group.roots:
            for node in _inlined(root, group, stored):
                users.setdefault(node, set()).add(group.number)
                order[node] = None
                for arg in node.args:
                    consumers.setdefault(arg, []).append(node)
            if not group.loops:
                for arg in root.args:
                    consumers.setdefault(arg, []).append(root)
    cost: dict[Expr, int] = {}

    def price(node: Expr) -> int:
        if node not in order or node in stored:
            return LOAD_COST if node.size > 1 else 0
        return cost.get(node, 0)

    for node in sorted(order, key=_topological(order)):
        cost[node] = min(own_cost(node) + sum(price(a) for a in node.args), 1 << 20)
    dear = {
        node
        for node in order
        if node not in stored
        and len(users[node]) > 1
        and cost[node] >= RECOMPUTE_COST
        and node.size > 1
        and isinstance(node.primitive, Elementwise)
    }
    return {
        node
        for node in dear
        if any(c not in dear or users[c] != users[node] for c in consumers[node])
    }


def _inlined(root: Expr, group: Group, stored: Stored) -> Iterable[Expr]:
    """What a kernel computes for a root; an assembly computes each of its parts."""
    if group.loops:
        return stored.analysis(root).inlined
    owners = ((arg, storage(arg)) for arg in root.args)
    parts = [arg for arg, o in owners if not is_leaf(o) and o not in stored]
    return dict.fromkeys(n for part in parts for n in stored.analysis(part).inlined)


def _topological(nodes: Iterable[Expr]):  # type: ignore[no-untyped-def]
    """A sort key: operands before the nodes that use them."""
    rank: dict[Expr, int] = {}
    known = set(nodes)
    for node in known:
        stack = [(node, False)]
        while stack:
            current, ready = stack.pop()
            if ready:
                rank[current] = len(rank)
            elif current in known and current not in rank:
                stack.append((current, True))
                stack.extend((arg, False) for arg in current.args)
    return rank.__getitem__


# --- which roots share a kernel -------------------------------------------------


class Grouping:
    """Roots assigned to groups one by one, in topological order."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.groups: list[Group] = []
        self.home: dict[Expr, Group] = {}
        self.readers: dict[tuple[Expr, Shape], Group] = {}

    def add(self, root: Expr) -> None:
        """Put a root into the best group, or into one of its own."""
        loops = (
            is_constant(root)
            or is_fusible(root)
            or isinstance(root.primitive, Reduction)
        )
        if not loops:
            self._alone(root)
            return
        analysis = self.stored.analysis(root)
        reads = {node for node, _ in analysis.accesses}
        ancestors = self._ancestors(reads)
        for group in self._candidates(root, analysis):
            if not self._reaches(reads, group) and join(group, root, analysis):
                self._settle(group, root, reads, ancestors, analysis.work)
                return
        group = self._new(analysis.domain)
        joined = join(group, root, analysis)
        assert joined, root
        self._settle(group, root, reads, ancestors, analysis.work)

    def _new(self, domain: Shape) -> Group:
        group = Group(len(self.groups), domain)
        self.groups.append(group)
        return group

    def _alone(self, root: Expr) -> None:
        group = self._new(squeezed(root.shape))
        group.loops = False
        reads: set[Expr] = set()
        for arg in root.args:
            owner = storage(arg)
            known = is_leaf(owner) or owner in self.stored
            reads |= (
                {owner} if known else {n for n, _ in analyse(arg, self.stored).accesses}
            )
        group.roots.append(root)
        self.home[root] = group
        group.reads |= reads
        group.ancestors = self._ancestors(reads)

    def _ancestors(self, reads: set[Expr]) -> int:
        found = 0
        for node in reads:
            home = self.home.get(node)
            if home is not None:
                found |= home.ancestors | 1 << home.number
        return found

    def _reaches(self, reads: set[Expr], group: Group) -> bool:
        """Whether a value read from another group depends on this one."""
        homes = (self.home.get(node) for node in reads)
        return any(
            home is not None
            and home is not group
            and home.ancestors >> group.number & 1
            for home in homes
        )

    def _candidates(self, root: Expr, analysis: Analysis) -> list[Group]:
        found: dict[int, Group] = {}
        for node, _ in analysis.accesses:
            home = self.home.get(node)
            if home is not None and home.loops:
                found[home.number] = home
            reader = self.readers.get((node, analysis.domain))
            if reader is not None and node.size > 1:
                found[reader.number] = reader
        return [found[number] for number in sorted(found, reverse=True)]

    def _settle(
        self, group: Group, root: Expr, reads: set[Expr], ancestors: int, work: int
    ) -> None:
        group.work += work
        group.reads |= reads
        self.home[root] = group
        for node in reads:
            self.readers[node, group.domain] = group
        own = 1 << group.number
        group.ancestors |= ancestors & ~own
        for other in self.groups:
            if other.ancestors & own:
                other.ancestors |= group.ancestors


def join(group: Group, root: Expr, analysis: Analysis) -> bool:
    """Add the root to the group if its loops and its reads fit; say whether."""
    reduces = isinstance(root.primitive, Reduction)
    if group.work and group.work + analysis.work > MAXIMUM_WORK:
        return False
    if analysis.domain == group.domain:
        return _join_elements(group, root, analysis, reduces)
    kept = group.kept
    if kept is None or reduces:
        return False
    if analysis.domain != tuple(group.domain[d] for d in kept):
        return False
    return _join_row(group, root, analysis)


def _join_elements(group: Group, root: Expr, analysis: Analysis, reduces: bool) -> bool:
    kept = kept_axes(root) if reduces else group.kept
    if reduces and group.kept is not None and kept != group.kept:
        return False
    proposed = Group(-1, group.domain, kept=kept)
    phase = 0
    members = set(group.roots)
    for node, position in analysis.accesses:
        if node not in members:
            continue
        if node in group.rows:
            if position != row_place(group, node):
                return False
            phase = max(phase, group.phase[node] + 1)
        elif position == flat(identity(node.shape), node.shape):
            phase = max(phase, group.phase[node])
        else:
            return False
    if phase and (proposed.single_phase or phase >= MAXIMUM_PHASES):
        return False
    if proposed.single_phase and any(group.phase[r] for r in group.roots):
        return False
    group.kept = kept
    group.roots.append(root)
    group.phase[root] = phase
    if reduces:
        group.rows.add(root)
    return True


def _join_row(group: Group, root: Expr, analysis: Analysis) -> bool:
    members = set(group.roots)
    used = [(n, p) for n, p in analysis.accesses if n in members]
    if not used or (not group.kept and group.kept != ()):
        return False
    for node, position in used:
        if node not in group.rows or position != flat(identity(node.shape), node.shape):
            return False
    group.roots.append(root)
    group.phase[root] = max(group.phase[node] for node, _ in used)
    group.rows.add(root)
    return True


def kept_axes(root: Expr) -> tuple[int, ...]:
    """The loops that a reduction keeps, by their number in the squeezed domain."""
    (operand,), (axes,) = root.args, root.params
    wide = [axis for axis, extent in enumerate(operand.shape) if extent != 1]
    return tuple(i for i, axis in enumerate(wide) if axis not in axes)


def row_place(group: Group, node: Expr) -> Affine:
    """Where a row's value lies, in terms of the group's loop variables."""
    assert group.kept is not None
    shape = squeezed(node.shape)
    terms = tuple(sorted(zip(group.kept, strides(shape), strict=True)))
    return Affine(0, terms)


def schedule(graph: Graph) -> list[Group]:
    """The groups of a graph in an order in which they can run."""
    stored = Stored(required(graph))
    add_expansions(graph, stored)
    for _ in range(3):
        groups = assign(graph, stored)
        extra = shared_values(groups, stored)
        if not extra:
            break
        stored.extend(extra)
    else:
        groups = assign(graph, stored)
    return sorted_groups(groups)


def assign(graph: Graph, stored: Stored) -> list[Group]:
    """Every root of the graph in a group."""
    grouping = Grouping(stored)
    for node in graph.nodes:
        if node in stored:
            grouping.add(node)
    return grouping.groups


def sorted_groups(groups: list[Group]) -> list[Group]:
    """Groups after those that they read from; otherwise in the order of creation."""
    order: list[Group] = []
    done: set[int] = set()
    for group in groups:
        stack = [group]
        while stack:
            current = stack[-1]
            waiting = (
                [
                    g
                    for g in groups
                    if current.ancestors >> g.number & 1 and g.number not in done
                ]
                if current.number not in done
                else []
            )
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if current.number not in done:
                done.add(current.number)
                order.append(current)
    return order
