"""The public transforms: every form of argument, every error, caches and threads."""

from __future__ import annotations

import functools
import re
import threading
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import mgrad as mg
from mgrad.errors import (
    ArgumentError,
    AxisError,
    DTypeError,
    IndexingError,
    LeakError,
    ShapeError,
)

X = np.array([1.0, 2.0, 3.0])
Point = namedtuple("Point", "x y")


def weighted(a, b, *, scale=1.0):
    return np.sum(a * b) * scale


# --- grad: forms of arguments ------------------------------------------------------


def test_argnums():
    assert mg.grad(weighted)(2.0, 5.0) == 5.0
    assert mg.grad(weighted, argnums=1)(2.0, 5.0) == 2.0
    assert mg.grad(weighted, argnums=-1)(2.0, 5.0) == 2.0
    assert mg.grad(weighted, argnums=(1, 0))(2.0, 5.0) == (2.0, 5.0)
    assert mg.grad(weighted, argnums=[0])(2.0, 5.0) == (5.0,)


def test_argnames():
    assert mg.grad(weighted, argnames="scale")(2.0, 5.0, scale=3.0) == 10.0
    assert mg.grad(weighted, argnames="b")(2.0, 5.0) == 2.0
    assert mg.grad(weighted, argnames=("a", "b"))(2.0, b=5.0) == {"a": 5.0, "b": 2.0}
    both = mg.grad(weighted, argnums=0, argnames="scale")
    assert both(2.0, 5.0, scale=3.0) == (15.0, 10.0)


def test_argnums_of_an_argument_given_by_name():
    assert mg.grad(weighted)(a=2.0, b=5.0) == 5.0


def test_keyword_arguments():
    assert mg.value_and_grad(weighted)(2.0, 5.0, scale=3.0) == (30.0, 15.0)


def test_has_aux():
    f = lambda x: (np.sum(x**2), {"double": 2 * x})  # noqa: E731
    gradient, aux = mg.grad(f, has_aux=True)(X)
    np.testing.assert_array_equal(gradient, 2 * X)
    np.testing.assert_array_equal(aux["double"], 2 * X)
    (value, aux), gradient = mg.value_and_grad(f, has_aux=True)(X)
    assert value == 14.0
    with pytest.raises(ArgumentError, match="must return a pair"):
        mg.grad(lambda x: x, has_aux=True)(1.0)


def test_partial_and_methods():
    assert mg.grad(functools.partial(weighted, 3.0))(2.0) == 3.0
    assert mg.grad(functools.partial(weighted, b=3.0))(2.0) == 3.0

    class Model:
        def __init__(self, k):
            self.k = k

        def loss(self, x):
            return self.k * x

        def __call__(self, x):
            return self.k * x * x

    model = Model(4.0)
    assert mg.grad(model.loss)(1.0) == 4.0
    assert mg.grad(model)(1.0) == 8.0
    model.k = 5.0
    assert mg.grad(model.loss)(1.0) == 5.0


def test_jit_as_decorator_of_a_method():
    @dataclass(frozen=True)
    class Scale:
        k: float

    mg.tree.register_dataclass(Scale)

    class Holder:
        @staticmethod
        @mg.jit
        def apply(scale, x):
            return scale.k * x

    assert Holder().apply(Scale(2.0), 3.0) == 6.0
    assert mg.grad(Holder.apply)(Scale(2.0), 3.0) == Scale(3.0)


def test_ufuncs_are_functions():
    assert mg.grad(np.sin)(0.0) == 1.0
    assert mg.grad(np.multiply, argnums=(0, 1))(2.0, 3.0) == (3.0, 2.0)


