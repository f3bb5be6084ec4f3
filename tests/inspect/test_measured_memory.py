"""Half-life and retention against decay that is simulated or worked by hand."""

import numpy as np
import pytest

from gated.errors import ShapeError
from gated.inspect import half_life, retention

# the worked example of the catalogue: f at steps 1 to 4, and the direct path from C4 = 1
WORKED_F = [0.549834, 0.647812, 0.551942, 0.727907]
WORKED_DIRECT = [0.260, 0.402, 0.728, 1.0]


def test_half_life_of_a_steady_gate_is_when_a_simulated_state_has_halved():
    gate = 0.93
    state, steps = 1.0, 0
    while state * gate > 0.5:
        state, steps = state * gate, steps + 1
    found = half_life(np.full((50, 1), gate))[0]
    assert steps < found < steps + 1
    np.testing.assert_allclose(gate**found, 0.5, rtol=1e-12)


def test_half_life_of_a_changing_gate_is_that_of_its_geometric_mean():
    gates = np.array([[0.9], [0.4], [0.99], [0.7]])
    steady = gates.prod() ** (1 / 4)
    np.testing.assert_allclose(half_life(gates)[0], np.log(0.5) / np.log(steady), rtol=1e-12)


def test_a_gate_that_is_always_open_never_forgets():
    assert half_life([[1.0], [1.0]])[0] == np.inf


def test_a_gate_that_shuts_once_forgets_at_once():
    assert half_life([[1.0], [0.0], [1.0]])[0] == 0.0


def test_padding_changes_nothing_even_when_it_is_nan():
    gates = np.random.default_rng(0).uniform(0.1, 1, (7, 3))
    padded = np.concatenate([gates, np.full((4, 3), np.nan)])
    valid = np.arange(11) < 7
    np.testing.assert_array_equal(half_life(padded, valid), half_life(gates))


def test_a_batch_is_averaged_over_all_its_valid_steps():
    gates = np.random.default_rng(1).uniform(0.1, 1, (5, 2, 3))
    valid = np.ones((5, 2), bool)
    valid[3:, 1] = False
    together = np.concatenate([gates[:, 0], gates[:3, 1]])
    np.testing.assert_allclose(half_life(gates, valid), half_life(together), rtol=1e-14)


def test_float32_traces_are_measured_in_float64():
    gates = np.full((1000, 1), np.float32(0.9999))
    exact = np.log(0.5) / np.log(float(np.float32(0.9999)))
    np.testing.assert_allclose(half_life(gates)[0], exact, rtol=1e-12)


def test_retention_is_the_direct_path_of_the_worked_example():
    left = retention(np.array(WORKED_F)[:, None])[:, 0]
    np.testing.assert_allclose(left, WORKED_DIRECT, atol=5e-4)


def test_retention_of_one_step_is_everything():
    np.testing.assert_array_equal(retention([[0.3, 0.0]]), [[1.0, 1.0]])


def test_retention_passes_over_a_shut_gate_without_dividing_by_it():
    np.testing.assert_array_equal(retention([[0.5], [0.0], [0.5]])[:, 0], [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("gates", "valid", "said"),
    [
        ([0.5, 0.5], None, r"shape \(2,\), expected \(\.\.\., H\)"),
        ([[0.5], [1.5]], None, r"unit 0 is 1\.5 at valid step 1"),
        ([[0.5], [-0.1]], None, r"unit 0 is -0\.1 at valid step 1"),
        ([[0.5, np.nan]], None, r"unit 1 is nan at valid step 0"),
        ([[0.5], [0.5]], [True], r"valid has shape \(1,\)"),
        ([[0.5], [0.5]], [1, 0], "dtype int"),
        ([[0.5], [0.5]], [False, False], "no valid step"),
        (np.empty((0, 3)), None, "no valid step"),
    ],
)
def test_what_cannot_be_measured_is_refused(gates, valid, said):
    with pytest.raises(ShapeError, match=said):
        half_life(gates, valid)


def test_retention_refuses_a_batch():
    with pytest.raises(ShapeError, match=r"expected \(T, H\)"):
        retention(np.ones((2, 3, 4)))
