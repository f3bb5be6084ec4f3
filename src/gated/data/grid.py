"""Regular grids of time: which step a series has, and time stamps as step numbers and back."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gated.data.times import Stamps
from gated.errors import OptionError

Ints = NDArray[np.int64]

#: Short names that people give for frequencies, and pandas' own names for them.
_FORMER_NAMES = {
    "H": "h",
    "T": "min",
    "S": "s",
    "L": "ms",
    "M": "MS",
    "Q": "QS",
    "Y": "YS",
    "A": "YS",
}
_MONTHS = {"MS": 1, "ME": 1, "BMS": 1, "BME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_DAY = 86_400_000_000_000  # ns


@dataclass(frozen=True)
class Grid:
    """Equal steps of time: a number of nanoseconds, of months, of business days, or of 1.

    `kind` is "ns", "month", "business" or "integer"; `step` counts in that unit. Months are
    stamped with their first day, or with their last if `month_end`.

    >>> grid = Grid.of("MS")
    >>> numbers = grid.number(np.array(["2024-01-01", "2024-03-01"], dtype="datetime64[ns]"))
    >>> (numbers - numbers[0]).tolist()
    [0, 2]
    >>> grid.stamps(numbers + 1).astype("datetime64[D]").tolist()
    [datetime.date(2024, 2, 1), datetime.date(2024, 4, 1)]
    """

    kind: str
    step: int = 1
    month_end: bool = False

    @classmethod
    def of(cls, freq: str | None, step: int = 1) -> "Grid":
        """The grid of a pandas frequency; None: integers, `step` apart. Raises OptionError."""
        if freq is None:
            return cls("integer", step)
        offset = _offset(freq)
        base = offset.freqstr.lstrip("0123456789").split("-")[0]
        if base in _MONTHS:
            return cls("month", offset.n * _MONTHS[base], month_end=base.endswith("E"))
        if base in ("D", "W"):
            return cls("ns", offset.n * _DAY * (7 if base == "W" else 1))
        if isinstance(offset, pd.offsets.Tick) and offset.n > 0:
            return cls("ns", int(pd.Timedelta(offset).value))
        if base == "B" and offset.n == 1:
            return cls("business")
        raise OptionError(
            f"--freq {freq}: not a grid that gated can fill; use s, min, h, D, B, W, MS, ME, QS, "
            "QE, YS or YE, with a number in front if need be (15min)"
        )

    def number(self, stamps: Stamps) -> Ints:
        """Count the units from a fixed origin, one integer for each time stamp.

        Two stamps lie whole steps apart if their numbers differ by a multiple of `step`.
        """
        if self.kind == "month":
            return stamps.astype("datetime64[M]").astype(np.int64)
        if self.kind == "business":
            days = stamps.astype("datetime64[D]")
            return np.busday_count(np.datetime64("1970-01-01"), days).astype(np.int64)
        return stamps.astype(np.int64)

    def stamps(self, numbers: Ints) -> Stamps:
        """The time stamps that have these numbers: datetime64[ns], or int64 for integers."""
        if self.kind == "month":
            starts = (numbers + self.month_end).astype("datetime64[M]").astype("datetime64[D]")
            return (starts - np.timedelta64(int(self.month_end), "D")).astype("datetime64[ns]")
        if self.kind == "business":
            days = np.busday_offset(np.datetime64("1970-01-01"), numbers, roll="forward")
            return days.astype("datetime64[ns]")
        return numbers if self.kind == "integer" else numbers.astype("datetime64[ns]")

    def moved(self, stamps: Stamps) -> bool:
        """Whether a calendar grid stamps some of these times otherwise than they are given."""
        calendar = self.kind in ("month", "business")
        return calendar and bool((self.stamps(self.number(stamps)) != stamps).any())


def _offset(freq: str) -> pd.offsets.BaseOffset:
    number = freq[: len(freq) - len(freq.lstrip("0123456789"))]
    unit = freq[len(number) :]
    try:
        return pd.tseries.frequencies.to_offset(number + _FORMER_NAMES.get(unit, unit))
    except ValueError:
        raise OptionError(
            f"--freq {freq}: not a frequency; expected one of s, min, h, D, B, W, MS, QS, YS, "
            "with a number in front if need be (15min)"
        ) from None


def canonical(freq: str) -> str:
    """The frequency as pandas spells it today: "H" becomes "h". Raises OptionError.

    >>> canonical("15T")
    '15min'
    """
    Grid.of(freq)
    return str(_offset(freq).freqstr)


def most_common_step(codes: Ints, numbers: Ints) -> int:
    """The most common positive difference of neighbours within a series; 1 if there is none."""
    order = np.lexsort((numbers, codes))
    codes, numbers = codes[order], numbers[order]
    steps = np.diff(numbers)[(np.diff(codes) == 0) & (np.diff(numbers) > 0)]
    if not len(steps):
        return 1
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])


def infer_freq(codes: Ints, stamps: NDArray[np.datetime64]) -> str | None:
    """The frequency of series with gaps, unequal lengths and repeated time stamps.

    pandas.infer_freq gives up at the first gap; here the most common step decides. codes (N,):
    the series of each row; stamps (N,): datetime64[ns]. None if no series has two stamps.
    """
    ns = stamps.astype(np.int64)
    if len(np.unique(ns)) < 2:
        return None
    days = stamps.astype("datetime64[D]")
    if (days == stamps).all():
        calendar = _infer_calendar(codes, days)
        if calendar:
            return calendar
    step = most_common_step(codes, ns)
    if step % (7 * _DAY) == 0:
        weeks = step // (7 * _DAY)
        weekday = _WEEKDAYS[int(days[-1].astype(np.int64) + 3) % 7]
        return f"{weeks if weeks > 1 else ''}W-{weekday}"
    if step % _DAY == 0:
        return f"{step // _DAY if step > _DAY else ''}D"
    return str(pd.tseries.frequencies.to_offset(pd.Timedelta(step, "ns")).freqstr)


def _infer_calendar(codes: Ints, days: NDArray[np.datetime64]) -> str | None:
    month = days.astype("datetime64[M]")
    day_of_month = (days - month.astype("datetime64[D]")).astype(np.int64)
    ends = (days + 1).astype("datetime64[M]") > month
    numbers = month.astype(np.int64)
    common = most_common_step(codes, days.astype(np.int64))
    if (day_of_month == day_of_month[0]).all() or ends.all():
        if len(np.unique(numbers)) > 1:
            months = most_common_step(codes, numbers)
            kind = "E" if ends.all() else "S"
            return _month_freq(months, kind, int(numbers[-1]) % 12)
    elif 29 <= common <= 31:
        return "ME" if (day_of_month > 26).all() else "MS"
    weekdays = (days.astype(np.int64) + 3) % 7
    if common == 1 and len(days) >= 10 and (weekdays < 5).all():
        return "B"
    return None


def _month_freq(months: int, kind: str, month: int) -> str:
    name = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")[
        month
    ]
    if months % 12 == 0:
        return f"{months // 12 if months > 12 else ''}Y{kind}-{name}"
    if months == 3:
        return f"Q{kind}-{name}"
    return f"{months if months > 1 else ''}M{kind}"
