"""Frequencies seen through gaps, and seasons seen through noise."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.data.grid import Grid, canonical, infer_freq
from gated.data.season import find_season, is_seasonal, usual_season
from gated.errors import OptionError

FREQS = [
    "s",
    "5min",
    "15min",
    "30min",
    "h",
    "6h",
    "D",
    "2D",
    "B",
    "W-SUN",
    "W-WED",
    "MS",
    "ME",
    "YS-JAN",
    "YE-DEC",
]


def stamps(freq: str, count: int = 60) -> np.ndarray:
    return pd.date_range("2021-03-05", periods=count, freq=freq).to_numpy().astype("datetime64[ns]")


def one_series(values: np.ndarray) -> np.ndarray:
    return np.zeros(len(values), np.int64)


@pytest.mark.parametrize("freq", FREQS)
def test_frequency_is_that_of_pandas_on_a_regular_series(freq):
    times = stamps(freq)
    assert infer_freq(one_series(times), times) == freq


@pytest.mark.parametrize("freq", FREQS)
def test_frequency_is_seen_through_gaps_repetitions_and_disorder(freq):
    random = np.random.default_rng(0)
    times = stamps(freq, 200)[random.random(200) > 0.3]
    times = random.permutation(np.concatenate([times, times[:3]]))
    found = infer_freq(one_series(times), times)
    assert Grid.of(found) == Grid.of(freq)


def test_frequency_is_one_for_series_that_start_at_different_times():
    times = np.concatenate([stamps("h"), stamps("h")[:20] + np.timedelta64(17, "m")])
    codes = np.repeat([0, 1], [60, 20])
    assert infer_freq(codes, times) == "h"


def test_a_single_time_has_no_frequency():
    assert infer_freq(np.array([0, 1]), stamps("D")[[0, 0]]) is None


@given(
    st.sampled_from(["min", "h", "D", "MS", "ME", "QS", "YE", "B", "W"]),
    st.lists(st.integers(-200, 200), min_size=1, max_size=20),
)
def test_numbers_and_stamps_are_each_others_inverse(freq, steps):
    grid = Grid.of(freq)
    numbers = grid.number(stamps(freq, 1))[0] + grid.step * np.array(steps)
    np.testing.assert_array_equal(grid.number(grid.stamps(numbers)), numbers)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [("H", "h"), ("15T", "15min"), ("M", "MS"), ("Q", "QS-JAN"), ("W", "W-SUN")],
)
def test_former_names_of_frequencies_are_understood(given_name, name):
    assert canonical(given_name) == name


@pytest.mark.parametrize("freq", ["", "monthly", "5", "-1h", "0h", "bh", "SME"])
def test_other_frequencies_are_refused(freq):
    with pytest.raises(OptionError, match="--freq"):
        canonical(freq)


@pytest.mark.parametrize(
    ("freq", "season"),
    [("s", 60), ("min", 60), ("5min", 288), ("15min", 96), ("30min", 48), ("h", 24), ("2h", 12),
     ("7h", 1), ("D", 7), ("2D", 1), ("B", 5), ("W-SUN", 52), ("MS", 12), ("2ME", 6), ("QS", 4),
     ("YS", 1), (None, 1)],
)  # fmt: skip
def test_usual_season_of_a_frequency(freq, season):
    assert usual_season(freq) == season


def noisy(season: int, count: int = 600) -> np.ndarray:
    random = np.random.default_rng(season)
    return np.tile(random.normal(size=season), count // season + 1)[:count] + random.normal(
        size=count
    )


@pytest.mark.parametrize("season", [4, 7, 12, 24, 48, 52, 96])
def test_season_is_seen_through_noise_of_its_own_size(season):
    assert is_seasonal(noisy(season), season)


@pytest.mark.parametrize("season", [4, 7, 12, 24, 48, 96])
def test_season_is_seen_through_gaps(season):
    values = noisy(season)
    values[np.random.default_rng(1).random(len(values)) < 0.2] = np.nan
    assert is_seasonal(values, season)


@pytest.mark.parametrize("season", [4, 7, 12, 24, 48])
def test_random_walks_and_trends_are_hardly_ever_taken_for_seasons(season):
    random = np.random.default_rng(season)
    walks = random.normal(size=(100, 500)).cumsum(axis=1)
    trends = walks[:, :1] + np.arange(500.0)
    noise = random.normal(size=(100, 500))
    for series in (walks, trends, noise):
        assert sum(is_seasonal(one, season) for one in series) <= 10


def test_constant_series_has_no_season():
    assert not is_seasonal(np.full(100, 3.0), 12)


def test_season_of_integer_steps_is_found_among_the_usual_ones():
    assert find_season(None, [noisy(24, 1000)])[0] == 24


def test_season_is_decided_by_most_series():
    noise = np.random.default_rng(0).normal(size=(3, 600))
    assert find_season("h", [noisy(24), noisy(24), noise[0]])[0] == 24
    assert find_season("h", [noisy(24), *noise])[0] == 1


def test_season_is_1_for_a_series_that_is_too_short_to_show_it():
    season, reason = find_season("MS", [np.sin(np.arange(36) * np.pi / 6)])
    assert season == 1
    assert "too short" in reason


def test_season_is_decided_on_the_first_part_alone():
    values = np.concatenate([np.random.default_rng(0).normal(size=600), noisy(24, 400) * 10])
    assert find_season("h", [values])[0] == 1
