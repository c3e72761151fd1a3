"""Programs that a researcher brings along: plain NumPy, the public API only.

Each runs as it is in NumPy, which gives the value and, by finite differences, the
gradient to compare with. Below them are the surprises that such programs met.
"""

from __future__ import annotations

import copy
import functools
import types
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import mgrad as mg
import mgrad.numpy as mnp
from mgrad.testing import finite_difference_grad

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4))
LABELS = RNG.integers(0, 3, 8)
TARGET = RNG.normal(size=8)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(0.5 * RNG.normal(size=shape))


# --- programs ----------------------------------------------------------------------


def logistic_regression(p: Any, x: Any, y: Any) -> Any:
    z = x @ p["w"] + p["b"]
    return np.mean(np.logaddexp(0, z) - (y == 1) * z) + 0.01 * np.sum(p["w"] ** 2)


def cross_entropy(z: Any, y: Any) -> Any:
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(y)), y].mean()


def mlp(layers: Any, x: Any, y: Any) -> Any:
    for w, b in layers[:-1]:
        x = np.tanh(x @ w + b)
    w, b = layers[-1]
    return cross_entropy(x @ w + b, y)


Linear = namedtuple("Linear", "w b")


@mg.tree.register_dataclass
@dataclass
class Net:
    hidden: Linear
    out: Any

    def __call__(self, x: Any) -> Any:
        return np.maximum(x @ self.hidden.w + self.hidden.b, 0) @ self.out


def dataclass_net(net: Any, x: Any, y: Any) -> Any:
    return np.mean((net(x) - y) ** 2)


