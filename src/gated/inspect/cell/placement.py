"""Where the parts of a flow stand and how its lines run, by the layout engine graphlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from gated.errors import OptionError
from gated.inspect.cell.flow import Flow, Line

__all__ = ["Path", "Placed", "Point", "Size", "placed"]

Size = tuple[float, float]
Point = tuple[float, float]
Path = tuple[Point, ...]

_OPTIONS: dict[str, Any] = {
    "spacing": {"layer_gap": 28.0, "node_gap": 22.0, "dummy_gap": 24.0, "port_gap": 12.0},
    "routing": {"merge_edges": "forks", "port_sides": "facing_preferred"},
    "effort": "thorough",
    # lines of one source may run on top of one another until they part
    "tuning": {"routing": {"overlap_repair_rounds": 0}},
}
_RANKS = {"input": "first", "last": "first", "new": "last"}
_ROUND = ("operation", "join")
_POINT = 0.5  # width and height of a place where lines meet or part
_STRAIGHT = 12.0  # how much more a straight line counts where something is kept
_NEARLY = 1.0  # the engine's lines are straight within this


@dataclass(frozen=True)
class Placed:
    """The middle of each vertex, the corners of each line, where lines part, and the extent."""

    middles: Mapping[str, Point]
    paths: tuple[Path, ...]
    partings: tuple[Point, ...]
    size: Size


def placed(flow: Flow, sizes: Mapping[str, Size]) -> Placed:
    """Lay a flow out: time runs to the right, and what is kept runs straight.

    Args:
        flow: the flow.
        sizes: width and height of each vertex; those of a join do not count, it is a point.

    Raises:
        OptionError: graphlay is not installed.
    """
    try:
        import graphlay
    except ImportError as error:
        raise OptionError(
            "a flow chart needs the package 'graphlay', which is not installed; "
            "pip install 'gated[pages]'"
        ) from error

    graph = graphlay.Graph()
    for id, vertex in flow.vertices.items():
        width, height = (_POINT, _POINT) if vertex.kind == "join" else sizes[id]
        shape = "ellipse" if vertex.kind in _ROUND else "box"
        rank = _RANKS.get(vertex.kind, "free")
        graph.node(id, width=width, height=height, shape=shape, rank=rank)
    forks = _forks(flow)
    for id in forks:
        graph.node(f"{id}>", width=_POINT, height=_POINT, shape="ellipse")
        keeps = any(line.memory and line.source == id for line in flow.lines)
        graph.edge(id, f"{id}>", weight=_STRAIGHT if keeps else 3.0)
    for line in flow.lines:
        source = f"{line.source}>" if line.source in forks else line.source
        weight = _STRAIGHT if line.memory else 1.0
        graph.edge(source, line.target, weight=weight, **_ports(line, flow))
    return _read(graphlay.layout(graph, preset="layered", options=_OPTIONS), flow, forks)


def _forks(flow: Flow) -> list[str]:
    """The vertices whose value goes to several places: it leaves them on one line."""
    sources = [line.source for line in flow.lines]
    return [id for id, v in flow.vertices.items() if v.kind != "join" and sources.count(id) > 1]


def _ports(line: Line, flow: Flow) -> dict[str, Any]:
    """Where a line must start and end; elsewhere the engine chooses."""
    found: dict[str, Any] = {}
    if flow.vertices[line.source].kind == "join":
        found["source_port"] = {"side": "right"}
    if flow.vertices[line.target].kind == "join":
        found["target_port"] = {"side": "left"}
    elif line.memory and sum(other.target == line.target for other in flow.lines) > 2:
        found["target_port"] = {"offset": {"side": "left", "t": 0.0}}
    return found


def _read(layout: Any, flow: Flow, forks: Sequence[str]) -> Placed:
    """The engine's answer, upside down if what is kept lies below the rest."""
    low, high = layout.bounds["min"], layout.bounds["max"]
    lanes = {id for line in flow.lines if line.memory for id in (line.source, line.target)}
    heights = [
        n["center"]["y"] for id, n in zip(layout.ids, layout.nodes, strict=True) if id in lanes
    ]
    below = bool(heights) and 2 * sum(heights) / len(heights) > low["y"] + high["y"]

    def point(at: Mapping[str, float]) -> Point:
        y = high["y"] - at["y"] if below else at["y"] - low["y"]
        return round(at["x"] - low["x"], 1) + 0.0, round(y, 1) + 0.0

    edges = [tuple(map(point, edge["points"])) for edge in layout.edges]
    to_fork = dict(zip(forks, edges, strict=False))
    paths = tuple(
        _squared((*to_fork.get(line.source, ()), *path))
        for line, path in zip(flow.lines, edges[len(forks) :], strict=True)
    )
    middles = {
        id: point(node["center"]) for id, node in zip(flow.vertices, layout.nodes, strict=False)
    }
    size = (round(high["x"] - low["x"], 1), round(high["y"] - low["y"], 1))
    return Placed(middles, paths, _partings(flow, paths), size)


def _squared(path: Sequence[Point]) -> Path:
    """The path with corners of right angles, and no corner where it runs on."""
    found: list[Point] = [path[0]]
    for x, y in path[1:]:
        before = found[-1]
        x, y = (
            before[0] if abs(x - before[0]) < _NEARLY else x,
            before[1] if abs(y - before[1]) < _NEARLY else y,
        )
        if len(found) > 1 and _aligned(found[-2], before, (x, y)):
            found.pop()
        if (x, y) != found[-1]:
            found.append((x, y))
    return tuple(found)


def _aligned(a: Point, b: Point, c: Point) -> bool:
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]


def _partings(flow: Flow, paths: Sequence[Path]) -> tuple[Point, ...]:
    """Where lines from one source leave one another."""
    found: dict[Point, None] = {}
    for (one, first), (other, second) in combinations(zip(flow.lines, paths, strict=True), 2):
        if one.source == other.source and first[0] == second[0]:
            parting = _parting(first, second)
            if parting != first[0]:
                found[parting] = None
    return tuple(found)


def _parting(first: Path, second: Path) -> Point:
    """The last point that two paths from one place have in common, before they part."""
    common = first[0]
    for (a, b), (c, d) in zip(pairwise(first), pairwise(second), strict=False):
        if _direction(a, b) != _direction(c, d):
            return common
        nearer = min((b, d), key=lambda end: abs(end[0] - a[0]) + abs(end[1] - a[1]))
        if b != d:
            return nearer
        common = nearer
    return common


def _direction(a: Point, b: Point) -> tuple[bool, bool, bool, bool]:
    return b[0] > a[0], b[0] < a[0], b[1] > a[1], b[1] < a[1]
