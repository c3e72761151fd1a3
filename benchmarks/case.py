"""What a workload declares: cases, each with one contender per library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One library's entry: what is timed, and what is compared before any timing.

    Each timed function takes nothing and returns when its result is there.
    """

    timed: Mapping[str, Run]
    outputs: Run


@dataclass(frozen=True)
class Case:
    """One row of the tables.

    `contenders` maps a library's name to a function of the data that imports the
    library, builds its entry and returns it; `headline` is the measure whose first
    call is the case's first-gradient time.
    """

    name: str
    dtype: str
    data: Callable[[], Any]
    contenders: Mapping[str, Callable[[Any], Contender]]
    headline: str = "gradient"

    @property
    def tolerance(self) -> float:
        """How far outputs may differ, relative to the largest entry of each array."""
        return {"float64": 1e-8, "float32": 1e-4}[self.dtype]
