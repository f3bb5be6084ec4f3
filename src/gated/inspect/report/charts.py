"""The line and dot charts of the report: error by horizon, learning curves, forecasts, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from gated.inspect.report.figures import Chart, Figure, Styles, figure, guide, plain, times
from gated.inspect.report.views import CurvesView, ForecastView
from gated.inspect.words import number, plural

__all__ = ["FORECAST_LIMIT", "curves", "forecasts", "horizon", "memory"]

Array = NDArray[Any]
FORECAST_LIMIT = 12  # windows that can be chosen on the page
HISTORY_LIMIT = 500  # points of history drawn before a forecast
_SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up")


def horizon(by_horizon: Mapping[str, Mapping[str, Array]], styles: Styles, step: str) -> Chart:
    """Error against how far ahead the forecast looks, one line per model, the network on top."""
    figures = [
        figure(
            [
                _error_line(model, np.asarray(models[model], np.float64), styles)
                for model in reversed(styles.order(models))
            ],
            360,
            f"{metric}, lower is better",
            xaxis_title_text=plain(f"{step}s ahead"),
            xaxis_rangemode="normal",
            yaxis_rangemode="tozero",
        )
        for metric, models in by_horizon.items()
    ]
    first = next(iter(by_horizon))
    said = [
        f"{model}: {number(errors[0])} at 1 {step}, {number(errors[-1])} at {len(errors)}."
        for model, errors in by_horizon[first].items()
    ]
    alt = f"Line chart of {first} by {step}s ahead. " + " ".join(said)
    return Chart("horizon", alt, tuple(by_horizon), tuple(figures), "Measure")


def _error_line(model: str, errors: Array, styles: Styles) -> Any:
    return go.Scatter(
        x=np.arange(1, len(errors) + 1),
        y=errors,
        name=plain(model),
        mode="lines" if len(errors) > 1 else "lines+markers",
        line=styles.line(model),
        hovertemplate="%{y:.3~g}",
    )


def curves(view: CurvesView) -> Chart:
    """Training and validation loss by epoch, with the epoch that was kept."""
    validation = np.asarray(view.validation, np.float64)
    train = np.asarray(view.train, np.float64)
    solid = {"color": "var(--net)", "width": 3}
    dashed = {"color": "var(--base1)", "width": 2, "dash": "dash"}
    traces = [
        _loss_line(view.epochs, train, "on the training data", dashed),
        _loss_line(view.epochs, validation, "on data it did not train on", solid),
    ]
    alt = f"Line chart of the {view.loss} over {plural(len(view.epochs), 'epoch')}."
    if view.best is not None:
        at = int(np.flatnonzero(np.asarray(view.epochs) == view.best)[0])
        traces.insert(0, _kept(view.best, validation[at]))
        alt += f" Kept: epoch {view.best}, with {number(validation[at])} on unseen data."
    both = np.concatenate([train, validation])
    both = both[np.isfinite(both)]
    wide = bool(len(both)) and both.min() > 0 and both.max() > 20 * both.min()
    made = figure(
        traces,
        330,
        view.loss + (", each grid line ten times the last" if wide else ""),
        xaxis_title_text="pass over the training data (epoch)",
        yaxis_type="log" if wide else "linear",
        yaxis_dtick=1 if wide else None,
    )
    return Chart("curves", alt, ("curves",), (made,))


def _loss_line(epochs: Array, loss: Array, name: str, line: Figure) -> Any:
    mode = "lines" if len(epochs) > 1 else "lines+markers"
    return go.Scatter(x=epochs, y=loss, name=name, mode=mode, line=line, hovertemplate="%{y:.4~g}")


def _kept(epoch: int, loss: float) -> Any:
    return go.Scatter(
        x=[epoch],
        y=[loss],
        name=f"kept: epoch {epoch}",
        mode="markers",
        marker={"size": 15, "symbol": "circle-open", "line": {"width": 3}, "color": "var(--ink)"},
        hoverinfo="skip",
    )


def forecasts(views: Sequence[ForecastView], styles: Styles, step: str) -> Chart:
    """Forecasts with intervals on held-out windows, one figure a window."""
    shown = views[:FORECAST_LIMIT]
    labels = [view.series + (f" · {view.label}" if view.label else "") for view in shown]
    first = shown[0]
    alt = (
        f"Line chart: the end of the history of {first.series}, then the truth and the forecasts "
        f"for {plural(len(first.future_time), step)}, with intervals."
    )
    return Chart(
        "forecasts", alt, tuple(labels), tuple(_forecast(view, styles) for view in shown), "Window"
    )


def _forecast(view: ForecastView, styles: Styles) -> Figure:
    keep = min(HISTORY_LIMIT, max(48, 4 * len(view.future_time)))
    past_time, past = np.asarray(view.history_time)[-keep:], np.asarray(view.history)[-keep:]
    ahead = times(view.future_time)
    joined_time = times(np.concatenate([past_time[-1:], np.asarray(view.future_time)]))
    joined = np.concatenate([past[-1:], view.truth])
    ink = {"color": "var(--ink)", "width": 2}
    soft = {"color": "var(--soft)", "width": 1.7}
    traces = [
        *_bands(view, ahead),
        *(
            _value_line(ahead, values, name, {**styles.line(name), "width": 1.3})
            for name, values in reversed(list(view.baselines.items()))
        ),
        _value_line(times(past_time), past, "before", soft),
        _value_line(joined_time, joined, "what came", ink),
        _value_line(ahead, view.point, styles.network or "forecast", styles.line(styles.network)),
    ]
    shape, label = guide(joined_time[0], "forecast starts")
    return figure(traces, 400, shapes=[shape], annotations=[label])


def _value_line(x: Array, y: Array, name: str, line: Figure) -> Any:
    return go.Scatter(
        x=x,
        y=np.asarray(y, np.float64),
        name=plain(name),
        mode="lines" if len(x) > 1 else "lines+markers",
        line=line,
        hovertemplate="%{y:.4~g}",
    )


def _bands(view: ForecastView, ahead: Array) -> Iterator[Any]:
    """Symmetric pairs of quantiles, the widest first, so that the narrow one lies on top."""
    levels = sorted(view.quantiles)
    lows = [q for q in levels if q < 0.5 and any(abs(p - (1 - q)) < 1e-6 for p in levels)]
    for k, low in enumerate(lows):
        high = next(level for level in levels if abs(level - (1 - low)) < 1e-6)
        lower = np.asarray(view.quantiles[low], np.float64)
        yield go.Scatter(
            x=ahead, y=lower, mode="lines", line_width=0, showlegend=False, hoverinfo="skip"
        )
        yield go.Scatter(
            x=ahead,
            y=np.asarray(view.quantiles[high], np.float64),
            customdata=lower,
            name=f"{100 * (high - low):.3g}% interval",
            mode="lines",
            line={"width": 0, "color": "var(--net)"},
            fill="tonexty",
            fillcolor=f"var(--band{min(k, 2) + 1})",
            hovertemplate="%{customdata:.4~g} to %{y:.4~g}",
        )


def memory(half_life: Mapping[str, Array], references: Mapping[str, float], step: str) -> Chart:
    """Half-life of every unit, sorted, one row of dots per layer."""
    traces = []
    said = []
    for k, (label, values) in enumerate(half_life.items()):
        drawn = np.sort(values[np.isfinite(values) & (values > 0)])
        traces.append(_dots(label, drawn, k, step))
        if len(drawn):
            said.append(
                f"{label}: from {number(drawn[0])} to {number(drawn[-1])} {step}s, "
                f"median {number(float(np.median(drawn)))}."
            )
    # annotations on a log axis are placed by the logarithm, shapes by the value
    marks = [guide(length, names) for length, names in _by_length(references).items()]
    labels = [{**label, "x": float(np.log10(label["x"]))} for _, label in marks]
    made = figure(
        traces[::-1],  # the first layer on top
        360,
        "units, longest memory on top" if not marks else "",
        hovermode="closest",
        shapes=[shape for shape, _ in marks],
        annotations=labels,
        xaxis_type="log",
        xaxis_title_text=plain(f"half-life in {step}s"),
        xaxis_dtick=1,
        yaxis_showticklabels=False,
        yaxis_showgrid=False,
        yaxis_range=[-3, 103],
    )
    return Chart("memory", "Dots: half-life of each unit. " + " ".join(said), ("all",), (made,))


def _by_length(references: Mapping[str, float]) -> dict[float, str]:
    """One label for each length: two at one place would cover one another."""
    found: dict[float, str] = {}
    for name, length in references.items():
        length = float(length)
        found[length] = f"{found[length]}, {name}" if length in found else name
    return found


def _dots(label: str, half_lives: Array, layer: int, step: str) -> Any:
    """One layer's units at their ranks, as percentages, so that layers of any size compare."""
    rank = 100 * (np.arange(len(half_lives)) + 0.5) / max(1, len(half_lives))
    colour = f"var(--base{layer % 6})" if layer % 6 else "var(--net)"
    symbol = _SYMBOLS[layer % len(_SYMBOLS)]
    return go.Scatter(
        x=half_lives,
        y=rank,
        name=plain(label),
        mode="markers",
        marker={"size": 8, "color": colour, "symbol": symbol, "opacity": 0.85},
        hovertemplate="half-life %{x:.3~g} " + plain(step) + "s",
    )
