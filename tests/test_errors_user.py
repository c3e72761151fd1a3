"""Mistakes of a user through the public API: what each message must say.

`test_errors_tracing` holds the messages of single operations; here are whole calls.
No mistake may end in an internal traceback alone.
"""

from __future__ import annotations

import copy
import random
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.spatial
import scipy.special

import mgrad as mg
from mgrad import errors

X = np.linspace(-1.0, 1.0, 20).reshape(4, 5)
Y = np.array([0, 1, 2, 1])
PARAMS = {"w": np.ones(5), "b": 0.0}
HERE = r"test_errors_user\.py:\d+"


def loss(p: Any, x: Any) -> Any:
    return np.sum((x @ p["w"] + p["b"]) ** 2)


def fill(x: Any) -> Any:
    out = np.zeros(3)
    out[0] = x[0]
    return np.sum(out)


def endless(x: Any) -> Any:
    return endless(x * 2)


def forgot(x: Any) -> Any:
    np.sum(x)


def set_shape(x: Any) -> Any:
    x.shape = (5, 4)
    return x


def grad_of(f: Any, *args: Any) -> Any:
    return lambda: mg.grad(f)(*args)


def jit_of(f: Any, *args: Any) -> Any:
    return lambda: mg.jit(f)(*args)


@dataclass
class Unregistered:
    w: Any


class Plain:
    """A class that nobody registered, with a jitted method."""

    k = 2.0

    @mg.jit
    def method(self, x: Any) -> Any:
        return self.k * x


def nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


CYCLE: list[Any] = [1.0]
CYCLE.append(CYCLE)

