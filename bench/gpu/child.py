"""The process that measures: cases one after another, each written down as soon as it is known.

It is started by `bench.gpu`, and again if a case breaks it: then it goes on behind that case.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.cpu.cases import Case, Comparison, Entry
from bench.cpu.check import WrongError
from bench.cpu.sides import NotSupportedError
from bench.cpu.timing import spread
from bench.gpu import device, problem
from bench.gpu.cases import GROUPS, PUBLISHED
from bench.gpu.check import check
from bench.gpu.floor import floor
from bench.gpu.problem import Data, Problem
from bench.gpu.sides import WARM, Side, engine_of, side
from bench.gpu.timing import in_turns, middle

BROKEN = 77  # the exit code of a process that needs a successor
SECONDS = 0.8  # to spend on the turns of a case
LONG = 0.5  # seconds


def cases(only: list[str]) -> list[Case]:
    """The cases of some groups, in their order."""
    return [case for name in only for case in GROUPS[name]()]


def main() -> int:
    """0 when all cases were tried that there was time for."""
    options = _options()
    # what jit compilers say about themselves is no news here
    warnings.filterwarnings("ignore")
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
    for place, case in enumerate(cases(options.only)):
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


def measured(case: Case, where: str, seconds: float) -> Iterator[dict[str, object]]:
    """The rows of a case."""
    if where == "cpu":
        case = _small(case)
    device.allow_tf32(_problem(case).dtype == "tf32")
    torch._dynamo.reset()  # it compiles one function so often, and no more
    sides: dict[Entry, Side] = {}
    errors: dict[Entry, float] = {}
    hindered: dict[Entry, str] = {}
    for entry in case.entries:
        try:
            sides[entry], errors[entry] = _ready(entry, where)
        except NotSupportedError as error:
            hindered[entry] = f"not supported: {error}"
        except WrongError as error:
            hindered[entry] = f"WRONG: {error}"
        except Exception as error:  # one side's fault does not hide the others
            told = [line for line in str(error).splitlines() if line.strip()] or [""]
            hindered[entry] = f"FAILED: {type(error).__name__}: {told[0][:300]}"
    names = {f"{k}": entry for k, entry in enumerate(sides)}
    with torch.set_grad_enabled(_problem(case).learns):
        works = {name: sides[entry] for name, entry in names.items()}
        times = in_turns(works, where, seconds) if works else {}
    found = {entry: times[name] for name, entry in names.items()}
    for comparison in case.comparisons:
        yield _row(case.group, comparison, found, errors, hindered, where)


def _ready(entry: Entry, where: str) -> tuple[Side, float]:
    """A side that was found right and has nothing left to compile, and its error."""
    given: Data = problem.data(entry.problem, where)
    with torch.set_grad_enabled(entry.problem.learns):
        made = side(entry.side, given)
        error = check(made, given)
        if where == "cuda":
            _warm(made)
    return made, error


def _warm(made: Side) -> None:
    """Call a side until nothing is compiled or captured any more; what takes long, less often."""
    for call in range(WARM):
        start = time.monotonic()
        made()
        torch.cuda.synchronize()
        if call and time.monotonic() - start > LONG:
            break


def _row(
    group: str, comparison: Comparison, times: dict[Entry, list[float]],
    errors: dict[Entry, float], hindered: dict[Entry, str], where: str,
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
    wrong = {e.side: told for e in (ours, peer) if (told := hindered.get(e))}
    if wrong:
        row["trouble"] = wrong
    for name, entry in (("ours", ours), ("peer", peer)):
        if entry in times:
            row[f"{name} ms"] = middle(times[entry])
            row[f"{name} off by"] = errors[entry]
    if ours in times:
        row["us a step"] = round(1e3 * middle(times[ours])[0] / asked.steps, 3)
        if ours.side == "auto":
            row["auto takes"] = engine_of(problem.data(asked, where))
    if (
        asked.heads
        and group == "heads"
        and ours in times
        and (asked.heads, asked.mode) in PUBLISHED
    ):
        theirs, wanted = PUBLISHED[asked.heads, asked.mode]
        row |= {"published ms": theirs, "wanted ms": wanted}
        if wanted is not None and where == "cuda":
            row["met"] = middle(times[ours])[0] <= wanted
    if not wrong and ours != peer:
        above, below = times[peer], times[ours]
        if comparison.kind == "cost":
            above, below = below, above
        ratio = spread(above, below)
        row["ratio"] = [round(value, 3) for value in ratio[:3]]
        if comparison.target is not None and where == "cuda":
            more = comparison.kind == "speed"
            row["met"] = (
                ratio.median >= comparison.target if more else ratio.median <= comparison.target
            )
    return row


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
