"""exp and its family.

x = n ln2 + r with |r| <= ln2 / 2 (Cody and Waite, Software Manual for the Elementary
Functions, 1980), then e**r = 1 + (cosh r - 1) + sinh r, whose even and odd parts also
give sinh and cosh without a division or cancellation.
"""

from __future__ import annotations

from typing import NamedTuple

from .builder import Value, fma, horner, select
from .constants import COSH, LN2, LOG2_E, SINH

# Beyond these the result is exactly 0 or inf, and within them 2**n can be written.
EXP_RANGE = {"double": (-746.0, 710.0), "float": (-104.0, 89.0)}
EXP2_RANGE = {"double": (-1076.0, 1024.25), "float": (-150.5, 128.25)}
SINH_LIMIT = {"double": 710.7, "float": 89.6}


class Reduced(NamedTuple):
    """x = n ln2 + r + low."""

    n: Value
    bits: Value  # an integer with n in its low bits
    r: Value
    low: Value  # the rounding error of r


def exp(x: Value) -> Value:
    part = reduce(x.clamp(*EXP_RANGE[x.format.name]))
    first, second = two_powers(part.bits)
    return (1.0 + expm1_near_zero(part.r)) * first * second


def exp2(x: Value) -> Value:
    x = x.clamp(*EXP2_RANGE[x.format.name])
    shifted = x + x.format.rounder
    first, second = two_powers(shifted.as_bits())
    r = (x - (shifted - x.format.rounder)) * float(LN2)
    return (1.0 + expm1_near_zero(r)) * first * second


def expm1(x: Value) -> Value:
    # expm1 is -1 to working precision long before n becomes very negative.
    low, high = -float(x.format.fraction), EXP_RANGE[x.format.name][1]
    part = reduce(x.clamp(low, high))
    half, rest = half_expm1(part)
    # Halves underflow where n is 0, and wholes overflow just before the result does.
    near = expm1_near_zero(part.r)
    return select(part.n.equals(0.0), near, 2.0 * (half + rest)).with_sign_of(x)


def tanh(x: Value) -> Value:
    """h / (h + 1) with h = expm1(2 |x|) / 2."""
    h, h_rest = half_expm1(reduce((2.0 * abs(x)).clamp(None, float(x.format.fraction))))
    h, h_rest = fast_two_sum(h, h_rest)
    total = h + 1.0
    lost = select(h > 1.0, 1.0 - (total - h), h - (total - 1.0))
    return quotient((h, h_rest), (total, lost + h_rest)).with_sign_of(x)


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), from e = exp(-|x|) so that nothing overflows."""
    part = reduce((-abs(x)).clamp(EXP_RANGE[x.format.name][0], None))
    first, second = two_powers(part.bits)
    high, rest = fast_two_sum(x.lift(1.0), expm1_near_zero(part.r))
    e, e_rest = high * first * second, rest * first * second
    total, lost = fast_two_sum(x.lift(1.0), e)
    negative = x < 0.0
    numerator = select(negative, e, 1.0), select(negative, e_rest, 0.0)
    return quotient(numerator, (total, lost + e_rest))


def sinh(x: Value) -> Value:
    difference, total, _, even, odd = halves(x)
    return (2.0 * (difference + fma(odd, total, even * difference))).with_sign_of(x)


def cosh(x: Value) -> Value:
    difference, total, rest, even, odd = halves(x)
    return 2.0 * (total + fma(odd, difference, fma(even, total, rest)))


def halves(x: Value) -> tuple[Value, Value, Value, Value, Value]:
    """For |x| = n ln2 + r: 2**(n-2) - 2**(-n-2); the sum of these two powers and its
    rounding error; cosh r - 1; sinh r."""
    part = reduce(abs(x).clamp(None, SINH_LIMIT[x.format.name]))
    up = power_of_two(part.bits - 2)
    small = part.n.clamp(None, 2.0 * x.format.fraction)
    down = power_of_two((x.format.rounder - 2.0 - small).as_bits())
    even, odd_rest = cosh_sinh_tails(part.r)
    return up - down, *fast_two_sum(up, down), even, fma(part.r, odd_rest, part.r)


def half_expm1(part: Reduced) -> tuple[Value, Value]:
    """expm1(n ln2 + r + low) / 2, in two pieces."""
    power = power_of_two(part.bits - 1)
    offset = power - 0.5
    high = fma(power, part.r, offset)
    even, odd_rest = cosh_sinh_tails(part.r)
    tail = fma(part.r, odd_rest, even) + part.low
    return high, fma(power, tail, fma(power, part.r, offset - high))


def exp_normal(x: Value) -> Value:
    """exp where neither x nor the result is near the ends of the range."""
    part = reduce(x)
    power = power_of_two(part.bits)
    return fma(power, expm1_near_zero(part.r), power)


def reduce(x: Value) -> Reduced:
    high, low = x.format.pieces(LN2, 2)
    shifted = fma(x, float(LOG2_E), x.format.rounder)
    n = shifted - x.format.rounder
    first = fma(n, -high, x)  # exact
    r = fma(n, -low, first)
    return Reduced(n, shifted.as_bits(), r, fma(n, -low, first - r))


def cosh_sinh_tails(r: Value) -> tuple[Value, Value]:
    """cosh r - 1 and (sinh r) / r - 1."""
    z = r * r
    return z * horner(z, COSH[r.format.name]), z * horner(z, SINH[r.format.name])


def expm1_near_zero(r: Value) -> Value:
    even, odd_rest = cosh_sinh_tails(r)
    return r + fma(r, odd_rest, even)


def power_of_two(n: Value) -> Value:
    """2**n from an integer with n in its low bits; n in the range of normal numbers."""
    return ((n << n.format.fraction) + n.format.encode(1.0)).as_real()


def two_powers(n: Value) -> tuple[Value, Value]:
    """Two powers of two with the product 2**n, which may be subnormal or overflow."""
    half = n >> 1
    return power_of_two(half), power_of_two(n - half)


def fast_two_sum(x: Value, y: Value) -> tuple[Value, Value]:
    """x + y and its rounding error, if |x| >= |y| (Dekker 1971)."""
    total = x + y
    return total, y - (total - x)


def quotient(x: tuple[Value, Value], y: tuple[Value, Value]) -> Value:
    """The quotient of two numbers in two pieces each, for the price of one division."""
    inverse = 1.0 / y[0]
    first = x[0] * inverse
    missing = fma(-first, y[0], x[0]) + fma(-first, y[1], x[1])
    return fma(missing, inverse, first)
