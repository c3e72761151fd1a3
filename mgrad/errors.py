"""Every exception that mgrad raises, each a subclass of the one NumPy users expect."""

from __future__ import annotations

import numpy as np


class MgradError(Exception):
    """Base of all mgrad errors."""


class ShapeError(MgradError, ValueError):
    """Operands whose shapes do not fit, or a loss that is not a scalar."""


class AxisError(MgradError, np.exceptions.AxisError):
    """An axis out of bounds or given twice."""

    __str__ = Exception.__str__


class DTypeError(MgradError, TypeError):
    """A dtype that mgrad does not compute with, or cannot differentiate."""


class ConcreteValueError(MgradError, TypeError):
    """A traced value was used where Python needs the number itself."""


class ItemAssignmentError(MgradError, TypeError):
    """`x[i] = v`, `x += v` into an element, or `out=` on a traced value."""


class IndexingError(MgradError, IndexError):
    """An index out of bounds, or of a form that cannot be traced."""


class LeakError(MgradError, RuntimeError):
    """A traced value was used after the trace that made it had ended."""


class ArgumentError(MgradError, TypeError):
    """Wrong argnums, argnames, in_axes or arguments of a transform."""


class UnsupportedError(MgradError, NotImplementedError, TypeError):
    """A NumPy function, option or form that mgrad does not trace."""


class CompileError(MgradError, RuntimeError):
    """The compiler could not build a program; says which kernel."""


class MissingAttributeError(MgradError, AttributeError):
    """An attribute or method of arrays that traced values do not have."""


class StructureError(MgradError, ValueError):
    """Pytrees whose structures differ."""


class DepthError(MgradError, RecursionError):
    """A function that calls itself without end, or arguments nested without end."""


class GradientError(MgradError, AssertionError):
    """A derivative disagrees with finite differences."""


class RandomnessWarning(UserWarning):
    """Random numbers drawn while tracing: every later call uses the same ones."""


class CacheWarning(UserWarning):
    """The disk cache could not be read or written; mgrad goes on without it."""
