"""What the bench of the CPU engine counts, and what it takes for right and wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import gated

sys.path.append(str(Path(__file__).parents[3]))
from bench.cpu.check import WrongError, check
from bench.cpu.problem import Problem, data
from bench.cpu.sides import BUILDERS
from bench.cpu.timing import spread


@pytest.mark.parametrize("mode", ["inference", "training", "training+x"])
# the loop of full gate recurrence multiplies by zeros as well
@pytest.mark.parametrize("name", [name for name in gated.cells() if name != "fgr"])
def test_counts_the_operations_that_pytorch_runs(name: str, mode: str) -> None:
    problem = Problem(name, mode, batch=3, steps=10, size=6)
    side = BUILDERS["eager loop"](data(problem))
    with torch.set_grad_enabled(problem.learns), FlopCounterMode(display=False) as counter:
        side()
    # no gradient is taken of the states before the first step
    first = 0 if mode == "inference" else problem.flops // 3 // problem.steps
    assert 0 <= problem.flops - counter.get_total_flops() <= first


@pytest.mark.parametrize("name", gated.cells())
def test_the_loop_of_a_peer_computes_its_cell(name: str) -> None:
    problem = Problem(name, "training+x", batch=2, steps=3, size=4)
    assert check(BUILDERS["eager loop"](data(problem)), problem) < 2e-6


@pytest.mark.parametrize("place", range(6))
def test_refuses_a_side_with_one_wrong_result(place: int) -> None:
    problem = Problem("lstm", "training+x", batch=2, steps=3, size=4)
    right = BUILDERS["torch.nn"](data(problem))

    def side() -> Sequence[Tensor]:
        found = [value.detach().clone() for value in right()]
        found[place].view(-1)[-1] += 1e-3 * found[place].abs().max()
        return found

    with pytest.raises(WrongError, match=rf"(output|gradient) {place} is off by 1\.0e-03"):
        check(side, problem)


def test_refuses_nan() -> None:
    problem = Problem("lstm", "inference", batch=2, steps=3, size=4)
    with pytest.raises(WrongError, match="off by nan"):
        check(lambda: [torch.full((3, 2, 4), float("nan"))], problem)


def test_a_ratio_is_taken_turn_by_turn() -> None:
    # a turn in which all is slow changes no ratio
    assert spread([2.0, 20.0, 3.0], [1.0, 10.0, 1.0], factor=0.5) == (1.0, 1.0, 1.25, 1.0)


def test_ragged_rows_are_three_quarters_full() -> None:
    problem = Problem("lstm", "training", batch=32, steps=100, size=64, ragged=True)
    assert problem.valid_steps == pytest.approx(0.75 * 32 * 100, rel=0.01)
    assert max(data(problem).lengths or []) == 100
