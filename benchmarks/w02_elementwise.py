"""W2: fused elementwise code, the gradient of a sum over n independent points.

The heavy one is the international equation of state of seawater (EOS-80), the light
one is sum(tanh(x) exp(-x^2)).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.case import Case
from benchmarks.contenders import (
    Build,
    Factory,
    numpy_by_hand,
    numpy_primal,
    peers_of,
    torch_compiled,
)

SIZES = (4_096, 65_536, 1_048_576)


def polynomial(x: Any, *coefficients: float) -> Any:
    """Horner's rule, the constant term first."""
    *lower, value = coefficients
    for coefficient in reversed(lower):
        value = value * x + coefficient
    return value


def surface_density(s: Any, root: Any, t: Any) -> Any:
    """Density at one standard atmosphere, from that of pure water."""
    water = polynomial(
        t, 999.842594, 6.793952e-2, -9.095290e-3, 1.001685e-4, -1.120083e-6, 6.536332e-9
    )
    linear = polynomial(t, 8.24493e-1, -4.0899e-3, 7.6438e-5, -8.2467e-7, 5.3875e-9)
    three_halves = polynomial(t, -5.72466e-3, 1.0227e-4, -1.6546e-6)
    return water + s * (linear + root * three_halves + s * 4.8314e-4)


def secant_bulk_modulus(s: Any, root: Any, t: Any, p: Any) -> Any:
    """How hard seawater is to compress, quadratic in pressure."""
    at_surface = (
        polynomial(t, 19652.21, 148.4206, -2.327105, 1.360477e-2, -5.155288e-5)
        + s * polynomial(t, 54.6746, -0.603459, 1.09987e-2, -6.1670e-5)
        + s * root * polynomial(t, 7.944e-2, 1.6483e-2, -5.3009e-4)
    )
    linear = (
        polynomial(t, 3.239908, 1.43713e-3, 1.16092e-4, -5.77905e-7)
        + s * polynomial(t, 2.2838e-3, -1.0981e-5, -1.6078e-6)
        + s * root * 1.91075e-4
    )
    quadratic = polynomial(t, 8.50935e-5, -6.12293e-6, 5.2787e-8) + s * polynomial(
        t, -9.9348e-7, 2.0816e-8, 9.1697e-10
    )
    return at_surface + p * (linear + p * quadratic)


def density(s: Any, t: Any, p: Any, sqrt: Callable[[Any], Any] = np.sqrt) -> Any:
    """Density of seawater in kg/m^3: EOS-80, 41 coefficients.

    Practical salinity `s`, temperature `t` in degrees Celsius (IPTS-68), pressure `p`
    in bar above one atmosphere. UNESCO Technical Papers in Marine Science 36 (1981);
    the check values are those of Fofonoff and Millard, the same series 44 (1983).

    >>> for s, t, p in [(0, 5, 0), (35, 5, 0), (0, 25, 1000), (35, 25, 1000)]:
    ...     print(round(float(density(s, t, p)), 5))
    999.96675
    1027.67547
    1037.90204
    1062.53817
    """
    root = sqrt(s)
    modulus = secant_bulk_modulus(s, root, t, p)
    return surface_density(s, root, t) / (1 - p / modulus)


def seawater(xp: Any) -> Any:
    def function(s: Any, t: Any, p: Any) -> Any:
        return xp.sum(density(s, t, p, xp.sqrt))

    return function


def ocean(n: int) -> tuple[np.ndarray, ...]:
    """Points of the range that the equation of state was fitted to."""
    rng = np.random.default_rng(0)
    return rng.uniform(1, 42, n), rng.uniform(-2, 40, n), rng.uniform(0, 1000, n)


def bump(xp: Any) -> Any:
    def function(x: Any) -> Any:
        return xp.sum(xp.tanh(x) * xp.exp(-x * x))

    return function


def bump_gradient(x: np.ndarray) -> np.ndarray:
    tanh, bell = np.tanh(x), np.exp(-x * x)
    return bell * (1 - tanh * tanh - 2 * x * tanh)


def line(n: int) -> tuple[np.ndarray]:
    return (np.random.default_rng(0).normal(size=n),)


def case(name: str, data: Any, build: Build, by_numpy: Factory) -> Case:
    contenders = {
        "numpy": by_numpy,
        **peers_of(build, "grad"),
        "torch-compile": torch_compiled(build, "grad"),
    }
    return Case(name, "float64", data, contenders)


CASES = [
    *(
        case(f"seawater {n:,}", partial(ocean, n), seawater, numpy_primal(seawater))
        for n in SIZES
    ),
    *(
        case(
            f"tanh exp {n:,}",
            partial(line, n),
            bump,
            numpy_by_hand(bump, bump_gradient, "grad"),
        )
        for n in SIZES
    ),
]
