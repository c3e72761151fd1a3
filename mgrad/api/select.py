"""Which arguments to differentiate: argnums and argnames, resolved and checked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mgrad import tree
from mgrad.api.names import (
    function_name,
    function_place,
    leaf_paths,
    parameter_defaults,
    parameter_names,
)
from mgrad.errors import ArgumentError, DTypeError, ShapeError
from mgrad.expr import Expr, describe, format_source
from mgrad.primitive import is_differentiable

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Selection(NamedTuple):
    """The arguments that a transform differentiates, as the user named them."""

    argnums: int | tuple[int, ...] | None
    argnames: str | tuple[str, ...] | None

    def trees(self, function: Any, args: Args, kwargs: Kwargs, what: str) -> Any:
        """The chosen arguments: one, a tuple, a dictionary, or tuple and dictionary."""
        by_number = _by_number(self.argnums, function, args, kwargs, what)
        if self.argnames is None:
            return by_number
        by_name = _by_name(self.argnames, function, args, kwargs, what)
        return by_name if self.argnums is None else (by_number, by_name)

    def roots(self, function: Any, args: Args, kwargs: Kwargs) -> Any:
        """Names in the form of `trees`, for messages."""
        names = parameter_names(function)

        def name(index: int) -> str:
            index = index % len(args) if args and index < 0 else index
            return names[index] if index < len(names) else f"args[{index}]"

        def shown(chosen: Any, show: Callable[[Any], str]) -> Any:
            if isinstance(chosen, tuple):
                return tuple(show(c) for c in chosen)
            return show(chosen)

        numbers = [] if self.argnums is None else [shown(self.argnums, name)]
        named = [] if self.argnames is None else [shown(self.argnames, str)]
        return [*numbers, *named]


def selection(argnums: Any, argnames: Any, what: str) -> Selection:
    """Argnums and argnames checked and in canonical form."""
    if argnums is None and argnames is None:
        argnums = 0
    return Selection(_numbers(argnums, what), _names(argnames, what))


def _numbers(argnums: Any, what: str) -> int | tuple[int, ...] | None:
    if argnums is None:
        return None
    try:
        if isinstance(argnums, (tuple, list)):
            numbers = tuple(_index(n) for n in argnums)
        else:
            return _index(argnums)
    except TypeError:
        raise ArgumentError(
            f"{what}: argnums must be an integer or a tuple of integers, got "
            f"{repr(argnums)[:60]}. To choose by name use argnames; the arguments of f "
            f"follow in a second pair of brackets: mg.{what}(f)(x, y)."
        ) from None
    _no_duplicates(numbers, "argnums", what)
    return numbers


def _index(number: Any) -> int:
    if isinstance(number, bool):
        raise TypeError
    return operator.index(number)


def _names(argnames: Any, what: str) -> str | tuple[str, ...] | None:
    if argnames is None or isinstance(argnames, str):
        return argnames
    if isinstance(argnames, (tuple, list)) and all(
        isinstance(n, str) for n in argnames
    ):
        _no_duplicates(argnames, "argnames", what)
        return tuple(argnames)
    raise ArgumentError(
        f"{what}: argnames must be a string or a tuple of strings, got {argnames!r}."
    )


def _no_duplicates(chosen: Iterable[Any], name: str, what: str) -> None:
    listed = list(chosen)
    if len(set(listed)) != len(listed):
        raise ArgumentError(
            f"{what}: {name} names an argument twice: {tuple(listed)!r}. "
            "Give each once."
        )


def _by_number(
    argnums: int | tuple[int, ...] | None,
    function: Any,
    args: Args,
    kwargs: Kwargs,
    what: str,
) -> Any:
    if argnums is None:
        return None
    if isinstance(argnums, tuple):
        counted = (n % len(args) if args and n < 0 else n for n in argnums)
        _no_duplicates(counted, "argnums", what)
        return tuple(_positional(n, function, args, kwargs, what) for n in argnums)
    return _positional(argnums, function, args, kwargs, what)


def _positional(
    number: int, function: Any, args: Args, kwargs: Kwargs, what: str
) -> Any:
    if -len(args) <= number < len(args):
        return args[number]
    names = parameter_names(function)
    if 0 <= number < len(names) and names[number] in kwargs:
        return kwargs[names[number]]
    choice = f"Choose from 0 to {len(args) - 1}" if args else "Pass it by position"
    raise ArgumentError(
        f"{what}: argnums has {number}, but {function_name(function)} was called with "
        f"{len(args)} positional argument{'' if len(args) == 1 else 's'}. {choice}, or "
        "use argnames for keyword arguments."
    )


def _by_name(
    argnames: str | tuple[str, ...],
    function: Any,
    args: Args,
    kwargs: Kwargs,
    what: str,
) -> Any:
    names = parameter_names(function)

    def find(name: str) -> Any:
        if name in kwargs:
            return kwargs[name]
        if name in names and names.index(name) < len(args):
            return args[names.index(name)]
        known = ", ".join(dict.fromkeys([*names[: len(args)], *kwargs])) or "none"
        missing = name in parameter_defaults(function)
        advice = f" Pass it, {name}=..., also where its default is meant."
        raise ArgumentError(
            f"{what}: argnames has {name!r}, but {function_name(function)} was not "
            f"called with such an argument. Its arguments here: {known}."
            f"{advice if missing else ''}"
        )

    if isinstance(argnames, str):
        return find(argnames)
    return {name: find(name) for name in argnames}


def differentiable_leaves(
    trees: Any, roots: list[Any], what: str
) -> tuple[list[Expr], tree.TreeDef]:
    """The leaves to differentiate; an integer, boolean or static one is an error."""
    leaves, structure = tree.flatten(trees)
    for index, leaf in enumerate(leaves):
        if not (isinstance(leaf, Expr) and is_differentiable(leaf)):
            raise _not_differentiable(leaf, _path(trees, roots, index), what)
    return leaves, structure


def _path(trees: Any, roots: list[Any], index: int) -> str:
    """The path of a leaf under the names of its arguments."""
    paths: list[str] = []
    parts = [trees] if len(roots) == 1 else list(trees)
    for part, root in zip(parts, roots, strict=True):
        if isinstance(root, str):
            paths.extend(leaf_paths(part, root))
        else:
            values = [part[k] for k in sorted(part)] if isinstance(part, dict) else part
            names = sorted(root) if isinstance(part, dict) else root
            for value, name in zip(values, names, strict=True):
                paths.extend(leaf_paths(value, name))
    return paths[index]


def _not_differentiable(leaf: Any, path: str, what: str) -> DTypeError:
    if isinstance(leaf, Expr):
        kind = f"a Python {_PYTHON[leaf.dtype.kind]}" if leaf.weak else describe(leaf)
        advice = "Convert it first, for example with x.astype(np.float64) or float(x)"
    else:
        kind = f"the {type(leaf).__name__} {leaf!r:.40}"
        advice = "Take it out of the differentiated argument"
    return DTypeError(
        f"{what}: {path} is {kind}, and only floating-point numbers have derivatives. "
        f"{advice}, or choose other arguments with argnums or argnames."
    )


_PYTHON = {"b": "bool", "i": "int", "f": "float"}


def scalar_loss(value: Any, what: str, function: Any) -> Expr:
    """The value to differentiate: a float with one element."""
    place = function_place(function)
    leaves, structure = tree.flatten(value)
    if value is None:
        raise ShapeError(
            f"{what}: {place} must return one scalar; got None. Is its return "
            "statement missing?"
        )
    if structure != tree.structure(0):
        count = structure.num_leaves
        raise ShapeError(
            f"{what}: {place} must return one scalar; got a {type(value).__name__} "
            f"with {count} {'leaf' if count == 1 else 'leaves'}. Return the loss "
            "alone, use has_aux=True for a pair (loss, auxiliary values), or "
            "mg.jacobian for several outputs."
        )
    loss = output(leaves[0], what)
    if loss.size != 1:
        raise ShapeError(
            f"{what}: the loss must be a scalar; got {describe(loss)} from "
            f"{format_source(loss.where)}, returned by {place}. Reduce it first, for "
            "example with np.mean, or use mg.jacobian or mg.elementwise_grad."
        )
    if not is_differentiable(loss):
        raise DTypeError(
            f"{what}: the loss must be a floating-point number; got {describe(loss)} "
            f"from {format_source(loss.where)}. Integers and booleans have no "
            "derivative; convert with .astype(np.float64) if that is meant."
        )
    return loss


def output(value: Any, what: str) -> Expr:
    """A result as a node."""
    from mgrad.api.leaves import output_node

    return (
        value
        if isinstance(value, Expr)
        else output_node(value, lambda: f"{what}: the result")
    )


def split_aux(result: Any, has_aux: bool, what: str) -> tuple[Any, Any]:
    """The value and the auxiliary values that a function with has_aux returns."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise ArgumentError(
            f"{what}: with has_aux=True the function must return a pair (value, "
            f"auxiliary values); got {_shown_result(result)}. Return the loss first."
        )
    return result


def _shown_result(result: Any) -> str:
    if isinstance(result, Expr):
        return f"{describe(result)} alone, from {format_source(result.where)}"
    if isinstance(result, tuple):
        return f"a tuple of {len(result)}"
    return type(result).__name__
