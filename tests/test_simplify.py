"""Every rule of `simplify`: it fires, keeps the value, and the loop stays linear."""

from __future__ import annotations

import time

import numpy as np
import pytest

import mgrad as mg
from mgrad.expr import constant, make, new_input
from mgrad.graph import Graph
from mgrad.primitive import REGISTRY, broadcast_to
from mgrad.primitives.movement import reshape_to
from mgrad.transforms.evaluate import evaluate
from mgrad.transforms.rewrites.table import rules
from mgrad.transforms.simplify import simplify

F64 = np.dtype("float64")
SPECIAL = np.array([[1.5, -0.0, np.inf], [np.nan, -np.inf, -2.0]])


def op(name, *args, params=()):
    return make(REGISTRY[name], args, params)


def full(value, shape=(2, 3), dtype=F64):
    return broadcast_to(constant(value, dtype), shape)


def x_(shape=(2, 3), dtype=F64):
    return new_input(dtype, shape)


def names(graph):
    return [
        n.primitive.name
        for n in graph.nodes
        if n.primitive.name not in ("input", "constant")
    ]


# (expression of one input, primitives that remain, shape)
CASES = {
    "times one": (lambda x: op("multiply", x, full(1)), []),
    "one times": (lambda x: op("multiply", full(1), x), []),
    "times minus one": (lambda x: op("multiply", x, full(-1)), ["negative"]),
    "over one": (lambda x: op("divide", x, full(1)), []),
    "over eight": (lambda x: op("divide", x, full(8)), ["broadcast_to", "multiply"]),
    "over three stays": (
        lambda x: op("divide", x, full(3)),
        ["broadcast_to", "divide"],
    ),
    "over zero stays": (lambda x: op("divide", x, full(0)), ["broadcast_to", "divide"]),
    "minus zero": (lambda x: op("subtract", x, full(0)), []),
    "plus negative": (
        lambda x: op("add", x, op("negative", op("exp", x))),
        ["exp", "subtract"],
    ),
    "minus negative": (lambda x: op("subtract", x, op("negative", x)), ["add"]),
    "negative twice": (lambda x: op("negative", op("negative", x)), []),
    "negative of scaled": (
        lambda x: op("negative", op("multiply", full(3), x)),
        ["broadcast_to", "multiply"],
    ),
    "times zero stays": (
        lambda x: op("multiply", x, full(0)),
        ["broadcast_to", "multiply"],
    ),
    "power one": (lambda x: op("power", x, full(1)), []),
    "power two": (lambda x: op("power", x, full(2)), ["multiply"]),
    "power zero": (lambda x: op("power", x, full(0)), ["broadcast_to"]),
    "constants fold": (
        lambda x: op("add", x, broadcast_to(op("exp", constant(0.0)), (2, 3))),
        ["broadcast_to", "add"],
    ),
    "uniform first": (
        lambda x: op(
            "exp", broadcast_to(op("reduce_sum", x, params=((0, 1),)), (2, 3))
        ),
        ["reduce_sum", "exp", "broadcast_to"],
    ),
    "stop_gradient": (lambda x: op("stop_gradient", x), []),
    "convert back": (
        lambda x: op(
            "convert", op("convert", x, params=("float64",)), params=("float64",)
        ),
        [],
    ),
    "narrowing stays": (
        lambda x: op(
            "convert", op("convert", x, params=("float32",)), params=("float64",)
        ),
        ["convert", "convert"],
    ),
    "select same": (lambda x: op("select", op("isnan", x), x, x), []),
    "select known": (
        lambda x: op("select", full(True, dtype=np.dtype(bool)), x, full(0)),
        [],
    ),
    "select negated": (
        lambda x: op("select", op("invert", op("isnan", x)), x, full(0)),
        ["isnan", "broadcast_to", "select"],
    ),
    "select again": (
        lambda x: op(
            "select", op("isnan", x), op("select", op("isnan", x), full(0), x), full(1)
        ),
        ["isnan", "broadcast_to", "broadcast_to", "select"],
    ),
    "invert twice": (lambda x: op("invert", op("invert", op("isnan", x))), ["isnan"]),
    "and true": (
        lambda x: op("bitwise_and", op("isnan", x), full(True, dtype=np.dtype(bool))),
        ["isnan"],
    ),
    "or true": (
        lambda x: op("bitwise_or", op("isnan", x), full(True, dtype=np.dtype(bool))),
        ["broadcast_to"],
    ),
    "move uniform": (
        lambda x: op("add", x, op("transpose", full(2, (3, 2)), params=((1, 0),))),
        ["broadcast_to", "add"],
    ),
    "broadcast twice": (
        lambda x: broadcast_to(broadcast_to(x, (4, 2, 3)), (5, 4, 2, 3)),
        ["broadcast_to"],
    ),
    "leading ones": (
        lambda x: broadcast_to(reshape_to(x, (1, 2, 3)), (4, 2, 3)),
        ["broadcast_to"],
    ),
    "reshape twice": (lambda x: reshape_to(reshape_to(x, (6,)), (3, 2)), ["reshape"]),
    "reshape there and back": (lambda x: reshape_to(reshape_to(x, (6,)), (2, 3)), []),
    "reshape of broadcast": (
        lambda x: reshape_to(broadcast_to(x, (1, 2, 3)), (2, 3, 1)),
        ["reshape"],
    ),
    "transpose twice": (
        lambda x: op(
            "transpose", op("transpose", x, params=((1, 0),)), params=((1, 0),)
        ),
        [],
    ),
    "transpose of ones": (
        lambda x: op("transpose", reshape_to(x, (6, 1)), params=((1, 0),)),
        ["reshape"],
    ),
    "slice whole": (lambda x: op("slice", x, params=((0, 0), (2, 3), (1, 1))), []),
    "slice twice": (
        lambda x: op(
            "slice",
            op("slice", x, params=((0, 2), (2, 3), (1, -1))),
            params=((1, 0), (1, 2), (1, 2)),
        ),
        ["slice"],
    ),
    "slice of pad": (
        lambda x: op(
            "slice",
            op("pad", x, params=((4, 9), (1, 2), (2, 3))),
            params=((1, 2), (2, 3), (2, 3)),
        ),
        [],
    ),
    "slice of concatenate": (
        lambda x: op(
            "slice",
            op("concatenate", x, op("exp", x), params=(0,)),
            params=((3, 0), (2, 3), (-1, 1)),
        ),
        ["exp", "slice"],
    ),
    "slice over both parts stays": (
        lambda x: op(
            "slice",
            op("concatenate", x, op("exp", x), params=(0,)),
            params=((1, 0), (2, 3), (1, 1)),
        ),
        ["exp", "concatenate", "slice"],
    ),
    "pad nothing": (lambda x: op("pad", x, params=((2, 3), (0, 0), (1, 1))), []),
    "pad of zeros": (
        lambda x: op("pad", full(0), params=((4, 4), (0, 0), (1, 1))),
        ["broadcast_to"],
    ),
    "concatenate one": (
        lambda x: op("concatenate", x, full(0, (0, 3)), params=(0,)),
        [],
    ),
    "reduce ones": (
        lambda x: op("reduce_max", reshape_to(x, (2, 1, 3)), params=((1,),)),
        [],
    ),
    "reduce over none": (lambda x: op("reduce_sum", x, params=((),)), []),
    "reduce some ones": (
        lambda x: op("reduce_sum", reshape_to(x, (2, 1, 3)), params=((0, 1),)),
        ["reduce_sum"],
    ),
    "sum of broadcast": (
        lambda x: op("reduce_sum", broadcast_to(x, (4, 2, 3)), params=((0,),)),
        ["broadcast_to", "multiply"],
    ),
    "max of broadcast": (
        lambda x: op("reduce_max", broadcast_to(x, (4, 2, 3)), params=((0, 2),)),
        ["reduce_max"],
    ),
    "contract transposed": (
        lambda x: op(
            "contract",
            op("transpose", x, params=((1, 0),)),
            x,
            params=("ij", "jk", "ik"),
        ),
        ["contract"],
    ),
    "transpose of contract": (
        lambda x: op(
            "transpose",
            op("contract", x, x, params=("ij", "kj", "ik")),
            params=((1, 0),),
        ),
        ["contract"],
    ),
    "outer product": (
        lambda x: op(
            "contract",
            op("reduce_max", x, params=((0,),)),
            op("reduce_max", x, params=((1,),)),
            params=("i", "j", "ji"),
        ),
        [
            "reduce_max",
            "broadcast_to",
            "reduce_max",
            "reshape",
            "broadcast_to",
            "multiply",
        ],
    ),
    "contract ones": (
        lambda x: op(
            "contract", reshape_to(x, (2, 1, 3)), x, params=("iuj", "kj", "iuk")
        ),
        ["contract", "reshape"],
    ),
    "contract broadcast": (
        lambda x: op(
            "contract",
            broadcast_to(x, (4, 2, 3)),
            full(2.5, (4, 3, 5)),
            params=("bij", "bjk", "bik"),
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    build, wanted = CASES[name]
    x = x_()
    graph = Graph((x,), (build(x),))
    small = simplify(graph)
    small.check()
    if wanted is not None:
        assert sorted(names(small)) == sorted(wanted)
    for array in (np.arange(6.0).reshape(2, 3) - 2.5, SPECIAL):
        (found,), (before,) = evaluate(small, [array]), evaluate(graph, [array])
        np.testing.assert_allclose(found, before, rtol=1e-14)
        assert found.dtype == before.dtype


@pytest.mark.parametrize(
    "name", ["times one", "over one", "minus zero", "negative twice"]
)
def test_signed_zeros_survive(name):
    x = x_()
    (found,) = evaluate(simplify(Graph((x,), (CASES[name][0](x),))), [SPECIAL])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(SPECIAL))


def test_a_summed_broadcast_letter_becomes_a_sum():
    x, c = x_((5, 3)), x_(())
    node = op("contract", x, broadcast_to(c, (5, 4)), params=("bi", "bo", "io"))
    small = simplify(Graph((x, c), (node,)))
    assert "contract" not in names(small)
    arrays = [np.arange(15.0).reshape(5, 3), 2.0]
    np.testing.assert_allclose(
        evaluate(small, arrays)[0], arrays[0].T @ np.full((5, 4), 2.0)
    )


def test_gradient_of_a_layer_transposes_nothing():
    def loss(w, x):
        return np.sum((x @ w) ** 2)

    graph = mg.make_graph(mg.grad(loss))(np.ones((3, 4)), np.ones((5, 3)))
    assert "transpose" not in names(graph)
    assert names(graph).count("contract") == 2


def test_dead_and_double_nodes_disappear():
    x = x_(())
    one = op("multiply", op("exp", x), constant(1.0))
    graph = Graph((x,), (op("add", one, op("exp", x)),))
    assert names(simplify(graph)) == ["exp", "add"]


def test_outputs_may_be_inputs_and_constants():
    x = x_(())
    graph = Graph((x,), (x, constant(2.0), op("multiply", x, constant(1.0))))
    small = simplify(graph)
    assert small.outputs[0] is x
    assert small.outputs[2] is x


def test_simplifying_twice_changes_nothing():
    def loss(w, x):
        return np.mean(np.tanh(x @ w) ** 2)

    graph = mg.make_graph(mg.grad(loss))(np.ones((3, 4)), np.ones((5, 3)))
    assert simplify(graph).outputs[0] is graph.outputs[0]


def test_rules_have_names():
    table = rules()
    assert len(table) > 25
    assert len({rule.name for rule in table}) == len(table)


def test_time_is_linear():
    def chain(x):
        for _ in range(5000):
            x = (x + 0.0) * 1.0 + np.sin(x)
        return x

    graph = mg.make_graph(chain, simplified=False)(1.0)
    start = time.perf_counter()
    small = simplify(graph)
    assert time.perf_counter() - start < 5.0
    assert len(small.nodes) < len(graph.nodes)
