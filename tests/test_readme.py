"""The README's examples print what it says they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", README, re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("code, printed", EXAMPLES)
def test_example(code, printed):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), np.printoptions(precision=8, suppress=False):
        exec(code, {})
    found = re.sub(r"kernel_[0-9a-f]{16}", "kernel_...", out.getvalue())
    pairs = zip(found.split(), printed.split(), strict=True)
    assert all(same(word, wanted) for word, wanted in pairs), found


def same(word: str, wanted: str) -> bool:
    """Equal, or numbers equal but for rounding, which differs between processors."""
    try:
        return float(word.strip("[]")) == pytest.approx(float(wanted.strip("[]")))
    except ValueError:
        return word == wanted
