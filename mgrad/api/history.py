"""Which programs a function was given, and why each was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mgrad import tree
from mgrad.api.leaves import LeafType

LATEST = 200
"""So many events are kept, besides the first."""


class Signature(NamedTuple):
    """What a specialisation is for."""

    structure: tree.TreeDef
    types: tuple[LeafType, ...]
    interpreting: bool


class Event(NamedTuple):
    """A program that was made."""

    number: int
    signature: Signature
    reason: str
    trace_time: float
    build_time: float

    def __str__(self) -> str:
        times = f"traced in {self.trace_time:.2g} s, built in {self.build_time:.2g} s"
        shown = ", ".join(map(str, self.signature.types))
        return f"{self.number}. ({shown}): {self.reason}; {times}"


class History:
    """The events of one function, the latest of them and the first."""

    def __init__(self) -> None:
        self.count = 0
        self._events: list[Event] = []

    def add(
        self, signature: Signature, reason: str, trace_time: float, build_time: float
    ) -> None:
        """Note a program that was made."""
        self.count += 1
        event = Event(self.count, signature, reason, trace_time, build_time)
        self._events.append(event)
        del self._events[1:-LATEST]

    def lines(self) -> list[str]:
        """One line for each event."""
        return [str(event) for event in self._events]

    def reason(self, signature: Signature, names: Callable[[], Sequence[str]]) -> str:
        """What differs from the nearest signature seen before."""
        if not self._events:
            return "the first call"
        seen = dict.fromkeys(event.signature for event in self._events)
        same = [s for s in seen if s.structure == signature.structure]
        if not same:
            return "the structure of the arguments is new"
        nearest = min(same, key=lambda s: len(_changes(s, signature)))
        changes = _changes(nearest, signature)
        if not changes:
            return "interpreter mode was switched"
        shown = names()
        return ", ".join(
            f"{shown[i]} was {nearest.types[i]} and is {signature.types[i]}"
            for i in changes
        )


def _changes(old: Signature, new: Signature) -> list[int]:
    pairs = enumerate(zip(old.types, new.types, strict=True))
    return [i for i, (a, b) in pairs if a != b]
