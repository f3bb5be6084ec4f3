"""One step of a cell, and one step back through it, as JavaScript functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gated.equations.backward import gradient
from gated.equations.graph import Graph
from gated.equations.javascript.names import quoted
from gated.equations.javascript.writer import Writer, size_of
from gated.equations.render import text
from gated.equations.symbols import Node

__all__ = ["back", "forward", "function", "step"]


def step(graph: Graph) -> list[str]:
    """`step(parameters, inputs, states)`: every gate and new state, by name."""
    writer = forward(graph, "parameters", "inputs", "states")
    result = {name: writer.array(node) for name, node in _named(graph).items()}
    return function("step(parameters, inputs, states)", [*writer.lines, f"return {table(result)};"])


def forward(graph: Graph, *arguments: str) -> Writer:
    """A function's body in which every gate and new state is computed."""
    nodes = graph.nodes()
    writer = Writer(graph, *arguments)
    writer.leaves(nodes)
    writer.plan([*graph.equations.values(), *graph.updates.values()])
    for node, line in zip(graph.equations.values(), text(graph).split("\n"), strict=True):
        writer.lines.append(f"// {' '.join(line.split())}")
        writer.array(node)
    return writer


def back(graph: Graph) -> list[str]:
    """`back(parameters, inputs, states, values, gradients)`: the gradients of one step.

    `values` is what `step` gave, `gradients` holds those that arrive at the new states, none
    counting as 0. It gives {states, inputs, parameters, equations}: each state's before the step,
    and each equation's in all, as autograd gives it.
    """
    named = _named(graph)
    seeds = {name: Node("seed", shape=node.shape) for name, node in graph.updates.items()}
    derived = gradient((node, seeds[name]) for name, node in graph.updates.items())
    leaves = {node.label: node for node in graph.nodes() if node.op == "parameter"}
    wanted = {
        "equations": dict(reversed(named.items())),
        "states": graph.previous,
        "inputs": graph.inputs,
        "parameters": {p.key: leaves[p.key] for p in graph.parameters if p.key in leaves},
    }
    roots = [derived[node] for part in wanted.values() for node in part.values() if node in derived]
    writer = Writer(graph, "parameters", "inputs", "states", "values", "gradients")
    _given(writer, roots, named, seeds)
    writer.plan(roots)
    for part, nodes in wanted.items():
        for name, node in nodes.items():
            if node in derived:
                writer.wishes.setdefault(derived[node], _name(part, name))
    result = {part: _gradients(writer, part, nodes, derived) for part, nodes in wanted.items()}
    result["equations"] = dict(reversed(result["equations"].items()))
    return function(
        "back(parameters, inputs, states, values, gradients)",
        [*writer.lines, *returned(result)],
    )


def _named(graph: Graph) -> dict[str, Node]:
    return {**graph.equations, **graph.updates}


def _given(
    writer: Writer, roots: Iterable[Node], named: Mapping[str, Node], seeds: Mapping[str, Node]
) -> None:
    """Take what the gradients read: leaves, the forward step's values, the arriving gradients."""
    reads: set[Node] = set()
    waiting = list(roots)
    stops = set(named.values())
    while waiting:
        node = waiting.pop()
        if node not in reads:
            reads.add(node)
            waiting += () if node in stops else node.args
    writer.leaves(reads)
    for name, node in named.items():
        if node in reads:
            writer.take(node, "values", name)
    for name, seed in seeds.items():
        variable = writer.arrays[seed] = writer.names.of(seed, f"given_{name}")
        length = writer.product(size_of(seed))
        writer.lines.append(f"const {variable} = given(gradients, {quoted(name)}, {length});")


def _name(part: str, name: str) -> str:
    """The variable of a gradient: "d_W_i", "d_last_h"."""
    return f"d_{'last_' if part == 'states' else ''}{name.replace('.', '_')}"


def _gradients(
    writer: Writer, part: str, nodes: Mapping[str, Node], derived: Mapping[Node, Node]
) -> dict[str, str]:
    """Write the gradients of some nodes; the variables that hold them."""
    found = {}
    for name, node in nodes.items():
        writer.lines.append(f"// ∂L/∂{name}{'₋' if part == 'states' else ''}")
        if node in derived:
            found[name] = writer.array(derived[node])
        else:  # no state depends on it
            found[name] = writer.names.of(("zeros", node), _name(part, name))
            length = writer.product(size_of(node))
            writer.lines.append(f"const {found[name]} = new Float64Array({length});")
    return found


def function(head: str, body: list[str]) -> list[str]:
    """A method of an object."""
    return [f"{head} {{", *(f"  {line}" for line in body), "},"]


def returned(parts: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A return of an object of objects of variables."""
    return ["return {", *(f"  {name}: {table(values)}," for name, values in parts.items()), "};"]


def table(values: Mapping[str, str]) -> str:
    """An object of variables under names."""
    entries = (
        name if name == value else f"{quoted(name)}: {value}" for name, value in values.items()
    )
    return f"{{ {', '.join(entries)} }}"