def test_any_pytree():
    @mg.tree.register_dataclass
    @dataclass
    class Layer:
        w: np.ndarray
        b: float

    params = {"layers": [Layer(X, 1.0), None], "p": Point(2.0, (3.0,))}

    def loss(p):
        layer = p["layers"][0]
        return np.sum(layer.w) * layer.b + p["p"].x * p["p"].y[0]

    found = mg.grad(loss)(params)
    np.testing.assert_array_equal(found["layers"][0].w, np.ones(3))
    assert found["layers"][0].b == 6.0
    assert found["layers"][1] is None
    assert found["p"] == Point(3.0, (2.0,))
    for _ in range(2):  # the second call takes the fast path
        assert mg.grad(loss)(params)["p"] == Point(3.0, (2.0,))


def test_dictionaries_keep_their_order_and_may_change_it():
    f = mg.jit(lambda p: {"z": p["b"], "a": [p["a"], None]})
    assert list(f({"b": 1.0, "a": 2.0})) == ["z", "a"]
    assert f({"a": 2.0, "b": 1.0}) == {"z": 1.0, "a": [2.0, None]}
    assert f.cache_size() == 1


def test_lists_and_scalars_are_leaves_of_trees():
    assert mg.grad(lambda v: v[0] * v[1])([2.0, 3.0]) == [3.0, 2.0]
    assert mg.grad(lambda v: np.sum(np.sin(np.stack(v))))([0.0, 0.0]) == [1.0, 1.0]


def test_layouts_are_normalised():
    f = mg.jit(lambda x: 2 * x)
    wide = np.arange(12.0).reshape(3, 4)
    f(wide)
    for x in (
        wide.T.copy().T,
        wide[::1, ::-1],
        wide.astype(">f8"),
        wide.view(np.recarray),
    ):
        found = f(x)
        np.testing.assert_array_equal(found, 2 * np.asarray(x))
        assert type(found) is np.ndarray
    assert f.cache_size() == 1
    assert f(np.float64(3.0)) == 6.0
    assert f(np.array(3.0)) == 6.0


def test_size_one_losses_are_accepted():
    np.testing.assert_array_equal(mg.grad(lambda x: x[:1] ** 2)(X), [2, 0, 0])
    value, _ = mg.value_and_grad(lambda x: x[None, :1])(X)
    assert value.shape == (1, 1)


def test_outputs_independent_of_the_input():
    np.testing.assert_array_equal(mg.grad(lambda x: 1.0)(X), np.zeros(3))
    np.testing.assert_array_equal(mg.grad(lambda x, y: y)(X, 2.0), np.zeros(3))


def test_outputs_that_are_inputs_or_constants():
    captured = np.arange(3.0)
    x, k, c = mg.jit(lambda x: (x, 2.0, captured))(X)
    np.testing.assert_array_equal(x, X)
    assert k == 2.0
    np.testing.assert_array_equal(c, captured)


def test_an_empty_result():
    assert mg.jit(lambda x: None)(1.0) is None
    assert mg.jit(lambda x: ())(1.0) == ()


# --- dtypes ------------------------------------------------------------------------


def test_weak_scalars_keep_float32():
    x = X.astype(np.float32)
    assert mg.jit(lambda x, k: k * x)(x, 2.0).dtype == np.float32
    assert mg.jit(lambda x, k: k * x + 1)(x, 2).dtype == np.float32
    assert mg.jit(lambda x, k: k * x)(x, np.float64(2.0)).dtype == np.float64
    gx, gk = mg.grad(lambda x, k: np.sum(k * x), argnums=(0, 1))(x, 2.0)
    assert gx.dtype == np.float32
    assert gk.dtype == np.float64


def test_gradients_have_the_dtype_of_the_argument():
    x = X.astype(np.float32)
    gradient = mg.grad(lambda x: np.sum(x.astype(np.float64) ** 2))(x)
    assert gradient.dtype == np.float32


# --- errors ------------------------------------------------------------------------


def raises(error, *parts):
    pattern = ".*".join(map(re.escape, parts))
    return pytest.raises(error, match=f"(?s){pattern}")


