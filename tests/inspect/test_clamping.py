"""Clamped gates and frozen units against loops by hand in which they are overwritten."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from step_loop import LENGTHS, B, H, T, inputs_of, layer_of
from torch import nn

import gated
from gated.errors import GatedError, OptionError
from gated.inspect.measures.clamping import (
    ImportanceInterrupted,
    clamp,
    freeze,
    importance,
)
from gated.inspect.measures.settings import settings
from gated.inspect.recording.symbols import by_symbol

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def lstm_by_hand(layer, x, overwrite, start=None):
    """h and c of every step, with `overwrite(name, value)` in the place of each gate and state."""
    w = {key: value.detach() for key, value in by_symbol(layer).items()}
    h, c = start or (torch.zeros(len(x), H).double(), torch.zeros(len(x), H).double())
    h, c = overwrite("h", h), overwrite("c", c)
    found = []
    for t in range(x.shape[1]):
        a = {k: x[:, t] @ w[f"W.{k}"].T + h @ w[f"U.{k}"].T + w[f"b.{k}"] for k in "ifgo"}
        i, f, o = (overwrite(k, torch.sigmoid(a[k])) for k in "ifo")
        c = overwrite("c", f * c + i * overwrite("g", torch.tanh(a["g"])))
        h = overwrite("h", o * torch.tanh(c))
        found.append(h)
    return torch.stack(found, 1), (h, c)


def overwriting(what):
    def overwrite(name, value):
        for unit, number in what.get(name, {}).items():
            value = value.clone()
            value[:, unit] = number
        return value

    return overwrite


ALL = range(H)
CASES = {
    "never forget": {"f": dict.fromkeys(ALL, 1.0)},
    "write nothing": {"i": dict.fromkeys(ALL, 0.0)},
    "show all": {"o": dict.fromkeys(ALL, 1.0)},
    "one unit's gate": {"f": {2: 1.0}},
    "several gates": {"f": {0: 0.0, 3: 1.0}, "g": {1: -1.0}},
    "a state from its start": {"c": {1: 0.5}, "h": {1: -0.25}},
}


class TestClamp:
    @pytest.mark.parametrize("case", CASES)
    def test_is_a_loop_by_hand_with_the_value_overwritten(self, case):
        layer, what = layer_of("lstm"), CASES[case]
        x = inputs_of(layer)["x"]
        wanted, final = lstm_by_hand(layer, x, overwriting(what))
        with torch.no_grad(), clamp(layer, {"layer": what}):
            output, states = layer(x)
        torch.testing.assert_close(output, wanted, **CLOSE)
        torch.testing.assert_close(states[1][0], final[1], **CLOSE)

    def test_holds_in_a_stream_of_steps_too(self):
        layer, what = layer_of("lstm"), CASES["several gates"]
        x, state, outputs = inputs_of(layer)["x"], None, []
        wanted, _ = lstm_by_hand(layer, x, overwriting(what))
        with torch.no_grad(), clamp(layer, {"layer": what}):
            for t in range(T):
                output, state = layer.step(x[:, t], state)
                outputs.append(output)
        torch.testing.assert_close(torch.stack(outputs, 1), wanted, **CLOSE)

    def test_respects_lengths_and_is_seen_in_the_trace(self):
        layer = layer_of("gru")
        with clamp(layer, {"layer": {"z": 0.5}}):
            output, _, trace = layer(inputs_of(layer)["x"], lengths=LENGTHS, trace=True)
        assert (trace["z"][0] == 0.5).all()
        assert (output[1, 3:] == 0).all()

    def test_of_one_place_in_a_stack_leaves_the_others(self):
        layer = layer_of("lstm", num_layers=2, bidirectional=True)
        x = inputs_of(layer)["x"]
        with clamp(layer, {("layer", 1, 1): {"f": {2: 1.0}}}):
            _, _, trace = layer(x, trace=True)
        shown = {
            (i, d, unit): bool((trace.at(i, d)["f"][..., unit] == 1).all())
            for i in range(2) for d in range(2) for unit in range(H)
        }  # fmt: skip
        assert [place for place, hit in shown.items() if hit] == [(1, 1, 2)]

    @pytest.mark.parametrize("name", gated.cells())
    def test_every_value_of_every_cell_can_be_fixed(self, name):
        layer = layer_of(name)
        inputs = inputs_of(layer)
        for each in layer.cell.graph.equations:
            with torch.no_grad(), clamp(layer, {"layer": {each: 0.25}}):
                *_, trace = layer(inputs["x"], trace=True, **dict(list(inputs.items())[1:]))
            assert (trace[each] == 0.25).all(), each

    def test_passes_no_gradient_through_what_is_fixed(self):
        layer = layer_of("lstm")
        with clamp(layer, {"layer": {"f": 1.0}}):
            layer(inputs_of(layer)["x"])[0].sum().backward()
        _, f, g, _ = layer.weight_ih_l0.grad.chunk(4)
        assert (f == 0).all()
        assert (g != 0).any()

    def test_within_another_of_the_same_gate_the_inner_one_holds(self):
        layer = layer_of("lstm", num_layers=2)
        x = inputs_of(layer)["x"]
        outer = {("layer", 0, 0): {"f": {0: 1.0, 1: 0.5}}, ("layer", 1, 0): {"f": 0.0}}
        inner = {("layer", 0, 0): {"f": {1: 0.25, 2: 0.0}, "c": {3: 2.0}}}
        both = {
            ("layer", 0, 0): {"f": {0: 1.0, 1: 0.25, 2: 0.0}, "c": {3: 2.0}},
            ("layer", 1, 0): {"f": 0.0},
        }
        with clamp(layer, both):
            wanted = layer(x)[0]
        with clamp(layer, outer):
            alone = layer(x)[0]
            with clamp(layer, inner):
                assert torch.equal(layer(x)[0], wanted)
            assert torch.equal(layer(x)[0], alone)

    @pytest.mark.parametrize("value", ["open", None, [1.0, 0.5, 0.0, float("nan")]])
    def test_refuses_values_that_are_no_numbers(self, value):
        layer = layer_of("lstm")
        with (
            pytest.raises(OptionError, match="f of 'layer' is to be"),
            clamp(layer, {"layer": {"f": value}}),
        ):
            pass

    @pytest.mark.parametrize("what", [[0], {3: {"f": 1.0}}, {(): {"f": 1.0}}])
    def test_refuses_what_names_no_layer(self, what):
        layer = layer_of("lstm")
        with pytest.raises(OptionError, match="expected layers with"), clamp(layer, what):
            pass

    @pytest.mark.parametrize("what", [[0], {"layer": None}, {"layer": 0.5}])
    def test_freezing_what_is_no_unit_is_refused(self, what):
        layer = layer_of("lstm")
        with pytest.raises(OptionError, match=r"expected .* \[0, 3\]"), freeze(layer, what):
            pass

    def test_ends_with_the_block_and_within_another(self):
        layer = layer_of("lstm")
        x, before = inputs_of(layer)["x"], dict(vars(layer))
        wanted = layer(x)[0]
        with clamp(layer, {"layer": {"f": 1.0}}):
            with clamp(layer, {"layer": {"i": 0.0}}):
                assert (layer(x)[0] == 0).all()
            assert not (layer(x)[0] == 0).all()
        with pytest.raises(ZeroDivisionError), clamp(layer, {"layer": {"f": 1.0}}):
            _ = 1 / 0
        assert vars(layer) == before
        assert torch.equal(layer(x)[0], wanted)

    @pytest.mark.parametrize(
        ("what", "complaint"),
        [
            ({"rnn": {"f": 1.0}}, "the model has no recurrent layer 'rnn': it has 'layer'"),
            ({"layer": {"F": 1.0}}, "lstm has no gate or state 'F': did you mean 'f'?"),
            ({"layer": {"q": 1.0}}, "its gates are i, f, g, o, its states h, c"),
            ({"layer": {"f": {9: 1.0}}}, "f of 'layer' has no unit 9: it has 4, counted from 0"),
            ({"layer": {"f": {-1: 1.0}}}, "has no unit -1"),
            ({"layer": {"f": {1: "open"}}}, "f of 'layer' is to be 'open', expected a number"),
            ({"layer": {"f": [1.0, 0.0]}}, "got values of shape (2,), expected one number, 4 of"),
            ({("layer", 1, 0): {"f": 1.0}}, "'layer' has no layer (1, 0)"),
            ({"f": 1.0}, "expected layers with their gates"),
        ],
    )  # fmt: skip
    def test_of_what_is_not_there_says_what_is(self, what, complaint):
        with pytest.raises(OptionError) as error, clamp(layer_of("lstm"), what):
            pass
        assert complaint in str(error.value)

    def test_of_a_unit_in_a_stack_asks_for_the_place(self):
        stack = layer_of("lstm", num_layers=2)
        what, remedy = {"layer": {"f": {0: 1.0}}}, r"Write \('layer', index, direction\)"
        with pytest.raises(OptionError, match=remedy), clamp(stack, what):
            pass


class TestFreeze:
    def test_holds_all_states_of_a_unit(self):
        layer = layer_of("lstm")
        x = inputs_of(layer)["x"]
        wanted, _ = lstm_by_hand(layer, x, overwriting({"h": {1: 0.3}, "c": {1: 0.3}}))
        with torch.no_grad(), freeze(layer, {"layer": 1}, at=0.3):
            torch.testing.assert_close(layer(x)[0], wanted, **CLOSE)

    def test_at_a_recording_is_at_the_mean_of_the_valid_steps(self):
        layer = layer_of("lstm")
        x = inputs_of(layer)["x"]
        _, _, trace = layer(x, lengths=LENGTHS, trace=True)
        with gated.record(layer) as recording:
            layer(x, lengths=LENGTHS)
        means = {
            name: torch.cat([trace[name][row, :n, 2] for row, n in enumerate(LENGTHS)]).mean()
            for name in ("h", "c")
        }
        with freeze(layer, {"layer": [2]}, at=recording):
            _, _, found = layer(x, trace=True)
        for name, mean in means.items():
            torch.testing.assert_close(found[name][..., 2], mean.expand(B, T), **CLOSE)

    def test_of_a_projected_cell_freezes_the_memory(self):
        layer = layer_of("lstmp")
        with freeze(layer, {"layer": [3]}):
            _, _, trace = layer(inputs_of(layer)["x"], trace=True)
        assert (trace["c"][..., 3] == 0).all()
        assert (trace["h"] != 0).all()


class Sum(nn.Module):
    """A network of which only units 1 and 3 count."""

    def __init__(self):
        super().__init__()
        self.rnn = layer_of("lstm")
        self.register_buffer("weights", torch.tensor([0.0, 1.0, 0.0, 5.0]).double())

    def forward(self, x):
        return self.rnn(x)[0] @ self.weights


class TestImportance:
    def metric(self, net):
        return net(inputs_of(net.rnn)["x"]).abs().mean().item()

    def test_is_the_change_of_the_metric_when_clamped_by_hand(self):
        net = Sum()
        x = inputs_of(net.rnn)["x"]
        found = importance(net, self.metric, each=True)
        assert found.baseline == pytest.approx(float(self.metric(net)))
        assert len(found.effects) == 3 + H * 4
        assert found.complete
        by_label = {"f = 1": ("f", 1.0), "i = 0": ("i", 0.0), "o = 1": ("o", 1.0)}
        for effect in found.effects:
            which = ALL if effect.unit is None else [effect.unit]
            what = {"h": dict.fromkeys(which, 0.0), "c": dict.fromkeys(which, 0.0)}
            if effect.clamp != "frozen":
                gate, value = by_label[effect.clamp]
                what = {gate: dict.fromkeys(which, value)}
            output, _ = lstm_by_hand(net.rnn, x, overwriting(what))
            value = float((output @ net.weights).abs().mean())
            assert effect.value == pytest.approx(value, rel=1e-12)
            assert effect.change == pytest.approx(value - found.baseline, rel=1e-9, abs=1e-12)

    def test_ranks_by_harm_whichever_way_the_metric_goes(self):
        net = Sum()
        high = importance(net, self.metric, gates=(), better="higher").ranking()
        low = importance(net, self.metric, gates=(), better="lower").ranking()
        assert [e.unit for e in high] == [e.unit for e in low][::-1]
        assert high[0].unit == 3

    def test_as_a_table_has_a_row_for_each_effect(self):
        found = importance(Sum(), self.metric)
        table = found.to_pandas()
        assert list(table.columns) == [
            "layer", "index", "direction", "unit", "clamp", "value", "change", "harm",
        ]  # fmt: skip
        assert len(table) == len(found.effects) == 3 + H

    def test_takes_other_gates_with_their_values(self):
        layer = layer_of("gru")
        x = inputs_of(layer)["x"]
        found = importance(layer, lambda m: m(x)[0].mean(), gates={"r": 0.0}, units=())
        with torch.no_grad(), clamp(layer, {"layer": {"r": 0.0}}):
            wanted = float(layer(x)[0].mean())
        assert [(e.clamp, e.value) for e in found.effects] == [("r = 0", wanted)]

    def test_tells_how_far_it_is(self):
        seen = []
        importance(Sum(), self.metric, units=[1], progress=lambda *at: seen.append(at))
        assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def test_stopped_by_ctrl_c_loses_nothing_and_goes_on(self):
        net, calls = Sum(), []

        def metric(model):
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return self.metric(model)

        with pytest.raises(ImportanceInterrupted, match="3 of 7 clamps are computed") as stopped:
            importance(net, metric)
        partial = stopped.value.partial
        assert len(partial.effects) == 3
        assert not partial.complete
        assert stopped.value.exit_code == 130
        whole = importance(net, metric, resume=partial)
        assert len(calls) == 1 + 7
        assert whole == importance(net, self.metric)

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"at": 5.0}, "frozen of unit 1 of 'rnn' meant"),
            ({"gates": {"f": 0.5000001}}, "f = 0.5 of unit None of 'rnn' meant {'f': 0.5}, and"),
            ({"better": "higher"}, "resume was asked with better='lower', not 'higher'"),
        ],
    )
    def test_does_not_go_on_from_another_question(self, changes, complaint):
        asked = {"units": [1], "gates": {"f": 0.5}}
        before = importance(Sum(), self.metric, **asked)
        with pytest.raises(OptionError, match=complaint):
            importance(Sum(), self.metric, **{**asked, **changes}, resume=before)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"gates": ("r",)}, "no plain meaning for a gate 'r'"),
            ({"gates": ("r",)}, "those that follow from the equations are f = 1, i = 0, o = 1"),
            ({"units": [7]}, "has no unit 7: it has 4"),
            ({"units": 1.5}, "units are 1.5, expected the number of a unit or several"),
            ({"gates": {"f": "a"}}, "f is to be 'a', expected a number"),
            ({"better": "up"}, "better is 'up', expected 'lower' or 'higher'"),
            ({"at": "zero"}, "expected a number"),
            ({"layers": ["gru"]}, "no recurrent layer 'gru'"),
        ],
    )
    def test_refuses_what_makes_no_sense_with_a_remedy(self, options, complaint):
        with pytest.raises(GatedError) as error:
            importance(Sum(), self.metric, **options)
        assert complaint in str(error.value)

    def test_wants_a_number_of_the_metric(self):
        with pytest.raises(OptionError, match=r"metric\(model\) gave Tensor, expected a number"):
            importance(Sum(), lambda net: net(inputs_of(net.rnn)["x"]))


def test_the_meaning_of_a_gate_follows_from_the_equations():
    found = {name: [one.label for one in settings(gated.cell(name))] for name in gated.cells()}
    assert found["lstm"] == found["slstm"] == found["peephole"] == ["f = 1", "i = 0", "o = 1"]
    assert found["gru"] == ["z = 1"]
    assert found["mut1"] == found["mingru"] == ["z = 0"]
    assert found["lstm-1997"] == ["i = 0", "o = 1"]
    assert found["gru-d"] == ["z = 0, gamma_h = 1"]
    assert found["rnn"] == []
