"""How many threads a launch may use, and the pool that runs them.

The pool is Numba's. It starts at the first launch that is large enough, is entered by
one launch at a time (others run serially meanwhile), and is never entered in a forked
child: OpenMP's layer would end that process.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import warnings

import numpy as np

from mgrad.compiler import codegen
from mgrad.compiler.layout import Process

SHARE = 25_000.0
"""Nanoseconds of work per thread from which a launch gains by being split.

A launch costs 1.5 to 2.5 microseconds while OpenMP's threads are awake, 20 to 30 once
they sleep; TBB the like. The workqueue layer takes 60 to 100 each time.
"""

_SLOW_LAYERS = {"workqueue": 4}  # times the share

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
    """Start the pool, or make every launch serial if that fails."""
    try:
        pool = codegen.start_thread_pool()
    except Exception as error:  # the launch that asked goes on serially
        words[Process.THREADS] = 1
        warnings.warn(f"no thread pool, kernels run serially: {error}", stacklevel=1)
        return
    words[Process.THREADS] = min(words[Process.THREADS], pool.size)
    words[Process.GRAIN_FACTOR] = _SLOW_LAYERS.get(pool.layer, 1)
    words[Process.POOL_GET_THREADS] = pool.get_num_threads
    words[Process.POOL_SET_THREADS] = pool.set_num_threads
    words[Process.PARALLEL_FOR] = pool.parallel_for  # last: says that the others are in


def _after_fork_in_child() -> None:
    global _forked_from_pool
    words[Process.POOL_BUSY] = words[Process.BLAS_LOCK] = words[Process.BLAS_USERS] = 0
    if codegen.thread_pool_is_started():
        _forked_from_pool = True
        words[Process.THREADS] = 1


_start_callback = ctypes.CFUNCTYPE(None)(_start)
words[Process.POOL_START] = ctypes.cast(_start_callback, ctypes.c_void_p).value or 0
words[Process.GRAIN_FACTOR] = 1
words[Process.THREADS] = min(_positive("MGRAD_NUM_THREADS") or _MANY, _pool_size())

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
