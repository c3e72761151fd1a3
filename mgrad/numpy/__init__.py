"""NumPy's names, for traced values and arrays alike.

Plain `numpy` functions trace by themselves; this namespace adds what NumPy's
protocols cannot reach, such as `array([x, y])` and `full(shape, x)` of traced values.
Without a traced argument each function is NumPy's own.
"""

from __future__ import annotations

from typing import Any as _Any

import numpy as _np

from mgrad.numpy import (
    constructing,
    contraction,
    einsum,
    elementwise,
    indexing,
    joining,
    operators,
    reductions,
    refusals,
    scans,
    shaping,
    special,
    statistics,
    ufuncs,
    updates,
)
from mgrad.numpy.dispatch import beyond_numpy, constructors, namespace

IMPLEMENTATIONS = (
    operators,
    ufuncs,
    elementwise,
    reductions,
    shaping,
    joining,
    constructing,
    scans,
    contraction,
    einsum,
    indexing,
    updates,
    statistics,
    special,
    refusals,
)
REEXPORTED = (
    "bool bool_ int32 int64 float32 float64 dtype generic ndarray number integer "
    "floating finfo iinfo pi e euler_gamma inf nan newaxis zeros ones empty arange eye "
    "identity tri tril_indices triu_indices diag_indices indices mgrid ogrid ix_ s_ "
    "geomspace logspace broadcast_shapes promote_types issubdtype isscalar "
    "ascontiguousarray fromiter errstate ndindex index_exp array_repr set_printoptions"
).split()

_public = {
    **{name: getattr(_np, name) for name in REEXPORTED},
    **namespace(_np),
    **beyond_numpy(),
    **constructors(),
}
globals().update(_public)

from mgrad.numpy import linalg  # noqa: E402


def __getattr__(name: str) -> _Any:
    """Names that are missing say what is nearest."""
    from mgrad.errors import MissingAttributeError
    from mgrad.protocols import nearest

    raise MissingAttributeError(
        f"mgrad.numpy has no {name!r}.{nearest(name, __all__)} A function that does "
        "not meet traced values can come from numpy itself."
    )


__all__ = ["linalg", *sorted(_public)]
