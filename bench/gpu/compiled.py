"""What the compiler makes of the generated kernels, for an H100 or H200; no GPU is needed.

    PYTHONPATH=src python3 -m bench.gpu.compiled [CELL ...] [--maps heads] [--dtype bfloat16]

What a strategy launches for inference, training and backward is compiled as a GPU would be given
it, with dense matrices, with heads of 32 units and with diagonal matrices; H is halved as often as
a strategy needs. It ends with 1 if a kernel does not compile, or wants more memory than a program
can share, or if there is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product

import torch
import triton

from bench.gpu.launched import MAPS, STRATEGIES, UNTAKEN, Case, Row, compiled
from gated.cells import cells

TYPES = ("float32", "bfloat16", "float16")
# a heading, its width, what stands there
COLUMNS = (
    ("cell", 16, lambda case, row: case.cell),
    ("strategy", 9, lambda case, row: case.strategy),
    ("matrices", 9, lambda case, row: case.maps),
    ("H", 5, lambda case, row: case.size),
    ("type", 9, lambda case, row: case.dtype),
    ("part", 10, lambda case, row: row.part),
    ("kernel", 20, lambda case, row: row.kernel.name),
    ("warps", 5, lambda case, row: row.kernel.warps),
    ("registers", 9, lambda case, row: row.kernel.registers),
    ("local", 6, lambda case, row: row.kernel.local),
    ("shared", 7, lambda case, row: row.kernel.shared),
    ("instructions", 12, lambda case, row: row.kernel.instructions),
    ("in loop", 7, lambda case, row: row.kernel.loop),
    ("seconds", 7, lambda case, row: f"{row.kernel.seconds:.1f}"),
)


def main() -> int:
    """0, or 1 if a kernel does not compile or does not fit, or none was compiled."""
    options = _options()
    if triton.knobs.runtime.interpret:
        sys.exit("kernels are to be compiled, not interpreted: unset TRITON_INTERPRET")
    cases = [
        Case(cell, strategy, maps, size, dtype, options.batch, options.ragged)
        for cell, strategy, maps, size, dtype in product(
            options.cells or cells(), options.strategy, options.maps, options.size, options.dtype
        )
    ]
    print(f"Triton {triton.__version__}, PyTorch {torch.__version__}, B {options.batch}; bytes")
    print(_line(heading for heading, _, _ in COLUMNS))
    kernels = faults = untaken = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in chain.from_iterable(pool.map(compiled, cases)):
            print(_shown(row), flush=True)
            untaken += row.part == UNTAKEN
            kernels += row.kernel is not None
            faults += bool(row.fault) and row.part != UNTAKEN
    print(_summary(kernels, faults, untaken))
    return 1 if faults or not kernels else 0


def _summary(kernels: int, faults: int, untaken: int) -> str:
    told = f"{faults} faults" if faults else f"{kernels} kernels, all compile and fit"
    told = told if kernels or faults else "nothing was compiled"
    return f"{told}; {untaken} cases that a strategy does not take" if untaken else told


def _shown(row: Row) -> str:
    if row.part == UNTAKEN:
        case = row.case
        return f"{case.cell}, {case.strategy}, {case.maps}, {case.dtype}: {row.fault}"
    if row.kernel is None:
        return f"{row.case}, after {row.part}: {row.fault}"
    text = _line(value(row.case, row) for _, _, value in COLUMNS)
    return f"{text}  {row.fault}".rstrip()


def _line(values: Iterable[object]) -> str:
    """Values below their headings: text on the left, numbers on the right."""
    pairs = zip(COLUMNS, values, strict=True)
    return "  ".join(
        f"{value:{'<' if at < 7 else '>'}{width}}"
        for at, ((_, width, _), value) in enumerate(pairs)
    )


def _cell(name: str) -> str:
    if name not in cells():
        raise argparse.ArgumentTypeError(f"there is no cell {name!r}, but {', '.join(cells())}")
    return name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.gpu.compiled", description=__doc__.splitlines()[0])
    parser.add_argument(
        "cells", nargs="*", type=_cell, help="of the catalogue; all, if none is named"
    )
    parser.add_argument("--strategy", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--maps", nargs="+", choices=MAPS, default=MAPS)
    parser.add_argument("--dtype", nargs="+", choices=TYPES, default=["float32", "bfloat16"])
    parser.add_argument("--size", nargs="+", type=int, default=[512], help="hidden units")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--ragged", action="store_true", help="rows of unequal lengths")
    parser.add_argument("--jobs", type=int, default=2, help="how many compile at a time")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
