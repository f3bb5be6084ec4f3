"""Finding the column that holds the time."""

import re

import pandas as pd

from gated.data.columns import cells, is_plain_number
from gated.data.times import PART_NAMES, is_whole, times
from gated.errors import DataError

#: The names of a time column, most telling first.
TIME_NAMES = ("ds", "date", "datetime", "timestamp", "date_time", "time")
#: The names of a column of integer steps; a year, if it has four digits, is a date.
STEP_NAMES = ("year", "step", "t", "index")

_TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d\d(?:[:.]\d\d)?")


def find_time(frame: pd.DataFrame) -> tuple[str | None, str]:
    """Choose the column that holds the time, and say why; None if there is none.

    A column named as in TIME_NAMES, joined with "+" to one named time if that holds times of
    day; else year, month, day ... side by side, joined; else the first column that reads as
    dates; else one named as in STEP_NAMES.
    """
    by_lower = {name.lower().split(" (")[0].strip(): name for name in frame.columns}
    for name in TIME_NAMES:
        if name in by_lower and reads_as_time(frame, by_lower[name]):
            return _with_time_of_day(frame, by_lower[name], by_lower.get("time"))
    parts = [by_lower[name] for name in PART_NAMES if name in by_lower]
    if len(parts) > 1 and [part.lower() for part in parts] == list(PART_NAMES[: len(parts)]):
        return "+".join(parts), "year to " + parts[-1].lower() + " joined"
    for name in frame.columns:
        if not is_plain_number(frame[name]) and reads_as_time(frame, name):
            return name, "the first column that reads as dates"
    for name in STEP_NAMES:
        if name in by_lower and is_whole(frame, by_lower[name]):
            return by_lower[name], "by its name"
    unread = [by_lower[name] for name in TIME_NAMES if name in by_lower]
    why = f"{unread[0]!r} holds neither dates nor whole numbers" if unread else "none found"
    return None, f"{why}: the rows are taken as steps 0, 1, 2, ..."


def _with_time_of_day(frame: pd.DataFrame, date: str, time: str | None) -> tuple[str, str]:
    if time is None or time == date or is_plain_number(frame[time]) or is_plain_number(frame[date]):
        return date, "by its name"
    text, _ = cells(frame[[date, time]].iloc[:20], time)
    if not all(map(_TIME_OF_DAY.fullmatch, text)):
        return date, "by its name"
    return f"{date}+{time}", "date and time of day joined"


def reads_as_time(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column holds whole numbers, or most of its first cells read as time stamps."""
    head = frame[name].dropna().iloc[:20].to_frame()
    if not len(head):
        return False
    if is_plain_number(head[name]):
        return is_whole(head, name)
    if pd.api.types.is_datetime64_any_dtype(head[name]) or isinstance(
        head[name].dtype, pd.PeriodDtype
    ):
        return True
    text, _ = cells(head, name)
    return 2 * sum(map(_is_date, text)) > len(text)


def _is_date(cell: str) -> bool:
    try:
        times(pd.DataFrame({"cell": [cell]}), "cell")
    except DataError:
        return False
    return True
