"""The functions that generated kernels use, in float32, against float64."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import gated.engines.cpu
from gated.engines.cpu.build import library, unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")
RUNTIME = Path(gated.engines.cpu.__file__).with_name("functions.hpp").read_text()
FUNCTIONS = ["exp", "tanh", "sigmoid", "log", "softplus"]
SOURCE = RUNTIME + "".join(
    f'extern "C" void apply_{name}(const float* x, float* y, long n) {{\n'
    f"    for (long k = 0; k < n; ++k) y[k] = {name}_(x[k]);\n}}\n"
    for name in FUNCTIONS
)


def computed(name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    function = getattr(library(SOURCE), f"apply_{name}")
    function(
        ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(len(x))
    )  # fmt: skip
    return y


def exact(name: str, x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {
            "exp": np.exp,
            "tanh": np.tanh,
            "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
            "log": np.log,
            "softplus": lambda v: np.logaddexp(0, v),
        }[name](wide)


def points(name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    spread = [rng.uniform(-s, s, 20_000) for s in (1e-6, 1e-2, 0.5, 1, 5, 20, 88)]
    x = np.concatenate([*spread, np.linspace(-120, 120, 20_001)]).astype(np.float32)
    return np.abs(x) + np.float32(1e-30) if name == "log" else x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(name):
    x = points(name)
    wanted = exact(name, x)
    got = computed(name, x)
    with np.errstate(over="ignore"):
        rounded = wanted.astype(np.float32)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite])
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    error = np.abs(got[finite].astype(np.longdouble) - wanted[finite]) / unit
    worst = int(error.argmax())
    assert error[worst] <= 2, f"{name}({x[finite][worst]!r}) is {float(error[worst]):.2f} units off"


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "softplus"])
def test_no_finite_input_gives_nan_and_a_nan_stays_one(name):
    largest = np.finfo(np.float32).max
    x = np.array([0, -0.0, 1e-45, largest, -largest, np.inf, -np.inf, np.nan], np.float32)
    got = computed(name, x)
    assert not np.isnan(got[:-1]).any()
    assert np.isnan(got[-1])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got[3:7], exact(name, x)[3:7].astype(np.float32))
