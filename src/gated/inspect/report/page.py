"""What the template prints: a report's numbers as words, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gated.inspect.mathml import mathml
from gated.inspect.report import charts
from gated.inspect.report.figures import Chart, Styles
from gated.inspect.report.heatmaps import inside
from gated.inspect.report.views import Report, SeriesRow
from gated.inspect.words import explain_metric, flatten, number, percent, plural

__all__ = ["Page", "page"]

SERIES_LIMIT = 5  # rows shown at each end of the table of series


@dataclass(frozen=True)
class Cell:
    """One value of a table. ``share`` is the length of its bar, in [0, 1]."""

    text: str
    best: bool = False
    share: float = 0.0


@dataclass(frozen=True)
class MetricRow:
    """One metric of every model, and what it means."""

    name: str
    arrow: str
    better: str
    meaning: str
    cells: list[Cell]


@dataclass(frozen=True)
class SeriesLine:
    """One series: the network's error and the best baseline's."""

    name: str
    own: str
    other: str = "–"
    baseline: str = "no baseline"
    won: bool = False
    lost: bool = False


@dataclass
class Page:
    """Everything the template needs that is not in the report as it stands."""

    sections: list[tuple[str, str]] = field(default_factory=list)
    health: list[tuple[str, str]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    rows: list[MetricRow] = field(default_factory=list)
    series: list[tuple[str, list[SeriesLine]]] = field(default_factory=list)
    series_note: str = ""
    trace_notes: list[str] = field(default_factory=list)
    memory_notes: list[str] = field(default_factory=list)
    forecast_note: str = ""
    levels: list[str] = field(default_factory=list)
    equations: list[Markup] = field(default_factory=list)
    config: list[tuple[str, str]] = field(default_factory=list)
    environment: list[tuple[str, str]] = field(default_factory=list)
    charts: dict[str, Chart] = field(default_factory=dict)


def page(report: Report) -> tuple[Page, list[Chart]]:
    """A report's tables and charts; a part that the report lacks stays empty."""
    out = Page()
    styles = Styles(report.network, _models(report))
    if report.health is not None:
        out.health = list(flatten(report.health))
    if report.metrics:
        _verdict(out, report, styles)
    if report.by_horizon:
        out.charts["horizon"] = charts.horizon(report.by_horizon, styles, report.step)
    if report.by_series:
        _series(out, report.by_series, report.network)
    if report.forecasts:
        out.charts["forecasts"] = charts.forecasts(report.forecasts, styles, report.step)
        out.levels = _interval_names(report)
        if len(report.forecasts) > charts.FORECAST_LIMIT:
            out.forecast_note = (
                f"{charts.FORECAST_LIMIT} of {len(report.forecasts)} windows are on this page."
            )
    if report.curves is not None:
        out.charts["curves"] = charts.curves(report.curves)
    if report.trace is not None and report.trace.layers:
        out.charts["trace"], out.trace_notes = inside(report.trace, report.half_life)
    if report.half_life is not None:
        _memory(out, report)
    out.equations = [Markup(mathml(latex)) for latex in report.equations or ()]
    out.config = list(flatten(report.config or {}))
    out.environment = list(flatten(report.environment or {}))
    out.sections = _sections(out, report)
    return out, list(out.charts.values())


def _models(report: Report) -> list[str]:
    """Every model's name, in the order in which it is first met."""
    names = [*(report.metrics or {})]
    for models in (report.by_horizon or {}).values():
        names += models
    for view in report.forecasts or ():
        names += view.baselines
    return list(dict.fromkeys(names))


def _verdict(out: Page, report: Report, styles: Styles) -> None:
    """The table of metrics: one row a metric, one column a model, the network first."""
    table = report.metrics or {}
    out.models = styles.order(table)
    for metric in dict.fromkeys(metric for name in out.models for metric in table[name]):
        target = report.targets.get(metric)
        values = [float(table[name].get(metric, math.nan)) for name in out.models]
        better = "lower is better" if target is None else f"nearer to {percent(target)} is better"
        arrow = "↓" if target is None else "→"
        meaning = explain_metric(metric)
        if any(row.meaning == meaning for row in out.rows):
            meaning = ""  # two coverages are explained once
        out.rows.append(MetricRow(metric, arrow, better, meaning, _column(values, target)))


