"""Reading and writing at computed positions."""

from __future__ import annotations

from mgrad.primitive import Gather, Iota, Scatter

gather = Gather("gather", "x at arrays of indices.")
scatter = Scatter("scatter", "x with updates written at arrays of indices.")
iota = Iota("iota", "0, 1, 2, ... in row-major order.")
