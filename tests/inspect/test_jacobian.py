"""State Jacobians against autograd through whole windows, matrix powers and eigenvalues."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gated
from gated.errors import OptionError, ShapeError
from gated.inspect.measures import (
    forget_factor,
    jacobian_norms,
    lyapunov_exponents,
    retention,
    state_jacobian,
)

D, H = 3, 4


def hand_written_lstm(theirs: torch.nn.LSTM, x, state):
    """The LSTM of the textbook over x (T, D), from state (2H,) to state (2H,)."""
    h, c = state.chunk(2)
    for step in x:
        gates = theirs.weight_ih_l0 @ step + theirs.weight_hh_l0 @ h
        gates = gates + theirs.bias_ih_l0 + theirs.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return torch.cat([h, c])


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(1)
    theirs = torch.nn.LSTM(D, H, dtype=torch.float64).requires_grad_(False)
    for p in theirs.parameters():
        p *= 2
    ours = gated.LSTM(D, H, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(9, D, dtype=torch.float64)
    start = torch.zeros(2 * H, dtype=torch.float64)
    before = [start]
    for t in range(9):
        before.append(hand_written_lstm(theirs, x[t : t + 1], before[-1]))

    def truth(lag, end=8):
        window = x[end + 1 - lag : end + 1]
        return torch.autograd.functional.jacobian(
            lambda s: hand_written_lstm(theirs, window, s), before[end + 1 - lag]
        ).numpy()

    return ours, x, truth


@pytest.mark.parametrize(("lag", "end"), [(1, 8), (5, 8), (9, 8), (3, 4)])
def test_it_is_autograds_through_a_hand_written_lstm(pair, lag, end):
    ours, x, truth = pair
    np.testing.assert_allclose(state_jacobian(ours, x, lag, end), truth(lag, end), atol=1e-13)


def test_blocks_are_cut_out_of_the_whole_product(pair):
    ours, x, truth = pair
    np.testing.assert_allclose(state_jacobian(ours, x, 4, of="h", by="c"), truth(4)[:H, H:],
                               atol=1e-13)  # fmt: skip
    swapped = state_jacobian(ours, x, 4, of=("c", "h"))
    np.testing.assert_allclose(swapped, np.roll(truth(4), H, axis=0), atol=1e-13)


@pytest.mark.parametrize(("norm", "order"), [("spectral", 2), ("frobenius", "fro")])
def test_norms_are_those_of_the_matrices(pair, norm, order):
    ours, x, truth = pair
    found = jacobian_norms(ours, x, lags=9, norm=norm)
    expected = [np.linalg.norm(truth(k), order) for k in range(1, 10)]
    np.testing.assert_allclose(found[1:], expected, rtol=1e-10)
    np.testing.assert_allclose(found[0], np.linalg.norm(np.eye(2 * H), order))


def test_norms_of_a_block_are_those_of_the_block(pair):
    ours, x, truth = pair
    found = jacobian_norms(ours, x, lags=4, of="c", by="h")
    expected = [np.linalg.norm(truth(k)[H:, :H], 2) for k in range(1, 5)]
    np.testing.assert_allclose(found, [0, *expected], rtol=1e-10)


def test_every_pair_of_steps_at_once(pair):
    ours, x, _ = pair
    found = jacobian_norms(ours, x, range(9), lags=3)
    assert found.shape == (9, 4)
    np.testing.assert_array_equal(found[6], jacobian_norms(ours, x, 6, lags=3))
    np.testing.assert_array_equal(np.isnan(found[1]), [False, False, False, True])


def test_a_float32_layer_is_measured_in_float64(pair):
    ours, x, truth = pair
    single = gated.LSTM(D, H)
    single.load_state_dict(ours.state_dict())
    found = state_jacobian(single, x.float(), 3)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, truth(3), atol=1e-6)


def test_it_starts_from_the_state_that_is_given(pair):
    ours, x, truth = pair
    _, (h, c) = ours(x[:4])
    later = state_jacobian(ours, x[4:], 5, initial={"h": h[0], "c": c[0]})
    np.testing.assert_allclose(later, truth(5), atol=1e-13)


@pytest.mark.parametrize("name", gated.cells())
def test_of_every_cell_it_is_autograds_through_the_window(name):
    torch.manual_seed(0)
    sizes = {"P": 3} if name == "lstmp" else {}
    width = H if name == "mut2" else D
    layer = gated.Recurrent(name, width, H, dtype=torch.float64, engine="reference", **sizes)
    sizes_of = layer.cell.graph.input_sizes
    values = {n: torch.rand(6, 1 if sizes_of[n] == 1 else width, dtype=torch.float64)
              for n in sizes_of}  # fmt: skip
    if "mask" in values:
        values["mask"] = values["mask"].round()
    first, *others = values
    run = lambda span, state: layer(  # noqa: E731
        values[first][span], state, **{n: values[n][span] for n in others}
    )[1]
    many = len(layer.cell.states) > 1
    before = run(slice(0, 2), None)
    before = before if many else (before,)

    def window(*states):
        return run(slice(2, 6), states if many else states[0])

    blocks = torch.autograd.functional.jacobian(window, before)
    blocks = blocks if many else (blocks,)
    rows = [torch.cat([b.reshape(b.shape[1], -1) for b in row], 1) for row in blocks]
    further = {n: values[n] for n in others}
    found = state_jacobian(layer, values[first], 4, **further)
    np.testing.assert_allclose(found, torch.cat(rows), atol=1e-12)


@pytest.mark.parametrize("maps", ["diagonal", gated.Heads(2)])
def test_other_maps_have_their_own_dynamics(maps):
    torch.manual_seed(0)
    layer = gated.LSTM(D, H, maps={"U": maps}, dtype=torch.float64)
    found = state_jacobian(layer, torch.randn(5, D), 3)
    if maps == "diagonal":
        off = found.reshape(2, H, 2, H) * (1 - np.eye(H))[None, :, None]
    else:
        parts = np.kron(np.eye(2), np.ones((2, 2)))
        off = found.reshape(2, H, 2, H) * (1 - parts)[None, :, None]
    assert np.abs(found).max() > 0
    np.testing.assert_array_equal(off, 0)


def test_a_layer_of_a_stack_and_its_reverse_direction_are_looked_at_alone():
    torch.manual_seed(0)
    stack = gated.LSTM(D, H, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(6, 2 * H, dtype=torch.float64)
    single = gated.LSTM(2 * H, H, dtype=torch.float64)
    single.load_state_dict(
        {n: getattr(stack, n.replace("l0", "l1_reverse")) for n in single.state_dict()}
    )
    found = state_jacobian(stack, x, 4, index=1, direction=1)
    np.testing.assert_array_equal(found, state_jacobian(single, x.flip(0), 4))


def linear_rnn(matrix) -> gated.Recurrent:
    """h = relu(x + U h): linear as long as nothing falls below 0."""
    layer = gated.RNN(len(matrix), len(matrix), nonlinearity="relu", bias=False,
                      dtype=torch.float64)  # fmt: skip
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.as_tensor(matrix))
        torch.nn.init.eye_(layer.weight_ih_l0)
    return layer


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_of_a_linear_rnn_it_is_the_matrix_to_the_power_of_the_lag(seed):
    matrix = np.random.default_rng(seed).uniform(0, 0.6, (3, 3))
    norms = jacobian_norms(linear_rnn(matrix), torch.ones(12, 3), lags=10)
    powers = [np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(11)]
    np.testing.assert_allclose(norms, powers, rtol=1e-10)


def test_exponents_of_a_linear_rnn_are_the_logarithms_of_its_eigenvalues():
    draw = np.random.default_rng(0)
    q, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    matrix = q @ np.diag([0.9, 0.5, 0.2]) @ q.T
    layer = linear_rnn(matrix)
    found = lyapunov_exponents(layer, torch.full((400, 3), 50.0), skip=100)
    np.testing.assert_allclose(found, np.log([0.9, 0.5, 0.2]), atol=1e-9)


def test_exponents_sum_to_the_mean_logarithm_of_the_determinant(pair):
    ours, x, truth = pair
    found = lyapunov_exponents(ours, x)
    logs = [np.linalg.slogdet(truth(1, t))[1] for t in range(9)]
    assert found.sum() == pytest.approx(np.mean(logs), rel=1e-9)


def test_the_largest_exponent_bounds_and_nears_the_mean_log_norm():
    torch.manual_seed(0)
    layer, x = gated.LSTM(D, H, forget_bias=2.0), torch.randn(300, D)
    rate = np.log(jacobian_norms(layer, x, lags=299)[-1]) / 299
    assert lyapunov_exponents(layer, x)[0] == pytest.approx(rate, abs=0.02)


def test_a_thousand_steps_of_decay_do_not_vanish_on_the_way():
    layer = linear_rnn(np.diag([0.5, 0.25]))
    norms = jacobian_norms(layer, torch.ones(1001, 2), lags=1000)
    np.testing.assert_allclose(np.log(norms[[10, 1000]]), np.log(0.5) * np.array([10, 1000]))


def test_where_h_is_not_seen_the_jacobian_of_c_is_the_product_of_forget_gates():
    """Without U the direct path is the only one, so that both measures must agree."""
    layer = gated.LSTM(D, H, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight_hh_l0)
    x = torch.randn(7, D, dtype=torch.float64)
    _, _, trace = layer(x, trace=True)
    left = retention(forget_factor(trace.at(0), layer.cell))
    for k in range(6):
        found = state_jacobian(layer, x, k, of="c", by="c")
        np.testing.assert_allclose(found, np.diag(left[6 - k]), atol=1e-14)


def test_the_worked_example_has_more_than_its_direct_path():
    """dC4/dC1 = .9515 along all paths: by c_1 with h_1 held, and through h_1 = o tanh(c_1)."""
    layer = gated.LSTM(2, 2, bias=False, dtype=torch.float64)
    for weight in layer.parameters():
        torch.nn.init.constant_(weight, 0.5)
    words = torch.tensor([[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]], dtype=torch.float64)
    _, _, trace = layer(words, trace=True)
    o, c = trace["o"][0].detach().numpy(), trace["c"][0].detach().numpy()
    held = state_jacobian(layer, words, 3, of="c", by="c").sum(axis=0)
    through = (
        state_jacobian(layer, words, 3, of="c", by="h").sum(axis=0) * o * (1 - np.tanh(c) ** 2)
    )
    np.testing.assert_allclose(held, 0.6075, atol=1e-4)
    np.testing.assert_allclose(held + through, 0.9515, atol=1e-4)


def test_a_layer_in_training_is_measured_as_in_evaluation_and_left_alone():
    layer = gated.Recurrent(gated.zoneout("lstm", h=0.5, c=0.5), D, H)
    x = torch.randn(5, D)
    np.testing.assert_array_equal(state_jacobian(layer, x, 3), state_jacobian(layer.eval(), x, 3))
    assert all(p.requires_grad and p.grad is None for p in layer.parameters())


def test_random_numbers_are_left_as_they_were():
    layer, x = gated.LSTM(D, H), torch.randn(5, D)
    before = torch.get_rng_state()
    jacobian_norms(layer, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_stabilisers_infinite_start_is_looked_back_on_without_nan():
    layer = gated.Recurrent("slstm", D, H)
    assert np.isfinite(jacobian_norms(layer, torch.randn(5, D), lags=5)).all()


@pytest.mark.parametrize(
    ("kwargs", "error", "said"),
    [
        ({"lag": 6}, OptionError, "lag 6 from step 4: expected 0 to 5"),
        ({"lag": -1}, OptionError, "lag -1"),
        ({"lag": 1, "end": 5}, OptionError, "end=5: x has 5 steps"),
        ({"lag": 1, "of": "m"}, OptionError, "there is no state 'm'; it has h, c"),
        ({"lag": 1, "index": 1}, OptionError, "layer 1, direction 0 is not there"),
        ({"lag": 1, "x": torch.zeros(5, 2, D)}, ShapeError, r"shape \(5, 2, 3\), expected one seq"),
        ({"lag": 1, "x": torch.zeros(0, D)}, ShapeError, "at least one step"),
        ({"lag": 1, "x": torch.zeros(5, 7)}, ShapeError, "7"),
        ({"lag": 1, "initial": {"h": torch.zeros(H)}}, OptionError, "initial has h, expected h, c"),
    ],
)  # fmt: skip
def test_what_cannot_be_derived_is_refused(kwargs, error, said):
    kwargs = {"x": torch.zeros(5, D), **kwargs}
    with pytest.raises(error, match=said):
        state_jacobian(gated.LSTM(D, H), **kwargs)


def test_an_unknown_norm_is_refused():
    with pytest.raises(OptionError, match="norm='l1': expected one of 'spectral', 'frobenius'"):
        jacobian_norms(gated.LSTM(D, H), torch.zeros(5, D), norm="l1")


def test_convolutional_layers_are_refused():
    layer = gated.ConvLSTM(1, 2, kernel_size=3)
    with pytest.raises(OptionError, match="convolutional layers are not offered"):
        state_jacobian(layer, torch.zeros(5, 1), 1)


def test_no_step_left_to_count_is_refused():
    with pytest.raises(OptionError, match="skip=5: expected 0 to 4"):
        lyapunov_exponents(gated.LSTM(D, H), torch.zeros(5, D), skip=5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_derivatives_are_taken_in_modes_that_take_none(mode):
    layer, x = gated.LSTM(D, H), torch.randn(5, D, dtype=torch.float64)
    wanted = state_jacobian(layer, x, 3)
    with mode():
        np.testing.assert_array_equal(state_jacobian(layer, x.clone(), 3), wanted)


def test_a_sequence_with_nan_is_refused():
    x = torch.zeros(5, D)
    x[3] = torch.nan
    with pytest.raises(ShapeError, match="x is NaN or infinite at step 3"):
        jacobian_norms(gated.LSTM(D, H), x)
