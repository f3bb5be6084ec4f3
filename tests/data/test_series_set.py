"""From a table to regular series: order, gaps, repetitions, futures, faults."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.data import Schema, detect, fill_forward, series_set
from gated.errors import DataError

NAN = np.nan
DAILY = Schema(layout="long", target="y", time_col="ds", freq="D")
MANY = Schema(layout="long", target="y", time_col="ds", id_col="unique_id", freq="D")


def days(*numbers) -> list[pd.Timestamp]:
    return [pd.Timestamp("2024-01-01") + pd.Timedelta(days=number) for number in numbers]


def table(numbers, y, **columns) -> pd.DataFrame:
    return pd.DataFrame({"ds": days(*numbers), "y": y, **columns})


# Order and gaps.


def test_rows_are_sorted_by_time():
    data = series_set(table([2, 0, 1], [3.0, 1.0, 2.0]), DAILY)
    assert data.series[0].y.tolist() == [1.0, 2.0, 3.0]


def test_gaps_become_missing_steps_and_are_counted():
    data = series_set(table([0, 1, 4, 6], [1.0, NAN, 2.0, 3.0]), DAILY)
    np.testing.assert_array_equal(data.series[0].y, [1, NAN, NAN, NAN, 2, NAN, 3])
    np.testing.assert_array_equal(data.series[0].ds, np.array(days(*range(7)), "datetime64[ns]"))
    health = data.health
    assert (health.gaps, health.missing, health.longest_gap) == (3, 1, 3)


def test_covariates_are_missing_in_gaps():
    schema = Schema("long", "y", "ds", freq="D", past=("p",), future=("f",))
    data = series_set(table([0, 2], [1.0, 2.0], p=[5.0, 6.0], f=[7.0, 8.0]), schema)
    np.testing.assert_array_equal(data.series[0].past, [[5], [NAN], [6]])
    np.testing.assert_array_equal(data.series[0].future, [[7], [NAN], [8]])


def test_series_may_be_of_unequal_length_and_interleaved():
    frame = table([0, 5, 1, 6, 2], [1.0, 10.0, 2.0, 20.0, 3.0], unique_id=list("babab"))
    data = series_set(frame, MANY)
    assert [(one.unique_id, one.y.tolist()) for one in data.series] == [
        ("b", [1.0, 2.0, 3.0]),
        ("a", [10.0, 20.0]),
    ]


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=30, unique=True),
    st.randoms(use_true_random=False),
)
def test_every_row_is_found_at_its_time_whatever_the_order(numbers, random):
    y = [float(number) for number in numbers]
    order = list(range(len(numbers)))
    random.shuffle(order)
    one = series_set(table(numbers, y).iloc[order], DAILY).series[0]
    seen = np.isfinite(one.y)
    assert seen.sum() == len(numbers)
    assert len(one) == max(numbers) - min(numbers) + 1
    offsets = (one.ds - np.datetime64("2024-01-01")) / np.timedelta64(1, "D")
    np.testing.assert_array_equal(offsets[seen], one.y[seen])


def test_integer_times_have_their_own_step():
    frame = pd.DataFrame({"t": [0, 10, 30], "y": [1.0, 2.0, 3.0]})
    data = series_set(frame, detect(frame, time_col="t"))
    assert data.series[0].ds.tolist() == [0, 10, 20, 30]
    assert data.stamps_after(data.series[0], 2).tolist() == [40, 50]


# The calendar.


@pytest.mark.parametrize(
    "freq", ["MS", "ME", "QS-JAN", "QE-DEC", "YS-JAN", "YE-DEC", "B", "W-WED", "h", "15min", "2MS"]
)
def test_stamps_and_what_follows_them_are_those_of_pandas(freq):
    stamps = pd.date_range("2020-01-01", periods=30, freq=freq)
    frame = pd.DataFrame({"ds": stamps, "y": np.arange(30.0)}).drop(index=[5, 11, 12])
    schema = detect(frame, season=1)
    data = series_set(frame, schema)
    np.testing.assert_array_equal(data.series[0].ds, stamps.to_numpy().astype("datetime64[ns]"))
    follow = pd.date_range(stamps[-1], periods=5, freq=freq)[1:]
    np.testing.assert_array_equal(
        data.stamps_after(data.series[0], 4), follow.to_numpy().astype("datetime64[ns]")
    )
    assert schema.freq == freq or freq[:2] in ("QS", "QE")


def test_months_stamped_on_another_day_are_moved_and_noted():
    stamps = [f"2024-{month:02d}-15" for month in range(1, 7)]
    frame = pd.DataFrame({"ds": stamps, "y": np.arange(6.0)})
    data = series_set(frame, detect(frame))
    assert data.series[0].ds[1] == np.datetime64("2024-02-01")
    assert "first day of their month" in data.health.notes[0]


def test_time_off_the_grid_is_named():
    stamps = [f"2024-01-01 {hour:02d}:00" for hour in range(10)] + ["2024-01-01 10:17"]
    with pytest.raises(DataError, match="row 10, column 'ds': 2024-01-01 10:17:00 is not on the"):
        detect(pd.DataFrame({"ds": stamps, "y": 1.0}))


def test_weekend_is_off_the_grid_of_business_days():
    schema = Schema("long", "y", "ds", freq="B")
    with pytest.raises(DataError, match=r"row 1, column 'ds': 2024-01-06.*no business day"):
        series_set(table([4, 5], [1.0, 2.0]), schema)


def test_grid_of_nothing_but_gaps_is_refused():
    with pytest.raises(DataError, match="nearly all missing"):
        series_set(table([0, 10_000], [1.0, 2.0]), Schema("long", "y", "ds", freq="min"))


# Repetitions.


def test_identical_rows_are_dropped_and_counted():
    data = series_set(table([0, 1, 1, 1, 2], [1.0, 2.0, 2.0, 2.0, 3.0]), DAILY)
    assert data.series[0].y.tolist() == [1.0, 2.0, 3.0]
    assert data.health.duplicates_dropped == 2


def test_identical_rows_without_a_value_are_identical():
    data = series_set(table([0, 1, 1, 2], [1.0, NAN, NAN, 3.0]), DAILY)
    assert data.health.duplicates_dropped == 1


def test_different_rows_at_one_time_are_refused_with_both_places():
    frame = table([0, 1, 2, 1], [1.0, 2.0, 3.0, 9.0])
    with pytest.raises(DataError, match=r"row 3, column 'ds': 2024-01-02.*as row 1\)"):
        series_set(frame, DAILY)


def test_rows_that_differ_in_a_covariate_are_refused():
    schema = Schema("long", "y", "ds", freq="D", past=("p",))
    with pytest.raises(DataError, match="is there already"):
        series_set(table([0, 1, 1], [1.0, 2.0, 2.0], p=[1.0, 2.0, 3.0]), schema)


def test_one_time_in_two_series_is_no_repetition():
    data = series_set(table([0, 0], [1.0, 2.0], unique_id=["a", "b"]), MANY)
    assert data.health.duplicates_dropped == 0


# Daylight saving time and zones.

NEW_YORK = pd.date_range("2024-01-01", "2024-12-31", freq="h", tz="America/New_York")


def test_local_hours_of_autumn_get_a_hint_at_daylight_saving_time():
    frame = pd.DataFrame({"ds": NEW_YORK.tz_localize(None), "y": np.arange(float(len(NEW_YORK)))})
    with pytest.raises(DataError, match=r"2024-11-03 01:00:00 is there already.*clocks go back"):
        detect(frame)


def test_local_hours_of_spring_get_a_note():
    spring = NEW_YORK[: 24 * 200]
    frame = pd.DataFrame({"ds": spring.tz_localize(None), "y": 1.0})
    notes = series_set(frame, detect(frame)).health.notes
    assert "2024-03-10" in notes[0]
    assert "daylight saving" in notes[0]


@pytest.mark.parametrize("as_text", [True, False])
def test_time_zones_become_utc(as_text):
    stamps = NEW_YORK.map(pd.Timestamp.isoformat) if as_text else NEW_YORK
    frame = pd.DataFrame({"ds": stamps, "y": np.arange(float(len(NEW_YORK)))})
    data = series_set(frame, detect(frame))
    assert data.series[0].ds[0] == np.datetime64("2024-01-01T05:00")
    assert data.health.gaps == 0
    assert any("UTC" in note for note in data.health.notes)


# The ends of a series.


def test_steps_without_a_value_at_both_ends_are_left_out():
    data = series_set(table(range(6), [NAN, NAN, 1.0, NAN, 2.0, NAN]), DAILY)
    np.testing.assert_array_equal(data.series[0].y, [1, NAN, 2])
    assert data.series[0].ds[0] == np.datetime64("2024-01-03")
    assert data.health.trimmed == 3


def test_rows_with_known_covariates_behind_the_target_are_the_future():
    schema = Schema("long", "y", "ds", freq="D", past=("p",), future=("f",))
    frame = table(
        range(5),
        [1.0, 2.0, NAN, NAN, NAN],
        p=[1.0, 1.0, NAN, NAN, NAN],
        f=[5.0, 6.0, 7.0, 8.0, NAN],
    )
    data = series_set(frame, schema)
    one = data.series[0]
    assert len(one) == len(one.ds) == len(one.past) == 2
    assert one.future[:, 0].tolist() == [5.0, 6.0, 7.0, 8.0]
    assert (data.health.future_rows, data.health.trimmed) == (2, 1)


def test_series_without_a_value_is_left_out_and_noted():
    data = series_set(table([0, 1, 0], [1.0, 2.0, NAN], unique_id=["a", "a", "b"]), MANY)
    assert [one.unique_id for one in data.series] == ["a"]
    assert any("without any value" in note for note in data.health.notes)


def test_target_without_any_value_is_an_error():
    with pytest.raises(DataError, match="'y' holds no value"):
        series_set(table([0, 1], [NAN, NAN]), DAILY)


# Values.


def test_constant_series_are_kept_and_named():
    health = series_set(table([0, 1, 2], [4.0, NAN, 4.0]), DAILY).health
    assert health.constant == ("y",)


def test_infinite_value_is_refused_with_its_row():
    with pytest.raises(DataError, match="row 1, column 'y': an infinite value"):
        series_set(table([0, 1], [1.0, np.inf]), DAILY)


def test_flags_become_one_and_zero():
    schema = Schema("long", "y", "ds", freq="D", future=("holiday",))
    data = series_set(table([0, 1], [1.0, 2.0], holiday=["True", "false"]), schema)
    assert data.series[0].future[:, 0].tolist() == [1.0, 0.0]


def test_missing_series_name_is_refused_with_its_row():
    with pytest.raises(DataError, match="row 1, column 'unique_id': no name"):
        series_set(table([0, 1], [1.0, 2.0], unique_id=["a", None]), MANY)


def test_table_that_lacks_a_column_of_the_schema_is_refused():
    with pytest.raises(DataError, match="no column 'y', did you mean 'Y'"):
        series_set(table([0], [1.0]).rename(columns={"y": "Y"}), DAILY)


def test_whole_numbers_where_dates_were_expected_are_refused():
    with pytest.raises(DataError, match="holds whole numbers; expected dates of frequency D"):
        series_set(pd.DataFrame({"ds": [0, 1], "y": [1.0, 2.0]}), DAILY)


def test_one_row_for_each_series_where_rows_are_series():
    schema = Schema("rows", "*", id_col="name")
    with pytest.raises(DataError, match="row 1, column 'name': the series 'a' is there already"):
        series_set(pd.DataFrame({"name": ["a", "a"], "V2": [1, 2]}), schema)


def test_health_survives_json():
    health = series_set(table([0, 2], [1.0, 2.0]), DAILY).health
    plain = json.loads(json.dumps(health.to_dict()))
    assert plain == health.to_dict()
    assert plain["spans"] == [
        {
            "unique_id": "y",
            "start": "2024-01-01 00:00:00",
            "end": "2024-01-03 00:00:00",
            "length": 3,
            "missing": 1,
        }
    ]


def test_the_frame_is_left_as_it_was():
    frame = table([2, 0, 0], [1.0, 2.0, 2.0])
    before = frame.copy(deep=True)
    series_set(frame, detect(frame, freq="D"))
    pd.testing.assert_frame_equal(frame, before)


# Filling.


def test_fill_takes_the_last_value_before_a_gap():
    filled, observed = fill_forward(np.array([[NAN, 1.0], [2.0, NAN], [NAN, NAN]]), start=-1.0)
    assert filled.tolist() == [[-1.0, 1.0], [2.0, 1.0], [2.0, 1.0]]
    assert observed.tolist() == [[False, True], [True, False], [False, False]]


def test_fill_of_nothing_is_nothing():
    filled, observed = fill_forward(np.empty((0, 2)))
    assert filled.shape == observed.shape == (0, 2)


VALUES = st.lists(st.one_of(st.just(NAN), st.floats(-1e6, 1e6)), min_size=1, max_size=40)


@given(VALUES, st.data())
def test_fill_sees_nothing_of_the_future(values, data):
    now = data.draw(st.integers(1, len(values)))
    changed = np.array(values)
    changed[now:] = data.draw(st.floats(-1e6, 1e6))
    np.testing.assert_array_equal(
        fill_forward(np.array(values))[0][:now], fill_forward(changed)[0][:now]
    )


@given(VALUES)
def test_fill_keeps_what_was_observed_and_leaves_nothing_missing(values):
    filled, observed = fill_forward(np.array(values))
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[observed], np.array(values)[observed])
