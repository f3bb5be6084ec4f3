"""Row 37: no name or text from outside can add a line of its own to generated C++."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gated.engines.cpu.prefill import source
from gated.equations import Cell, U, W, b, tanh
from gated.equations.symbols import Family
from gated.errors import CellError

HOSTILE = [
    '";#include "/etc/passwd',
    "x\n#include </etc/passwd>",
    "x\\\n",
    "x\\",
    "../x",
    "x*/ int y; /*",
    "x;",
    "x'",
    'x"',
    "x y",
    "x??/",
    "",
    "_x",
    "1x",
]


def step_of(argument: str = "h", gate: str = "g") -> Callable[..., Any]:
    """A step whose state or gate has a name that Python's grammar lets through."""
    held: dict[str, Any] = {"tanh": tanh, "W": W, "U": U, "b": b}
    exec(
        f"def step(self, x, {argument}):\n"
        f"    {gate} = tanh(W @ x + U @ {argument} + b)\n"
        f"    {argument} = {gate} + 1\n"
        f"    return {argument}\n",
        held,
    )
    step: Callable[..., Any] = held["step"]
    return step


def test_the_plain_cell_is_one() -> None:
    assert type("Plain", (Cell,), {"step": step_of()}).graph.gates == ("g",)


@pytest.mark.parametrize("name", HOSTILE)
def test_parameters(name: str) -> None:
    with pytest.raises(CellError, match="is not a name"):
        Family(name)
    if name and not name.isidentifier():
        with pytest.raises(AttributeError, match="is not a name"):
            getattr(W, name)


@pytest.mark.parametrize("name", [n for n in HOSTILE if n.isidentifier()] + ["λ", "名"])
def test_states_and_gates(name: str) -> None:
    for given in ({"argument": name}, {"gate": name}):
        with pytest.raises(CellError, match="is not a name"):
            type("Hostile", (Cell,), {"step": step_of(**given)})


@pytest.mark.parametrize("name", HOSTILE)
def test_inputs_and_sizes(name: str) -> None:
    for given in ({"inputs": {"x": name}}, {"inputs": {name: "D"}}, {"sizes": {"h": name}}):
        with pytest.raises(CellError):
            type("Hostile", (Cell,), {"step": step_of(), **given})


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("where", ["name", "class", "latex", "source"])
def test_texts_stay_out_of_the_code(name: str, where: str) -> None:
    """A cell's name, its paper and its symbols are text, in comments or not there at all."""
    family = Family("V", latex=name) if where == "latex" else W

    def step(self: Cell, x: Any, h: Any) -> Any:
        h = tanh(family @ x + U @ h + b)
        return h

    given = {where: name} if where in ("name", "source") else {}
    called = name if where == "class" else "Plain"
    try:
        cell = type(called, (Cell,), {"step": step, **given})
    except (CellError, ValueError):  # refused: no code at all
        return
    graphs = [type("Plain", (Cell,), {"step": step}).graph, cell.graph]
    plain, hostile = (_code(graph) for graph in graphs)
    assert hostile == plain


def _code(graph: Any) -> list[str]:
    """The generated lines without comments, as a compiler counts lines."""
    text = source(graph, "float").replace("\\\n", "")
    return [line for line in text.splitlines() if not line.startswith("//")]
