"""`python -m bench.gpu.compiled`: kernels compiled for a GPU that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("triton")

sys.path.append(str(Path(__file__).parents[3]))
from bench.gpu.target import instructions

ROOT = Path(__file__).parents[3]
# with four states and a stabiliser; with sums over the units; without matrices
CELLS = ("slstm", "layernorm-lstm", "indrnn")
DISASSEMBLED = """\
kernel:
.text.kernel:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   IADD3 R2, R2, 0x1, RZ ;
.L_x_0:
        /*0020*/                   FADD R3, R3, R4 ;
        /*0030*/              @!P0 BRA `(.L_x_0) ;
        /*0040*/               @P1 BRA `(.L_x_1) ;
        /*0050*/                   EXIT ;
.L_x_2:
        /*0060*/                   BRA `(.L_x_2);
"""


def test_counts_instructions_and_those_of_the_outermost_loop():
    assert instructions(DISASSEMBLED) == (7, 4)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the command says of three unlike cells, in words."""
    environment = {key: v for key, v in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    options = ("--strategy", "stepwise", "--maps", "dense", "--dtype", "bfloat16", "--size", "64")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "bench.gpu.compiled", *CELLS, *options],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_kernels_of_unlike_cells_compile_for_a_gpu_there_and_back(lines):
    found = {(cell, part) for cell, _, _, _, _, part, *_ in lines[2:-1]}
    assert found == set(product(CELLS, ("inference", "training", "backward")))


def test_what_they_use_is_within_what_a_thread_and_a_program_have(lines):
    for *_, registers, local, shared, total, loop, _ in lines[2:-1]:
        assert 0 < int(registers) <= 255
        assert int(local) == 0
        assert int(shared) <= 227 << 10
        assert int(total) > int(loop) >= 0
