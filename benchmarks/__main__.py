"""Run workloads and print how mgrad compares: `python -m benchmarks [W1 W2 W4]`.

Steady times: one process per workload and number of threads, in which mgrad and its
peers take turns. First calls and peak memory: one process each. The records are
written to `benchmarks/results/latest.json` too.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.report import Record
from benchmarks.worker import WORKLOADS, cases_of, usable_cores

LIBRARIES = ("mgrad", "numpy", "jax", "torch")
RESULTS = Path(__file__).parent / "results" / "latest.json"
ROOT = Path(__file__).parents[1]

ONE_THREAD = {
    "MGRAD_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
# A first call is cold: no peer finds what an earlier process compiled.
NO_PEER_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def main() -> None:
    options = parse()
    libraries = installed(options.libraries)
    compile_bytecode()
    facts = report.machine()
    print(report.describe_machine(facts), flush=True)

    records: dict[str, list[Record]] = {"steady": [], "cold": []}
    for workload in options.workloads:
        steady = run_steady(workload, libraries, options.rounds)
        cold = run_cold(workload, libraries, options.repeats)
        print_workload(workload, steady, cold)
        records["steady"] += steady
        records["cold"] += cold

    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": facts, **records}, indent=1))
    print(f"\nrecords: {RESULTS.relative_to(ROOT)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        default=list(WORKLOADS),
        metavar="workload",
        help=f"any of {', '.join(WORKLOADS)}; all of them by default",
    )
    parser.add_argument("--libraries", nargs="+", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--rounds", type=int, default=15, help="of steady timing")
    parser.add_argument("--repeats", type=int, default=3, help="of cold processes")
    options = parser.parse_args()
    for workload in options.workloads:
        if workload not in WORKLOADS:
            parser.error(f"no workload {workload!r}; there are {', '.join(WORKLOADS)}")
    return options


def compile_bytecode() -> None:
    """What pip does for the peers: first calls must not compile Python sources."""
    compileall.compile_dir(ROOT / "mgrad", quiet=1)


def installed(libraries: list[str]) -> list[str]:
    """The libraries that can be imported; the others are named and skipped."""
    for name in libraries:
        if find_spec(name) is None:
            print(f"skipped: {name} is not installed")
    return [name for name in libraries if find_spec(name)]


# Processes -------------------------------------------------------------------


def run_steady(workload: str, libraries: list[str], rounds: int) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        return [
            record
            for threads, settings in (("one", ONE_THREAD), ("all", {}))
            for record in work(
                ["steady", workload, threads, str(rounds), *libraries],
                {**settings, **caches(folder)},
            )
        ]


def run_cold(workload: str, libraries: list[str], repeats: int) -> list[Record]:
    """Medians over the repeats; each of them starts with an empty cache folder."""
    runs = [
        record
        for case in cases_of(workload)
        for library in case.contenders
        if library in libraries and library != "numpy"
        for _ in range(repeats)
        for record in cold_process(workload, case.name, library)
    ]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in runs:
        groups.setdefault((record["case"], record["library"]), []).append(record)
    return [median_record(group) for group in groups.values()]


def cold_process(workload: str, case: str, library: str) -> Iterator[Record]:
    """mgrad runs a second time, on the cache folder that its first run filled."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**NO_PEER_CACHE, **caches(folder)}
        yield from work(["cold", workload, case, library], settings)
        if library == "mgrad":
            (warm,) = work(["cold", workload, case, library], settings)
            yield {**warm, "library": "mgrad-warm"}


def median_record(group: list[Record]) -> Record:
    middle = {
        key: median(record[key] for record in group)
        for key in ("import", "first", "peak_mib")
    }
    return {**group[0], **middle}


def caches(folder: str) -> dict[str, str]:
    """Every library that keeps compiled code on disk keeps it here."""
    return {"MGRAD_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}


def work(arguments: list[str], settings: dict[str, str]) -> Iterator[Record]:
    """The records that a worker process prints; its errors go to the terminal."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.returncode:
        sys.exit(f"benchmarks: the worker failed: {' '.join(arguments)}")
    yield from map(json.loads, process.stdout.splitlines())


# Printing --------------------------------------------------------------------


def print_workload(workload: str, steady: list[Record], cold: list[Record]) -> None:
    module = sys.modules[WORKLOADS[workload]]
    print(f"\n== {(module.__doc__ or workload).splitlines()[0]}")
    cores = usable_cores()
    for threads, title in (("one", "one thread"), ("all", f"all threads ({cores})")):
        chosen = [record for record in steady if record["threads"] == threads]
        section(f"Steady time of a call, {title}", report.steady_table(chosen))
        section(f"Gradient over primal, {title}", report.cost_of_gradient_table(chosen))
    for with_import, title in ((False, "without"), (True, "with")):
        table = report.first_call_table(cold, with_import)
        section(f"First call in a cold process, {title} the import", table)
    section("Peak memory of a process, MiB", report.memory_table(cold))


def section(title: str, table: Any) -> None:
    print(f"\n{title}\n\n{table}", flush=True)


if __name__ == "__main__":
    main()
