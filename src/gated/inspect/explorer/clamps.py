"""What fixing the gates of single units does to a metric, for the explorer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

from gated.errors import OptionError
from gated.inspect.explorer.places import Spot
from gated.inspect.explorer.views import Metric, PlaceView
from gated.inspect.measures.clamping import Importance, importance

__all__ = ["Clamps"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Clamps:
    """Which metric to measure while gates are fixed.

    Attributes:
        metric: takes the model and gives a number.
        name: of the metric, "MASE".
        lower_is_better: whether less of it is better.
        units: so many units of each layer, those that remember longest; all if None. Each unit
            takes the metric once for each setting of a gate, and once for being frozen.
        source: on which data the metric is measured, "120 held-out windows".

    Raises:
        OptionError: units is below 1.
    """

    metric: Callable[[nn.Module], float]
    name: str
    lower_is_better: bool = True
    units: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.units is not None and self.units < 1:
            raise OptionError(f"units={self.units}: expected 1 or more units to clamp")

    def add(self, model: nn.Module, places: dict[Spot, PlaceView], tell: Progress) -> Metric:
        """Measure, and put the effects into the places."""
        paths = list(dict.fromkeys(spot.name for spot in places))
        baseline = 0.0
        for path in paths:
            name = "clamping" if len(paths) == 1 else f"clamping {path}"
            found = importance(
                model,
                self.metric,
                layers=[path],
                units=self._chosen(places, path),
                each=True,
                better="lower" if self.lower_is_better else "higher",
                progress=partial(tell, name),
            )
            baseline = found.baseline
            for spot in places:
                if spot.name == path:
                    places[spot] = _with(places[spot], spot, found)
        return Metric(self.name, baseline, self.lower_is_better, self.source)

    def _chosen(self, places: dict[Spot, PlaceView], path: str) -> list[int]:
        """The units of a layer to clamp: the same in its whole stack."""
        stack = [place for spot, place in places.items() if spot.name == path]
        count = stack[0].units
        if self.units is None or self.units >= count:
            return list(range(count))
        known = [place.measures[0].values for place in stack if place.measures]
        longest = np.max(known, axis=0) if known else -np.arange(float(count))
        return sorted(np.argsort(-longest, kind="stable")[: self.units].tolist())


def _with(place: PlaceView, spot: Spot, found: Importance) -> PlaceView:
    clamped: dict[str, np.ndarray] = {}
    whole: dict[str, float] = {}
    for effect in found.effects:
        if (effect.index, effect.direction) != (spot.layer, spot.direction):
            continue
        if effect.unit is None:
            whole[effect.clamp] = effect.change
            continue
        values = clamped.setdefault(effect.clamp, np.full(place.units, np.nan))
        values[effect.unit] = effect.change
    order = [*(c for c in clamped if c != "frozen"), *(c for c in clamped if c == "frozen")]
    return replace(place, clamped={c: clamped[c] for c in order}, whole=whole)
