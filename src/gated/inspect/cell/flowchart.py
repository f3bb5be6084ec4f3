"""A cell's flow chart as SVG, drawn from its graph."""

from __future__ import annotations

import html
import math
from importlib import resources
from itertools import pairwise

from gated.equations import Cell
from gated.inspect.cell.flow import BOXES, Flow, Line, Vertex
from gated.inspect.cell.labels import Label, name_label, plain_label, symbol_label
from gated.inspect.cell.placement import Path, Placed, Point, Size, placed
from gated.inspect.cell.reading import flow

__all__ = ["svg"]

_NAME, _NOTE, _SIGN, _MARK = 19.0, 14.0, 19.0, 13.0  # sizes of letters
_BOX, _TALL, _CIRCLE, _JOIN, _END = 38.0, 52.0, 28.0, 7.0, 34.0  # heights
_MARGIN = 14.0
_LEAST = 0.6  # of its width: with less its letters cannot be read, and a page lets it scroll


def svg(cell: Cell) -> str:
    """The flow chart of a cell, as one SVG element that can stand in a page.

    Previous states and inputs enter on the left, new states leave on the right, what is kept from
    step to step runs along the top. Gates are boxes with their function; their matrices and biases
    are folded in. Each element has the name of its equation in `data-name`.

    Example:
        >>> from gated.cells import cell
        >>> drawn = svg(cell("lstm"))
        >>> drawn.count('class="vertex gate'), 'data-name="f"' in drawn
        (3, True)
    """
    found = flow(cell)
    where = placed(found, {id: _size(vertex) for id, vertex in found.vertices.items()})
    width, height = (round(extent + 2 * _MARGIN, 1) for extent in where.size)
    name = html.escape(cell.name)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gated-flow" role="img" '
        f'viewBox="{-_MARGIN:g} {-_MARGIN:g} {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" style="min-width:{_LEAST * width:.0f}px" '
        f'aria-labelledby="flow-{name}-title flow-{name}-desc">',
        f'<title id="flow-{name}-title">Flow chart of the cell {name}</title>',
        f'<desc id="flow-{name}-desc">{html.escape(_description(cell, found))}</desc>',
        f"<style>{_style()}</style>",
    ]
    parts += _lines(found, where)
    parts += [_parting(point) for point in where.partings]
    parts += [_vertex(v, where.middles[v.id], found) for v in found.vertices.values()]
    return "\n".join([*parts, "</svg>"])


def _size(vertex: Vertex) -> Size:
    if vertex.kind == "join":
        return 0.5, 0.5
    if vertex.kind == "operation":
        return max(_CIRCLE, plain_label(vertex.label).width(_NOTE) + 14), _CIRCLE
    name, note = _texts(vertex)
    if vertex.kind not in BOXES:
        return max(_END, name.width(_NAME) + 10), _END
    if _stacked(vertex):
        return max(name.width(_NAME), note.width(_NOTE)) + 22, _TALL
    gap = 7 if note.parts[0][0] else 0
    return max(_BOX, name.width(_NAME) + gap + note.width(_NOTE) + 18), _BOX


def _texts(vertex: Vertex) -> tuple[Label, Label]:
    """The two texts of a vertex: its name, and what it does."""
    if vertex.kind in ("input", "last", "new"):
        return name_label(vertex.name, "t−1" if vertex.kind == "last" else "t"), plain_label("")
    names = vertex.members or ((vertex.name,) if vertex.label == vertex.name else ())
    if names:
        label = name_label(names[0])
        for name in names[1:]:
            label += name_label(name)
        return label, plain_label(vertex.note)
    if vertex.kind == "linear":
        return _symbols(vertex.label), plain_label("")
    return plain_label(vertex.label), _symbols(vertex.note)


def _symbols(keys: str) -> Label:
    labels = [symbol_label(key) for key in keys.split()] or [plain_label("")]
    return sum(labels[1:], labels[0])


def _stacked(vertex: Vertex) -> bool:
    return len(vertex.note) > 6


def _vertex(vertex: Vertex, at: Point, found: Flow) -> str:
    x, y = at
    width, height = _size(vertex)
    keeps = any(l.memory and vertex.id in (l.source, l.target) for l in found.lines)
    kind = f"{vertex.kind} memory" if keeps else vertex.kind
    names = " ".join(vertex.members) or vertex.name
    head = f'<g class="vertex {kind}" data-id="{vertex.id}" data-name="{names}">'
    if vertex.kind == "join":
        return f'{head}<circle cx="{x:g}" cy="{y:g}" r="{_JOIN / 2:g}"/></g>'
    if vertex.kind == "operation":
        ends = f"new.{vertex.name}" in found.vertices
        return head + _operation(vertex, at, width, ends) + "</g>"
    radius = height / 2 if vertex.kind == "function" and not _stacked(vertex) else 8
    box = (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="{radius:g}"/>'
    )
    return f"{head}{box}{_inside(vertex, at)}</g>"


def _operation(vertex: Vertex, at: Point, width: float, ends: bool) -> str:
    x, y = at
    sign = plain_label(vertex.label)
    size = _SIGN if len(vertex.label) == 1 else _NOTE
    shape = (
        f'<rect x="{x - width / 2:g}" y="{y - _CIRCLE / 2:g}" width="{width:g}" '
        f'height="{_CIRCLE:g}" rx="{_CIRCLE / 2:g}"/>'
    )
    shown = shape + _text(sign, x, y, size)
    if vertex.id == vertex.name and not ends:  # the name of its value stands beside it
        name = name_label(vertex.name)
        shown += _text(
            name, x + width / 2 + name.width(_NOTE) / 2 - 2, y - _CIRCLE / 2 - 3, _NOTE, "note"
        )
    return shown


