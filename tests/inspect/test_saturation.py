"""Saturation against shares counted by hand, and against bounds known from the equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

import gated
from gated.errors import OptionError, ShapeError
from gated.inspect.measures import saturation, saturations

GATES = some.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)),
                    elements=st.floats(0, 1))  # fmt: skip


def test_shares_are_those_counted_by_hand():
    found = saturation([[0.05, 0.5], [0.95, 0.99], [0.99, 0.3], [0.0, 0.91]])
    np.testing.assert_array_equal(found.left, [0.5, 0.0])
    np.testing.assert_array_equal(found.right, [0.5, 0.5])
    np.testing.assert_array_equal(found.both, [1.0, 0.5])


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ShapeError, match="the gate of unit 1 is NaN at valid step 2"):
        saturation([[0.1, 0.5], [0.95, 0.99], [0.2, np.nan]])


def test_the_thresholds_themselves_are_not_saturated():
    found = saturation([[0.1], [0.9]])
    assert found.left[0] == found.right[0] == 0


def test_a_tensor_is_taken_from_its_graph():
    gates = torch.full((4, 2), 0.95, dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(saturation(gates).right, [1, 1])


def test_a_candidate_is_saturated_at_either_sign():
    found = saturation([[-0.95], [0.95], [0.99], [0.0]], low=-0.9, high=0.9)
    assert (found.left[0], found.right[0]) == (0.25, 0.5)


def test_padding_is_not_counted_even_when_it_is_nan():
    gates = np.random.default_rng(0).uniform(0, 1, (2, 5, 3))
    valid = np.arange(5) < np.array([[5], [2]])
    padded = np.where(valid[..., None], gates, np.nan)
    together = np.concatenate([gates[0], gates[1, :2]])
    np.testing.assert_array_equal(saturation(padded, valid).left, saturation(together).left)


@given(GATES)
def test_turning_a_gate_round_swaps_left_and_right(gates):
    there, back = saturation(gates, low=0.25, high=0.75), saturation(1 - gates, low=0.25, high=0.75)
    np.testing.assert_array_equal(there.left, back.right)


@given(GATES, st.randoms())
def test_neither_the_order_of_steps_nor_of_units_matters(gates, random):
    steps, units = list(range(len(gates))), list(range(gates.shape[1]))
    random.shuffle(steps)
    random.shuffle(units)
    found = saturation(gates[steps][:, units])
    np.testing.assert_array_equal(found.right, saturation(gates).right[units])


@pytest.mark.parametrize(
    ("name", "squashed"),
    [("lstm", "ifgo"), ("niaf", "ifo"), ("cifg", "ifgo"), ("fgr", "ifgo"), ("gru", "rzn"),
     ("rnn", "h"), ("mingru", "z")],
)  # fmt: skip
def test_what_can_saturate_follows_from_the_equations(name, squashed):
    layer = gated.Recurrent(name, 3, 4)
    _, _, trace = layer(torch.randn(5, 2, 3), trace=True)
    assert set(saturations(trace.at(0), layer.cell)) == set(squashed)


def test_a_layer_that_is_driven_hard_is_found_saturated_on_the_right_side():
    layer = gated.LSTM(1, 3, forget_bias=20.0)
    _, _, trace = layer(torch.randn(6, 2, 1), trace=True)
    found = saturations(trace.at(0), layer.cell)
    np.testing.assert_array_equal(found["f"].right, [1, 1, 1])
    assert found["g"].low == -0.9


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(OptionError, match=r"low=0\.9 and high=0\.1: expected low <= high"):
        saturation([[0.5]], low=0.9, high=0.1)


def test_an_empty_window_is_refused():
    with pytest.raises(ShapeError, match=r"the gate .* no valid step"):
        saturation(np.empty((0, 3)))
