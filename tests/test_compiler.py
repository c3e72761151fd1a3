"""The compiler against the interpreter, on programs chosen for their schedules."""

from __future__ import annotations

import numpy as np
import pytest

import mgrad.numpy  # noqa: F401  (fills the protocols)
from tests.three_ways import agree, graph_of

random = np.random.default_rng(0)
A = random.standard_normal((20, 30))
B = random.standard_normal((20, 30))
ROW = random.standard_normal(30)
COLUMN = random.standard_normal((20, 1))
CUBE = random.standard_normal((5, 18, 7))
W = random.standard_normal((30, 40))
LONG = random.standard_normal(20_000)
INDEX = random.integers(0, 20, 25)
EMPTY = np.zeros((0, 4))
SPECIAL = np.array([-np.inf, -2.5, -1.0, -0.0, 0.0, 1.0, 3.0, np.inf, np.nan])


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def layer_norm(x, gain, bias):
    mean = np.mean(x, axis=-1, keepdims=True)
    var = np.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * gain + bias


def logsumexp(x):
    top = np.max(x, axis=1)
    return np.log(np.sum(np.exp(x - top[:, None]), axis=1)) + top


PROGRAMS = {
    "elementwise": (lambda x, y: np.tanh(x) * y + 1, A, B),
    "two outputs": (lambda x, y: (x + y, x * y), A, B),
    "chained outputs": (lambda x, y: (np.exp(x), np.exp(x) * y), A, B),
    "broadcast row": (lambda x, b: np.maximum(x + b, 0), A, ROW),
    "broadcast column": (lambda x, c: x * np.exp(c), A, COLUMN),
    "scalar operand": (lambda x, s: x * np.exp(s), A, np.array(0.3)),
    "scalars only": (lambda s, t: np.sin(s) * t, np.array(0.3), np.array(2.0)),
    "dear expansion": (lambda x, b: x + np.exp(np.tanh(b)), A, ROW),
    "transpose": (lambda x: x.T * 2.0, A),
    "x + x.T": (lambda x: x + x.T, A[:, :20]),
    "transposed twice used": (lambda x: np.exp(x) + np.exp(x).T, A[:, :20]),
    "slice": (lambda x: x[2:17, ::3] + 1, A),
    "negative step": (lambda x: x[::-1, ::-2] * x[:, ::2], A),
    "reshape split": (lambda x: np.exp(x).reshape(20, 5, 6) + 1, A),
    "reshape merge": (lambda x: np.exp(x.T).reshape(-1) * 2, A),
    "reshape of output": (lambda x: np.exp(x).reshape(-1), A),
    "input returned": (lambda x: x, A),
    "input returned twice": (lambda x: (x, x, x + 1), A),
    "value returned twice": (lambda x: (np.exp(x), np.exp(x)), A),
    "reshape and value": (lambda x: (np.exp(x), np.exp(x).reshape(-1)), A),
    "constant returned": (lambda x: np.zeros_like(x) + 2.0, A),
    "sum all": (np.sum, A),
    "sum large": (lambda x: (np.sum(x), np.sum(x * x) / x.size), LONG),
    "sum large and elements": (lambda x: (np.sum(x), np.exp(x)), LONG),
    "normalise all small": (lambda x: x / np.sum(x * x), A),
    "normalise all large": (lambda x: x / np.sum(x * x), LONG),
    "sum rows": (lambda x: np.sum(x, axis=1), A),
    "sum columns": (lambda x: np.sum(x, axis=0), A),
    "sum columns and elements": (lambda x: (np.sum(x, axis=0), x * 2), A),
    "mean columns epilogue": (lambda x: np.exp(np.mean(x, axis=0)), A),
    "centre columns": (lambda x: x - np.mean(x, axis=0), A),
    "sum middle": (lambda x: np.sum(x, axis=1), CUBE),
    "sum outer": (lambda x: np.sum(x, axis=(0, 2)), CUBE),
    "sum first": (lambda x: np.sum(x, axis=0), CUBE),
    "sum first of cubes": (
        lambda x, w: np.sum(x[:, None] * w[..., None], axis=0),
        CUBE,
        W[:5, :4, None],
    ),
    "batch norm": (lambda x: (x - x.mean((0, 2), keepdims=True)) * 2, CUBE),
    "different reductions": (lambda x: (x.sum(0), x.sum(1), x.sum()), A),
    "max and argmax": (lambda x: (np.max(x, axis=1), np.argmax(x, axis=0)), A),
    "product": (lambda x: np.prod(x, axis=1), A),
    "any all": (lambda x: (np.any(x > 2, axis=0), np.all(x > -2, axis=1)), A),
    "softmax": (softmax, A),
    "logsumexp": (logsumexp, A),
    "layer norm": (layer_norm, A, ROW, ROW),
    "variance": (lambda x: np.var(x, axis=1), A),
    "matmul": (lambda x, w: np.tanh(x @ w), A, W),
    "matmul transposed": (lambda x, y: x.T @ y, A, B),
    "matmul both transposed": (lambda x, w: w.T @ x.T, A, W),
    "matmul of computed": (lambda x, w: np.tanh(x) @ np.exp(w), A, W),
    "matmul accumulate": (lambda x, y, w: x @ w + y @ w, A, B, W),
    "matmul accumulate bias": (lambda x, w: x @ w + np.sum(x), A, W),
    "gram shared": (lambda x: (x @ x.T + x @ x.T, x @ x.T), A),
    "small matmul": (lambda x, y: x @ y, A[:, :4], W[:4, :5]),
    "matrix vector": (lambda x, b: x @ b, A, ROW),
    "vector matrix": (lambda x, c: c @ x, A, COLUMN[:, 0]),
    "dot": (lambda b: b @ b, ROW),
    "outer": (lambda b, c: np.outer(b, c), ROW, COLUMN),
    "batched matmul": (lambda x, y: x @ y.transpose(0, 2, 1), CUBE, CUBE),
    "batched large": (
        lambda x, y: x @ y,
        random.standard_normal((3, 20, 25)),
        random.standard_normal((3, 25, 22)),
    ),
    "einsum permuted": (
        lambda x, y: np.einsum("ibk,kbj->jbi", x, y),
        random.standard_normal((20, 3, 25)),
        random.standard_normal((25, 3, 22)),
    ),
    "gather rows": (lambda x: x[np.array([3, 1, 1, -1])] * 2, A),
    "gather traced": (lambda x, i: x[i] + 1, A, INDEX),
    "gather pairs": (lambda x: x[np.arange(20), np.arange(20)], A),
    "scatter add": (lambda x, i: x.at[i].add(1.5), A, INDEX),
    "scatter set": (lambda x, i: x.at[i].set(np.ones((25, 30))), A, INDEX),
    "scatter add in one place": (
        lambda x, i: x.at[np.broadcast_to(i, 5)].add(1.5),
        ROW,
        INDEX[:1],
    ),
    "scatters that share an index": (
        lambda x, i: x.at[i % 7].add(x.at[i % 7].set(x[:25])[:25]),
        np.concatenate([A, B]),
        INDEX,
    ),
    "update slice": (lambda x, y: x.at[2:5, ::2].set(y[:3, :15]), A, B),
    "concatenate": (lambda x, y: np.concatenate([x, y * 2], axis=1), A, B),
    "stack": (lambda x, y: np.stack([x, y], axis=1), A, B),
    "pad": (lambda x: np.pad(x, ((1, 2), (0, 3))), A),
    "where": (lambda x, y: np.where(x > 0, x, np.exp(y)), A, B),
    "integers": (lambda i: (i // 3, i % 7, -i // 4, i * 2.5, i**3), INDEX),
    "integer matmul": (lambda i: i @ i, INDEX),
    "floor division": (lambda x, y: (x // y, x % y), SPECIAL, SPECIAL[:, None]),
    "signs": (lambda x: (np.sign(x), np.copysign(1.0, np.sign(x))), SPECIAL),
    "booleans": (lambda x: (x > 0) & ~(x > 1), A),
    "convert": (lambda x: x.astype(np.int32) + x.astype(np.float32), A),
    "empty elementwise": (lambda x: np.exp(x) + 1, EMPTY),
    "empty sum": (lambda x: (np.sum(x, axis=0), np.sum(x), np.sum(x, axis=1)), EMPTY),
    "empty matmul": (lambda x: x.T @ x, EMPTY),
    "long chain": (lambda x: chain(x, 450), A),
    "ones": (lambda x: x[:1, :1] * np.sum(x, axis=1, keepdims=True), A),
}


def chain(x, length):
    for _ in range(length):
        x = np.sin(x) + 0.1
    return x


@pytest.mark.parametrize("name", PROGRAMS)
def test_three_ways_agree(name):
    function, *arrays = PROGRAMS[name]
    agree(graph_of(function, *arrays), arrays)


@pytest.mark.parametrize(
    "name", ["elementwise", "softmax", "layer norm", "matmul", "sum large"]
)
def test_float32(name):
    function, *arrays = PROGRAMS[name]
    narrow = [np.asarray(a, np.float32) for a in arrays]
    agree(graph_of(function, *narrow), narrow)
