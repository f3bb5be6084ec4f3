"""`gated cells`: the catalogue, as it follows from the equations. Imports no PyTorch."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import click

from gated.cells import cell as find
from gated.cells import cells as names
from gated.cli.command import Command
from gated.cli.screen import Screen
from gated.equations import Cell
from gated.equations.render import expression, latex_lines

_EXAMPLES = (
    "gated cells                                      all of them, side by side",
    "gated cells lstm                                 equations, parameters, facts, source",
    "gated cells lstm --latex                         for a paper",
    "gated cells lstmp --hidden-size 512 --size P=128",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--input-size", "-D", type=click.IntRange(1), default=16, show_default=True,
              metavar="N", help="D, the features of a step.")  # fmt: skip
@click.option("--hidden-size", "-H", type=click.IntRange(1), default=64, show_default=True,
              metavar="N", help="H, the units.")  # fmt: skip
@click.option("--size", "sizes", multiple=True, metavar="LETTER=N",
              help="Another size, such as P of lstmp; half of H if not given.")  # fmt: skip
@click.option("--latex", is_flag=True, help="Print the equations as LaTeX and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cells(
    name: str | None,
    input_size: int,
    hidden_size: int,
    sizes: tuple[str, ...],
    latex: bool,
    as_json: bool,
) -> None:
    """Print the cells that can be trained, or all about the one called NAME.

    Everything printed is derived from the cell's equations, which are also what runs.
    """
    if latex and as_json:
        raise click.UsageError("--latex and --json exclude each other: --json holds the LaTeX too")
    known = {"D": input_size, "H": hidden_size, **_given(sizes)}
    chosen = [find(name)] if name is not None else [find(one) for one in names()]
    screen = Screen(as_json=as_json)
    if latex:
        blocks = [cell.latex() for cell in chosen]
        heads = [f"% {cell.name}\n" if name is None else "" for cell in chosen]
        screen.result(head + block for head, block in zip(heads, blocks, strict=True))
    elif name is not None:
        screen.result(_page(chosen[0], known))
        screen.json(_content(chosen[0], known))
    else:
        _table(screen, chosen, known)
        screen.json({"cells": [_content(cell, known) for cell in chosen]})


def _given(sizes: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for text in sizes:
        letter, _, number = text.partition("=")
        if not (letter.isalpha() and number.isdecimal() and int(number)):
            raise click.UsageError(f"--size {text}: expected LETTER=N, such as P=32")
        if letter in ("D", "H"):
            option = {"D": "--input-size", "H": "--hidden-size"}[letter]
            raise click.UsageError(f"--size {text}: {letter} is given by {option}")
        found[letter] = int(number)
    return found


def _sizes(cell: Cell, known: Mapping[str, int]) -> dict[str, int]:
    """A number for each letter that the cell's parameters have."""
    letters = {size: None for p in cell.parameters for size in p.shape if isinstance(size, str)}
    return {letter: known.get(letter, max(1, known["H"] // 2)) for letter in sorted(letters)}


def _count(cell: Cell, sizes: Mapping[str, int]) -> int:
    others = {letter: n for letter, n in sizes.items() if letter not in ("D", "H")}
    return cell.parameter_count(sizes.get("D", 1), sizes.get("H", 1), **others)


def _summary(cell: Cell) -> str:
    return inspect.cleandoc(type(cell).__doc__ or "").partition("\n")[0]


def _table(screen: Screen, chosen: list[Cell], known: Mapping[str, int]) -> None:
    header = ("cell", "states", "gates", "parameters", "recurrence", "keeps", "what it is")
    rows = [
        (
            cell.name,
            " ".join(state.name for state in cell.states),
            " ".join(cell.gates) or "none",
            f"{_count(cell, _sizes(cell, known)):,}",
            _recurrence(cell),
            ", ".join(f"{state} by {factor}" for state, factor in _kept(cell).items()) or "none",
            _summary(cell),
        )
        for cell in chosen
    ]
    screen.table(header, rows)
    sizes = {letter: n for cell in chosen for letter, n in _sizes(cell, known).items()}
    written = ", ".join(f"{letter} = {n}" for letter, n in sorted(sizes.items()))
    screen.result([f"Parameters for {written}. More of one: gated cells NAME"])


def _recurrence(cell: Cell) -> str:
    kind = "diagonal" if cell.diagonal else "full"
    kind += ", linear" if cell.linear else ""
    more = cell.successive_products
    return f"{kind}, {more} products" if more > 1 else kind


def _kept(cell: Cell) -> dict[str, str]:
    return {state: expression(factor) for state, factor in cell.kept.items()}


def _page(cell: Cell, known: Mapping[str, int]) -> list[str]:
    sizes = _sizes(cell, known)
    shapes = [f"{p.key} ({', '.join(map(str, p.shape))})" for p in cell.parameters]
    states = [f"{s.name} ({s.size}), from {s.initial:g}" for s in cell.states]
    written = ", ".join(f"{letter} = {n}" for letter, n in sizes.items())
    doc = inspect.cleandoc(type(cell).__doc__ or "")
    lines = [f"{cell.name}: {_summary(cell)}", ""]
    lines += [f"    {line}" for line in cell.text().splitlines()]
    lines += ["", *_entry("states", "; ".join(states))]
    lines += _entry("gates", ", ".join(cell.gates) or "none")
    lines += _entry("parameters", f"{_count(cell, sizes):,} for {written}: {', '.join(shapes)}")
    for fact in _facts(cell):
        lines += _entry("fact", fact)
    lines += _entry("source", cell.source)
    if cell.renames:
        renames = [f"{ours} is the paper's {theirs}" for ours, theirs in cell.renames.items()]
        lines += _entry("symbols", ", ".join(renames))
    for note in doc.split("\n\n")[1:]:
        lines += _entry("note", " ".join(note.split()))
    return [*lines, "", "x₋ means x of the step before; W x is a matrix product, a ⊙ b is by unit."]


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name + ':':<12}{text}", 100, subsequent_indent=" " * 12, break_long_words=False
    )


def _facts(cell: Cell) -> list[str]:
    products = cell.successive_products
    found = [
        "diagonal: each unit sees only itself through time"
        if cell.diagonal
        else "not diagonal: a unit sees the other units' last values",
        "linear in its state: time can be computed in parallel"
        if cell.linear
        else "not linear in its state: steps must follow one another",
        f"{products} matrix product{'s' * (products != 1)} of the state must follow one another "
        "in a step",
    ]
    found += [f"{state} is kept by the factor {factor}" for state, factor in _kept(cell).items()]
    return found


def _content(cell: Cell, known: Mapping[str, int]) -> dict[str, Any]:
    sizes = _sizes(cell, known)
    return {
        "name": cell.name,
        "summary": _summary(cell),
        "equations": cell.text().splitlines(),
        "latex": latex_lines(cell.graph),
        "states": [{"name": s.name, "size": s.size, "initial": s.initial} for s in cell.states],
        "gates": cell.gates,
        "parameters": [{"name": p.key, "shape": p.shape} for p in cell.parameters],
        "sizes": sizes,
        "parameter_count": _count(cell, sizes),
        "facts": {
            "diagonal": cell.diagonal,
            "linear": cell.linear,
            "successive_products": cell.successive_products,
            "kept": _kept(cell),
        },
        "source": cell.source,
        "renames": cell.renames,
    }
