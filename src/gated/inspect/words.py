"""Numbers and verdicts in plain words, as the page prints them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from gated.errors import OptionError
from gated.inspect.report.views import Outcome

__all__ = [
    "cautions",
    "explain_metric",
    "file_size",
    "flatten",
    "number",
    "percent",
    "plural",
    "verdict",
]

_METRICS = {
    "mase": "the average error, divided by the error that repeating the last season (or the last "
    "value) makes on the training data; below 1 is better than repeating",
    "smape": "the average error as a percentage of the size of the values",
    "rmse": "the typical error in the data's own unit; large errors weigh more",
    "mae": "the average error in the data's own unit",
    "mse": "the average of the squared error; large errors weigh more",
    "quantile loss": "how well the intervals fit: narrow is good, missing the truth costs",
    "wql": "how well the intervals fit: narrow is good, missing the truth costs",
    "cover": "how often the truth lay inside the interval; it should match the interval's name",
}


def verdict(
    metrics: Mapping[str, Mapping[str, float]],
    network: str,
    metric: str = "MASE",
    tie: float = 0.01,
) -> tuple[str, Outcome]:
    """The headline: does the network beat the best baseline, and by how much?

    Args:
        metrics: model -> metric -> value, lower is better.
        network: the model that is judged; all the others are baselines.
        metric: the metric that decides.
        tie: relative difference below which neither wins.

    Returns:
        One sentence, and the outcome: "win", "lose", "tie", or "none" when nothing can be compared.

    Raises:
        OptionError: the network or the metric is not in the table.

    >>> verdict({"LSTM": {"MASE": 0.88}, "ridge": {"MASE": 1.0}}, "LSTM")
    ('LSTM beats the best baseline (ridge): 12% less error (MASE).', 'win')
    """
    if network not in metrics or metric not in metrics[network]:
        raise OptionError(
            f"verdict: no {metric!r} of {network!r}, the table has models {list(metrics)}; "
            "pass a model and a metric that were evaluated"
        )
    own = metrics[network][metric]
    others = {name: row.get(metric, math.nan) for name, row in metrics.items() if name != network}
    others = {name: value for name, value in others.items() if math.isfinite(value)}
    if not math.isfinite(own):
        return f"{network} gave no usable forecast: its {metric} is {own:g}.", "lose"
    if not others:
        return (
            f"{network} has a {metric} of {number(own)}; there is no baseline to compare.",
            "none",
        )
    best = min(others, key=others.__getitem__)
    return _compare(network, own, best, others[best], metric, tie)


def _compare(
    network: str, own: float, best: str, other: float, metric: str, tie: float
) -> tuple[str, Outcome]:
    gain = (other - own) / max(abs(other), abs(own)) if own != other else 0.0
    if abs(gain) < tie:
        return (
            f"{network} and the best baseline ({best}) are equally good: "
            f"{metric} {number(own)} and {number(other)}. Use {best}, it is simpler.",
            "tie",
        )
    less = f"{percent(abs(gain))} less error ({metric})."
    if gain > 0:
        return f"{network} beats the best baseline ({best}): {less}", "win"
    return f"{best} beats the network ({network}): {less} Use {best}.", "lose"


def cautions(
    metrics: Mapping[str, Mapping[str, float]],
    network: str,
    metric: str,
    targets: Mapping[str, float],
    off: float = 0.15,
) -> list[str]:
    """What the headline does not say and its reader should know, one sentence each.

    Args:
        metrics: model -> metric -> value, lower is better, but for those in ``targets``.
        network: the model that is judged.
        metric: the metric that the headline spoke of.
        targets: metric -> the share it should have, such as an interval's coverage.
        off: how far from its target a share is worth a word.

    >>> metrics = {"LSTM": {"MASE": 1, "WQL": 2}, "ridge": {"MASE": 2, "WQL": 1}}
    >>> cautions(metrics, "LSTM", "MASE", {})
    ['By WQL ridge is better.']
    """
    own = metrics[network]
    found: list[str] = []
    for name, target in sorted(targets.items(), reverse=True):
        if name in own and abs(own[name] - target) > off and not found:
            said = f"{name}: the truth lay within that interval {percent(own[name])} of the time"
            found.append(f"Do not trust the intervals ({said}).")
    for name, value in own.items():
        better = [m for m, row in metrics.items() if name in row and row[name] < value * (1 - 1e-9)]
        if name != metric and name not in targets and better:
            best = min(better, key=lambda m: metrics[m][name])
            found.append(f"By {name} {best} is better.")
    return found


def number(value: float, digits: int = 3, whole: bool = True) -> str:
    """A value with so many significant digits, as people write it; an en dash if there is none.

    ``whole`` writes a whole number without decimals; a table's columns want them.

    >>> number(0.123456), number(48213.7), number(1.0), number(1.0, whole=False)
    ('0.123', '48,214', '1', '1.00')
    """
    x = float(value)
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if (whole and x.is_integer()) or abs(x) >= 10**digits:
        return f"{x:,.0f}".replace("-", "−") if abs(x) < 1e9 else f"{x:.{digits}g}"
    if x != 0 and abs(x) < 1e-4:
        return f"{x:.{digits - 1}e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else 0
    return f"{x:.{decimals}f}".replace("-", "−")


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage.

    >>> percent(0.8765), percent(0.004), percent(float("nan"))
    ('88%', '0.4%', '–')
    """
    if not math.isfinite(share):
        return "–"
    return f"{100 * share:.0f}%" if abs(share) >= 0.095 or share == 0 else f"{100 * share:.1f}%"


def plural(count: float, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "hour"), plural(24, "hour")
    ('1 hour', '24 hours')
    """
    return f"{number(count)} {noun if count == 1 else noun + 's'}"


def explain_metric(name: str) -> str:
    """What a metric measures, for a reader who never heard of it; empty if it is not known.

    >>> explain_metric("RMSE")
    "the typical error in the data's own unit; large errors weigh more"
    """
    lowered = name.lower().replace("_", " ")
    return next((words for key, words in _METRICS.items() if key in lowered), "")


def flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested configuration as rows of (dotted name, value).

    >>> list(flatten({"model": {"cell": "lstm"}, "seed": 7}))
    [('model.cell', 'lstm'), ('seed', '7')]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value)) or "none"
        else:
            yield f"{prefix}{key}", "none" if value is None else str(value)


def file_size(count: int) -> str:
    """A number of bytes for a person.

    >>> file_size(12_345_678)
    '12.3 MB'
    """
    power = min(3, int(math.log10(max(1, count)) // 3))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
