"""Contributions of past inputs against what is known of them by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from step_loop import LENGTHS, B, D, T, inputs_of, layer_of
from torch import nn

import gated
from gated.errors import OptionError, ShapeError
from gated.inspect.measures.contribution import ablation, integrated_gradients

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
# captum has the weights of its sum in float32, whatever the inputs are
CAPTUM = 2**-24


class Last(nn.Module):
    """A layer, and a number of its last valid output."""

    def __init__(self, **options):
        super().__init__()
        self.layer = layer_of("lstm", **options)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, lengths=None):
        _, (h, _) = self.layer(x, lengths=lengths)
        return self.drop(h[-1])


def filled(x, value):
    """Steps beyond the lengths hold this."""
    x = x.clone()
    for row, steps in enumerate(LENGTHS):
        x[row, steps:] = value
    return x


def weights():
    return torch.arange(1.0, T * D + 1, dtype=torch.float64).view(T, D)


def linear(x):
    """A model of which every contribution is known: its weights."""
    return (x * weights()).sum((1, 2))


class TestIntegratedGradients:
    @pytest.mark.parametrize("baseline", ["zero", "mean", 0.3])
    @pytest.mark.parametrize("target", [2, (0,), lambda h: h.square().sum(1)])
    def test_add_up_to_the_outputs_distance_from_the_baselines(self, baseline, target):
        net, x = Last(), inputs_of(layer_of("lstm"))["x"]
        found = integrated_gradients(
            net, filled(x, np.nan), target, baseline=baseline, lengths=LENGTHS, points=200
        )
        assert abs(found.gap).max() < CAPTUM
        assert abs(found.output - found.at_baseline)[:2].min() > 1e-3

    def test_of_a_linear_model_are_its_terms(self):
        x = inputs_of(layer_of("lstm"))["x"]
        found = integrated_gradients(linear, x, baseline="mean")
        wanted = (x - x.mean((0, 1))) * weights()
        np.testing.assert_allclose(found.values, wanted, rtol=CAPTUM, atol=1e-12)

    def test_are_the_mean_gradient_on_the_line(self):
        net, x = Last().eval(), inputs_of(layer_of("lstm"))["x"]
        mean = torch.zeros_like(x)
        points = 2000
        for k in range(points):
            at = ((k + 0.5) / points * x).requires_grad_()
            mean += torch.autograd.grad(net(at)[:, 1].sum(), at)[0] / points
        found = integrated_gradients(net, x, 1, points=100)
        np.testing.assert_allclose(found.values, x * mean, rtol=1e-5, atol=1e-6)

    def test_give_nothing_to_what_lies_beyond_a_length(self):
        net, x = Last(), inputs_of(layer_of("lstm"))["x"]
        some, other = (
            integrated_gradients(net, filled(x, value), 0, lengths=LENGTHS).values
            for value in (np.nan, 7.0)
        )
        np.testing.assert_array_equal(some, other)
        assert np.isnan(some[1, 3:]).all()
        assert not np.isnan(some[1, :3]).any()

    def test_leave_parameters_and_mode_as_they_were(self):
        net = Last().train()
        net.layer.eval()
        integrated_gradients(net, inputs_of(net.layer)["x"], 0)
        assert net.training
        assert not net.layer.training
        assert all(parameter.grad is None for parameter in net.parameters())

    def test_hold_further_inputs_and_take_time_first_layers(self):
        layer = layer_of("gru-d")
        inputs = inputs_of(layer)
        whole = integrated_gradients(layer, target=(-1, 0), points=300, **inputs)
        assert abs(whole.gap).max() < 0.05  # where a value is missing the output has a kink
        layer.batch_first = False
        layer._takes.batch_first = False
        turned = {name: value.transpose(0, 1) for name, value in inputs.items()}
        again = integrated_gradients(layer, target=(-1, 0), points=300, **turned)
        np.testing.assert_allclose(again.values, whole.values, **CLOSE)

    def test_without_captum_say_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "captum.attr", None)
        with pytest.raises(OptionError, match=r"captum.*pip install 'gated\[inspect\]'"):
            integrated_gradients(linear, torch.zeros(B, T, D))


class TestAblation:
    @pytest.mark.parametrize("max_rows", [1, 2, 7, 1024])
    def test_is_the_change_when_a_step_is_replaced_by_hand(self, max_rows):
        net, x = Last().eval(), inputs_of(layer_of("lstm"))["x"]
        found = ablation(
            net, filled(x, np.nan), 1, lengths=LENGTHS, baseline="mean", max_rows=max_rows
        )
        mean = torch.cat([x[row, :n] for row, n in enumerate(LENGTHS)]).mean(0)
        for row, steps in enumerate(LENGTHS):
            for t in range(steps):
                other = x[row : row + 1, :steps].clone()
                other[0, t] = mean
                change = net(x[row : row + 1, :steps])[0, 1] - net(other)[0, 1]
                np.testing.assert_allclose(found.values[row, t], change.detach(), **CLOSE)
        assert np.isnan(found.values[1, 3:]).all()

    def test_by_features_of_a_linear_model_is_its_terms(self):
        x = inputs_of(layer_of("lstm"))["x"]
        found = ablation(linear, x, by="feature", max_rows=5)
        np.testing.assert_allclose(found.values, x * weights(), **CLOSE)
        np.testing.assert_allclose(found.steps, ablation(linear, x).values, **CLOSE)

    def test_misses_what_is_said_twice_as_the_limits_say(self):
        def either(x):
            return torch.maximum(x[:, 0, 0], x[:, 1, 0])

        x = torch.ones(1, 3, 1)
        assert (ablation(either, x).values == 0).all()
        assert integrated_gradients(either, x).values.sum() == pytest.approx(1)


class TestContribution:
    def test_names_the_top_step_and_makes_a_table(self):
        x = torch.zeros(2, T, D, dtype=torch.float64)
        x[0, 1], x[1, 3] = 1, -2
        found = ablation(linear, x, by="feature", lengths=None)
        assert found.top.tolist() == [1, 3]
        table = found.to_pandas()
        assert list(table.columns)[:3] == ["row", "step", "contribution"]
        assert len(table) == 2 * T
        assert table.contribution[1] == pytest.approx(float(weights()[1].sum()))

    def test_of_rows_without_steps_has_no_top(self):
        net, x = Last(), inputs_of(layer_of("lstm"))["x"]
        assert ablation(net, x, 0, lengths=[2, 0, 0]).top[1:].tolist() == [-1, -1]

    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("measure", [ablation, integrated_gradients])
    def test_a_step_below_0_is_counted_from_each_row_s_own_end(self, measure, batch_first):
        layer = layer_of("lstm")
        x, lengths = inputs_of(layer)["x"], [5, 3, 2]
        model = gated.LSTM(D, layer.hidden_size, batch_first=batch_first, dtype=x.dtype)
        model.load_state_dict(layer.state_dict())
        given = x if batch_first else x.transpose(0, 1)
        found = measure(model, given, (-2, 1), lengths=lengths, max_rows=7)
        for row, steps in enumerate(lengths):
            alone = measure(layer, x[row : row + 1, :steps], (steps - 2, 1))
            np.testing.assert_allclose(found.output[row], alone.output[0], **CLOSE)
            np.testing.assert_allclose(found.values[row, :steps], alone.values[0], **CLOSE)

    def test_a_step_before_a_row_s_first_is_refused(self):
        layer = layer_of("lstm")
        with pytest.raises(OptionError, match="is step -3 of each row, and a row has 2: leave out"):
            ablation(layer, inputs_of(layer)["x"], (-3, 0), lengths=[5, 2, 0])

    def test_steps_or_classes_from_the_end_are_not_guessed(self):
        def totals(x, lengths):
            return x.sum(2)

        x = torch.zeros(2, T, D)
        with pytest.raises(OptionError, match="may be steps or classes: count from its beginning"):
            ablation(totals, x, -1, lengths=[T, 2])

    def test_nothing_but_zeros_has_no_top(self):
        layer = layer_of("lstm")
        found = ablation(layer, inputs_of(layer)["x"], (4, 0), lengths=[5, 3, 3])
        assert (found.steps[1, :3] == 0).all()
        assert found.top[1:].tolist() == [-1, -1]

    @pytest.mark.parametrize("measure", [ablation, integrated_gradients])
    def test_of_no_rows_is_empty(self, measure):
        assert measure(linear, torch.zeros(0, T, D).double()).output.shape == (0,)

    @pytest.mark.parametrize("measure", [ablation, integrated_gradients])
    @pytest.mark.parametrize(
        ("options", "error", "complaint"),
        [
            ({"target": None}, ShapeError, r"the target is \(3, 4\) for 3 rows"),
            ({"target": 9}, OptionError, r"target 9 is no index of an output of shape"),
            ({"target": 0, "baseline": "median"}, OptionError, "expected 'zero', 'mean', a number"),
            ({"target": 0, "baseline": torch.zeros(7)}, ShapeError, r"baseline has shape \(7,\)"),
            ({"target": 0, "lengths": [9, 1, 1]}, ShapeError, r"lengths\[0\] is 9"),
            ({"target": 0, "max_rows": 0}, OptionError, "max_rows is 0, expected a whole number"),
        ],
    )  # fmt: skip
    def test_refuses_what_makes_no_sense_with_a_remedy(self, measure, options, error, complaint):
        net = Last()
        with pytest.raises(error, match=complaint):
            measure(net, inputs_of(net.layer)["x"], **options)

    def test_wants_floats_of_three_axes(self):
        with pytest.raises(ShapeError, match="embed symbols first"):
            ablation(gated.LSTM(1, 2), torch.zeros(3, 4, dtype=torch.long), 0)
