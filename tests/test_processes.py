"""One function called from many threads, processes and forked children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mgrad as mg

ROOT = Path(__file__).parents[1]


def loss(params, x):
    h = np.tanh(x @ params["w"])
    return np.mean(np.exp(-h * h)) + np.sum(params["w"] ** 2)


def arguments(seed=0):
    random = np.random.default_rng(seed)
    return {"w": random.standard_normal((120, 90))}, random.standard_normal((700, 120))


SCRIPT = """
from tests.test_processes import arguments, loss
import mgrad as mg
value, grads = mg.value_and_grad(loss)(*arguments())
print(repr(float(value)), repr(float(grads["w"].sum())))
"""


def test_eight_processes_race_on_an_empty_cache(tmp_path):
    environment = dict(os.environ, MGRAD_CACHE_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
    racing = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    answers = {process.communicate()[0] for process in racing}
    assert all(process.returncode == 0 for process in racing)
    (answer,) = answers
    with mg.interpret():
        value, grads = mg.value_and_grad(loss)(*arguments())
    np.testing.assert_allclose(
        [float(word) for word in answer.split()],
        [value, grads["w"].sum()],
        rtol=1e-10,
    )


def test_eight_threads_call_one_function():
    gradient = mg.grad(loss)
    with mg.interpret():
        wanted = [mg.grad(loss)(*arguments(seed))["w"] for seed in range(8)]
    wrong: list[int] = []

    def work(seed):
        for _ in range(10):
            found = gradient(*arguments(seed))["w"]
            if not np.allclose(found, wanted[seed], rtol=1e-10):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FORK = """
import os, sys
from tests.test_processes import arguments, loss
import mgrad as mg, numpy as np
gradient = mg.grad(loss)
large = np.linspace(0, 1, 1_000_000)
def total(x): return np.sum(np.tanh(x) * np.exp(-x))
wanted = gradient(*arguments())["w"], mg.grad(total)(large)
child = os.fork()
found = gradient(*arguments())["w"], mg.grad(total)(large)
fresh = mg.grad(lambda x: np.sum(np.sin(x) ** 3))(large)
right = all(np.allclose(a, b) for a, b in zip(found, wanted))
right = right and np.allclose(fresh, 3 * np.sin(large) ** 2 * np.cos(large))
if child == 0:
    os._exit(0 if right else 1)
_, status = os.waitpid(child, 0)
sys.exit(0 if right and status == 0 else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes():
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", FORK], env=environment, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0
