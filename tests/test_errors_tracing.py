"""What goes wrong while tracing: each message says where, what came, what to try."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import scipy.special

import mgrad.numpy as mnp
from mgrad import errors
from mgrad.expr import Expr, new_input, trace
from tests.tracing import traced

X = np.ones((2, 3))
HERE = r"test_errors_tracing\.py:\d+"


def branch(x: Any) -> Any:
    return x if x[0, 0] > 0 else -x


def loop(x: Any) -> Any:
    while x.sum() < 10:
        x = x * 2
    return x


def assign(x: Any) -> Any:
    x[0] = 1.0
    return x


def assign_in_place(x: Any) -> Any:
    buffer = np.zeros((2, 3))
    buffer += x
    return buffer


def fill(x: Any) -> Any:
    buffer = np.zeros(3)
    buffer[0] = x[0, 0]
    return buffer


# function, class, the built-in that NumPy users expect, what the message must say
CASES: dict[str, tuple[Any, type, type, str]] = {
    "if": (
        branch,
        errors.ConcreteValueError,
        TypeError,
        r"truth test.*bool\[\].*np\.where",
    ),
    "while": (loop, errors.ConcreteValueError, TypeError, r"truth test.*np\.where"),
    "and": (
        lambda x: x.any() and 1,
        errors.ConcreteValueError,
        TypeError,
        r"truth test",
    ),
    "float": (
        lambda x: float(x[0, 0]),
        errors.ConcreteValueError,
        TypeError,
        r"float\(\).*float64\[\].*array",
    ),
    "int": (
        lambda x: int(x[0, 0]),
        errors.ConcreteValueError,
        TypeError,
        r"int\(\).*static",
    ),
    "complex": (
        lambda x: complex(x[0, 0]),
        errors.ConcreteValueError,
        TypeError,
        r"complex\(\)",
    ),
    "range": (
        lambda x: range(x[0, 0].astype(int)),
        errors.ConcreteValueError,
        TypeError,
        r"size.*static",
    ),
    "math": (
        lambda x: math.sin(x[0, 0]),
        errors.ConcreteValueError,
        TypeError,
        r"float\(\)",
    ),
    "item": (
        lambda x: x.sum().item(),
        errors.ConcreteValueError,
        TypeError,
        r"\.item\(\).*outside",
    ),
    "tolist": (
        lambda x: x.tolist(),
        errors.ConcreteValueError,
        TypeError,
        r"\.tolist\(\)",
    ),
    "array": (
        lambda x: np.array([x[0], x[1]]),
        errors.ConcreteValueError,
        TypeError,
        r"np\.array.*np\.stack",
    ),
    "asarray": (
        lambda x: np.asarray(x),
        errors.ConcreteValueError,
        TypeError,
        r"np\.stack",
    ),
    "assign": (
        assign,
        errors.ItemAssignmentError,
        TypeError,
        r"float64\[2,3\].*x\.at\[\.\.\.\]\.set\(v\)",
    ),
    "in place": (
        assign_in_place,
        errors.ItemAssignmentError,
        TypeError,
        r"add\(\.\.\., out=.*returned value",
    ),
    "out": (
        lambda x: np.exp(x, out=np.empty((2, 3))),
        errors.ItemAssignmentError,
        TypeError,
        r"exp\(\.\.\., out=",
    ),
    "out of a reduction": (
        lambda x: np.sum(x, out=np.empty(())),
        errors.ItemAssignmentError,
        TypeError,
        r"sum\(\.\.\., out=",
    ),
    "out by position": (
        lambda x: x.sum(0, None, np.empty(3)),
        errors.ItemAssignmentError,
        TypeError,
        r"sum .*out=",
    ),
    "out of a ufunc method": (
        lambda x: np.add.reduce(x, out=np.empty(3)),
        errors.ItemAssignmentError,
        TypeError,
        r"add\.reduce\(\.\.\., out=",
    ),
    "copyto": (
        lambda x: np.copyto(x, 1),
        errors.ItemAssignmentError,
        TypeError,
        r"x\.at\[index\]\.set",
    ),
    "shapes": (
        lambda x: x + np.ones(2),
        errors.ShapeError,
        ValueError,
        r"add .*float64\[2,3\] from .*py:\d+.* and float64\[2\] from .*x\[:, None\]",
    ),
    "shapes of a ufunc": (
        lambda x: np.maximum(x, x[:, :2]),
        errors.ShapeError,
        ValueError,
        r"maximum .*\[2,3\].*\[2,2\]",
    ),
    "shapes of where": (
        lambda x: np.where(x > 0, x, np.ones(2)),
        errors.ShapeError,
        ValueError,
        r"do not broadcast",
    ),
    "object dtype": (
        lambda x: x + np.array([None, 1, 2]),
        errors.DTypeError,
        TypeError,
        r"got object.*numeric array",
    ),
    "string dtype": (
        lambda x: np.add(x, np.array(["a"])),
        errors.DTypeError,
        TypeError,
        r"got <U1",
    ),
    "complex dtype": (
        lambda x: x * 1j,
        errors.DTypeError,
        TypeError,
        r"complex|array or a number",
    ),
    "float16": (
        lambda x: x * np.ones(3, np.float16),
        errors.DTypeError,
        TypeError,
        r"float16.*astype",
    ),
    "astype": (lambda x: x.astype("uint8"), errors.DTypeError, TypeError, r"got uint8"),
    "ragged": (
        lambda x: np.multiply(x, [[1, 2], [3]]),
        errors.ShapeError,
        ValueError,
        r"ragged.*Pad",
    ),
    "not a number": (
        lambda x: np.add(x, object()),
        errors.DTypeError,
        TypeError,
        r"got object",
    ),
    "unsupported": (
        lambda x: np.median(x),
        errors.UnsupportedError,
        TypeError,
        r"numpy\.median.*nearest supported: .*mean",
    ),
    "unsupported linalg": (
        lambda x: np.linalg.svd(x),
        errors.UnsupportedError,
        TypeError,
        r"linalg\.svd",
    ),
    "unsupported ufunc": (
        lambda x: np.frexp(x),
        errors.UnsupportedError,
        TypeError,
        r"numpy\.frexp.*exp",
    ),
    "unsupported method": (
        lambda x: np.sin.at(x, 0),
        errors.UnsupportedError,
        TypeError,
        r"sin\.at",
    ),
    "unsupported scipy": (
        lambda x: scipy.special.airy(x),
        errors.UnsupportedError,
        TypeError,
        r"airy",
    ),
    "nonzero": (
        lambda x: np.nonzero(x),
        errors.UnsupportedError,
        TypeError,
        r"depends on the data.*np\.where",
    ),
    "where of one": (
        lambda x: np.where(x > 0),
        errors.UnsupportedError,
        TypeError,
        r"where.*depends on\s+the data",
    ),
    "ufunc where": (
        lambda x: np.exp(x, where=x > 0),
        errors.UnsupportedError,
        TypeError,
        r"where=.*np\.where",
    ),
    "repeat": (
        lambda x: np.repeat(x, x[0].astype(int)),
        errors.ShapeError,
        ValueError,
        r"counts are traced.*static",
    ),
    "axis": (
        lambda x: np.sum(x, axis=2),
        errors.AxisError,
        ValueError,
        r"sum .*axis 2 is out of bounds .* 2 axes.*from -2 to 1",
    ),
    "axis of a scalar": (
        lambda x: np.max(x[0, 0], axis=0),
        errors.AxisError,
        IndexError,
        r"axis 0 .* 0 axes",
    ),
    "axis twice": (
        lambda x: np.mean(x, axis=(0, -2)),
        errors.AxisError,
        ValueError,
        r"twice",
    ),
    "axis of stack": (
        lambda x: np.stack([x, x], axis=5),
        errors.AxisError,
        ValueError,
        r"stack .*axis 5",
    ),
    "reshape": (
        lambda x: x.reshape(4, 2),
        errors.ShapeError,
        ValueError,
        r"cannot reshape float64\[2,3\] .*\(6 elements\) to \(4, 2\)",
    ),
    "reshape -1": (
        lambda x: x.reshape(-1, 4),
        errors.ShapeError,
        ValueError,
        r"cannot reshape",
    ),
    "two unknown": (
        lambda x: x.reshape(-1, -1),
        errors.ShapeError,
        ValueError,
        r"Only one extent",
    ),
    "transpose": (
        lambda x: x.transpose(0),
        errors.ShapeError,
        ValueError,
        r"axes \(0,\)",
    ),
    "squeeze": (lambda x: np.squeeze(x, 0), errors.ShapeError, ValueError, r"extent 1"),
    "broadcast_to": (
        lambda x: np.broadcast_to(x, (3, 2)),
        errors.ShapeError,
        ValueError,
        r"float64\[2,3\] .*\(3, 2\)",
    ),
    "concatenate": (
        lambda x: np.concatenate([x, x[:, :2]]),
        errors.ShapeError,
        ValueError,
        r"\[2,3\].*\[2,2\]",
    ),
    "concatenate scalars": (
        lambda x: np.concatenate([x[0, 0], 1.0]),
        errors.ShapeError,
        ValueError,
        r"np\.stack",
    ),
    "stack": (
        lambda x: np.stack([x, x[0]]),
        errors.ShapeError,
        ValueError,
        r"one shape",
    ),
    "split": (
        lambda x: np.split(x, 2, axis=1),
        errors.ShapeError,
        ValueError,
        r"array_split",
    ),
    "matmul": (
        lambda x: x @ x,
        errors.ShapeError,
        ValueError,
        r"matmul .*\[2,3\].*axis -1 .* 3 .*axis -2 .* 2.*Transpose",
    ),
    "matmul batch": (
        lambda x: x[:, :, None] @ np.ones((3, 1, 1)),
        errors.ShapeError,
        ValueError,
        r"matmul .*must be equal",
    ),
    "matmul scalar": (lambda x: x @ 2.0, errors.ShapeError, ValueError, r"Use \*"),
    "dot": (
        lambda x: np.dot(x, x),
        errors.ShapeError,
        ValueError,
        r"dot .*must be equal",
    ),
    "tensordot": (
        lambda x: np.tensordot(x, x, 3),
        errors.ShapeError,
        ValueError,
        r"axes=3",
    ),
    "einsum terms": (
        lambda x: np.einsum("ij,jk->ik", x),
        errors.ShapeError,
        ValueError,
        r"2 terms, but 1",
    ),
    "einsum letters": (
        lambda x: np.einsum("ijk->i", x),
        errors.ShapeError,
        ValueError,
        r"'ijk'.*3 letters.*2 axes",
    ),
    "einsum result": (
        lambda x: np.einsum("ij->iz", x),
        errors.ShapeError,
        ValueError,
        r"'z' is in no operand",
    ),
    "einsum twice": (
        lambda x: np.einsum("ij->ii", x),
        errors.ShapeError,
        ValueError,
        r"twice",
    ),
    "einsum extents": (
        lambda x: np.einsum("ij,jk->ik", x, x),
        errors.ShapeError,
        ValueError,
        r"letter 'j'.* 3 in .* 2 in",
    ),
    "einsum text": (
        lambda x: np.einsum("i1->i", x),
        errors.ShapeError,
        ValueError,
        r"only letters",
    ),
    "einsum diagonal": (
        lambda x: np.einsum("ii->i", x),
        errors.ShapeError,
        ValueError,
        r"letter 'i'",
    ),
    "max of empty": (
        lambda x: np.max(x[:0]),
        errors.ShapeError,
        ValueError,
        r"no elements.*initial=",
    ),
    "argmax of empty": (
        lambda x: np.argmax(x[:, :0], axis=1),
        errors.ShapeError,
        ValueError,
        r"no elements",
    ),
    "bool minus": (
        lambda x: (x > 0) - (x > 1),
        errors.DTypeError,
        TypeError,
        r"subtract .*x \^ y",
    ),
    "bitwise on floats": (
        lambda x: x & 1.0,
        errors.DTypeError,
        TypeError,
        r"booleans or integers",
    ),
    "negative integer power": (
        lambda x: x.astype(int) ** -1,
        errors.DTypeError,
        TypeError,
        r"astype\(float\)",
    ),
    "integer overflow": (
        lambda x: x.astype("int32") + 2**40,
        errors.DTypeError,
        TypeError,
        r"int32",
    ),
    "norm": (
        lambda x: np.linalg.norm(x, 2),
        errors.UnsupportedError,
        TypeError,
        r"ord=2.*singular values",
    ),
    "inverse power": (
        lambda x: np.linalg.matrix_power(x[:, :2], -1),
        errors.UnsupportedError,
        TypeError,
        r"n=-1",
    ),
    "pad mode": (
        lambda x: np.pad(x, 1, mode="maximum"),
        errors.UnsupportedError,
        TypeError,
        r"'maximum'.*reflect",
    ),
    "pad width": (
        lambda x: np.pad(x, ((1, 2), (3, 4), (5, 6))),
        errors.ShapeError,
        ValueError,
        r"pad_width",
    ),
    "unknown keyword": (
        lambda x: mnp.sum(x, axes=1),
        errors.ArgumentError,
        TypeError,
        r"sum .*axes",
    ),
    "missing argument": (
        lambda x: mnp.reshape(x),
        errors.ArgumentError,
        TypeError,
        r"reshape .*numpy\.reshape",
    ),
    "axis of a wrong type": (
        lambda x: np.sum(x, axis="rows"),
        errors.ArgumentError,
        TypeError,
        r"sum .*integer",
    ),
    "cross": (
        lambda x: np.cross(x, x[:, :2]),
        errors.ShapeError,
        ValueError,
        r"3 elements",
    ),
    "diag": (
        lambda x: np.diag(x[None]),
        errors.ShapeError,
        ValueError,
        r"one or two axes",
    ),
    "weights": (
        lambda x: np.average(x, weights=np.ones(3)),
        errors.ShapeError,
        ValueError,
        r"weights of shape \(3,\)",
    ),
    "take_along_axis": (
        lambda x: np.take_along_axis(x, np.array([0]), 0),
        errors.ShapeError,
        ValueError,
        r"as many axes",
    ),
    "len": (lambda x: len(x[0, 0]), TypeError, TypeError, r"unsized"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    function, kind, builtin, pattern = CASES[name]
    with pytest.raises(kind) as caught:
        traced(function, X)
    message = str(caught.value)
    assert isinstance(caught.value, builtin)
    assert re.search(pattern, message, re.DOTALL), message
    if name != "len":
        assert isinstance(caught.value, errors.MgradError)
        assert re.search(HERE, message), message


def test_shape_mismatch_names_the_lines_of_both_operands() -> None:
    def function(x: Any) -> Any:
        first = np.exp(x)
        second = x[:, :2] * 2
        return first + second

    with pytest.raises(errors.ShapeError) as caught:
        traced(function, X)
    lines = re.findall(r"test_errors_tracing\.py:(\d+) in function", str(caught.value))
    base = function.__code__.co_firstlineno
    assert [int(line) - base for line in lines] == [3, 1, 2]


def test_a_leaked_value_says_where_it_was_made() -> None:
    stored: list[Expr] = []
    with trace("loss") as t:
        x = new_input(np.dtype("float64"), (3,), t)
        stored.append(np.sin(x))
    for use in (lambda: stored[0] + 1, lambda: np.sum(stored[0]), lambda: stored[0][0]):
        with pytest.raises(
            errors.LeakError, match=r"made at .*py:\d+.*trace of loss had ended"
        ):
            use()


def test_filling_an_array_element_is_explained_by_the_cause() -> None:
    """NumPy itself turns the TypeError of an element into its ValueError."""
    with pytest.raises(ValueError, match="setting an array element") as caught:
        traced(fill, X)
    assert isinstance(caught.value.__cause__, errors.ConcreteValueError)


def test_strings_and_none_leave_python_its_own_error() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        traced(lambda x: x + "a", X)
    with pytest.raises(TypeError, match="unsupported operand"):
        traced(lambda x: None * x, X)
