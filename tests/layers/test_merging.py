"""`merge`: the outputs of two directions become one, as two layers of one direction show."""

import pytest
import torch
from cell_cases import as_hx, as_states, each, layer_of, random_states, sequences
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gated
from gated.errors import OptionError

T, B, D, H = 6, 4, 4, 5
LENGTHS = [6, 0, 4, 1]
HOW = {
    "concat": lambda a, b: torch.cat([a, b], dim=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "mul": lambda a, b: a * b,
}
CELLS = [
    ("lstm", "torch"), ("lstm", "reference"), ("gru", "torch"), ("slstm", "reference"),
    ("lstmp", "torch"), ("t-lstm", "reference"), ("gru-d", "reference"),
]  # fmt: skip
every_merge = pytest.mark.parametrize("merge", HOW)


def turned(value, lengths):
    """Each row from its end to its start; what lies beyond stays where it is."""
    rows = [
        torch.cat([v[:n].flip(0), v[n:]]) for v, n in zip(value.unbind(1), lengths, strict=True)
    ]
    return torch.stack(rows, 1)


def single(layer, index, reverse):
    """One layer in one direction, with the weights that it has in a stack of two."""
    width = layer.get_parameter(f"weight_ih_l{index}").shape[1]
    own = layer_of(layer.cell.name, "reference", (width, layer.hidden_size, 3), dtype=torch.float64)
    ending = f"_l{index}{'_reverse' if reverse else ''}"
    own.load_state_dict(
        {
            name.removesuffix(ending) + "_l0": value
            for name, value in layer.state_dict().items()
            if name.endswith(ending)
        }
    )
    return own


def by_hand(layer, inputs, states, lengths):
    """Every layer's two directions as two layers, their outputs put together by hand."""
    finals, value = [], inputs["x"]
    for index in range(layer.num_layers):
        read, outputs = {**inputs, "x": value}, []
        for reverse in (False, True):
            place = 2 * index + reverse
            seen = each(lambda v: turned(v, lengths), read) if reverse else read
            own = as_hx([s[place : place + 1] for s in states])
            output, final = single(layer, index, reverse)(**seen, hx=own, lengths=lengths)
            outputs.append(turned(output, lengths) if reverse else output)
            finals.append(as_states(final))
        value = HOW[layer.merge](*outputs)
    return value, [torch.cat(rows) for rows in zip(*finals, strict=True)]


@pytest.mark.parametrize(("cell", "engine"), CELLS)
@every_merge
@pytest.mark.parametrize("lengths", [[T] * B, LENGTHS], ids=["full", "ragged"])
def test_a_stack_is_its_directions_merged_by_hand(cell, engine, merge, lengths):
    layer = layer_of(
        cell, engine, num_layers=2, bidirectional=True, merge=merge, dtype=torch.float64
    )  # fmt: skip
    inputs = sequences(layer, T, B, dtype=torch.float64)
    inputs["x"].requires_grad_()
    states = random_states(layer, B, dtype=torch.float64, requires_grad=True)
    output, final = layer(**inputs, hx=as_hx(states), lengths=lengths)
    expected, last = by_hand(layer, inputs, states, lengths)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(as_states(final), last, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    wanted = [inputs["x"], *states]
    weight = torch.randn_like(output)
    mine = torch.autograd.grad((output * weight).sum(), wanted)
    theirs = torch.autograd.grad((expected * weight).sum(), wanted)
    for one, two in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@every_merge
def test_padding_is_0_and_what_it_holds_changes_nothing(merge):
    layer = gated.LSTM(D, H, num_layers=2, bidirectional=True, merge=merge)
    beyond = torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)
    x = torch.randn(T, B, D)
    output, final = layer(x, lengths=LENGTHS)
    spoiled, last = layer(x.masked_fill(beyond.unsqueeze(-1), float("nan")), lengths=LENGTHS)
    assert not output[beyond].any()
    assert torch.equal(spoiled, output)
    assert torch.equal(last[1], final[1])


@pytest.mark.parametrize(("merge", "width"), [("concat", 2 * H), ("sum", H), ("mean", H)])
def test_outputs_have_the_merged_width_and_states_one_row_for_each_direction(merge, width):
    layer = gated.LSTM(D, H, num_layers=3, bidirectional=True, merge=merge, batch_first=True)
    output, (h, c) = layer(torch.randn(B, T, D))
    assert output.shape == (B, T, width)
    assert h.shape == c.shape == (6, B, H)
    assert layer.weight_ih_l1.shape == layer.weight_ih_l2_reverse.shape == (4 * H, width)
    assert layer(torch.randn(T, D))[0].shape == (T, width)


def test_a_trace_shows_each_direction_before_the_merge():
    layer = gated.LSTM(D, H, num_layers=2, bidirectional=True, merge="mul")
    output, (h, _), trace = layer(torch.randn(T, B, D), trace=True)
    torch.testing.assert_close(trace.at(1, 0)["h"] * trace.at(1, 1)["h"], output)
    assert torch.equal(trace.at(0, 1)["h"][0], h[1])


@every_merge
def test_a_packed_sequence_comes_back_merged_and_packed(merge):
    layer = gated.LSTM(D, H, num_layers=2, bidirectional=True, merge=merge)
    x, lengths = torch.randn(T, B, D), [3, 6, 1, 4]
    packed, (h, _) = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    expected, (last, _) = layer(x, lengths=lengths)
    assert torch.equal(pad_packed_sequence(packed)[0], expected)
    assert torch.equal(h, last)


@every_merge
@pytest.mark.parametrize("shape", [(0, B), (T, 0)], ids=["T=0", "B=0"])
def test_nothing_in_nothing_out(merge, shape):
    layer = gated.LSTM(D, H, num_layers=2, bidirectional=True, merge=merge)
    output, (h, _) = layer(torch.randn(*shape, D))
    assert output.shape == (*shape, H * (2 if merge == "concat" else 1))
    assert h.shape == (4, shape[1], H)


def test_a_state_dict_of_torch_nn_loads_where_one_layer_is_merged():
    theirs = torch.nn.LSTM(D, H, bidirectional=True)
    ours = gated.LSTM(D, H, bidirectional=True, merge="sum")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(T, B, D)
    first, second = theirs(x)[0].chunk(2, dim=-1)
    torch.testing.assert_close(ours(x)[0], first + second)


def test_dropout_between_merged_layers_drops_merged_outputs():
    torch.manual_seed(3)
    layer = gated.LSTM(D, 50, num_layers=2, bidirectional=True, merge="sum", dropout=1.0)
    again = gated.LSTM(D, 50, num_layers=2, bidirectional=True, merge="sum")
    again.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for name, weight in again.named_parameters():
            if name.startswith("weight_ih_l1"):
                weight.zero_()
    x = torch.randn(T, B, D)
    torch.testing.assert_close(layer(x)[0], again(x)[0])
    assert not torch.allclose(layer.eval()(x)[0], again(x)[0])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"merge": "sum"}, ValueError, "merge='sum' has nothing to merge: use bidirectional=True"),
        ({"merge": "summ", "bidirectional": True}, ValueError, "did you mean 'sum'"),
        (
            {"merge": None, "bidirectional": True},
            TypeError,
            "merge is None, expected one of concat",
        ),
        ({"merge": 1, "bidirectional": True}, TypeError, "merge is 1"),
    ],
)
def test_merges_that_make_no_sense_are_refused(options, error, says):
    with pytest.raises(error, match=says) as caught:
        gated.LSTM(D, H, **options)
    assert isinstance(caught.value, OptionError)
