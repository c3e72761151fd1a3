"""Which values get a buffer, and which of them are computed by one kernel.

A stored value is a *root*; everything else is computed inside the loops that need
it. Roots with the same loops are grouped into one kernel when they share what they
read or feed each other at the same element, and when no path leads out of the group
and back. Row-wise chains (softmax, normalisation) become phases over one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mgrad.compiler.groups import Group, Grouping
from mgrad.compiler.storing import (
    LOAD_COST,
    Stored,
    add_expansions,
    own_cost,
    required,
)
from mgrad.expr import Expr
from mgrad.graph import Graph
from mgrad.primitive import Elementwise

RECOMPUTE_COST = 12
"""An expression this dear is stored when two kernels need it."""


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
    done = 0
    stack = list(range(len(groups)))[::-1]
    while stack:
        number = stack.pop()
        if done >> number & 1:
            continue
        waiting = groups[number].ancestors & ~done
        if waiting:
            stack += [number, *numbers(waiting)]
        else:
            done |= 1 << number
            order.append(groups[number])
    return order


def numbers(mask: int) -> Iterator[int]:
    """The positions of the bits that are set, from the lowest."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


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
    parts = [arg for arg in root.args if not stored.has_buffer(arg)]
    return dict.fromkeys(n for part in parts for n in stored.analysis(part).inlined)


def _topological(nodes: Iterable[Expr]) -> Callable[[Expr], int]:
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
