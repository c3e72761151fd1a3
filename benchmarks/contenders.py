"""A function of arrays and its gradient, by each library in its own idiom.

A workload writes its function once as `build(xp)`, where `xp` is the namespace that
the library's users write: `numpy` for mgrad, `jax.numpy`, or `torch`. Arguments are
arrays or pytrees of arrays, and the gradient is taken in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from benchmarks.case import Contender

Build = Callable[[Any], Callable[..., Any]]
Factory = Callable[[tuple[Any, ...]], Contender]


def peers_of(build: Build, transform: str = "value_and_grad") -> dict[str, Factory]:
    """mgrad, JAX with resident and with NumPy arrays, and PyTorch."""
    return {
        "mgrad": mgrad(build, transform),
        "jax": jax_resident(build, transform),
        "jax-numpy": jax_numpy(build, transform),
        "torch": torch_eager(build, transform),
    }


def argnums(args: tuple[Any, ...]) -> int | tuple[int, ...]:
    """Every argument; a single one is not wrapped in a tuple."""
    return 0 if len(args) == 1 else tuple(range(len(args)))


def entry(gradient: Callable[[], Any], primal: Callable[[], Any]) -> Contender:
    """Both are timed, and both are compared."""
    timed = {"gradient": gradient, "primal": primal}
    return Contender(timed, outputs=lambda: (gradient(), primal()))


def mgrad(build: Build, transform: str) -> Factory:
    """NumPy arrays in, NumPy arrays out."""

    def make(args: tuple[Any, ...]) -> Contender:
        import mgrad as mg

        function = build(np)
        gradient = getattr(mg, transform)(function, argnums=argnums(args))
        primal = mg.jit(function)
        return entry(lambda: gradient(*args), lambda: primal(*args))

    return make


def jax_resident(build: Build, transform: str) -> Factory:
    """JAX arrays that stay where they are."""

    def make(args: tuple[Any, ...]) -> Contender:
        import jax

        function = build(jax.numpy)
        gradient = jax.jit(getattr(jax, transform)(function, argnums=argnums(args)))
        primal = jax.jit(function)
        resident = jax.device_put(args)
        return entry(
            lambda: jax.block_until_ready(gradient(*resident)),
            lambda: jax.block_until_ready(primal(*resident)),
        )

    return make


def jax_numpy(build: Build, transform: str) -> Factory:
    """JAX called as mgrad is: NumPy arrays in, NumPy arrays out."""

    def make(args: tuple[Any, ...]) -> Contender:
        import jax

        function = build(jax.numpy)
        gradient = jax.jit(getattr(jax, transform)(function, argnums=argnums(args)))
        primal = jax.jit(function)
        return entry(
            lambda: jax.tree.map(np.asarray, gradient(*args)),
            lambda: np.asarray(primal(*args)),
        )

    return make


def torch_eager(build: Build, transform: str) -> Factory:
    """PyTorch's tape, run operation by operation."""

    def make(args: tuple[Any, ...]) -> Contender:
        import torch

        return torch_entry(build(torch), transform, args)

    return make


def torch_compiled(build: Build, transform: str) -> Factory:
    """PyTorch's compiler, which needs a C++ compiler on the machine."""

    def make(args: tuple[Any, ...]) -> Contender:
        import torch

        function = torch.compile(build(torch), dynamic=False)
        return torch_entry(function, transform, args)

    return make


def torch_entry(
    function: Callable[..., Any], transform: str, args: tuple[Any, ...]
) -> Contender:
    """`torch.autograd.grad`, the shortest way to a functional gradient."""
    import torch

    tensors: Any = optree.tree_map(torch.tensor, args)
    leaves, structure = optree.tree_flatten(tensors)
    for leaf in leaves:
        leaf.requires_grad_()

    def gradient() -> Any:
        value = function(*tensors)
        grads = structure.unflatten(torch.autograd.grad(value, leaves))
        grads = grads[0] if len(args) == 1 else grads
        return (value.detach(), grads) if transform == "value_and_grad" else grads

    def primal() -> Any:
        with torch.no_grad():
            return function(*tensors)

    return entry(gradient, primal)


def numpy_by_hand(
    build: Build, gradient: Callable[..., Any], transform: str = "value_and_grad"
) -> Factory:
    """NumPy itself, with the gradient written by hand."""

    def make(args: tuple[Any, ...]) -> Contender:
        function = build(np)

        def run() -> Any:
            grads = gradient(*args)
            if transform == "value_and_grad":
                return function(*args), grads
            return grads

        return entry(run, lambda: function(*args))

    return make


def numpy_primal(build: Build) -> Factory:
    """NumPy itself, for a function whose gradient nobody writes by hand."""

    def make(args: tuple[Any, ...]) -> Contender:
        function = build(np)
        timed = {"primal": lambda: function(*args)}
        return Contender(timed, outputs=lambda: (None, function(*args)))

    return make