def test_non_scalar_loss():
    with raises(
        ShapeError,
        "grad: the loss must be a scalar",
        "float64[3]",
        "test_api.py",
        "np.mean",
    ):
        mg.grad(lambda x: x * 2)(X)
    with raises(ShapeError, "must return one scalar", "tuple", "has_aux"):
        mg.grad(lambda x: (x, x))(1.0)


def test_integer_loss():
    with raises(DTypeError, "the loss must be a floating-point number", "int64[]"):
        mg.grad(lambda x: np.sum(x > 0))(X)


@pytest.mark.parametrize(
    ("leaf", "shown"),
    [
        (np.arange(3), "int64[3]"),
        (np.array([True]), "bool[1]"),
        (3, "a Python int"),
        (True, "a Python bool"),
        ("relu", "the str 'relu'"),
    ],
)
def test_leaves_that_have_no_derivative(leaf, shown):
    with raises(DTypeError, "grad: params['w'][1] is", shown, "argnums"):
        mg.grad(lambda params: params["w"][0] * 2)({"w": [1.0, leaf]})


def test_paths_of_leaves_by_name_and_number():
    f = lambda a, b, c: a  # noqa: E731
    with raises(DTypeError, "grad: c['k'] is"):
        mg.grad(f, argnums=(0, 2))(1.0, 2, {"k": 3})
    with raises(DTypeError, "grad: b is"):
        mg.grad(f, argnames=("c", "b"))(1.0, 2, {"k": 3.0})
    with raises(DTypeError, "grad: c is"):
        mg.grad(f, argnums=(0,), argnames="c")(1.0, 2, 3)


def test_argnums_errors():
    with raises(
        ArgumentError, "argnums has 2", "called with 2 positional arguments", "0 to 1"
    ):
        mg.grad(weighted, argnums=2)(1.0, 2.0)
    with raises(ArgumentError, "argnums names an argument twice"):
        mg.grad(weighted, argnums=(0, 0))
    with raises(ArgumentError, "argnums names an argument twice"):
        mg.grad(weighted, argnums=(0, -2))(1.0, 2.0)
    with raises(ArgumentError, "argnums must be an integer", "argnames"):
        mg.grad(weighted, argnums="a")
    with raises(ArgumentError, "argnames has 'q'", "weighted", "a, b"):
        mg.grad(weighted, argnames="q")(1.0, 2.0)
    with raises(ArgumentError, "argnames must be a string"):
        mg.grad(weighted, argnames=(0,))


@pytest.mark.parametrize("value", ["text", object(), b"bytes", np.array(["a"])])
def test_results_that_are_not_arrays(value):
    with raises(DTypeError, "result['a'][1]"):
        mg.jit(lambda x: {"a": [x, value]})(1.0)
    with raises(DTypeError, "the result"):
        mg.grad(lambda x: value)(1.0)


@pytest.mark.parametrize(
    "value",
    [object(), np.array([object()]), np.array(["a"]), 1j, np.arange(3, dtype=np.uint8)],
)
def test_arguments_that_are_not_arrays(value):
    with raises(DTypeError, "argument p[0] of f"):

        def f(p):
            return p

        mg.jit(f)([value])


def test_not_a_function():
    with raises(ArgumentError, "expected a function", "mg.grad(f)(x)"):
        mg.grad(3.0)


def test_leaks():
    store = []

    def leaky(x):
        store.append(x * 2)
        return np.sum(x)

    mg.grad(leaky)(X)
    with raises(LeakError, "test_api.py", "after the trace of grad(leaky) had ended"):
        mg.jit(lambda x: x + store[0])(X)
    with raises(LeakError, "had ended"):
        mg.jit(lambda x: store[0])(X)

    def inner_leak(x):
        mg.grad(leaky)(x)
        return store[-1]

    with raises(LeakError, "had ended"):
        mg.jit(inner_leak)(X)


