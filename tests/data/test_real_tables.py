"""Real files, read without any option."""

import numpy as np
import pandas as pd
import pytest

from gated.data import detect, read_table, series_set
from gated.errors import DataError


def read(path, **options):
    frame = read_table(path)
    schema = detect(frame, **options)
    return schema, series_set(frame, schema)


def test_etth1_is_an_hourly_series_of_oil_temperature(shared_data):
    schema, data = read(shared_data / "ett" / "ETTh1.csv")
    assert (schema.target, schema.freq, schema.season) == ("OT", "h", 24)
    assert (len(data.series[0]), data.health.gaps) == (17_420, 0)
    expected = pd.read_csv(shared_data / "ett" / "ETTh1.csv")["OT"]
    np.testing.assert_allclose(data.series[0].y, expected, rtol=1e-15)


def test_etth1_takes_its_loads_as_covariates(shared_data):
    schema, data = read(shared_data / "ett" / "ETTh1.csv", past="*")
    assert schema.past == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")
    assert data.series[0].past.shape == (17_420, 6)


def test_m4_hourly_holds_one_series_in_each_row(shared_data):
    schema, data = read(shared_data / "m4" / "Hourly-train.csv")
    assert (schema.layout, schema.season, len(data)) == ("rows", 24, 414)
    assert {len(one) for one in data.series} == {700, 960}
    assert data.series[0].unique_id == "H1"
    assert data.series[0].y[:3].tolist() == [605, 586, 586]
    assert data.health.missing == data.health.gaps == 0


def test_m4_test_file_is_read_with_the_schema_of_the_training_file(shared_data):
    schema, _ = read(shared_data / "m4" / "Hourly-train.csv")
    data = series_set(read_table(shared_data / "m4" / "Hourly-test.csv"), schema)
    assert {len(one) for one in data.series} == {48}


def test_beijing_joins_its_date_and_keeps_its_missing_values(shared_data):
    schema, data = read(
        shared_data / "small_series" / "pollution.csv", target="pm2.5", future="TEMP"
    )
    assert (schema.time_col, schema.freq, schema.season) == ("year+month+day+hour", "h", 24)
    health = data.health
    # the file has 2067 NA, of which the first 24 rows; the .names file says the same span
    assert (health.missing, health.trimmed, health.gaps) == (2043, 24, 0)
    assert data.series[0].ds[0] == np.datetime64("2010-01-02T00")


@pytest.mark.parametrize(
    ("name", "target", "freq", "season", "length"),
    [
        ("airline-passengers", "Passengers", "MS", 12, 144),
        ("monthly-sunspots", "Sunspots", "MS", 1, 2820),
        ("daily-min-temperatures", "Temp", "D", 1, 3652),
        ("shampoo", "Sales", None, 1, 36),
    ],
)
def test_small_series(shared_data, name, target, freq, season, length):
    schema, data = read(shared_data / "small_series" / f"{name}.csv")
    assert (schema.target, schema.freq, schema.season) == (target, freq, season)
    assert len(data.series[0]) == length


def test_melbourne_lacks_the_last_day_of_its_leap_years(shared_data):
    _, data = read(shared_data / "small_series" / "daily-min-temperatures.csv")
    missing = data.series[0].ds[np.isnan(data.series[0].y)].astype("datetime64[D]")
    assert missing.astype(str).tolist() == ["1984-12-31", "1988-12-31"]


def test_exchange_rates_without_names_are_numbered(shared_data):
    schema, data = read(shared_data / "exchange_rate" / "exchange_rate.txt.gz", target="*")
    assert len(schema.values) == 8
    assert len(data.series[0]) == 7588


def test_machine_temperature_with_contradicting_rows_is_refused(shared_data):
    with pytest.raises(DataError, match=r"line 10151, column 'timestamp'.*as line 10139"):
        read(shared_data / "nab/data/realKnownCause/machine_temperature_system_failure.csv")


def test_irregular_travel_times_are_refused(shared_data):
    with pytest.raises(DataError, match="irregular"):
        read(shared_data / "nab/data/realTraffic/TravelTime_387.csv")