# call, class, built-in class, pattern; {here} is a line of this file
INSIDE: dict[str, tuple[Any, type, type, str]] = {
    "shape mismatch names the arguments": (
        grad_of(loss, {"w": np.ones(4), "b": 0.0}, X),
        errors.ShapeError,
        ValueError,
        r"matmul at {here} in loss.*\[4,5\] from argument x of loss.*"
        r"\[4\] from argument p\['w'\] of loss.*Transpose",
    ),
    "None leaf": (
        grad_of(loss, {"w": np.ones(5), "b": None}, X),
        errors.ArgumentError,
        TypeError,
        r"'Expr' and 'NoneType', at {here} in loss.*is None",
    ),
    "text operand": (
        jit_of(lambda x: x + "a", X),
        errors.ArgumentError,
        TypeError,
        r"'Expr' and 'str', at {here}.*traced array",
    ),
    "ragged lists": (
        grad_of(loss, PARAMS, [[1.0, 2.0], [3.0]]),
        errors.ShapeError,
        ValueError,
        r"at {here}.*one shape.*\[2\].*\[1\]",
    ),
    "filling a buffer": (
        grad_of(fill, np.ones(3)),
        errors.ItemAssignmentError,
        TypeError,
        r"at {here} in fill.*np\.stack.*\.at\[i\]\.set\(v\)",
    ),
    "item of a traced array": (
        grad_of(lambda x: np.zeros_like(x).__setitem__(0, x), X),
        errors.ItemAssignmentError,
        TypeError,
        r"{here}.*immutable.*\.at\[",
    ),
    "size": (
        jit_of(lambda n: np.zeros(n), 3),
        errors.ConcreteValueError,
        TypeError,
        r"at {here}.*x\.shape.*static_argnums",
    ),
    "arange": (
        jit_of(lambda n: np.arange(n), 3),
        errors.ConcreteValueError,
        TypeError,
        r"at {here}.*static_argnums",
    ),
    "array[x]": (
        jit_of(lambda y: np.eye(3)[y], Y),
        errors.ConcreteValueError,
        TypeError,
        r"at {here}.*argument y of.*mgrad\.numpy\.take\(array, x, axis=0\)",
    ),
    "list[x]": (
        jit_of(lambda i: [1, 2][i], 1),
        errors.ConcreteValueError,
        TypeError,
        r"index.*at {here}.*mgrad\.numpy\.take",
    ),
    "np.asarray": (
        jit_of(lambda x: np.asarray(x), X),
        errors.ConcreteValueError,
        TypeError,
        r"at {here}.*array already: leave .*np\.asarray\(x\).* out",
    ),
    "np.float32": (
        jit_of(lambda x: np.float32(x), 1.0),
        errors.ConcreteValueError,
        TypeError,
        r"at {here}.*x\.astype",
    ),
    "np.sum of a list argument": (
        grad_of(lambda x: np.sum(x), [1.0, 2.0]),
        errors.ConcreteValueError,
        TypeError,
        r"sum\(\.\.\.\) at {here}.*argument x\[0\].*mgrad\.numpy\.sum",
    ),
    "scipy.special.logsumexp": (
        grad_of(lambda x: scipy.special.logsumexp(x), X),
        errors.ConcreteValueError,
        TypeError,
        r"logsumexp\(\.\.\.\) at {here}.*mgrad\.numpy\.logsumexp",
    ),
    "another function of SciPy": (
        grad_of(lambda x: scipy.spatial.distance.cdist(x, x).sum(), X),
        errors.ConcreteValueError,
        TypeError,
        r"cdist\(\.\.\.\) at {here}.*np\. functions",
    ),
    "a sparse matrix": (
        grad_of(lambda x: np.sum(scipy.sparse.eye(4) @ x), X),
        errors.ConcreteValueError,
        TypeError,
        r"matrix\(\.\.\.\) at {here}",
    ),
    "a ufunc of SciPy": (
        grad_of(lambda x: scipy.special.airy(x)[0], 1.0),
        errors.UnsupportedError,
        NotImplementedError,
        r"scipy\.special\.airy at {here}.*outside",
    ),
    "a submodule of NumPy": (
        grad_of(lambda x: np.linalg.matrix_rank(x), X),
        errors.UnsupportedError,
        NotImplementedError,
        r"numpy\.linalg\.matrix_rank at {here}.*linalg\.matrix_",
    ),
    "format": (
        grad_of(lambda x: f"{x:.3f}" and x, 1.0),
        errors.ConcreteValueError,
        TypeError,
        r"format '\.3f' at {here}.*has_aux=True",
    ),
    "max": (
        grad_of(lambda x: max(x), np.ones(3)),
        errors.ConcreteValueError,
        TypeError,
        r"truth test.* at {here}.*np\.max",
    ),
    "pickle": (
        jit_of(lambda x: copy.copy(x).__reduce__(), X),
        errors.ConcreteValueError,
        TypeError,
        r"pickling at {here}",
    ),
    "complex constant": (
        grad_of(lambda x: x * 1j, 1.0),
        errors.DTypeError,
        TypeError,
        r"at {here}.*complex.*real and the imaginary part",
    ),
    "a matrix that is closed over": (
        grad_of(lambda x, m=np.matrix(X): np.sum(m * x), X),  # noqa: B008
        errors.DTypeError,
        TypeError,
        r"at {here}.*numpy\.matrix.*@",
    ),
    "new shape": (
        jit_of(set_shape, X),
        errors.ItemAssignmentError,
        TypeError,
        r"x\.shape = \.\.\. at {here} in set_shape.*x\.reshape",
    ),
    "method that writes": (
        jit_of(lambda x: x.fill(0), X),
        errors.MissingAttributeError,
        AttributeError,
        r"x\.fill at {here}.*np\.full_like",
    ),
    "method of PyTorch": (
        jit_of(lambda x: x.detach(), X),
        errors.MissingAttributeError,
        AttributeError,
        r"x\.detach at {here}.*mg\.stop_gradient",
    ),
    "misspelt method": (
        jit_of(lambda x: x.reshap(2, 10), X),
        errors.MissingAttributeError,
        AttributeError,
        r"x\.reshap at {here}.*reshape",
    ),
    "endless recursion": (
        grad_of(endless, 1.0),
        errors.DepthError,
        RecursionError,
        r"grad\(endless\).*at {here} in endless.*condition",
    ),
    "no return": (
        grad_of(forgot, X),
        errors.ShapeError,
        ValueError,
        r"forgot \({here}\) must return one scalar; got None.*return",
    ),
    "a list": (
        grad_of(lambda x: [x], 1.0),
        errors.ShapeError,
        ValueError,
        r"\({here}\).*a list with 1 leaf.*has_aux",
    ),
    "several values": (
        grad_of(lambda x: (x, x), 1.0),
        errors.ShapeError,
        ValueError,
        r"\({here}\).*a tuple with 2 leaves.*has_aux=True.*mg\.jacobian",
    ),
    "no scalar": (
        grad_of(lambda x: x * 2, X),
        errors.ShapeError,
        ValueError,
        r"float64\[4,5\] from {here}.*np\.mean",
    ),
    "has_aux without a pair": (
        lambda: mg.grad(lambda x: x * 2, has_aux=True)(1.0),
        errors.ArgumentError,
        TypeError,
        r"pair.*float64\[\] alone, from {here}.*loss first",
    ),
    "mask": (
        grad_of(lambda x: np.sum(x[x > 0]), X),
        errors.IndexingError,
        IndexError,
        r"at {here}.*np\.where\(mask, x, otherwise\)",
    ),
}

