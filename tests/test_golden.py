"""Generated code is product: graphs, program listings and kernels as stored files.

After an intended change, `MGRAD_UPDATE_GOLDEN=1 pytest tests/test_golden.py` writes
them again; read the difference before committing it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import mgrad as mg
from mgrad.compiler.build import build
from tests.three_ways import graph_of

FOLDER = Path(__file__).parent / "golden"
ROWS, COLUMNS = np.ones((100, 50)), np.ones(50)


def mlp(params, x, y):
    h = np.tanh(x @ params["w1"] + params["b1"])
    return np.mean((h @ params["w2"] + params["b2"] - y) ** 2)


MLP = {
    "w1": np.ones((50, 40)), "b1": np.ones(40),
    "w2": np.ones((40, 3)), "b2": np.ones(3),
}  # fmt: skip


def softmax(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


PROGRAMS = {
    "mlp_gradient": lambda: mg.value_and_grad(mlp).program(
        MLP, ROWS, np.ones((100, 3))
    ),
    "softmax": lambda: mg.jit(softmax).program(ROWS),
    "rosenbrock_gradient": lambda: mg.grad(rosenbrock).program(COLUMNS),
    "column_sums": lambda: mg.jit(lambda x: np.sum(x * x, axis=0)).program(ROWS),
    "large_sum": lambda: mg.jit(lambda x: np.sum(x * x)).program(np.ones(100_000)),
}


def numbered(text: str) -> str:
    """Kernel names by order of appearance: their hashes differ between machines."""
    names = dict.fromkeys(re.findall(r"kernel_[0-9a-f]{16}", text))
    for number, name in enumerate(names):
        text = text.replace(name, f"kernel{number}")
    return re.sub(r"; mathematics: .*", "; mathematics: ...", text)


def compare(name: str, text: str) -> None:
    """The text against its file, or into it."""
    path, text = FOLDER / name, numbered(text)
    if os.environ.get("MGRAD_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{name} changed; see tests/test_golden.py"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    program = PROGRAMS[name]()
    kernels = "\n".join(kernel.source for kernel in program.kernels)
    compare(f"{name}.txt", f"{program.graph}\n\n{program}\n\n{kernels}")


def test_llvm():
    program = build(
        graph_of(lambda x, y: (x * y + 1.0, np.maximum(x, 0.0)), ROWS, ROWS)
    )
    (kernel,) = program.kernels
    compare("elementwise.ll", kernel.llvm() + "\n")
