"""Errors from inside a user's function, said in terms of that function."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from mgrad.errors import (
    ArgumentError,
    ConcreteValueError,
    DepthError,
    ItemAssignmentError,
    MgradError,
)
from mgrad.expr import LIBRARIES, Expr, Source, format_source

_NODE = Expr.__name__


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What Python and NumPy say about a traced value, with line and advice.

    Errors of the user's own code pass as they are.
    """
    try:
        yield
    except MgradError:
        raise
    except RecursionError as error:
        raise DepthError(
            f"{name} reached Python's recursion limit while it was traced, at "
            f"{format_source(_line(error.__traceback__))}. A function that calls "
            "itself must end by a condition on Python numbers, such as a depth or "
            "x.shape; a loop needs no recursion."
        ) from error
    except (TypeError, ValueError) as error:
        where = format_source(_line(error.__traceback__))
        if isinstance(error.__cause__, ConcreteValueError):
            raise ItemAssignmentError(
                f"an array of numbers cannot hold a traced value, at {where} (NumPy: "
                f"{error}). Collect the values in a list and np.stack them, or start "
                "from a traced array: out = np.zeros_like(x), out = out.at[i].set(v)."
            ) from error
        if f"'{_NODE}'" in str(error) or f"<{_NODE} " in str(error):
            kind, advice = _about(str(error))
            raise kind(f"{error}, at {where}. {advice}") from error
        raise


def _about(message: str) -> tuple[type[MgradError], str]:
    if "NoneType" in message:
        return ArgumentError, (
            f"({_NODE} is a traced array.) The other one is None: a None in an "
            "argument is no array but an empty place. Check it with `is None`."
        )
    if "sequence of integers" in message or "as an integer" in message:
        return ConcreteValueError, (
            "A size must be a Python number: use x.shape, or pass it as a static "
            "argument to mg.jit (static_argnums)."
        )
    return ArgumentError, (
        f"({_NODE} is a traced array: it takes arrays, numbers and lists of them.)"
    )


def _line(traceback: TracebackType | None) -> Source | None:
    """The innermost line of the user's."""
    found = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not _is_library(code.co_filename):
            found = code.co_filename, traceback.tb_lineno, code.co_name
        traceback = traceback.tb_next
    return found


def _is_library(filename: str) -> bool:
    if filename.startswith(LIBRARIES):
        return True
    return filename.startswith(_STDLIB) and "-packages" not in filename


_STDLIB = sysconfig.get_path("stdlib")
