"""erf, in two pieces joined at |x| = 1: x + x P(x**2), and 1 - exp(-T(|x|)) where T
approximates -log(erfc), whose error matters the less the larger x is."""

from __future__ import annotations

from .builder import Value, fma, polynomial, select
from .constants import ERF_NEAR, ERF_TAIL
from .exponential import exp_normal

# erf is 1 to working precision from here on.
SATURATED = {"double": 6.0, "float": 4.0}


def erf(x: Value) -> Value:
    size = abs(x)
    near = fma(x, polynomial(x * x, ERF_NEAR[x.format.name]), x)
    clamped = size.clamp(None, SATURATED[x.format.name])
    tail = 1.0 - exp_normal(-polynomial(clamped, ERF_TAIL[x.format.name]))
    return select(size < 1.0, near, tail).with_sign_of(x)
