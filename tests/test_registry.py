"""Every registered primitive: type, both derivatives, batching, dtypes, odd shapes.

The tests enumerate the registry. Families give their own samples; primitives with
parameters have a few by hand, and one without a sample fails `test_all_have_samples`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import mgrad as mg
from mgrad.compiler.build import build
from mgrad.compiler.plan import plan
from mgrad.compiler.prepare import prepare
from mgrad.expr import Expr, make, new_input
from mgrad.graph import Graph
from mgrad.primitive import REGISTRY, Elementwise, Primitive, Reduction, as_expr
from mgrad.testing import check_grads
from mgrad.transforms.evaluate import evaluate
from mgrad.transforms.jvp import jvp
from mgrad.transforms.simplify import simplify
from mgrad.transforms.vjp import vjp
from mgrad.transforms.vmap import vmap
from tests.three_ways import run_printed

MODES = ["interpreted", "compiled", "printed"]

F64, F32 = np.dtype("float64"), np.dtype("float32")
I64, I32, BOOL = np.dtype("int64"), np.dtype("int32"), np.dtype("bool")
DTYPES = {"f": (F64, F32), "i": (I64, I32), "b": (BOOL,)}


def run(graph: Graph, arrays: Sequence[Any], mode: str) -> tuple[Any, ...]:
    """The outputs by the interpreter, the compiled program, or its printed Python."""
    if mode == "interpreted":
        return evaluate(graph, arrays)
    simplified = simplify(graph)
    if mode == "printed":
        printed = run_printed(plan(prepare(simplified)), arrays)
        return tuple(array[()] for array in printed)
    leaves = tuple(
        np.asarray(a, x.dtype, order="C")
        for a, x in zip(arrays, graph.inputs, strict=True)
    )
    outputs = build(simplified)(leaves)
    assert outputs is not NotImplemented
    return outputs


class Sample(NamedTuple):
    """A primitive with parameters and operands."""

    primitive: Primitive
    params: tuple[Any, ...]
    arrays: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        types = ",".join(f"{a.dtype}{list(a.shape)}" for a in self.arrays)
        return f"{self.primitive.name}-{self.params}-{types}"

    def graph(self) -> Graph:
        inputs = tuple(new_input(a.dtype, a.shape) for a in self.arrays)
        return Graph(inputs, (make(self.primitive, inputs, self.params),))

    def function(self) -> Callable[..., Any]:
        def apply(*operands: Any) -> Any:
            return make(self.primitive, tuple(map(as_expr, operands)), self.params)

        return apply


def values(
    rng: np.random.Generator, domain: Any, shape: tuple[int, ...], dtype: Any
) -> Any:
    """Numbers in a domain; integers from 1 to 3 where the domain has no negatives."""
    low, high = domain
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, shape), bool)
    if dtype.kind == "i":
        return np.asarray(rng.integers(1 if low > 0 else -3, 4, shape), dtype)
    return np.asarray(rng.uniform(low, high, shape), dtype)


def domains(primitive: Elementwise) -> list[Any]:
    """The domain of each operand."""
    if isinstance(primitive.domain[0], tuple):
        return list(primitive.domain)
    return [primitive.domain] * primitive.arity


def elementwise(primitive: Elementwise, shape: tuple[int, ...], dtype: Any) -> Sample:
    rng = np.random.default_rng(len(shape))
    arrays = [values(rng, d, shape, dtype) for d in domains(primitive)]
    if primitive.name == "select":
        arrays[0] = values(rng, (0, 1), shape, BOOL)
    return Sample(primitive, (), tuple(arrays))


def reduction(
    primitive: Reduction, shape: tuple[int, ...], axes: tuple[int, ...], dtype: Any
) -> Sample:
    rng = np.random.default_rng(len(shape))
    return Sample(primitive, (axes,), (values(rng, primitive.domain, shape, dtype),))


# --- parameters by hand -------------------------------------------------------------


def f64(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-2, 2, shape)


def index(shape: tuple[int, ...], extent: int) -> np.ndarray:
    return np.random.default_rng(extent).integers(0, extent, shape)


def distinct(shape: tuple[int, ...], extent: int) -> np.ndarray:
    flat = np.random.default_rng(extent).permutation(extent)[: int(np.prod(shape))]
    return flat.reshape(shape)


BY_HAND: dict[str, list[tuple[tuple[Any, ...], tuple[np.ndarray, ...]]]] = {
    "broadcast_to": [
        (((3, 4),), (f64(4),)),
        (((2, 3, 4),), (f64(3, 1),)),
        (((5,),), (f64(),)),
        (((0, 3),), (f64(3),)),
    ],
    "transpose": [
        (((1, 0),), (f64(2, 3),)),
        (((2, 0, 1),), (f64(2, 3, 4),)),
        (((),), (f64(),)),
    ],
    "reshape": [
        (((6,),), (f64(2, 3),)),
        (((3, 1, 4),), (f64(12),)),
        (((),), (f64(1, 1),)),
        (((3, 0),), (f64(0, 2),)),
    ],
    "slice": [
        (((1,), (2,), (1,)), (f64(4),)),
        (((3, 0), (2, 2), (-2, 1)), (f64(4, 3),)),
        (((0,), (0,), (1,)), (f64(3),)),
    ],
    "pad": [
        (((5,), (1,), (1,)), (f64(3),)),
        (((6, 4), (0, 1), (2, 1)), (f64(3, 2),)),
        (((4,), (3,), (-1,)), (f64(3),)),
    ],
    "concatenate": [
        ((0,), (f64(2), f64(3))),
        ((1,), (f64(2, 1), f64(2, 2), f64(2, 3))),
        ((0,), (f64(0, 2), f64(2, 2))),
    ],
    "update_slice": [
        (((1,), (1,)), (f64(4), f64(2))),
        (((0, 2), (2, -1)), (f64(4, 3), f64(2, 2))),
    ],
    "contract": [
        (("ij", "jk", "ik"), (f64(2, 3), f64(3, 4))),
        (("ij", "j", "i"), (f64(2, 3), f64(3))),
        (("i", "i", ""), (f64(3), f64(3))),
        (("i", "j", "ji"), (f64(2), f64(3))),
        (("bij", "bjk", "bik"), (f64(2, 3, 4), f64(2, 4, 2))),
        (("ij", "kj", "ki"), (f64(2, 3), f64(4, 3))),
        (("ij", "jk", "ik"), (f64(2, 0), f64(0, 3))),
        (("bi", "bi", "bi"), (f64(2, 3), f64(2, 3))),
    ],
    "gather": [
        ((0,), (f64(4), index((3,), 4))),
        ((0,), (f64(4, 3), index((2, 2), 4))),
        ((0,), (f64(4, 3), index((5,), 4), index((5,), 3))),
        ((1,), (f64(2, 4), index((2, 3), 4))),
        ((0,), (f64(4), index((), 4))),
    ],
    "scatter": [
        *[
            ((0, how), (f64(5), distinct((3,), 5), f64(3)))
            for how in ("add", "set", "min", "max")
        ],
        ((0, "add"), (f64(4, 3), index((6,), 4), f64(6, 3))),
        ((0, "set"), (f64(4), np.array([1, 1, 2]), f64(3))),
        ((1, "add"), (f64(2, 4), index((2, 3), 4), f64(2, 3))),
        ((0, "max"), (f64(4), np.array([1, 1, 2]), f64(3))),
    ],
    "iota": [(((2, 3), "int64"), ()), (((4,), "float64"), ()), (((0,), "int32"), ())],
    "convert": [
        (("float32",), (f64(3),)),
        (("int64",), (f64(3),)),
        (("bool",), (f64(3),)),
        (("float64",), (np.arange(3),)),
        (("float64",), (np.array([True, False]),)),
        (("float64",), (np.float32([1.5, 2.5]),)),
    ],
}


def samples(primitive: Primitive) -> list[Sample]:
    """Float64 samples where the primitive takes floats, else of its first kind."""
    if primitive.name in BY_HAND:
        return [
            Sample(primitive, params, arrays)
            for params, arrays in BY_HAND[primitive.name]
        ]
    if isinstance(primitive, Elementwise):
        dtypes = [d for kind in primitive.kinds for d in DTYPES[kind]]
        shaped = [
            elementwise(primitive, shape, d) for shape in ((3, 4), ()) for d in dtypes
        ]
        return [*shaped, elementwise(primitive, (0, 3), dtypes[0])]
    if isinstance(primitive, Reduction):
        dtypes = [d for kind in primitive.kinds for d in DTYPES[kind]]
        axes = [(0,), (1,), (0, 2), (0, 1, 2), ()]
        shaped = [reduction(primitive, (2, 3, 4), a, d) for a in axes for d in dtypes]
        return [*shaped, reduction(primitive, (3, 0), (0,), dtypes[0])]
    return []


PRIMITIVES = list(REGISTRY.values())
SAMPLES = [sample for primitive in PRIMITIVES for sample in samples(primitive)]


def is_floating(sample: Sample) -> bool:
    """From and to float64, so that finite differences say something."""
    return (
        sample.graph().outputs[0].dtype == F64
        and any(a.dtype == F64 for a in sample.arrays)
        and all(a.dtype != F32 for a in sample.arrays)
        and sample.primitive.name != "stop_gradient"
    )


FLOATING = [s for s in SAMPLES if is_floating(s)]


def test_all_have_samples() -> None:
    missing = [p.name for p in PRIMITIVES if not samples(p)]
    assert not missing, f"give these a sample in BY_HAND: {missing}"


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_type_is_that_of_numpy(sample: Sample) -> None:
    (node,) = sample.graph().outputs
    wanted = np.asarray(sample.primitive.evaluate(sample.params, *sample.arrays))
    assert (node.dtype, node.shape) == (wanted.dtype, wanted.shape)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_value_is_that_of_numpy(sample: Sample, mode: str) -> None:
    (found,) = run(sample.graph(), sample.arrays, mode)
    wanted = sample.primitive.evaluate(sample.params, *sample.arrays)
    assert_close(found, wanted)


@pytest.mark.parametrize("sample", FLOATING, ids=str)
def test_derivatives_to_second_order(sample: Sample) -> None:
    with mg.interpret():  # test_modes_agree_on_derivatives compares the compiled ones
        check_grads(sample.function(), sample.arrays, order=2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sample", FLOATING, ids=str)
def test_modes_agree_on_derivatives(sample: Sample, mode: str) -> None:
    graph = sample.graph()
    rng = np.random.default_rng(0)
    extra = [rng.uniform(-1, 1, y.shape) for y in graph.outputs]
    tangents = [values(rng, (-1, 1), a.shape, a.dtype) for a in sample.arrays]
    for derived, more in ((vjp(graph), extra), (jvp(graph), tangents)):
        arrays = [*sample.arrays, *more]
        all_close(run(derived, arrays, mode), evaluate(derived, arrays))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.arrays], ids=str)
def test_vmap_is_a_loop(sample: Sample, mode: str) -> None:
    graph, count = sample.graph(), len(sample.arrays)
    for flags in itertools.product([False, True], repeat=count):
        if not any(flags):
            continue
        stacked = [
            np.stack([a, a[::-1], a])
            if f and a.ndim
            else (np.stack([a] * 3) if f else a)
            for a, f in zip(sample.arrays, flags, strict=True)
        ]
        (found,) = run(vmap(graph, flags, 3), stacked, mode)
        rows = []
        for i in range(3):
            pairs = zip(stacked, flags, strict=True)
            rows += evaluate(graph, [a[i] if f else a for a, f in pairs])
        assert_close(found, np.stack(rows))


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if any(a.dtype == F32 for a in s.arrays)], ids=str
)
def test_float32_derivatives_stay_float32(sample: Sample) -> None:
    graph = sample.graph()
    for derived in (vjp(graph), jvp(graph)):
        derived.check()
        for x, ct in zip(graph.inputs, vjp(graph).outputs, strict=True):
            assert ct.dtype == x.dtype
            assert ct.shape == x.shape
    ct = np.ones(graph.outputs[0].shape, graph.outputs[0].dtype)
    pulled = evaluate(vjp(graph), [*sample.arrays, ct])
    for x, found in zip(graph.inputs, pulled, strict=True):
        assert found.dtype == x.dtype


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_simplifying_keeps_values(sample: Sample) -> None:
    graph = sample.graph()
    small = simplify(graph)
    small.check()
    assert_close(evaluate(small, sample.arrays)[0], evaluate(graph, sample.arrays)[0])
    if is_floating(sample):
        ct = np.full(graph.outputs[0].shape, 0.7)
        derived = vjp(graph)
        small = simplify(derived)
        small.check()
        arrays = [*sample.arrays, ct]
        all_close(evaluate(small, arrays), evaluate(derived, arrays))


def all_close(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    for x, y in zip(found, wanted, strict=True):
        assert_close(x, y)


def assert_close(found: Any, wanted: Any) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    tolerance = {"float32": 2e-5, "float64": 1e-11}.get(found.dtype.name, 0)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


# --- drawn samples --------------------------------------------------------------------

SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
ELEMENTWISE = [
    p
    for p in PRIMITIVES
    if isinstance(p, Elementwise) and p.name not in ("convert", "select")
]


@st.composite
def drawn_elementwise(draw: Any) -> Sample:
    primitive = draw(st.sampled_from(ELEMENTWISE))
    shape = draw(SHAPES)
    dtype = draw(st.sampled_from([d for k in primitive.kinds for d in DTYPES[k]]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = [values(rng, d, shape, dtype) for d in domains(primitive)]
    return Sample(primitive, (), tuple(arrays))


@pytest.mark.parametrize("mode", MODES)
@hypothesis.given(sample=drawn_elementwise())
def test_drawn_elementwise(sample: Sample, mode: str) -> None:
    (found,) = run(sample.graph(), sample.arrays, mode)
    assert_close(found, sample.primitive.evaluate((), *sample.arrays))
    transposes(sample)


@st.composite
def drawn_reduction(draw: Any) -> Sample:
    primitive = draw(
        st.sampled_from([p for p in PRIMITIVES if isinstance(p, Reduction)])
    )
    shape = draw(st.lists(st.integers(1, 4), max_size=4).map(tuple))
    axes = tuple(sorted(draw(st.sets(st.integers(0, max(len(shape) - 1, 0))))))
    dtype = draw(st.sampled_from([d for k in primitive.kinds for d in DTYPES[k]]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = values(rng, primitive.domain, shape, dtype)
    return Sample(primitive, (axes if shape else (),), (array,))


@pytest.mark.parametrize("mode", MODES)
@hypothesis.given(sample=drawn_reduction())
def test_drawn_reduction(sample: Sample, mode: str) -> None:
    (found,) = run(sample.graph(), sample.arrays, mode)
    assert_close(found, sample.primitive.evaluate(sample.params, *sample.arrays))
    transposes(sample)


def transposes(sample: Sample) -> None:
    """Reverse mode is the transpose of forward mode: <ct, J t> = <J' ct, t>."""
    graph = sample.graph()
    (y,) = graph.outputs
    if y.dtype.kind != "f":
        return
    rng = np.random.default_rng(1)
    ct = values(rng, (-1, 1), y.shape, y.dtype)
    ts = [values(rng, (-1, 1), a.shape, a.dtype) for a in sample.arrays]
    pushed = evaluate(jvp(graph), [*sample.arrays, *ts])[1]
    pulled = evaluate(vjp(graph), [*sample.arrays, ct])
    left = float(np.sum(ct * pushed, dtype=float))
    parts = [np.multiply(a, t, dtype=float) for a, t in zip(pulled, ts, strict=True)]
    right = float(sum(np.sum(part) for part in parts))
    size = 1 + sum(float(np.abs(part).sum()) for part in parts)
    assert abs(left - right) <= size * (1e-4 if y.dtype == F32 else 1e-10)


@hypothesis.given(
    shape=SHAPES, special=st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e308])
)
def test_special_values_survive(shape: tuple[int, ...], special: float) -> None:
    x = np.full(shape, special)
    with np.errstate(all="ignore"):
        for function in (np.exp, np.abs, np.negative, lambda v: np.maximum(v, 1.0)):
            with mg.interpret():
                np.testing.assert_array_equal(mg.jit(function)(x), function(x))


def test_every_node_is_an_expression() -> None:
    assert all(isinstance(s.graph().outputs[0], Expr) for s in SAMPLES)
