"""`numpy.linalg` with the functions that trace; others are NumPy's business."""

from __future__ import annotations

import numpy as np

from mgrad.numpy.dispatch import namespace

globals().update(namespace(np.linalg))
__all__ = sorted(namespace(np.linalg))