def _inside(vertex: Vertex, at: Point) -> str:
    x, y = at
    name, note = _texts(vertex)
    if vertex.kind not in ("gate", "candidate", "linear") and not note.parts[0][0]:
        size = _NAME if name.italic else 16
        return _text(name, x, y, size)
    if not note.parts[0][0]:
        return _text(name, x, y, _NAME)
    if _stacked(vertex):
        return _text(name, x, y - 11, _NAME) + _text(note, x, y + 13, _NOTE, "note")
    wide, small = name.width(_NAME), note.width(_NOTE)
    left = x - (wide + 7 + small) / 2
    return _text(name, left + wide / 2, y, _NAME) + _text(
        note, left + wide + 7 + small / 2, y, _NOTE, "note"
    )


def _text(label: Label, x: float, y: float, size: float, kind: str = "") -> str:
    classes = " ".join(c for c in (kind, "italic" if label.italic else "") if c)
    named = f' class="{classes}"' if classes else ""
    return (
        f'<text{named} x="{x:.1f}" y="{y + 0.34 * size:.1f}" font-size="{size:g}">'
        f"{label.svg(size)}</text>"
    )


def _lines(found: Flow, where: Placed) -> list[str]:
    """The lines, what is kept on top of the others, and their marks on top of all."""
    order = sorted(range(len(found.lines)), key=lambda k: found.lines[k].memory)
    drawn = [_line(found.lines[k], where.paths[k], found) for k in order]
    marks: dict[str, None] = {}  # lines that start together have one mark
    for line, path in zip(found.lines, where.paths, strict=True):
        if line.mark:
            marks[_mark(line, path, where)] = None
    return drawn + list(marks)


def _line(line: Line, path: Path, found: Flow) -> str:
    kind = f"{line.kind} memory" if line.memory else line.kind
    weights = f' data-weights="{" ".join(line.weights)}"' if line.weights else ""
    drawn = f'<path d="{_rounded(path)}"/>'
    if found.vertices[line.target].kind != "join":
        drawn += f'<path class="head" d="{_head(path, 11 if line.memory else 8)}"/>'
    return (
        f'<g class="line {kind}" data-name="{line.name}" data-from="{line.source}" '
        f'data-to="{line.target}"{weights}>{drawn}</g>'
    )


def _mark(line: Line, path: Path, where: Placed) -> str:
    """The text beside a line: at its start for a map, at its end for what a circle does with it."""
    if line.kind in ("heads", "kernel"):
        (x, y), label = path[0], plain_label(line.mark)
        return _text(label, x + 4 + label.width(_MARK) / 2, y - 10, _MARK, "mark")
    label = symbol_label(line.mark) if line.mark in line.weights else plain_label(line.mark)
    half = label.width(_MARK) / 2
    (x, y), (bx, by) = path[-1], path[-2]
    if abs(by - y) > abs(bx - x):
        away = math.copysign(15, by - y)
        places = [(x + side * (6 + half), y + far * away) for far in (1, 1.6) for side in (-1, 1)]
    else:
        back = math.copysign(10 + half, bx - x)
        sides = (-9, 10) if y < where.middles[line.target][1] - 2 else (10, -9)
        places = [(x + far * back, y + side) for far in (1, 1.7) for side in sides]
    px, py = min(places, key=lambda place: _crossed(place, half, where))  # the first, if alike
    return _text(label, px, py, _MARK, "mark")


def _crossed(place: Point, half: float, where: Placed) -> int:
    """How many stretches of lines run through a small text at a place."""
    (x, y), tall = place, _MARK / 2 - 1
    return sum(
        min(a[0], b[0]) < x + half
        and max(a[0], b[0]) > x - half
        and min(a[1], b[1]) < y + tall
        and max(a[1], b[1]) > y - tall
        for path in where.paths
        for a, b in pairwise(path)
    )


def _rounded(path: Path, radius: float = 9.0) -> str:
    """The corners as an SVG path, each one rounded."""
    drawn = [f"M{path[0][0]:g} {path[0][1]:g}"]
    for before, corner, after in zip(path, path[1:], path[2:], strict=False):
        near = min(radius, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
        (ax, ay), (bx, by) = _towards(corner, before, near), _towards(corner, after, near)
        drawn.append(f"L{ax:g} {ay:g}Q{corner[0]:g} {corner[1]:g} {bx:g} {by:g}")
    return "".join([*drawn, f"L{path[-1][0]:g} {path[-1][1]:g}"])


def _towards(start: Point, end: Point, far: float) -> Point:
    length = math.dist(start, end) or 1.0
    return tuple(round(a + (b - a) * far / length, 1) for a, b in zip(start, end, strict=True))  # type: ignore[return-value]


def _head(path: Path, size: float) -> str:
    """A triangle at the end of a line."""
    (bx, by), (x, y) = path[-2:]
    length = math.hypot(x - bx, y - by) or 1.0
    dx, dy = (x - bx) / length * size, (y - by) / length * size
    left = (x - dx - dy / 2, y - dy + dx / 2)
    right = (x - dx + dy / 2, y - dy - dx / 2)
    return f"M{x:g} {y:g}L{left[0]:.1f} {left[1]:.1f}L{right[0]:.1f} {right[1]:.1f}Z"


def _parting(point: Point) -> str:
    return f'<circle class="parting" cx="{point[0]:g}" cy="{point[1]:g}" r="2.6"/>'


def _description(cell: Cell, found: Flow) -> str:
    """The chart in words: the equations, one after another."""
    return f"{'; '.join(cell.text().splitlines())}."


def _style() -> str:
    text = (
        resources.files("gated.inspect").joinpath("templates", "flowchart.css").read_text("utf-8")
    )
    return " ".join(text.split())
