"""Your NumPy function, its exact gradient, compiled."""

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
