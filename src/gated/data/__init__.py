"""From what people have (CSV, Parquet, DataFrames) to regular time series.

frame = read_table("sales.csv")      errors name file, line and column
schema = detect(frame)               time, series, target, frequency, season
data = series_set(frame, schema)     sorted, on a regular grid, gaps as NaN
"""

from gated.data.detect import detect
from gated.data.embedded import mackey_glass, sea_surface_temperature
from gated.data.read import read_table
from gated.data.schema import Schema
from gated.data.series import Health, Series, SeriesSet, fill_forward, series_set
from gated.data.write import write_csv

__all__ = [
    "Health",
    "Schema",
    "Series",
    "SeriesSet",
    "detect",
    "fill_forward",
    "mackey_glass",
    "read_table",
    "sea_surface_temperature",
    "series_set",
    "write_csv",
]