def test_tangent_errors():
    with raises(ArgumentError, "primals and tangents must be tuples"):
        mg.jvp(np.sin, X, X)
    with raises(ArgumentError, "1 primals but 2 tangents"):
        mg.jvp(np.sin, (X,), (X, X))
    with raises(ShapeError, "tangents[0] is float64[]", "float64[3]"):
        mg.jvp(np.sin, (X,), (1.0,))
    with raises(ArgumentError, "tangents[0] has the structure"):
        mg.jvp(np.sin, (X,), ([X],))


def test_cotangent_errors():
    _, pullback = mg.vjp(np.sin, X)
    with raises(ShapeError, "the pullback of sin", "float64[4]", "float64[3]"):
        pullback(np.ones(4))
    with raises(ArgumentError, "structure"):
        pullback((X,))


# --- indices -----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [3, -4, np.array([0, 3]), np.array([[-4]])])
def test_indices_are_checked_when_running(bad):
    f = mg.jit(lambda x, i: x[i])
    np.testing.assert_array_equal(f(X, np.array([-1, 0])), [3, 1])
    assert f(X, 2) == 3.0
    with raises(IndexingError, "test_api.py", "out of bounds", "-3 to 2"):
        f(X, bad)
    with raises(IndexingError, "out of bounds"):
        mg.grad(lambda x, i: np.sum(x[i]))(X, bad)


def test_constant_indices_are_checked_when_tracing():
    with pytest.raises(IndexingError, match="out of bounds"):
        mg.jit(lambda x: x[np.array([0, 7])])(X)


def test_a_captured_index_that_is_changed_later_stays_safe():
    index = np.array([0, 1])
    f = mg.jit(lambda x: x[index])
    f(X)
    index[:] = 10**9
    np.testing.assert_array_equal(f(X), X[:2])


def test_an_index_into_nothing():
    with pytest.raises(IndexingError):
        mg.jit(lambda x, i: x[i])(np.zeros(0), 0)


# --- jit: signatures ---------------------------------------------------------------


def counting():
    calls = []

    def f(x, y=1.0):
        calls.append(1)
        return x * y

    return f, calls


def test_one_trace_for_each_signature():
    f, calls = counting()
    g = mg.jit(f)
    for _ in range(3):
        g(X)
        g(X, 2.0)
        g(X, y=2.0)
        g(X.astype(np.float32))
        g(X[:2])
    assert len(calls) == 5 == g.cache_size()
    g(X, 2)
    assert len(calls) == 6


def test_wrappers_made_afresh_share_their_programs():
    f, calls = counting()
    for _ in range(5):
        mg.grad(f)(2.0)
        mg.value_and_grad(f)(2.0)
        mg.vmap(f, in_axes=(0, None))(X, 2.0)
        mg.jvp(f, (1.0,), (1.0,))
        mg.vjp(f, 1.0)[1](1.0)
        mg.jacobian(f)(1.0)
        mg.hessian(f)(1.0)
        mg.grad(functools.partial(f, y=2.0))(3.0)
    assert len(calls) == 8
    assert mg.grad(f) is mg.grad(f)


def test_partials_of_equal_but_different_values_are_different():
    def f(k, x):
        return k * x

    x = np.arange(3)
    assert mg.jit(functools.partial(f, 2))(x).dtype == np.int64
    assert mg.jit(functools.partial(f, 2.0))(x).dtype == np.float64
    assert mg.jit(functools.partial(f, True))(x)[2] == 2
    g = mg.jit(lambda k, x: k[0] * x, static_argnums=0)
    assert g((2,), x).dtype == np.int64
    assert g((2.0,), x).dtype == np.float64


def test_memo_is_not_copied_by_wraps():
    def f(x):
        return x * 2

    mg.grad(f)(1.0)

    @functools.wraps(f)
    def g(x):
        return f(x) * 10

    assert mg.grad(g)(1.0) == 20.0


def test_memo_dies_with_the_function():
    import gc
    import weakref

    def make():
        def f(x):
            return x * 2

        mg.grad(f)(1.0)
        return weakref.ref(f)

    reference = make()
    gc.collect()
    assert reference() is None


SCALE = 2.0


