"""Which roots share a kernel: same loops, shared reads, no path out and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from mgrad.compiler.affine import Affine, flat, strides
from mgrad.compiler.storing import Analysis, Stored
from mgrad.compiler.walk import (
    identity,
    is_constant,
    is_fusible,
    squeezed,
    storage,
)
from mgrad.expr import Expr, Shape
from mgrad.primitive import Reduction

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
    def reduced(self) -> tuple[int, ...]:
        """The loops that its reductions combine over."""
        return tuple(d for d in range(len(self.domain)) if d not in (self.kept or ()))

    def loops_over(self, variables: Iterable[int]) -> list[tuple[int, int]]:
        """Each variable with its extent."""
        return [(d, self.domain[d]) for d in variables]

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
            if self.stored.has_buffer(arg):
                reads.add(storage(arg))
            else:
                reads |= {node for node, _ in self.stored.analysis(arg).accesses}
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
