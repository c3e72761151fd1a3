"""Functions of the loop language as LLVM IR, in a form that vectorises.

Buffers are `noalias` and loop bounds unsigned, which the vectoriser needs.
"""

from __future__ import annotations

from mgrad.compiler import vector_math
from mgrad.compiler.llvm_scalars import REGISTER, ScalarPrinter, literal
from mgrad.compiler.loops import (
    COSTS,
    Function,
    Index,
    Let,
    Load,
    Loop,
    Position,
    Read,
    Size,
    Statement,
    Store,
    Symbol,
    Variable,
)

MEMORY = {**REGISTER, "bool": "i8"}
INLINED_FUNCTIONS = 12
"""So many mathematical functions are inlined in a kernel; more are called."""
INTERLEAVED_WORK = 150
"""Loops up to this work run four vectors at a time; beyond, registers run out."""


class Printer(ScalarPrinter):
    """One function on its way to text."""

    def __init__(self, function: Function, symbol: str) -> None:
        super().__init__()
        self.function = function
        self.symbol = symbol
        self.metadata: list[str] = []
        self.variables: dict[int, str] = {}
        self.block = "entry"

    def label(self, name: str) -> None:
        """Begin a basic block."""
        self.lines.append(f"{name}:")
        self.block = name

    # the whole

    def text(self) -> str:
        """The module: the body, the entry of the kernel ABI, what they call."""
        for statement in self.function.body:
            self.statement(statement)
        self.emit("ret void")
        buffers = range(len(self.function.buffers))
        parameters = [f"ptr noalias %b{k}" for k in buffers]
        parameters += ["ptr noalias readonly %extents", "i64 %lo", "i64 %hi"]
        sizes = [self._size_load(k) for k in range(self.function.extents)]
        definitions, declared = vector_math.definitions(
            sorted(self.math), called=self.prefers_calls()
        )
        return "\n".join(
            [
                f"; mathematics: {vector_math.LIBRARY if self.math else 'none'}",
                *sorted(self.declarations | declared),
                definitions,
                f"define internal void @body({', '.join(parameters)}) noinline {{",
                "entry:",
                *sizes,
                *self.entry,
                *self.lines,
                "}",
                *self._entry_point(),
                *self.metadata,
            ]
        )

    def prefers_calls(self) -> bool:
        """Whether inlining every mathematical function would compile too much."""
        if not any(isinstance(s, Loop) for s in self.function.body):
            return True
        vectors = vector_math.LIBRARY.startswith("libmvec")
        return vectors and self.math_calls > INLINED_FUNCTIONS

    def _size_load(self, k: int) -> str:
        pointer = f"  %ep{k} = getelementptr inbounds i64, ptr %extents, i64 {k}"
        return f"{pointer}\n  %e{k} = load i64, ptr %ep{k}"

    def _entry_point(self) -> list[str]:
        lines = [
            f"define void @{self.symbol}"
            "(ptr %buffers, ptr %extents, i64 %lo, i64 %hi) {"
        ]
        arguments = []
        for k in range(len(self.function.buffers)):
            lines.append(f"  %p{k} = getelementptr inbounds ptr, ptr %buffers, i64 {k}")
            lines.append(f"  %b{k} = load ptr, ptr %p{k}")
            arguments.append(f"ptr %b{k}")
        arguments += ["ptr %extents", "i64 %lo", "i64 %hi"]
        lines.append(f"  call void @body({', '.join(arguments)})")
        return [*lines, "  ret void", "}"]

    # statements

    def statement(self, s: Statement) -> None:
        """Print one statement."""
        if isinstance(s, Let):
            self.let(s)
        elif isinstance(s, Load):
            self.load(s)
        elif isinstance(s, Store):
            self.store(s)
        elif isinstance(s, Loop):
            self.loop(s)
        elif isinstance(s, Position):
            self.emit(f"%{s.result.name} = add i64 0, {self.index(s.index)}")
        elif isinstance(s, Variable):
            kind = REGISTER[s.dtype]
            self.entry.append(f"  %{s.name} = alloca {kind}")
            self.emit(f"store {kind} {literal(s.start)}, ptr %{s.name}")
        elif isinstance(s, Read):
            kind = REGISTER[s.result.dtype]
            self.emit(f"%{s.result.name} = load {kind}, ptr %{s.name}")
        else:
            self.accumulate(s)

    def loop(self, s: Loop) -> None:
        """A counted loop, guarded where its range may be empty."""
        self.count += 1
        tag, name = f"{s.variable}.{self.count}", f"%i{s.variable}"
        if s.ranged:
            first, last = "%lo", "%hi"
        elif s.block is not None:
            first, last = self._block_range(s)
        else:
            first, last = "0", self.size(s.extent)
        before = self.block
        if s.ranged or not isinstance(s.extent, int) or s.extent == 0 or s.block:
            guard = self.assign(f"icmp ult i64 {first}, {last}")
            self.emit(f"br i1 {guard}, label %loop{tag}, label %exit{tag}")
        else:
            self.emit(f"br label %loop{tag}")
        self.label(f"loop{tag}")
        self.emit(
            f"{name}.{tag} = phi i64 "
            f"[ {first}, %{before} ], [ %next{tag}, %latch{tag} ]"
        )
        outer = self.variables.get(s.variable)
        self.variables[s.variable] = f"{name}.{tag}"
        for inner in s.body:
            self.statement(inner)
        if outer is not None:
            self.variables[s.variable] = outer
        self.emit(f"br label %latch{tag}")
        self.label(f"latch{tag}")
        self.emit(f"%next{tag} = add nuw nsw i64 {name}.{tag}, 1")
        again = self.assign(f"icmp ult i64 %next{tag}, {last}")
        hint = self.interleaved(s.body)
        self.emit(f"br i1 {again}, label %loop{tag}, label %exit{tag}{hint}")
        self.label(f"exit{tag}")

    def interleaved(self, body: tuple[Statement, ...]) -> str:
        """Ask for several vectors at once where one waits for long operations."""
        if any(isinstance(s, Loop) for s in body):
            return ""
        costs = [COSTS.get(s.operation, 1) for s in body if isinstance(s, Let)]
        if max(costs, default=0) < COSTS["div"] or sum(costs) > INTERLEAVED_WORK:
            return ""
        number = 2 * len(self.metadata)
        self.metadata.append(
            f"!{number} = distinct !{{!{number}, !{number + 1}}}\n"
            f'!{number + 1} = !{{!"llvm.loop.interleave.count", i32 4}}'
        )
        return f", !llvm.loop !{number}"

    def _block_range(self, s: Loop) -> tuple[str, str]:
        assert s.block is not None
        variable, rows = s.block
        first = self.assign(
            f"mul nuw nsw i64 {self.variables[variable]}, {self.size(rows)}"
        )
        end = self.assign(f"add nuw nsw i64 {first}, {self.size(rows)}")
        stop = self.size(s.extent)
        return first, self.assign(self.intrinsic("umin", "int64", [end, stop]))

    def size(self, size: Size) -> str:
        """A literal or the register of a symbol."""
        return f"%e{size.position}" if isinstance(size, Symbol) else str(size)

    def index(self, index: Index) -> str:
        """The register that holds a flat position."""
        total: str | None = None
        terms = [(self.variables[v], stride) for v, stride in index.terms]
        terms += [(self.operand(value), stride) for value, stride in index.dynamic]
        for register, stride in terms:
            term = register
            if stride != 1:
                term = self.assign(f"mul nsw i64 {register}, {self.size(stride)}")
            total = (
                term if total is None else self.assign(f"add nsw i64 {total}, {term}")
            )
        offset = self.size(index.offset)
        if total is None:
            return offset
        return total if offset == "0" else self.assign(f"add nsw i64 {total}, {offset}")

    def pointer(self, buffer: int, index: Index) -> tuple[str, str]:
        """The type in memory and the address of an element."""
        kind = MEMORY[self.function.buffers[buffer].dtype]
        position = self.index(index)
        return kind, self.assign(
            f"getelementptr inbounds {kind}, ptr %b{buffer}, i64 {position}"
        )

    def load(self, s: Load) -> None:
        """A load; booleans are bytes in memory."""
        kind, address = self.pointer(s.buffer, s.index)
        if s.result.dtype != "bool":
            self.emit(f"%{s.result.name} = load {kind}, ptr {address}")
            return
        byte = self.assign(f"load i8, ptr {address}")
        self.emit(f"%{s.result.name} = icmp ne i8 {byte}, 0")

    def store(self, s: Store) -> None:
        """A store; booleans are bytes in memory."""
        kind, address = self.pointer(s.buffer, s.index)
        value = self.operand(s.value)
        if s.value.dtype == "bool":
            value = self.assign(f"zext i1 {value} to i8")
        self.emit(f"store {kind} {value}, ptr {address}")


def llvm_ir(function: Function, symbol: str) -> str:
    """The LLVM module of a function, with the kernel ABI under the given symbol."""
    return Printer(function, symbol).text()
