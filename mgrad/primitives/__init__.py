"""The primitives: each a declaration, in the file that its kind names."""

from mgrad.primitives import (
    arithmetic,
    contraction,
    elementary,
    indexing,
    logic,
    movement,
    reduction,
)

__all__ = [
    "arithmetic",
    "contraction",
    "elementary",
    "indexing",
    "logic",
    "movement",
    "reduction",
]
