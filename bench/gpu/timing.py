"""Times on the device, taken in turns, in milliseconds."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from bench.gpu.device import milliseconds

Work = Callable[[], object]
# what one measurement lasts at least: short works are repeated within it
_BLOCK_MS = 3.0
_ROUNDS = (5, 60)
# a case whose fewest turns would last longer makes do with three
_PATIENCE_MS = 6e3
_CACHE = 1 << 28  # bytes that put everything else out of the device's caches


class Times(NamedTuple):
    """The median of a side's times, in milliseconds, and between what the middle half lies."""

    median: float
    low: float
    high: float


def in_turns(works: Mapping[str, Work], device: str, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of one call of each work, turn by turn, in a random order within each.

    Before each turn of a work, other data goes through the device's caches; of a turn of several
    calls this is felt by the first. Works were called before, so often that nothing is compiled
    or captured any more.
    """
    if not seconds:  # a dry run
        return {n: [milliseconds(work, device, 1) for _ in "12"] for n, work in works.items()}
    once = {name: _once(work, device) for name, work in works.items()}
    times = {name: max(1, min(50, round(_BLOCK_MS / max(ms, 1e-3)))) for name, ms in once.items()}
    turn = sum(times[name] * once[name] for name in works)
    fewest, most = _ROUNDS
    fewest = fewest if turn * fewest < _PATIENCE_MS else 3
    other = torch.empty(_CACHE if device == "cuda" else 1, dtype=torch.int8, device=device)
    found: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.disable()
    try:
        for _ in range(min(most, max(fewest, int(1e3 * seconds / turn)))):
            for name in random.sample(list(works), len(works)):
                other.zero_()
                found[name].append(milliseconds(works[name], device, times[name]))
    finally:
        gc.enable()
    return found


def _once(work: Work, device: str) -> float:
    """About the milliseconds of a call."""
    first = milliseconds(work, device, 1)
    return first if first > _BLOCK_MS else min(first, milliseconds(work, device, 1))


def middle(times: list[float]) -> Times:
    """The median and quartiles of some times."""
    if len(times) < 2:
        return Times(times[0], times[0], times[0])
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Times(round(median, 5), round(low, 5), round(high, 5))