def rnn(p: Any, xs: Any) -> Any:
    h = np.zeros((xs.shape[1], p["wh"].shape[0]), xs.dtype)
    for x in xs:
        h = np.tanh(x @ p["wx"] + h @ p["wh"] + p["b"])
    return np.sum(h**2)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def lstm(p: Any, xs: Any) -> Any:
    h = c = np.zeros((xs.shape[1], p["u"].shape[0]))
    hidden = []
    for x in xs:
        i, f, o, z = np.split(x @ p["w"] + h @ p["u"] + p["b"], 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        hidden.append(h)
    return np.mean(np.stack(hidden) ** 2)


def cnn(p: Any, x: Any, y: Any) -> Any:
    n, height, width = x.shape
    windows = [
        x[:, i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3)
    ]
    z = np.einsum("nhwk,kc->nhwc", np.stack(windows, axis=-1), p["k"]) + p["b"]
    z = np.maximum(z, 0).reshape(n, (height - 2) // 2, 2, (width - 2) // 2, 2, -1)
    return cross_entropy(z.max(axis=(2, 4)).reshape(n, -1) @ p["w"], y)


def attention(p: Any, x: Any) -> Any:
    batch, time, width = x.shape

    def heads(a: Any) -> Any:
        return a.reshape(batch, time, 2, width // 2).transpose(0, 2, 1, 3)

    q, k, v = (heads(x @ p[name]) for name in "qkv")
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(width // 2)
    scores = np.where(np.tril(np.ones((time, time), bool)), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (e / e.sum(-1, keepdims=True)) @ v
    out = x + mixed.transpose(0, 2, 1, 3).reshape(batch, time, width) @ p["o"]
    centred = out - out.mean(-1, keepdims=True)
    return np.sum(np.sin(centred / np.sqrt(out.var(-1, keepdims=True) + 1e-5)))


def batch_norm(p: Any, x: Any) -> Any:
    h = p["g"] * (x - np.mean(x, axis=0)) / (np.std(x, axis=0) + 1e-5) + p["b"]
    return np.mean(np.cos(h))


def k_means(centres: Any, x: Any) -> Any:
    distances = np.sum((x[:, None] - centres) ** 2, axis=-1)
    return np.sum(np.min(distances, axis=1))


def k_means_hard(centres: Any, x: Any) -> Any:
    nearest = np.argmin(np.linalg.norm(x[:, None] - centres, axis=-1), axis=1)
    return np.mean((x - centres[nearest]) ** 2)


def gaussian_mixture(p: Any, x: Any) -> Any:
    log_weight = p["a"] - mnp.logsumexp(p["a"])
    z = (x[:, None] - p["mu"]) * np.exp(-p["log_s"])
    log_density = -np.sum(0.5 * z**2 + p["log_s"] + 0.5 * np.log(2 * np.pi), axis=-1)
    return -np.sum(mnp.logsumexp(log_weight + log_density, axis=1))


def polynomial(c: Any, x: Any, y: Any) -> Any:
    powers = sum(c_i * x**i for i, c_i in enumerate(c))
    residuals = np.polyval(c, x), np.vander(x, len(c)) @ c, powers
    return sum(np.mean((r - y) ** 2) for r in residuals)


def pendulum(state: Any, g: Any, steps: int = 6) -> Any:
    def slope(s: Any) -> Any:
        return np.stack([s[1], -g * np.sin(s[0])])

    dt = 0.05
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + dt / 2 * k1)
        k3 = slope(state + dt / 2 * k2)
        k4 = slope(state + dt * k3)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state[0]


def heat(u: Any, rate: Any) -> Any:
    for _ in range(4):
        inner = u[1:-1] + rate * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = np.concatenate([u[:1], inner, u[-1:]])
    return np.sum(u**2)


def heat_on_a_torus(u: Any) -> Any:
    shifted = sum(np.roll(u, step, axis) for step in (1, -1) for axis in (0, 1))
    return np.sum((u + 0.1 * (shifted - 4 * u)) ** 3)


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def embedding(table: Any, words: Any) -> Any:
    return np.sum(np.tanh(table[words].mean(axis=1)) ** 2)


def huber(w: Any, x: Any, y: Any) -> Any:
    r = x @ w - y
    cases = [np.abs(r) < 0.5, np.abs(r) >= 0.5]
    return np.sum(np.piecewise(r, cases, [lambda r: r**2, lambda r: np.abs(r) - 0.25]))


GATES = {"w": normal(3, 16), "u": normal(4, 16), "b": normal(16)}
PROGRAMS: dict[str, tuple[Any, ...]] = {
    "logistic regression": (
        logistic_regression,
        {"w": np.zeros(4), "b": 0.1},
        X,
        LABELS,
    ),
    "mlp": (mlp, [(normal(4, 5), normal(5)), (normal(5, 3), np.zeros(3))], X, LABELS),
    "dataclass": (
        dataclass_net,
        Net(Linear(normal(4, 5), normal(5)), normal(5)),
        X,
        TARGET,
    ),
    "rnn": (
        rnn,
        {"wx": normal(3, 4), "wh": normal(4, 4), "b": normal(4)},
        normal(5, 2, 3),
    ),
    "lstm": (lstm, GATES, normal(3, 2, 3)),
    "cnn": (
        cnn,
        {"k": normal(9, 2), "b": normal(2), "w": normal(8, 3)},
        normal(8, 6, 6),
        LABELS,
    ),
    "attention": (attention, {n: normal(4, 4) for n in "qkvo"}, normal(2, 3, 4)),
    "batch norm": (batch_norm, {"g": np.ones(4), "b": np.zeros(4)}, X),
    "k-means": (k_means, normal(3, 4), X),
    "k-means, hard": (k_means_hard, normal(3, 4), X),
    "mixture": (
        gaussian_mixture,
        {"a": normal(3), "mu": normal(3, 4), "log_s": normal(3, 4)},
        X,
    ),
    "polynomial": (polynomial, normal(4), X[:, 0], TARGET),
    "pendulum": (pendulum, np.array([1.0, 0.0]), 9.8),
    "heat": (heat, normal(9), 0.1),
    "torus": (heat_on_a_torus, normal(5, 5)),
    "rosenbrock": (rosenbrock, normal(6)),
    "embedding": (embedding, normal(6, 3), RNG.integers(0, 6, (2, 3))),
    "piecewise": (huber, normal(4), X, TARGET),
}


def assert_trees_close(found: Any, wanted: Any, **tolerance: float) -> None:
    assert mg.tree.structure(found) == mg.tree.structure(wanted)
    pairs = zip(mg.tree.leaves(found), mg.tree.leaves(wanted), strict=True)
    for a, b in pairs:
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    f, *args = PROGRAMS[name]
    kept = copy.deepcopy(args)
    value, gradient = mg.value_and_grad(f)(*args)
    np.testing.assert_allclose(value, f(*args), rtol=1e-12)
    wanted = finite_difference_grad(f)(*args)
    assert_trees_close(gradient, wanted, rtol=1e-6, atol=1e-7)
    assert_trees_close(args, kept, rtol=0)  # nothing of the caller's has changed


@pytest.mark.parametrize("name", ["mlp", "rnn", "batch norm"])
def test_program_in_float32(name: str) -> None:
    f, *args = PROGRAMS[name]
    wanted = mg.grad(f)(*args)

    def narrow(x: Any) -> Any:
        return x.astype(np.float32) if x.dtype.kind == "f" else x

    value, gradient = mg.value_and_grad(f)(*mg.tree.map(narrow, tuple(args)))
    assert value.dtype == np.float32
    assert {leaf.dtype.name for leaf in mg.tree.leaves(gradient)} == {"float32"}
    assert_trees_close(gradient, wanted, rtol=1e-3, atol=1e-4)


# --- ways to call ------------------------------------------------------------------


def test_adam_in_float32_with_a_python_learning_rate() -> None:
    f, params, x, y = PROGRAMS["mlp"]
    params, x = mg.tree.map(lambda a: a.astype(np.float32), (params, x))
    m = v = mg.tree.map(np.zeros_like, params)
    losses = []
    for t in range(1, 30):
        value, g = mg.value_and_grad(f)(params, x, y)
        losses.append(value)
        m = mg.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = mg.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        params = mg.tree.map(
            lambda p, a, b, t=t: (
                p - 0.05 * a / (1 - 0.9**t) / (np.sqrt(b / (1 - 0.999**t)) + 1e-8)
            ),
            params,
            m,
            v,
        )
    assert losses[-1] < 0.5 * losses[0]
    kinds = {leaf.dtype.name for leaf in mg.tree.leaves((params, m, v, losses))}
    assert kinds == {"float32"}
    step = mg.jit(lambda p, g, rate: mg.tree.map(lambda a, b: a - rate * b, p, g))
    assert mg.tree.leaves(step(params, g, 0.1))[0].dtype == np.float32


def test_newton_with_the_hessian_and_with_products() -> None:
    def f(w: Any) -> Any:
        margins = (X @ w) * (2 * (LABELS > 0) - 1)
        return np.sum(np.logaddexp(0, -margins)) + 0.5 * w @ w

    w = np.zeros(4)  # where both arguments of logaddexp are equal
    for _ in range(6):
        h = mg.hessian(f)(w)
        product = mg.hvp(f, (w,), (TARGET[:4],))
        np.testing.assert_allclose(product, h @ TARGET[:4], rtol=1e-10)
        w = w - np.linalg.solve(h, mg.grad(f)(w))
    np.testing.assert_allclose(mg.grad(f)(w), 0, atol=1e-10)


def test_second_derivatives_where_a_rule_has_a_special_case() -> None:
    both = mg.hessian(lambda v: np.logaddexp(v[0], v[1]))
    np.testing.assert_allclose(both(np.zeros(2)), [[0.25, -0.25], [-0.25, 0.25]])
    np.testing.assert_array_equal(
        mg.grad(lambda v: np.logaddexp(v[0], v[1]))(np.array([np.inf, np.inf])), 0.5
    )
    power = mg.hessian(lambda v: v[0] ** v[1])
    np.testing.assert_allclose(
        power(np.array([2.0, 0.0])), [[0, 0.5], [0.5, np.log(2) ** 2]], atol=1e-15
    )
    np.testing.assert_array_equal(
        mg.grad(lambda v: v[0] ** v[1])(np.zeros(2)), [0.0, 0.0]
    )


def test_rosenbrock_hessian_and_both_jacobians() -> None:
    x = PROGRAMS["rosenbrock"][1]
    wanted = mg.jacfwd(mg.grad(rosenbrock))(x)
    np.testing.assert_allclose(mg.hessian(rosenbrock)(x), wanted, rtol=1e-12)
    np.testing.assert_allclose(wanted, wanted.T, atol=1e-10)

    def f(x: Any) -> Any:
        return np.stack([np.sin(x).sum(), np.prod(x), x[0] / x[1], x @ x])

    np.testing.assert_allclose(mg.jacfwd(f)(x), mg.jacrev(f)(x), rtol=1e-10)


def test_gradients_of_each_example() -> None:
    w = TARGET[:4]
    each = mg.vmap(mg.grad(lambda w, x, y: (x @ w - y) ** 2), in_axes=(None, 0, 0))
    np.testing.assert_allclose(each(w, X, TARGET), 2 * (X @ w - TARGET)[:, None] * X)


@pytest.mark.parametrize(
    "x",
    [
        X[::2, ::2],
        np.asfortranarray(X),
        X.astype(">f8"),
        X[::-1],
        X.T,
        np.broadcast_to(X[0], (3, 4)),
    ],
    ids="strided fortran big-endian reversed transposed broadcast".split(),
)
def test_layouts_of_arguments_and_of_closed_over_arrays(x: np.ndarray) -> None:
    x.flags.writeable = False
    found = mg.grad(lambda a: np.sum(np.sin(a) * x))(x)
    np.testing.assert_allclose(found, np.cos(x) * x, rtol=1e-12)
    assert found.dtype == np.float64
    assert found.flags.writeable


def test_defaults_rest_keywords_and_partials() -> None:
    def f(a: Any, b: Any = 2.0, *rest: Any, scale: Any = 1.0, **more: Any) -> Any:
        return a * b * scale * sum(rest, 1.0) * more.get("q", 1.0)

    assert mg.grad(f)(3.0) == 2.0
    assert mg.grad(f)(3.0, 1.0, 2.0, 3.0) == 6.0
    assert mg.grad(f, argnums=2)(3.0, 1.0, 2.0) == 3.0
    assert mg.grad(f)(3.0, scale=4.0, q=5.0) == 40.0
    assert mg.grad(f, argnames="q")(1.0, q=3.0) == 2.0
    assert mg.grad(functools.partial(f, scale=3.0))(1.0) == 6.0
    assert mg.grad(lambda v: (lambda a, b: a * b)(*v))(np.array([2.0, 3.0])).sum() == 5


def test_argnums_of_arguments_given_by_name() -> None:
    f = mg.grad(lambda x, y: x * y, argnums=(0, 1))
    assert f(2.0, y=3.0) == (3.0, 2.0)
    g = mg.jit(lambda x, n: x * np.ones(n), static_argnums=1)
    np.testing.assert_array_equal(g(X[0, :1], n=2), X[0, :1] * np.ones(2))
    last = mg.jit(lambda x, n=2: x * np.ones(n), static_argnums=-1)
    np.testing.assert_array_equal(last(X[0, :1]), X[0, :1] * np.ones(2))


def test_an_operator_in_place_leaves_the_callers_array_alone() -> None:
    def f(x: Any) -> Any:
        x += 1
        x *= 2
        return np.sum(x**2)

    x = np.ones(3)
    np.testing.assert_array_equal(mg.grad(f)(x), [16, 16, 16])
    np.testing.assert_array_equal(x, np.ones(3))


def test_traced_values_can_be_copied() -> None:
    def f(p: Any) -> Any:
        q = copy.deepcopy(p)
        q["w"] = copy.copy(q["w"]) * 2
        return np.sum(q["w"].copy())

    np.testing.assert_array_equal(mg.grad(f)({"w": np.ones(2)})["w"], [2, 2])


def test_elementwise_grad_takes_argnums() -> None:
    found = mg.elementwise_grad(lambda x, y: x * y, argnums=(0, 1))(X, 2 * X)
    assert_trees_close(found, (2 * X, X), rtol=1e-15)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.vander(x[0], 3) @ x[0, :3],
        lambda x: np.vander(x[0], increasing=True),
        lambda x: x[np.tril_indices_from(x)] + x[np.triu_indices_from(x)],
        lambda x: x[:4, :4][np.diag_indices_from(x[:4, :4])],
        lambda x: np.piecewise(x, [x < 0, x > 1], [np.negative, 3.0]),
        lambda x: np.piecewise(x[0], x[0] > 0.5, [np.square, lambda v: v + 1]),
        lambda x: x.imag + x.real.conjugate(),
    ],
)
def test_functions_of_numpy_that_programs_missed(f: Any) -> None:
    x = X[:4]
    np.testing.assert_allclose(mg.jit(f)(x), f(x), rtol=1e-14)


def test_types_may_be_given_by_name() -> None:
    assert mg.eval_shape(np.sum, mg.ShapeDtype(3, "float32")).dtype == np.float32


# --- state outside the arguments ---------------------------------------------------


class Base:
    scale = 2.0


class Model(Base):
    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot = 1.0
        self.part = types.SimpleNamespace(c=3.0)

    @property
    def tenfold(self) -> Any:
        return self.slot * 10

    def helper(self, x: Any) -> Any:
        return x * self.part.c

    def loss(self, x: Any) -> Any:
        return self.helper(x) * self.tenfold * self.scale

    def __call__(self, x: Any) -> Any:
        return self.loss(x)


@pytest.mark.parametrize("way", ["method", "object", "closure"])
def test_changed_attributes_are_traced_again(way: str, monkeypatch: Any) -> None:
    m = Model()
    f = {"method": m.loss, "object": m, "closure": lambda x: m.loss(x)}[way]
    g = mg.grad(f)
    assert g(1.0) == 60
    m.slot = 2.0
    assert g(1.0) == 120
    m.part.c = 4.0
    assert g(1.0) == 160
    m.scale = 1.0
    assert g(1.0) == 80
    del m.scale
    monkeypatch.setattr(Base, "scale", 7.0)
    assert g(1.0) == 560
    m.part = types.SimpleNamespace(c=1.0)
    assert g(1.0) == 140
    assert g(1.0) == 140
    assert "has changed: " in g.explain().splitlines()[2]
    assert "slot" in g.explain().splitlines()[2]


def test_changed_containers_are_traced_again() -> None:
    settings = {"a": {"b": 2.0}, "l": [1.0]}
    g = mg.grad(lambda x: x * settings["a"]["b"] * sum(settings["l"]))
    assert g(1.0) == 2
    settings["a"]["b"] = 3.0
    assert g(1.0) == 3
    settings["l"].append(1.0)
    assert g(1.0) == 6
    options = {"q": 1.0}
    h = mg.grad(functools.partial(lambda x, o: x * o["q"], o=options))
    assert h(1.0) == 1
    options["q"] = 2.0
    assert h(1.0) == 2


def test_what_tracing_itself_changes_is_not_traced_for_ever() -> None:
    log: list[Any] = []
    counter = types.SimpleNamespace(calls=0)

    def f(x: Any) -> Any:
        log.append(x.shape)
        counter.calls += 1
        return np.sum(x)

    g = mg.grad(f)
    for _ in range(3):
        g(np.ones(2))
        g(np.ones(3))
    assert log == [(2,), (3,)]
    assert counter.calls == 2


def test_an_attribute_that_changes_at_each_step_keeps_memory_bounded() -> None:
    m = types.SimpleNamespace(w=np.ones(2))
    g = mg.grad(lambda x: np.sum(x * m.w))
    with mg.interpret():
        for i in range(250):
            m.w = np.full(2, float(i))
            assert g(np.ones(2))[0] == i
    assert len(g.explain().splitlines()) < 210
    assert g.cache_size() == 1


# --- compiling ---------------------------------------------------------------------


def test_programs_of_unrolled_loops_grow_linearly() -> None:
    """Parts of an assembly once computed again all that came before them."""
    state = np.array([1.0, 0.0])

    def text(steps: int) -> int:
        f = functools.partial(pendulum, steps=steps)
        return len(str(mg.grad(f).program(state, 9.8)))

    assert text(6) < 2.6 * text(3)
