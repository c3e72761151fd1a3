"""W4: one training step of a multilayer perceptron, relu, cross-entropy, Adam, float32.

Each library's version is what its users write: a pytree of parameters and a jitted
step for mgrad and JAX, modules and a fused optimiser for PyTorch. Labels are one-hot
rows, given as data to all three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import optree

from benchmarks.case import Case, Contender

RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
LOSSES_COMPARED = 3


class Data(NamedTuple):
    """A batch, and the parameters that every library starts from."""

    params: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    y: np.ndarray


def problem(widths: Sequence[int], batch: int) -> Data:
    """Random inputs and labels; weights as He et al. (2015) initialise them."""
    rng = np.random.default_rng(0)

    def layer(fan_in: int, fan_out: int) -> tuple[np.ndarray, np.ndarray]:
        weight = rng.normal(scale=np.sqrt(2 / fan_in), size=(fan_in, fan_out))
        return weight.astype(np.float32), np.zeros(fan_out, np.float32)

    params = [layer(*pair) for pair in pairwise(widths)]
    x = rng.normal(size=(batch, widths[0])).astype(np.float32)
    labels = rng.integers(widths[-1], size=batch)
    return Data(params, x, np.eye(widths[-1], dtype=np.float32)[labels])


def zeros_like(params: Any) -> Any:
    return optree.tree_map(np.zeros_like, params)


class Trainer:
    """Holds the state between the steps of a functional training loop."""

    def __init__(self, step: Callable[..., Any], params: Any, x: Any, y: Any) -> None:
        self.step, self.x, self.y = step, x, y
        self.state = (params, zeros_like(params), zeros_like(params))
        self.count = 0

    def __call__(self) -> Any:
        self.count += 1
        t = np.float32(self.count)
        *state, value = self.step(*self.state, t, self.x, self.y)
        self.state = tuple(state)
        return value


def compared(gradient: Callable[[], Any], step: Callable[[], Any]) -> Any:
    """Loss and gradient at the start, then the losses of the first steps."""
    return gradient(), [float(step()) for _ in range(LOSSES_COMPARED)]


# mgrad -----------------------------------------------------------------------


def numpy_loss(params: Any, x: Any, y: Any) -> Any:
    *hidden, (weight, bias) = params
    for w, b in hidden:
        x = np.maximum(x @ w + b, 0)
    z = x @ weight + bias
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(np.sum(y * log_p, axis=1))


def mgrad(data: Data) -> Contender:
    import mgrad as mg

    @mg.jit
    def step(params: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
        value, grads = mg.value_and_grad(numpy_loss)(params, x, y)
        m = mg.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = mg.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)

        def descend(p: Any, m: Any, v: Any) -> Any:
            m, v = m / (1 - BETA1**t), v / (1 - BETA2**t)
            return p - RATE * m / (np.sqrt(v) + EPS)

        return mg.tree.map(descend, params, m, v), m, v, value

    train = Trainer(step, *data)
    gradient = partial(mg.value_and_grad(numpy_loss), *data)
    primal = partial(mg.jit(numpy_loss), *data)
    timed = {"step": train, "gradient": gradient, "primal": primal}
    return Contender(timed, lambda: compared(gradient, train))


# JAX -------------------------------------------------------------------------


def jax_entry(data: Data, numpy_in_and_out: bool) -> Contender:
    import jax
    import jax.numpy as jnp

    def loss(params: Any, x: Any, y: Any) -> Any:
        *hidden, (weight, bias) = params
        for w, b in hidden:
            x = jax.nn.relu(x @ w + b)
        log_p = jax.nn.log_softmax(x @ weight + bias)
        return -jnp.mean(jnp.sum(y * log_p, axis=1))

    def step(params: Any, m: Any, v: Any, t: Any, x: Any, y: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x, y)
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)

        def descend(p: Any, m: Any, v: Any) -> Any:
            m, v = m / (1 - BETA1**t), v / (1 - BETA2**t)
            return p - RATE * m / (jnp.sqrt(v) + EPS)

        return jax.tree.map(descend, params, m, v), m, v, value

    def finish(outputs: Any) -> Any:
        if numpy_in_and_out:
            return jax.tree.map(np.asarray, outputs)
        return jax.block_until_ready(outputs)

    def waited(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: finish(function(*args))

    donated = () if numpy_in_and_out else ("params", "m", "v")
    args = data if numpy_in_and_out else jax.device_put(data)
    fresh = data if numpy_in_and_out else jax.device_put(data)
    train = Trainer(waited(jax.jit(step, donate_argnames=donated)), *fresh)
    gradient = partial(waited(jax.jit(jax.value_and_grad(loss))), *args)
    primal = partial(waited(jax.jit(loss)), *args)
    timed = {"step": train, "gradient": gradient, "primal": primal}
    return Contender(timed, lambda: compared(gradient, train))


# PyTorch ---------------------------------------------------------------------


def torch_model(params: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    """`Linear`, `ReLU`, ..., `Linear`, with the given weights."""
    import torch

    layers: list[Any] = []
    for weight, bias in params:
        linear = torch.nn.Linear(*weight.shape)
        linear.weight.data = torch.tensor(weight.T.copy())
        linear.bias.data = torch.tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def torch_entry(data: Data, compiled: bool) -> Contender:
    import torch

    model = torch_model(data.params)
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    optimizer = torch.optim.Adam(
        model.parameters(), RATE, (BETA1, BETA2), EPS, fused=True
    )

    def loss() -> Any:
        return torch.nn.functional.cross_entropy(model(x), y)

    if compiled:
        loss = torch.compile(loss, dynamic=False)

    def gradient() -> Any:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.detach(), [p.grad for p in model.parameters()]

    def step() -> Any:
        value, _ = gradient()
        optimizer.step()
        return value

    def primal() -> Any:
        with torch.no_grad():
            return loss()

    def outputs() -> Any:
        (value, grads), losses = compared(gradient_copy, step)
        pairs = zip(grads[::2], grads[1::2], strict=True)
        return (value, [(weight.T, bias) for weight, bias in pairs]), losses

    def gradient_copy() -> Any:
        value, grads = gradient()
        return value, [grad.clone() for grad in grads]

    return Contender({"step": step, "gradient": gradient, "primal": primal}, outputs)


# -----------------------------------------------------------------------------


def case(name: str, widths: Sequence[int], batch: int) -> Case:
    contenders = {
        "mgrad": mgrad,
        "jax": partial(jax_entry, numpy_in_and_out=False),
        "jax-numpy": partial(jax_entry, numpy_in_and_out=True),
        "torch": partial(torch_entry, compiled=False),
        "torch-compile": partial(torch_entry, compiled=True),
    }
    data = partial(problem, widths, batch)
    return Case(f"{name} batch {batch}", "float32", data, contenders, headline="step")


CASES = [
    case("2-16-16-10", (2, 16, 16, 10), 32),
    case("784-512-512-10", (784, 512, 512, 10), 128),
    case("784-512-512-10", (784, 512, 512, 10), 1024),
]
