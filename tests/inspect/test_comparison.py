"""Comparison of networks: what permuting, turning and scaling may and may not change."""

from itertools import permutations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import gated
from gated.errors import ShapeError
from gated.inspect.measures import differences, linear_cka, match_units, saturation

SEEDS = st.integers(0, 2**32 - 1)


def spaces(seed: int, steps: int = 40, units: tuple[int, int] = (3, 4)):
    """Two state spaces that share one direction."""
    draw = np.random.default_rng(seed)
    x, y = (draw.normal(size=(steps, n)) for n in units)
    y[:, 0] += x[:, 1]
    return x, y


def permuted(layer: gated.LSTM, order: torch.Tensor) -> gated.LSTM:
    """The same LSTM with its units in another order."""
    twin = gated.LSTM(layer.input_size, layer.hidden_size, dtype=torch.float64)
    with torch.no_grad():
        for name, theirs in layer.named_parameters():
            blocks = theirs.unflatten(0, (4, -1))[:, order]
            if "hh" in name and "weight" in name:
                blocks = blocks[..., order]
            getattr(twin, name).copy_(blocks.flatten(0, 1))
    return twin


@pytest.fixture
def twins():
    """Traces of an LSTM, and of the same with its units permuted."""
    torch.manual_seed(0)
    layer = gated.LSTM(3, 6, dtype=torch.float64)
    order = torch.randperm(6)
    x = torch.randn(60, 2, 3, dtype=torch.float64)
    traces = [one(x, trace=True)[2] for one in (layer, permuted(layer, order))]
    return *({n: v.detach().numpy() for n, v in t.at(0).items()} for t in traces), order.numpy()


@pytest.mark.parametrize("name", ["h", "c", "f"])
def test_a_network_with_its_units_permuted_is_found_to_be_the_same(twins, name):
    ours, theirs, order = twins
    found = match_units(ours[name], theirs[name])
    np.testing.assert_array_equal(order[found.second], found.first)
    np.testing.assert_allclose(found.pairs, 1, atol=1e-12)
    assert found.score == pytest.approx(1)
    assert linear_cka(ours[name], theirs[name]) == pytest.approx(1)
    assert linear_cka(ours[name], theirs[name], debiased=True) == pytest.approx(1)


def test_its_measures_have_the_same_distributions(twins):
    ours, theirs, _ = twins
    shares = [{"right": saturation(v["o"], high=0.5).right} for v in (ours, theirs)]
    (found,) = differences(*shares)
    assert found.first == found.second
    assert found.distance == 0


def test_a_unit_and_its_negative_are_a_pair_unless_the_sign_counts():
    x, _ = spaces(0)
    found = match_units(x, -x[:, ::-1])
    np.testing.assert_array_equal(found.second, [2, 1, 0])
    np.testing.assert_allclose(found.pairs, -1)
    assert match_units(x, -x[:, ::-1], signed=True).pairs.max() < 0.9


@given(SEEDS)
def test_no_other_pairing_has_a_larger_sum(seed):
    x, y = spaces(seed)
    found = match_units(x, y)
    sums = [np.abs(found.r[range(3), list(p)]).sum() for p in permutations(range(4), 3)]
    assert np.abs(found.pairs).sum() == pytest.approx(max(sums))


def test_the_larger_network_has_units_left_over():
    x, y = spaces(1)
    assert len(match_units(x, y).pairs) == len(match_units(y, x).pairs) == 3


def test_a_constant_unit_matches_nothing():
    x, y = spaces(2)
    x[:, 0] = 0.5
    found = match_units(x, y)
    assert np.isnan(found.r[0]).all()
    assert np.isnan(found.pairs).sum() == 1
    assert found.score < 1


def gram_cka(x, y, inner):
    kernels = x @ x.T, y @ y.T
    k, l = kernels
    return inner(k, l) / np.sqrt(inner(k, k) * inner(l, l))


def centred(k, l):
    """The biased estimate, by the centring matrix of the definition."""
    h = np.eye(len(k)) - 1 / len(k)
    return np.trace(k @ h @ l @ h)


