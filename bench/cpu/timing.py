"""Times taken in turns, and ratios of them with their spread.

On one thread it is the process's own time that counts, which other processes disturb less.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

Work = Callable[[], object]

# what one measurement lasts at least: short works are repeated within it
_BLOCK = 2e-3
# threads of the side before, which look out for more work, go to sleep in this time
_PAUSE = 2e-3
_MOST_TURNS = 400
# a call of so many seconds says at once how long it takes
_LONG = 0.1
# a case whose fewest turns would last longer than this, in seconds, makes do with _FEWEST
_PATIENCE = 20.0
_FEWEST = 3


class Effort(NamedTuple):
    """How long to measure: seconds for one case, and its fewest turns."""

    seconds: float = 1.0
    turns: int = 7


class Spread(NamedTuple):
    """The median of a ratio taken turn by turn, its quartiles, and the ratio of the best times."""

    median: float
    low: float
    high: float
    best: float


def in_turns(works: Mapping[str, Work], effort: Effort) -> dict[str, list[float]]:
    """Seconds that one call of each work took, turn by turn, in a random order within each.

    A short work is called once untimed at the head of its block, for what the others left in the
    caches is no part of it.
    """
    once = {name: quickly(work) for name, work in works.items()}
    times = {name: max(1, round(_BLOCK / seconds)) for name, seconds in once.items()}
    turn = sum(times[name] * once[name] + _PAUSE for name in works)
    least = effort.turns if turn * effort.turns < _PATIENCE else _FEWEST
    found: dict[str, list[float]] = {name: [] for name in works}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(max(least, min(_MOST_TURNS, int(effort.seconds / turn)))):
            for name in random.sample(list(works), len(works)):
                time.sleep(_PAUSE)
                if times[name] > 1:
                    works[name]()
                found[name].append(_timed(works[name], times[name]))
    finally:
        if collecting:
            gc.enable()
    return found


def quickly(work: Work) -> float:
    """About the seconds of a call that was made before."""
    first = _timed(work, 1)
    return first if first > _LONG else min(first, _timed(work, 1))


def _timed(work: Work, times: int) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(times):
        work()
    return (clock() - start) / times


def spread(above: list[float], below: list[float], factor: float = 1.0) -> Spread:
    """How often one time is the other, turn by turn; both multiplied by a factor, if you like."""
    ratios = [factor * a / b for a, b in zip(above, below, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Spread(median, low, high, factor * min(above) / min(below))
