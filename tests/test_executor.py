"""The runtime: native entry, step loop, BLAS, host steps, threads, and fork."""

import gc
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mgrad.compiler import blas, codegen
from mgrad.compiler.executor import (
    Constant,
    Executable,
    Gemm,
    Host,
    Input,
    Launch,
    Output,
    Temporary,
    View,
    get_num_threads,
    grain,
    set_num_threads,
)
from mgrad.errors import CompileError

ROOT = Path(__file__).parents[1]

# out[i] = x[i] * 2 + extents[0]
SCALE = """
define void @{name}(ptr %buffers, ptr %extents, i64 %lo, i64 %hi) {{
entry:
  %x = load ptr, ptr %buffers
  %second = getelementptr ptr, ptr %buffers, i64 1
  %out = load ptr, ptr %second
  %shift.int = load i64, ptr %extents
  %shift = sitofp i64 %shift.int to {type}
  br label %next
next:
  %i = phi i64 [ %lo, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %xp = getelementptr {type}, ptr %x, i64 %i
  %xv = load {type}, ptr %xp
  %double = fmul {type} %xv, 2.0
  %sum = fadd {type} %double, %shift
  %op = getelementptr {type}, ptr %out, i64 %i
  store {type} %sum, ptr %op
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}}
"""

COPY_BYTES = """
define void @copy_bytes(ptr %buffers, ptr %extents, i64 %lo, i64 %hi) {
entry:
  %x = load ptr, ptr %buffers
  %second = getelementptr ptr, ptr %buffers, i64 1
  %out = load ptr, ptr %second
  br label %next
next:
  %i = phi i64 [ %lo, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %xp = getelementptr i8, ptr %x, i64 %i
  %byte = load i8, ptr %xp
  %op = getelementptr i8, ptr %out, i64 %i
  store i8 %byte, ptr %op
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}
"""


def scale(source, target, size, shift=0, grain=0, type="double"):
    name = f"scale_{type}"
    address = codegen.load({name: SCALE.format(name=name, type=type)})[name]
    return Launch(name, address, (source, target), (shift,), size, grain)


def copy(source, target, nbytes):
    address = codegen.load({"copy_bytes": COPY_BYTES})["copy_bytes"]
    return Launch("copy_bytes", address, (source, target), (), nbytes, 0)


def scaling(shape, shift=1, grain=0, **options):
    """A program of one scale step."""
    size = int(np.prod(shape))
    slots = [Input(0, "float64", shape), Output(0, "float64", shape)]
    return Executable([scale(0, 1, size, shift, grain)], slots, 0, **options)


def chain(size, arena_shift=0):
    """out0 = 2 (2 x + 1) + 2 through a temporary; out1 is a view's worth of it."""
    slots = [
        Input(0, "float64", (size,)),
        Temporary(64, "float64", (size,)),
        Output(0, "float64", (size,)),
        View(1, 8, "float64", (size - 1,)),
        Output(1, "float64", (size - 1,)),
    ]
    steps = [scale(0, 1, size, 1), scale(1, 2, size, 2), scale(3, 4, size - 1, 0)]
    return Executable(steps, slots, 64 + 8 * size)


# Calls -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(), (1,), (7,), (3, 5), (0,), (2, 0, 3), (2, 1, 2, 2)]
)
@pytest.mark.parametrize("release_gil", [False, True])
def test_one_kernel(shape, release_gil):
    x = np.random.default_rng(0).normal(size=shape)
    program = scaling(shape, release_gil=release_gil)
    x = np.asarray(x)
    (out,) = program((x,))
    assert type(out) is (np.float64 if shape == () else np.ndarray)
    assert out.shape == shape
    assert_array_equal(out, 2 * x + 1)
    assert_array_equal(program.run_steps((x,))[0], out)


def test_entry_is_builtin_and_outlives_its_program():
    entry = chain(10).entry
    assert type(entry) is type(len)
    gc.collect()
    junk = [np.full(100, np.nan) for _ in range(100)]
    x = np.arange(10.0)
    first, second = entry((x,))
    assert_array_equal(first, 2 * (2 * x + 1) + 2)
    assert_array_equal(second, 2 * (2 * x + 1)[1:])
    del junk


