"""One process that times: `python -m benchmarks.worker steady W1 one`.

It prints one JSON object per line; the runner collects them. Libraries are imported
only when their contender is built, so that a cold process holds one of them.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from statistics import quantiles
from typing import Any

import numpy as np
import optree

from benchmarks.case import Case, Contender, Run

WORKLOADS = {
    "W1": "benchmarks.w01_call_overhead",
    "W2": "benchmarks.w02_elementwise",
    "W4": "benchmarks.w04_mlp",
}
BATCH_SECONDS = 0.02
SETTLE_SECONDS = 0.005
WARM_CALLS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(required=True)
    steady = modes.add_parser("steady")
    steady.add_argument("workload", choices=WORKLOADS)
    steady.add_argument("threads", choices=["one", "all"])
    steady.add_argument("rounds", type=int)
    steady.add_argument("libraries", nargs="+")
    steady.set_defaults(function=time_steady)
    cold = modes.add_parser("cold")
    cold.add_argument("workload", choices=WORKLOADS)
    cold.add_argument("case")
    cold.add_argument("library")
    cold.set_defaults(function=time_cold)
    options = vars(parser.parse_args())
    for record in options.pop("function")(**options):
        print(json.dumps(record), flush=True)


def cases_of(workload: str) -> list[Case]:
    return importlib.import_module(WORKLOADS[workload]).CASES


# Libraries -------------------------------------------------------------------


def package_of(contender: str) -> str:
    """`jax-numpy` is a way to call `jax`."""
    return contender.partition("-")[0]


def prepare(package: str, dtype: str) -> None:
    """Import a library and set what this benchmark fixes for it."""
    module = importlib.import_module(package)
    if package == "jax":
        module.config.update("jax_enable_x64", dtype == "float64")
    if package == "torch":
        module.set_num_threads(usable_cores())


def usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stay_on_one_core() -> None:
    """Some pools know no setting for their size; none outgrows the core it is on."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


# Steady state ----------------------------------------------------------------


def time_steady(
    workload: str, threads: str, rounds: int, libraries: list[str]
) -> Iterator[dict[str, Any]]:
    """Medians of every case, contender and measure, all in this process."""
    if threads == "one":
        stay_on_one_core()
    for case in cases_of(workload):
        contenders = build(case, libraries)
        check_agreement(case, contenders)
        runs = {
            (library, measure): run
            for library, contender in contenders.items()
            for measure, run in contender.timed.items()
        }
        for (library, measure), seconds in interleave(runs, rounds).items():
            first, median, third = quantiles(seconds, n=4)
            yield {
                "workload": workload,
                "case": case.name,
                "threads": threads,
                "library": library,
                "measure": measure,
                "median": median,
                "quartiles": [first, third],
            }


def build(case: Case, libraries: list[str]) -> dict[str, Contender]:
    data = case.data()
    contenders = {}
    for name, make in case.contenders.items():
        if package_of(name) in libraries:
            prepare(package_of(name), case.dtype)
            contenders[name] = make(data)
    return contenders


def check_agreement(case: Case, contenders: dict[str, Contender]) -> None:
    """Every contender's outputs against the first's, before any time is taken."""
    outputs = {name: leaves(entry.outputs()) for name, entry in contenders.items()}
    reference_name = max(outputs, key=lambda name: len(outputs[name]))
    for name, arrays in outputs.items():
        # A contender without a gradient is compared on its last output, the primal.
        expected = outputs[reference_name][-len(arrays) :]
        for array, reference in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(
                array,
                reference,
                rtol=0,
                atol=case.tolerance * max(1e-30, np.abs(reference).max()),
                err_msg=f"{case.name}: {name} disagrees with {reference_name}",
            )


def leaves(tree: Any) -> list[np.ndarray]:
    """Arrays of any library as NumPy copies, so that later steps do not change them."""
    return [np.asarray(leaf).copy() for leaf in optree.tree_leaves(tree)]


def interleave(runs: dict[Any, Run], rounds: int) -> dict[Any, list[float]]:
    """Seconds per call in each round; a round times every contender once.

    A short pause lets the threads of the library before stop spinning.
    """
    calls = {key: calls_per_batch(run) for key, run in runs.items()}
    seconds: dict[Any, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            time.sleep(SETTLE_SECONDS)
            seconds[key].append(time_batch(run, calls[key]))
    return seconds


def calls_per_batch(run: Run) -> int:
    """As many calls as take a measurable time; this also warms up."""
    calls = 1
    while (seconds := time_batch(run, calls)) * calls < BATCH_SECONDS:
        calls = max(2 * calls, int(BATCH_SECONDS / max(seconds, 1e-9)))
    return calls


def time_batch(run: Run, calls: int) -> float:
    """Mean seconds of a call, without the garbage collector, as `timeit` does."""
    run()
    gc.disable()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    elapsed = time.perf_counter() - start
    gc.enable()
    return elapsed / calls


# Cold process ----------------------------------------------------------------


def time_cold(workload: str, case: str, library: str) -> Iterator[dict[str, Any]]:
    """Seconds to import, and from there to the first result; then the peak memory."""
    chosen = next(entry for entry in cases_of(workload) if entry.name == case)
    data = chosen.data()
    start = time.perf_counter()
    prepare(library, chosen.dtype)
    imported = time.perf_counter()
    run: Callable[[], Any] = chosen.contenders[library](data).timed[chosen.headline]
    run()
    finished = time.perf_counter()
    for _ in range(WARM_CALLS):
        run()
    yield {
        "workload": workload,
        "case": case,
        "library": library,
        "import": imported - start,
        "first": finished - imported,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """`ru_maxrss` is in KiB on Linux and in bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if os.uname().sysname == "Darwin" else 2**10)


if __name__ == "__main__":
    main()
