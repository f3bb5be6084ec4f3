"""The generated text of kernels: as written down, and with no line of a hostile name's."""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gated.cells import cell
from gated.engines.fused.leaving import Leaving
from gated.engines.fused.storage import Kept
from gated.engines.triton.resident import Resident
from gated.engines.triton.spelling import comment
from gated.equations import Cell, U, W, b, tanh
from gated.equations.graph import Graph
from gated.equations.loop import backward, forward
from gated.equations.maps import Heads, mapped

SNAPSHOTS = Path(__file__).with_name("snapshots")
CELLS = {
    "lstm": cell("lstm"),
    "peephole": cell("peephole"),
    "slstm_heads": mapped(cell("slstm"), Heads(4)),
    "indrnn": cell("indrnn"),
}


def text(graph: Graph) -> str:
    loop = forward(graph)
    kept = Kept(loop, backward(loop), instead=False)
    return Resident(kept, Leaving(kept), "float32").text


@pytest.mark.parametrize("name", CELLS)
def test_the_text_is_as_it_was_written_down(name: str) -> None:
    """`GATED_SNAPSHOTS=write pytest ...` writes it down anew: look at what changed."""
    place = SNAPSHOTS / f"{name}.py.txt"
    got = text(CELLS[name].graph)
    if os.environ.get("GATED_SNAPSHOTS") == "write":
        place.write_text(got)
    assert got == place.read_text()


@pytest.mark.parametrize(
    "name",
    ['"""\nimport os', "x\nimport os", "x\rimport os", "x\x0cimport os", "x\u2028import os", "\\"],
)
def test_a_cells_name_stays_in_its_comment(name: str) -> None:
    plain = cell("rnn").graph
    hostile = replace(plain, cell=name)
    assert ast.dump(ast.parse(text(hostile))) == ast.dump(ast.parse(text(plain)))
    assert len(text(hostile).splitlines()) == len(text(plain).splitlines())


def test_names_of_values_are_of_our_own_making() -> None:
    def step(self: Cell, x: Any, tl: Any) -> Any:
        total = tanh(W @ x + U @ tl + b)
        tl = total + 1
        return tl

    names = {
        node.id
        for node in ast.walk(ast.parse(text(type("Taken", (Cell,), {"step": step}).graph)))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not names & {"tl", "total"}


def test_a_comment_ends_with_its_line() -> None:
    assert comment("a\nb\u2029c") == "# a?b?c"
