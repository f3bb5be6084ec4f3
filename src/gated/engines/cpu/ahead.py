"""The forward loop in C++."""

from __future__ import annotations

from gated.engines.cpu.writer import Names, Parts, Writer
from gated.equations.loop import Forward
from gated.equations.schedule import width_of
from gated.equations.symbols import Node


class Ahead(Writer):
    """The forward loop. `kept` are the values that it writes for the loop backwards."""

    def __init__(
        self,
        loop: Forward,
        kept: list[Node],
        function: str,
        names: Names,
        letters: tuple[str, ...],
    ):
        super().__init__(loop, names, letters)
        self.function = function
        self.add_inputs()
        for name, node in loop.updates.items():
            self.add(node, f"state_{name}", "timed", width_of(node))
        for k, node in enumerate(kept):
            if node not in self.held:
                self.add(node, f"kept_{k}", "timed", width_of(node))
        self.locate(loop.stages, [])

    def text(self) -> str:
        """The function in C++."""
        return self.frame(self.plan.stages, Parts())
