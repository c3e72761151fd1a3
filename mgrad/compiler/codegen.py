"""From LLVM IR to machine code in this process: memory, else disk, else compile.

Numba's code generator, llvmlite, is driven directly: a target machine of the host CPU,
one O3 pass pipeline with loop vectorisation, and an engine of ours that links object
code. Numba's own library objects give equal code, but run the pipeline twice, and
importing Numba costs a first gradient 0.1 s.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from mgrad.compiler import cache
from mgrad.errors import CompileError

FORMAT_VERSION = 1  # raise it when the same IR must no longer find older object code


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
            llvm.parse_assembly(""), _new_machine()
        )
        self._linked: dict[str, bytes] = {}

    def defines(self, symbol: str) -> bool:
        return symbol in self._linked

    def link(self, symbol: str, code: bytes) -> int:
        self._linked[symbol] = code
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return int(self._engine.get_function_address(symbol))


_lock = threading.RLock()
_counts = Counts()
_addresses: dict[tuple[str, str], int] = {}
_linkers: list[_Linker] = []


def load(modules: Mapping[str, str], level: int = 3) -> dict[str, int]:
    """Addresses of functions, given each one's symbol and the IR that defines it.

    `level` is LLVM's optimisation level; 0 compiles four times faster.
    """
    with _lock:
        return {symbol: _load(symbol, ir, level) for symbol, ir in modules.items()}


def counts() -> Counts:
    """How many modules were compiled, and how many were found on disk or in memory."""
    return _counts


def register_symbol(name: str, address: int) -> None:
    """Let IR `declare` the function `name`; object code stays free of the address."""
    llvm.add_symbol(name, address)


def content_hash(ir: str, level: int = 3) -> str:
    """Hex digest of the IR and of everything else that decides its machine code."""
    facts = _environment() + bytes([level])
    return hashlib.blake2b(facts + ir.encode(), digest_size=20).hexdigest()


def _load(symbol: str, ir: str, level: int) -> int:
    global _counts
    key = content_hash(ir, level)
    if (symbol, key) in _addresses:
        _counts = replace(_counts, from_memory=_counts.from_memory + 1)
        return _addresses[symbol, key]
    payload = cache.read(key)
    found = _Object.unpack(payload) if payload is not None else None
    if found is not None and found.symbol == symbol:
        _counts = replace(_counts, from_disk=_counts.from_disk + 1)
    else:
        found = _compile(symbol, ir, level)
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


def _compile(symbol: str, ir: str, level: int) -> _Object:
    try:
        machine = _machine(level)
        module = llvm.parse_assembly(ir, _context())
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"kernel {symbol}: invalid LLVM IR: {error}") from error
    _hide_all_but(symbol, module)
    _optimise(module, machine, level)
    externals = (f.name for f in module.functions if f.is_declaration)
    calls = tuple(name for name in externals if not name.startswith("llvm."))
    return _Object(symbol, calls, machine.emit_object(module))


def _optimise(module: Any, machine: Any, level: int) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = level > 1
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
def _context() -> Any:
    """LLVM's global context; for llvmlite 0.44, one of ours that knows `ptr`."""
    if llvm.llvm_version_info >= (16, 0, 0):
        return llvm.context.get_global_context()
    opaque_pointers = True
    handle = llvm.ffi.lib.LLVMPY_ContextCreate(opaque_pointers)
    return llvm.context.ContextRef(handle)


def _new_machine(level: int = 3) -> Any:
    """A target machine of this CPU; an engine takes possession of the one it gets."""
    _initialize()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=_host_features(),
        opt=level,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


_machine = functools.cache(_new_machine)


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
    """What besides the IR decides the machine code: CPU and versions."""
    facts = [
        FORMAT_VERSION,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        _host_features(),
        llvm.llvm_version_info,
        llvmlite.__version__,
    ]
    return repr(facts).encode()


def _after_fork_in_child() -> None:
    """The thread that held the lock at the fork does not exist in the child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
