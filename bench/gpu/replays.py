"""Whether a side's loops that run step by step are replayed from CUDA graphs."""

from __future__ import annotations

from typing import Any, NamedTuple
from unittest import mock

from bench.gpu.sides import LAUNCHED, Side


class Replays(NamedTuple):
    """How many loops of a call ran step by step, and how many of them as a graph."""

    loops: int
    replayed: int

    def told(self) -> str:
        """For a row; empty if no loop ran step by step."""
        return "" if not self.loops else "yes" if self.replayed == self.loops else "no"

    def trouble(self, side: str) -> str:
        """What is wrong with a side of this name, if anything."""
        if self.told() != "no" or side.endswith(LAUNCHED):
            return ""
        return f"NOT REPLAYED: {self.loops - self.replayed} of {self.loops} loops were launched"


def replays(work: Side) -> Replays:
    """Of one more call."""
    from gated.engines.triton.stepwise import graphs

    found: list[bool] = []
    original = graphs.Graphs.run

    def run(own: graphs.Graphs, entry: graphs.Entry, *further: Any) -> None:
        original(own, entry, *further)
        found.append(own.record is not None and entry.replay is not None)

    with mock.patch.object(graphs.Graphs, "run", run):
        work()
    return Replays(len(found), sum(found))
