"""What a table means when nobody says so."""

import json

import numpy as np
import pandas as pd
import pytest

from gated.data import Schema, detect, series_set
from gated.errors import DataError, OptionError

HOURS = pd.date_range("2024-01-01", periods=240, freq="h")
DAILY_CYCLE = np.sin(2 * np.pi * np.arange(240) / 24)


def hourly(**columns) -> pd.DataFrame:
    return pd.DataFrame({"ds": HOURS, **(columns or {"y": DAILY_CYCLE})})


# Time.


@pytest.mark.parametrize(
    "name", ["ds", "date", "Date", "datetime", "timestamp", "TIME", "time (UTC)"]
)
def test_time_column_is_known_by_its_name(name):
    frame = hourly().rename(columns={"ds": name}).assign(posted="2020-01-01")
    assert detect(frame[["posted", name, "y"]]).time_col == name


def test_time_column_is_else_the_first_that_reads_as_dates():
    frame = pd.DataFrame({"label": ["a", "b", "c"], "Month": ["1949-01", "1949-02", "1949-03"]})
    assert detect(frame.assign(y=[1, 2, 3])).time_col == "Month"


def test_date_parts_are_joined():
    frame = pd.DataFrame({"year": HOURS.year, "month": HOURS.month, "day": HOURS.day})
    schema = detect(frame.assign(hour=HOURS.hour, y=DAILY_CYCLE))
    assert schema.time_col == "year+month+day+hour"
    assert schema.freq == "h"


def test_date_and_time_of_day_are_joined():
    dates = [f"{10 + day}/03/2004" for day in range(3) for _ in range(3)]
    frame = pd.DataFrame({"Date": dates, "Time": ["00.00.00", "08.00.00", "16.00.00"] * 3})
    schema = detect(frame.assign(y=np.arange(9.0)))
    assert (schema.time_col, schema.freq) == ("Date+Time", "8h")


def test_time_column_that_holds_no_time_is_mentioned():
    schema = detect(pd.DataFrame({"time": [0.1, 0.2, 0.4], "y": [1.0, 2.0, 3.0]}))
    assert schema.time_col is None
    assert "'time' holds neither dates" in schema.describe()[0]


def test_time_index_of_a_frame_is_its_time():
    frame = pd.DataFrame({"y": DAILY_CYCLE}, index=HOURS)
    assert detect(frame).time_col == "ds"
    assert series_set(frame, detect(frame)).series[0].ds[0] == np.datetime64("2024-01-01T00")


def test_without_time_the_rows_are_integer_steps():
    schema = detect(pd.DataFrame({"y": [3.0, 1.0, 2.0]}))
    assert (schema.time_col, schema.freq) == (None, None)
    assert series_set(pd.DataFrame({"y": [3.0, 1.0, 2.0]}), schema).series[0].ds.tolist() == [
        0,
        1,
        2,
    ]


def test_seconds_since_1970_are_dates():
    frame = pd.DataFrame({"timestamp": 1_704_067_200 + 3600 * np.arange(240), "y": DAILY_CYCLE})
    schema = detect(frame)
    assert schema.freq == "h"
    assert series_set(frame, schema).series[0].ds[0] == np.datetime64("2024-01-01T00")


@pytest.mark.parametrize(
    ("cells", "freq"),
    [
        (["20240101", "20240102", "20240103"], "D"),
        (["2024Q1", "2024Q2", "2024Q3"], "QS-JUL"),
        (["2024-01-01T00:00Z", "2024-01-01T06:00Z", "2024-01-01T12:00Z"], "6h"),
        (["2024-01-01", "2024-01-01 12:00", "2024-01-02"], "12h"),
        (["31/01/2024", "01/02/2024", "02/02/2024"], "D"),
        (["Jan 2024", "Feb 2024", "Mar 2024"], "MS"),
        ([2001, 2002, 2003], "YS-JAN"),
    ],
)
def test_ways_of_writing_dates(cells, freq):
    name = "year" if isinstance(cells[0], int) else "when"
    assert detect(pd.DataFrame({name: cells, "y": [1.0, 2.0, 4.0]})).freq == freq


def test_ambiguous_dates_take_the_more_regular_reading():
    months = [f"01/{month:02d}/{year}" for year in (2023, 2024) for month in range(1, 13)]
    frame = pd.DataFrame({"date": months, "y": np.arange(24.0)})
    assert detect(frame).freq == "MS"
    assert "day/month" in series_set(frame, detect(frame)).health.notes[0]