# call, class, built-in class, pattern
CALLS: dict[str, tuple[Any, type, type, str]] = {
    "float16": (
        grad_of(loss, PARAMS, X.astype(np.float16)),
        errors.DTypeError,
        TypeError,
        r"argument x of grad\(loss\).*float16.*astype\(np\.float32\)",
    ),
    "uint8 images or labels": (
        grad_of(loss, PARAMS, X.astype(np.uint8)),
        errors.DTypeError,
        TypeError,
        r"argument x .*uint8.*labels.*np\.int64.*images.*np\.float64",
    ),
    "complex array": (
        grad_of(loss, PARAMS, X * 1j),
        errors.DTypeError,
        TypeError,
        r"complex128.*x\.real and x\.imag",
    ),
    "complex number": (
        grad_of(np.abs, 1j),
        errors.DTypeError,
        TypeError,
        r"argument .*complex number 1j.*two arguments",
    ),
    "time": (
        grad_of(loss, PARAMS, X.astype("M8[s]")),
        errors.DTypeError,
        TypeError,
        r"datetime64.*numeric array",
    ),
    "objects": (
        grad_of(loss, PARAMS, np.array([[1, None]])),
        errors.DTypeError,
        TypeError,
        r"got object.*numeric array",
    ),
    "masked array": (
        grad_of(np.sum, np.ma.masked_array(X, X > 0)),
        errors.DTypeError,
        TypeError,
        r"masked array.*np\.where",
    ),
    "matrix": (
        grad_of(np.sum, np.matrix(X)),
        errors.DTypeError,
        TypeError,
        r"numpy\.matrix.*np\.asarray\(x\)",
    ),
    "huge integer": (
        jit_of(lambda x: x + 1, 2**70),
        errors.DTypeError,
        TypeError,
        r"argument x .*11805916.*int64.*float",
    ),
    "set": (
        grad_of(loss, PARAMS, {1.0}),
        errors.DTypeError,
        TypeError,
        r"argument x .* a set, .*np\.asarray",
    ),
    "dataclass": (
        grad_of(lambda p: p.w, Unregistered(1.0)),
        errors.DTypeError,
        TypeError,
        r"an Unregistered.*register_dataclass\(Unregistered\)",
    ),
    "jitted method": (
        lambda: Plain().method(1.0),
        errors.DTypeError,
        TypeError,
        r"argument self of method is a Plain.*register.*static",
    ),
    "text leaf": (
        grad_of(loss, {**PARAMS, "act": "relu"}, X),
        errors.DTypeError,
        TypeError,
        r"p\['act'\] is the str 'relu'.*Take it out",
    ),
    "integer to differentiate": (
        grad_of(lambda x: x * 2.0, 3),
        errors.DTypeError,
        TypeError,
        r"x is a Python int.*float\(x\)",
    ),
    "too deep": (
        grad_of(lambda p: mg.tree.leaves(p)[0], nested(3000)),
        errors.DepthError,
        RecursionError,
        r"nested too deeply",
    ),
    "cyclic": (
        grad_of(lambda p: p[0], CYCLE),
        errors.DepthError,
        RecursionError,
        r"contain themselves",
    ),
    "arguments beside the function": (
        lambda: mg.grad(loss, PARAMS, X),
        errors.ArgumentError,
        TypeError,
        r"argnums must be.*got \{'w'.*second pair of brackets: mg\.grad\(f\)\(x, y\)",
    ),
    "an array beside the function": (
        lambda: mg.grad(loss, X),
        errors.ArgumentError,
        TypeError,
        r"argnums must be.*mg\.grad\(f\)\(x, y\)",
    ),
    "result instead of a function": (
        lambda: mg.grad(loss(PARAMS, X)),
        errors.ArgumentError,
        TypeError,
        r"expected a function.*mg\.grad\(f\)\(x\)",
    ),
    "argnums True": (
        lambda: mg.grad(loss, argnums=True),
        errors.ArgumentError,
        TypeError,
        r"argnums must be",
    ),
    "argnums too large": (
        lambda: mg.grad(loss, argnums=5)(PARAMS, X),
        errors.ArgumentError,
        TypeError,
        r"argnums has 5.*2 positional arguments.*0 to 1",
    ),
    "no argument": (
        lambda: mg.grad(lambda: 1.0)(),
        errors.ArgumentError,
        TypeError,
        r"argnums has 0.*0 positional arguments\. Pass it by position",
    ),
    "argnames of a default": (
        lambda: mg.grad(lambda a, b=2.0: a * b, argnames="b")(1.0),
        errors.ArgumentError,
        TypeError,
        r"argnames has 'b'.*Pass it, b=\.\.\.",
    ),
    "static list": (
        lambda: mg.jit(lambda x, n: x, static_argnums=1)(1.0, [1]),
        errors.DTypeError,
        TypeError,
        r"argument n .*hashable.*tuple",
    ),
    "static argument that does not exist": (
        lambda: mg.jit(lambda x, n: x, static_argnums=7),
        errors.ArgumentError,
        TypeError,
        r"static_argnums has 7.*2 positional parameters: x, n",
    ),
    "batch sizes": (
        lambda: mg.vmap(lambda a, b: a + b)(np.ones(3), np.ones(4)),
        errors.ShapeError,
        ValueError,
        r"a: 3, b: 4.*None in in_axes",
    ),
    "batch size that is no integer": (
        lambda: mg.vmap(lambda a: a, axis_size=2.5)(np.ones(3)),
        errors.ArgumentError,
        TypeError,
        r"axis_size must be an integer, got 2\.5",
    ),
    "batch axis of a scalar": (
        lambda: mg.vmap(lambda a, b: a + b)(np.ones(3), 1.0),
        errors.AxisError,
        ValueError,
        r"axis 0 of b.*None",
    ),
    "tangents of another structure": (
        lambda: mg.jvp(loss, (PARAMS, X), ({"w": np.ones(5)}, X)),
        errors.ArgumentError,
        TypeError,
        r"tangents\[0\] has the structure \{'w': \*\}, but .* \{'b': \*, 'w': \*\}",
    ),
    "tangent that is text": (
        lambda: mg.jvp(np.sin, (1.0,), ("a",)),
        errors.ArgumentError,
        TypeError,
        r"tangents\[0\] is 'a', which is not an array",
    ),
    "hvp without tuples": (
        lambda: mg.hvp(np.sin, 1.0, 1.0),
        errors.ArgumentError,
        TypeError,
        r"hvp: primals and tangents must be tuples.*hvp\(f, \(x,\), \(t,\)\)",
    ),
    "two cotangents": (
        lambda: mg.vjp(np.sin, 1.0)[1](1.0, 2.0),
        errors.ArgumentError,
        TypeError,
        r"the pullback of sin was called with \(\*, \*\), and takes \(\*,\)",
    ),
    "trees that differ": (
        lambda: mg.tree.map(lambda a, b: a, PARAMS, {"w": 1}),
        errors.StructureError,
        ValueError,
        r"tree 2 does not have the structure of tree 1.*'b'",
    ),
    "too few leaves": (
        lambda: mg.tree.unflatten(mg.tree.structure([1, 2]), [1]),
        errors.StructureError,
        ValueError,
        r"tree\.unflatten: Too few leaves",
    ),
    "tree of another structure": (
        lambda: mg.tree.transpose(
            mg.tree.structure([1]), mg.tree.structure({"a": 1}), [1, 2]
        ),
        errors.StructureError,
        ValueError,
        r"tree\.transpose: ",
    ),
    "registration without functions": (
        lambda: mg.tree.register(Plain, 1, 2),  # type: ignore[arg-type]
        errors.ArgumentError,
        TypeError,
        r"takes a class and two functions",
    ),
    "registration of what is no dataclass": (
        lambda: mg.tree.register_dataclass(Plain),
        errors.ArgumentError,
        TypeError,
        r"takes a dataclass.*above @dataclass",
    ),
    "types instead of arrays": (
        lambda: mg.jit(lambda x: x)(mg.ShapeDtype((3,), np.float32)),
        errors.ArgumentError,
        TypeError,
        r"ShapeDtype.*mg\.eval_shape",
    ),
    "check_grads without a tuple": (
        lambda: mg.testing.check_grads(np.sin, 1.0),
        errors.ArgumentError,
        TypeError,
        r"args must be a tuple.*check_grads\(f, \(x,\)\)",
    ),
    "name that mgrad.numpy lacks": (
        lambda: mg.numpy.concatenat,
        errors.MissingAttributeError,
        AttributeError,
        r"mgrad\.numpy has no 'concatenat'.*concatenate",
    ),
}


