"""sin, cos and tan.

x = q pi/2 + r by three-piece Cody-Waite reduction with fma (Muller, Elementary
Functions, 3rd ed., ch. 11), good to FAST_LIMIT; larger arguments, which are rare, go to
libm behind a guard that the loop vectoriser sees as one vector call (see guard.py).
"""

from __future__ import annotations

from .builder import Value, fma, polynomial, select
from .constants import COS, PI, SIN, TAN
from .guard import guarded

# Up to here rounding x / (pi/2) to an integer leaves |r| < 1.008 pi/4.
FAST_LIMIT = {"double": 2.0**42, "float": 2.0**16}


def sin(x: Value) -> Value:
    result = sine_of_quadrant(x, 0)
    result = select(abs(x) < x.format.epsilon, x, result)  # keeps -0 and subnormals
    return guarded("sin", x, result, FAST_LIMIT[x.format.name])


def cos(x: Value) -> Value:
    return guarded("cos", x, sine_of_quadrant(x, 1), FAST_LIMIT[x.format.name])


def sine_of_quadrant(x: Value, shift: int) -> Value:
    """sin(x + shift pi/2)."""
    quadrant, r, low = reduce(x)
    quadrant = quadrant + shift
    wave = select(is_odd(quadrant), cos_near_zero(r, low), sin_near_zero(r, low))
    sign = (quadrant >> 1) << (x.format.bits - 1)
    return (wave.as_bits() ^ sign).as_real()


def tan(x: Value) -> Value:
    """tan r in even quadrants, -1 / tan r in odd ones."""
    quadrant, r, low = reduce(x)
    z = r * r
    near = r + fma(r * z, polynomial(z, TAN[x.format.name]), low)
    odd = is_odd(quadrant)
    result = select(odd, x.lift(-1.0), near) / select(odd, near, 1.0)
    result = select(abs(x) < x.format.epsilon, x, result)
    return guarded("tan", x, result, FAST_LIMIT[x.format.name])


def reduce(x: Value) -> tuple[Value, Value, Value]:
    """An integer q in low bits, and x - q pi/2 as an unevaluated sum of two numbers.

    The first fma is exact. Fast2Sum is exact too, because `first` is a multiple of the
    unit in the last place of `product`, although it may be the smaller one.
    """
    high, middle, low = x.format.pieces(PI / 2, 3)
    shifted = fma(x, 2 / float(PI), x.format.rounder)
    q = shifted - x.format.rounder
    first = fma(q, -high, x)
    product = q * middle
    product_low = fma(q, middle, -product)
    r = first - product
    return shifted.as_bits(), r, ((first - r) - product) - fma(q, low, product_low)


def sin_near_zero(r: Value, low: Value) -> Value:
    z = r * r
    return r + fma(r * z, polynomial(z, SIN[r.format.name]), low)


def cos_near_zero(r: Value, low: Value) -> Value:
    """1 - z/2 + z**2 P - r low, with the rounding error of 1 - z/2 added back."""
    z = r * r
    half = 0.5 * z
    first = 1.0 - half
    rest = fma(z * z, polynomial(z, COS[r.format.name]), -(r * low))
    return first + (((1.0 - first) - half) + rest)


def is_odd(n: Value) -> Value:
    return (n & 1).is_nonzero()