def test_outputs_are_new_each_time():
    program, x = scaling((4,)), np.ones(4)
    first, second = program((x,))[0], program((x + 1,))[0]
    assert_array_equal(first, 3)
    assert_array_equal(second, 5)
    assert first.flags.owndata
    assert first.flags.writeable


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "int32", "int64", "uint16", "float32", "float64", "complex128"],
)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_every_dtype_passes_through(dtype, shape):
    array = np.arange(3).astype(dtype).reshape(-1)[: int(np.prod(shape))].reshape(shape)
    slots = [Input(0, dtype, shape), Output(0, dtype, shape)]
    program = Executable([copy(0, 1, array.nbytes)], slots, 0)
    for leaf in [array] if shape else [array, array[()]]:
        (out,) = program((leaf,))
        assert out.dtype == dtype
        assert type(out) is (np.ndarray if shape else np.dtype(dtype).type)
        assert_array_equal(out, array)


PYTHON_SCALARS = [
    ("float64", 1.5),
    ("float64", float("nan")),
    ("float32", 0.1),
    ("int64", -(2**63)),
    ("int64", 12),
    ("bool", True),
    ("bool", False),
]


@pytest.mark.parametrize(("dtype", "leaf"), PYTHON_SCALARS)
def test_python_scalars(dtype, leaf):
    slots = [Input(0, dtype, ()), Output(0, dtype, ())]
    program = Executable([copy(0, 1, np.dtype(dtype).itemsize)], slots, 0)
    expected = np.array(leaf, dtype)
    assert_array_equal(program((leaf,))[0], expected)
    assert_array_equal(program.run_steps((leaf,))[0], expected)


class Subclass(np.ndarray):
    """Not exactly an array."""


def _misaligned():
    return np.zeros(33, np.uint8)[1:].view(np.float64)


BAD_LEAVES = {
    "dtype": np.zeros(4, np.float32),
    "int": np.zeros(4, np.int64),
    "shape": np.zeros(5),
    "ndim": np.zeros((4, 1)),
    "strided": np.zeros(8)[::2],
    "reversed": np.zeros(4)[::-1],
    "big endian": np.zeros(4, ">f8"),
    "misaligned": _misaligned(),
    "subclass": np.zeros(4).view(Subclass),
    "masked": np.ma.zeros(4),
    "list": [0.0] * 4,
    "float": 1.0,
    "none": None,
    "object": np.zeros(4, object),
}


@pytest.mark.parametrize("leaf", BAD_LEAVES.values(), ids=BAD_LEAVES)
def test_bad_leaves_are_not_implemented(leaf):
    program = scaling((4,))
    assert program((leaf,)) is NotImplemented
    assert program.run_steps((leaf,)) is NotImplemented
    with pytest.raises(TypeError, match="leaves"):
        program.profile((leaf,))
    assert_array_equal(program((np.zeros(4),))[0], 1)


@pytest.mark.parametrize(
    "leaves", [(), (np.zeros(4),) * 2, [np.zeros(4)], None, np.zeros(4)]
)
def test_bad_tuples_are_not_implemented(leaves):
    assert scaling((4,))(leaves) is NotImplemented
    assert scaling((4,)).run_steps(leaves) is NotImplemented


@pytest.mark.parametrize(
    ("dtype", "leaf"),
    [
        ("float64", 1),
        ("float64", True),
        ("float64", np.float32(1)),
        ("float64", np.zeros(1)),
        ("float32", np.float64(1)),
        ("int64", 1.0),
        ("int64", True),
        ("int64", 2**63),
        ("int32", 1),
        ("bool", 1),
        ("bool", None),
    ],
)
def test_bad_scalars_are_not_implemented(dtype, leaf):
    program = Executable([], [Input(0, dtype, ()), Output(0, dtype, ())], 0)
    assert program((leaf,)) is NotImplemented
    assert program.run_steps((leaf,)) is NotImplemented


def test_equal_descriptor_of_another_identity():
    x = np.arange(4.0)
    x = x.view(np.dtype("f8", metadata={"unit": "m"}))
    assert x.dtype is not np.dtype("f8")
    assert_array_equal(scaling((4,))((x,))[0], 2 * np.arange(4.0) + 1)


