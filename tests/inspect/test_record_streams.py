"""`gated.record` over many calls: streams, windows, and a bound on memory."""

import pytest
import torch
from torch import nn

import gated
from gated.errors import OptionError

B, T, D, H = 3, 6, 4, 5
CALL = B * T * (6 * H + D) * 4  # bytes of an LSTM's call


@pytest.mark.parametrize("batch_first", [False, True])
def test_single_steps_are_recorded_and_joined_are_one_run(batch_first):
    layer = gated.LSTM(D, H, num_layers=2, batch_first=batch_first)
    x = torch.randn(B, T, D)
    state = None
    with torch.no_grad(), gated.record(layer) as recording:
        for t in range(T):
            _, state = layer.step(x[:, t], state)
        _, whole = layer(x if batch_first else x.transpose(0, 1))
    *steps, last = recording["layer"].calls
    assert len(steps) == T
    first, again = recording.joined()["layer"].calls
    assert first.lengths.tolist() == [T] * B
    assert torch.equal(again.values()["f"], last.values()["f"])
    for name, value in last.values(1).items():
        torch.testing.assert_close(first.values(1)[name], value)
    assert torch.equal(first.x, x)
    torch.testing.assert_close(first.ends["c"], whole[1])


def test_windows_of_unequal_rows_are_joined_where_each_row_goes_on():
    layer = gated.GRU(D, H, batch_first=True)
    x = torch.randn(2, 8, D)
    with gated.record(layer) as recording:
        _, state = layer(x[:, :5], lengths=[5, 3])
        layer(x[:, 5:], state.detach(), lengths=[2, 0])
    (joined,) = recording.joined()["layer"].calls
    assert joined.lengths.tolist() == [7, 3]
    _, _, trace = layer(x, lengths=[7, 3], trace=True)
    torch.testing.assert_close(joined.values()["z"], trace["z"])


def test_calls_that_do_not_go_on_stay_apart():
    layer, x = gated.GRU(D, H), torch.randn(T, B, D)
    with gated.record(layer) as recording:
        _, state = layer(x)
        layer(x)  # starts anew
        layer(x, torch.ones_like(state))  # from another state
        _, state = layer(x, lengths=[6, 2, 6])
        layer(x, state)  # there are steps between a row's end and this start
    assert len(recording.joined()["layer"].calls) == 5


def test_a_stream_keeps_where_rows_started_anew():
    layer, x = gated.GRU(D, H, batch_first=True), torch.randn(2, 4, D)
    starts = torch.tensor([[False, True, False, False], [False] * 4])
    with gated.record(layer) as recording:
        _, state = layer(x)
        layer(x, state, resets=starts)
    (joined,) = recording.joined()["layer"].calls
    assert torch.equal(joined.resets, torch.cat([torch.zeros_like(starts), starts], 1))


def test_too_much_for_the_memory_is_told_before_it_runs():
    layer, ran = gated.LSTM(D, H), []
    layer.register_forward_hook(lambda *_: ran.append(1))
    x = torch.randn(T, B, D)
    with gated.record(layer, max_memory=2 * CALL) as recording:
        layer(x)
        layer(x)
        with pytest.raises(OptionError, match=r"beside 0\.00 MB that it holds.*only=.*on_call="):
            layer(x)
    assert (len(ran), len(recording["layer"].calls)) == (2, 2)
    with pytest.raises(OptionError, match="max_memory is"), gated.record(layer, max_memory=9):
        layer(x)


@pytest.mark.parametrize(
    ("words", "fits"),
    [("2.4 kB", False), ("2448 B", True), (2448, True), ("2.5KB", True), ("2.4 KiB", True),
     (None, True)],
)  # fmt: skip
def test_an_amount_of_memory_is_read_as_people_write_it(words, fits):
    assert CALL == 2448
    layer = gated.LSTM(D, H)
    with gated.record(layer, max_memory=words):
        if fits:
            layer(torch.randn(T, B, D))
        else:
            with pytest.raises(OptionError, match="max_memory"):
                layer(torch.randn(T, B, D))


def test_memory_counts_what_is_really_held():
    x = torch.rand(50, 8, 8)
    for layer, inputs in (
        (gated.LSTM(8, 16, 2, bidirectional=True), {}),
        (gated.LSTM(8, 12, proj_size=4), {}),
        (gated.Recurrent("gru-d", 8, 6), {"mask": x, "delta": x}),
    ):
        for only in (None, ("h",)):
            with gated.record(layer, only) as recording:
                layer(x, **inputs)
            (call,), held = recording["layer"].calls, 0
            for index in range(layer.num_layers):
                held += sum(value.nbytes for value in call.inputs(index).values())
                for direction in range(layer.num_directions):
                    held += sum(v.nbytes for v in call.values(index, direction).values())
            with gated.record(layer, only, max_memory=held):
                layer(x, **inputs)
            with pytest.raises(OptionError), gated.record(layer, only, max_memory=held - 1):
                layer(x, **inputs)


def test_the_last_call_alone_needs_the_memory_of_one():
    layer = gated.LSTM(D, H)
    with gated.record(layer, keep="last", max_memory=CALL) as recording:
        for _ in range(3):
            last = torch.randn(T, B, D)
            layer(last)
    (call,) = recording["layer"].calls
    assert torch.equal(call.x, last.transpose(0, 1))


def test_each_call_can_be_taken_as_it_comes():
    model, taken = nn.Sequential(gated.LSTM(D, H)), []
    with gated.record(model, on_call=lambda *one: taken.append(one), max_memory=CALL) as recording:
        for _ in range(3):
            model(torch.randn(T, B, D))
    assert [name for name, _ in taken] == ["0"] * 3
    assert taken[0][1].values()["f"].shape == (B, T, H)
    assert not recording["0"].calls


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_memory": "much"}, '"1 GB"'), ({"max_memory": True}, '"1 GB"'),
     ({"keep": "first"}, "'all' or 'last'"), ({"only": ()}, "no layer has nothing")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(OptionError, match=message), gated.record(gated.LSTM(D, H), **options):
        pass
