"""`ForecastNet`: what it computes, against its own description."""

import numpy as np
import pytest
import torch

from gated.errors import ShapeError
from gated.models import ForecastNet

B, C, H = 3, 10, 4


def net(**options):
    torch.manual_seed(0)
    settings = {"features": 2, "horizon": H, "context_length": C, "outputs": 3, "hidden_size": 5}
    made = ForecastNet("lstm", **{**settings, **options})
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def inputs(steps=C, seed=1):
    torch.manual_seed(seed)
    features = torch.randn(B, steps, 2)
    return features, features[..., 0]


def test_before_training_nothing_changes():
    made = ForecastNet("lstm", 2, H, C, 3)
    features, target = inputs()
    expected = target[:, -1, None, None, None].expand(B, 1, H, 3)
    assert torch.equal(made(features, target), expected)


@pytest.mark.parametrize("origins", [1, 2, 4])
def test_a_window_forecasts_from_its_last_steps_oldest_first(origins):
    assert net()(*inputs(C + origins - 1), origins=origins).shape == (B, origins, H, 3)


def test_an_earlier_origin_does_not_see_what_follows_it():
    made = net(season=4)
    features, target = inputs(C + 2)
    whole = made(features, target, origins=3)
    for k in range(3):
        cut = slice(0, C + k)
        alone = made(features[:, cut], target[:, cut])[:, 0]
        torch.testing.assert_close(whole[:, k], alone, rtol=1e-5, atol=1e-6)


def test_the_forecast_is_the_last_value_a_line_and_the_heads_function_of_the_hidden_state():
    made = net(season=1)
    features, target = inputs()
    hidden, _ = made.rnn(features)
    head = made.head.out(hidden[:, -1]).reshape(B, H, 3)
    line = (target - target[:, -1:]) @ made.skip.weight.T
    expected = target[:, -1, None, None] + line[..., None] + head
    torch.testing.assert_close(made(features, target)[:, 0], expected)


def test_without_skip_it_is_the_classic_layer_with_a_linear_head():
    made = net(skip=False, season=1)
    features, target = inputs()
    expected = made.head.out(made.rnn(features)[0][:, -1]).reshape(B, H, 3)
    torch.testing.assert_close(made(features, target)[:, 0], expected)


def test_each_step_sees_the_season_up_to_it_relative_to_it():
    made = net(season=4)
    features, target = inputs()
    seen = made.inputs(features, target)
    for step in range(C):
        for lag in range(4):
            before = target[:, max(0, step - 3 + lag)]
            torch.testing.assert_close(seen[:, step, 2 + lag], before - target[:, step])


def test_a_future_covariate_moves_the_forecast_of_its_own_step_alone():
    made = net(future=2)
    features, target = inputs()
    future = torch.zeros(B, 1, H, 2)
    base = made(features, target, future)
    for step in range(H):
        changed = future.clone()
        changed[:, :, step] += 1.0
        moved = (made(features, target, changed) != base).any(dim=(0, 1, 3))
        assert moved.tolist() == [k == step for k in range(H)]


def test_a_network_with_future_covariates_asks_for_them():
    with pytest.raises(ShapeError, match=r"pass future \(B, K, h, F\)"):
        net(future=1)(*inputs())


def test_dropout_acts_in_training_alone():
    made = net(dropout=0.5, num_layers=2)
    features, target = inputs()
    assert torch.equal(made(features, target), made(features, target))
    made.train()
    assert not torch.equal(made(features, target), made(features, target))


def test_the_gradient_reaches_every_weight():
    made = net(future=1, season=4, num_layers=2)
    features, target = inputs(C + 1)
    made(features, target, torch.randn(B, 2, H, 1), origins=2).square().sum().backward()
    without = [name for name, weight in made.named_parameters() if not weight.grad.abs().sum() > 0]
    assert without == []
    # the newest value relative to itself is 0: it teaches nothing
    last = made.rnn.weight_ih_l0.grad[:, -1]
    assert np.allclose(last, 0)