def test_constants_and_views_of_everything():
    weights = np.arange(12.0).reshape(3, 4).T  # not contiguous
    slots = [
        Input(0, "float64", (2, 3)),
        View(0, 24, "float64", (3,)),  # x[1]
        Constant(weights),
        View(4, 8, "float64", (2,)),  # weights[1, 1:], through a later view
        View(2, 24, "float64", (3,)),  # weights[1]
        Output(0, "float64", (5,)),
        View(5, 24, "float64", (2,)),
    ]
    program = Executable([scale(1, 5, 3), scale(3, 6, 2)], slots, 0)
    del slots
    x = np.arange(6.0).reshape(2, 3)
    expected = 2 * np.concatenate([x[1], weights[1, 1:]])
    assert_array_equal(program((x,))[0], expected)
    assert_array_equal(program.run_steps((x,))[0], expected)


def test_the_arena_is_aligned():
    seen = []
    slots = [Temporary(0, "float64", (3,)), Output(0, "float64", (3,))]
    address = codegen.load({"keep_address": KEEP_ADDRESS})["keep_address"]
    program = Executable([Launch("keep_address", address, (0, 1), (), 1, 0)], slots, 24)
    for _ in range(3):
        seen.append(program(())[0].view(np.int64)[0])
    assert seen[0] % 64 == 0
    assert len(set(seen)) == 1  # resident


KEEP_ADDRESS = """
define void @keep_address(ptr %buffers, ptr %extents, i64 %lo, i64 %hi) {
  %x = load ptr, ptr %buffers
  %second = getelementptr ptr, ptr %buffers, i64 1
  %out = load ptr, ptr %second
  store ptr %x, ptr %out
  ret void
}
"""


@pytest.mark.parametrize(
    ("steps", "slots", "arena"),
    [
        ([], [Input(1, "f8", ())], 0),
        ([], [Output(0, "f8", ()), Output(0, "f8", ())], 0),
        ([], [Temporary(0, "f8", (2,))], 8),
        ([], [Temporary(-8, "f8", (1,))], 8),
        ([], [View(0, 0, "f8", ())], 0),
        ([], [View(1, 0, "f8", ()), View(0, 0, "f8", ())], 0),
        ([], [View(7, 0, "f8", ())], 0),
        ([], [Input(0, "f8", (2,)), View(0, 8, "f8", (2,))], 0),
        ([], [Temporary(0, "f8", (1,)), View(0, 8, "f8", (1,))], 16),
        ([Launch("k", 0, (1,), (), 1, 0)], [Input(0, "f8", ())], 0),
        ([Launch("k", 0, (), (), -1, 0)], [], 0),
    ],
)
def test_programs_that_reach_outside_are_refused(steps, slots, arena):
    with pytest.raises(ValueError):
        Executable(steps, slots, arena)


# References and memory ---------------------------------------------------------


def test_reference_counts():
    program = Executable(
        [scale(0, 1, 4), scale(0, 2, 1)],
        [
            Input(0, "float64", (4,)),
            Output(0, "float64", (4,)),
            Output(1, "float64", ()),
        ],
        0,
    )
    x, bad = np.ones(4), np.ones(5)
    watched = [x, bad, np.dtype("float64"), np.ndarray, tuple, NotImplemented]
    before = [sys.getrefcount(obj) for obj in watched]
    for _ in range(1000):
        program((x,))
        program((bad,))
    after = [sys.getrefcount(obj) for obj in watched]
    assert all(abs(b - a) < 20 for a, b in zip(before, after, strict=True))
    array, scalar = program((x,))
    assert sys.getrefcount(array) == sys.getrefcount(scalar) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    x, bad = np.ones(2000), np.ones(3)
    program = chain(2000)

    def work():
        for _ in range(3000):
            program((x,))
            program((bad,))
        for _ in range(30):
            chain(2000)((x,))

    work()
    before = resident()
    work()
    assert resident() - before < 4_000_000


def test_allocation_failure_raises_and_leaves_the_program_usable():
    slots = [
        Input(0, "float64", (1,)),
        Output(0, "int8", (8,)),
        Output(1, "int8", (2**62,)),
    ]
    program = Executable([], slots, 0)
    for _ in range(3):
        with pytest.raises(MemoryError):
            program((np.ones(1),))
        assert program((np.ones(2),)) is NotImplemented


# BLAS ----------------------------------------------------------------------------


