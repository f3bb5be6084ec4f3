"""What stands in the way of a kernel for a cell's equations."""

from __future__ import annotations

from functools import lru_cache

from gated.equations.graph import Graph


@lru_cache(maxsize=256)
def obstacle(graph: Graph) -> str | None:
    """What of a cell's equations the engine has no kernel for."""
    if any(node.op == "convolve" for node in graph.nodes()):
        return "it has no convolution"
    moving = graph.depends_on_state()
    for name, node in graph.equations.items():
        if name in graph.updates and node not in moving:
            return f"the state {name} does not depend on the state before"
        if node.op == "state":
            return f"{name} is a state of the step before as it stands"
    return None
