"""Every cell on every engine in every type: values, states and all gradients."""

from __future__ import annotations

import pytest
from gpu_cases import ENGINES, TYPES, compare, sample, twins

import gated

RAGGED = [7, 0, 3, 5, 1]


# first the engine that chooses, in the type that errors show best in
@pytest.mark.parametrize("cell", gated.cells())
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_of_unequal_length_in_both_directions(cell, engine, dtype):
    mine, truth = twins(cell, engine, TYPES[dtype], bidirectional=True)
    compare(mine, truth, sample(mine, 7, 5, RAGGED))


@pytest.mark.parametrize("cell", gated.cells())
@pytest.mark.parametrize("engine", ENGINES)
def test_every_gate_with_its_gradients(cell, engine):
    mine, truth = twins(cell, engine)
    compare(mine, truth, sample(mine, 7, 5, RAGGED), trace=True)
