"""Basic, advanced and mixed indexing and functional updates, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mgrad.numpy as mnp
from mgrad.errors import ConcreteValueError, IndexingError, ShapeError, UnsupportedError
from tests.tracing import check, run, same

X = np.arange(60.0).reshape(3, 4, 5)
B = np.arange(3) % 2 == 0

READS: list[Any] = [
    (None, 0, Ellipsis, [0, 1], 1), ([0, 1], Ellipsis, [0, 1], 1),
    0, -1, slice(None), slice(1, None), slice(None, None, -1), slice(2, 0, -1),
    slice(5, 2), slice(None, None, 2), slice(-2, None, -2), slice(10, None, -3),
    Ellipsis, None, (0, 1), (0, 1, 2), (Ellipsis, 0), (0, Ellipsis), (None, 0),
    (slice(1), None, 2), (Ellipsis, None), (None, Ellipsis, None), (),
    (0, Ellipsis, 1, 2),
    [0, 2], [], ([0, 1], [1, 2]), ([0, 1], slice(None), [1, 2]), (slice(None), [1, 2]),
    (slice(None), [0, 1], [1, 2]), (0, [1, 2]), (0, slice(None), [1, 2]), ([1, 2], 0),
    (slice(None), 0, [1, 2]), ([[0], [1]], [1, 2]), ([0, 1], None, [1, 2]),
    (None, [0, 1], [1, 2]), (slice(0, 2), [0, 1], None), (Ellipsis, [0, -1]),
    (np.array(1), 0), (np.array([0, -1]), slice(1, 3), slice(None, None, -2)),
    np.array([[0, 1], [2, 0]]), (slice(None), np.zeros((2, 0), int)), B, (B, 0),
    (slice(None), np.array([True, False, True, True])), (B, slice(1, 3), [0, 1]),
    np.ones((3, 4), bool), np.ones((3, 4, 5), bool), (B, np.array([1, 2])), True, False,
    (True, 0), (None, True, 0), np.bool_(True), np.True_, (np.int32(1), np.int64(2)),
    (slice(np.int64(1), 3), np.uint8(1)), ([0], [0], [0]), ([2, 1], [[0], [1]], 3),
    (np.array([0, 1], "int32"), 1), (range(2), 1), X > 30, (slice(None), slice(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("index", READS, ids=range(len(READS)))
def test_read(index: Any) -> None:
    if isinstance(index, tuple) and any(isinstance(i, range) for i in index):
        (got,) = run(lambda v: v[index], [X])
        same(got, X[[0, 1], 1])
        return
    check(lambda v: v[index], X)


TRACED_READS: list[Any] = [
    lambda v, i: v[i], lambda v, i: v[i, 0], lambda v, i: v[0, i], lambda v, i: v[:, i],
    lambda v, i: v[..., i], lambda v, i: v[i, i], lambda v, i: v[i, :, i],
    lambda v, i: v[i, None, [[0], [1]]], lambda v, i: v[i[0]],
    lambda v, i: v[i[0], i[1]],
    lambda v, i: v[i[0], :, i], lambda v, i: v[0, :, i], lambda v, i: v[:, i[1], None],
    lambda v, i: v[i.astype("int32")], lambda v, i: v[[i[0], i[1]]],
    lambda v, i: np.take(v, i, axis=1), lambda v, i: np.take(v, i),
    lambda v, i: mnp.take(np.arange(9.0), i), lambda v, i: v[::-1, 1:3][i],
]  # fmt: skip


@pytest.mark.parametrize("function", TRACED_READS, ids=range(len(TRACED_READS)))
def test_read_with_traced_positions(function: Any) -> None:
    check(function, X, np.array([-1, 2]))
    check(function, X, np.array([0, -3]))


extents = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def slices(n: int) -> st.SearchStrategy[slice]:
    bound = st.none() | st.integers(-n - 2, n + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return st.builds(slice, bound, bound, step)


@st.composite
def indices(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A random index tuple: ints, slices, new axes, ellipsis, arrays, masks."""
    parts: list[Any] = []
    broadcast = draw(st.sampled_from([(2,), (1,), (3, 2), (2, 1), ()]))
    axis, masked = 0, False
    while axis < len(shape) and draw(st.integers(0, 5)):
        n = shape[axis]
        kind = draw(st.sampled_from("iissaaanm"))
        if kind == "n":
            parts.append(None)
            continue
        axis += 1
        if kind == "i":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "s":
            parts.append(draw(slices(n)))
        elif kind == "m" and not masked and broadcast in ((1,), ()):
            masked = True
            parts.append(np.arange(n) == draw(st.integers(0, n - 1)))
        else:
            own = broadcast if draw(st.booleans()) else (1,) * len(broadcast)
            count = int(np.prod(own))
            flat = draw(
                st.lists(st.integers(-n, n - 1), min_size=count, max_size=count)
            )
            parts.append(np.array(flat, int).reshape(own))
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    return tuple(parts)


