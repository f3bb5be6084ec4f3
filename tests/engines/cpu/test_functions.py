"""The functions that generated kernels use, against wider numbers, and as machine code."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import gated.engines.cpu
from gated.engines.cpu.build import library, unavailable
from gated.engines.cpu.machine import InstructionSet
from gated.engines.cpu.toolchain import Compiler, compile_file, flags, search

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")

RUNTIME = Path(gated.engines.cpu.__file__).with_name("functions.hpp").read_text()
SMOOTH = ["exp", "tanh", "sigmoid", "log", "softplus", "sqrt"]
ONE, TWO = [*SMOOTH, "abs", "relu", "heaviside"], ["maximum", "minimum"]
TYPES = {"float": np.float32, "double": np.float64}
# each function of both types, in the loop that kernels have
LOOP = """
extern "C" void apply_{name}_{real}(const {real}* x, const {real}* z, {real}* y, long n) {{
#pragma omp simd
    for (long k = 0; k < n; ++k) y[k] = {name}_({arguments});
}}
"""
SOURCE = RUNTIME + "".join(
    LOOP.format(name=name, real=real, arguments="x[k]" if name in ONE else "x[k], z[k]")
    for name in [*ONE, *TWO]
    for real in TYPES
)
LEVELS = {
    "v3": InstructionSet("x86-64-v3", ("-march=x86-64-v3",), 8),
    "v4": InstructionSet("x86-64-v4", ("-march=x86-64-v4", "-mprefer-vector-width=512"), 16),
}

both = pytest.mark.parametrize("real", list(TYPES))


def computed(name: str, x: np.ndarray, z: np.ndarray | None = None) -> np.ndarray:
    (real,) = (real for real, kind in TYPES.items() if x.dtype == kind)
    y = np.empty_like(x)
    arrays = [ctypes.c_void_p(a.ctypes.data) for a in (x, x if z is None else z, y)]
    getattr(library(SOURCE), f"apply_{name}_{real}")(*arrays, ctypes.c_long(len(x)))
    return y


def exact(name: str, x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {
            "exp": np.exp,
            "tanh": np.tanh,
            "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
            "log": np.log,
            "softplus": lambda v: np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v))),
            "sqrt": np.sqrt,
        }[name](wide)


def points(name: str, real: str) -> np.ndarray:
    """Near 0, where functions bend, and on to where results are denormal, 0, 1 or infinite."""
    rng = np.random.default_rng(0)
    end = {"float": 120, "double": 760}[real]
    small = {"float": -44, "double": -320}[real]
    spread = [rng.uniform(-s, s, 20_000) for s in (1e-6, 1e-2, 0.3, 0.5, 1, 2, 5, 20, end)]
    x = np.concatenate([*spread, np.linspace(-end, end, 20_001), 10 ** rng.uniform(small, 2, 9999)])
    if name in ("log", "sqrt"):  # denormal arguments, those near 1 and large ones
        around = 1 + np.concatenate(spread[1:4])
        x = np.concatenate([np.abs(x), around, 10 ** rng.uniform(0, 38, 9999)])
    x = x.astype(TYPES[real])
    return x[x > 0] if name in ("log", "sqrt") else x


@both
@pytest.mark.parametrize("name", SMOOTH)
def test_within_two_units_in_the_last_place(name, real):
    if real == "double" and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("no number here is wider than float64")
    x = points(name, real)
    wanted = exact(name, x)
    got = computed(name, x)
    with np.errstate(over="ignore"):
        rounded = wanted.astype(x.dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite])
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    error = np.abs(got[finite].astype(np.longdouble) - wanted[finite]) / unit
    worst = int(error.argmax())
    assert error[worst] <= 2, f"{name}({x[finite][worst]!r}) is {float(error[worst]):.2f} units off"


@both
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "softplus"])
def test_no_finite_input_gives_nan_and_a_nan_stays_one(name, real):
    info = np.finfo(TYPES[real])
    x = np.array(
        [0, -0.0, info.smallest_subnormal, info.max, -info.max, np.inf, -np.inf, np.nan], info.dtype
    )
    got = computed(name, x)
    assert not np.isnan(got[:-1]).any()
    assert np.isnan(got[-1])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got[3:7], exact(name, x)[3:7].astype(info.dtype))


@both
def test_the_logarithm_outside_the_positive_numbers(real):
    x = np.array([0, -0.0, -1, -np.inf, np.nan, np.inf], TYPES[real])
    wanted = np.array([-np.inf, -np.inf, np.nan, np.nan, np.nan, np.inf], TYPES[real])
    np.testing.assert_array_equal(computed("log", x), wanted)


@both
def test_tanh_is_odd_and_keeps_the_sign_of_zero(real):
    x = np.abs(points("tanh", real))
    np.testing.assert_array_equal(computed("tanh", -x), -computed("tanh", x))
    assert np.signbit(computed("tanh", np.array([-0.0], TYPES[real])))[0]


@both
@pytest.mark.parametrize(("name", "least"), [("tanh", -1), ("sigmoid", 0)])
def test_a_gate_never_leaves_its_bounds(name, least, real):
    got = computed(name, points(name, real))
    assert got.min() >= least
    assert got.max() <= 1


@both
def test_the_larger_and_the_smaller_let_a_nan_through(real):
    x = np.array([1, 2, np.nan, 1, -np.inf], TYPES[real])
    z = np.array([2, 1, 1, np.nan, np.inf], TYPES[real])
    np.testing.assert_array_equal(computed("maximum", x, z), np.maximum(x, z))
    np.testing.assert_array_equal(computed("minimum", x, z), np.minimum(x, z))


@both
def test_simple_functions(real):
    x = np.array([-2, -0.0, 0, 3, np.inf, -np.inf, np.nan], TYPES[real])
    np.testing.assert_array_equal(computed("abs", x), np.abs(x))
    assert not np.signbit(computed("abs", x)[:6]).any()
    np.testing.assert_array_equal(computed("relu", x), np.maximum(x, 0))
    np.testing.assert_array_equal(computed("heaviside", x), np.where(x > 0, 1, 0))


@pytest.fixture(scope="module", params=list(LEVELS))
def machine_code(request, tmp_path_factory) -> Path:
    """The functions compiled for a set of instructions, which this machine may lack."""
    if platform.machine() != "x86_64":
        pytest.skip("the code of x86-64 is looked at on x86-64")
    compiler = search()
    assert isinstance(compiler, Compiler)
    folder = tmp_path_factory.mktemp("code")
    (folder / "functions.cpp").write_text(SOURCE)
    target = folder / "functions.so"
    compile_file(compiler, flags(LEVELS[request.param], None), folder / "functions.cpp", target)
    return target


def printed(program: str, *arguments: str) -> str:
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_no_function_calls_the_mathematical_library(machine_code):
    wanted = printed("nm", "-D", "--undefined-only", str(machine_code))
    names = {line.split()[-1].partition("@")[0] for line in wanted.splitlines()}
    # the loader's own names begin with an underscore
    assert {name for name in names if not name.startswith(("_ITM_", "__gmon", "__cxa_"))} == set()


def test_every_function_becomes_vectors(machine_code):
    code = printed("objdump", "-d", "--no-show-raw-insn", str(machine_code))
    parts = dict(re.findall(r"<apply_(\w+)>:\n(.*?)(?:\n\n|\Z)", code, re.DOTALL))
    assert len(parts) == len(TYPES) * len([*ONE, *TWO])
    store = re.compile(r"\tv?movup[sd] +%[yz]mm\d+,\S*\(")
    assert [name for name, text in parts.items() if not store.search(text)] == []
