"""The wrapper that every transform returns: trace, transform, compile, cache, run.

Called with arrays it runs the compiled program for their signature; called inside
another trace it puts its graph there. A transform only gives it a rule: what to do
with the symbolic arguments.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, NamedTuple

import numpy as np

from mgrad import tree
from mgrad.api.bounds import Check, raise_failed, with_bounds
from mgrad.api.explain import explained
from mgrad.api.guards import Guard, Watch
from mgrad.api.history import History, Signature
from mgrad.api.layout import flattener, rebuilder
from mgrad.api.leaves import (
    LeafType,
    ShapeDtype,
    Static,
    leaf_types,
    normalise,
    output_node,
)
from mgrad.api.mode import mode
from mgrad.api.names import (
    argument_paths,
    function_name,
    function_place,
    leaf_paths,
    parameter_names,
)
from mgrad.compiler.build import build
from mgrad.errors import ArgumentError, CompileError, DepthError, RandomnessWarning
from mgrad.expr import Expr, argument_source, leaked, new_input, trace, user_line
from mgrad.graph import Graph
from mgrad.primitive import as_expr
from mgrad.transforms.evaluate import evaluate
from mgrad.transforms.simplify import simplify

Rule = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Traced(NamedTuple):
    """A run of the rule on symbolic arguments: graph and structure of the results."""

    graph: Graph
    structure: tree.TreeDef


class Interpreted:
    """A program that runs its graph through NumPy, called as a compiled one is."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types = [(x.dtype, x.shape) for x in graph.inputs]

    def __call__(self, leaves: tuple[Any, ...]) -> Any:
        if len(leaves) != len(self.types):
            return NotImplemented
        for leaf, x in zip(leaves, self.graph.inputs, strict=True):
            if not _fits(leaf, x):
                return NotImplemented
        return evaluate(self.graph, leaves)

    def __str__(self) -> str:
        return str(self.graph)


_WEAK_TYPES = {"f": float, "i": int, "b": bool}


def _fits(leaf: Any, x: Expr) -> bool:
    if type(leaf) is np.ndarray:
        return not x.weak and leaf.dtype == x.dtype and leaf.shape == x.shape
    return x.weak and type(leaf) is _WEAK_TYPES[x.dtype.kind]


class Specialisation:
    """The program for one signature, and how its arguments and results are laid out."""

    def __init__(
        self,
        signature: Signature,
        traced: Traced,
        guard: Guard | None,
        started: float,
    ) -> None:
        self.interpreting = signature.interpreting
        self.flat = signature.structure == _flat_arguments(len(signature.types))
        self.flatten = flattener(signature.structure)
        self.plain = all(t.dtype is not None for t in signature.types)
        self.guard = guard.check if guard else None
        self.changed = guard.changed if guard else list
        traced_at = time.perf_counter()
        self.graph = simplify(traced.graph)
        with_checks, self.checks = with_bounds(self.graph)
        self.program = _program(with_checks, signature.interpreting)
        self.call = getattr(self.program, "call", self.program)  # the native entry
        self.trace_time = traced_at - started
        self.build_time = time.perf_counter() - traced_at
        self.finish = _finisher(traced.structure, self.checks)


def _program(graph: Graph, interpreting: bool) -> Any:
    """The one place that knows the compiler."""
    if interpreting:
        return Interpreted(graph)
    return build(graph)


@functools.cache
def _flat_arguments(count: int) -> tree.TreeDef:
    return tree.structure(((0,) * count, {}))


def _finisher(
    structure: tree.TreeDef, checks: tuple[Check, ...]
) -> Callable[[tuple[Any, ...]], Any]:
    """From the program's tuple of outputs to the function's result."""
    count = structure.num_leaves
    if structure == tree.structure(0):
        rebuild: Callable[[Any], Any] = _first
    elif structure == tree.structure((0,) * count):
        rebuild = _same
    else:
        rebuild = rebuilder(structure)
    if not checks:
        return rebuild

    def checked(outputs: tuple[Any, ...]) -> Any:
        flags = outputs[count:]
        if not all(flags):
            raise_failed(checks, flags)
        return rebuild(outputs[:count])

    return checked


def _first(outputs: tuple[Any, ...]) -> Any:
    return outputs[0]


def _same(outputs: tuple[Any, ...]) -> Any:
    return outputs


