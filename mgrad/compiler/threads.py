"""How many threads a launch may use, and the pool that runs them.

The pool starts at the first launch that is large enough, and is entered by one launch
at a time (others run serially meanwhile). A forked child has no workers: its launches
are serial. `pool_ir` says why the pool is our own.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable

import numpy as np

from mgrad.compiler import codegen
from mgrad.compiler.layout import Process
from mgrad.compiler.pool_ir import worker_ir

SHARE = 25_000.0
"""Nanoseconds of work per thread from which a launch gains by being split.

A launch costs about 2 microseconds while the workers are awake, 5 to 20 once they
sleep.
"""

words = np.zeros(len(Process), np.int64)
"""The words that native code shares with this process; `executor` fills in the rest."""

_MANY = 2**31

_forked_from_pool = False


def grain(nanoseconds: float) -> int:
    """The grain of a launch whose parallel dimension costs so much per index."""
    return max(1, math.ceil(SHARE / max(nanoseconds, 1e-3)))


def get_num_threads() -> int:
    """The most threads that one launch uses."""
    return int(words[Process.THREADS])


def set_num_threads(count: int) -> None:
    """Let a launch use at most `count` threads: 1 (serial) to NUMBA_NUM_THREADS."""
    size = _pool_size()
    if not 1 <= count <= size:
        raise ValueError(
            f"set_num_threads: wanted 1 to {size} threads; got {count}. "
            "Set NUMBA_NUM_THREADS before the process starts to allow more."
        )
    words[Process.THREADS] = 1 if _forked_from_pool else count


def _pool_size() -> int:
    """NUMBA_NUM_THREADS, without importing Numba for it."""
    config = sys.modules.get("numba.core.config")
    count = getattr(config, "NUMBA_NUM_THREADS", None)
    count = count or _positive("NUMBA_NUM_THREADS")
    if count is None and hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    return count or os.cpu_count() or 1


def _positive(variable: str) -> int | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"${variable}: wanted a positive integer; got {text!r}")
    return int(text)


def _start() -> None:
    """Start the workers, or make every launch serial if that fails."""
    try:
        worker = _worker()
        for lock in (Process.POOL_MUTEX, Process.POOL_WAKE, Process.POOL_DONE):
            words[lock] = _new_lock(lock)
        for number in range(1, _pool_size()):
            name = f"mgrad-{number}"
            threading.Thread(target=worker, daemon=True, name=name).start()
    except Exception as error:  # the launch that asked goes on serially
        words[Process.THREADS] = 1
        warnings.warn(f"no thread pool, kernels run serially: {error}", stacklevel=1)
        return
    words[Process.POOL_READY] = 1


def _worker() -> Callable[[], None]:
    """What a thread of the pool runs: native code, which holds no lock of Python."""
    address = codegen.load({"mgrad_worker": worker_ir()}, level=0)["mgrad_worker"]
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    return functools.partial(function, words.ctypes.data)


_locks: dict[Process, ctypes.Array[ctypes.c_char]] = {}


def _new_lock(lock: Process) -> int:
    """A mutex or a condition of the C library; none takes more than 128 bytes."""
    library = ctypes.CDLL(None)
    memory = _locks[lock] = ctypes.create_string_buffer(256)
    kind = "mutex" if lock is Process.POOL_MUTEX else "cond"
    getattr(library, f"pthread_{kind}_init")(memory, None)
    return ctypes.addressof(memory)


def _after_fork_in_child() -> None:
    global _forked_from_pool
    words[Process.POOL_BUSY] = words[Process.BLAS_LOCK] = words[Process.BLAS_USERS] = 0
    if words[Process.POOL_READY]:
        _forked_from_pool = True
        words[Process.THREADS] = 1


_start_callback = ctypes.CFUNCTYPE(None)(_start)
words[Process.POOL_START] = ctypes.cast(_start_callback, ctypes.c_void_p).value or 0
words[Process.THREADS] = min(_positive("MGRAD_NUM_THREADS") or _MANY, _pool_size())

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
