"""einsum of any number of operands, as pairwise contractions."""

# mypy: disable-error-code="no-any-return"
# (the operators of Expr are typed Any)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgrad.errors import ShapeError
from mgrad.expr import Expr, describe
from mgrad.graph import origin
from mgrad.numpy.arguments import as_node, fail, public, refuse_out
from mgrad.numpy.constructing import diagonal
from mgrad.numpy.contraction import contract
from mgrad.numpy.reductions import reduce
from mgrad.numpy.shaping import reorder
from mgrad.primitive import ALPHABET, broadcast_to, convert, result_type
from mgrad.primitives import reduction
from mgrad.primitives.movement import reshape_to

INT64 = np.dtype("int64")


@public(np.einsum)
def einsum(
    *operands: Any, out: Any = None, optimize: Any = None, **options: Any
) -> Expr:
    """Sums of products over letters; the order of contraction is the cheapest found."""
    refuse_out(out, "einsum")
    if not operands:
        fail(
            ShapeError,
            "einsum",
            "needs subscripts such as 'ij,jk->ik' and the operands.",
        )
    subscripts, values = _split_arguments(operands)
    nodes = [as_node(v) for v in values]
    terms, result = _parse(subscripts, nodes)
    extents = _extents(subscripts, terms, nodes)
    dtype = options.get("dtype") or result_type(*nodes)
    boolean = np.dtype(dtype).kind == "b"
    nodes = [convert(n, INT64 if boolean else dtype) for n in nodes]
    total = _contract_all(nodes, terms, result, extents)
    return total != 0 if boolean else total


