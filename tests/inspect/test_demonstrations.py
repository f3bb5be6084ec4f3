"""The demonstrations: their numbers against closed forms, NumPy's loops and published ones."""

import html
import math

import numpy as np
import pytest
import torch

from gated.errors import OptionError
from gated.inspect.demonstrations import demonstrate, names, text
from gated.inspect.demonstrations.clipping import train as clipped_training
from gated.inspect.demonstrations.demonstration import Line
from gated.inspect.demonstrations.explosion import at_rest, scaled
from gated.inspect.demonstrations.forgetting import kept, overlaid
from gated.inspect.demonstrations.gates import coupling, train
from gated.inspect.demonstrations.growth import saturated
from gated.inspect.demonstrations.page import render
from gated.inspect.demonstrations.running import flow, gaussian, network, orthogonal, unroll
from gated.inspect.demonstrations.tanh import ReluLSTM, growth, identity
from gated.inspect.demonstrations.vanishing import without_eigenvalues
from gated.inspect.demonstrations.worked import example

# settings at which each takes a fraction of its time
SMALL = {
    "vanishing": {"steps": 100, "units": 8},
    "explosion": {"scales": (1.0, 20.0)},
    "clipping": {"steps": 80, "seeds": (0, 1)},
    "tanh": {"steps": 60, "batches": 0},
    "growth": {},
    "forgetting": {"rows": 1000},
    "gates": {"batches": 110, "seeds": (0,)},
    "claims": {"rows": 1000},
}


@pytest.fixture(scope="module")
def runs():
    return {name: demonstrate(name, **SMALL[name]) for name in names()}


@pytest.mark.parametrize("name", names())
def test_each_shows_what_it_says(runs, name):
    found = runs[name]
    assert found.holds
    assert found.verdict == text(name).answer
    assert found.done
    assert found.found
    assert found.tables
    assert found.curves


@pytest.mark.parametrize("name", names())
def test_curves_and_tables_can_be_drawn(runs, name):
    for chart in runs[name].curves:
        for line in [*chart.lines.values(), *chart.bounds.values()]:
            assert line.x.shape == line.y.shape
            assert 1 < len(line.x) <= 201
            assert np.isfinite(line.x).all()
            assert np.isfinite(line.y).all()
            assert not chart.log or (line.y > 0).all(), chart.title
    for table in runs[name].tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_settings_that_do_not_show_it_are_not_given_the_answer():
    found = demonstrate("explosion", steps=3, units=4, scales=(1.0,))
    assert not found.holds
    assert found.verdict != text("explosion").answer


def test_a_wrong_name_or_setting_leads_to_the_right_one():
    with pytest.raises(OptionError, match="did you mean 'vanishing'"):
        demonstrate("vanishng")
    with pytest.raises(OptionError, match="growth: there is no setting 'step': did you mean"):
        demonstrate("growth", step=3)


