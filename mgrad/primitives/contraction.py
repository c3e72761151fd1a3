"""One primitive for every product with a sum: matmul, dot, tensordot, einsum."""

from __future__ import annotations

from mgrad.primitive import Contraction

contract = Contraction("contract", "A sum of products over shared letters.")