@pytest.mark.parametrize("name", [*INSIDE, *CALLS])
def test_message(name: str) -> None:
    call, kind, builtin, pattern = (INSIDE | CALLS)[name]
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, builtin)
    assert isinstance(caught.value, errors.MgradError)
    assert re.search(pattern.replace("{here}", HERE), message, re.DOTALL), message


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (grad_of(lambda x: 1 / 0, 1.0), ZeroDivisionError),
        (grad_of(lambda p: p["v"], PARAMS), KeyError),
        (grad_of(loss, PARAMS), TypeError),
        (lambda: mg.tree.map(lambda x: int("a"), [1]), ValueError),
    ],
)
def test_errors_of_the_users_own_code_pass_as_they_are(call: Any, kind: type) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert not isinstance(caught.value, errors.MgradError)


GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: np.sum(x * np.random.normal(size=3)),
        lambda x: np.sum(x) * random.random(),
        lambda x: np.sum(x * GENERATOR.normal(size=3)),
    ],
)
def test_random_numbers_drawn_while_tracing_give_a_warning(draw: Any) -> None:
    f = mg.grad(draw)
    with pytest.warns(errors.RandomnessWarning, match=HERE + r".*pass them") as caught:
        f(np.ones(3))
    assert caught[0].filename == __file__
    f(np.ones(3))  # the numbers are the same now, and it has been said


def test_errors_leave_nothing_behind() -> None:
    """A function that failed once works with right arguments."""
    f = mg.grad(loss)
    for _ in range(2):
        with pytest.raises(errors.ShapeError):
            f({"w": np.ones(4), "b": 0.0}, X)
        assert f(PARAMS, X)["w"].shape == (5,)
