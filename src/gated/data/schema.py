"""What a table means: which columns hold time, series, target and covariates."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gated.data.columns import shorten

#: One row per series and time step; one column per series; one row per series.
LAYOUTS = ("long", "columns", "rows")


@dataclass(frozen=True)
class Schema:
    """How to read a table as time series; plain data, so that a run can keep it as JSON.

    layout: "long" (one row per series and time step, `target` names the column; without
        `id_col` the whole table is one series), "columns" (one column per series: `values`),
        "rows" (one row per series, its steps side by side, as in the M4 files).
    target: a column, or "*" where several columns or rows are series.
    time_col: a column; "year+month+day" for columns to be joined; None for integer steps.
    freq: a pandas frequency; None for integer steps, which are `step` apart.
    season: the steps in a season; 1 for none.
    why: for "time", "series", "target", "frequency", "season": how it was found.

    >>> schema = Schema(layout="long", target="y", time_col="ds", freq="h", season=24)
    >>> Schema.from_dict(schema.to_dict()) == schema
    True
    """

    layout: str
    target: str
    time_col: str | None = None
    id_col: str | None = None
    freq: str | None = None
    season: int = 1
    step: int = 1
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    why: dict[str, str] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The schema as lists, dicts, text and numbers, for JSON."""
        plain = dataclasses.asdict(self)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Schema":
        """The schema that `to_dict` wrote."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        return cls(**fields)

    def because(self, decision: str, reason: str, **changes: Any) -> "Schema":
        """A changed copy that knows why one of its decisions was made."""
        return dataclasses.replace(self, why={**self.why, decision: reason}, **changes)

    def unused(self, columns: Iterable[str]) -> list[str]:
        """The columns of a table that nothing is read from.

        >>> schema = Schema(layout="long", target="y", time_col="year+month", past=("price",))
        >>> schema.unused(["year", "month", "y", "price", "promo"])
        ['promo']
        """
        named = [self.target, self.id_col, self.time_col, *(self.time_col or "").split("+")]
        used = {*named, *self.past, *self.future, *self.values}
        return [name for name in columns if name not in used]

    def describe(self) -> list[str]:
        """The lines that tell a person what was detected, one for each decision."""
        series = {
            "long": f"one for each value of {self.id_col}" if self.id_col else "one",
            "columns": f"one for each of {len(self.values)} columns: {shorten(self.values)}",
            "rows": f"one for each row, named by {self.id_col}; steps side by side",
        }[self.layout]
        target = {
            "long": self.target,
            "columns": shorten(self.values),
            "rows": f"{len(self.values)} columns: {shorten(self.values, most=3)}",
        }[self.layout]
        freq = self.freq or (f"integer steps of {self.step}" if self.step > 1 else "integer steps")
        lines = [
            self._line("time", self.time_col or "the rows in their order"),
            self._line("series", series),
            self._line("target", target),
            self._line("frequency", freq),
            self._line("season", str(self.season)),
        ]
        if self.past:
            lines.append(self._line("past covariates", ", ".join(self.past)))
        if self.future:
            lines.append(self._line("future covariates", ", ".join(self.future)))
        return lines

    def _line(self, name: str, value: str) -> str:
        reason = self.why.get(name)
        return f"{name}: {value} ({reason})" if reason else f"{name}: {value}"
