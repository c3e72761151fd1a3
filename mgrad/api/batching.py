"""vmap: a function of one example as a function of many."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from mgrad import tree
from mgrad.api.memo import memoised
from mgrad.api.names import function_name, leaf_paths, parameter_names
from mgrad.api.select import Args, Kwargs, output
from mgrad.api.staged import Staged
from mgrad.errors import ArgumentError, AxisError, ShapeError
from mgrad.expr import Expr, describe, make, new_input, trace
from mgrad.graph import Graph, substitute
from mgrad.primitive import REGISTRY, batch_broadcast
from mgrad.transforms.vmap import batch

Axis = int | None


def vmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
) -> Staged:
    """f for one example, applied to all examples along an axis at once.

    `in_axes` is an axis for all positional arguments, or a tuple with an axis, None
    (not batched) or a pytree of them for each; keyword arguments are batched along
    axis 0. `out_axes` is an axis or a pytree of axes for the result. `axis_size` is
    needed only where nothing is batched.

    Raises ArgumentError for axes that do not fit the arguments, ShapeError where batch
    sizes differ, AxisError for an axis out of bounds.

    >>> import mgrad as mg
    >>> import numpy as np
    >>> mg.vmap(lambda x, y: x @ y, in_axes=(0, None))(np.eye(2), np.array([3.0, 4.0]))
    array([3., 4.])
    """
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    _check_in_axes(in_axes)

    options = (_Axes(in_axes), _Axes(out_axes), axis_size)
    return memoised(f, options, _vmap)


def _vmap(
    f: Callable[..., Any], in_axes: _Axes, out_axes: _Axes, axis_size: int | None
) -> Staged:
    def rule(args: Args, kwargs: Kwargs) -> Any:
        return _batched_call(f, args, kwargs, in_axes.tree, out_axes.tree, axis_size)

    return Staged(f, rule, "vmap({})")


class _Axes:
    """A pytree of axes that is equal to another by value."""

    def __init__(self, axes: Any) -> None:
        self.tree = axes
        leaves, structure = optree.tree_flatten(
            axes, none_is_leaf=True, namespace=tree.NAMESPACE
        )
        self._key = (tuple(leaves), structure)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Axes) and self._key == other._key


def _check_in_axes(in_axes: Any) -> None:
    if not (in_axes is None or isinstance(in_axes, (int, tuple))):
        raise ArgumentError(
            f"vmap: in_axes must be an integer, None, or a tuple with one entry for "
            f"each positional argument; got {in_axes!r}."
        )


def _batched_call(
    f: Callable[..., Any],
    args: Args,
    kwargs: Kwargs,
    in_axes: Any,
    out_axes: Any,
    axis_size: int | None,
) -> Any:
    """Trace f on one example, batch its graph, and put the actual arguments there."""
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"vmap: in_axes has {len(in_axes)} entries, but {function_name(f)} was "
            f"called with {len(args)} positional arguments. Give one for each, None "
            "for an argument that is not batched."
        )
    if axis_size is not None and not isinstance(axis_size, (int, np.integer)):
        raise ArgumentError(f"vmap: axis_size must be an integer, got {axis_size!r}.")
    leaves, structure = tree.flatten((args, kwargs))
    axes = [
        *_broadcast_axes(in_axes, args, "in_axes"),
        *_broadcast_axes(0, kwargs, "in_axes"),
    ]
    names = _names(f, args, kwargs)
    axes = [_checked_axis(a, x, n) for a, x, n in zip(axes, leaves, names, strict=True)]
    size = _batch_size(leaves, axes, names, axis_size)
    with trace(f"vmap({function_name(f)})") as current:
        examples = [_example(x, a, current) for x, a in zip(leaves, axes, strict=True)]
        one_args, one_kwargs = tree.unflatten(structure, examples)
        result = f(*one_args, **one_kwargs)
        found, out_structure = tree.flatten(result)
        outputs = tuple(output(y, "vmap") for y in found)
    pairs = list(zip(leaves, examples, axes, strict=True))
    traced = [(x, e, a) for x, e, a in pairs if isinstance(x, Expr)]
    graph = Graph(tuple(e for _, e, _ in traced), outputs)
    inputs, batched, flags = batch(graph, [a is not None for _, _, a in traced], size)
    actual = [x if a is None else moved(x, a, 0) for x, _, a in traced]
    values = substitute(batched, dict(zip(inputs, actual, strict=True)))
    targets = _broadcast_axes(out_axes, result, "out_axes")
    paths = leaf_paths(result, "result")
    placed = [
        _placed(y, flag, axis, size, path)
        for y, flag, axis, path in zip(values, flags, targets, paths, strict=True)
    ]
    return tree.unflatten(out_structure, placed)


def _broadcast_axes(axes: Any, value: Any, what: str) -> list[Axis]:
    """One axis for each leaf, from a tree of axes that is a prefix of the value's."""
    try:
        spread = optree.broadcast_prefix(
            axes,
            value,
            is_leaf=lambda x: x is None,
            namespace=tree.NAMESPACE,
        )
    except ValueError as error:
        raise ArgumentError(
            f"vmap: {what}={axes!r} does not fit the structure of the "
            f"{'arguments' if what == 'in_axes' else 'result'}: {error}"
        ) from None
    for axis in spread:
        if not (axis is None or (isinstance(axis, int) and not isinstance(axis, bool))):
            raise ArgumentError(
                f"vmap: {what} holds axes (integers) and None; got {axis!r}."
            )
    return list(spread)


