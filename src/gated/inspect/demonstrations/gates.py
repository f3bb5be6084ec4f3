"""Gates are learned jointly: they all move, their gradients depend on each other, one stands in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Row,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import Fit, fit
from gated.inspect.recording.symbols import by_symbol
from gated.inspect.words import percent
from gated.layers.recurrent import Recurrent

__all__ = ["Training", "coupling", "run", "train"]

GATES = "ifgo"
LEARNED = 0.1  # the error is 1 where a network always answers 0


@dataclass(frozen=True)
class Training:
    """A training: losses and norms, and how far each gate's weights moved (4,) for i, f, g, o."""

    fit: Fit
    moved: Array

    @property
    def batches(self) -> float:
        """How many batches until the error of ten in a row is below 0.1; inf if it never is."""
        means = np.convolve(self.fit.losses, np.full(10, 0.1), "valid")
        below = np.flatnonzero(means < LEARNED)
        return float(below[0] + 10) if len(below) else float("inf")


def run(
    batches: int = 150,
    seeds: tuple[int, ...] = (0, 1),
    length: int = 10,
    units: int = 8,
    shift: float = 1.0,
) -> Demonstration:
    """An LSTM learns to recall the marked one of the signs that it reads, gates frozen in turn.

    Args:
        batches: of a training.
        seeds: one training of each kind for each.
        length: T; the mark is in the first half.
        units: H.
        shift: what is added to a gate's bias to see whose gradient changes.
    """
    kinds = {"none": None, **{gate: gate for gate in GATES}}
    trained = {
        name: [train(seed, batches, gate, length, units) for seed in seeds]
        for name, gate in kinds.items()
    }
    coupled = np.mean([coupling(seed, shift, length, units) for seed in seeds], axis=0)
    moved = np.mean([one.moved for one in trained["none"]], axis=0)
    least = float(coupled[~np.eye(4, dtype=bool)].min())
    learned = [one.fit.end() < LEARNED for gate in GATES for one in trained[gate]]
    rows: tuple[Row, ...] = tuple((name, *_row(runs)) for name, runs in trained.items())
    pairs: tuple[Row, ...] = tuple((g, *map(float, coupled[k])) for k, g in enumerate(GATES))
    columns = ("frozen", "batches", "error", *GATES)
    change = f"change of each gradient when {shift:g} is added to the bias of the gate in front"
    return conclude(
        "gates",
        bool(moved.min() > 0.1) and least > 0.01 and all(learned),
        done=_done(_Task(length, units), batches, len(seeds), shift),
        found=_found(trained, moved, least, sum(learned)),
        tables=(
            Table("one gate frozen: batches to learn, error, how far each moved", columns, rows),
            Table(change, ("shifted", *GATES), pairs),
        ),
        curves=(_losses({name: runs[0] for name, runs in trained.items()}, seeds[0]),),
        numbers={"least coupling": least, "least moved": float(moved.min())},
    )


def _done(task: _Task, batches: int, starts: int, shift: float) -> tuple[str, ...]:
    return (
        f"{task.words} {batches} batches of 32, Adam, rate 0.03, from {starts} starts.",
        "Once with everything learned, then with the weights of one gate frozen as they were "
        "drawn (g, the candidate, counts as one).",
        f"Before training: the gradient of each gate's weights, and by how much it changes when "
        f"{shift:g} is added to the bias of another gate.",
    )


def _found(
    trained: dict[str, list[Training]], moved: Array, least: float, learned: int
) -> tuple[str, ...]:
    count = sum(len(trained[gate]) for gate in GATES)
    far = ", ".join(f"{number(d)} ({gate})" for gate, d in zip(GATES, moved, strict=True))
    more = ", ".join(f"{_ratio(trained, gate):.2f} ({gate} frozen)" for gate in GATES)
    return (
        f"All four move: their weights end at the distances {far} from where they started.",
        f"Their gradients are tied: shifting one gate changes every other gate's gradient, by "
        f"{percent(least)} at least. c = f c₋ + i g and h = o tanh c are products; the derivative "
        "in one factor holds the others.",
        f"With one gate frozen {learned} of {count} trainings still reach an error below "
        f"{LEARNED:g}. How far the others move then, as a multiple of before: {more}.",
    )


