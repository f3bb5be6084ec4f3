"""`by_symbol`: a layer's parameters under the symbols of its equations."""

import pytest
import torch

import gated
from gated.errors import OptionError
from gated.inspect.recording.symbols import by_symbol

D, H = 3, 4


def test_an_lstms_blocks_are_pytorchs_in_the_order_i_f_g_o():
    theirs = torch.nn.LSTM(D, H, num_layers=2, bidirectional=True)
    ours = gated.LSTM(D, H, num_layers=2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    for index, direction, end in [(0, 0, "l0"), (1, 1, "l1_reverse")]:
        found = by_symbol(ours, index, direction)
        rows = {name: getattr(theirs, f"{name}_{end}").chunk(4)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
        for k, gate in enumerate("ifgo"):
            assert torch.equal(found[f"W.{gate}"], rows["weight_ih"][k])
            assert torch.equal(found[f"U.{gate}"], rows["weight_hh"][k])
            assert torch.equal(found[f"b.{gate}"], rows["bias_ih"][k] + rows["bias_hh"][k])
        assert len(found) == 12


def test_a_grus_second_bias_stands_for_itself_and_the_others_are_sums():
    gru = gated.GRU(D, H)
    found = by_symbol(gru)
    ours, last = gru.bias_ih_l0.chunk(3), gru.bias_hh_l0.chunk(3)
    torch.testing.assert_close(found["b.r"], ours[0] + last[0])
    torch.testing.assert_close(found["b.z"], ours[1] + last[1])
    assert torch.equal(found["b.n"], ours[2])
    assert torch.equal(found["b_h.n"], last[2])


@pytest.mark.parametrize(
    ("maps", "shape"), [("diagonal", (H,)), (gated.Heads(2), (2, H // 2, H // 2))]
)
def test_a_map_is_as_large_as_what_it_stores(maps, shape):
    layer = gated.Recurrent("lstm", D, H, maps={"U": maps})
    found = by_symbol(layer)
    assert found["U.f"].shape == shape
    together = torch.cat([found[f"U.{gate}"] for gate in "ifgo"])
    assert torch.equal(together, layer.weight_hh_l0)


def test_a_bias_that_the_layer_does_not_have_is_0():
    assert torch.equal(by_symbol(gated.LSTM(D, H, bias=False))["b.f"], torch.zeros(H))


def test_gradients_reach_the_stored_parameters():
    lstm = gated.LSTM(D, H)
    by_symbol(lstm)["b.f"].sum().backward()
    for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
        expected = torch.zeros(4, H)
        expected[1] = 1
        assert torch.equal(bias.grad, expected.flatten())


@pytest.mark.parametrize("cell", gated.cells())
def test_every_parameter_of_the_equations_is_there_in_its_order(cell):
    sizes = {"P": 2} if cell == "lstmp" else {}
    layer = gated.Recurrent(cell, H, H, **sizes)
    found = by_symbol(layer)
    assert list(found) == [parameter.key for parameter in layer.cell.parameters]
    stored = sum(p.numel() for n, p in layer.named_parameters() if "bias_hh" not in n)
    second = sum(found[key].numel() for key in found if key.startswith("b_h."))
    assert sum(v.numel() for v in found.values()) == stored + second * hasattr(layer, "bias_hh_l0")


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(OptionError, match=r"layer 2, direction 0 is not there: it has 2 layer"):
        by_symbol(gated.LSTM(D, H, num_layers=2), index=2)