def gemm_case(dtype, m, n, k, trans_a, trans_b, alpha, beta, batch=1):
    """Program, leaves and expected result of C = alpha op(A) op(B) + beta C."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(batch, k, m) if trans_a else (batch, m, k)).astype(dtype)
    b = rng.normal(size=(batch, n, k) if trans_b else (batch, k, n)).astype(dtype)
    c = rng.normal(size=(batch, m, n)).astype(dtype)
    if beta == 0:
        c[...] = np.nan  # must not be read
    product = (a.mT if trans_a else a) @ (b.mT if trans_b else b)
    expected = alpha * product + (beta * c if beta else 0)
    arrays = [a, b, c]
    slots = [Input(i, dtype, x.shape) for i, x in enumerate(arrays)]
    slots.append(Output(0, dtype, c.shape))
    gemm = Gemm(
        dtype, m, n, k, 0, a.shape[2], trans_a, 1, b.shape[2], trans_b, 3, n,
        alpha, beta, batch, m * k, k * n, m * n,
    )  # fmt: skip
    return Executable([copy(2, 3, c.nbytes), gemm], slots, 0), tuple(arrays), expected


GEMM_SHAPES = [
    (3, 4, 5),
    (1, 1, 1),
    (1, 7, 3),
    (7, 1, 3),
    (40, 33, 70),
    (1, 20, 31),
    (20, 1, 31),
]
EMPTY_GEMM_SHAPES = [(3, 4, 0), (1, 4, 0), (4, 1, 0), (0, 4, 3), (3, 0, 2), (0, 0, 0)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
def test_gemm_against_numpy(dtype, trans_a, trans_b):
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    for shape, alpha, beta, batch in itertools.product(
        GEMM_SHAPES + EMPTY_GEMM_SHAPES, [1.0, -2.5], [0.0, 1.0, 0.5], [1, 3]
    ):
        case = gemm_case(dtype, *shape, trans_a, trans_b, alpha, beta, batch)
        program, leaves, expected = case
        (out,) = program(leaves)
        assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


def test_gemm_of_an_empty_batch():
    program, leaves, expected = gemm_case("float64", 2, 3, 4, False, False, 1.0, 1.0, 0)
    assert program(leaves)[0].shape == expected.shape == (0, 2, 3)


def test_gemm_of_views_with_a_shared_operand():
    """out[:, 1:3] = A[1:3] @ B[:, 2:4] for each A of a batch, inside larger arrays."""
    a = np.random.default_rng(2).normal(size=(2, 4, 5))
    b = np.random.default_rng(3).normal(size=(5, 6))
    slots = [
        Input(0, "float64", a.shape),
        Input(1, "float64", b.shape),
        Constant(np.zeros((2, 2, 4))),
        Output(0, "float64", (2, 2, 4)),
        View(0, 5 * 8, "float64", (35,)),
        View(1, 2 * 8, "float64", (28,)),
        View(3, 8, "float64", (15,)),
    ]
    gemm = Gemm(
        "float64", 2, 2, 5, 4, 5, False, 5, 6, False, 6, 4, 1.0, 0.0, 2, 20, 0, 8
    )
    program = Executable([copy(2, 3, 128), gemm], slots, 0)
    expected = np.zeros((2, 2, 4))
    expected[:, :, 1:3] = a[:, 1:3] @ b[:, 2:4]
    assert_allclose(program((a, b))[0], expected)


GOOD_GEMM = Gemm("float64", 2, 3, 4, 0, 4, False, 1, 3, False, 2, 3, 1.0, 0.0)


@pytest.mark.parametrize(
    "change",
    [{"m": 3}, {"k": 5}, {"lda": 3}, {"ldc": 4}, {"batch": 2, "stride_c": 1}, {"m": -1},
     {"dtype": "float32"}, {"ldb": 2**31}, {"stride_a": -1, "batch": 2}],
)  # fmt: skip
def test_gemm_that_does_not_fit_is_refused(change):
    slots = [Input(0, "f8", (2, 4)), Input(1, "f8", (4, 3)), Output(0, "f8", (2, 3))]
    Executable([GOOD_GEMM], slots, 0)
    with pytest.raises(ValueError):
        Executable([replace(GOOD_GEMM, **change)], slots, 0)


def test_products_with_strided_vectors():
    """out[:, 0] = A @ b[:, 1], then out[0, 1:] = b[:, 1] @ B."""
    rng = np.random.default_rng(4)
    a, b, wide = (
        rng.normal(size=(3, 5)),
        rng.normal(size=(5, 4)),
        rng.normal(size=(5, 2)),
    )
    slots = [
        Input(0, "float64", a.shape),
        Input(1, "float64", b.shape),
        Input(2, "float64", wide.shape),
        Constant(np.full((3, 3), np.nan)),
        Output(0, "float64", (3, 3)),
        View(1, 8, "float64", (19,)),
        View(4, 8, "float64", (2,)),
    ]
    column = Gemm("float64", 3, 1, 5, 0, 5, False, 5, 4, False, 4, 3, 1.0, 0.0)
    row = Gemm("float64", 1, 2, 5, 5, 4, True, 2, 2, False, 6, 2, 1.0, 0.0)
    (out,) = Executable([copy(3, 4, 72), column, row], slots, 0)((a, b, wide))
    assert_allclose(out[:, 0], a @ b[:, 1])
    assert_allclose(out[0, 1:], b[:, 1] @ wide)
    assert np.isnan(out[1:, 1:]).all()


def test_blas_addresses():
    assert blas.routine("dpotrf") and blas.routine("dtrsm")
    with pytest.raises(CompileError, match="nosuch"):
        blas.routine("nosuch")


# Host steps and profiles ----------------------------------------------------------


def hosted(function):
    """y = 2 x + 1; p, q = function(x, y); out = 2 p, q."""
    slots = [
        Input(0, "float64", (3,)),
        Temporary(0, "float64", (3,)),
        Temporary(64, "float64", (3,)),
        Output(1, "float64", ()),
        Output(0, "float64", (3,)),
    ]
    host = Host("host", function, (0, 1), (2, 3))
    return Executable([scale(0, 1, 3, 1), host, scale(2, 4, 3)], slots, 128)


def test_host_step():
    program = hosted(lambda x, y: [y[::-1], np.sum(x)])
    x = np.arange(3.0)
    for run in (program, program.entry, program.run_steps):
        out, total = run((x,))
        assert_array_equal(out, 2 * (2 * x + 1)[::-1])
        assert total == 3.0
        assert type(total) is np.float64
    assert program((x[::-1],)) is NotImplemented


def test_host_step_gets_read_only_views():
    def function(x, y):
        y[0] = 1.0

    with pytest.raises(ValueError, match="read-only"):
        hosted(function)((np.arange(3.0),))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, y: [x], "wanted 2 results; got 1"),
        (lambda x, y: [x[:2], 0.0], r"host step host, result 0: wanted float64\[3\]"),
        (lambda x, y: [x, 0], "result 1: wanted .*got int64"),
    ],
)
def test_host_results_are_checked(function, message):
    with pytest.raises(ValueError, match=message):
        hosted(function)((np.arange(3.0),))


def test_host_exceptions_pass_and_recursion_works():
    def function(x, y):
        if x[0] > 3:
            raise KeyError("from the host")
        if x[0] < 2:
            program((x + 1,))
        return [y, x[0]]

    program, x = hosted(function), np.arange(3.0)
    with pytest.raises(KeyError, match="from the host"):
        program((x + 4,))
    out, first = program((x,))
    assert_array_equal(out, 2 * (2 * x + 1))
    assert first == 0


def test_host_results_that_overlap_the_outputs():
    slots = [
        Input(0, "float64", (2,)),
        Output(0, "float64", (2,)),
        Output(1, "float64", (2,)),
    ]
    steps = [
        scale(0, 1, 2),
        scale(0, 2, 2, 10),
        Host("swap", lambda a, b: [b, a], (1, 2), (1, 2)),
    ]
    first, second = Executable(steps, slots, 0)((np.array([1.0, 2.0]),))
    assert_array_equal(first, [12, 14])
    assert_array_equal(second, [2, 4])


def test_profile_and_on_step():
    program, x = chain(1000), np.arange(1000.0)
    times = program.profile((x,))
    assert len(times) == 3
    assert all(time > 0 for time in times)
    seen = []
    program.run_steps((x,), lambda i, ns, slots: seen.append((i, slots[1][0])))
    assert seen == [(0, 1.0), (1, 1.0), (2, 1.0)]


# Threads and fork ------------------------------------------------------------------


@pytest.mark.parametrize("release_gil", [False, True])
def test_threads_share_one_program(release_gil):
    size = 20_000
    program = chain(size)
    program.entry = program._native_entry(release_gil)
    failures = []

    def work(seed):
        x = np.random.default_rng(seed).normal(size=size)
        for _ in range(50):
            first, second = program((x,))
            if not (
                np.array_equal(first, 2 * (2 * x + 1) + 2)
                and np.array_equal(second, 2 * (2 * x[1:] + 1))
            ):
                failures.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def run_script(script, **environment):
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=100, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


PRELUDE = """
    import os, sys, threading
    import numpy as np
    from test_executor import scaling, chain, get_num_threads, set_num_threads
    from mgrad.compiler.threads import words, Process
    def right(size, grain=1):
        x = np.random.default_rng(size).normal(size=size)
        return np.array_equal(scaling((size,), 1, grain)((x,))[0], 2 * x + 1)
    def started():
        return bool(words[Process.POOL_READY])
