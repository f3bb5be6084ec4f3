"""`gated cells`: the catalogue, as it follows from the equations. Imports no PyTorch."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import click

from gated.cells import cell as find
from gated.cells import cells as names
from gated.cli.command import Command
from gated.cli.own_cell import is_own, own_cell
from gated.cli.screen import Screen
from gated.equations import Cell
from gated.equations.render import latex_lines
from gated.equations.words import facts, family, keeps, notes, summary
from gated.errors import OptionError

_EXAMPLES = (
    "gated cells                                      all of them, by family",
    "gated cells lstm                                 equations, parameters, facts, source",
    "gated cells lstm --latex                         for a paper",
    "gated cells lstmp --hidden-size 512 --size P=128",
    "gated cells my_cells.py:MyCell                   a cell of your own",
    "gated cells my_cells.py:MyCell --page my.html    its page, with a flow chart",
)
_GATES = 24  # letters of the list of gates, in the table of all cells
# its columns, and how wide a terminal must be to have room for each
_COLUMNS = {
    "cell": 0, "states": 0, "gates": 140, "parameters": 0, "of LSTM": 0, "recurrence": 110,
    "what it is": 0,
}  # fmt: skip


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--input-size", "-D", type=click.IntRange(1), default=64, show_default=True,
              metavar="N", help="D, the features of a step.")  # fmt: skip
@click.option("--hidden-size", "-H", type=click.IntRange(1), default=64, show_default=True,
              metavar="N", help="H, the units.")  # fmt: skip
@click.option("--size", "sizes", multiple=True, metavar="LETTER=N",
              help="Another size, such as P of lstmp; half of H if not given.")  # fmt: skip
@click.option("--page", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write a page about the cell, with a flow chart: one HTML file.")  # fmt: skip
@click.option("--latex", is_flag=True, help="Print the equations as LaTeX and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cells(
    name: str | None,
    input_size: int,
    hidden_size: int,
    sizes: tuple[str, ...],
    page: str | None,
    latex: bool,
    as_json: bool,
) -> None:
    """Print the cells that can be trained, or all about the one called NAME.

    NAME is one of the catalogue, or FILE.py:Class or package.module:Class for a cell of your own,
    whose code is run. Everything printed is derived from the cell's equations, which are also what
    runs.
    """
    if latex and as_json:
        raise click.UsageError("--latex and --json exclude each other: --json holds the LaTeX too")
    if page is not None and (name is None or latex):
        raise click.UsageError("--page is for one cell: gated cells NAME --page FILE")
    given = _given(sizes)
    known = {"D": input_size, "H": hidden_size, **given}
    chosen = [_cell(name)] if name is not None else [find(one) for one in names()]
    _check(given, chosen)
    screen = Screen(as_json=as_json)
    if page is not None:
        screen.result([f"wrote {_write(chosen[0], page)}"])
        screen.json({**_content(chosen[0], known), "page": page})
        return
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


def _check(given: Mapping[str, int], chosen: list[Cell]) -> None:
    """Refuse a size that none of the cells has."""
    letters = sorted({letter for cell in chosen for letter in cell.graph.letters})
    for letter in given:
        if letter not in letters:
            who, its = (chosen[0].name, "its") if len(chosen) == 1 else ("the catalogue", "the")
            raise OptionError(f"{who} has no size {letter}; {its} sizes are {', '.join(letters)}")


def _sizes(cell: Cell, known: Mapping[str, int]) -> dict[str, int]:
    """A number for each letter that the cell's parameters have."""
    letters = {size: None for p in cell.parameters for size in p.shape if isinstance(size, str)}
    return {letter: known.get(letter, max(1, known["H"] // 2)) for letter in sorted(letters)}


def _count(cell: Cell, sizes: Mapping[str, int]) -> int:
    others = {letter: n for letter, n in sizes.items() if letter not in ("D", "H")}
    return cell.parameter_count(sizes.get("D", 1), sizes.get("H", 1), **others)


def _cell(name: str) -> Cell:
    if name.lower() == "convlstm":
        raise OptionError(
            "convlstm is a layer, gated.ConvLSTM(input_size, hidden_size, kernel_size): the cell "
            "lstm with convolutions as maps; see gated cells lstm"
        )
    return own_cell(name) if is_own(name) else find(name)


def _write(cell: Cell, path: str) -> str:
    from gated.inspect.cell.render import write_page
    from gated.inspect.pages import check_target

    return str(write_page(cell, check_target(path, "--page")))


def _table(screen: Screen, chosen: list[Cell], known: Mapping[str, int]) -> None:
    """All cells, by family; on a terminal a line ends where the terminal does."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1_000
    columns = [name for name, least in _COLUMNS.items() if width >= least]
    lstm = find("lstm")
    whole = _count(lstm, _sizes(lstm, known))
    rows = [_row(cell, known, whole) for cell in chosen]
    wide = {name: max(len(row[name]) for row in [*rows, {name: name}]) for name in columns}
    lines = [_line({name: name for name in columns}, wide)]
    for title in dict.fromkeys(map(family, chosen)):
        lines += ["", title]
        lines += [_line(r, wide) for c, r in zip(chosen, rows, strict=True) if family(c) == title]
    sizes = {letter: n for cell in chosen for letter, n in _sizes(cell, known).items()}
    written = ", ".join(f"{letter} = {n}" for letter, n in sorted(sizes.items()))
    lines += ["", f"Parameters for {written}. More of one: gated cells NAME"]
    screen.result(text if len(text) <= width else f"{text[: width - 1]}…" for text in lines)


def _row(cell: Cell, known: Mapping[str, int], whole: int) -> dict[str, str]:
    gates = " ".join(cell.gates) or "none"
    if len(gates) > _GATES:
        gates = f"{gates[: _GATES - 7].rpartition(' ')[0]} … ({len(cell.gates)})"
    number = _count(cell, _sizes(cell, known))
    return {
        "cell": cell.name,
        "states": " ".join(state.name for state in cell.states),
        "gates": gates,
        "parameters": f"{number:,}",
        "of LSTM": f"{100 * number / whole:.0f}%",
        "recurrence": _recurrence(cell),
        "what it is": summary(cell),
    }


def _line(row: Mapping[str, str], wide: Mapping[str, int]) -> str:
    figures = ("parameters", "of LSTM")
    shown = [
        row[name].rjust(width) if name in figures else row[name].ljust(width)
        for name, width in wide.items()
    ]
    return "  ".join(shown).rstrip()


def _recurrence(cell: Cell) -> str:
    kind = "diagonal" if cell.diagonal else "full"
    kind += ", linear" if cell.linear else ""
    more = cell.successive_products
    return f"{kind}, {more} products" if more > 1 else kind


def _page(cell: Cell, known: Mapping[str, int]) -> list[str]:
    sizes = _sizes(cell, known)
    shapes = [f"{p.key} ({', '.join(map(str, p.shape))})" for p in cell.parameters]
    states = [f"{s.name} ({s.size}), from {s.initial:g}" for s in cell.states]
    written = ", ".join(f"{letter} = {n}" for letter, n in sizes.items())
    lines = [f"{cell.name}: {summary(cell)}", ""]
    lines += [f"    {line}" for line in cell.text().splitlines()]
    lines += ["", *_entry("states", "; ".join(states))]
    lines += _entry("gates", ", ".join(cell.gates) or "none")
    lines += _entry("parameters", f"{_count(cell, sizes):,} for {written}: {', '.join(shapes)}")
    for fact in facts(cell):
        lines += _entry("fact", fact)
    lines += _entry("source", cell.source) if cell.source else []
    if cell.renames:
        renames = [f"{ours} is the paper's {theirs}" for ours, theirs in cell.renames.items()]
        lines += _entry("symbols", ", ".join(renames))
    for note in notes(cell):
        lines += _entry("note", note)
    return [*lines, "", "x₋ means x of the step before; W x is a matrix product, a ⊙ b is by unit."]


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name + ':':<12}{text}", 100, subsequent_indent=" " * 12, break_long_words=False
    )


def _content(cell: Cell, known: Mapping[str, int]) -> dict[str, Any]:
    sizes = _sizes(cell, known)
    return {
        "name": cell.name,
        "summary": summary(cell),
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
            "kept": keeps(cell),
        },
        "source": cell.source,
        "renames": cell.renames,
    }
