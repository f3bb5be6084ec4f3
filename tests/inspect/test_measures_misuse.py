"""What a newcomer passes to the measures by mistake is told, and what helps."""

import pytest
import torch
from torch import nn

import gated
from gated.errors import OptionError, ShapeError
from gated.inspect.measures import jacobian_norms, unit_measures
from gated.inspect.measures.clamping import clamp, freeze, importance
from gated.inspect.measures.contribution import integrated_gradients
from gated.inspect.recording.symbols import by_symbol

X = torch.linspace(-1, 1, 7 * 5 * 2).view(7, 5, 2)


class Model(nn.Module):
    """Takes (T, B, D), without saying so."""

    def __init__(self):
        super().__init__()
        self.rnn = gated.LSTM(2, 12)

    def forward(self, x):
        return self.rnn(x)[1][0][-1].sum(-1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def recording(model):
    with gated.record(model) as found:
        model(X)
    return found


def test_a_whole_recording_or_a_call_is_no_layers_recording(recording):
    with pytest.raises(OptionError, match=r"got Recording, .*recording\['rnn'\]"):
        unit_measures(recording)
    with pytest.raises(OptionError, match=r"got Call, expected what was recorded of one layer"):
        unit_measures(recording["rnn"].calls[0])


@pytest.mark.parametrize("measure", [lambda m: jacobian_norms(m, X[:, 0]), by_symbol])
def test_a_model_in_the_place_of_its_layer_is_told(model, measure):
    with pytest.raises(OptionError, match=r"got a Model, .*pass one of its layers, as model\.rnn"):
        measure(model)


def test_calls_are_counted_and_gates_are_not_calls(recording):
    assert recording["rnn"][0] is recording["rnn"].calls[0]
    assert list(recording["rnn"]) == recording["rnn"].calls
    with pytest.raises(IndexError):
        recording["rnn"][1]
    with pytest.raises(OptionError, match=r"recording\['rnn'\]\[0\]\.values\(\)\['f'\]"):
        recording["rnn"]["f"]


@pytest.mark.parametrize("value", [3.0, {0: -0.1}, [1.5] * 12])
def test_a_gate_is_not_clamped_where_its_equation_never_is(model, value):
    with (
        pytest.raises(OptionError, match="expected 0 to 1: no weights"),
        clamp(model, {"rnn": {"f": value}}),
    ):
        pass


def test_a_state_is_held_anywhere(model):
    with freeze(model, {"rnn": 0}, at=3.0):
        assert model(X).min() > 2


def test_time_before_batch_is_guessed_where_the_target_does_not_fit(model):
    with pytest.raises(ShapeError, match=r"read as 7 rows of 5 steps.*batch_first=False"):
        integrated_gradients(model, X)


def test_an_importance_is_printed_as_a_ranking(model):
    found = importance(model, lambda m: m(X).square().mean())
    lines = str(found).splitlines()
    single = [f"unit {effect.unit}" for effect in found.ranking()[:10]]
    assert [line.split("  ")[0].strip() for line in lines[6:16]] == single
    assert sorted(line.split()[2] for line in lines[3:6]) == ["f", "i", "o"]
    assert lines[-1] == "... 2 more: to_pandas() has all"
