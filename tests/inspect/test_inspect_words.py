"""Numbers, verdicts, thinning and equations, each against what a person would write."""

import doctest
import importlib
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from gated.errors import OptionError
from gated.inspect import verdict
from gated.inspect.mathml import mathml
from gated.inspect.report.thin import average_steps, middle_times, pick_units
from gated.inspect.words import cautions, explain_metric, number, percent


def table(**values):
    return {name: {"MASE": value} for name, value in values.items()}


def test_a_win_names_the_best_baseline_and_by_how_much():
    assert verdict(table(LSTM=0.75, naive=2.0, ridge=1.0), "LSTM") == (
        "LSTM beats the best baseline (ridge): 25% less error (MASE).",
        "win",
    )


def test_a_loss_says_plainly_what_to_use():
    assert verdict(table(LSTM=1.0, naive=2.0, ridge=0.8), "LSTM") == (
        "ridge beats the network (LSTM): 20% less error (MASE). Use ridge.",
        "lose",
    )


def test_a_difference_below_the_threshold_is_a_tie_and_the_simpler_wins():
    sentence, outcome = verdict(table(LSTM=0.995, ridge=1.0), "LSTM")
    assert outcome == "tie"
    assert "Use ridge" in sentence


def test_two_perfect_forecasts_tie():
    assert verdict(table(LSTM=0.0, ridge=0.0), "LSTM")[1] == "tie"


def test_a_network_without_a_usable_forecast_loses():
    assert verdict(table(LSTM=math.nan, ridge=1.0), "LSTM")[1] == "lose"


def test_a_baseline_that_failed_is_no_opponent():
    assert verdict(table(LSTM=0.9, ridge=math.nan, naive=1.0), "LSTM")[0].startswith(
        "LSTM beats the best baseline (naive): 10%"
    )


def test_without_baselines_nothing_is_claimed():
    assert verdict(table(LSTM=0.9), "LSTM")[1] == "none"


@pytest.mark.parametrize(("network", "metric"), [("GRU", "MASE"), ("LSTM", "MAPE")])
def test_a_verdict_on_what_was_not_measured_is_refused(network, metric):
    with pytest.raises(OptionError, match="verdict: no"):
        verdict(table(LSTM=1.0), network, metric)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (17420, "17,420"),
        (0.58249, "0.582"),
        (13.906, "13.9"),
        (-2.5, "−2.50"),
        (999.6, "1000"),
        (0.00001234, "1.23e−05"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (np.float32(0.25), "0.250"),
        (3.2e12, "3.2e+12"),
    ],
)
def test_numbers_are_written_as_people_do(value, written):
    assert number(value) == written


def test_small_shares_keep_a_decimal():
    assert [percent(v) for v in (0.0, 0.012, 0.5, 1.0)] == ["0%", "1.2%", "50%", "100%"]


@pytest.mark.parametrize(
    "metric", ["MASE", "sMAPE", "RMSE", "Weighted quantile loss", "weighted_quantile_loss", "WQL"]
)
def test_every_metric_of_the_verdict_is_explained(metric):
    assert explain_metric(metric)


def test_averaging_leaves_out_what_is_missing():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]])
    np.testing.assert_array_equal(average_steps(values, 2), [[2.0, np.nan], [5.0, 7.0]])


def test_each_average_stands_at_the_middle_of_its_steps():
    values = np.arange(12.0)
    np.testing.assert_array_equal(average_steps(values, 3), middle_times(values, 3))


def test_units_picked_include_the_shortest_and_the_longest_memory():
    memory = np.random.default_rng(0).permutation(1000).astype(float)
    picked = memory[pick_units(memory, 1000, 64)]
    assert len(picked) == 64
    assert picked[0] == 0
    assert picked[-1] == 999
    assert (np.diff(picked) > 0).all()


def test_an_infinite_half_life_sorts_last():
    assert pick_units(np.array([np.inf, 2.0, 5.0]), 3, 64).tolist() == [1, 2, 0]


def test_an_equation_becomes_well_formed_mathml():
    tree = ET.fromstring(mathml(r"c_t = f_t \odot c_{t-1}"))
    assert tree.tag == "math"
    assert "".join(tree.itertext()) == "ct=ft⊙ct−1"


@pytest.mark.parametrize(
    "latex", [r"\text{<script>alert(1)</script>}", r"\text{<img src=x onerror=alert(1)>}", "a < b"]
)
def test_markup_inside_an_equation_stays_text(latex):
    tree = ET.fromstring(mathml(latex))
    assert {node.tag for node in tree.iter()} <= {"math", "mrow", "mtext", "mi", "mo"}
    assert "<" in "".join(tree.itertext())


@pytest.mark.parametrize("latex", [r"\href{javascript:alert(1)}{x}", r"\style{background:red}{x}"])
def test_links_and_styles_in_an_equation_are_dropped(latex):
    tree = ET.fromstring(mathml(latex))
    assert not {name for node in tree.iter() for name in node.attrib} & {"href", "style"}


def test_latex_that_cannot_be_read_is_shown_as_it_is():
    assert "".join(ET.fromstring(mathml("a_b_c")).itertext()) == "a_b_c"


@pytest.mark.parametrize(
    "name", ["measures.memory", "words", "report.thin", "mathml", "report.figures"]
)
def test_the_examples_in_the_docstrings_hold(name):
    module = importlib.import_module(f"gated.inspect.{name}")
    extra = {"np": np} if name == "report.thin" else None
    result = doctest.testmod(module, extraglobs=extra)
    assert result.attempted > 0
    assert result.failed == 0


def test_cautions_name_a_metric_that_disagrees_with_the_headline():
    metrics = {"LSTM": {"MASE": 0.9, "WQL": 0.5}, "ridge": {"MASE": 1.0, "WQL": 0.3}}
    assert cautions(metrics, "LSTM", "MASE", {}) == ["By WQL ridge is better."]


def test_cautions_warn_of_intervals_that_miss_the_truth():
    metrics = {"LSTM": {"MASE": 0.9, "coverage 90%": 0.04}}
    (said,) = cautions(metrics, "LSTM", "MASE", {"coverage 90%": 0.9})
    assert said.startswith("Do not trust the intervals")
    assert "4" in said


def test_no_caution_where_all_metrics_agree():
    metrics = {
        "LSTM": {"MASE": 0.9, "WQL": 0.2, "coverage 90%": 0.88},
        "ridge": {"MASE": 1.0, "WQL": 0.3, "coverage 90%": 0.9},
    }
    assert cautions(metrics, "LSTM", "MASE", {"coverage 90%": 0.9}) == []