def test_a_changed_global_or_closure_is_traced_again(monkeypatch):
    k = 10.0

    def scaled(x):
        return x * SCALE

    helper = scaled

    def f(x):
        return helper(x) * k

    assert mg.grad(f)(1.0) == 20.0
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert mg.grad(f)(1.0) == 30.0
    k = 100.0
    assert mg.grad(f)(1.0) == 300.0

    helper = np.positive
    assert mg.grad(f)(1.0) == 100.0
    assert "closed-over value" in mg.grad(f).explain()


def test_a_captured_array_changed_in_place_is_seen():
    k = np.array([1.0, 2.0])
    f = mg.jit(lambda x: x * k)
    np.testing.assert_array_equal(f(1.0), [1, 2])
    k[0] = 5.0
    np.testing.assert_array_equal(f(1.0), [5, 2])


def test_static_arguments():
    f = mg.jit(
        lambda x, n, mode="a": x * np.ones(n) if mode == "a" else x,
        static_argnums=1,
        static_argnames="mode",
    )
    assert f(2.0, 3).shape == (3,)
    assert f(2.0, 4).shape == (4,)
    assert f(2.0, 4, mode="b") == 2.0
    assert f(2.0, 4, "b") == 2.0
    assert f(2.0, n=2).shape == (2,)
    assert f(3.0, 4)[0] == 3.0
    assert mg.grad(lambda x: np.sum(f(x, 5)))(1.0) == 5.0


def test_static_argument_errors():
    f = mg.jit(lambda x, n: x, static_argnums=1)
    with raises(DTypeError, "argument n of", "must be hashable", "list"):
        f(1.0, [1])
    with raises(ArgumentError, "static_argnames has 'q'", "x, n"):
        mg.jit(lambda x, n: x, static_argnames="q")
    with raises(ArgumentError, "static_argnums are integers"):
        mg.jit(lambda x: x, static_argnums="x")


def test_strings_and_functions_are_static_by_themselves():
    def f(x, activation, mode):
        return activation(x) if mode == "on" else x

    assert mg.jit(f)(0.5, np.sin, "on") == np.sin(0.5)
    assert mg.grad(f)(0.5, np.sin, "off") == 1.0


def test_explain_says_why():
    f = mg.jit(lambda x, y: x)
    assert "has not been called" in f.explain()
    f(X, 1.0)
    f(X[:2], 1.0)
    f([X], 1.0)
    lines = f.explain().splitlines()
    assert "3 traced" in lines[0]
    assert "the first call" in lines[1]
    assert "x was float64[3] and is float64[2]" in lines[2]
    assert "structure of the arguments is new" in lines[3]


def test_looking_inside():
    f = mg.jit(lambda x: np.exp(x) * 2)
    assert "exp" in str(f.graph(X))
    assert str(f.program(X))
    assert f.cache_size() == 1
    assert f(X).shape == (3,)
    assert f.cache_size() == 1
    assert "grad(weighted)" in repr(mg.grad(weighted))
    assert mg.grad(weighted).__wrapped__ is weighted
    assert mg.grad(weighted).__name__ == "weighted"


def test_interpreter_mode_gives_the_same():
    f = mg.value_and_grad(lambda x: np.sum(np.tanh(x) ** 2))
    value, gradient = f(X)
    with mg.interpret():
        again, gradient_again = f(X)
    assert value == pytest.approx(again, rel=1e-13)
    np.testing.assert_allclose(gradient, gradient_again, rtol=1e-13)


def test_make_graph_and_eval_shape():
    graph = mg.make_graph(mg.grad(lambda x: np.sum(x**2)))(X)
    assert graph.outputs[0].shape == (3,)
    shape = mg.ShapeDtype((2, 5), np.dtype("float32"))
    found = mg.eval_shape(lambda x: {"a": x @ x.T, "n": x.sum()}, shape)
    assert found["a"] == mg.ShapeDtype((2, 2), np.dtype("float32"))
    assert found["n"].ndim == 0
    assert mg.make_graph(np.sin)(shape).inputs[0].dtype == np.float32


