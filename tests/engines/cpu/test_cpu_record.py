"""`gated.record` on the CPU engine, which shows what training keeps in memory."""

import pytest
import torch

import gated
from gated.errors import OptionError

T, B, D, H = 7, 3, 4, 8


@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients_are_the_same_bit_for_bit(training):
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.5, "engine": "cpu"}
    model = torch.nn.Sequential(gated.LSTM(D, H, **options)).train(training)
    x = torch.randn(T, B, D)

    def run():
        torch.manual_seed(0)
        model.zero_grad()
        with torch.no_grad():
            inferred, _ = model(x)
        output, states = model(x)
        output.square().sum().backward()
        return [inferred, output, *states, *(p.grad.clone() for p in model.parameters())]

    plain = run()
    with gated.record(model) as recording:
        under = run()
    assert all(torch.equal(one, other) for one, other in zip(plain, under, strict=True))
    values = recording["0"].calls[1].values(1, 1)
    c = values["f"][:, :-1] * values["c"][:, 1:] + values["i"][:, :-1] * values["g"][:, :-1]
    torch.testing.assert_close(values["c"][:, :-1], c)  # after the way back too


def test_an_output_that_is_changed_in_place_afterwards_is_told():
    layer, x = gated.LSTM(D, H, engine="cpu"), torch.randn(T, B, D)
    with torch.no_grad(), gated.record(layer) as recording:
        output, _ = layer(x)
        output.relu_()
    with pytest.raises(OptionError, match="changed in place"):
        recording["layer"].calls[0].values()


def test_inference_mode_keeps_a_copy_of_an_output():
    layer, x = gated.LSTM(D, H, engine="cpu"), torch.randn(T, B, D)
    with torch.inference_mode(), gated.record(layer) as recording:
        output, _ = layer(x)
        expected = output.transpose(0, 1).clone()
        output.zero_()
    assert torch.equal(recording["layer"].calls[0].values()["h"], expected)
