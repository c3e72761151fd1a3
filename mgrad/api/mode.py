"""Interpreter mode: run the identical graphs through NumPy instead of compiling."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_DEFAULT = os.environ.get("MGRAD_INTERPRET", "").strip().lower() in ("1", "true", "on")


class _Mode(threading.local):
    interpreting: bool = _DEFAULT


mode = _Mode()


@contextmanager
def interpret(on: bool = True) -> Iterator[None]:
    """Run graphs node by node through NumPy in this block (and this thread).

    The environment variable MGRAD_INTERPRET=1 does it for a whole process. The graphs
    are those that would be compiled, so a difference is a bug of the compiler.

    >>> import mgrad as mg
    >>> with mg.interpret():
    ...     print(mg.grad(lambda x: x * x)(3.0))
    6.0
    """
    previous = mode.interpreting
    mode.interpreting = on
    try:
        yield
    finally:
        mode.interpreting = previous
