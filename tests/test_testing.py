"""check_grads finds a wrong rule and names it; finite differences are right."""

from __future__ import annotations

import numpy as np
import pytest

import mgrad as mg
from mgrad.errors import ArgumentError, GradientError
from mgrad.primitive import REGISTRY, Elementwise
from mgrad.testing import check_grads, finite_difference_grad, numerical_jvp

X = np.array([0.5, 1.5])


@pytest.fixture
def wrong_rule():
    """A primitive whose derivative is wrong by a factor."""
    name = "wrong_cube_for_this_test"
    primitive = Elementwise(
        name,
        "x^3 with a wrong derivative.",
        numpy=lambda x: x**3,
        scalar=lambda s, x: s.mul(x, s.mul(x, x)),
        partials=lambda out, x: (2.5 * x * x,),
    )
    yield primitive
    del REGISTRY[name]


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_wrong_rule_is_found_and_named(wrong_rule, mode):
    def f(x):
        return np.sum(np.sin(wrong_rule(x)))  # the line to name

    with mg.interpret(), pytest.raises(GradientError) as caught:
        check_grads(f, (X,), modes=(mode,))
    message = str(caught.value)
    assert "wrong_cube_for_this_test" in message
    assert "test_testing.py:" in message
    assert mode in message
    assert "sin'" not in message


def test_a_wrong_second_derivative_is_found():
    name = "wrong_second_for_this_test"
    first = Elementwise(
        name + "_slope",
        "cos with a wrong derivative.",
        numpy=np.cos,
        scalar=lambda s, x: s.cos(x),
        partials=lambda out, x: (np.sin(x),),
    )
    primitive = Elementwise(
        name,
        "sin whose derivative is that.",
        numpy=np.sin,
        scalar=lambda s, x: s.sin(x),
        partials=lambda out, x: (first(x),),
    )
    try:
        with mg.interpret():
            check_grads(lambda x: np.sum(primitive(x)), (X,), order=1)
            with pytest.raises(GradientError, match="wrong_second_for_this_test_slope"):
                check_grads(lambda x: np.sum(primitive(x)), (X,), order=2)
    finally:
        del REGISTRY[name], REGISTRY[name + "_slope"]


def test_right_functions_pass():
    def f(params, n):
        return np.sum(np.tanh(params["w"] @ X) * n), params["b"]

    check_grads(f, ({"w": np.eye(2), "b": 2.0}, 3), order=3)


def test_float32_has_tolerances_of_its_own():
    check_grads(lambda x: np.sum(np.exp(x)), (X.astype(np.float32),), order=1)


def test_a_kink_is_reported_as_such():
    with pytest.raises(GradientError, match=r"may not be smooth|disagrees"):
        check_grads(lambda x: np.sum(np.floor(x)), (np.array([1.0]),), order=1)


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="modes are 'forward' and 'reverse'"):
        check_grads(np.sin, (1.0,), modes=("sideways",))
    with pytest.raises(ArgumentError, match="no argument has a floating-point leaf"):
        check_grads(np.sin, (1,))


def test_finite_difference_grad_of_a_tree():
    def f(scale, params):
        return scale * np.sum(params["a"] ** 2) + params["b"]

    found = finite_difference_grad(f, argnums=1)(2.0, {"a": X, "b": 1.0})
    np.testing.assert_allclose(found["a"], 4 * X, rtol=1e-7)
    assert found["b"] == pytest.approx(1.0)


def test_numerical_jvp_holds_integers():
    slope = numerical_jvp(lambda x, n: x * n, (2.0, 3), (1.0, 0))
    assert slope == pytest.approx(3.0)
