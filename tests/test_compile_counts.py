"""What is compiled when: new sizes and new constants compile nothing."""

from __future__ import annotations

import numpy as np
import pytest

import mgrad as mg
from mgrad.compiler import codegen, gemm


def compiled_by(call):
    """How many kernels a call compiles."""
    before = codegen.counts().compiled
    call()
    return codegen.counts().compiled - before


def mlp(params, x, y):
    h = np.maximum(x @ params["w1"] + params["b1"], 0)
    z = h @ params["w2"] + params["b2"]
    z = z - np.max(z, axis=1, keepdims=True)
    return -np.mean(
        np.sum(y * (z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))), axis=1)
    )


def mlp_arguments(batch):
    random = np.random.default_rng(0)
    params = {
        "w1": random.standard_normal((50, 40)), "b1": np.zeros(40),
        "w2": random.standard_normal((40, 20)), "b2": np.zeros(20),
    }  # fmt: skip
    return params, random.standard_normal((batch, 50)), np.ones((batch, 20)) / 20


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MGRAD_CACHE_DIR", str(tmp_path))
    gemm.address()  # part of the runtime, compiled once in a process


@pytest.mark.parametrize("first, second", [(128, 100), (100, 37), (64, 1024)])
def test_a_second_batch_size_compiles_nothing(first, second):
    step = mg.value_and_grad(mlp)
    step(*mlp_arguments(first))
    assert compiled_by(lambda: step(*mlp_arguments(second))) == 0


def test_a_second_length_compiles_nothing():
    f = mg.value_and_grad(lambda x: np.sum(np.tanh(x) * np.exp(-x * x)))
    f(np.ones(30_000))
    assert compiled_by(lambda: f(np.ones(50_001))) == 0


def test_another_learning_rate_compiles_nothing():
    def update(rate):
        return mg.jit(lambda x, g: x - rate * g)(np.ones(50), np.ones(50))

    update(0.01)
    assert compiled_by(lambda: update(0.003)) == 0


def test_equal_layers_share_kernels():
    def deep(x, layers):
        for w, b in layers:
            x = np.tanh(x @ w + b)
        return x

    def layers(count):
        return [(np.ones((40, 40)) / 40, np.zeros(40))] * count

    mg.jit(deep)(np.ones((30, 40)), layers(2))
    assert compiled_by(lambda: mg.jit(deep)(np.ones((30, 40)), layers(5))) == 0
