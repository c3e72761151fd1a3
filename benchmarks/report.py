"""The tables: medians, ratios to the best peer, first calls, memory, the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Row = Sequence[str]

CONTENDERS = ("numpy", "mgrad", "jax", "jax-numpy", "torch", "torch-compile")
PEERS = ("jax", "jax-numpy", "torch", "torch-compile")
FIRST_CALLS = ("mgrad", "mgrad-warm", "jax", "torch")
PACKAGES = ("mgrad", "numpy", "scipy", "numba", "jax", "jaxlib", "torch")
MISSING = "-"


# The machine -----------------------------------------------------------------


def machine() -> Record:
    """Processor, cores and versions, for the head of the report."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """Linux tells it in /proc; elsewhere what Python knows must do."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
    return next(models, platform.processor() or "unknown")


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe_machine(facts: Record) -> str:
    versions = (f"{name} {v}" for name, v in facts["versions"].items() if v)
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}\n"
        f"Python {facts['python']}, {', '.join(versions)}"
    )


# Steady state ----------------------------------------------------------------


def steady_table(records: Sequence[Record]) -> str:
    """One row per case and measure: median of each contender, and the best ratio.

    The spread is half the distance between the quartiles.
    """
    names = present(records, CONTENDERS)
    rows = [["case", "measure", *names, "ratio"]]
    for case, measure in unique((r["case"], r["measure"]) for r in records):
        entries = {
            r["library"]: r
            for r in records
            if (r["case"], r["measure"]) == (case, measure)
        }
        medians = {name: entry["median"] for name, entry in entries.items()}
        cells = [with_spread(entries.get(name)) for name in names]
        rows.append([case, measure, *cells, ratio_to_best(medians, "mgrad")])
    return align(rows)


def cost_of_gradient_table(records: Sequence[Record]) -> str:
    """How many times the primal's time a gradient takes."""
    names = present(records, CONTENDERS)
    medians = {(r["case"], r["library"], r["measure"]): r["median"] for r in records}

    def cell(case: str, name: str) -> str:
        if (case, name, "gradient") not in medians:
            return MISSING
        gradient, primal = (medians[case, name, m] for m in ("gradient", "primal"))
        return f"{gradient / primal:.2f}"

    rows = [["case", *names]]
    for case in unique(r["case"] for r in records):
        rows.append([case, *(cell(case, name) for name in names)])
    return align(rows)


def with_spread(record: Record | None) -> str:
    if record is None:
        return MISSING
    first, third = record["quartiles"]
    spread = (third - first) / 2 / record["median"]
    return f"{duration(record['median'])} ±{spread:.0%}"


# Cold processes --------------------------------------------------------------


def first_call_table(records: Sequence[Record], with_import: bool) -> str:
    """Time to the first result in a new process, and mgrad's ratio to JAX's."""

    def seconds(record: Record) -> float:
        return record["first"] + (record["import"] if with_import else 0)

    names = present(records, FIRST_CALLS)
    rows = [["case", *names, "ratio", "to jax", "warm to jax"]]
    for case in unique(r["case"] for r in records):
        times = {r["library"]: seconds(r) for r in records if r["case"] == case}
        cells = [duration(times[name]) if name in times else MISSING for name in names]
        ratios = [
            ratio_to_best(times, "mgrad"),
            ratio(times, "mgrad", "jax"),
            ratio(times, "mgrad-warm", "jax"),
        ]
        rows.append([case, *cells, *ratios])
    return align(rows)


def memory_table(records: Sequence[Record]) -> str:
    """Peak resident memory of a process that does nothing else, in MiB."""
    names = present(records, FIRST_CALLS)
    rows = [["case", *names, "ratio"]]
    for case in unique(r["case"] for r in records):
        peaks = {r["library"]: r["peak_mib"] for r in records if r["case"] == case}
        cells = [f"{peaks[name]:.0f}" if name in peaks else MISSING for name in names]
        rows.append([case, *cells, ratio_to_best(peaks, "mgrad")])
    return align(rows)


# Cells and columns -----------------------------------------------------------


def present(records: Sequence[Record], order: Sequence[str]) -> list[str]:
    """The libraries that were timed, in a fixed order."""
    found = {record["library"] for record in records}
    return [name for name in order if name in found]


def ratio_to_best(values: dict[str, float], ours: str) -> str:
    """mgrad's value over the smallest of the peers'; below one, mgrad wins."""
    peers = [values[name] for name in PEERS if name in values]
    if ours not in values or not peers:
        return MISSING
    return f"{values[ours] / min(peers):.2f}"


def ratio(values: dict[str, float], ours: str, theirs: str) -> str:
    if ours not in values or theirs not in values:
        return MISSING
    return f"{values[ours] / values[theirs]:.2f}"


def duration(seconds: float) -> str:
    """Three figures and a unit.

    >>> duration(2.5e-6), duration(0.0123), duration(1.5)
    ('2.50 µs', '12.3 ms', '1.50 s')
    """
    for scale, unit in ((1, "s"), (1e-3, "ms")):
        if seconds >= scale:
            return f"{figures(seconds / scale)} {unit}"
    return f"{figures(seconds * 1e6)} µs"


def figures(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def unique(items: Iterable[Any]) -> list[Any]:
    """In order of first appearance."""
    return list(dict.fromkeys(items))


def align(rows: Sequence[Row]) -> str:
    """Columns of equal width: names to the left, numbers to the right.

    >>> print(align([["case", "time"], ["a", "10 s"], ["long", "9 s"]]))
    case  time
    a     10 s
    long   9 s
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = (c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)
