"""`trace=True` shows every gate and state, where and when it was."""

import pytest
import torch
from cell_cases import as_hx, as_states, layer_of, random_states, sequences

import gated
from gated.equations import Cell, U, W, b, sigmoid, tanh

T, B, D, H = 6, 3, 4, 5


def gates_by_hand(lstm, x, h, c):
    """The textbook's LSTM, one step."""
    rows = x @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + h @ lstm.weight_hh_l0.T + lstm.bias_hh_l0
    i, f, g, o = rows.chunk(4, dim=-1)
    return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_lstm_shows_the_gates_that_were_computed_by_hand(batch_first):
    lstm = gated.LSTM(D, H, batch_first=batch_first)
    x = torch.randn(T, B, D)
    output, _, trace = lstm(x.transpose(0, 1) if batch_first else x, trace=True)
    assert set(trace) == {"i", "f", "g", "o", "c", "h"}
    assert trace["f"].shape == ((B, T, H) if batch_first else (T, B, H))
    assert torch.equal(trace["h"], output)
    shown = {k: v.transpose(0, 1) if batch_first else v for k, v in trace.items()}
    h = c = torch.zeros(B, H)
    for t in range(T):
        i, f, g, o = gates_by_hand(lstm, x[t], h, c)
        c = f * c + i * g
        h = o * c.tanh()
        for name, value in {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}.items():
            torch.testing.assert_close(shown[name][t], value, msg=f"{name} at step {t}")


def test_a_gru_shows_the_gates_that_were_computed_by_hand():
    gru = gated.GRU(D, H)
    x = torch.randn(T, B, D)
    _, _, trace = gru(x, trace=True)
    h = torch.zeros(B, H)
    for t in range(T):
        a = (x[t] @ gru.weight_ih_l0.T + gru.bias_ih_l0).chunk(3, dim=-1)
        u = (h @ gru.weight_hh_l0.T + gru.bias_hh_l0).chunk(3, dim=-1)
        r, z = (a[0] + u[0]).sigmoid(), (a[1] + u[1]).sigmoid()
        n = (a[2] + r * u[2]).tanh()
        h = (1 - z) * n + z * h
        for name, value in {"r": r, "z": z, "n": n, "h": h}.items():
            torch.testing.assert_close(trace[name][t], value, msg=f"{name} at step {t}")


def test_the_cell_state_is_what_the_gates_make_of_it():
    lstm = gated.LSTM(D, H)
    states = random_states(lstm, B)
    _, (_, c_n), trace = lstm(torch.randn(T, B, D), as_hx(states), trace=True)
    before = torch.cat([states[1], trace["c"][:-1]])
    torch.testing.assert_close(trace["c"], trace["f"] * before + trace["i"] * trace["g"])
    assert torch.equal(trace["c"][-1:], c_n)


@pytest.mark.parametrize("cell", gated.cells())
def test_tracing_changes_no_result(cell):
    layer = layer_of(cell, "auto", num_layers=2, bidirectional=True)
    inputs = sequences(layer, T, B)
    plain, final = layer(**inputs, lengths=[6, 2, 4])
    output, last, _ = layer(**inputs, lengths=[6, 2, 4], trace=True)
    torch.testing.assert_close(output, plain)
    torch.testing.assert_close(last, final)


def test_several_layers_and_directions_are_lists_of_lists():
    lstm = gated.LSTM(D, H, num_layers=2, bidirectional=True)
    output, (_, c_n), trace = lstm(torch.randn(T, B, D), trace=True)
    assert (trace.num_layers, trace.num_directions) == (2, 2)
    assert [[v.shape for v in runs] for runs in trace["f"]] == [[(T, B, H)] * 2] * 2
    assert torch.equal(torch.cat(trace["h"][1], dim=-1), output)
    assert torch.equal(trace.at(1, 0)["c"][-1], c_n[2])
    assert torch.equal(trace.at(1, 1)["c"][0], c_n[3])


def test_steps_beyond_a_row_hold_0_and_the_last_one_is_its_final_state():
    lstm = gated.LSTM(D, H)
    _, (_, c_n), trace = lstm(torch.randn(T, B, D), lengths=[6, 0, 4], trace=True)
    assert not trace["f"][:, 1].any()
    assert not trace["f"][4:, 2].any()
    assert (trace["f"][:4, 2] > 0).all()
    assert torch.equal(trace["c"][3, 2], c_n[0, 2])


