"""mgrad: your NumPy function, its exact gradient, compiled.

>>> import numpy as np
>>> import mgrad as mg
>>> def loss(w, x, y):
...     return np.mean((x @ w - y) ** 2)
>>> mg.grad(loss)(np.zeros(2), np.eye(2), np.array([1.0, 2.0]))
array([-1., -2.])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mgrad import errors, numpy, tree
from mgrad.api import (
    LinearMap,
    ShapeDtype,
    elementwise_grad,
    eval_shape,
    grad,
    hessian,
    hvp,
    interpret,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    linearize,
    make_graph,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

if TYPE_CHECKING:
    from mgrad import inspect, testing

__version__ = "0.1.0"

__all__ = [
    "LinearMap",
    "ShapeDtype",
    "elementwise_grad",
    "errors",
    "eval_shape",
    "grad",
    "hessian",
    "hvp",
    "inspect",
    "interpret",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "make_graph",
    "numpy",
    "stop_gradient",
    "testing",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
]

_LAZY = ("inspect", "testing")


def __getattr__(name: str) -> Any:
    """Modules that are not needed to compute are imported when first used."""
    if name in _LAZY:
        return import_module(f"mgrad.{name}")
    raise AttributeError(f"module 'mgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