def _column(values: Sequence[float], target: float | None) -> list[Cell]:
    """One metric of every model: lower is better, or near the target is."""
    costs = [v if target is None else abs(v - target) for v in values]
    finite = [c for c in costs if math.isfinite(c)]
    best = min(finite, default=math.nan)
    top = max((v for v in values if math.isfinite(v)), default=0.0)
    return [
        Cell(
            number(v, whole=False) if target is None else percent(v),
            math.isfinite(c) and c <= best * (1 + 1e-12),
            max(0.0, v / top) if top > 0 and math.isfinite(v) and target is None else 0.0,
        )
        for v, c in zip(values, costs, strict=True)
    ]


def _series(out: Page, rows: Sequence[SeriesRow], network: str) -> None:
    """The series in which the network does worst and best, compared with the best baseline."""
    known = [row for row in rows if math.isfinite(row.network)]
    known.sort(key=lambda row: -row.network)
    if len(known) <= 2 * SERIES_LIMIT:
        out.series = [("", [_series_row(row) for row in known])]
    else:
        worst, best = known[:SERIES_LIMIT], known[-SERIES_LIMIT:][::-1]
        out.series = [
            ("Hardest for " + (network or "the network"), [_series_row(row) for row in worst]),
            ("Easiest for " + (network or "the network"), [_series_row(row) for row in best]),
        ]
    compared = [row for row in known if row.baselines]
    wins = sum(row.network < min(row.baselines.values()) for row in compared)
    if compared:
        out.series_note = (
            f"{network or 'The network'} is better than every baseline on {wins} of "
            f"{len(compared)} series."
        )
    if len(known) < len(rows):
        out.series_note += f" {len(rows) - len(known)} series could not be measured."


def _series_row(row: SeriesRow) -> SeriesLine:
    finite = {name: v for name, v in row.baselines.items() if math.isfinite(v)}
    if not finite:
        return SeriesLine(row.series, number(row.network, whole=False))
    best = min(finite, key=finite.__getitem__)
    own, other = number(row.network, whole=False), number(finite[best], whole=False)
    won = row.network < finite[best]
    return SeriesLine(row.series, own, other, best, won, lost=not won)


def _interval_names(report: Report) -> list[str]:
    levels = sorted((report.forecasts or ())[0].quantiles)
    pairs = [1 - 2 * low for low in levels if low < 0.5]
    return [f"{100 * inside:.3g}%" for inside in sorted(pairs)]


def _memory(out: Page, report: Report) -> None:
    """The half-life chart, and a sentence for each layer."""
    measured: dict[str, NDArray[Any]] = {}
    for label, values in (report.half_life or {}).items():
        if values is None:
            out.memory_notes.append(
                f"{label}: this cell has no forget gate, so its units have no half-life."
            )
            continue
        measured[label] = np.asarray(values, np.float64)
        out.memory_notes.append(_memory_note(label, measured[label], report.step))
    if any((np.isfinite(values) & (values > 0)).any() for values in measured.values()):
        out.charts["memory"] = charts.memory(measured, report.references, report.step)


def _memory_note(label: str, values: NDArray[Any], step: str) -> str:
    units = len(values)
    never = int(np.isinf(values).sum())
    middle = float(np.median(values))
    note = (
        f"{label}: half of its {plural(units, 'unit')} have lost half of what they held within "
        f"{number(middle)} {step}s; "
    )
    longest = float(values[np.isfinite(values)].max(initial=0.0))
    note += f"the longest half-life is {number(longest)} {step}s."
    if never:
        note += f" {plural(never, 'unit')} did not forget at all and cannot be drawn."
    return note


def _sections(out: Page, report: Report) -> list[tuple[str, str]]:
    """(anchor, short name) of what the page holds, for the list at its top."""
    present = (
        ("data", "Data", out.health or report.health_notes),
        ("verdict", "Verdict", out.rows),
        ("horizon", "By horizon", "horizon" in out.charts),
        ("series", "By series", out.series),
        ("forecasts", "Forecasts", "forecasts" in out.charts),
        ("curves", "Training", "curves" in out.charts),
        ("trace", "Inside", "trace" in out.charts),
        ("memory", "Memory", out.memory_notes),
        ("equations", "Equations", out.equations),
        ("config", "Settings", out.config),
        ("environment", "Versions", out.environment),
        ("command", "Reproduce", report.command),
    )
    return [(key, name) for key, name, content in present if content]
