"""The arrays of 64-bit words that Python and the native runtime share.

The runtime's IR names a word as `${Enum.MEMBER}`; `fill` puts the numbers in.
"""

from __future__ import annotations

import re
from enum import IntEnum, auto

import numpy as np


class Words(IntEnum):
    """Indices into an array of words, counted from 0."""

    @staticmethod
    def _generate_next_value_(
        name: str, start: int, count: int, last_values: list[int]
    ) -> int:
        return count


class Process(Words):
    """What all programs share: addresses in CPython and NumPy, and the thread pool."""

    TUPLE_TYPE = auto()
    ARRAY_TYPE = auto()
    FLOAT_TYPE = auto()
    INT_TYPE = auto()
    TRUE = auto()
    FALSE = auto()
    NOT_IMPLEMENTED = auto()
    INCREF = auto()
    DECREF = auto()
    LONG_AS_INT64 = auto()
    NO_MEMORY = auto()
    NEW_TUPLE = auto()
    NEW_ARRAY = auto()
    NEW_SCALAR = auto()
    SAVE_THREAD = auto()
    RESTORE_THREAD = auto()
    MALLOC = auto()
    FREE = auto()
    RUN = auto()
    THREADS = auto()  # at most so many per launch; 1 never starts the pool
    POOL_BUSY = auto()  # 1 while a launch is in the pool
    POOL_READY = auto()  # 1 once the workers run
    POOL_START = auto()  # starts them, or sets THREADS to 1
    POOL_MUTEX = auto()  # guards the words below
    POOL_WAKE = auto()  # a condition: a launch is open
    POOL_DONE = auto()  # a condition: a worker has left it
    POOL_TURN = auto()  # counts launches
    POOL_OPEN = auto()  # 1 while workers may join
    POOL_ACTIVE = auto()  # workers that have joined
    POOL_NEXT = auto()  # the next chunk to take
    POOL_STEP = auto()
    POOL_BUFFERS = auto()
    POOL_SIZE = auto()
    POOL_CHUNKS = auto()
    BLAS_LOCK = auto()
    BLAS_USERS = auto()  # products that run now, each on one thread of BLAS
    BLAS_THREADS = auto()  # what BLAS had before the first of them
    BLAS_GET_THREADS = auto()
    BLAS_SET_THREADS = auto()


class State(Words):
    """What one program owns."""

    BUSY = auto()  # 1 while a call uses the resident table and arena
    PROCESS = auto()
    TABLE = auto()
    TABLE_BYTES = auto()
    ARENA_BYTES = auto()
    RELEASE_GIL = auto()
    LEAVES = auto()
    INPUTS = auto()
    INPUT_COUNT = auto()
    OUTPUTS = auto()
    OUTPUT_COUNT = auto()
    TEMPORARIES = auto()
    TEMPORARY_COUNT = auto()
    VIEWS = auto()
    VIEW_COUNT = auto()
    STEPS = auto()
    STEP_WORDS = auto()
    WIDTH = auto()  # the most buffers that one launch takes
    OBJECTS = auto()  # index in the table where the output objects are kept


class InputSpec(Words):
    """One input slot: which leaf, and what it must be."""

    LENGTH = auto()
    LEAF = auto()
    SLOT = auto()
    DESCR = auto()
    TYPE_NUM = auto()
    SCALAR_TYPE = auto()  # NumPy's scalar type if 0-d, else 0
    PYTHON_SCALAR = auto()  # a PythonScalar
    SCRATCH = auto()  # index in the table of a word for it
    NDIM = auto()
    DIMS = auto()  # the first of them


class PythonScalar(IntEnum):
    """The exact Python type that an input slot takes besides an array."""

    NONE = 0
    FLOAT64 = 1
    FLOAT32 = 2
    INT64 = 3
    BOOL = 4


class OutputSpec(Words):
    """One output slot; a 0-d one is written to the table and returned as a scalar."""

    LENGTH = auto()
    SLOT = auto()
    DESCR = auto()
    SCRATCH = auto()
    NDIM = auto()
    DIMS = auto()


class Opcode(IntEnum):
    """The kinds of native step."""

    LAUNCH = 1
    GEMV = 2


class LaunchStep(Words):
    """A kernel over [0, size); buffer slots follow, then the extents."""

    OPCODE = auto()
    LENGTH = auto()
    ADDRESS = auto()
    SIZE = auto()
    GRAIN = auto()
    EXTENTS = auto()  # index in the step of the first
    BUFFER_COUNT = auto()
    BUFFERS = auto()


