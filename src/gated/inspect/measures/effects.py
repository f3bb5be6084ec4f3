"""The effects of clamps on a metric: as a table, ranked, and as far as they were computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gated.equations.close import did_you_mean
from gated.errors import OptionError
from gated.training.signals import Interrupted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Effect", "Importance", "ImportanceInterrupted", "What"]

_SHOWN = 10  # units that are printed

# layer, index in the stack, direction, unit (None for all), clamp
What = tuple[str, int, int, int | None, str]


@dataclass(frozen=True)
class Effect:
    """What one clamp does to the metric.

    Attributes:
        layer, index, direction: where: the layer's path, and its place in the stack.
        unit: the unit, None for all units of the gate.
        clamp: "frozen", or the gates and their values, "f = 1".
        value: the metric with it.
        change: `value` less the metric of the untouched model.
    """

    layer: str
    index: int
    direction: int
    unit: int | None
    clamp: str
    value: float
    change: float

    @property
    def what(self) -> What:
        """Where it is and what is clamped there: what tells it from others."""
        return self.layer, self.index, self.direction, self.unit, self.clamp


@dataclass(frozen=True)
class Importance:
    """The effects of clamps on a metric.

    Attributes:
        baseline: the metric of the untouched model.
        effects: in the order in which they were computed.
        better: "lower" or "higher": which values of the metric are good.
        total: how many effects were asked for.
        clamps: of each effect that was asked for, the values that were to be held.
    """

    baseline: float
    effects: tuple[Effect, ...]
    better: str
    total: int
    clamps: tuple[tuple[What, Mapping[str, Any]], ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was computed."""
        return len(self.effects) == self.total

    def harm(self, effect: Effect) -> float:
        """How much worse the metric is: above 0 if the clamp hurts."""
        return effect.change if self.better == "lower" else -effect.change

    def ranking(self, clamp: str = "frozen") -> list[Effect]:
        """The effects of one clamp on single units, the most harmful first; NaN counts as worst.

        Raises:
            OptionError: no unit was clamped so.
        """
        found = [e for e in self.effects if e.unit is not None and e.clamp == clamp]
        if not found:
            known = dict.fromkeys(e.clamp for e in self.effects if e.unit is not None)
            raise OptionError(
                f"no unit was clamped by {clamp!r}: {did_you_mean(clamp, known)}"
                f"there are {', '.join(map(repr, known)) or 'none'}; each=True clamps every gate "
                f"of every unit"
            )
        return sorted(found, key=self._order)

    def gates(self) -> list[Effect]:
        """The effects of clamping a gate in all units."""
        return [effect for effect in self.effects if effect.unit is None]

    def to_pandas(self) -> pd.DataFrame:
        """One row for each effect: layer, index, direction, unit, clamp, value, change, harm."""
        import pandas as pd

        columns = [*Effect.__dataclass_fields__, "harm"]
        rows = [{**vars(effect), "harm": self.harm(effect)} for effect in self.effects]
        return pd.DataFrame(rows, columns=columns).astype({"unit": "Int64"})

    def __str__(self) -> str:
        good = "lower is better" if self.better == "lower" else "higher is better"
        lines = [
            f"metric {self.baseline:.6g} without a clamp, {good}",
            "gates in all units, then single units, the most harmful first:",
        ]
        if not self.complete:
            lines.append(f"{len(self.effects)} of {self.total} clamps were computed")
        several = len({(e.layer, e.index, e.direction) for e in self.effects}) > 1
        ranked = sorted(self.effects, key=self._order)
        shown = [e for e in ranked if e.unit is None]
        units = [e for e in ranked if e.unit is not None]
        rows = [(_place(e, several), e.clamp, e.value, e.change) for e in shown + units[:_SHOWN]]
        wide = max((len(where) for where, *_ in rows), default=0)
        tight = max((len(clamp) for _, clamp, *_ in rows), default=0)
        lines += [f"{'':{wide}}  {'':{tight}}  {'metric':>10}  {'change':>10}"] if rows else []
        lines += [f"{a:{wide}}  {b:{tight}}  {c:10.4g}  {d:+10.3g}" for a, b, c, d in rows]
        if len(units) > _SHOWN:
            lines.append(f"... {len(units) - _SHOWN} more: to_pandas() has all")
        return "\n".join(lines)

    def _order(self, effect: Effect) -> tuple[bool, float]:
        """NaN counts as worst."""
        harm = self.harm(effect)
        return harm == harm, -harm

    def __repr__(self) -> str:
        part = "" if self.complete else f" of {self.total}"
        return f"<importance: {len(self.effects)}{part} clamps, metric {self.baseline:.6g} without>"


def _place(effect: Effect, several: bool) -> str:
    unit = "all units" if effect.unit is None else f"unit {effect.unit}"
    if not several:
        return unit
    return f"{effect.layer}.l{effect.index}{'_reverse' * effect.direction}, {unit}"


class ImportanceInterrupted(Interrupted):
    """Stopped by a signal; `partial` has all that was computed, `resume=` goes on from it."""

    def __init__(self, message: str, signum: int, partial: Importance):
        super().__init__(message, signum)
        self.partial = partial
