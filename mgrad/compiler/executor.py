"""Run a program: a flat list of steps over numbered slots, by one native call.

    entry = Executable(steps, slots, arena_bytes).entry
    results = entry(leaves)  # a tuple; NotImplemented if a leaf is not as declared

The entry checks the leaves, allocates the outputs and runs the steps without coming
back to Python (`entry_ir`, `run_ir`). A program with `Host` steps runs each range of
native steps that way, and goes through Python between them.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgrad.compiler import native
from mgrad.compiler.layout import InputSpec, OutputSpec, PythonScalar, State
from mgrad.compiler.native import Entry, address
from mgrad.compiler.steps import (
    Array,
    Constant,
    Gemm,
    Host,
    Input,
    Launch,
    Output,
    Slot,
    Step,
    Temporary,
    View,
    check,
    encode,
    nbytes,
    root_of,
)
from mgrad.compiler.threads import get_num_threads, grain, set_num_threads

__all__ = [
    "Constant",
    "Executable",
    "Gemm",
    "Host",
    "Input",
    "Launch",
    "Output",
    "Slot",
    "Step",
    "Temporary",
    "View",
    "get_num_threads",
    "grain",
    "set_num_threads",
]

ALIGNMENT = 64  # of the arena: a cache line
_RELEASE_GIL_ABOVE = 20_000.0  # nanoseconds of estimated work


class Executable:
    """A program ready to run. Safe to call from several threads at once.

    Every leaf needs an `Input` slot and every result exactly one `Output` slot.
    `release_gil=None` releases the GIL if the estimated work is worth it.
    """

    entry: Entry
    """leaves -> results, or NotImplemented; a builtin function if there is no Host."""

    def __init__(
        self,
        steps: Sequence[Step],
        slots: Sequence[Slot],
        arena_bytes: int,
        release_gil: bool | None = None,
    ) -> None:
        self.steps = tuple(steps)
        self.slots = tuple(slots)
        self.arena_bytes = arena_bytes
        check(self.steps, self.slots, arena_bytes)
        self._dtypes = [np.dtype(slot.dtype) for slot in slots]
        self._roots = [root_of(i, slots) for i in range(len(slots))]
        self._inputs = [(i, s) for i, s in enumerate(slots) if isinstance(s, Input)]
        outputs = [(s.index, i) for i, s in enumerate(slots) if isinstance(s, Output)]
        self._outputs = [slot for _, slot in sorted(outputs)]
        self._leaf_count = len({slot.index for _, slot in self._inputs})
        self._constants = {
            i: np.asarray(s.array, order="C")
            for i, s in enumerate(slots)
            if isinstance(s, Constant)
        }
        encoded = [encode(step) for step in self.steps]
        self._places = list(pairwise(accumulate(map(len, encoded), initial=0)))
        self._words = np.array([*chain(*encoded)], np.int64)
        self._width = max(
            [3, *(len(step.buffers) for step in steps if isinstance(step, Launch))]
        )
        self._arena, self._arena_start = _new_arena(arena_bytes)
        self._arena_lock = threading.Lock()
        if any(isinstance(step, Host) for step in steps):
            self.entry = self._call_through_python
        else:
            if release_gil is None:
                release_gil = self._estimated_work() > _RELEASE_GIL_ABOVE
            self.entry = self._native_entry(release_gil)

    def __call__(self, leaves: tuple[Any, ...]) -> Any:
        """The results as a tuple, or NotImplemented if a leaf is not as declared."""
        return self.entry(leaves)

    def run_steps(
        self,
        leaves: tuple[Any, ...],
        on_step: Callable[[int, int, Sequence[Array]], None] | None = None,
    ) -> Any:
        """As a call, but one step at a time; then `on_step(index, nanoseconds, slots)`.

        `slots` holds an array per slot, valid until `on_step` returns.
        """
        arrays = self._bind(leaves, *_new_arena(self.arena_bytes))
        if arrays is None:
            return NotImplemented
        table = _table(arrays)
        for index in range(len(self.steps)):
            start = time.perf_counter_ns()
            self._run(index, index + 1, arrays, table)
            elapsed = time.perf_counter_ns() - start
            if on_step is not None:
                on_step(index, elapsed, arrays)
        return self._results(arrays)

    def profile(self, leaves: tuple[Any, ...]) -> list[int]:
        """Nanoseconds per step, with an overhead of about a microsecond in each."""
        times: list[int] = []
        if self.run_steps(leaves, lambda _, ns, __: times.append(ns)) is NotImplemented:
            raise TypeError("profile: the leaves are not as the program declares them")
        return times

    # The native path ----------------------------------------------------------

    def _native_entry(self, release_gil: bool) -> Entry:
        """A builtin function whose self is the state; it owns all that it points at."""
        slots = len(self.slots)
        scratch = slots + 2 * np.arange(len(self._inputs) + len(self._outputs))
        objects = slots + 2 * len(scratch)
        table = np.zeros(objects + len(self._outputs), np.int64)
        for index, array in self._constants.items():
            table[index] = address(array)
        arena = address(self._arena) + self._arena_start
        temporaries, views = [], []
        for index, (root, offset) in enumerate(self._roots):
            owner = self.slots[root]
            if isinstance(owner, Temporary):
                temporaries.append((index, owner.offset_bytes + offset))
                table[index] = arena + temporaries[-1][1]
            elif isinstance(owner, Constant):
                table[index] = table[root] + offset
            elif index != root:
                views.append((index, root, offset))
        inputs = [
            self._input_spec(index, int(place))
            for (index, _), place in zip(self._inputs, scratch, strict=False)
        ]
        outputs = [
            self._output_spec(index, int(place))
            for index, place in zip(self._outputs, scratch[len(inputs) :], strict=True)
        ]
        owned = {
            State.TABLE: table,
            State.INPUTS: np.array([*chain(*inputs)], np.int64),
            State.OUTPUTS: np.array([*chain(*outputs)], np.int64),
            State.TEMPORARIES: np.array(temporaries, np.int64),
            State.VIEWS: np.array(views, np.int64),
            State.STEPS: self._words,
            State.PROCESS: native.process(),
        }
        state = np.zeros(len(State), np.int64)
        for word, array in owned.items():
            state[word] = address(array)
        state[State.TABLE_BYTES] = table.nbytes
        state[State.ARENA_BYTES] = self.arena_bytes
        state[State.RELEASE_GIL] = release_gil
        state[State.LEAVES] = self._leaf_count
        state[State.INPUT_COUNT] = len(inputs)
        state[State.OUTPUT_COUNT] = len(outputs)
        state[State.TEMPORARY_COUNT] = len(temporaries)
        state[State.VIEW_COUNT] = len(views)
        state[State.STEP_WORDS] = len(self._words)
        state[State.WIDTH] = self._width
        state[State.OBJECTS] = objects
        keep = (*owned.values(), self._arena, self._constants, self._dtypes)
        return native.new_entry(state, keep)

    def _input_spec(self, index: int, scratch: int) -> list[int]:
        slot, dtype = self.slots[index], self._dtypes[index]
        assert isinstance(slot, Input)
        spec = [0] * InputSpec.DIMS + list(slot.shape)
        spec[InputSpec.LENGTH] = len(spec)
        spec[InputSpec.LEAF] = slot.index
        spec[InputSpec.SLOT] = index
        spec[InputSpec.DESCR] = id(dtype)
        spec[InputSpec.TYPE_NUM] = dtype.num
        spec[InputSpec.SCRATCH] = scratch
        spec[InputSpec.NDIM] = len(slot.shape)
        if not slot.shape:
            spec[InputSpec.SCALAR_TYPE] = id(dtype.type)
            python = PythonScalar.__members__.get(dtype.name.upper(), PythonScalar.NONE)
            spec[InputSpec.PYTHON_SCALAR] = python
        return spec

    def _output_spec(self, index: int, scratch: int) -> list[int]:
        shape = self.slots[index].shape
        spec = [0] * OutputSpec.DIMS + list(shape)
        spec[OutputSpec.LENGTH] = len(spec)
        spec[OutputSpec.SLOT] = index
        spec[OutputSpec.DESCR] = id(self._dtypes[index])
        spec[OutputSpec.SCRATCH] = scratch
        spec[OutputSpec.NDIM] = len(shape)
        return spec

    def _estimated_work(self) -> float:
        """Nanoseconds, if a kernel passes 8 bytes and BLAS 10 flops in each."""
        work = 0.0
        for step in self.steps:
            if isinstance(step, Gemm):
                work += step.batch * step.m * step.n * step.k / 5
            elif isinstance(step, Launch):
                work += sum(nbytes(self.slots[slot]) for slot in step.buffers) / 8
        return work

    # The path through Python ----------------------------------------------------

    def _call_through_python(self, leaves: tuple[Any, ...]) -> Any:
        resident = self._arena_lock.acquire(blocking=False)
        try:
            arena = (self._arena, self._arena_start)
            if not resident:  # another thread, or a host step that calls us again
                arena = _new_arena(self.arena_bytes)
            arrays = self._bind(leaves, *arena)
            if arrays is None:
                return NotImplemented
            table = _table(arrays)
            for first, last in self._segments:
                self._run(first, last, arrays, table)
            return self._results(arrays)
        finally:
            if resident:
                self._arena_lock.release()

    @functools.cached_property
    def _segments(self) -> list[tuple[int, int]]:
        """Ranges of steps: each host step alone, each run of native steps together."""
        hosts = [i for i, step in enumerate(self.steps) if isinstance(step, Host)]
        cuts = sorted({0, len(self.steps), *hosts, *(i + 1 for i in hosts)})
        return list(pairwise(cuts))

    def _run(self, first: int, last: int, arrays: list[Array], table: Array) -> None:
        """Run steps[first:last], either one host step or native ones."""
        step = self.steps[first]
        if isinstance(step, Host):
            _run_host(step, arrays)
            return
        start, stop = self._places[first][0], self._places[last - 1][1]
        steps = address(self._words) + 8 * start
        process = address(native.process())
        native.run_function()(address(table), steps, stop - start, self._width, process)

    def _bind(
        self, leaves: tuple[Any, ...], arena: Array, arena_start: int
    ) -> list[Array] | None:
        """An array per slot, or None if a leaf is not as declared."""
        if type(leaves) is not tuple or len(leaves) != self._leaf_count:
            return None
        arrays: list[Array] = []
        for index, slot in enumerate(self.slots):
            dtype = self._dtypes[index]
            if isinstance(slot, Input):
                array = _bind_leaf(leaves[slot.index], dtype, slot.shape)
                if array is None:
                    return None
            elif isinstance(slot, Output):
                array = np.empty(slot.shape, dtype)
            elif isinstance(slot, Constant):
                array = self._constants[index]
            elif isinstance(slot, Temporary):
                start = arena_start + slot.offset_bytes
                array = np.ndarray(slot.shape, dtype, arena.data, start)
            else:  # filled in below, its root may come later
                array = arena
            arrays.append(array)
        for index, (root, offset) in enumerate(self._roots):
            if root != index:
                whole = arrays[root].reshape(-1).view(np.uint8)
                shape = self.slots[index].shape
                arrays[index] = np.ndarray(shape, self._dtypes[index], whole, offset)
        return arrays

    def _results(self, arrays: list[Array]) -> tuple[Any, ...]:
        return tuple(
            arrays[i] if arrays[i].ndim else arrays[i][()] for i in self._outputs
        )


def _bind_leaf(leaf: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
    """What the native entry would accept, as an array; else None."""
    if type(leaf) is np.ndarray:
        native_type = leaf.dtype.num == dtype.num and leaf.dtype.isnative
        plain = leaf.flags.c_contiguous and leaf.flags.aligned
        return leaf if native_type and plain and leaf.shape == shape else None
    if shape:
        return None
    python = {np.float64: float, np.float32: float, np.int64: int, np.bool: bool}
    if type(leaf) not in (dtype.type, python.get(dtype.type)):
        return None
    try:
        return np.array(leaf, dtype)
    except OverflowError:
        return None


def _run_host(step: Host, arrays: list[Array]) -> None:
    results = step.function(*(_read_only(arrays[slot]) for slot in step.inputs))
    targets = [arrays[slot] for slot in step.outputs]
    if len(results) != len(targets):
        raise ValueError(
            f"host step {step.name}: wanted {len(targets)} results; got {len(results)}"
        )
    sources = [np.asarray(result) for result in results]
    for position, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if source.dtype != target.dtype or source.shape != target.shape:
            raise ValueError(
                f"host step {step.name}, result {position}: wanted "
                f"{target.dtype}{list(target.shape)}; got "
                f"{source.dtype}{list(source.shape)}"
            )
    if len(sources) > 1:  # a result may look into memory that another one goes to
        sources = [
            source.copy()
            if any(np.may_share_memory(source, t) for t in targets)
            else source
            for source in sources
        ]
    for source, target in zip(sources, targets, strict=True):
        np.copyto(target, source)


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _new_arena(size: int) -> tuple[Array, int]:
    """A buffer, and where in it the aligned arena begins."""
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    return buffer, -address(buffer) % ALIGNMENT


def _table(arrays: list[Array]) -> NDArray[np.int64]:
    return np.array([address(array) for array in arrays], np.int64)