def _losses(shown: dict[str, Training], seed: int) -> Curves:
    lines = {}
    for name, one in shown.items():
        at = np.arange(1, len(one.fit.losses) + 1)
        lines["all learned" if name == "none" else f"{name} frozen"] = Line.of(at, one.fit.losses)
    return Curves(f"Error by batch, start {seed}", "batch", "squared error", lines, log=True)


def train(seed: int, batches: int, frozen: str | None, length: int, units: int) -> Training:
    """One training; the rows of the frozen gate get no gradient."""
    task = _Task(length, units)
    layer, head = task.network(seed)
    before = copy.deepcopy(layer)
    if frozen is not None:
        for weight in layer.parameters():
            weight.register_hook(_without(frozen, weight))  # type: ignore[no-untyped-call]
    found = fit(
        layer,
        lambda last: head(last)[:, 0],
        task.draw,
        torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.03),
        steps=batches,
        seed=seed,
    )
    now, then = by_symbol(layer), by_symbol(before)
    difference = {key: (now[key] - then[key]).detach() for key in now}
    return Training(found, _by_gate(difference))


def coupling(seed: int, shift: float, length: int, units: int) -> Array:
    """Row: the gate whose bias is shifted. Column: relative change of a gate's gradient. (4, 4)."""
    task = _Task(length, units)
    layer, head = task.network(seed)
    x, y = task.draw(torch.Generator().manual_seed(seed))

    def gradients() -> list[Tensor]:
        """Of each gate's weights, one vector a gate."""
        weights = list(layer.parameters())
        loss = (head(layer(x)[0][:, -1])[:, 0] - y).square().mean()
        parts = [g.chunk(4) for g in torch.autograd.grad(loss, weights)]
        return [torch.cat([part[k].flatten() for part in parts]) for k in range(4)]

    start, rows = gradients(), []
    for k in range(4):
        bias = layer.bias_ih_l0.detach().chunk(4)[k]  # type: ignore[operator]
        bias += shift
        rows.append(
            [float((a - b).norm() / b.norm()) for a, b in zip(gradients(), start, strict=True)]
        )
        bias -= shift
    return np.array(rows)


@dataclass(frozen=True)
class _Task:
    """Recall the marked one of `length` signs, with an LSTM of `units` units."""

    length: int
    units: int

    @property
    def words(self) -> str:
        return (
            f"An LSTM of {self.units} units reads {self.length} signs, one of the first "
            f"{self.length // 2} marked, and is to give the marked one at the end;"
        )

    def network(self, seed: int) -> tuple[Recurrent, torch.nn.Linear]:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            layer = Recurrent(
                "lstm", 2, self.units, batch_first=True, dtype=torch.float64, engine="torch"
            )
            return layer, torch.nn.Linear(self.units, 1, dtype=torch.float64)

    def draw(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """A batch: x (32, T, 2), the signs and the mark; y (32,)."""
        signs = torch.randint(2, (32, self.length), generator=random).double() * 2 - 1
        marked = torch.randint(self.length // 2, (32,), generator=random)
        mark = torch.nn.functional.one_hot(marked, self.length).to(signs)
        return torch.stack([signs, mark], -1), (signs * mark).sum(1)


def _without(gate: str, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A hook that takes the gradient from a gate's rows of a stacked weight."""
    mask = torch.ones_like(weight)
    mask.chunk(4)[GATES.index(gate)].zero_()
    return lambda gradient: gradient * mask


def _by_gate(values: dict[str, Tensor]) -> Array:
    """The norm of what belongs to each gate."""
    return np.array(
        [
            float(torch.cat([v.flatten() for key, v in values.items() if key[2:] == gate]).norm())
            for gate in GATES
        ]
    )


def _row(runs: list[Training]) -> tuple[float, ...]:
    moved = np.mean([one.moved for one in runs], axis=0)
    batches = float(np.mean([one.batches for one in runs]))
    return (batches, float(np.mean([one.fit.end() for one in runs])), *map(float, moved))


def _ratio(trained: dict[str, list[Training]], gate: str) -> float:
    """How far the others move when one gate is frozen, as a multiple of before."""
    others = [k for k, other in enumerate(GATES) if other != gate]
    pairs = zip(trained[gate], trained["none"], strict=True)
    return float(np.mean([a.moved[others].sum() / b.moved[others].sum() for a, b in pairs]))