def _names(f: Any, args: Args, kwargs: Kwargs) -> list[str]:
    names = parameter_names(f)
    paths: list[str] = []
    for i, arg in enumerate(args):
        paths += leaf_paths(arg, names[i] if i < len(names) else f"args[{i}]")
    for name in sorted(kwargs):
        paths += leaf_paths(kwargs[name], name)
    return paths


def _checked_axis(axis: Axis, leaf: Any, name: str) -> Axis:
    """The axis counted from 0; static leaves and None have none."""
    if axis is None or not isinstance(leaf, Expr):
        return None
    if not -leaf.ndim <= axis < leaf.ndim:
        raise AxisError(
            f"vmap: in_axes asks for axis {axis} of {name}, which is {describe(leaf)}. "
            "Give None for arguments that are not batched."
        )
    return operator.index(axis) % leaf.ndim


def _batch_size(
    leaves: list[Any], axes: list[Axis], names: list[str], axis_size: int | None
) -> int:
    sizes: dict[str, int] = {
        name: leaf.shape[axis]
        for leaf, axis, name in zip(leaves, axes, names, strict=True)
        if axis is not None
    }
    if axis_size is not None:
        sizes["axis_size"] = axis_size
    if not sizes:
        raise ArgumentError(
            "vmap: no argument is batched, so the batch size is unknown. Give "
            "axis_size or an axis in in_axes."
        )
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise ShapeError(
            f"vmap: the batched arguments have different sizes along their batch axis "
            f"({shown}). Give None in in_axes for those that are not batched."
        )
    return next(iter(sizes.values()))


def _example(leaf: Any, axis: Axis, owner: Any) -> Any:
    """A fresh input for one example."""
    if not isinstance(leaf, Expr):
        return leaf
    if axis is None:
        return new_input(leaf.dtype, leaf.shape, owner, leaf.weak, leaf.where)
    shape = (*leaf.shape[:axis], *leaf.shape[axis + 1 :])
    return new_input(leaf.dtype, shape, owner, where=leaf.where)


def moved(x: Expr, source: int, target: int) -> Expr:
    """`x` with one axis moved to another place."""
    order = [axis for axis in range(x.ndim) if axis != source]
    order.insert(target, source)
    if order == sorted(order):
        return x
    return make(REGISTRY["transpose"], (x,), (tuple(order),))


def _placed(y: Expr, batched: bool, axis: Axis, size: int, path: str) -> Expr:
    """The output with its batch axis where it was asked for."""
    if axis is None:
        if batched:
            raise ArgumentError(
                f"vmap: out_axes is None for {path}, but it depends on batched "
                "arguments. Give an axis, or reduce over the batch outside vmap."
            )
        return y
    full = y if batched else batch_broadcast(y, size)
    if not -full.ndim <= axis < full.ndim:
        raise AxisError(
            f"vmap: out_axes asks for axis {axis} of {path}, which is "
            f"{describe(full)} with its batch axis."
        )
    return moved(full, 0, axis % full.ndim)