def test_it_repeats_and_leaves_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (demonstrate("gates", batches=4, seeds=(1,)) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_thinned_line_keeps_its_ends():
    line = Line.of(np.arange(1000), np.arange(1000.0))
    assert (line.x[0], line.x[-1], len(line.x)) == (0, 999, 201)


# gradients by step


def test_the_rnns_gradient_is_that_of_a_loop_in_numpy():
    matrix, weights = orthogonal(4, 0.9, 1).numpy(), gaussian(4, 1.0, 2)[:, :2].numpy()
    x = np.random.default_rng(0).normal(size=(12, 2))
    layer = network("rnn", 2, 4, {"U": torch.tensor(matrix), "W": torch.tensor(weights)})
    steps = unroll(layer, torch.tensor(x))
    found = flow(steps, steps[-1]["h"].sum(), "h")
    h, hs = np.zeros(4), []
    for row in x:
        h = np.tanh(weights @ row + matrix @ h)
        hs.append(h)
    gradient, expected = np.ones(4), [np.ones(4)]
    for h in reversed(hs):
        gradient = matrix.T @ ((1 - h**2) * gradient)
        expected.append(gradient)
    np.testing.assert_allclose(found, expected[::-1], rtol=1e-12, atol=1e-16)


def test_without_input_the_gradient_is_the_power_of_the_matrix():
    matrix = gaussian(5, 0.8, 3)
    steps = unroll(network("rnn", 1, 5, {"U": matrix}), torch.zeros(20, 1, dtype=torch.float64))
    found = flow(steps, steps[-1]["h"].sum(), "h")[0]
    np.testing.assert_allclose(found, np.ones(5) @ np.linalg.matrix_power(matrix.numpy(), 20))


def test_matrices_have_the_spectrum_that_is_asked_for():
    assert max(abs(np.linalg.eigvals(gaussian(6, 0.7, 0).numpy()))) == pytest.approx(0.7)
    np.testing.assert_allclose(np.linalg.svd(orthogonal(6, 0.7, 0).numpy())[1], 0.7)


def test_the_worked_examples_gradients():
    found = example()
    assert found.direct[:3] == pytest.approx([0.260, 0.402, 0.728], abs=5e-4)
    assert found.total[:3] == pytest.approx([0.9515, 0.9378, 0.9886], abs=5e-5)


def test_the_worked_examples_table():
    (_, *columns), rows = example().table().columns, example().table().rows
    assert columns == ["f", "c", "h"]
    assert [row[1:] for row in rows] == [
        pytest.approx(row, abs=5e-7)
        for row in [
            (0.549834, 0.108524, 0.059437),
            (0.647812, 0.422538, 0.258520),
            (0.551942, 0.346668, 0.184027),
            (0.727907, 0.801769, 0.484076),
        ]
    ]


def test_the_scalar_rnn_keeps_an_eighth_over_three_steps():
    assert example("rnn", 1, 0.0).total[0] == 0.125


def test_the_scalar_rnn_on_the_words_loses_more_to_the_slopes_of_tanh():
    h, slopes = 0.0, []
    for a, b in [(0.5, -0.1), (0.3, 0.8), (0.1, -0.2), (0.9, 0.7)]:
        h = math.tanh(0.5 * (a + b + h))
        slopes.append(0.5 * (1 - h * h))
    assert example("rnn", 1).total[0] == pytest.approx(math.prod(slopes[1:]), rel=1e-12)


def test_no_gradient_of_an_rnn_exceeds_the_bound_of_its_singular_values(runs):
    n = runs["vanishing"].numbers
    for lag in (10, 30, 100):
        assert n[f"RNN, scaled orthogonal {lag}"] <= 0.9**lag
        assert n[f"RNN, random {lag}"] <= n["sigma"] ** lag
    assert n["sigma"] > 1  # so that bound promises nothing


def test_eigenvalues_of_0_do_not_keep_a_gradient_from_growing():
    matrix = np.array([[1.5, 1.5], [-1.5, -1.5]])
    assert not np.linalg.matrix_power(matrix, 2).any()
    np.testing.assert_allclose(without_eigenvalues(80), 1.5 ** np.arange(81))


def test_the_lstms_gradient_at_c_lasts_where_f_is_near_one(runs):
    n = runs["vanishing"].numbers
    assert n["LSTM, at c 100"] == pytest.approx(1, abs=0.1)
    assert n["LSTM, product of f 100"] == pytest.approx((1 / (1 + math.exp(-10))) ** 100, abs=1e-3)


def test_an_lstm_of_one_unit_reaches_1e17_in_100_steps():
    found = at_rest(100)
    np.testing.assert_allclose(found, 1.48 ** np.arange(101), rtol=1e-12)
    assert found[-1] > 1e17


def test_a_scaled_lstms_gradient_is_that_of_pytorch():
    x = torch.randn(31, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = scaled(8.0, 6, x, seed=3)
    torch.manual_seed(3)
    layer = torch.nn.LSTM(4, 6, dtype=torch.float64)
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= 8.0
    # c after the first step reaches the rest as c, and as h = o tanh(c)
    h0 = torch.zeros(1, 6, dtype=torch.float64)
    _, (h, c) = layer(x[:1], (h0, h0))
    c = c.detach().requires_grad_()
    w, u = layer.weight_ih_l0[18:], layer.weight_hh_l0[18:]
    o = torch.sigmoid(x[0] @ w.T + layer.bias_ih_l0[18:] + layer.bias_hh_l0[18:] + h0 @ u.T)
    torch.testing.assert_close(o * torch.tanh(c), h)
    last = layer(x[1:], (o * torch.tanh(c), c))[1][1]
    (gradient,) = torch.autograd.grad(last.sum(), c)
    assert found[-1] == pytest.approx(float(gradient.norm()) / math.sqrt(6), rel=1e-9)


# states


def test_the_cell_state_is_50_after_50_saturated_steps(runs):
    c, h, slope = saturated(50)
    np.testing.assert_array_equal(c, np.arange(1, 51))
    np.testing.assert_allclose(h, np.tanh(c))
    np.testing.assert_allclose(slope, 1 / np.cosh(c) ** 2, atol=1e-15)
    assert runs["growth"].numbers["c"] == 50


def test_a_leaky_cell_state_stays_below_its_bound():
    np.testing.assert_allclose(saturated(30, 0.9)[0], 10 * (1 - 0.9 ** np.arange(1, 31)))


def test_each_unit_keeps_its_own_share():
    shares, lives = kept((0.5, 0.9, 0.99, 1.0), 40)
    np.testing.assert_allclose(shares[-1], [0.5**40, 0.9**40, 0.99**40, 1])
    np.testing.assert_allclose(lives[:3], np.log(0.5) / np.log([0.5, 0.9, 0.99]))
    assert lives[3] == np.inf


def test_what_is_held_is_overlaid_as_the_variances_say():
    written = np.var(0.5 * np.tanh(0.3 * np.random.default_rng(0).normal(size=200_000)))
    found = overlaid(60, 4000, seed=1)
    np.testing.assert_allclose(found, 1 / (1 + np.arange(61) * written), atol=0.05)


def test_relu_in_place_of_tanh_is_the_lstms_equations_with_two_lines_changed():
    lines = ReluLSTM().text().splitlines()
    other = [line for line in lines if "ReLU" in line or "relu" in line]
    assert len(other) == 2
    assert "tanh" not in ReluLSTM().text()


def test_a_relu_rnn_grows_as_its_loop_in_numpy():
    found = growth("rnn-relu", 1.5, 20, 5, seed=4)
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(20, 2, generator=draw, dtype=torch.float64).numpy()
    weights = torch.randn(5, 2, generator=draw, dtype=torch.float64).numpy()
    matrix, h = gaussian(5, 1.5, 4).numpy(), np.zeros(5)
    for value, row in zip(found, x, strict=True):
        h = np.maximum(0, weights @ row + matrix @ h)
        assert value == pytest.approx(h.max(), rel=1e-10)


@pytest.mark.parametrize("scale", [0.99, 1.0, 1.01])
def test_a_relu_rnn_at_the_identity_keeps_the_gradient(scale):
    assert identity(scale, 500) == pytest.approx(scale**500, rel=1e-10)


# trainings


def test_clipping_keeps_a_training_that_is_lost_without_it(runs):
    assert runs["clipping"].numbers == {"learned with": 2.0, "learned without": 0.0}


def test_the_first_step_is_clipped_to_its_norm():
    free, held = (clipped_training(0, 2, clip) for clip in (math.inf, 0.01))
    assert free.losses[0] == held.losses[0]
    assert free.norms[0] == held.norms[0] > 0.01
    # a step of gradient descent is the rate times the clipped norm long, or less far from the loss
    assert abs(held.losses[1] - held.losses[0]) < abs(free.losses[1] - free.losses[0])


def test_a_frozen_gate_does_not_move_and_the_others_do():
    for k, gate in enumerate("ifgo"):
        moved = train(0, 3, gate, 6, 4).moved
        assert moved[k] == 0
        assert (np.delete(moved, k) > 0).all()


def test_a_gates_gradient_holds_the_other_gates():
    """With the output gate shut by its bias no gate gets a gradient at all."""
    shut = coupling(0, -200.0, 6, 4)[3]
    np.testing.assert_allclose(shut, 1, atol=1e-12)


# the page


def test_the_page_holds_every_sentence_and_loads_nothing(runs):
    page = render([runs["growth"], runs["explosion"]])
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    text = html.unescape(page)
    for name in ("growth", "explosion"):
        for line in (runs[name].claim, runs[name].verdict, *runs[name].done, *runs[name].found):
            assert line in text
    assert page.count('data-chart="') == 2
    assert "<script src" not in page
    assert "http-equiv" in page