class Staged:
    """A function that is traced once for each signature and then runs compiled.

    Besides being called: `graph(*args)` is the expression graph, `program(*args)` the
    compiled program (it prints), `explain()` says why each program was made, and
    `cache_size()` how many there are.
    """

    __mgrad_traced__ = True

    def __init__(
        self,
        function: Callable[..., Any],
        rule: Rule | None = None,
        name: str = "{}",
        static_argnums: tuple[int, ...] = (),
        static_argnames: tuple[str, ...] = (),
        parameters: tuple[str, ...] | None = None,
    ) -> None:
        if not callable(function):
            raise ArgumentError(
                f"expected a function to transform, got {type(function).__name__}. "
                "Transforms take the function itself: mg.grad(f)(x), not mg.grad(f(x))."
            )
        if hasattr(function, "__name__"):
            functools.update_wrapper(self, function, updated=())
        else:
            self.__wrapped__ = function
        self._function = function
        self._rule = rule
        self._name = name.format(function_name(function))
        self._parameters = parameters
        self._static_argnums = static_argnums
        self._static_argnames = static_argnames
        self._cache: dict[Signature, Specialisation] = {}
        self._history = History()
        self._last: Specialisation | None = None

    def __repr__(self) -> str:
        return f"<mgrad function {self._name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    # --- calling ------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        last = self._last
        if last is not None and last.interpreting is mode.interpreting:
            guard = last.guard
            if guard is None or guard():
                if last.flat:
                    leaves = NotImplemented if kwargs else args
                else:
                    leaves = last.flatten(args, kwargs)
                if leaves is not NotImplemented:
                    outputs = last.call(leaves)
                    if outputs is not NotImplemented:
                        return last.finish(outputs)
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The general way: by signature, tracing if need be."""
        leaves, structure = self._flat(args, kwargs)
        if self._rule is None and any(isinstance(leaf, Expr) for leaf in leaves):
            return self._function(*args, **kwargs)
        types = self._types(leaves, args, kwargs)
        signature = Signature(structure, types, mode.interpreting)
        if any(isinstance(leaf, ShapeDtype) for leaf in leaves):
            raise ArgumentError(
                f"{self._name} was called with a ShapeDtype, which has no elements to "
                "compute with. Use mg.eval_shape(f, ...) or mg.make_graph(f)(...)."
            )
        if any(isinstance(leaf, Expr) for leaf in leaves):
            return _inline(self._trace(signature), leaves, types)
        found = self._cache.get(signature)
        if found is None or not (found.guard is None or found.guard()):
            found, traced = self._specialise(signature)
            if found is None:
                return _inline(traced, leaves, types)
        if found.plain:
            self._last = found
        return found.finish(self._run(found, leaves, types))

    def _run(
        self, found: Specialisation, leaves: Sequence[Any], types: Sequence[LeafType]
    ) -> tuple[Any, ...]:
        pairs = zip(leaves, types, strict=True)
        dynamic = tuple([normalise(x) for x, t in pairs if t.dtype is not None])
        outputs = found.call(dynamic)
        if outputs is NotImplemented:
            raise CompileError(
                f"{self._name}: the program did not accept arguments of its own "
                f"signature ({', '.join(map(str, types))}). This is a bug of mgrad; "
                "mg.interpret() runs the same graph without the compiler."
            )
        return outputs  # type: ignore[no-any-return]

    # --- tracing ------------------------------------------------------------------

    def _flat(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Any], tree.TreeDef]:
        if self._static_argnums or self._static_argnames:
            args, kwargs = self._mark_static(args, kwargs)
        try:
            return tree.flatten((args, kwargs))
        except RecursionError:
            raise DepthError(
                f"{self._name}: its arguments are nested too deeply, or contain "
                "themselves. Pass flat lists or dictionaries of arrays."
            ) from None

    def _mark_static(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Static arguments become leaves that are not traced, given either way."""
        names = parameter_names(self._function)
        count = max(len(names), len(args))
        positions = {n % count if n < 0 else n for n in self._static_argnums}
        positions |= {i for i, n in enumerate(names) if n in self._static_argnames}
        by_name = {*self._static_argnames}
        by_name |= {names[i] for i in positions if i < len(names)}
        marked = tuple(
            Static(arg) if i in positions else arg for i, arg in enumerate(args)
        )
        return marked, {k: Static(v) if k in by_name else v for k, v in kwargs.items()}

    def _types(
        self, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[LeafType, ...]:
        def paths() -> list[str]:
            marked = self._mark_static(args, kwargs)
            return [
                f"{p} of {self._name}" for p in argument_paths(self._names(), *marked)
            ]

        return leaf_types(leaves, paths)

    def _trace(self, signature: Signature) -> Traced:
        with trace(self._name) as current, explained(self._name):
            values: list[Any] = []
            names = self._leaf_names(signature)
            function = function_name(self._function)
            for t, name in zip(signature.types, names, strict=True):
                if t.dtype is None:
                    values.append(t.static.value)
                    continue
                where = argument_source(name, function)
                values.append(new_input(t.dtype, t.shape, current, t.weak, where))
            args, kwargs = tree.unflatten(signature.structure, values)
            rule = self._rule
            result = (
                self._function(*args, **kwargs) if rule is None else rule(args, kwargs)
            )
            outputs, structure = tree.flatten(result)

            def path(index: int) -> Callable[[], str]:
                return lambda: (
                    f"the result of {self._name}: "
                    + leaf_paths(result, "result")[index]
                )

            nodes = tuple(output_node(y, path(i)) for i, y in enumerate(outputs))
        pairs = zip(values, signature.types, strict=True)
        graph = Graph(tuple(x for x, t in pairs if t.dtype is not None), nodes)
        for node in graph.free:
            if node.owner is None or not node.owner.active:
                raise leaked(node)
        return Traced(graph, structure)

    def _specialise(self, signature: Signature) -> tuple[Specialisation | None, Traced]:
        """A new program; none for a function that closes over a trace still open."""
        started = time.perf_counter()
        reason = self._reason(signature)
        watch = Watch(self._function)
        traced = self._trace(signature)
        if traced.graph.free:
            return None, traced
        if watch.drew():
            self._warn_of_random_numbers()
        made = Specialisation(signature, traced, watch.guard(), started)
        self._cache[signature] = made
        self._history.add(signature, reason, made.trace_time, made.build_time)
        return made, traced

    def _warn_of_random_numbers(self) -> None:
        path, line, _ = user_line() or ("<unknown>", 0, "")
        warnings.warn_explicit(
            f"{function_place(self._function)} drew random numbers while it was traced "
            "by mgrad. They are constants now: every later call uses the same ones. "
            "Draw them outside and pass them as an argument, for example "
            "f(params, rng.normal(size=3)).",
            RandomnessWarning,
            path,
            line,
        )

    # --- inspection ---------------------------------------------------------------

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The expression graph for these arguments, as traced."""
        return self.traced(*args, **kwargs).graph

    def traced(self, *args: Any, **kwargs: Any) -> Traced:
        """The graph for these arguments with the structure of the results."""
        leaves, structure = self._flat(args, kwargs)
        types = self._types(leaves, args, kwargs)
        return self._trace(Signature(structure, types, mode.interpreting))

    def program(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled program for these arguments; `print` shows its steps."""
        leaves, structure = self._flat(args, kwargs)
        types = self._types(leaves, args, kwargs)
        signature = Signature(structure, types, mode.interpreting)
        found = self._cache.get(signature)
        if found is None or not (found.guard is None or found.guard()):
            found, _ = self._specialise(signature)
            if found is None:
                raise ArgumentError(
                    f"{self._name}: the function uses a value of a trace that is still "
                    "open, so that it has no program of its own. Pass the value as an "
                    "argument."
                )
        return found.program

    def cache_size(self) -> int:
        """The number of signatures that have a program."""
        return len(self._cache)

    def explain(self) -> str:
        """One line for each program: its arguments, why it was made, and the time."""
        if not self._history.count:
            return f"{self._name} has not been called with arrays yet."
        head = f"{self._name}: {self._history.count} traced"
        return "\n".join([head, *self._history.lines()])

    def _reason(self, signature: Signature) -> str:
        known = self._cache.get(signature)
        if known is None:
            return self._history.reason(signature, lambda: self._leaf_names(signature))
        changed = ", ".join(known.changed()) or "a value"
        return f"a global or closed-over value that it reads has changed: {changed}"

    def _leaf_names(self, signature: Signature) -> list[str]:
        args, kwargs = tree.unflatten(signature.structure, signature.types)
        return argument_paths(
            self._names(), args, kwargs, is_leaf=lambda x: isinstance(x, LeafType)
        )

    def _names(self) -> Sequence[str]:
        if self._parameters is not None:
            return self._parameters
        return parameter_names(self._function)


def _inline(traced: Traced, leaves: Sequence[Any], types: Sequence[LeafType]) -> Any:
    """The result as nodes of the surrounding trace."""
    pairs = zip(leaves, types, strict=True)
    dynamic = [x for x, t in pairs if t.dtype is not None]
    given = zip(dynamic, traced.graph.inputs, strict=True)
    actual = [
        leaf if isinstance(leaf, Expr) else as_expr(normalise(leaf), x.dtype)
        for leaf, x in given
    ]
    return tree.unflatten(traced.structure, traced.graph(*actual))