class GemvStep(Words):
    """y = alpha op(MATRIX) x + beta y, column-major; strides in bytes.

    BLAS reads its arguments in place.
    """

    OPCODE = auto()
    LENGTH = auto()
    ADDRESS = auto()
    TRANS = auto()
    ROWS = auto()
    COLUMNS = auto()
    ALPHA = auto()
    MATRIX = auto()
    LD = auto()
    X = auto()
    INCX = auto()
    BETA = auto()
    Y = auto()
    INCY = auto()
    BATCH = auto()
    STRIDE_MATRIX = auto()
    STRIDE_X = auto()
    STRIDE_Y = auto()
    CLEAR = auto()  # how many elements of y to set to 0 first
    ITEMSIZE = auto()


_HEAD = object.__basicsize__  # 16, or 32 in a free-threaded build
_POINTER = np.dtype(np.intp).itemsize

# Offsets of C fields: PyObject.ob_type is the last of the head; PyArrayObject_fields
# and PyArray_Descr are ABI (numpy/ndarraytypes.h).
_OFFSETS = {
    "OB_TYPE": _HEAD - _POINTER,
    "OB_VALUE": _HEAD,  # of float, and of every NumPy scalar of ours
    "OB_ITEM": tuple.__basicsize__,
    "OB_SIZE": _HEAD,
    "ARRAY_DATA": _HEAD,
    "ARRAY_NDIM": _HEAD + _POINTER,
    "ARRAY_DIMS": _HEAD + 2 * _POINTER,
    "ARRAY_DESCR": _HEAD + 5 * _POINTER,
    "ARRAY_FLAGS": _HEAD + 6 * _POINTER,
    "DESCR_BYTEORDER": _HEAD + _POINTER + 2,
    "DESCR_TYPE_NUM": _HEAD + _POINTER + 4,
}
CHUNKS_PER_THREAD = 4
"""At most: a late or slow worker leaves the rest to the others."""
_CONTIGUOUS_AND_ALIGNED = 0x0001 | 0x0100

WORD_HELPERS = """
define internal i64 @word(ptr %words, i64 %index) alwaysinline {
  %place = getelementptr inbounds i64, ptr %words, i64 %index
  %value = load i64, ptr %place, align 8
  ret i64 %value
}

define internal ptr @pointer(ptr %words, i64 %index) alwaysinline {
  %place = getelementptr inbounds ptr, ptr %words, i64 %index
  %value = load ptr, ptr %place, align 8
  ret ptr %value
}

define internal void @set_pointer(ptr %words, i64 %index, ptr %value) alwaysinline {
  %place = getelementptr inbounds ptr, ptr %words, i64 %index
  store ptr %value, ptr %place, align 8
  ret void
}

define internal ptr @field(ptr %object, i64 %offset) alwaysinline {
  %place = getelementptr inbounds i8, ptr %object, i64 %offset
  ret ptr %place
}

define internal ptr @pointer_field(ptr %object, i64 %offset) alwaysinline {
  %place = getelementptr inbounds i8, ptr %object, i64 %offset
  %value = load ptr, ptr %place, align 8
  ret ptr %value
}

define internal i1 @acquire(ptr %flag) alwaysinline {
  %pair = cmpxchg ptr %flag, i64 0, i64 1 acquire monotonic
  %won = extractvalue { i64, i1 } %pair, 1
  ret i1 %won
}
"""


def fill(text: str, *more: type[Words]) -> str:
    """Replace every `${Enum.MEMBER}` and `${CONSTANT}` by its number."""
    numbers: dict[str, int] = {
        **_OFFSETS,
        "CONTIGUOUS_AND_ALIGNED": _CONTIGUOUS_AND_ALIGNED,
        "CHUNKS_PER_THREAD": CHUNKS_PER_THREAD,
        "NATIVE": ord("="),
        "ORDERLESS": ord("|"),
        **Opcode.__members__,
        **PythonScalar.__members__,
    }
    layouts: list[type[Words]] = [Process, State, InputSpec, OutputSpec]
    layouts += [LaunchStep, GemvStep, *more]
    for layout in layouts:
        numbers |= {f"{layout.__name__}.{word.name}": word for word in layout}
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(int(numbers[match[1]])), text)