def unbiased(k, l):
    """Song et al. 2012: kernels without their diagonals."""
    n = len(k)
    k, l = (m - np.diag(np.diag(m)) for m in (k, l))
    total = np.trace(k @ l) + k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * k.sum(axis=0) @ l.sum(axis=0)) / (n * (n - 3))


@given(SEEDS)
def test_cka_is_that_of_the_kernels(seed):
    x, y = spaces(seed, steps=12)
    assert linear_cka(x, y) == pytest.approx(gram_cka(x, y, centred))
    assert linear_cka(x, y, debiased=True) == pytest.approx(gram_cka(x, y, unbiased))


@given(SEEDS, st.floats(0.01, 100))
def test_cka_does_not_see_turning_scaling_and_shifting(seed, scale):
    x, y = spaces(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(4, 4)))
    for debiased in (False, True):
        there = linear_cka(x, y, debiased=debiased)
        back = linear_cka(x, scale * y @ turn + 3, debiased=debiased)
        assert back == pytest.approx(there, abs=1e-9)
        assert linear_cka(y, x, debiased=debiased) == pytest.approx(there)
    assert 0 <= linear_cka(x, y) <= 1 + 1e-12


def test_cka_sees_the_scale_of_single_units():
    x, y = spaces(3)
    assert abs(linear_cka(x, y * [0.01, 1, 1, 1]) - linear_cka(x, y)) > 0.1


def test_the_stated_limit_is_real_few_steps_look_alike_and_debiasing_helps():
    draw = np.random.default_rng(4)
    x, y = draw.normal(size=(20, 200)), draw.normal(size=(20, 200))
    assert linear_cka(x, y) > 0.8
    assert abs(linear_cka(x, y, debiased=True)) < 0.2


def test_cka_of_what_is_constant_is_none():
    assert np.isnan(linear_cka(np.full((5, 2), 0.1), spaces(5, steps=5)[0]))


def test_padding_changes_nothing_even_when_it_is_nan():
    x, y = spaces(6)
    valid = np.arange(40) < 25
    padded = np.where(valid[:, None], x, np.nan)
    assert linear_cka(padded, y, valid) == linear_cka(x[:25], y[:25])
    assert match_units(padded, y, valid).score == match_units(x[:25], y[:25]).score


@given(SEEDS)
def test_the_distance_of_distributions_is_kolmogorovs_and_smirnovs(seed):
    draw = np.random.default_rng(seed)
    first, second = draw.normal(size=7).round(1), draw.normal(size=11).round(1)
    (found,) = differences({"m": first}, {"m": second})
    assert found.distance == pytest.approx(scipy.stats.ks_2samp(first, second).statistic)
    assert (found.first, found.second) == (np.median(first), np.median(second))


def test_units_that_never_forget_are_larger_than_any_number():
    (found,) = differences({"half-life": [1, np.inf, np.inf]}, {"half-life": [1, 2, 3]})
    assert (found.first, found.second) == (np.inf, 2)
    assert found.distance == pytest.approx(2 / 3)


def test_what_only_one_network_has_is_left_out():
    found = differences({"half-life": [1.0], "f": [0.1]}, {"f": [0.2], "z": [0.3]})
    assert [row.name for row in found] == ["f"]


def test_a_measure_without_units_has_no_distance():
    (found,) = differences({"m": [np.nan]}, {"m": [1.0]})
    assert np.isnan([found.first, found.distance]).all()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (np.ones((5, 2)), np.ones((4, 2)), r"\(5, 2\) and \(4, 2\): expected the same steps"),
        (np.ones((2, 2)), np.ones((2, 2)), r"2 valid step\(s\)"),
        (np.full((5, 2), np.nan), np.ones((5, 2)), "the first network: column 0 is nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, said):
    with pytest.raises(ShapeError, match=said):
        match_units(first, second)
    with pytest.raises(ShapeError, match=said):
        linear_cka(first, second)


def test_three_steps_are_too_few_without_bias():
    with pytest.raises(ShapeError, match="3 steps, expected 4"):
        linear_cka(np.eye(3), np.eye(3), debiased=True)
