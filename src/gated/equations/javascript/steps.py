"""One step of a cell as a JavaScript function."""

from __future__ import annotations

from gated.equations.graph import Graph
from gated.equations.javascript.names import quoted
from gated.equations.javascript.writer import Writer
from gated.equations.render import text

__all__ = ["function", "step"]


def step(graph: Graph) -> list[str]:
    """`step(parameters, inputs, states)`: every gate and new state, by name."""
    nodes = graph.nodes()
    writer = Writer(graph, "parameters", "inputs", "states")
    writer.leaves(nodes)
    writer.plan(nodes)
    for (name, node), line in zip(graph.equations.items(), text(graph).split("\n"), strict=True):
        writer.lines.append(f"// {' '.join(line.split())}")
        writer.array(node, name)
    result = {name: writer.array(node, name) for name, node in graph.equations.items()}
    result |= {name: writer.array(node, name) for name, node in graph.updates.items()}
    return function("step(parameters, inputs, states)", [*writer.lines, f"return {table(result)};"])


def function(head: str, body: list[str]) -> list[str]:
    """A method of an object."""
    return [f"{head} {{", *(f"  {line}" for line in body), "},"]


def table(values: dict[str, str]) -> str:
    """An object of variables under names."""
    entries = (
        name if name == value else f"{quoted(name)}: {value}" for name, value in values.items()
    )
    return f"{{ {', '.join(entries)} }}"
