"""The elementary functions against higher precision, over their whole range."""

from __future__ import annotations

import ctypes
import functools
import itertools

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest

from mgrad.compiler import vector_math

Array = np.ndarray
DTYPES = {"double": np.float64, "float": np.float32}

# The largest error in units in the last place, measured and rounded up, by dtype.
BOUNDS = {
    "exp": (1.1, 1.1),
    "exp2": (1.2, 1.1),
    "expm1": (1.3, 1.3),
    "sinh": (1.9, 1.9),
    "cosh": (1.4, 1.4),
    "tanh": (1.1, 1.1),
    "sigmoid": (1.1, 1.1),
    "log": (1.0, 1.0),
    "log2": (1.0, 1.0),
    "log10": (1.0, 1.0),
    "log1p": (1.5, 1.5),
    "sin": (1.0, 1.0),
    "cos": (1.0, 1.0),
    "tan": (1.8, 1.8),
    "erf": (1.2, 1.2),
    # From here on libm's and libmvec's own.
    "acos": (4, 4),
    "acosh": (4, 4),
    "asin": (4, 4),
    "asinh": (4, 4),
    "atan": (4, 4),
    "atan2": (4, 4),
    "atanh": (4, 4),
    "cbrt": (4, 4),
    "erfc": (4, 4),
    "fmod": (0, 0),
    "hypot": (4, 4),
    "lgamma": (4, 4),
    "pow": (4, 4),
    "tgamma": (6, 6),
}
CASES = list(itertools.product(sorted(BOUNDS), DTYPES))
FORMULA_CASES = [(n, t) for n, t in CASES if n in vector_math.FORMULAS]

NUMPY_NAMES = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "pow": "power",
}
MPMATH_NAMES = {"erf": "erf", "erfc": "erfc", "lgamma": "loggamma", "tgamma": "gamma"}


