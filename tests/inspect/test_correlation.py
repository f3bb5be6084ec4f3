"""Correlations against SciPy pair by pair, and what no correlation may depend on."""

import builtins

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from gated.errors import OptionError, ShapeError
from gated.inspect.measures import association, correlation, correlations

SCIPYS = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}


@pytest.fixture
def series():
    """Values (30, 4) and features (30, 3) with ties, some of them related."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(30, 4)).round(1)
    features = draw.normal(size=(30, 3)).round(1)
    features[:, 0] += 2 * values[:, 1]
    return values, features


def pairwise(method, values, features):
    """r and uncorrected p of each pair, by SciPy."""
    each = [[SCIPYS[method](v, f) for f in features.T] for v in values.T]
    return (np.array([[getattr(one, name) for one in row] for row in each])
            for name in ("statistic", "pvalue"))  # fmt: skip


@pytest.mark.parametrize("method", SCIPYS)
def test_r_is_scipys_and_p_is_scipys_corrected(series, method):
    r, p = pairwise(method, *series)
    found = correlation(*series, method=method)
    np.testing.assert_allclose(found.r, r, atol=1e-12)
    corrected = scipy.stats.false_discovery_control(p.ravel()).reshape(p.shape)
    np.testing.assert_allclose(found.p, corrected, rtol=1e-9)
    assert found.count == 30


def test_padding_is_left_out_even_when_it_is_nan(series):
    values, features = (np.stack([one[:20], one[10:]]) for one in series)
    valid = np.arange(20) < np.array([[20], [7]])
    padded = np.where(valid[..., None], values, np.nan)
    together = [np.concatenate([one[0], one[1, :7]]) for one in (values, features)]
    found = correlation(padded, features, valid)
    np.testing.assert_allclose(found.r, correlation(*together).r, atol=1e-14)
    assert found.count == 27


def test_a_lag_compares_with_the_past_within_each_row():
    x = np.random.default_rng(1).normal(size=(3, 40, 2))
    late = np.concatenate([np.zeros((3, 2, 2)), x[:, :-2]], axis=1)
    found = correlation(late, x, lags=[0, 2, -2])
    np.testing.assert_allclose(np.diagonal(found.r[1]), 1, atol=1e-12)
    assert np.abs(found.r[0]).max() < 0.5
    np.testing.assert_array_equal(found.count, [120, 114, 114])
    foretold = correlation(x, late, lags=-2)
    np.testing.assert_allclose(np.diagonal(foretold.r), 1, atol=1e-12)


def test_the_correction_is_for_all_that_was_asked_at_once(series):
    values, features = series
    both = correlations({"f": values[:, :2], "c": values[:, 2:]}, features)
    whole = correlation(values, features)
    np.testing.assert_allclose(np.concatenate([both["f"].p, both["c"].p]), whole.p)
    assert (correlation(values[:, :1], features).p <= whole.p[:1] + 1e-15).all()


@pytest.mark.parametrize("method", SCIPYS)
def test_what_is_constant_has_no_correlation_and_warns_of_nothing(series, method):
    values, features = series
    values[:, 2], features[:, 1] = 0.3, 7
    found = correlation(values, features, method=method)
    assert np.isnan(found.r[2]).all()
    assert np.isnan(found.p[:, 1]).all()
    assert np.isfinite(found.r[[0, 1, 3]][:, [0, 2]]).all()
    rest = correlation(values[:, [0, 1, 3]], features[:, [0, 2]], method=method)
    np.testing.assert_array_equal(found.p[[0, 1, 3]][:, [0, 2]], rest.p)


NUMBERS = some.arrays(np.float64, (8, 2), elements=st.integers(-50, 50).map(float))


@given(NUMBERS, NUMBERS, st.floats(0.1, 10), st.floats(-5, 5))
def test_scale_and_shift_change_no_correlation(values, features, scale, shift):
    there = correlation(values, features)
    back = correlation(values * scale + shift, features)
    np.testing.assert_allclose(back.r, there.r, atol=1e-9)


@given(NUMBERS, NUMBERS)
def test_ranks_see_only_the_order(values, features):
    there = correlation(values, features, method="spearman")
    bent = correlation(np.exp(values / 10), features, method="spearman")
    np.testing.assert_allclose(bent.r, there.r, atol=1e-12)


@given(NUMBERS, NUMBERS)
def test_r_is_symmetric_and_between_minus_one_and_one(values, features):
    found = correlation(values, features)
    np.testing.assert_allclose(found.r, correlation(features, values).r.T, atol=1e-12)
    assert not (np.abs(found.r) > 1).any()


def test_independent_units_pass_the_corrected_test_as_rarely_as_promised():
    draw = np.random.default_rng(3)
    found = correlation(draw.normal(size=(500, 60)), draw.normal(size=(500, 5)))
    assert (found.p < 0.05).sum() <= 2


def test_the_stated_limit_is_real_random_walks_look_related():
    walks = np.random.default_rng(4).normal(size=(400, 40)).cumsum(axis=0)
    found = correlation(walks[:, :20], walks[:, 20:])
    assert (found.p < 0.05).mean() > 0.6


@pytest.fixture
def labelled():
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 3, 50)
    values = draw.normal(size=(50, 4))
    values[:, 1] += labels == 2
    values[:, 2] = np.array([0.0, 5.0, -1.0])[labels]
    return values, np.array(["ab", "cd", "ef"])[labels]


def test_eta_squared_is_the_share_of_variance_between_the_labels(labelled):
    values, labels = labelled
    mean = values.mean(axis=0)
    between = sum(
        (labels == kind).sum() * (values[labels == kind].mean(axis=0) - mean) ** 2
        for kind in ("ab", "cd", "ef")
    )
    found = association(values, labels)
    np.testing.assert_allclose(found.eta_squared, between / ((values - mean) ** 2).sum(axis=0))
    assert found.classes.tolist() == ["ab", "cd", "ef"]


def test_its_p_values_are_those_of_scipys_analysis_of_variance(labelled):
    values, labels = labelled
    values = values[:, [0, 1, 3]]
    groups = [values[labels == kind] for kind in ("ab", "cd", "ef")]
    p = scipy.stats.f_oneway(*groups, axis=0).pvalue
    expected = scipy.stats.false_discovery_control(p)
    np.testing.assert_allclose(association(values, labels).p, expected, rtol=1e-9)


def test_a_unit_that_the_label_decides_has_all_its_variance_between(labelled):
    found = association(*labelled)
    assert found.eta_squared[2] == pytest.approx(1)
    assert found.p[2] < 1e-100


def test_each_label_against_the_rest_is_scipys_point_biserial(labelled):
    values, labels = labelled
    found = association(values, labels)
    for unit in range(4):
        for k, kind in enumerate(("ab", "cd", "ef")):
            expected = scipy.stats.pointbiserialr(labels == kind, values[:, unit]).statistic
            assert found.r[unit, k] == pytest.approx(expected, abs=1e-12)


def test_labels_of_two_kinds_say_the_same_in_both_measures(labelled):
    values, labels = labelled
    found = association(values, labels == "ef")
    np.testing.assert_allclose(found.r[:, 1] ** 2, found.eta_squared, atol=1e-12)
    np.testing.assert_allclose(found.p, found.r_p[:, 1], rtol=1e-6, atol=1e-300)


def test_labels_of_padding_are_no_labels(labelled):
    values, labels = labelled
    valid = np.arange(50) < 20
    labels = np.where(valid, labels, "none")
    found = association(values, labels, valid)
    np.testing.assert_array_equal(found.r, association(values[:20], labels[:20]).r)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda v, f: correlation(v, f[:-1]), ShapeError, r"\(30, 4\) and the features \(29, 3\)"),
        (lambda v, f: correlation(v, f[:, 0]), ShapeError, r"features has shape \(30,\)"),
        (lambda v, f: correlation(v[:2], f[:2]), ShapeError, r"2 valid step\(s\)"),
        (lambda v, f: correlation(v, f, lags=30), ShapeError, "lag 30 leaves no pair"),
        (lambda v, f: correlation(v, f + np.inf), ShapeError, "features: column 0 is .* valid="),
        (lambda v, f: correlation(v, f, method="kendall"), OptionError, "method='kendall'"),
        (lambda v, f: correlation(v, f, lags=[]), OptionError, "expected at least one"),
        (lambda v, f: association(v, f), ShapeError, r"labels have shape \(30, 3\), expected"),
        (lambda v, f: association(v, ["a"] * 30), OptionError, "every step has the label"),
    ],
)  # fmt: skip
def test_what_cannot_be_correlated_is_refused(series, call, error, said):
    with pytest.raises(error, match=said):
        call(*series)


def test_without_scipy_it_says_what_to_install(series, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", lambda name: refuse(name))
    with pytest.raises(
        OptionError, match=r"a test of correlation needs scipy.*pip install 'gated\[inspect\]'"
    ):
        correlation(*series)