"""


def test_parallel_launches():
    script = """
        print(started(), get_num_threads())
        print(all(right(n, 0) for n in (1, 100)), right(7, 4), started())
        print(all(right(n, g) for n in (2, 3, 7, 31, 64, 1001) for g in (1, 2, 5)))
        print(started(), right(100_003, 1000))
        set_num_threads(2)
        print(get_num_threads(), right(1001))
        set_num_threads(1)
        print(get_num_threads(), right(1001))
    """
    env = {"NUMBA_NUM_THREADS": "4"}
    expected = "False 4 True True False True True True 2 True 1 True"
    assert run_script(script, **env) == expected.split()


def test_parallel_launches_from_many_threads():
    script = """
        results = []
        def work():
            results.extend(right(n) for n in range(500, 600))
        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        print(len(results), all(results), started(), words[Process.POOL_BUSY])
    """
    env = {"NUMBA_NUM_THREADS": "4"}
    assert run_script(script, **env) == "800 True True 0".split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_runs_serially():
    script = """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        right(1000)
        child = os.fork()
        if child == 0:
            set_num_threads(2)
            good = right(1000) and right(7) and get_num_threads() == 1
            os._exit(0 if good else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), right(1000))
    """
    env = {"NUMBA_NUM_THREADS": "2"}
    assert run_script(script, **env) == "0 True".split()


def test_without_a_pool_launches_are_serial():
    script = """
        import warnings
        warnings.simplefilter("ignore")
        import mgrad.compiler.threads as threads
        threads.worker_ir = None
        print(right(1000), started(), get_num_threads())
    """
    assert run_script(script, NUMBA_NUM_THREADS="2") == "True False 1".split()


def test_grain():
    assert grain(1.0) == 25_000
    assert grain(1e9) == grain(np.inf) == 1
    assert grain(0.0) > 0


def test_thread_settings():
    for wanted, given in [("3", "3"), ("9", "4"), ("", "4")]:
        env = {"MGRAD_NUM_THREADS": wanted, "NUMBA_NUM_THREADS": "4"}
        assert run_script("print(get_num_threads())", **env) == [given]
    with pytest.raises(ValueError, match=r"wanted 1 to \d+ threads; got 0"):
        set_num_threads(0)
    with pytest.raises(ValueError, match="got 100000"):
        set_num_threads(100_000)
    before = get_num_threads()
    set_num_threads(1)
    assert get_num_threads() == 1
    set_num_threads(before)


def test_import_starts_no_threads_and_no_numba():
    script = """
        import mgrad.compiler.executor
        print(threading.active_count(), started(), "numba" in sys.modules)
    """
    assert run_script(script) == "1 False False".split()


def test_blas_is_found_without_the_package_and_the_package_works_after_it():
    script = """
        from mgrad.compiler import blas
        print(blas.gemm("float64") != 0, "scipy.linalg" in sys.modules)
        import scipy.linalg
        from scipy.linalg import cython_blas
        found = "dgemm" in cython_blas.__pyx_capi__
        print(scipy.linalg.solve(np.eye(1), [2.0])[0], found)
    """
    assert run_script(script) == "True False 2.0 True".split()
