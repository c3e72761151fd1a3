"""log and its family.

x = 2**k m with m in [sqrt(1/2), sqrt(2)), f = m - 1 and s = f / (2 + f); then
log(1 + f) = f - (f**2/2 - s (f**2/2 + R(s**2))), the arrangement of fdlibm's e_log.c
(Sun Microsystems, 1993): the rounded terms are all small beside f.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from .builder import Value, fma, polynomial, select
from .constants import LN2, LOG, LOG2_E, LOG10_2, LOG10_E


class Split(NamedTuple):
    k: Value  # the exponent, integral
    f: Value  # m - 1
    unscale: Value  # 2**(1-k), zero where that underflows


def log(x: Value) -> Value:
    part = split_any(x)
    return edges(combine(part), x)


def log1p(x: Value) -> Value:
    total = x + 1.0
    rest = total - 1.0
    lost = (x - rest) + (1.0 - (total - rest))  # TwoSum (Knuth): x + 1 == total + lost
    part = split_normal(total)
    f = fma(0.5 * lost, part.unscale, part.f)
    return edges(combine(part._replace(f=f)), total).with_sign_of(x)


def log2(x: Value) -> Value:
    return scaled(x, LOG2_E, Fraction(1))


def log10(x: Value) -> Value:
    return scaled(x, LOG10_E, LOG10_2)


def combine(part: Split) -> Value:
    """k ln2 + log(1 + f)."""
    high, low = part.k.format.pieces(LN2, 2)
    half_square = 0.5 * part.f * part.f
    bend = fma(*bend_terms(part.f, half_square), part.k * low)
    return fma(part.k, high, part.f - (half_square - bend))


def bend_terms(f: Value, half_square: Value) -> tuple[Value, Value]:
    """log(1 + f) - (f - f**2/2), as a product."""
    s = f / (f + 2.0)
    z = s * s
    return s, half_square + z * polynomial(z, LOG[f.format.name])


def scaled(x: Value, factor: Fraction, per_exponent: Fraction) -> Value:
    """k per_exponent + factor log(1 + f), in two pieces until the last sum."""
    format = x.format
    k, f, _ = split_any(x)
    half_square = 0.5 * f * f
    high = f - half_square
    low = fma(*bend_terms(f, half_square), (f - high) - half_square)
    factor_high, factor_low = format.pieces(factor, 2)
    exponent_high, exponent_low = format.pieces(per_exponent, 2)

    product = high * factor_high
    rest = fma(high, factor_low, fma(high, factor_high, -product)) + low * factor_high
    big = k * exponent_high
    total = big + product
    rest = rest + fma(k, exponent_low, fma(k, exponent_high, -big))
    rest = rest + (product - (total - big))  # Fast2Sum (Dekker): k is 0 or the larger
    return edges(total + rest, x)


def split_any(x: Value) -> Split:
    """Of any positive number: the subnormal ones are scaled up first."""
    format = x.format
    shift = float(format.fraction + 2)
    tiny = x < format.smallest_normal
    part = split_normal(select(tiny, x * 2.0**shift, x))
    return part._replace(k=part.k - select(tiny, x.lift(shift), 0.0))


def split_normal(x: Value) -> Split:
    format = x.format
    offset = format.encode(0.5**0.5)  # m in [sqrt(1/2), sqrt(2))
    exponent_one, fraction_mask = 1 << format.fraction, (1 << format.fraction) - 1
    biased = x.as_bits() + ((format.bias + 1) * exponent_one - offset)
    exponent = biased >> format.fraction  # k + bias + 1
    as_number = (exponent | format.encode(2.0**format.fraction)).as_real()
    m = ((biased & fraction_mask) + offset).as_real()
    unscale = (2 * format.bias + 2) * exponent_one - (exponent << format.fraction)
    k = as_number - (2.0**format.fraction + format.bias + 1)
    return Split(k, m - 1.0, unscale.as_real())


def edges(result: Value, x: Value) -> Value:
    """Of the logarithm of x: inf of inf, -inf of 0, NaN of a negative number or NaN."""
    result = select(x < float("inf"), result, x)
    outside = select(x.equals(0.0), x.lift(-float("inf")), float("nan"))
    return select(x > 0.0, result, outside)
