"""What is found from the data, and what is refused before anything is trained."""

import math
import re

import numpy as np
import pytest
from forecast_cases import series, set_of

from gated.errors import DataError, OptionError
from gated.tasks.forecast import ForecastConfig
from gated.tasks.forecast.split import Split, resolve, split


def resolved(*many, season=1, **options):
    return resolve(ForecastConfig.make(options), set_of(*many, season=season))


def ramp(length, name="a"):
    return series(name, np.arange(1.0, length + 1))


def test_horizon_and_context_follow_the_season():
    config = resolved(ramp(2000), season=24)
    assert (config.horizon, config.context_length, config.origins) == (24, 168, 24)


def test_without_a_season_the_horizon_is_a_tenth_of_the_series_but_at_most_twelve():
    assert resolved(ramp(60)).horizon == 6
    assert resolved(ramp(500)).horizon == 12


def test_the_context_reaches_over_half_the_training_part_at_most():
    config = resolved(ramp(100), season=24, horizon=4)
    train = split(config, [ramp(100)])[0].train
    assert config.context_length == (train - 4) // 2


def test_a_context_that_was_asked_for_is_kept():
    assert resolved(ramp(100), context_length=500).context_length == 500


def test_the_last_steps_are_tested_and_those_before_them_choose():
    config = resolved(ramp(1000), horizon=5, val_size=100, test_size=200)
    assert split(config, [ramp(1000)]) == [Split(700, 800, 1000)]


def test_parts_are_fifteen_percent_but_at_least_a_horizon():
    config = ForecastConfig(horizon=10)
    assert split(config, [ramp(200), ramp(50), ramp(12), ramp(3)]) == [
        Split(140, 170, 200), Split(30, 40, 50), Split(2, 2, 12), Split(3, 3, 3)
    ]  # fmt: skip


def test_series_of_unlike_sizes_are_seen_in_logarithms():
    assert resolved(ramp(100), series("b", 50 * np.arange(1.0, 101))).scaling == "log"
    assert resolved(ramp(100), series("b", 5 * np.arange(1.0, 101))).scaling == "level"
    assert resolved(ramp(100), series("b", 50 * np.arange(100.0))).scaling == "level"


def test_logarithms_are_refused_where_there_are_none():
    with pytest.raises(OptionError, match=r"'b' holds -3, expected positive.*scaling=level"):
        resolved(ramp(100), series("b", np.arange(-3.0, 97)), scaling="log")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 9}, "20 steps, too few to train, choose and test with a horizon of 9"),
        ({"horizon": 4, "test_size": 3}, "test_size=3: expected at least 4"),
        ({"horizon": 4, "val_size": 1}, "val_size=1: expected at least 4"),
        ({"horizon": 1, "val_size": 1, "test_size": 18}, "too few to train"),
        ({"horizon": 1, "val_size": 19}, "leave none to train on"),
    ],
)
def test_what_leaves_a_part_empty_is_refused_before_training(options, message):
    with pytest.raises((DataError, OptionError), match=re.escape(message)):
        resolved(ramp(20), **options)


def test_a_validation_part_without_a_value_is_refused_before_training():
    y = np.arange(40.0)
    y[28:34] = math.nan
    with pytest.raises(DataError, match="no target is known in the validation part"):
        resolved(series("a", y), horizon=2)


def test_a_short_series_is_welcome_beside_a_long_one():
    config = resolved(ramp(100), ramp(3, "short"), horizon=5)
    assert split(config, [ramp(3)]) == [Split(3, 3, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizn": 3}, "no option 'horizn': did you mean 'horizon'?"),
        ({"horizon": 0}, "horizon=0: expected a whole number of at least 1"),
        ({"horizon": True}, "horizon=True: expected a whole number"),
        ({"hidden_size": 2.5}, "hidden_size=2.5: expected a whole number"),
        ({"dropout": 1.0}, "dropout=1.0: expected a share"),
        ({"loss": "crps"}, "loss='crps': expected one of quantile, mse, mae, huber"),
        ({"scaling": "max"}, "scaling='max': expected one of auto"),
        ({"quantiles": (0.1, 0.9)}, "0.5 among them"),
        ({"quantiles": (0.0, 0.5)}, "different numbers between 0 and 1"),
        ({"quantiles": (0.5, 0.5)}, "different numbers"),
        ({"quantiles": ("a", 0.5)}, "options cannot be read"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0: expected more than 0"),
        ({"cell": 7}, "cell=7: expected the name of a cell"),
        ({"cell": "lstmp"}, "cell='lstmp': expected a cell with one input and no sizes but"),
        ({"cell": "gru-d"}, "cell='gru-d': expected a cell with one input and no sizes but"),
        ({"cell": "t-lstm"}, "cell='t-lstm': expected a cell with one input and no sizes but"),
        ({"cell": "lstn"}, "did you mean 'lstm'"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ForecastConfig.make(options)


def test_classic_is_the_textbook_model_where_nothing_else_is_asked_for():
    config = ForecastConfig.make({"classic": True, "hidden_size": 20})
    assert (config.hidden_size, config.loss, config.skip, config.origins) == (20, "mse", False, 1)
    assert (config.scaling, config.schedule, config.weight_decay) == ("series", "constant", 0.0)
