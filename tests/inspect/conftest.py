"""Realistic reports: an hourly series with a daily season, and an LSTM's gates worked by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from gated.inspect import CurvesView, ForecastView, Report, SeriesRow, TraceView, half_life

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZON = 24


def lstm_gates(x: np.ndarray, units: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Every gate and state of an LSTM over x (T,), as (T, H): the equations, step by step."""
    draw = np.random.default_rng(seed)
    w = draw.normal(0, 0.8, (4, units))
    u = draw.normal(0, 0.5 / np.sqrt(units), (4, units, units))
    b = np.zeros((4, units))
    b[1] = np.linspace(-1, 5, units)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    h = c = np.zeros(units)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in "ifgoch"}
    for value in x:
        i, f, g, o = w * value + u @ h + b
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, row in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            rows[name].append(row)
    return {name: np.array(values) for name, values in rows.items()}


def series(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Hourly times, and values with a daily season, a slow wave and noise."""
    t = np.arange(steps)
    noise = np.random.default_rng(5).normal(0, 0.3, steps)
    y = 10 + 3 * np.sin(2 * np.pi * t / 24) + 2 * np.sin(t / 97) + noise
    return np.datetime64("2024-02-26T00", "ns") + t.astype("timedelta64[h]"), y


def forecast(name: str, start: int, network: str) -> ForecastView:
    ds, y = series(start + HORIZON)
    past, truth = y[:start], y[start:]
    spread = np.linspace(0.3, 1.2, HORIZON)
    point = truth + 0.4 * np.cos(np.arange(HORIZON))
    normal = dict(zip(LEVELS, (-1.645, -0.674, 0, 0.674, 1.645), strict=True))
    return ForecastView(
        series=name,
        history_time=ds[:start],
        history=past,
        future_time=ds[start:],
        truth=truth,
        point=point,
        quantiles={level: point + z * spread for level, z in normal.items()},
        baselines={"Seasonal naive": past[-24:], "Ridge": truth + 0.8},
        label=str(ds[start])[:10],
    )


def full_report(
    network: str = "LSTM",
    series_name: str = "load",
    rename: Mapping[str, str] | None = None,
    **changes: Any,
) -> Report:
    """A report with every part. ``rename`` maps gates, inputs and models to other names."""
    called = lambda name: (rename or {}).get(name, name)  # noqa: E731
    ds, y = series(168)
    gates = lstm_gates((y - y.mean()) / y.std(), units=20)
    ahead = np.arange(1, HORIZON + 1)
    models = {network: 0.7, called("Ridge"): 0.8, called("Seasonal naive"): 1.0}
    parts: dict[str, Any] = {
        "title": f"{series_name}, 24 hours ahead",
        "headline": f"{network} beats the best baseline.",
        "subtitle": "Judged on two months that no model saw.",
        "outcome": "win",
        "step": "hour",
        "network": network,
        "health": {"rows": "8,760", "series": 1, "gaps": "2, the longest 3 hours, filled"},
        "health_notes": [f"{series_name} had 3 missing values."],
        "metrics": {
            model: {"MASE": v, "sMAPE": 20 * v, "RMSE": 2 * v, "90% coverage": 0.9 - v / 10}
            for model, v in models.items()
        },
        "targets": {"90% coverage": 0.9},
        "by_horizon": {
            metric: {model: v * scale * np.sqrt(ahead) for model, v in models.items()}
            for metric, scale in (("MASE", 1.0), ("RMSE", 2.0))
        },
        "by_series": [
            SeriesRow(f"{series_name} {k}", 0.5 + 0.1 * k, {called("Ridge"): 1.04})
            for k in range(14)
        ],
        "forecasts": [forecast(series_name, start, network) for start in (200, 300)],
        "curves": CurvesView(
            np.arange(1, 9),
            np.array([0.9, 0.6, 0.5, 0.45, 0.42, 0.4, 0.39, 0.385]),
            np.array([0.8, 0.62, 0.55, 0.52, 0.51, 0.5, 0.52, 0.53]),
            best=6,
        ),
        "trace": TraceView(
            ds,
            {called("load"): y},
            {called("layer 1"): {called(name): values for name, values in gates.items()}},
            {called("f"): "what is kept"},
            series_name,
        ),
        "half_life": {called("layer 1"): half_life(gates["f"])},
        "references": {"1 day": 24.0},
        "equations": [r"c_t = f_t \odot c_{t-1} + i_t \odot g_t", r"h_t = o_t \odot \tanh(c_t)"],
        "equations_source": "Gers, Schmidhuber & Cummins 2000.",
        "config": {"model": {"cell": "lstm", "hidden_size": 20}, "seed": 7},
        "environment": {"gated": "0.1.0", "torch": "2.13.0"},
        "command": "gated train forecast load.csv --target 'a load' --horizon 24 --seed 7",
    }
    return Report(**(parts | changes))


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    return full_report


@pytest.fixture(scope="session")
def make_gates() -> Callable[..., dict[str, np.ndarray]]:
    return lstm_gates