def _split_arguments(operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Both syntaxes: subscripts first, or operands and lists of labels in turn."""
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    values = list(operands[: len(operands) // 2 * 2 : 2])
    labels = [list(o) for o in operands[1::2]]
    result = list(operands[-1]) if len(operands) % 2 else None
    used = sorted({c for row in labels for c in row if c is not Ellipsis})
    letter = {c: ALPHABET[i] for i, c in enumerate(used)}

    def word(row: list[Any]) -> str:
        return "".join("..." if c is Ellipsis else letter[c] for c in row)

    subscripts = ",".join(map(word, labels))
    return subscripts if result is None else f"{subscripts}->{word(result)}", values


def _parse(subscripts: str, nodes: list[Expr]) -> tuple[list[str], str]:
    """A word of letters for each operand and for the result, ellipses written out."""
    inputs, arrow, result = subscripts.partition("->")
    words = inputs.split(",")
    if len(words) != len(nodes):
        fail(
            ShapeError,
            "einsum",
            f"{subscripts!r} has {len(words)} terms, but {len(nodes)} operands came.",
        )
    if set(subscripts) - set(ALPHABET) - set(",->."):
        fail(
            ShapeError,
            "einsum",
            f"{subscripts!r} may hold only letters, ',', '->', '...'.",
        )
    free = "".join(c for c in reversed(ALPHABET) if c not in subscripts)
    widths = [
        _ellipsis_width(w, n, subscripts) for w, n in zip(words, nodes, strict=True)
    ]
    widest = max(widths, default=0)
    dots = free[:widest]
    terms = [
        word.replace("...", dots[widest - width :])
        for word, width in zip(words, widths, strict=True)
    ]
    if arrow:
        result = result.replace("...", dots)
    else:
        letters = "".join(words).replace(".", "")
        result = dots + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1)
        )
    _check_result(subscripts, terms, result)
    return terms, result


def _ellipsis_width(word: str, node: Expr, subscripts: str) -> int:
    letters = word.replace("...", "")
    width = node.ndim - len(letters)
    dotted = "..." in word
    if "." in letters or width < 0 or (width and not dotted):
        fail(
            ShapeError,
            "einsum",
            f"the term {word!r} of {subscripts!r} has {len(letters)} letters, but the "
            f"operand is {origin(node)} with {node.ndim} axes.",
        )
    return width if dotted else 0


def _check_result(subscripts: str, terms: list[str], result: str) -> None:
    missing = [c for c in result if not any(c in term for term in terms)]
    if missing or len(set(result)) != len(result) or "." in result:
        reason = (
            f"{missing[0]!r} is in no operand" if missing else "a letter stands twice"
        )
        fail(
            ShapeError, "einsum", f"the result {result!r} of {subscripts!r}: {reason}."
        )


def _extents(subscripts: str, terms: list[str], nodes: list[Expr]) -> dict[str, int]:
    extents: dict[str, int] = {}
    owner: dict[str, Expr] = {}
    for term, node in zip(terms, nodes, strict=True):
        for c, n in zip(term, node.shape, strict=True):
            if extents.get(c, 1) != 1 and n not in (1, extents[c]):
                fail(
                    ShapeError,
                    "einsum",
                    f"letter {c!r} of {subscripts!r} is {extents[c]} in "
                    f"{origin(owner[c])} and {n} in {origin(node)}. "
                    "The extents of a letter must agree.",
                )
            if extents.get(c, 1) == 1:
                extents[c], owner[c] = n, node
    return extents


def _contract_all(
    nodes: list[Expr], terms: list[str], result: str, extents: dict[str, int]
) -> Expr:
    pairs = [_diagonal_of(n, t) for n, t in zip(nodes, terms, strict=True)]
    for first, second in _order(pairs, result):
        y, ys = pairs.pop(max(first, second))
        x, xs = pairs.pop(min(first, second))
        needed = result + "".join(letters for _, letters in pairs)
        if pairs:
            kept = "".join(dict.fromkeys(c for c in xs + ys if c in needed))
        else:
            kept = result
        pairs.append((contract(x, xs, y, ys, kept), _present(kept, xs, ys)))
    ((x, xs),) = pairs
    axes = tuple(i for i, c in enumerate(xs) if c not in result)
    x = reduce(reduction.reduce_sum, x, axes, False)
    xs = "".join(c for c in xs if c in result)
    x = reorder(x, tuple(xs.index(c) for c in result))
    return broadcast_to(x, tuple(extents[c] for c in result))


def _present(kept: str, xs: str, ys: str) -> str:
    return "".join(c for c in kept if c in xs or c in ys)


def _diagonal_of(x: Expr, letters: str) -> tuple[Expr, str]:
    """The diagonal for letters that stand twice."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            i = letters.index(c)
            j = letters.index(c, i + 1)
            n, m = x.shape[i], x.shape[j]
            if n != m and 1 in (n, m):
                gone = i if n == 1 else j
                x = reshape_to(x, tuple(e for k, e in enumerate(x.shape) if k != gone))
                letters = letters[:gone] + letters[gone + 1 :]
                continue
            if n != m:
                fail(
                    ShapeError,
                    "einsum",
                    f"letter {c!r} stands for axes of {n} and {m} of {describe(x)}.",
                )
            x = diagonal(x, 0, i, j)
            letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + c
    return x, letters


def _order(pairs: list[tuple[Expr, str]], result: str) -> list[tuple[int, int]]:
    """Pairs of positions to contract; each result goes to the end of the list."""
    if len(pairs) <= 2:
        return [(0, 1)] * (len(pairs) - 1)
    dummies = [np.broadcast_to(np.float64(0), node.shape) for node, _ in pairs]
    subscripts = ",".join(letters for _, letters in pairs) + "->" + result
    path = np.einsum_path(subscripts, *dummies, optimize="greedy")[0][1:]
    steps: list[tuple[int, int]] = []
    for step in path:
        steps.extend(_pairwise(step))
    return steps


def _pairwise(step: Sequence[int]) -> list[tuple[int, int]]:
    """A step over several operands as steps over two; -1 is the latest result."""
    rest = sorted(step)
    steps = []
    while len(rest) > 1:
        second, first = rest.pop(), rest.pop()
        steps.append((first, second))
        if rest:
            rest.append(-1)
    return steps
