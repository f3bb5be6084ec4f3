"""Half-life and retention against decay that is simulated or worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

import gated
from gated.equations import Cell, W, b, sigmoid
from gated.errors import OptionError, ShapeError
from gated.inspect import half_life, retention
from gated.inspect.measures import forget_factor, horizon, memory_length, retention_curve
from gated.inspect.recording.symbols import by_symbol

GATES = some.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 3)),
                    elements=st.floats(0, 1))  # fmt: skip

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


def brute_curve(gates: np.ndarray, lags: int) -> np.ndarray:
    """The mean of every product of k successive gates, each multiplied out."""
    steps = len(gates)
    return np.array(
        [
            np.mean([gates[t + 1 : t + k + 1].prod(axis=0) for t in range(steps - k)], axis=0)
            for k in range(lags + 1)
        ]
    )


@given(GATES)
def test_the_retention_curve_averages_every_product_of_successive_gates(gates):
    lags = len(gates) - 1
    np.testing.assert_allclose(retention_curve(gates), brute_curve(gates, lags), atol=1e-12)


def test_the_retention_curve_of_a_steady_gate_is_its_powers():
    curve = retention_curve(np.full((9, 1), 0.8), lags=5)
    np.testing.assert_allclose(curve[:, 0], 0.8 ** np.arange(6), rtol=1e-12)


def test_rows_of_unequal_length_weigh_by_the_starts_that_they_have():
    gates = np.random.default_rng(2).uniform(0.2, 1, (2, 6, 3))
    valid = np.arange(6) < np.array([[6], [3]])
    padded = np.where(valid[..., None], gates, np.nan)
    long, short = brute_curve(gates[0], 2), brute_curve(gates[1, :3], 2)
    starts = np.array([[6, 3], [5, 2], [4, 1]])
    both = (starts[:, :1] * long + starts[:, 1:] * short) / starts.sum(axis=1)[:, None]
    np.testing.assert_allclose(retention_curve(padded, valid, lags=2), both, rtol=1e-12)


def test_lags_beyond_every_row_have_no_value():
    curve = retention_curve([[0.5], [0.5]], lags=3)
    np.testing.assert_array_equal(np.isnan(curve[:, 0]), [False, False, True, True])


@given(st.floats(0.01, 0.95), st.sampled_from([0.05, 0.3, 0.5]))
def test_the_horizon_of_a_steady_gate_is_that_of_exponential_decay(gate, share):
    exact = np.log(share) / np.log(gate)
    found = horizon(np.full((100, 1), gate), share=share)[0]
    assert np.floor(exact - 1e-9) <= found - 1 <= exact + 1e-9


def test_a_horizon_beyond_the_window_is_infinite():
    assert horizon(np.full((5, 1), 0.99))[0] == np.inf


def test_a_gate_that_shuts_once_in_a_while_has_a_horizon_where_its_half_life_is_0():
    gates = np.ones((1000, 1))
    gates[::50] = 0
    assert half_life(gates)[0] == 0
    assert 25 < horizon(gates, lags=100)[0] < 40


@given(GATES)
def test_memory_length_is_the_sum_of_what_is_retained(gates):
    np.testing.assert_allclose(memory_length(gates), retention(gates).sum(axis=0), rtol=1e-12)


def test_memory_length_of_a_steady_gate_is_one_over_what_it_lets_go():
    np.testing.assert_allclose(memory_length(np.full((500, 1), 0.95)), [20.0], rtol=1e-9)


def test_memory_length_is_taken_where_each_row_ends():
    gates = np.full((2, 4, 1), 0.5)
    valid = np.arange(4) < np.array([[4], [2]])
    np.testing.assert_allclose(memory_length(gates, valid), [(1.875 + 1.5) / 2], rtol=1e-12)


def test_a_hole_in_a_row_is_refused():
    with pytest.raises(ShapeError, match="valid is False at step 1 of row 0 and True after it"):
        memory_length([[0.5]] * 3, [True, False, True])


@pytest.mark.parametrize("share", [0, 1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(OptionError, match=r"share=.*between 0 and 1"):
        horizon([[0.5]], share=share)


def test_negative_lags_are_refused():
    with pytest.raises(OptionError, match="lags=-1"):
        retention_curve([[0.5]], lags=-1)


# what each paper's equations keep of the state, worked out by hand
KEPT = {
    "lstm": lambda v: v["f"],
    "lstm-1997": lambda v: torch.ones_like(v["c"]),
    "cifg": lambda v: 1 - v["i"],
    "gru": lambda v: v["z"],
    "mut1": lambda v: 1 - v["z"],
    "mingru": lambda v: 1 - v["z"],
    "slstm": lambda v: v["f"],
    "gru-d": lambda v: v["gamma_h"] * (1 - v["z"]),
}


@pytest.mark.parametrize("name", KEPT)
def test_the_forget_factor_is_what_the_papers_equations_keep(name):
    values, cell = traced(name)
    expected = KEPT[name](values).detach()
    np.testing.assert_allclose(forget_factor(values, cell), expected, atol=1e-6)


def traced(name: str):
    """The values of a layer over 5 steps of 2 rows, with the cell's inputs under their names."""
    layer = gated.Recurrent(name, 3, 4)
    inputs = {n: torch.rand(5, 2, 3).round() for n in layer.cell.graph.inputs}
    first, *others = inputs
    _, _, trace = layer(inputs[first], trace=True, **{n: inputs[n] for n in others})
    return {**trace.at(0), **inputs}, layer.cell


def test_a_factor_that_reads_an_input_takes_it_by_name():
    values, cell = traced("gru-d")
    kept = forget_factor(values, cell, "x_last")
    np.testing.assert_array_equal(kept, 1 - values["mask"])
    del values["mask"]
    with pytest.raises(OptionError, match="x_last is kept depends on mask, which is not in values"):
        forget_factor(values, cell, "x_last")


def test_a_factor_that_reads_a_parameter_takes_it_by_name():
    class Leaky(Cell):
        def step(self, x, h):
            h = sigmoid(b.a) * h + W @ x
            return h

    layer = gated.Recurrent(Leaky, 3, 4)
    _, _, trace = layer(torch.randn(5, 2, 3), trace=True)
    found = forget_factor({**trace.at(0), **by_symbol(layer)}, layer.cell)
    expected = torch.sigmoid(layer.bias_l0).detach().expand(5, 2, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_cell_that_keeps_nothing_has_no_forget_factor():
    with pytest.raises(OptionError, match=r"rnn: no state keeps a share of its last value"):
        forget_factor({"h": torch.zeros(2, 1, 3)}, gated.cell("rnn"))


def test_a_state_that_keeps_nothing_is_refused_by_name():
    values, cell = traced("lstm")
    with pytest.raises(OptionError, match=r"lstm: state 'h' keeps no share .* these do: c"):
        forget_factor(values, cell, "h")