def fits(x: np.ndarray, index: Any) -> bool:
    try:
        x[index]
    except IndexError:
        return False
    return True


@given(st.data())
def test_any_read(data: Any) -> None:
    shape = data.draw(extents)
    x = np.arange(float(np.prod(shape))).reshape(shape)
    index = data.draw(indices(shape))
    if fits(x, index):
        check(lambda v: v[index], x)
    else:
        with pytest.raises(IndexingError):
            run(lambda v: v[index], [x])


@given(st.data())
def test_any_read_with_traced_positions(data: Any) -> None:
    shape = data.draw(extents)
    x = np.arange(float(np.prod(shape))).reshape(shape)
    index = data.draw(indices(shape))
    arrays = [i for i in index if isinstance(i, np.ndarray) and i.dtype.kind == "i"]
    if not fits(x, index):
        return

    def read(v: Any, *traced: Any) -> Any:
        values = iter(traced)
        parts = [
            next(values) if isinstance(i, np.ndarray) and i.dtype.kind == "i" else i
            for i in index
        ]
        return v[tuple(parts)]

    check(read, x, *arrays)


# --- updates --------------------------------------------------------------------

HOW = {
    "set": None,
    "add": np.add,
    "multiply": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def updated(x: np.ndarray, index: Any, values: Any, how: str) -> np.ndarray:
    out = x.copy()
    if how == "set":
        out[index] = values
    else:
        HOW[how].at(out, index, values)  # type: ignore[union-attr]
    return out


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("index", READS, ids=range(len(READS)))
def test_update(index: Any, how: str) -> None:
    if isinstance(index, tuple) and any(isinstance(i, range) for i in index):
        index = ([0, 1], 1)
    x = X - 20
    for values in (
        2.5,
        -np.arange(np.prod(x[index].shape), dtype=float).reshape(x[index].shape),
    ):
        if how == "multiply" and _repeats(x, index):
            with pytest.raises(UnsupportedError, match="may repeat"):
                run(lambda v, i=index: v.at[i].multiply(2.0), [x])
            return
        want = updated(x, index, values, how)
        (got,) = run(lambda v, u: getattr(v.at[index], how)(u), [x, values])
        same(got, want)


def _repeats(x: np.ndarray, index: Any) -> bool:
    numbers = np.arange(x.size).reshape(x.shape)[index]
    return np.unique(numbers).size != numbers.size


@given(st.data(), st.sampled_from(["set", "add", "min", "max"]))
def test_any_update(data: Any, how: str) -> None:
    shape = data.draw(extents)
    x = np.arange(float(np.prod(shape))).reshape(shape)
    index = data.draw(indices(shape))
    if not fits(x, index):
        return
    values = np.linspace(-3, 30, x[index].size).reshape(x[index].shape)
    if how == "set" and _repeats(x, index):
        values = np.asarray(7.0)
    (got,) = run(lambda v, u: getattr(v.at[index], how)(u), [x, values])
    same(got, updated(x, index, values, how))


def test_update_with_traced_positions_counts_duplicates() -> None:
    x, i = np.zeros(4), np.array([1, -3, 1])
    (got,) = run(lambda v, j: v.at[j].add(1.0), [x, i])
    same(got, np.array([0.0, 3.0, 0.0, 0.0]))
    (got,) = run(lambda v, j: v.at[j].set(np.array([1.0, 2.0, 3.0])), [x, i])
    same(got, np.array([0.0, 3.0, 0.0, 0.0]))


def test_update_with_a_traced_mask() -> None:
    (got,) = run(lambda v: v.at[v > 30].set(0), [X])
    same(got, np.where(X > 30, 0.0, X))
    (got,) = run(lambda v: v.at[v[:, 0, 0] > 1].add(np.arange(5.0)), [X])
    same(got, X + np.where(X[:, :1, :1] > 1, np.arange(5.0), 0))
    with pytest.raises(IndexingError, match=r"mask is traced.*np\.where"):
        run(lambda v: v.at[v > 30].set(np.ones(29)), [X])


def test_update_converts_values_and_keeps_dtype() -> None:
    (got,) = run(lambda v: v.at[0].set(1.7), [np.zeros(3, "int64")])
    same(got, np.array([1, 0, 0]))
    (got,) = run(lambda v: v.at[:2].add(np.float64(1)), [np.zeros(3, "float32")])
    same(got, np.array([1, 1, 0], "float32"))
    (got,) = run(lambda v: v.at[[0, 0]].add(True), [np.zeros(3, bool)])
    same(got, np.array([True, False, False]))
    (got,) = run(lambda v: v.at[0].get(), [X])
    same(got, X[0])


# --- errors ---------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (lambda v: v[3], r"index 3 is out of bounds for axis 0 with size 3"),
    (lambda v: v[0, -5], r"index -5 is out of bounds for axis 1 with size 4"),
    (lambda v: v[[0, 7]], r"index 7 is out of bounds for axis 0 with size 3"),
    (lambda v: v[0, 0, 0, 0], r"too many indices.*has 3 axes, but 4"),
    (lambda v: v[..., 0, ...], r"single ellipsis"),
    (lambda v: v["a"], r"only integers, slices.*got str"),
    (lambda v: v[1.5], r"only integers, slices.*got float"),
    (lambda v: v[[0.5]], r"must be of integer or boolean type, got float64"),
    (lambda v: v[v], r"must be of integer or boolean type, got float64"),
    (lambda v: v[v > 0], r"mask is traced.*np\.where"),
    (lambda v: v[np.ones(4, bool)], r"boolean index did not match"),
    (lambda v: v[[0, 1], [0, 1, 2]], r"could not be broadcast together"),
    (lambda v: v[v.astype(int)[0, 0, :2], [0, 1, 2]], r"do not broadcast"),
    (lambda v: v[1.0:], r"slice indices must be integers"),
    (lambda v: v[[[0], [1, 2]]], r"ragged"),
    (lambda v: v.at[5].set(0), r"index 5 is out of bounds"),
    (lambda v: np.take(v, 9, 0), r"index 9 is out of bounds for axis 0"),
    (lambda v: np.delete(v, 9, 0), r"out of bounds"),
]


@pytest.mark.parametrize(("function", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_index(function: Any, message: str) -> None:
    with pytest.raises(IndexingError, match=message) as caught:
        run(function, [X])
    assert "test_indexing.py:" in str(caught.value)


def test_wrong_values() -> None:
    with pytest.raises(ShapeError, match=r"could not broadcast the values .* \(4, 5\)"):
        run(lambda v: v.at[0].set(np.ones(3)), [X])
    with pytest.raises(ShapeError, match=r"could not broadcast the values"):
        run(lambda v: v.at[[0, 1]].add(np.ones((3, 4, 5))), [X])


def test_slice_bounds_must_be_numbers() -> None:
    with pytest.raises(ConcreteValueError, match="use as an index or a size"):
        run(lambda v: v[: v[0, 0, 0].astype(int)], [X])
    with pytest.raises(ConcreteValueError, match=r"mgrad\.numpy\.take"):
        run(lambda v: np.arange(3.0)[v[0, 0, 0].astype(int)], [X])


def test_positions_out_of_bounds_at_run_time_are_an_error() -> None:
    with pytest.raises(IndexError):
        run(lambda v, i: v[i], [X, np.array([0, 3])])
