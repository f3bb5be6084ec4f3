"""From a case to its rows: its sides are built, found equal to the truth, and timed in turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bench.cpu.cases import Case, Comparison, Entry
from bench.cpu.check import WrongError, check
from bench.cpu.problem import Problem, data
from bench.cpu.side_jax import jax_scan
from bench.cpu.side_onnx import onnxruntime
from bench.cpu.sides import BUILDERS, Builder, NotSupportedError, Side, chosen
from bench.cpu.timing import Effort, Spread, in_turns, quickly, spread

SIDES: dict[str, Builder] = {**BUILDERS, "onnxruntime": onnxruntime, "JAX scan": jax_scan}
# where both would take longer, `auto` is not timed beside the engine that it takes
_LONG = 20e-3


@dataclass(frozen=True)
class Row:
    """What came of a comparison.

    Attributes:
        group, figure, kind, target: as of the comparison and its case.
        problem: what ours computed.
        ours, peer: the sides' names, with their problem where it is another.
        value: the speed or the cost, None if it could not be had.
        ours_ms, peer_ms: the best times, in milliseconds.
        gflops: the rate of our products; 0 if unknown.
        error: how far ours was from the truth, as a share of the largest value.
        note: why there is no value, or which engine `auto` took.
        wrong: whether a side was found wrong.
    """

    group: str
    figure: str
    kind: str
    target: float | None
    problem: Problem
    ours: str
    peer: str
    value: Spread | None = None
    ours_ms: float = 0.0
    peer_ms: float = 0.0
    gflops: float = 0.0
    error: float = 0.0
    note: str = ""
    wrong: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target, None if there is none of either."""
        if self.target is None or self.value is None:
            return None
        median = self.value.median
        return median >= self.target if self.kind == "speed" else median <= self.target


@dataclass
class _Ready:
    """The sides of a case that can be timed, and what hinders the others."""

    sides: dict[Entry, Side]
    errors: dict[Entry, float]
    hindered: dict[Entry, str]
    wrong: set[Entry]


def measure(case: Case, effort: Effort) -> Iterator[Row]:
    """The rows of a case."""
    ready = _prepare(case)
    wanted = [c for c in case.comparisons if c.ours in ready.sides and c.peer in ready.sides]
    needed = {entry: ready.sides[entry] for c in wanted for entry in (c.peer, c.ours)}
    times = _time(needed, effort)
    for comparison in case.comparisons:
        yield _row(case.group, comparison, ready, times)


def _prepare(case: Case) -> _Ready:
    ready = _Ready({}, {}, {}, set())
    for entry in case.entries:
        try:
            side = SIDES[entry.side](data(entry.problem))
            ready.errors[entry] = check(side, entry.problem)
            ready.sides[entry] = side
        except NotSupportedError as error:
            ready.hindered[entry] = f"not supported: {error}"
        except WrongError as error:
            ready.hindered[entry] = f"WRONG: {error}"
            ready.wrong.add(entry)
        except Exception as error:  # of a peer that is no fault of ours
            ready.hindered[entry] = f"FAILED: {type(error).__name__}: {error}".splitlines()[0]
            if entry.side in ("cpu", "auto"):
                ready.wrong.add(entry)
    return ready


def _time(sides: dict[Entry, Side], effort: Effort) -> dict[Entry, list[float]]:
    """Seconds of each side; those of `auto` are its engine's where a call is long."""
    named = {f"{k}": (entry, side) for k, (entry, side) in enumerate(sides.items())}
    shared = {}
    for key, (entry, _) in list(named.items()):
        same = next((k for k, (e, _) in named.items() if e == Entry("cpu", entry.problem)), None)
        if entry.side == "auto" and same and chosen(data(entry.problem)) == "cpu":
            shared[key] = same
    learns = any(entry.problem.learns for entry in sides)
    with torch.set_grad_enabled(learns):
        for key, same in list(shared.items()):
            if quickly(named[same][1]) < _LONG:
                del shared[key]
        works = {key: side for key, (_, side) in named.items() if key not in shared}
        times = in_turns(works, effort) if works else {}
    return {entry: times[shared.get(key, key)] for key, (entry, _) in named.items()}


def _row(group: str, comparison: Comparison, ready: _Ready, times: dict[Entry, list[float]]) -> Row:
    ours, peer = comparison.ours, comparison.peer
    other = "" if ours.problem == peer.problem else f" ({peer.problem})"
    found = {
        "group": group, "figure": comparison.figure, "kind": comparison.kind,
        "target": comparison.target, "problem": ours.problem, "ours": ours.side,
        "peer": f"{peer.side}{other}",
    }  # fmt: skip
    for entry in (ours, peer):
        if entry in ready.hindered:
            note = f"{entry.side}: {ready.hindered[entry]}"
            return Row(**found, note=note, wrong=entry in ready.wrong)
    above, below = times[peer], times[ours]
    if comparison.kind == "cost":
        above, below = below, above
    best = min(times[ours])
    return Row(
        **found, value=spread(above, below, comparison.factor), ours_ms=best * 1e3,
        peer_ms=min(times[peer]) * 1e3, gflops=ours.problem.flops / best / 1e9,
        error=ready.errors[ours],
        note=f"auto takes {chosen(data(ours.problem))}" if ours.side == "auto" else "",
    )  # fmt: skip
