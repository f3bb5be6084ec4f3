"""The functions of compiled kernels: their worst error, then the cycles for an element.

    python bench/functions.py [--every 1] [--only tanh sigmoid]

Errors are of float32 against float64, in units in the last place, at every n-th of all 2^32
numbers; "wrong" counts infinities and NaNs that are not as in float64. Cycles are those of the
fastest of many passes over an array that stays in the first cache; a chain of multiplications,
three cycles each, is the clock. Another program on the same core shows in both.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
from pathlib import Path

import numpy as np

import gated.engines.cpu
from gated.engines.cpu.machine import InstructionSet, instruction_set, widest
from gated.engines.cpu.toolchain import Compiler, compile_file, flags, search

HEADER = Path(gated.engines.cpu.__file__).with_name("functions.hpp")
WIDE = {
    "exp": "std::exp(x)",
    "tanh": "std::tanh(x)",
    "sigmoid": "1 / (1 + std::exp(-x))",
    "log": "std::log(x)",
    "softplus": "(x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)))",
}
COUNT, PASSES = 1024, 2000

LOOP = """
extern "C" void {name}_{real}(const {real}* x, {real}* y, long n) {{
#pragma omp simd
    for (long k = 0; k < n; ++k) y[k] = {name}_(x[k]);
}}
// the fewest nanoseconds of a pass
extern "C" double time_{name}_{real}(const {real}* x, {real}* y, long n, long passes) {{
    double least = 1e300;
    for (long pass = 0; pass < passes; ++pass) {{
        const double start = now();
        for (int k = 0; k < 8; ++k) {name}_{real}(x, y, n);
        const double taken = (now() - start) / 8;
        least = taken < least ? taken : least;
    }}
    return least;
}}
"""

CLOCK = """
#include <ctime>
static float bits(uint32_t b) { float x; std::memcpy(&x, &b, 4); return x; }
static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}
// nanoseconds for a cycle: a chain of multiplications, of three cycles each
extern "C" double cycle() {
    double least = 1e300;
    for (int pass = 0; pass < 200; ++pass) {
        const double start = now();
        long product = 3;
        for (int k = 0; k < 1000; ++k)
            for (int link = 0; link < 10; ++link) {
                product *= product;
                asm volatile("" : "+r"(product));
            }
        const double taken = (now() - start) / 30000;
        least = taken < least ? taken : least;
    }
    return least;
}
"""

CHECK = """
extern "C" double check_{name}(long every, float* where, long* faults) {{
    double worst = 0;
    *faults = 0;
    static float x[4096], y[4096];
    for (uint64_t start = 0; start < 1ull << 32; start += 4096 * every) {{
        for (int k = 0; k < 4096; ++k) x[k] = bits(uint32_t(start + k * every));
        {name}_float(x, y, 4096);
        for (int k = 0; k < 4096; ++k) {{
            const double exact = exact_{name}(x[k]);
            const float rounded = float(exact);
            if (!(std::fabs(rounded) <= 3.4028234e38f)) {{
                const bool same = rounded == y[k] || (rounded != rounded && y[k] != y[k]);
                if (!same) {{ ++*faults; *where = x[k]; }}
                continue;
            }}
            int exponent;
            std::frexp(rounded, &exponent);
            const bool least = rounded == 0 || exponent < -125;
            const double unit = std::ldexp(1.0, least ? -149 : exponent - 24);
            const double error = std::fabs(y[k] - exact) / unit;
            if (!(error <= worst)) {{ worst = error; *where = x[k]; }}
        }}
    }}
    return worst;
}}
"""


def main() -> None:
    """Print a line for each function and set of instructions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=997, help="1 tests every float32")
    parser.add_argument("--only", nargs="*", default=list(WIDE), choices=list(WIDE))
    parser.add_argument("--header", type=Path, default=HEADER, help="another functions.hpp")
    options = parser.parse_args()
    for machine in levels():
        kernel = build(options.header, options.only, machine)
        for name in options.only:
            worst = error(kernel, name, options.every)
            cycles = [f"{real} {elapsed(kernel, name, real):5.2f}" for real in ("float", "double")]
            print(f"{machine.name:>9} {name:>8}: {worst}cycles {', '.join(cycles)}")


def levels() -> list[InstructionSet]:
    """This machine's instructions, and the levels of x86-64 below."""
    here = instruction_set()
    if here.name != "x86-64-v4":
        return [here]
    v3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
    return [here, widest("x86_64", set(v3.split())), widest("x86_64", set())]


def build(header: Path, names: list[str], machine: InstructionSet) -> ctypes.CDLL:
    """The loops over each function, compiled for a set of instructions."""
    compiler = search()
    assert isinstance(compiler, Compiler), compiler
    text = [header.read_text(), CLOCK]
    for name in names:
        text += [LOOP.format(name=name, real=real) for real in ("float", "double")]
        text += [f"static double exact_{name}(double x) {{ return {WIDE[name]}; }}"]
        text += [CHECK.format(name=name)]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "functions.cpp"), Path(folder, "functions.so")
        source.write_text("\n".join(text))
        compile_file(compiler, flags(machine, None), source, target)
        return ctypes.CDLL(str(target))


def error(kernel: ctypes.CDLL, name: str, every: int) -> str:
    """The worst error of a function in float32, and where it is."""
    where, faults = ctypes.c_float(), ctypes.c_long()
    function = getattr(kernel, f"check_{name}")
    function.restype = ctypes.c_double
    worst = function(ctypes.c_long(every), ctypes.byref(where), ctypes.byref(faults))
    return f"{worst:5.3f} units at {where.value:<12.6g} {faults.value} wrong, "


def elapsed(kernel: ctypes.CDLL, name: str, real: str) -> float:
    """Cycles for an element."""
    kernel.cycle.restype = ctypes.c_double
    function = getattr(kernel, f"time_{name}_{real}")
    function.restype = ctypes.c_double
    x = np.random.default_rng(0).normal(0, 2, COUNT)
    x = (np.abs(x) if name == "log" else x).astype("f4" if real == "float" else "f8")
    y = np.empty_like(x)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, y)]
    cycle = min(kernel.cycle() for _ in range(3))
    return function(*pointers, ctypes.c_long(COUNT), ctypes.c_long(PASSES)) / COUNT / cycle


if __name__ == "__main__":
    main()
