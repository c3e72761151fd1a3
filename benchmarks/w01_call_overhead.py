"""W1: call overhead, where the arithmetic takes no time.

`value_and_grad` of Rosenbrock's function, of 50 sines one after the other, and of a
sum of squares over a pytree of many small leaves.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Case
from benchmarks.contenders import Build, numpy_by_hand, peers_of

SINES = 50


def rosenbrock(xp: Any) -> Any:
    def function(x: Any) -> Any:
        ahead, here = x[1:], x[:-1]
        return xp.sum(100 * (ahead - here**2) ** 2 + (1 - here) ** 2)

    return function


def rosenbrock_gradient(x: np.ndarray) -> np.ndarray:
    ahead, here = x[1:], x[:-1]
    gradient = np.zeros_like(x)
    gradient[1:] += 200 * (ahead - here**2)
    gradient[:-1] -= 400 * here * (ahead - here**2) + 2 * (1 - here)
    return gradient


def sines(xp: Any) -> Any:
    def function(x: Any) -> Any:
        for _ in range(SINES):
            x = xp.sin(x)
        return x

    return function


def sines_gradient(x: np.floating[Any]) -> np.floating[Any]:
    gradient = np.float64(1)
    for _ in range(SINES):
        gradient *= np.cos(x)
        x = np.sin(x)
    return gradient


def sum_of_squares(xp: Any) -> Any:
    def function(leaves: list[Any]) -> Any:
        return sum(xp.sum(leaf * leaf) for leaf in leaves)

    return function


def sum_of_squares_gradient(leaves: list[np.ndarray]) -> list[np.ndarray]:
    return [2 * leaf for leaf in leaves]


def point(n: int) -> tuple[np.ndarray]:
    return (np.linspace(-1.2, 1.0, n),)


def scalar() -> tuple[np.floating[Any]]:
    return (np.float64(0.5),)


def tree(leaves: int) -> tuple[list[np.ndarray]]:
    return ([np.arange(4.0) + i for i in range(leaves)],)


def case(name: str, data: Any, build: Build, gradient: Any) -> Case:
    contenders = {"numpy": numpy_by_hand(build, gradient), **peers_of(build)}
    return Case(name, "float64", data, contenders)


CASES = [
    *(
        case(f"Rosenbrock n={n}", partial(point, n), rosenbrock, rosenbrock_gradient)
        for n in (2, 10)
    ),
    case(f"{SINES} sines", scalar, sines, sines_gradient),
    *(
        case(
            f"pytree of {leaves}",
            partial(tree, leaves),
            sum_of_squares,
            sum_of_squares_gradient,
        )
        for leaves in (10, 100, 1000)
    ),
]
