"""`residual`: every layer but the first adds the output of the one below to its own."""

import pytest
import torch
from cell_cases import as_hx, as_states, layer_of, random_states, sequences

import gated
from gated.errors import OptionError

T, B, D, H = 6, 4, 4, 5
LENGTHS = [6, 0, 4, 1]


def layer_alone(stack, index, **options):
    """One layer of a stack, in all its directions."""
    names = [n for n in stack.state_dict() if n.endswith((f"_l{index}", f"_l{index}_reverse"))]
    width = stack.get_parameter(f"weight_ih_l{index}").shape[1]
    own = layer_of(
        stack.cell.name, "reference", (width, H, 3), bidirectional=stack.bidirectional,
        dtype=torch.float64, merge=stack.merge, **options,
    )  # fmt: skip
    weights = {n.replace(f"_l{index}", "_l0"): stack.state_dict()[n] for n in names}
    own.load_state_dict(weights)
    return own


@pytest.mark.parametrize(
    ("cell", "engine"),
    [("lstm", "torch"), ("lstm", "reference"), ("gru", "torch"), ("slstm", "reference"),
     ("lstmp", "torch"), ("t-lstm", "reference")],
)  # fmt: skip
@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True}, {"bidirectional": True, "merge": "mean"}],
    ids=["one direction", "two", "two, merged"],
)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_a_residual_stack_is_its_layers_added_by_hand(cell, engine, options, lengths):
    stack = layer_of(cell, engine, num_layers=3, residual=True, dtype=torch.float64, **options)
    inputs = sequences(stack, T, B, dtype=torch.float64)
    states = random_states(stack, B, dtype=torch.float64)
    output, final = stack(**inputs, hx=as_hx(states), lengths=lengths)
    value, finals, each = inputs["x"], [], stack.num_directions
    for index in range(3):
        own = as_hx([s[index * each : (index + 1) * each] for s in states])
        result, last = layer_alone(stack, index)(**{**inputs, "x": value}, hx=own, lengths=lengths)
        value = result + value if index else result
        finals.append(as_states(last))
    torch.testing.assert_close(output, value, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(as_states(final), zip(*finals, strict=True), strict=True):
        torch.testing.assert_close(mine, torch.cat(theirs), rtol=1e-12, atol=1e-12)


def test_the_first_layer_adds_nothing_whatever_its_width():
    layer = gated.LSTM(H, H, num_layers=2, residual=True)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    assert not layer(torch.randn(T, B, H))[0].any()


def test_padding_stays_0():
    layer = gated.GRU(D, H, num_layers=2, residual=True, bidirectional=True)
    beyond = torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)
    x = torch.randn(T, B, D).masked_fill(beyond.unsqueeze(-1), float("nan"))
    output, _ = layer(x, lengths=LENGTHS)
    assert not output[beyond].any()
    assert torch.isfinite(output).all()


def test_a_stream_of_steps_is_one_run():
    layer, x = gated.LSTM(D, H, num_layers=3, residual=True), torch.randn(T, B, D)
    expected, last = layer(x)
    state, outputs = None, []
    for t in range(T):
        output, state = layer.step(x[t], state)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs), expected)
    torch.testing.assert_close(state, last)


def test_resets_reach_every_layer():
    layer, x = gated.LSTM(D, H, num_layers=3, residual=True), torch.randn(T, B, D)
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[2] = True
    output, (h, _) = layer(x, resets=resets)
    before, _ = layer(x[:2])
    after, (h_last, _) = layer(x[2:])
    torch.testing.assert_close(output, torch.cat([before, after]))
    torch.testing.assert_close(h, h_last)


def test_a_trace_shows_the_layers_own_outputs_not_the_sums():
    layer, x = gated.LSTM(D, H, num_layers=2, residual=True), torch.randn(T, B, D)
    output, _, trace = layer(x, trace=True)
    torch.testing.assert_close(trace.at(0)["h"] + trace.at(1)["h"], output)


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_dropout_is_for_what_a_layer_reads_not_for_what_is_added(engine):
    layer = gated.LSTM(D, H, num_layers=2, residual=True, dropout=1.0, engine=engine)
    below, above = gated.LSTM(D, H), gated.LSTM(H, H)
    weights = layer.state_dict()
    below.load_state_dict({k: v for k, v in weights.items() if k.endswith("l0")})
    above.load_state_dict({k.replace("l1", "l0"): v for k, v in weights.items() if "l1" in k})
    x = torch.randn(T, B, D)
    value = below(x)[0]
    torch.testing.assert_close(layer(x)[0], above(torch.zeros_like(value))[0] + value)
    torch.testing.assert_close(layer.eval()(x)[0], above(value)[0] + value)


def test_dropout_drops_at_its_rate_and_scales_what_is_left():
    rate, size = 0.3, 64
    layer = gated.Recurrent("rnn-relu", size, size, 2, bias=False, residual=True, dropout=rate)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(torch.eye(size) if "ih" in name else torch.zeros(size, size))
    # with these weights the output is what the second layer read, plus the 1 that is added
    read = layer(torch.ones(20, 16, size))[0] - 1
    kept = read > 0
    count = kept.numel()
    assert abs(float(kept.float().mean()) - (1 - rate)) < 5 * (rate * (1 - rate) / count) ** 0.5
    torch.testing.assert_close(read[kept], torch.full_like(read[kept], 1 / (1 - rate)))
    assert not layer.eval()(torch.ones(2, 3, size))[0].sub(2).any()


def test_a_single_layer_has_nothing_to_add():
    with pytest.raises(OptionError, match="use num_layers > 1"):
        gated.LSTM(D, H, num_layers=1, residual=True)


def test_a_flag_is_true_or_false():
    with pytest.raises(OptionError, match="residual is 1"):
        gated.LSTM(D, H, num_layers=2, residual=1)