# --- vjp, jvp, linearize, Jacobians ------------------------------------------------


def test_vjp_keeps_residuals():
    calls = []

    def f(x, n):
        calls.append(1)
        return {"a": np.exp(x) * n, "b": n}

    (
        out,
        pullback,
    ) = mg.vjp(f, X, 3)
    np.testing.assert_allclose(out["a"], 3 * np.exp(X))
    for _ in range(2):
        ct, ct_n = pullback({"a": np.ones(3), "b": 0})
        np.testing.assert_allclose(ct, 3 * np.exp(X))
        assert ct_n == 0
    assert len(calls) == 1
    assert "exp" not in str(pullback.plan.graph)


def test_vjp_has_aux():
    y, pullback, aux = mg.vjp(lambda x: (x**2, "no" and x + 1), 3.0, has_aux=True)
    assert (y, pullback(1.0), aux) == (9.0, (6.0,), 4.0)


def test_pullbacks_batch():
    _, pullback = mg.vjp(lambda x: np.sin(x), X)
    (rows,) = mg.vmap(pullback)(np.eye(3))
    np.testing.assert_allclose(rows, np.diag(np.cos(X)))


def test_jvp_of_trees_and_none():
    f = lambda p, k: p["a"] * k  # noqa: E731
    assert mg.jvp(f, ({"a": 2.0}, 3.0), ({"a": 1.0}, 1.0)) == (6.0, 5.0)
    assert mg.jvp(f, ({"a": 2.0}, 3.0), (None, 1.0)) == (6.0, 2.0)
    assert mg.jvp(f, ({"a": 2.0}, 3), ({"a": 1.0}, 0)) == (6.0, 3.0)
    *_, aux = mg.jvp(lambda x: (x, x + 1), (1.0,), (1.0,), has_aux=True)
    assert aux == 2.0


def test_linearize_evaluates_once():
    y, derivative = mg.linearize(lambda x: np.sin(x) * 2, X)
    np.testing.assert_allclose(y, 2 * np.sin(X))
    np.testing.assert_allclose(derivative(X), 2 * np.cos(X) * X)
    assert "sin" not in str(derivative.plan.graph)


@pytest.mark.parametrize("jacobian", [mg.jacrev, mg.jacfwd, mg.jacobian])
def test_jacobians(jacobian):
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(jacobian(lambda x: a @ x)(X), a)
    found = jacobian(lambda p, x: {"y": p["a"] @ x, "s": np.sum(x)}, argnums=(0, 1))(
        {"a": a}, X
    )
    assert found["y"][0]["a"].shape == (2, 2, 3)
    np.testing.assert_array_equal(found["y"][1], a)
    np.testing.assert_array_equal(found["s"][0]["a"], np.zeros((2, 3)))
    np.testing.assert_array_equal(found["s"][1], np.ones(3))
    values, aux = jacobian(lambda x: (x**2, x), has_aux=True)(X)
    np.testing.assert_array_equal(values, np.diag(2 * X))
    np.testing.assert_array_equal(aux, X)
    with pytest.raises(DTypeError, match="an output is int64"):
        jacobian(lambda x: x.astype(int))(X)


def test_elementwise_grad():
    np.testing.assert_array_equal(
        mg.elementwise_grad(lambda x, k: k * x**2)(X, 3.0), 6 * X
    )
    np.testing.assert_array_equal(
        mg.elementwise_grad(lambda k, x: k * x, argnums=1)(2.0, X), [2, 2, 2]
    )


def test_hvp_of_several_arguments():
    f = lambda x, y: np.sum(x * y**2)  # noqa: E731
    hx, hy = mg.hvp(f, (X, X), (np.ones(3), np.zeros(3)))
    np.testing.assert_array_equal(hx, np.zeros(3))
    np.testing.assert_array_equal(hy, 2 * X)


