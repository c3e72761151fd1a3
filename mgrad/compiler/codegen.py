"""From LLVM IR to machine code in this process: memory, else disk, else compile.

The only module that uses private names of Numba: the target machine of its code
generator compiles. If that is out of reach, llvmlite's own target machine of the host
CPU does the same. Either way one O3 pass pipeline with loop vectorisation runs once
(Numba runs it twice and links in between: 20% slower, equal code), and the object code
is linked by an engine of ours, so a process that finds everything on disk never
imports Numba.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from mgrad.compiler import cache
from mgrad.errors import CompileError

FORMAT_VERSION = 1  # raise it when the same IR must no longer find older object code

_NUMBA_SETTINGS = (
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_ENABLE_AVX",
    "NUMBA_OPT",
)


@dataclass(frozen=True)
class Counts:
    """How many modules each source has served since the process started."""

    compiled: int = 0
    from_disk: int = 0
    from_memory: int = 0


@dataclass(frozen=True)
class _Object:
    """Object code that defines `symbol` and calls the functions in `externals`."""

    symbol: str
    externals: tuple[str, ...]
    code: bytes

    def pack(self) -> bytes:
        return json.dumps([self.symbol, self.externals]).encode() + b"\n" + self.code

    @staticmethod
    def unpack(payload: bytes) -> _Object:
        head, _, code = payload.partition(b"\n")
        symbol, externals = json.loads(head)
        return _Object(symbol, tuple(externals), code)


class _Linker:
    """An MCJIT engine that links object code; each symbol is defined at most once."""

    def __init__(self) -> None:
        self._engine = llvm.create_mcjit_compiler(
            llvm.parse_assembly(""), _host_machine()
        )
        self._linked: dict[str, bytes] = {}

    def defines(self, symbol: str) -> bool:
        return symbol in self._linked

    def link(self, symbol: str, code: bytes) -> int:
        self._linked[symbol] = code
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return int(self._engine.get_function_address(symbol))


@dataclass(frozen=True)
class ThreadPool:
    """Numba's thread pool: its layer, number of threads, and functions' addresses."""

    layer: str
    size: int

    parallel_for: int
    get_num_threads: int
    set_num_threads: int


_lock = threading.RLock()
_counts = Counts()
_addresses: dict[tuple[str, str], int] = {}
_linkers: list[_Linker] = []


def load(modules: Mapping[str, str]) -> dict[str, int]:
    """Addresses of functions, given each one's symbol and the IR that defines it."""
    with _lock:
        return {symbol: _load(symbol, ir) for symbol, ir in modules.items()}


def counts() -> Counts:
    """How many modules were compiled, and how many were found on disk or in memory."""
    return _counts


def register_symbol(name: str, address: int) -> None:
    """Let IR `declare` the function `name`; object code stays free of the address."""
    llvm.add_symbol(name, address)


def start_thread_pool() -> ThreadPool:
    """Start the pool of Numba's threading layer, once per process."""
    from numba.np.ufunc import parallel

    parallel._launch_threads()  # type: ignore[no-untyped-call]
    return ThreadPool(
        layer=parallel.threading_layer(),
        size=parallel.NUM_THREADS,
        parallel_for=_known("numba_parallel_for"),
        get_num_threads=_known("get_num_threads"),
        set_num_threads=_known("set_num_threads"),
    )


def _known(symbol: str) -> int:
    found = llvm.address_of_symbol(symbol)
    if found is None:
        raise AttributeError(f"Numba's threading layer does not define {symbol}")
    return int(found)


def thread_pool_is_started() -> bool:
    """Whether this process, or one that it was forked from, started the pool."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    return bool(getattr(parallel, "_is_initialized", False))


def content_hash(ir: str) -> str:
    """Hex digest of the IR and of everything else that decides its machine code."""
    return hashlib.blake2b(_environment() + ir.encode(), digest_size=20).hexdigest()


def _load(symbol: str, ir: str) -> int:
    global _counts
    key = content_hash(ir)
    if (symbol, key) in _addresses:
        _counts = replace(_counts, from_memory=_counts.from_memory + 1)
        return _addresses[symbol, key]
    payload = cache.read(key)
    found = _Object.unpack(payload) if payload is not None else None
    if found is not None and found.symbol == symbol:
        _counts = replace(_counts, from_disk=_counts.from_disk + 1)
    else:
        found = _compile(symbol, ir)
        _counts = replace(_counts, compiled=_counts.compiled + 1)
        cache.write(key, found.pack())
    address = _addresses[symbol, key] = _link(found)
    return address


def _link(found: _Object) -> int:
    missing = [name for name in found.externals if llvm.address_of_symbol(name) is None]
    if missing:  # MCJIT would end the process
        raise CompileError(
            f"kernel {found.symbol} calls unknown functions: {', '.join(missing)}"
        )
    for linker in _linkers:
        if not linker.defines(found.symbol):
            break
    else:  # the same symbol with another meaning needs a name space of its own
        linker = _Linker()
        _linkers.append(linker)
    return linker.link(found.symbol, found.code)


def _compile(symbol: str, ir: str) -> _Object:
    try:
        machine = _machine()
        module = llvm.parse_assembly(ir, _context())
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"kernel {symbol}: invalid LLVM IR: {error}") from error
    _hide_all_but(symbol, module)
    _optimise(module, machine)
    externals = (f.name for f in module.functions if f.is_declaration)
    calls = tuple(name for name in externals if not name.startswith("llvm."))
    return _Object(symbol, calls, machine.emit_object(module))


def _optimise(module: Any, machine: Any) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)


def _hide_all_but(symbol: str, module: Any) -> None:
    """Make all other definitions internal: linked modules share one name space."""
    defined = [f for f in module.functions if not f.is_declaration]
    if symbol not in [f.name for f in defined]:
        raise CompileError(f"kernel {symbol}: the IR does not define @{symbol}")
    for value in [*defined, *module.global_variables]:
        if value.name != symbol and not value.is_declaration:
            value.linkage = "internal"


@functools.cache
def _machine() -> Any:
    """The target machine of Numba's code generator, or llvmlite's own."""
    try:
        from numba.core.registry import cpu_target

        return cpu_target.target_context.codegen()._tm
    except (ImportError, AttributeError):
        return _host_machine()


@functools.cache
def _context() -> Any:
    """LLVM's global context; for llvmlite 0.44, one of ours that knows `ptr`."""
    if llvm.llvm_version_info >= (16, 0, 0):
        return llvm.context.get_global_context()
    opaque_pointers = True
    handle = llvm.ffi.lib.LLVMPY_ContextCreate(opaque_pointers)
    return llvm.context.ContextRef(handle)


def _host_machine() -> Any:
    """A target machine of this CPU, through llvmlite's public interface only."""
    _initialize()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_host_features(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _host_features() -> str:
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM cannot tell on this platform
        return ""


@functools.cache
def _environment() -> bytes:
    """What besides the IR decides the machine code: CPU, versions, Numba's settings."""
    facts = [
        FORMAT_VERSION,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        _host_features(),
        llvm.llvm_version_info,
        llvmlite.__version__,
        importlib.metadata.version("numba"),  # its import would cost 0.2 s
        *(os.environ.get(name) for name in _NUMBA_SETTINGS),
    ]
    return repr(facts).encode()


def _after_fork_in_child() -> None:
    """The thread that held the lock at the fork does not exist in the child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