@pytest.mark.parametrize("row", [0, 3, 29])
def test_cell_that_is_no_date_is_named(row):
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=30)]
    days[row] = "soon"
    with pytest.raises(DataError, match=f"row {row}, column 'ds': 'soon' is not a date"):
        detect(pd.DataFrame({"ds": days, "y": 1.0}))


def test_missing_time_is_named():
    with pytest.raises(DataError, match="row 1, column 'ds': no time"):
        detect(pd.DataFrame({"ds": ["2024-01-01", None, "2024-01-03"], "y": 1.0}))


def test_offsets_in_some_rows_only_are_refused():
    frame = pd.DataFrame({"ds": ["2024-01-01T00:00Z", "2024-01-01T01:00"], "y": 1.0})
    with pytest.raises(DataError, match=r"row 1, column 'ds'.*offset"):
        detect(frame)


# Series.


def test_named_id_column_tells_series_apart():
    frame = pd.concat([hourly().assign(unique_id=name) for name in ("a", "b")])
    schema = detect(frame)
    assert schema.id_col == "unique_id"
    assert [one.unique_id for one in series_set(frame, schema).series] == ["a", "b"]


def test_column_that_numbers_the_rows_is_no_series_name():
    assert detect(hourly().assign(id=np.arange(240))).id_col is None


def test_text_column_that_tells_repeated_times_apart_names_the_series():
    frame = pd.concat([hourly().assign(shop=name) for name in ("north", "south")])
    assert detect(frame).id_col == "shop"


def test_whole_numbers_that_tell_repeated_times_apart_name_the_series():
    sales = np.random.default_rng(0).permutation(720)
    frame = pd.concat([hourly(Open=1).assign(Store=number) for number in (1, 2, 3)])
    assert detect(frame.assign(Sales=sales)[["Sales", "Open", "Store", "ds"]]).id_col == "Store"


def test_text_column_of_a_single_series_names_nothing():
    assert detect(hourly(wind=["N", "S"] * 120, y=DAILY_CYCLE)).id_col is None


# Target.


def test_target_named_y_wins_over_the_last_column():
    schema = detect(hourly(y=DAILY_CYCLE, other=DAILY_CYCLE))
    assert schema.target == "y"


def test_last_numeric_column_is_the_target_and_the_others_are_named():
    schema = detect(hourly(HUFL=DAILY_CYCLE, OT=DAILY_CYCLE, text="x"))
    assert schema.target == "OT"
    assert any("HUFL" in line and "--target" in line for line in schema.describe())


def test_counter_of_rows_is_no_target():
    schema = detect(hourly(load=DAILY_CYCLE, No=np.arange(1, 241)))
    assert schema.target == "load"


def test_covariates_are_no_targets():
    schema = detect(hourly(load=DAILY_CYCLE, a=DAILY_CYCLE, b=DAILY_CYCLE), past="a", future=["b"])
    assert (schema.target, schema.past, schema.future) == ("load", ("a",), ("b",))


def test_star_takes_every_column_as_a_series():
    frame = hourly(a=DAILY_CYCLE, b=2 * DAILY_CYCLE)
    schema = detect(frame, target="*")
    data = series_set(frame, schema)
    assert [one.unique_id for one in data.series] == ["a", "b"]
    np.testing.assert_array_equal(data.series[1].y, 2 * DAILY_CYCLE)


def test_star_takes_every_other_column_as_past_covariate():
    schema = detect(hourly(a=DAILY_CYCLE, b=DAILY_CYCLE, c=DAILY_CYCLE), target="b", past="*")
    assert schema.past == ("a", "c")


def test_one_series_in_each_row_is_recognised():
    frame = pd.DataFrame({"V1": ["H1", "H2"], "V2": [1, 2], "V3": [3.0, 4], "V4": [5, np.nan]})
    schema = detect(frame)
    data = series_set(frame, schema)
    assert (schema.layout, schema.id_col) == ("rows", "V1")
    assert [one.y.tolist() for one in data.series] == [[1, 3, 5], [2, 4]]
    assert data.health.missing == data.health.trimmed == 0


def test_one_series_in_each_row_may_have_dates_in_the_header():
    frame = pd.DataFrame(
        {"shop": ["a", "b"], "2024-01": [1, 2], "2024-02": [3, 4], "2024-03": [5, 6]}
    )
    schema = detect(frame)
    assert (schema.layout, schema.freq) == ("rows", "MS")
    assert series_set(frame, schema).series[1].ds[2] == np.datetime64("2024-03-01")


