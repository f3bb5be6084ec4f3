"""What the explorer shows of a forecaster: its network on the end of one series."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gated.cells import nearest
from gated.data import Series, SeriesSet
from gated.errors import OptionError
from gated.inspect.explorer import Clamps, ExplorerView, Search, view
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.learner import loss_by_step
from gated.tasks.forecast.metric import HeldOut
from gated.tasks.forecast.page import STEPS, target_name
from gated.tasks.forecast.windows import Panel, Windows

__all__ = ["explained"]

_SEARCHED = 600  # windows that are searched for the units' largest activations
_AT_ONCE = 64
Progress = Callable[[str, int, int], None]


def explained(
    forecaster: Forecaster,
    *,
    series: str | None = None,
    steps: int | None = None,
    importance: bool = True,
    units: int | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> ExplorerView:
    """Every gate and state of the network while it reads the end of a series.

    What it reads ends one horizon before the series does, so that its forecast has a truth, of
    whose loss the gradient is shown.

    Args:
        forecaster: trained, with the table that it was trained on.
        series: whose end is read; the first if None.
        steps: so many steps up to there, at least the context that it was trained on, which is
            what None gives, and at most those of the series.
        importance: whether to measure what clamping each gate of each unit does to the verdict's
            metric on held-out windows.
        units: clamp so many units of each layer, those that remember longest; all if None.
        progress: called with what is being done, how much of it is done, and of how much.
        command: what writes the page again.

    Raises:
        OptionError: there is no such series.
    """
    window = _window(forecaster, _index(forecaster.data, series), steps)
    net = forecaster.network
    clamps = None
    if importance:
        held_out = HeldOut(forecaster)
        count = len(held_out.chosen[0])
        clamps = Clamps(held_out, held_out.name, units=units, source=f"{count:,} held-out windows")
    found = view(
        net,
        window.arguments,
        title=f"Inside the forecast of {target_name(forecaster.data)}",
        time=window.time(),
        step=STEPS.get(forecaster.data.freq or "", "step"),
        inputs=window.inputs(forecaster.data),
        loss=window.loss,
        loss_name=f"the {forecaster.config.loss} loss of the forecast from the last step",
        clamps=clamps,
        search=_search(window),
        progress=progress,
    )
    return dataclasses.replace(
        found,
        subtitle=f"{window.series.unique_id}: {found.subtitle}",
        notes=window.notes(),
        command=command,
        context=window.context,
    )


def _index(data: SeriesSet, name: str | None) -> int:
    names = [one.unique_id for one in data.series]
    if name is None:
        return 0
    if name not in names:
        raise OptionError(f"there is no series {name!r}{nearest(name, names)}")
    return names.index(name)


@dataclass(frozen=True)
class _Window:
    """What the network reads: `steps` steps of a series before `origin`."""

    forecaster: Forecaster
    series: Series
    origin: int
    steps: int
    values: Windows
    dtype: torch.dtype

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        """What the network is called with."""
        future = self.values.future[:, None, self.steps :].to(self.dtype)
        seen = self.values.features(self.steps), self.values.y[:, : self.steps]
        read = [part.to(self.dtype) for part in seen]
        return (*read, future) if future.shape[-1] else (*read, None)

    def loss(self, net: nn.Module) -> Tensor:
        """The loss of the one forecast, over the steps that were observed."""
        config = self.forecaster.config
        truth = self.values.y[:, self.steps :].to(self.dtype)
        losses = loss_by_step(config, net(*self.arguments)[:, 0], truth)
        real = self.values.observed[:, self.steps :]
        return torch.where(real, losses, 0.0).sum() / real.sum().clamp(min=1)

    @property
    def context(self) -> int:
        """Steps that the network was trained to read."""
        return self.forecaster.config.context_length or 1

    @property
    def before(self) -> int:
        """Steps that stand before the series begins."""
        return max(0, self.steps - self.origin)

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """The series' values at the steps that are read; NaN before it begins."""
        part = values[max(0, self.origin - self.steps) : self.origin]
        if not self.before:
            return part
        return np.concatenate([np.full(self.before, np.nan), part])

    def time(self) -> NDArray[Any]:
        """When each step was; before the series begins, as if it had begun before."""
        ds = self.series.ds
        part = ds[max(0, self.origin - self.steps) : self.origin]
        if not self.before:
            return part
        back = np.arange(-self.before, 0) * (ds[1] - ds[0])
        return np.concatenate([ds[0] + back, part])

    def inputs(self, data: SeriesSet) -> dict[str, NDArray[Any]]:
        """The target and the covariates, in their own units."""
        target = data.target if data.target != "*" else self.series.unique_id
        found = {target: self._cut(self.series.y)}
        for names, values in ((data.past, self.series.past), (data.future, self.series.future)):
            found |= {name: self._cut(values[:, k]) for k, name in enumerate(names)}
        return found

    def notes(self) -> list[str]:
        """What a reader should know."""
        context, found = self.context, []
        if self.steps > context:
            found.append(
                f"The network was trained to read {context:,} steps; here it reads {self.steps:,}, "
                f"so what it holds from step {context:,} on, counted from 0 as on this page, it "
                f"has not been trained for."
            )
        if self.before:
            found.append(
                f"The first {self.before:,} steps stand before the series begins: there the "
                f"network reads its first value, marked as not observed."
            )
        return found


