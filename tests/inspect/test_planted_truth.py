"""A planted truth is found: one marked step, and the few units that carry it (bench, smaller)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).resolve().parents[2] / "bench" / "planted_truth.py"
LENGTH, HIDDEN, STEPS, UNITS = 30, 64, 400, 4


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("planted_truth", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def net(bench):
    return bench.train(LENGTH, HIDDEN, STEPS, seed=3)


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(1)


def test_contributions_point_at_the_marked_step_in_190_of_200_cases(bench, net, draw):
    cases = bench.sequences(bench.CASES, LENGTH, draw)
    assert bench.CASES == 200
    for name, share in bench.pointing(net, cases, ["zero"]).items():
        assert share >= 0.95, name


def test_freezing_the_most_important_units_destroys_the_answer_and_random_ones_do_not(
    bench, net, draw
):
    ranked_on, data = (bench.sequences(bench.CASES, LENGTH, draw) for _ in range(2))
    assert bench.error(net, data) < 0.01
    _, without, at_random = bench.freezing(net, UNITS, ranked_on, data, seed=0)
    assert without > bench.DESTROYED == 0.5
    assert at_random[len(at_random) // 2] < bench.KEPT <= 0.05
