"""`proj_size`: an output of fewer units than the memory, for any cell whose output is no memory."""

import pytest
import torch
from cell_cases import as_hx, as_states, random_states
from episodes import weigh
from torch import nn

import gated
from gated.errors import CellError, OptionError

T, B, D, H, P = 5, 4, 3, 5, 2
LENGTHS = [5, 0, 3, 1]


def run(layer, x, states, **options):
    """Outputs, states and gradients of one call."""
    output, final = layer(x, as_hx(states), **options)
    gradients = torch.autograd.grad(weigh(output, final), [x, *states, *layer.parameters()])
    return [output, *as_states(final), *gradients]


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_a_projected_lstm_is_that_of_torch_nn(engine, layers, bidirectional, bias):
    theirs = nn.LSTM(
        D, H, layers, bias, bidirectional=bidirectional, proj_size=P, dtype=torch.float64
    )
    ours = gated.Recurrent(
        "lstm", D, H, layers, bias, bidirectional=bidirectional, proj_size=P,
        dtype=torch.float64, engine=engine,
    )  # fmt: skip
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    rows = layers * (1 + bidirectional)
    states = [
        torch.randn(rows, B, n, dtype=torch.float64, requires_grad=True) for n in (P, H)
    ]  # fmt: skip
    for mine, other in zip(run(ours, x, states), run(theirs, x, states), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_the_named_cell_and_the_option_are_one():
    named = gated.Recurrent("lstmp", D, H, 2, P=P)
    option = gated.LSTM(D, H, 2, proj_size=P)
    option.load_state_dict(named.state_dict(), strict=True)
    x = torch.randn(T, B, D)
    assert torch.equal(option(x)[0], named(x)[0])


def peephole_step(own, x, h, c):
    i, f, g, o = (x @ own["weight_ih"].T + h @ own["weight_hh"].T + own["bias"]).chunk(4, -1)
    p_i, p_f, p_o = own["p"].chunk(3)
    c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
    return ((o + p_o * c).sigmoid() * c.tanh()) @ own["R"].T, c


def normalised_step(own, x, h, c):
    def normal(value):
        return nn.functional.layer_norm(value, value.shape[-1:])

    a, u = normal(x @ own["weight_ih"].T), normal(h @ own["weight_hh"].T)
    i, f, g, o = (own["gain_x"] * a + own["gain_h"] * u + own["bias"][: 4 * H]).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    output = o.sigmoid() * (own["gain_c"] * normal(c) + own["bias"][4 * H :]).tanh()
    return output @ own["R"].T, c


def slstm_step(own, x, h, c, n, m):
    i, f, z, o = (x @ own["weight_ih"].T + h @ own["weight_hh"].T + own["bias"]).chunk(4, -1)
    log_f = nn.functional.logsigmoid(f)
    later = torch.maximum(log_f + m, i)
    i, f = (i - later).exp(), (log_f + m - later).exp()
    c, n = f * c + i * z.tanh(), f * n + i
    return (o.sigmoid() * c / n) @ own["R"].T, c, n, later


STEPS = {"peephole": peephole_step, "layernorm-lstm": normalised_step, "slstm": slstm_step}


@pytest.mark.parametrize("cell", STEPS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_other_cells_are_projected_as_by_hand(cell, lengths):
    layer = gated.Recurrent(cell, D, H, proj_size=P, dtype=torch.float64)
    assert layer.R_l0.shape == (P, H)
    assert layer.weight_hh_l0.shape == (4 * H, P)
    own = {name.removesuffix("_l0"): value for name, value in layer.named_parameters()}
    x = torch.randn(T, B, D, dtype=torch.float64)
    states = random_states(layer, B, dtype=torch.float64)
    output, final = layer(x, as_hx(states), lengths=lengths)
    for row, length in enumerate(lengths or [T] * B):
        now = [state[0, row] for state in states]
        for t in range(length):
            now = STEPS[cell](own, x[t, row], *now)
            torch.testing.assert_close(output[t, row], now[0], rtol=1e-9, atol=1e-9)
        for state, value in zip(as_states(final), now, strict=True):
            torch.testing.assert_close(state[0, row], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cell", STEPS)
def test_layers_above_read_the_projected_output(cell):
    layer = gated.Recurrent(cell, D, H, num_layers=2, bidirectional=True, proj_size=P)
    output, final = layer(torch.randn(T, B, D))
    assert output.shape == (T, B, 2 * P)
    assert layer.weight_ih_l1.shape == (4 * H, 2 * P)
    assert [s.shape[-1] for s in final] == [P, *[H] * (len(final) - 1)]


def test_a_projected_layer_streams_truncates_resets_and_normalises_its_merge():
    layer = gated.LSTM(D, H, num_layers=2, proj_size=P, residual=True)
    x = torch.randn(T, B, D)
    whole, final = layer(x)
    torch.testing.assert_close(layer(x, truncate=2), (whole, final))
    state = None
    for t in range(T):
        output, state = layer.step(x[t], state)
        torch.testing.assert_close(output, whole[t])
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[2] = True
    torch.testing.assert_close(layer(x, resets=resets)[0][2:], layer(x[2:])[0])


def test_regularisers_act_on_the_projected_cell():
    layer = gated.Recurrent(gated.zoneout("lstm", h=0.5), D, H, proj_size=P)
    _, (h, c), trace = layer(torch.randn(40, 40, D), trace=True)
    assert (h.shape[-1], c.shape[-1]) == (P, H)
    kept = float((trace["h"][1:] == trace["h"][:-1]).double().mean())
    assert abs(kept - 0.5) < 5 * 0.5 / (39 * 40 * P) ** 0.5


def test_convolutions_project_pixel_by_pixel():
    layer = gated.ConvLSTM(D, H, 3, proj_size=P)
    output, (h, c) = layer(torch.randn(T, B, D, 4, 5))
    assert output.shape == (T, B, P, 4, 5)
    assert (h.shape, c.shape) == ((1, B, P, 4, 5), (1, B, H, 4, 5))


# What is refused


@pytest.mark.parametrize("cell", ["gru", "gru-reset-before", "rnn", "minlstm", "mingru", "mut1"])
def test_an_output_that_is_the_memory_cannot_be_projected(cell):
    with pytest.raises(CellError, match=f"cell {cell} cannot be projected: .*memory"):
        gated.Recurrent(cell, D, H, proj_size=P)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"proj_size": H}, ValueError, "proj_size is 5, expected less than hidden_size = 5"),
        ({"proj_size": 9}, ValueError, "proj_size is 9, expected less"),
        ({"proj_size": -1}, ValueError, "proj_size is -1, expected at least 0"),
        ({"proj_size": 2.0}, TypeError, "proj_size is 2.0"),
        ({"proj_size": True}, TypeError, "proj_size is True"),
        ({"proj_size": P, "P": 3}, ValueError, "proj_size=2 and P=3 say the same: give one"),
    ],
)
def test_sizes_that_make_no_sense_are_named(options, error, says):
    with pytest.raises(error, match=says) as caught:
        gated.Recurrent("lstm", D, H, **options)
    assert isinstance(caught.value, OptionError)


def test_what_is_projected_already_is_not_projected_again():
    with pytest.raises(CellError, match="its output h has P units already"):
        gated.Recurrent("lstmp", D, H, proj_size=P)
