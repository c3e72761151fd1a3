"""Transforms composed: any depth, any order, and the traps of derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import mgrad as mg
from mgrad.graph import Graph
from mgrad.testing import check_grads, finite_difference_grad
from mgrad.transforms.evaluate import evaluate
from mgrad.transforms.jvp import jvp
from mgrad.transforms.simplify import simplify
from mgrad.transforms.vjp import vjp
from mgrad.transforms.vmap import vmap

X = np.array([0.3, -1.2, 2.0])


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_hessian(x):
    n = len(x)
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


# --- nesting ------------------------------------------------------------------------


def test_third_derivative():
    third = mg.grad(mg.grad(mg.grad(np.sin)))
    assert third(0.7) == pytest.approx(-np.cos(0.7))


def test_fourth_derivative_in_mixed_modes():
    def forward(f):
        return lambda x: mg.jvp(f, (x,), (1.0,))[1]

    assert forward(mg.grad(forward(mg.grad(np.exp))))(0.3) == pytest.approx(np.exp(0.3))


def test_vmap_of_grad_of_vmap():
    def inner(w, xs):
        return np.sum(mg.vmap(lambda x: np.tanh(w @ x))(xs))

    w, xs = np.array([0.2, -0.4]), np.arange(24.0).reshape(3, 4, 2) / 10
    found = mg.vmap(mg.grad(inner), in_axes=(None, 0))(w, xs)
    wanted = [np.sum((1 - np.tanh(x @ w) ** 2)[:, None] * x, 0) for x in xs]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_nested_vmap_makes_a_table():
    f = mg.vmap(mg.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_array_equal(f(X, np.arange(2.0)), np.outer(X, np.arange(2.0)))


def test_jvp_of_vmap_and_vmap_of_jvp_agree():
    ts = np.ones(3)
    one = mg.jvp(mg.vmap(np.sin), (X,), (ts,))[1]
    two = mg.vmap(lambda x, t: mg.jvp(np.sin, (x,), (t,))[1])(X, ts)
    np.testing.assert_allclose(one, np.cos(X))
    np.testing.assert_allclose(two, np.cos(X))


def test_no_perturbation_confusion():
    confusing = mg.grad(lambda x: x * mg.grad(lambda y: x + y)(1.0))
    assert confusing(1.0) == 1.0
    nested = mg.grad(lambda x: x * mg.jvp(lambda y: x * y, (2.0,), (1.0,))[1])
    assert nested(3.0) == 6.0


def test_closed_over_values_of_three_traces():
    def outer(x):
        def middle(y):
            return mg.grad(lambda z: x * y * z**2)(y) * x

        return mg.grad(middle)(x)  # d/dy 2 x^2 y^2 = 4 x^2 y at y = x

    assert mg.grad(outer)(2.0) == pytest.approx(48.0)  # d/dx 4 x^3


def test_an_inner_gradient_in_the_same_variable():
    assert mg.grad(lambda x: mg.grad(lambda y: x * y * y)(x))(3.0) == pytest.approx(
        12.0
    )


def test_gradient_of_a_concrete_call_inside_a_trace_is_a_constant():
    assert mg.grad(lambda x: x * mg.grad(np.sin)(0.0))(5.0) == 1.0


def test_vjp_inside_grad():
    def f(x):
        _, pullback = mg.vjp(np.sin, x)
        return pullback(x)[0]  # x cos x

    assert mg.grad(f)(0.5) == pytest.approx(np.cos(0.5) - 0.5 * np.sin(0.5))


def test_linearize_inside_grad():
    def f(x):
        _, derivative = mg.linearize(np.sin, x)
        return derivative(x)

    assert mg.grad(f)(0.5) == pytest.approx(np.cos(0.5) - 0.5 * np.sin(0.5))


def test_jit_inside_grad_inside_vmap():
    f = mg.jit(lambda x: x**3)
    np.testing.assert_allclose(mg.vmap(mg.grad(f))(X), 3 * X**2)


# --- Hessians -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 10])
def test_hessian_of_rosenbrock(n):
    x = np.linspace(-1, 1.5, n)
    np.testing.assert_allclose(mg.hessian(rosenbrock)(x), rosenbrock_hessian(x))


@pytest.mark.parametrize("outer", [mg.jacfwd, mg.jacrev, mg.jacobian])
@pytest.mark.parametrize("inner", [mg.jacfwd, mg.jacrev])
def test_every_hessian_agrees(outer, inner):
    found = outer(inner(rosenbrock))(X)
    np.testing.assert_allclose(found, rosenbrock_hessian(X), atol=1e-9)


def test_hvp_is_hessian_times_vector():
    v = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(
        mg.hvp(rosenbrock, (X,), (v,)), rosenbrock_hessian(X) @ v, rtol=1e-12
    )


def test_gradient_of_rosenbrock():
    wanted = finite_difference_grad(rosenbrock)(X)
    np.testing.assert_allclose(mg.grad(rosenbrock)(X), wanted, rtol=1e-5)


# --- NaN-safe where -----------------------------------------------------------------


def test_where_hides_the_nan_of_the_other_branch():
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0)  # noqa: E731
    assert mg.grad(f)(-1.0) == 0.0
    assert mg.grad(f)(4.0) == 0.25
    assert mg.grad(mg.grad(f))(-1.0) == 0.0
    assert mg.grad(mg.grad(f))(4.0) == pytest.approx(-1 / 32)
    assert mg.jvp(f, (-1.0,), (1.0,))[1] == 0.0
    assert mg.grad(lambda x: mg.jvp(f, (x,), (1.0,))[1])(-1.0) == 0.0


def test_where_deep_below_the_branch():
    f = lambda x: np.where(x != 0, np.sin(1 / np.log(np.abs(x))), 0.0)  # noqa: E731
    for x in (0.0, 1e-300):
        assert np.isfinite(mg.grad(f)(x))
    assert mg.grad(f)(0.0) == 0.0
    assert mg.grad(mg.grad(f))(0.0) == 0.0


def test_where_in_arrays():
    f = lambda x: np.sum(np.where(x > 0, np.log(x), x))  # noqa: E731
    np.testing.assert_allclose(mg.grad(f)(np.array([-1.0, 0.0, 2.0])), [1, 1, 0.5])


def test_a_cotangent_that_happens_to_be_zero_keeps_its_second_derivative():
    # d/dx of x^2 y at x = 0: the cotangent of y is 0 there, its derivative is not.
    f = lambda x, y: np.where(x < 1, x * x * y, 0.0)  # noqa: E731
    mixed = mg.grad(mg.grad(f, argnums=1), argnums=0)
    assert mixed(0.0, 3.0) == 0.0
    assert mg.grad(mixed)(0.0, 3.0) == 2.0
    assert mg.grad(mg.grad(f))(0.0, 3.0) == 6.0


def test_unselected_and_selected_paths_to_one_value():
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0) + x**2  # noqa: E731
    assert mg.grad(f)(-1.0) == -2.0
    assert mg.grad(mg.grad(f))(-1.0) == 2.0


# --- conventions --------------------------------------------------------------------


def test_ties_share_the_cotangent():
    assert mg.grad(np.maximum, argnums=(0, 1))(1.0, 1.0) == (0.5, 0.5)
    np.testing.assert_array_equal(
        mg.grad(np.max)(np.array([2.0, 2.0, 1.0])), [0.5, 0.5, 0]
    )


@pytest.mark.parametrize(
    "f", [np.abs, lambda x: np.hypot(x, x), lambda x: 0.0 * np.sqrt(x), np.sign]
)
def test_kinks_at_zero_give_zero(f):
    assert mg.grad(f)(0.0) == 0.0


def test_powers_at_zero():
    assert mg.grad(lambda x: x**2)(0.0) == 0.0
    assert mg.grad(mg.grad(lambda x: x**2))(0.0) == 2.0
    assert mg.grad(mg.grad(mg.grad(lambda x: x**3)))(0.0) == 6.0
    assert mg.grad(lambda x: x**0)(0.0) == 0.0
    power = lambda x, y: x**y  # noqa: E731
    assert mg.grad(power, argnums=(0, 1))(0.0, 1.0) == (1.0, 0.0)
    assert mg.grad(power, argnums=(0, 1))(0.0, 2.5) == (0.0, 0.0)


def test_product_through_zeros():
    x = np.array([2.0, 0.0, 3.0])
    np.testing.assert_array_equal(mg.grad(np.prod)(x), [0, 6, 0])
    np.testing.assert_array_equal(
        mg.grad(np.prod)(np.array([0.0, 0.0, 3.0])), [0, 0, 0]
    )
    check_grads(np.prod, (x,))


def test_integers_end_the_path():
    f = lambda x: np.sum(x.astype(int).astype(float) * x)  # noqa: E731
    np.testing.assert_array_equal(mg.grad(f)(np.array([1.7, 2.2])), [1, 2])


def test_duplicate_indices_add_up():
    f = lambda x: np.sum(x[np.array([0, 0, 2])] ** 2)  # noqa: E731
    np.testing.assert_allclose(mg.grad(f)(X), [4 * X[0], 0, 2 * X[2]])


def test_stop_gradient():
    f = lambda x: x * mg.stop_gradient(x**2)  # noqa: E731
    assert mg.grad(f)(3.0) == 9.0
    assert mg.jvp(f, (3.0,), (1.0,))[1] == 9.0
    assert mg.stop_gradient({"a": 1.0}) == {"a": 1.0}


# --- graphs --------------------------------------------------------------------------


def graph_of(f, *args):
    return mg.make_graph(f, simplified=False)(*args)


def test_vjp_graph_types():
    graph = graph_of(lambda x, n: (np.sum(x) * n, n + 1), X, 2)
    pulled = vjp(graph)
    assert [y.shape for y in pulled.outputs] == [(3,), ()]
    assert pulled.outputs[1].dtype == np.int64
    pulled.check()
    cts = evaluate(pulled, [X, 2, 1.5, 7])
    np.testing.assert_array_equal(cts[0], np.full(3, 3.0))
    assert cts[1] == 0


def test_vjp_only_of_what_is_needed():
    graph = graph_of(lambda x, y: np.sum(x * y), X, X)
    assert len(vjp(graph, needed=[False, True]).outputs) == 1


def test_jvp_graph_types():
    pushed = jvp(graph_of(lambda x: (np.sin(x), x > 0), X))
    pushed.check()
    outputs = evaluate(pushed, [X, np.ones(3)])
    assert [y.dtype.kind for y in outputs] == ["f", "b", "f", "b"]
    np.testing.assert_allclose(outputs[2], np.cos(X))


def test_vmap_leaves_unbatched_parts_alone():
    graph = graph_of(lambda x, y: (np.exp(x) * y, np.exp(x)), 1.0, 2.0)
    batched = vmap(graph, [False, True], 4)
    exps = [n for n in batched.nodes if n.primitive.name == "exp"]
    assert [n.shape for n in exps] == [()]
    assert [y.shape for y in batched.outputs] == [(4,), (4,)]


def test_independent_output_has_zero_gradient():
    assert mg.grad(lambda x: 3.0)(2.0) == 0.0
    np.testing.assert_array_equal(mg.grad(lambda x: np.sum(np.ones(2)))(X), np.zeros(3))


# --- depth ---------------------------------------------------------------------------


def chain(x):
    for _ in range(5000):
        x = np.sin(x) * 1.0001
    return x


def test_ten_thousand_operations():
    graph = graph_of(chain, 1.0)
    assert len(graph.nodes) > 10_000
    pulled, pushed = vjp(graph), jvp(graph)
    batched = vmap(pulled, [True, True], 2)
    for derived in (pulled, pushed, batched):
        assert len(simplify(derived).nodes) > 10_000
        str(derived)
        hash(derived)
    slope = evaluate(pulled, [1.0, 1.0])[0]
    assert evaluate(pushed, [1.0, 1.0])[1] == pytest.approx(slope)
    rows = evaluate(batched, [np.ones(2), np.ones(2)])[0]
    np.testing.assert_allclose(rows, [slope, slope])
    with mg.interpret():
        assert mg.grad(chain)(1.0) == pytest.approx(slope)


def test_freeing_a_long_chain_needs_no_recursion():
    def double(x):
        for _ in range(50_000):
            x = x + x
        return x

    graph = graph_of(double, 1.0)
    assert isinstance(graph, Graph)
    del graph
