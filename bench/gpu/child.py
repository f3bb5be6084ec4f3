"""The process that measures: cases one after another, each written down as soon as it is known.

It is started by `bench.gpu`, and again if a case breaks it: then it goes on behind that case.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.cpu.cases import Case, Comparison, Entry
from bench.cpu.check import WrongError
from bench.cpu.sides import NotSupportedError
from bench.cpu.timing import spread
from bench.gpu import device, problem, report
from bench.gpu.cases import GROUPS, PUBLISHED
from bench.gpu.check import check
from bench.gpu.floor import floor
from bench.gpu.problem import Data, Problem
from bench.gpu.replays import Replays, replays
from bench.gpu.sides import GRAPH, WARM, Side, engine_of, side
from bench.gpu.timing import in_turns, middle

BROKEN = 77  # the exit code of a process that needs a successor
SECONDS = 0.8  # to spend on the turns of a case
LONG = 0.5  # seconds
SETTLED = 0.7  # of the time of the call before: what takes longer compiled no less than that one
NONE = Replays(0, 0)


def cases(only: list[str], dry: bool = False) -> list[Case]:
    """The cases of some groups, in their order; dry, one of each kind at sizes for an interpreter,
    without sides that only a GPU has."""
    found = [case for name in only for case in GROUPS[name]()]
    if not dry:
        return found
    unlike = {(case.group, _problem(case)): case for case in reversed([*map(_small, found)])}
    return [*reversed(unlike.values())]


def main() -> int:
    """0 when all cases were tried that there was time for."""
    options = _options()
    # what jit compilers say about themselves is no news here; what gated says is
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("always", module=r"gated\.")
    with Path(options.log).open("a", encoding="utf-8") as file:

        def write(**told: object) -> None:
            file.write(json.dumps(told) + "\n")
            file.flush()

        return _measure(options, write)


def _measure(options: argparse.Namespace, write: Any) -> int:
    where = "cpu" if options.dry else "cuda"
    if options.first == 0:
        write(facts=device.facts(where), limits={})
        write(facts=device.facts(where), limits=device.limits(where))
    for place, case in enumerate(cases(options.only, options.dry)):
        if place < options.first:
            continue
        if time.time() > options.until:
            break
        write(began=place, name=case.name)
        for row in measured(case, where, 0.0 if options.dry else SECONDS):
            write(row=row)
        write(ended=place)
        if where == "cuda" and not _sound():
            return BROKEN
    return 0


def _sound() -> bool:
    """Whether the device still answers: after some errors all calls fail."""
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True


@dataclass
class Tried:
    """What became of a side.

    Attributes:
        hindered: why it was not timed, or empty.
        error: the largest difference from the truth.
        replays: of its loops.
        times: turn by turn.
    """

    hindered: str = ""
    error: float = 0.0
    replays: Replays = NONE
    times: list[float] = field(default_factory=list)


def measured(case: Case, where: str, seconds: float) -> Iterator[dict[str, object]]:
    """The rows of a case."""
    device.allow_tf32(_problem(case).dtype == "tf32")
    torch._dynamo.reset()  # it compiles one function so often, and no more
    sides: dict[Entry, Side] = {}
    tried = {entry: Tried() for entry in case.entries}
    for entry, of in tried.items():
        try:
            sides[entry], of.error, of.replays = _ready(entry, where)
        except NotSupportedError as error:
            of.hindered = f"{report.REFUSED}: {error}"
        except WrongError as error:
            of.hindered = f"WRONG: {error}"
        except Exception as error:  # one side's fault does not hide the others
            told = [line for line in str(error).splitlines() if line.strip()] or [""]
            of.hindered = f"FAILED: {type(error).__name__}: {told[0][:300]}"
    names = {f"{k}": entry for k, entry in enumerate(sides)}
    with torch.set_grad_enabled(_problem(case).learns):
        works = {name: sides[entry] for name, entry in names.items()}
        for name, times in (in_turns(works, where, seconds) if works else {}).items():
            tried[names[name]].times = times
    for comparison in case.comparisons:
        yield _row(case.group, comparison, tried, where)


def _ready(entry: Entry, where: str) -> tuple[Side, float, Replays]:
    """A side that was found right and has nothing left to compile, its error, and its replays."""
    given: Data = problem.data(entry.problem, where)
    with torch.set_grad_enabled(entry.problem.learns):
        made = side(entry.side, given)
        error = check(made, given)
        if where != "cuda":
            return made, error, NONE
        _warm(made)
        return made, error, replays(made)


def _warm(made: Side) -> None:
    """Call a side until nothing is compiled or captured any more.

    What takes long is called less often, once a call took about as long as the one before.
    """
    before = math.inf
    for _ in range(WARM):
        start = time.monotonic()
        made()
        torch.cuda.synchronize()
        took = time.monotonic() - start
        if took > max(LONG, SETTLED * before):
            break
        before = took


def _row(
    group: str, comparison: Comparison, tried: dict[Entry, Tried], where: str
) -> dict[str, object]:  # fmt: skip
    ours, peer = comparison.ours, comparison.peer
    asked: Problem = ours.problem
    least = floor(asked)
    row: dict[str, object] = {
        "group": group, "case": str(asked), "ours": ours.side, "figure": comparison.figure,
        "peer": "" if peer == ours else f"{peer.side} {peer.problem.mode}",
        "kind": comparison.kind, "wanted": comparison.target, "dtype": asked.dtype,
        "floor": {"bytes": least.bytes, "operations": least.operations, "chain": least.chain,
                  "steps": least.steps},
    }  # fmt: skip
    trouble = {}
    for name, entry in (("ours", ours), ("peer", peer)):
        of = tried[entry]
        if told := of.hindered or of.replays.trouble(entry.side):
            trouble[entry.side] = told
        if of.times:
            row[f"{name} ms"] = middle(of.times)
            row[f"{name} off by"] = of.error
        if of.replays.loops:
            row[f"{name} replayed"] = of.replays.told()
    if trouble:
        row["trouble"] = trouble
    times, theirs = tried[ours].times, tried[peer].times
    if times:
        row["us a step"] = round(1e3 * middle(times)[0] / asked.steps, 3)
        if ours.side == "auto":
            row["auto takes"] = engine_of(problem.data(asked, where))
    if group == "heads":
        row |= _published(asked, times, where)
    if times and theirs and ours != peer:
        row |= _ratio(comparison, times, theirs, where)
    return row


def _published(asked: Problem, times: list[float], where: str) -> dict[str, object]:
    """What others say that they reach, and what is wanted here."""
    theirs, wanted = PUBLISHED.get((asked.heads, asked.mode), (None, None))
    if theirs is None:
        return {}
    found: dict[str, object] = {"published ms": theirs, "wanted ms": wanted}
    if times and wanted is not None and where == "cuda":
        found["met"] = middle(times)[0] <= wanted
    return found


def _ratio(
    comparison: Comparison, ours: list[float], theirs: list[float], where: str
) -> dict[str, object]:
    """How often one time is the other, and whether that is what is wanted."""
    more = comparison.kind == "speed"
    ratio = spread(theirs, ours) if more else spread(ours, theirs)
    found: dict[str, object] = {"ratio": [round(value, 3) for value in ratio[:3]]}
    if comparison.target is not None and where == "cuda":
        met = ratio.median >= comparison.target if more else ratio.median <= comparison.target
        found["met"] = met
    return found


def _problem(case: Case) -> Problem:
    asked: Problem = case.comparisons[0].ours.problem
    return asked


def _small(case: Case) -> Case:
    """The case at sizes for an interpreter."""

    def small(entry: Entry) -> Entry:
        return Entry(entry.side, entry.problem.small)

    comparisons = [
        Comparison(small(c.ours), small(c.peer), c.figure, c.target, c.kind)
        for c in case.comparisons
        if not c.peer.side.endswith(GRAPH)
    ]
    return Case(case.group, comparisons)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", required=True)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(GROUPS))
    parser.add_argument("--dry", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    # leave at once: what a broken device holds cannot be given back
    code = main()
    os._exit(code)
