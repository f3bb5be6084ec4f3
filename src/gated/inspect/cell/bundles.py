"""Lines that go together: what several boxes read is drawn once, and parted close to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

from gated.inspect.cell.flow import BOXES, Flow, Line, Vertex

__all__ = ["grouped", "joined"]

_LEAST = 3  # linear boxes that are drawn as one


def grouped(found: Flow) -> Flow:
    """Linear boxes that read the same, and that one other box reads all, as a single box.

    So the four products of a layer-normalised LSTM are one box with four names.
    """
    alike: dict[frozenset[tuple[str, str]], list[str]] = {}
    for vertex in found.vertices.values():
        if vertex.kind == "linear" and vertex.id == vertex.name:
            alike.setdefault(_reads(found.lines, vertex.id), []).append(vertex.id)
    for members in alike.values():
        readers = [{line.target for line in found.lines if line.source == m} for m in members]
        if len(members) >= _LEAST and set.intersection(*readers):
            found = _as_one(found, members)
    return found


def _as_one(found: Flow, members: list[str]) -> Flow:
    names = tuple(found.vertices[member].name for member in members)
    one = Vertex(members[0], "linear", names[0], " ".join(names), "linear", names)
    vertices = {
        id: one if id == members[0] else vertex
        for id, vertex in found.vertices.items()
        if id == members[0] or id not in members
    }
    lines: dict[tuple[str, str], Line] = {}
    for line in found.lines:
        source = one.id if line.source in members else line.source
        target = one.id if line.target in members else line.target
        before = lines.get((source, target))
        if before is not None and one.id in (source, target):
            line = replace(before, weights=(*before.weights, *line.weights))
        lines[source, target] = replace(line, source=source, target=target)
    return Flow(vertices, tuple(lines.values()))


def joined(found: Flow) -> Flow:
    """Lines that several boxes read alike meet in a join, from which one line goes to each box."""
    count = 0
    while True:
        sources, targets = _best(found)
        if not sources:
            return found
        found = _through(found, sources, targets, f"join.{count}")
        count += 1


Read = frozenset[tuple[str, str]]


def _best(found: Flow) -> tuple[Read, list[str]]:
    """The sources and the boxes that read them all, for which a join saves most lines."""
    read = {
        vertex.id: _reads(found.lines, vertex.id)
        for vertex in found.vertices.values()
        if vertex.kind in (*BOXES, "join")
    }
    shared = {a & b for a, b in combinations(read.values(), 2) if len(a & b) > 1}
    best: tuple[int, int, list[tuple[str, str]]] | None = None
    for sources in shared:
        targets = [id for id, own in read.items() if sources <= own]
        saved = (len(sources) - 1) * (len(targets) - 1)
        key = (saved, len(sources), sorted(sources))
        best = max(best, key) if best else key
    if best is None:
        return frozenset(), []
    chosen = frozenset(best[2])
    return chosen, [id for id, own in read.items() if chosen <= own]


def _reads(lines: Iterable[Line], target: str) -> Read:
    """What a box reads whole, and how; a peephole is for it alone."""
    return frozenset(
        (line.source, line.kind)
        for line in lines
        if line.target == target and line.kind != "vector" and not line.memory
    )


def _through(found: Flow, sources: Read, targets: list[str], id: str) -> Flow:
    """The flow with the lines from `sources` to `targets` led through a join."""
    ends = set(targets)
    led = [l for l in found.lines if (l.source, l.kind) in sources and l.target in ends]
    rest = [line for line in found.lines if line not in led]
    into: dict[tuple[str, str], Line] = {}
    for line in led:
        key = (line.source, line.kind)
        weights = (*(into[key].weights if key in into else ()), *line.weights)
        into[key] = replace(line, target=id, weights=weights)
    out = [Line(id, target, "") for target in targets]
    vertices: dict[str, Vertex] = {}
    for key_, vertex in found.vertices.items():
        if key_ == targets[0]:
            vertices[id] = Vertex(id, "join", "", "")
        vertices[key_] = vertex
    return Flow(vertices, (*into.values(), *out, *rest))
