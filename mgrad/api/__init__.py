"""Transforms of Python functions: jit, gradients, Jacobians, vmap, graphs."""

from __future__ import annotations

from mgrad.api.batching import vmap
from mgrad.api.derivatives import (
    elementwise_grad,
    grad,
    jvp,
    value_and_grad,
)
from mgrad.api.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from mgrad.api.jitting import eval_shape, jit, make_graph, stop_gradient
from mgrad.api.leaves import ShapeDtype
from mgrad.api.linear import LinearMap, linearize, vjp
from mgrad.api.mode import interpret
from mgrad.api.staged import Staged

__all__ = [
    "LinearMap",
    "ShapeDtype",
    "Staged",
    "elementwise_grad",
    "eval_shape",
    "grad",
    "hessian",
    "hvp",
    "interpret",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linearize",
    "make_graph",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
