"""NumPy functions that cannot be traced, each with the advice that its error gives."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from mgrad.errors import ItemAssignmentError, MgradError, UnsupportedError
from mgrad.expr import Expr
from mgrad.numpy.arguments import fail, public
from mgrad.primitive import as_expr, promotion_operand

DATA_DEPENDENT = (
    "nonzero argwhere flatnonzero unique unique_all unique_counts unique_inverse "
    "unique_values extract union1d intersect1d setdiff1d setxor1d trim_zeros bincount"
).split()
IN_PLACE = "put place putmask copyto fill_diagonal put_along_axis".split()


def _refuse(name: str, error: type[MgradError], advice: str) -> None:
    def function(*_: Any, **__: Any) -> NoReturn:
        fail(error, name, advice)

    function.__name__ = name
    public(getattr(np, name), name=name)(function)


for _name in DATA_DEPENDENT:
    _refuse(
        _name,
        UnsupportedError,
        "not supported on traced values: the shape of its result depends on the data. "
        "Use np.where(condition, x, y), or a reduction with where=.",
    )
for _name in IN_PLACE:
    _refuse(
        _name,
        ItemAssignmentError,
        "writes into an array, and traced values are immutable. Write "
        "x = x.at[index].set(values).",
    )


@public(np.result_type, name="result_type")
def common_dtype(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that the operands promote to."""
    operands = [
        promotion_operand(v) if isinstance(v, Expr) else v for v in arrays_and_dtypes
    ]
    return np.result_type(*operands)


@public(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """False: values are real."""
    return as_expr(x).dtype.kind == "c"


@public(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """True: values are real."""
    return as_expr(x).dtype.kind != "c"