def loop_ir(name: str, type: str) -> str:
    """`void loop(in..., out, n)`, one function applied elementwise."""
    text, declarations = vector_math.definitions([(name, type)])
    count = range(vector_math.OPERANDS[name])
    parameters = ", ".join(f"ptr noalias %in{i}" for i in count)
    loads = "\n".join(
        f"  %p{i} = getelementptr inbounds {type}, ptr %in{i}, i64 %i\n"
        f"  %x{i} = load {type}, ptr %p{i}"
        for i in count
    )
    operands = ", ".join(f"{type} %x{i}" for i in count)
    return (
        "\n".join(sorted(declarations))
        + f"""
{text}
define void @loop({parameters}, ptr noalias %out, i64 %n) {{
entry:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{loads}
  %y = call {type} @{vector_math.symbol(name, type)}({operands})
  %p = getelementptr inbounds {type}, ptr %out, i64 %i
  store {type} %y, ptr %p
  %next = add nuw i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""
    )


class Compiled:
    """The loop over one function, optimised at -O3 for this machine."""

    def __init__(self, name: str, type: str) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.dtype = DTYPES[type]
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            jit=True,
        )
        module = llvm.parse_assembly(loop_ir(name, type))
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        self.optimised = str(module)
        self.engine = llvm.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        pointers = [ctypes.c_void_p] * (vector_math.OPERANDS[name] + 1)
        self.loop = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(
            self.engine.get_function_address("loop")
        )

    def __call__(self, *operands: Array) -> Array:
        operands = tuple(np.ascontiguousarray(x, self.dtype) for x in operands)
        out = np.empty_like(operands[0])
        self.loop(*(x.ctypes.data for x in operands), out.ctypes.data, out.size)
        return out


compiled = functools.lru_cache(None)(Compiled)


def reference(name: str, *operands: Array) -> Array:
    """The function in extended precision."""
    if name in MPMATH_NAMES:
        function = getattr(mpmath, MPMATH_NAMES[name])
        operands = [np.clip(x, -1e3, 1e3) for x in operands]  # mpmath.erfc(1e308) fails
        with mpmath.workprec(100):
            return np.array([extended(function, x) for x in operands[0]])
    wide = [x.astype(np.longdouble) for x in operands]
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            return 1 / (1 + np.exp(-wide[0]))
        return getattr(np, NUMPY_NAMES.get(name, name))(*wide)


def extended(function, x) -> np.longdouble:
    exact = mpmath.mpmathify(function(mpmath.mpf(float(x)))).real
    if exact == 0:
        return np.longdouble(np.copysign(0, x))  # mpmath has no negative zero
    high = float(exact)
    rest = float(exact - high) if np.isfinite(high) else 0.0
    return np.longdouble(high) + np.longdouble(rest)


def ulps(got: Array, exact: Array) -> Array:
    """The distance in units in the last place of the exact result; NaN equals NaN."""
    with np.errstate(all="ignore"):
        nearest = exact.astype(got.dtype)
        unit = np.spacing(np.abs(nearest)).astype(np.longdouble)
        distance = np.abs(got.astype(np.longdouble) - exact) / unit
    same = (got == nearest) & np.isinf(nearest) | np.isnan(got) & np.isnan(exact)
    return np.where(same, 0, np.where(np.isnan(distance), np.inf, distance))


def samples(name: str, type: str, count: int) -> Array:
    """Log-spaced, uniform, and near the points where methods change or fail."""
    rng = np.random.default_rng(list(f"{name} {type}".encode()))
    info = np.finfo(DTYPES[type])
    lowest, highest = np.log2(float(info.smallest_subnormal)), np.log2(float(info.max))
    magnitudes = [
        2 ** rng.uniform(lowest, highest, count),
        2 ** rng.uniform(-30, 40, count),
        *(rng.uniform(0, size, count) for size in (1, 4, 30, 120, 760)),
        1 + rng.uniform(-1, 1, count) * 2 ** rng.uniform(-info.nmant, 0, count),
        rng.integers(-(2**20), 2**20, count) * (np.pi / 2),
        rng.integers(-(10**10), 10**10, count) * (np.pi / 2),
        rng.uniform(0.9e22, 1.1e22, count),
        np.arange(1, count) * np.log(2) / 2,
        *(end * rng.uniform(0.99, 1.01, count) for end in (88, 103, 709, 745)),
    ]
    x = np.concatenate(magnitudes)
    with np.errstate(over="ignore"):
        return rng.permutation(np.concatenate([x, -x])).astype(DTYPES[type])


def operands_of(name: str, type: str) -> list[Array]:
    if name == "pow":
        rng = np.random.default_rng(0)
        x = 2 ** rng.uniform(-1, 1, 100_000)
        y = rng.uniform(-1000, 1000, x.size) / (8 if type == "float" else 1)
        return [x.astype(DTYPES[type]), y.astype(DTYPES[type])]
    if name not in MPMATH_NAMES:
        x = samples(name, type, 3000)
        return [x, x[::-1].copy()][: vector_math.OPERANDS[name]]
    x = samples(name, type, 400)
    if name.endswith("gamma"):
        return [x[(x > 0.1) & (x < 30)][:1000]]
    return [x[np.abs(x) < 30][:3000]]


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0]


def special_values(type: str) -> Array:
    info = np.finfo(DTYPES[type])
    ends = np.array([info.smallest_subnormal, info.tiny, info.max, info.eps])
    return np.concatenate([np.array(SPECIAL, DTYPES[type]), ends, -ends])


def test_every_function_has_a_bound():
    assert vector_math.names() == set(BOUNDS) == set(vector_math.OPERANDS)


@pytest.mark.parametrize("name, type", CASES)
def test_accuracy(name, type):
    operands = operands_of(name, type)
    error = ulps(compiled(name, type)(*operands), reference(name, *operands))
    worst = np.argmax(error)
    assert error[worst] <= BOUNDS[name][type == "float"], [x[worst] for x in operands]


@pytest.mark.parametrize("name, type", [c for c in CASES if "gamma" not in c[0]])
def test_special_values(name, type):
    pairs = np.meshgrid(special_values(type), special_values(type))
    operands = [x.ravel() for x in pairs][: vector_math.OPERANDS[name]]
    got, exact = compiled(name, type)(*operands), reference(name, *operands)
    wrong = ulps(got, exact) > 4
    wrong |= (got == 0) & (exact == 0) & (np.signbit(got) != np.signbit(exact))
    assert not wrong.any(), [x[wrong][:5] for x in (*operands, got, exact)]


@pytest.mark.parametrize("name, type", FORMULA_CASES)
def test_any_length_and_position_gives_the_same_bits(name, type):
    x = samples(name, type, 10)[:77]
    whole = compiled(name, type)(x)
    for start, stop in [(0, 1), (3, 20), (5, 76), (76, 77), (9, 9)]:
        part = compiled(name, type)(x[start:stop])
        assert np.array_equal(part, whole[start:stop], equal_nan=True)


@pytest.mark.parametrize("name, type", FORMULA_CASES)
def test_the_loop_is_vectorised(name, type):
    if llvm.get_process_triple().split("-")[0] not in ("x86_64", "aarch64"):
        pytest.skip("no vector unit to expect")
    optimised = compiled(name, type).optimised
    assert "@llvm.fma.v" in optimised
    guard = f"call {type} @mgrad.{name}.{type}.guard("
    assert optimised.count(guard) <= 1  # in the loop over the last few elements only


def test_exact_powers():
    k = np.arange(-1074, 1024)
    x = np.ldexp(1.0, k)
    assert np.array_equal(compiled("log2", "double")(x), k)
    assert np.array_equal(compiled("exp2", "double")(k.astype(float)), x)
    decades = np.arange(0, 23)
    assert np.array_equal(compiled("log10", "double")(10.0**decades), decades)


def test_definitions_come_once_and_assemble_together():
    everything = list(itertools.product(vector_math.names(), DTYPES))
    text, declarations = vector_math.definitions(everything * 2)
    for name, type in everything:
        assert text.count(f"@{vector_math.symbol(name, type)}(") == 1
    assert all(line.startswith("declare ") for line in declarations)
    llvm.parse_assembly("\n".join(sorted(declarations)) + text).verify()
    assert vector_math.definitions(reversed(everything)) == (text, declarations)


def test_nothing_used_is_nothing_defined():
    assert vector_math.definitions([]) == ("", frozenset())
