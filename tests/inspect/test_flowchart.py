"""The chart as it is drawn: readable geometry, honest text, the same each time."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import combinations, pairwise

import pytest

import gated
from gated.equations.maps import Convolution, Heads, mapped
from gated.errors import OptionError
from gated.inspect.cell.flowchart import svg

NAMES = gated.cells()
SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]  # left, top, right, bottom
Point = tuple[float, float]


@dataclass
class Drawn:
    """What an SVG holds: the boxes by id, the lines with their corners, the whole extent."""

    boxes: dict[str, Box]
    lines: list[tuple[ET.Element, list[Point]]]
    extent: Box
    root: ET.Element


def drawn(text: str) -> Drawn:
    root = ET.fromstring(text)
    boxes, lines = {}, []
    for group in root.iter(f"{SVG}g"):
        kind = group.get("class", "").split()[0]
        if kind == "vertex" and (rect := group.find(f"{SVG}rect")) is not None:
            x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            boxes[group.get("data-id")] = (x, y, x + w, y + h)
        if kind == "line":
            lines.append((group, corners(group.find(f"{SVG}path").get("d"))))
    left, top, width, height = map(float, root.get("viewBox").split())
    return Drawn(boxes, lines, (left, top, left + width, top + height), root)


def corners(path: str) -> list[Point]:
    """The corners of a path of M, L and Q: a rounded corner counts as the corner."""
    found = []
    for command, numbers in re.findall(r"([MLQ])([-\d. ]+)", path):
        values = [float(n) for n in numbers.split()]
        found.append((values[0], values[1]))
        if command == "Q":
            found.append((values[2], values[3]))
    return found


def inside(box: Box, point: Point, room: float) -> bool:
    left, top, right, bottom = box
    x, y = point
    return left + room < x < right - room and top + room < y < bottom - room


def between(a: Point, b: Point) -> list[Point]:
    """Points along a line, one a pixel or so."""
    steps = int(max(abs(b[0] - a[0]), abs(b[1] - a[1]))) + 1
    return [
        (a[0] + (b[0] - a[0]) * k / steps, a[1] + (b[1] - a[1]) * k / steps) for k in range(steps)
    ]


MAPPED = {
    f"{name}, {which}": mapped(gated.cell(name), which)
    for name in ("lstm", "gru", "slstm", "gru-d", "fgr")
    for which in ("diagonal", Heads(2))
}


@pytest.fixture(scope="module")
def charts() -> dict[str, Drawn]:
    cells = {**{name: gated.cell(name) for name in NAMES}, **MAPPED}
    return {name: drawn(svg(cell)) for name, cell in cells.items()}


@pytest.mark.parametrize("name", [*NAMES, *MAPPED])
def test_no_box_lies_on_another_or_outside(charts, name):
    chart = charts[name]
    for (_, a), (_, b) in combinations(chart.boxes.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    left, top, right, bottom = chart.extent
    for box in chart.boxes.values():
        assert left <= box[0]
        assert top <= box[1]
        assert box[2] <= right
        assert box[3] <= bottom


@pytest.mark.parametrize("name", [*NAMES, *MAPPED])
def test_no_line_runs_through_a_box_that_it_does_not_belong_to(charts, name):
    chart = charts[name]
    for line, path in chart.lines:
        own = {line.get("data-from"), line.get("data-to")}
        others = [box for id, box in chart.boxes.items() if id not in own]
        for a, b in pairwise(path):
            assert not any(inside(box, p, 1.0) for box in others for p in between(a, b))


@pytest.mark.parametrize("name", [*NAMES, *MAPPED])
def test_every_line_touches_both_its_ends(charts, name):
    chart = charts[name]
    for line, path in chart.lines:
        for id, end in ((line.get("data-from"), path[0]), (line.get("data-to"), path[-1])):
            if id in chart.boxes:  # a join has no extent
                left, top, right, bottom = chart.boxes[id]
                assert left - 2 <= end[0] <= right + 2
                assert top - 2 <= end[1] <= bottom + 2


@pytest.mark.parametrize("name", ["slstm", "gru-d", "minlstm", "t-lstm"])
def test_a_sign_beside_a_line_lies_on_no_line_and_no_box(charts, name):
    chart = charts[name]
    marks = [t for t in chart.root.iter(f"{SVG}text") if t.get("class") in ("mark", "mark italic")]
    assert marks
    for mark in marks:
        x, y = float(mark.get("x")), float(mark.get("y")) - 0.3 * float(mark.get("font-size"))
        for _, path in chart.lines:
            for a, b in pairwise(path):
                assert not any(abs(p[0] - x) < 3 and abs(p[1] - y) < 4 for p in between(a, b))
        assert not any(inside(box, (x, y), 0.0) for box in chart.boxes.values())


@pytest.mark.parametrize("name", NAMES)
def test_time_runs_to_the_right(charts, name):
    chart = charts[name]
    enter = [b[0] for id, b in chart.boxes.items() if id.startswith("last.") or id == "x"]
    leave = [b[0] for id, b in chart.boxes.items() if id.startswith("new.")]
    within = [b[0] for id, b in chart.boxes.items() if "new." not in id and "last." not in id]
    assert max(enter) < min(leave)
    assert max(within) < min(leave)


@pytest.mark.parametrize("name", [n for n in NAMES if gated.cell(n).kept])
def test_what_is_kept_runs_straight(charts, name):
    lanes = [p for line, p in charts[name].lines if "memory" in line.get("class")]
    for path in lanes:
        assert max(y for _, y in path) - min(y for _, y in path) < 1
    heights = sorted(path[0][1] for path in lanes)
    apart = [b - a for a, b in pairwise(heights) if b - a > 2]  # the engine is exact to a pixel
    assert len(apart) + 1 == len(gated.cell(name).kept)


@pytest.mark.parametrize("name", ["lstm", "gru", "peephole", "cifg", "fgr", "layernorm-lstm"])
def test_the_memory_lies_on_top(charts, name):
    chart = charts[name]
    lane = min(y for line, path in chart.lines if "memory" in line.get("class") for _, y in path)
    others = [y for line, path in chart.lines if "memory" not in line.get("class") for _, y in path]
    assert lane <= min(others) + 0.6


@pytest.mark.parametrize("name", NAMES)
def test_every_part_tells_whose_it_is(charts, name):
    chart, cell = charts[name], gated.cell(name)
    known = {*cell.graph.inputs, *cell.graph.equations, *(s.name for s in cell.states)}
    for group in chart.root.iter(f"{SVG}g"):
        names = set(group.get("data-name").split())
        assert names <= known
        assert names or "join" in (group.get("class") + group.get("data-from", ""))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_in_words_what_it_shows(charts, name):
    root = charts[name].root
    told = {e.get("id"): e.text for e in (root.find(f"{SVG}title"), root.find(f"{SVG}desc"))}
    assert root.get("role") == "img"
    assert set(root.get("aria-labelledby").split()) == set(told)
    for equation in gated.cell(name).text().splitlines():
        assert equation in " ".join(told.values())


def test_text_is_text_and_names_are_set_as_in_the_paper(charts):
    texts = ["".join(t.itertext()) for t in charts["gru-d"].root.iter(f"{SVG}text")]
    assert {"γx", "γh", "xlast, t−1", "exp(−max(0, ·))", "tanh"} <= set(texts)


def test_it_is_the_same_in_every_process():
    program = (
        "import gated, hashlib; from gated.inspect.cell.flowchart import svg;"
        "print(hashlib.sha256(''.join(svg(gated.cell(n)) for n in "
        "('lstm', 'fgr', 'gru-d', 'slstm', 'layernorm-lstm')).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


def test_a_convolution_says_so_once_at_its_start():
    root = ET.fromstring(svg(mapped(gated.cell("lstm"), Convolution(3))))
    marks = [t for t in root.iter(f"{SVG}text") if t.get("class") == "mark"]
    assert ["".join(mark.itertext()) for mark in marks] == ["∗ 3×3", "∗ 3×3"]  # of x and of h


def test_colours_follow_the_theme():
    text = svg(gated.cell("lstm"))
    assert "prefers-color-scheme: dark" in text
    assert 'data-theme="dark"' in text
    painted = re.sub(r"<style>.*?</style>", "", text)
    assert not re.search(r'(fill|stroke)="', painted)


def test_nothing_is_loaded_from_elsewhere():
    text = svg(gated.cell("lstm")).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "url(" not in text


def test_without_the_layout_engine_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphlay", None)
    with pytest.raises(OptionError, match=r"graphlay.*pip install 'gated\[pages\]'"):
        svg(gated.cell("lstm"))
