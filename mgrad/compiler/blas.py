"""Addresses of BLAS and LAPACK routines, from the tables SciPy exports to Cython.

Fortran ABI with 32-bit integers. SciPy's OpenBLAS, so that only one pool is used.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from mgrad.errors import CompileError

_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype = ctypes.c_char_p
_capsule_name.argtypes = [ctypes.py_object]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


@functools.cache
def routine(name: str) -> int:
    """The address of a BLAS or LAPACK routine such as "dtrsm" or "dpotrf"."""
    for table in ("cython_blas", "cython_lapack"):
        exports = _table(table).__pyx_capi__
        if name in exports:
            return _address(name, exports[name])
    raise CompileError(f"{name!r} is neither a BLAS nor a LAPACK routine of SciPy")


def gemm(dtype: str) -> int:
    """The address of the matrix product of float64 (dgemm) or float32 (sgemm)."""
    return routine({"float64": "dgemm", "float32": "sgemm"}[dtype])


def gemv(dtype: str) -> int:
    """The address of the matrix-vector product of float64 or float32."""
    return routine({"float64": "dgemv", "float32": "sgemv"}[dtype])


@functools.cache
def _table(name: str) -> Any:
    """An extension module of `scipy.linalg`, without the package around it.

    The package's own import takes 0.2 s of a first gradient. The module is entered
    where a later import of the package finds it.
    """
    full = f"scipy.linalg.{name}"
    if "scipy.linalg" in sys.modules or full in sys.modules:
        return importlib.import_module(full)
    folder = Path(importlib.import_module("scipy").__path__[0]) / "linalg"
    spec = PathFinder.find_spec(full, [str(folder)])
    if spec is None or spec.loader is None:
        return importlib.import_module(full)
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        spec.loader.exec_module(module)
    except ImportError:
        del sys.modules[full]
        return importlib.import_module(full)
    return module


@dataclass(frozen=True)
class ThreadControl:
    """Addresses of the functions that read and set BLAS's number of threads."""

    get_num_threads: int
    set_num_threads: int


@functools.cache
def thread_control() -> ThreadControl | None:
    """OpenBLAS's own; None for another BLAS."""
    module = _table("cython_blas")
    try:
        library = ctypes.CDLL(module.__file__)  # finds what the module is linked with
    except (OSError, TypeError):
        return None
    for prefix in ("scipy_openblas", "openblas"):
        names = (f"{prefix}_get_num_threads", f"{prefix}_set_num_threads")
        if all(hasattr(library, name) for name in names):
            found = (ctypes.cast(getattr(library, n), ctypes.c_void_p) for n in names)
            return ThreadControl(*(f.value or 0 for f in found))
    return None


def _address(name: str, capsule: object) -> int:
    signature: bytes = _capsule_name(capsule)
    if b"int *" not in signature:
        raise CompileError(
            f"SciPy's {name} does not take 32-bit integers: {signature.decode()}"
        )
    address: int = _capsule_pointer(capsule, signature)
    return address