def _window(forecaster: Forecaster, index: int, steps: int | None) -> _Window:
    config, series = forecaster.config, forecaster.data.series[index]
    origin = max(1, len(series) - (config.horizon or 1))
    context = config.context_length or 1
    wanted = max(context, min(steps or 0, origin))
    panel: Panel = copy.copy(forecaster.panel())
    panel.config = dataclasses.replace(config, context_length=wanted)
    values = panel.windows(torch.tensor([index]), torch.tensor([origin]))
    dtype = next(forecaster.network.parameters()).dtype
    return _Window(forecaster, series, origin, wanted, values, dtype)


def _search(window: _Window) -> Search:
    """Windows that do not overlap, so that one event is found once, spread over all series."""
    forecaster, context = window.forecaster, window.context
    data, panel = forecaster.data, forecaster.panel()
    apart = [
        (k, origin)
        for k, one in enumerate(data.series)
        for origin in range(len(one), 0 if len(one) <= context else context - 1, -context)
    ]
    pairs = [
        apart[k] for k in np.linspace(0, len(apart) - 1, min(len(apart), _SEARCHED)).astype(int)
    ]
    chosen = torch.tensor(pairs).T
    dtype = next(forecaster.network.parameters()).dtype
    batches: list[Any] = []
    for start in range(0, len(pairs), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        found = panel.windows(chosen[0][some], chosen[1][some])
        future = found.future[:, None, context:].to(dtype)
        read = found.features(context).to(dtype), found.y[:, :context].to(dtype)
        batches.append((*read, future if future.shape[-1] else None))

    def in_view(row: int, step: int) -> int | None:
        k, origin = pairs[row]
        at = origin - context + step - (window.origin - window.steps)
        return at if data.series[k] is window.series and 0 <= at < window.steps else None

    read_rows = sum(min(origin, context) for _, origin in pairs)
    return Search(
        batches,
        label=lambda row, step: _label(data.series, pairs[row], context, step),
        shown=np.stack([_shown(data.series[k], origin, context) for k, origin in pairs]),
        source=f"{len(pairs):,} windows of {context:,} steps, which hold {read_rows:,} of the "
        f"{sum(map(len, data.series)):,} rows of the data",
        at=in_view,
    )


def _label(series: Sequence[Series], window: tuple[int, int], context: int, step: int) -> str:
    one, at = series[window[0]], window[1] - context + step
    if at < 0:
        return f"{one.unique_id}, before its beginning"
    stamp = one.ds[at]
    text = str(stamp) if not isinstance(stamp, np.datetime64) else str(stamp)[:16].replace("T", " ")
    return f"{one.unique_id}, {text.removesuffix(' 00:00')}"


def _shown(one: Series, origin: int, context: int) -> NDArray[np.float64]:
    part = one.y[max(0, origin - context) : origin]
    return np.concatenate([np.full(context - len(part), np.nan), part])
