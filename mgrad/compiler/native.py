"""The bridge between CPython and the native runtime."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrad.compiler import codegen
from mgrad.compiler.entry_ir import entry_ir
from mgrad.compiler.layout import Process
from mgrad.compiler.run_ir import run_ir
from mgrad.compiler.threads import words

_METH_O = 0x0008

# Places in the table of NumPy's C API (numpy/__multiarray_api.h), fixed by its ABI.
_PYARRAY_SCALAR = 60
_PYARRAY_EMPTY = 184

Entry = Callable[[tuple[Any, ...]], Any]


class _MethodDefinition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new_builtin = ctypes.pythonapi.PyCFunction_NewEx
_new_builtin.restype = ctypes.py_object
_new_builtin.argtypes = [
    ctypes.POINTER(_MethodDefinition),
    ctypes.py_object,
    ctypes.py_object,
]


def address(array: NDArray[Any]) -> int:
    """Where the data of an array is; 5 times faster than `array.ctypes.data`."""
    pointer: int = array.__array_interface__["data"][0]
    return pointer


def new_entry(state: NDArray[np.int64], keep: tuple[object, ...]) -> Entry:
    """A builtin function over a program's state words; it keeps `keep` alive."""
    process()
    # The third argument is the function's __module__: any object, which it owns.
    entry: Entry = _new_builtin(_method_definition(), state, keep)
    return entry


@functools.cache
def run_function() -> Callable[[int, int, int, int, int], None]:
    """`mgrad_run` for Python, which releases the GIL around it."""
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    signature = ctypes.CFUNCTYPE(None, pointer, pointer, size, size, pointer)
    return signature(_runtime()["mgrad_run"])


@functools.cache
def process() -> NDArray[np.int64]:
    """The words that native code shares with this process, filled in at first use."""
    numpy_api = _numpy_api()
    words[Process.TUPLE_TYPE] = id(tuple)
    words[Process.ARRAY_TYPE] = id(np.ndarray)
    words[Process.FLOAT_TYPE] = id(float)
    words[Process.INT_TYPE] = id(int)
    words[Process.TRUE] = id(True)
    words[Process.FALSE] = id(False)
    words[Process.NOT_IMPLEMENTED] = id(NotImplemented)
    words[Process.NEW_ARRAY] = numpy_api[_PYARRAY_EMPTY] or 0
    words[Process.NEW_SCALAR] = numpy_api[_PYARRAY_SCALAR] or 0
    words[Process.RUN] = _runtime()["mgrad_run"]
    for word, name in _C_FUNCTIONS.items():
        function = getattr(ctypes.pythonapi, name)
        words[word] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return words


_C_FUNCTIONS = {
    Process.INCREF: "Py_IncRef",
    Process.DECREF: "Py_DecRef",
    Process.LONG_AS_INT64: "PyLong_AsLongLongAndOverflow",
    Process.NO_MEMORY: "PyErr_NoMemory",
    Process.NEW_TUPLE: "PyTuple_New",
    Process.SAVE_THREAD: "PyEval_SaveThread",
    Process.RESTORE_THREAD: "PyEval_RestoreThread",
    Process.MALLOC: "PyMem_RawMalloc",
    Process.FREE: "PyMem_RawFree",
}


@functools.cache
def _runtime() -> dict[str, int]:
    modules = {"mgrad_run": run_ir(), "mgrad_entry": entry_ir()}
    return codegen.load(modules, level=0)  # no loop in them is hot


@functools.cache
def _method_definition() -> _MethodDefinition:
    """One for all entries, and never freed: a function reads it while it dies."""
    function = _runtime()["mgrad_entry"]
    return _MethodDefinition(b"mgrad_entry", function, _METH_O, None)


def _numpy_api() -> ctypes.Array[ctypes.c_void_p]:
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = pointer(_multiarray_umath._ARRAY_API, None)
    return (ctypes.c_void_p * (_PYARRAY_EMPTY + 1)).from_address(table)