def test_text_where_numbers_belong_is_a_fault_and_no_reason_to_pass_the_column_over():
    frame = hourly(load=DAILY_CYCLE, OT=[*DAILY_CYCLE[1:].astype(str), "broken"])
    with pytest.raises(DataError, match="column 'OT': 'broken'"):
        detect(frame)


def test_no_numeric_column_is_an_error():
    with pytest.raises(DataError, match="no numeric column"):
        detect(pd.DataFrame({"ds": ["2024-01-01", "2024-01-02"], "note": ["a", "b"]}))


# Frequency and season.


def test_frequency_and_season_of_an_hourly_day():
    schema = detect(hourly())
    assert (schema.freq, schema.season) == ("h", 24)


def test_season_is_1_where_the_data_do_not_show_one():
    noise = np.random.default_rng(0).normal(size=240)
    assert detect(hourly(y=noise)).season == 1


def test_season_and_frequency_are_taken_as_given():
    schema = detect(hourly(), freq="30min", season=7)
    assert (schema.freq, schema.season) == ("30min", 7)


def test_frequency_given_for_rows_without_time_decides_the_season():
    frame = pd.DataFrame({"y": np.tile(np.arange(7.0), 20)})
    assert detect(frame, freq="D").season == 7
    assert detect(frame, freq="D").freq is None


# Options.


@pytest.mark.parametrize(
    "options",
    [
        {"target": "targt"},
        {"time_col": "targt"},
        {"id_col": "Targt"},
        {"past": "targt"},
        {"future": ["targt"]},
    ],
)
def test_unknown_column_gets_the_nearest_name(options):
    with pytest.raises(OptionError, match="did you mean 'target'"):
        detect(hourly(target=DAILY_CYCLE, b=DAILY_CYCLE), **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "y", "past": "y"}, "is the target"),
        ({"past": "a", "future": "a"}, "given with --past already"),
        ({"past": "ds"}, "is the time"),
        ({"target": "ds"}, "is the time"),
        ({"freq": "fortnight"}, "not a frequency"),
        ({"freq": "SME"}, "not a grid"),
        ({"season": 0}, "at least 1"),
        ({"id_col": "ds"}, "is the time"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, reason):
    with pytest.raises(OptionError, match=reason):
        detect(hourly(a=DAILY_CYCLE, y=DAILY_CYCLE), **options)


def test_covariates_have_no_place_beside_series_in_rows():
    frame = pd.DataFrame({"V1": ["a"], "V2": [1], "V3": [2], "V4": [3]})
    with pytest.raises(OptionError, match="no place for covariates"):
        detect(frame, past="V2")


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"y": []})])
def test_empty_frame_has_no_rows(frame):
    with pytest.raises(DataError, match="no rows"):
        detect(frame)


def test_frame_with_one_name_twice_is_refused():
    with pytest.raises(DataError, match="name 'y'"):
        detect(pd.DataFrame([[1, 2]], columns=["y", "y"]))


def test_what_is_no_frame_is_refused():
    with pytest.raises(DataError, match="got list"):
        detect([1, 2, 3])


# The schema itself.


def test_schema_survives_json():
    schema = detect(hourly(a=DAILY_CYCLE, b=DAILY_CYCLE), target="*")
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_description_names_every_decision():
    lines = detect(hourly(a=DAILY_CYCLE, y=DAILY_CYCLE), past="a").describe()
    starts = [line.split(":")[0] for line in lines]
    assert starts == ["time", "series", "target", "frequency", "season", "past covariates"]


def test_a_flag_is_not_guessed_as_the_target():
    days = pd.date_range("2024-01-01", periods=6)
    frame = pd.DataFrame({"ds": days, "sales": [3, 5, 4, 6, 8, 7], "promo": [0, 1, 0, 0, 1, 0]})
    schema = detect(frame)
    assert schema.target == "sales"
    assert "a guess" in schema.why["target"]


def test_a_row_given_twice_does_not_hide_the_series():
    days = pd.date_range("2024-01-01", periods=30)
    frame = pd.concat(
        [pd.DataFrame({"ds": days, "shop": s, "y": np.arange(30.0)}) for s in ("Bonn", "Köln")]
    )
    frame = pd.concat([frame, frame.head(1)], ignore_index=True)
    assert detect(frame).id_col == "shop"