def test_an_unbatched_trace_has_no_batch_axis():
    _, _, trace = gated.LSTM(D, H)(torch.randn(T, D), trace=True)
    assert trace["f"].shape == (T, H)


def test_the_trace_of_a_packed_sequence_is_padded_in_the_callers_order():
    lstm = gated.LSTM(D, H)
    x, lengths = torch.randn(T, B, D), [2, 6, 4]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    _, _, trace = lstm(packed, trace=True)
    _, _, expected = lstm(x, lengths=lengths, trace=True)
    for name in expected:
        assert torch.equal(trace[name], expected[name]), name


@pytest.mark.parametrize("shape", [(0, B), (T, 0)])
def test_the_trace_of_nothing_has_the_right_shapes(shape):
    lstm = gated.LSTM(D, H, num_layers=2)
    _, _, trace = lstm(torch.randn(*shape, D), trace=True)
    assert [v.shape for (v,) in trace["f"]] == [(*shape, H)] * 2


def test_gradients_flow_through_a_trace():
    lstm = gated.LSTM(D, H)
    x = torch.randn(T, B, D, requires_grad=True)
    _, _, trace = lstm(x, trace=True)
    trace["f"][2].sum().backward()
    assert x.grad[:3].abs().sum() > 0
    assert not x.grad[3:].any()


def test_a_gate_that_depends_on_weights_alone_is_shown_at_every_step():
    class Fixed(Cell):
        def step(self, x, h):
            f = sigmoid(b.f)
            h = f * h + (1 - f) * tanh(W @ x)
            return h

    for bias in (True, False):
        layer = gated.Recurrent(Fixed, D, H, bias=bias)
        _, _, trace = layer(torch.randn(T, B, D), lengths=[6, 2, 4], trace=True)
        expected = torch.sigmoid(layer.bias_l0) if bias else torch.full((H,), 0.5)
        torch.testing.assert_close(trace["f"][0, 0], expected)
        assert torch.equal(trace["f"][:2], trace["f"][:1, :1].expand(2, B, H))
        assert not trace["f"][2:, 1].any()


def test_a_gate_that_depends_on_the_input_alone_is_shown():
    class Input(Cell):
        def step(self, x, h):
            z = sigmoid(W.z @ x + b.z)
            h = z * h + (1 - z) * tanh(U @ h)
            return h

    layer, x = gated.Recurrent(Input, D, H), torch.randn(T, B, D)
    _, _, trace = layer(x, trace=True)
    torch.testing.assert_close(
        trace["z"], torch.sigmoid(x @ layer.weight_ih_l0[:H].T + layer.bias_l0)
    )


def test_a_name_that_is_not_there_says_which_are():
    _, _, trace = gated.GRU(D, H)(torch.randn(T, B, D), trace=True)
    with pytest.raises(KeyError, match="'f' is not traced, these are: r, z, n, h"):
        trace["f"]


@pytest.mark.parametrize("cell", gated.cells())
def test_the_last_values_of_the_states_are_the_final_states(cell):
    layer = layer_of(cell, "auto")
    _, final, trace = layer(**sequences(layer, T, B), trace=True)
    for state, value in zip(layer.cell.states, as_states(final), strict=True):
        assert torch.equal(trace[state.name][-1:], value)


@pytest.mark.parametrize("place", [(2, 0), (0, 1), (-1, 0)])
def test_a_place_that_was_not_traced_says_which_were(place):
    _, _, trace = gated.LSTM(D, H, num_layers=2)(torch.randn(T, B, D), trace=True)
    with pytest.raises(IndexError, match="there are 2 layers and 1 directions"):
        trace.at(*place)


@pytest.mark.parametrize("cell", gated.cells())
def test_a_trace_of_ragged_rows_is_that_of_each_row_alone(cell):
    layer = layer_of(cell, "auto", bidirectional=True)
    inputs, lengths = sequences(layer, T, B), [6, 2, 4]
    _, _, trace = layer(**inputs, lengths=lengths, trace=True)
    for row, length in enumerate(lengths):
        alone = {name: value[:length, row] for name, value in inputs.items()}
        _, _, expected = layer(**alone, trace=True)
        for direction in (0, 1):
            for name, value in expected.at(0, direction).items():
                shown = trace.at(0, direction)[name][:, row]
                torch.testing.assert_close(shown[:length], value)
                assert not shown[length:].any()
