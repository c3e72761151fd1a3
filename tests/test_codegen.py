"""IR to machine code: memory, disk, compile; and what must never be mixed up."""

import ctypes
import subprocess
import sys
import threading
from dataclasses import astuple
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from mgrad.compiler import codegen
from mgrad.errors import CompileError


def constant_ir(symbol, value):
    return f"define i64 @{symbol}() {{\n  ret i64 {value}\n}}"


def call(address, *arguments):
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(arguments))(
        address
    )(*arguments)


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    """A cache directory of its own for each test."""
    monkeypatch.setenv("MGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def served():
    """A function: how many modules each source served since the test began."""
    before = astuple(codegen.counts())
    return lambda: tuple(
        now - then for now, then in zip(astuple(codegen.counts()), before, strict=True)
    )


@pytest.fixture
def forget(monkeypatch):
    """A function that empties the memory, so that the disk is asked again.

    The code of other tests' programs stays where it is, and comes back afterwards.
    """

    def clear():
        monkeypatch.setattr(codegen, "_addresses", {})
        monkeypatch.setattr(codegen, "_linkers", [])

    return clear


def test_compiles_once_then_memory_then_disk(served, forget):
    modules = {"cg_a": constant_ir("cg_a", 1), "cg_b": constant_ir("cg_b", 2)}
    addresses = codegen.load(modules)
    assert [call(addresses[name]) for name in modules] == [1, 2]
    assert served() == (2, 0, 0)
    assert codegen.load(modules) == addresses
    assert served() == (2, 0, 2)
    forget()
    assert call(codegen.load(modules)["cg_b"]) == 2
    assert served() == (2, 2, 2)


def test_a_second_process_loads_from_disk_and_none_imports_numba():
    script = (
        "import ctypes, sys; from mgrad.compiler import codegen\n"
        "ir = 'define i64 @cg_process() {\\n  ret i64 7\\n}'\n"
        "address = codegen.load({'cg_process': ir})['cg_process']\n"
        "print(ctypes.CFUNCTYPE(ctypes.c_int64)(address)(),\n"
        "      codegen.counts().compiled, 'numba' in sys.modules)\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        ).stdout.split()
        for _ in range(2)
    ]
    assert runs == [["7", "1", "False"], ["7", "0", "False"]]


def test_same_symbol_other_meaning():
    first = codegen.load({"cg_twice": constant_ir("cg_twice", 1)})
    second = codegen.load({"cg_twice": constant_ir("cg_twice", 2)})
    assert (call(first["cg_twice"]), call(second["cg_twice"])) == (1, 2)


def test_helpers_of_two_modules_do_not_meet():
    def ir(symbol, value):
        return (
            f"@shared = constant i64 {value}\n"
            f"define i64 @helper() noinline {{\n"
            f"  %v = load volatile i64, ptr @shared\n  ret i64 %v\n}}\n"
            f"define i64 @{symbol}() {{\n  %v = call i64 @helper()\n  ret i64 %v\n}}"
        )

    found = codegen.load({"cg_p": ir("cg_p", 1), "cg_q": ir("cg_q", 2)})
    assert (call(found["cg_p"]), call(found["cg_q"])) == (1, 2)


def test_registered_symbols_stay_out_of_the_object_code(served, forget):
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    ir = (
        "declare i64 @cg_callee(i64)\n"
        "define i64 @cg_caller(i64 %x) {\n"
        "  %y = call i64 @cg_callee(i64 %x)\n  ret i64 %y\n}"
    )
    for factor in (10, 20):  # the second time from disk, to another address
        forget()
        callee = signature(lambda x, factor=factor: factor * x)
        codegen.register_symbol("cg_callee", ctypes.cast(callee, ctypes.c_void_p).value)
        assert call(codegen.load({"cg_caller": ir})["cg_caller"], 3) == 3 * factor
    assert served() == (1, 1, 0)


@pytest.mark.parametrize(
    ("ir", "message"),
    [
        ("define i64 @cg_bad() { ret i64 oops }", "invalid LLVM IR"),
        (constant_ir("other", 1), "does not define @cg_bad"),
        (
            "declare void @not_to_be_found()\n"
            "define void @cg_bad() {\n  call void @not_to_be_found()\n  ret void\n}",
            "not_to_be_found",
        ),
    ],
)
def test_errors(ir, message):
    with pytest.raises(CompileError, match=message):
        codegen.load({"cg_bad": ir})


def test_hash_depends_on_the_ir():
    assert codegen.content_hash("a") == codegen.content_hash("a")
    assert codegen.content_hash("a") != codegen.content_hash("b")
    assert set(codegen.content_hash("a")) <= set("0123456789abcdef")


def test_threads_compile_once(served):
    modules = {f"cg_t{i}": constant_ir(f"cg_t{i}", i) for i in range(4)}
    workers = [threading.Thread(target=codegen.load, args=(modules,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert served() == (4, 0, 12)


SUM_OF_TWO = """
define void @{name}(ptr noalias %x, ptr noalias %y, ptr noalias %out, i64 %n) {{
entry:
  %some = icmp ne i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %xp = getelementptr inbounds double, ptr %x, i64 %i
  %yp = getelementptr inbounds double, ptr %y, i64 %i
  %op = getelementptr inbounds double, ptr %out, i64 %i
  %xv = load double, ptr %xp
  %yv = load double, ptr %yp
  %sum = fadd double %xv, %yv
  store double %sum, ptr %op
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def test_sums_of_two_arrays_vectorise():
    assembly = codegen._machine().emit_assembly(_optimised("cg_sum"))
    if "+avx" in codegen._host_features():
        assert "ymm" in assembly or "zmm" in assembly


def _optimised(name):
    machine = codegen._machine()
    module = llvm.parse_assembly(SUM_OF_TWO.format(name=name), codegen._context())
    module.data_layout = str(machine.target_data)
    codegen._optimise(module, machine, 3)
    return module