# --- vmap --------------------------------------------------------------------------


def test_vmap_axes():
    m = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(mg.vmap(np.sum)(m), m.sum(1))
    np.testing.assert_array_equal(mg.vmap(np.sum, in_axes=1)(m), m.sum(0))
    np.testing.assert_array_equal(mg.vmap(np.sum, in_axes=-1)(m), m.sum(0))
    np.testing.assert_array_equal(mg.vmap(lambda x: x, out_axes=1)(m), m.T)
    np.testing.assert_array_equal(mg.vmap(lambda x: x, in_axes=1, out_axes=-1)(m), m)


def test_vmap_trees_of_axes():
    p = {"a": np.arange(6.0).reshape(3, 2), "b": 1.0}
    f = lambda p, x: {"y": p["a"] @ x + p["b"], "x": x}  # noqa: E731
    found = mg.vmap(
        f, in_axes=({"a": 1, "b": None}, None), out_axes={"y": 0, "x": None}
    )(p, X)
    np.testing.assert_array_equal(found["y"], p["a"].T @ X + 1)
    np.testing.assert_array_equal(found["x"], X)
    found = mg.vmap(lambda x, *, k: x * k)(X, k=X)
    np.testing.assert_array_equal(found, X * X)
    np.testing.assert_array_equal(mg.vmap(lambda p: p[0] + p[1])((X, X)), 2 * X)


def test_vmap_axis_size():
    found = mg.vmap(lambda x: x, in_axes=None, axis_size=2)(X)
    np.testing.assert_array_equal(found, [X, X])


def test_vmap_errors():
    add = lambda x, y: x + y  # noqa: E731
    with raises(ArgumentError, "in_axes has 1 entries", "2 positional"):
        mg.vmap(add, in_axes=(0,))(X, X)
    with raises(AxisError, "axis 1 of y", "float64[3]"):
        mg.vmap(add, in_axes=(0, 1))(X, X)
    with raises(ShapeError, "different sizes", "x: 3, y: 2"):
        mg.vmap(add)(X, X[:2])
    with raises(ShapeError, "different sizes", "axis_size: 5"):
        mg.vmap(add, axis_size=5)(X, X)
    with raises(ArgumentError, "does not fit the structure"):
        mg.vmap(add, in_axes=(0, {"a": 0}))(X, X)
    with raises(ArgumentError, "no argument is batched", "axis_size"):
        mg.vmap(add, in_axes=None)(X, X)
    with raises(ArgumentError, "out_axes is None for result", "depends on batched"):
        mg.vmap(add, out_axes=None)(X, X)
    with raises(AxisError, "out_axes asks for axis 1"):
        mg.vmap(add, out_axes=1)(X, X)
    with raises(ArgumentError, "in_axes must be an integer"):
        mg.vmap(add, in_axes="x")
    with raises(ArgumentError, "in_axes holds axes", "1.5"):
        mg.vmap(add, in_axes=(0, 1.5))(X, X)


# --- threads -----------------------------------------------------------------------


def test_threads_may_trace_and_run_at_once():
    f = mg.value_and_grad(lambda x, k: np.sum(np.sin(x) * k))
    failures = []
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for size in (1, 2, 3, 2, 1):
            x = np.full(size, float(number))
            value, gradient = f(x, 2.0)
            if not np.allclose(gradient, 2 * np.cos(x)):
                failures.append((number, size, value))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pictures():
    from mgrad.inspect import graphviz, mermaid

    graph = mg.make_graph(lambda x, y: (np.maximum(x, 2.0), x @ y))(X, X)
    text = mermaid(graph)
    assert text.startswith("flowchart TD")
    assert (
        text.count("-->")
        == sum(len([a for a in n.args if a in graph.names()]) for n in graph.nodes) + 2
    )
    assert "result 1" in text
    assert '"' not in re.sub(r'(\["|"\]|>"|\(\["|"\]\))', "", text)
    assert graphviz(graph).startswith("digraph {")
