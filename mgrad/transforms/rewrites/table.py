"""The table of local rules for `simplify`, by primitive and by family."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mgrad.expr import Expr, literal, make
from mgrad.primitive import REGISTRY, Primitive

LocalRule = Callable[[Expr], Expr | None]


class Rule(NamedTuple):
    """A named rewriting: `apply(node)` is the simpler node, or None."""

    name: str
    apply: LocalRule


_BY_PRIMITIVE: dict[str, list[Rule]] = {}
_BY_FAMILY: dict[type[Primitive], list[Rule]] = {}
_found: dict[Primitive, tuple[Rule, ...]] = {}


def rule(*targets: str | type[Primitive]) -> Callable[[LocalRule], LocalRule]:
    """Enter a rule for primitives of these names or families."""

    def enter(function: LocalRule) -> LocalRule:
        entry = Rule(function.__name__.strip("_"), function)
        for target in targets:
            if isinstance(target, str):
                _BY_PRIMITIVE.setdefault(target, []).append(entry)
            else:
                _BY_FAMILY.setdefault(target, []).append(entry)
        _found.clear()
        return function

    return enter


def rules_for(primitive: Primitive) -> tuple[Rule, ...]:
    """The rules that a node of this primitive may match, in order."""
    rules = _found.get(primitive)
    if rules is None:
        listed = list(_BY_PRIMITIVE.get(primitive.name, ()))
        for family, entries in _BY_FAMILY.items():
            if isinstance(primitive, family):
                listed.extend(entries)
        rules = _found[primitive] = tuple(listed)
    return rules


def rules() -> list[Rule]:
    """Every rule, for listings and tests."""
    tables: Iterable[list[Rule]] = (*_BY_PRIMITIVE.values(), *_BY_FAMILY.values())
    return list(dict.fromkeys(entry for entries in tables for entry in entries))


# --- what rules ask about nodes -------------------------------------------------------


def op(name: str, *args: Expr) -> Expr:
    """A node without parameters."""
    return make(REGISTRY[name], args)


def is_op(node: Expr, name: str) -> bool:
    """Whether a node is of the primitive of this name."""
    return bool(node.primitive.name == name)


def uniform(node: Expr) -> Expr | None:
    """The scalar that a node repeats, if it does."""
    if node.shape == ():
        return node
    if is_op(node, "broadcast_to") and node.args[0].shape == ():
        return node.args[0]
    return None


def number(node: Expr) -> Any:
    """The constant that every element of a node is, else None."""
    scalar = uniform(node)
    return None if scalar is None else literal(scalar)


def is_number(node: Expr, value: float) -> bool:
    """Whether every element is this constant."""
    found = number(node)
    return found is not None and bool(found == value)
