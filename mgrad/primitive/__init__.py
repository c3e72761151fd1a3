"""The families of primitives and the registry.

A primitive is one declaration; its family derives the rest: the type of the
result, the interpreter, both derivative modes, the batching rule and what the
compiler needs. `REGISTRY` enrols each in every test.
"""

from mgrad.primitive.base import (
    REGISTRY,
    Cotangent,
    Primitive,
    add,
    add_cotangents,
    both,
    is_differentiable,
)
from mgrad.primitive.contraction import (
    ALPHABET,
    Contraction,
)
from mgrad.primitive.elementwise import (
    Elementwise,
    Partial,
    scale,
)
from mgrad.primitive.indexing import (
    Gather,
    Indexing,
    Iota,
    Scatter,
)
from mgrad.primitive.linear import (
    Assembly,
    Linear,
    Movement,
    Region,
)
from mgrad.primitive.reduction import (
    Reduction,
)
from mgrad.primitive.values import (
    as_expr,
    batch_broadcast,
    batch_size,
    broadcast_shapes,
    broadcast_to,
    concrete_array,
    convert,
    full_like,
    is_traced,
    is_weak,
    promotion_operand,
    refused_array,
    result_type,
    shape_of,
)

__all__ = [
    "ALPHABET",
    "Assembly",
    "Contraction",
    "Cotangent",
    "Elementwise",
    "Gather",
    "Indexing",
    "Iota",
    "Linear",
    "Movement",
    "Partial",
    "Primitive",
    "REGISTRY",
    "Reduction",
    "Region",
    "Scatter",
    "add",
    "add_cotangents",
    "as_expr",
    "batch_broadcast",
    "batch_size",
    "both",
    "broadcast_shapes",
    "broadcast_to",
    "concrete_array",
    "refused_array",
    "convert",
    "full_like",
    "is_differentiable",
    "is_traced",
    "is_weak",
    "promotion_operand",
    "result_type",
    "scale",
    "shape_of",
]
