"""The catalogue's part of the documentation: a page for each cell, and a table of all."""

from __future__ import annotations

from collections.abc import Iterator

from gated.cells import cell as find
from gated.cells import cells as names
from gated.equations import Cell
from gated.equations.words import family, keeps, summary
from gated.inspect.cell.page import compared, describe
from gated.inspect.cell.render import as_markdown, escaped

__all__ = ["catalogue"]

_HEAD = """\
# The catalogue

Each page is drawn and counted from the equations that run, so it says what is so. Sizes are
relative to the LSTM's of the same D and H (64 each): its weights, and the multiply-adds of a
step's matrix products. *Kept by* is the factor by which a state keeps its last value.

Any of them is a layer by its name, `gated.Recurrent("{name}", input_size, hidden_size)`; their
matrices may be diagonal, in heads or convolutions: see [layers](../layers.md). For a cell
of your own, [write its equations](../own-cell.md).
"""
_TABLE = (
    "| cell | | states | weights | products | kept by | recurrence |\n|---|---|---|--:|--:|---|---|"
)


def catalogue() -> dict[str, str]:
    """The pages by file name, as Markdown: `index.md`, and one for each cell.

    Raises:
        OptionError: a package that drawing or filling them needs is not installed.
    """
    cells = [find(name) for name in names()]
    pages = {f"{cell.name}.md": as_markdown(describe(cell)) for cell in cells}
    return {"index.md": "\n".join(_index(cells)), **pages}


def _index(cells: list[Cell]) -> Iterator[str]:
    yield _HEAD.replace("{name}", "gru")
    for title in dict.fromkeys(map(family, cells)):
        yield f"## {title}\n\n{_TABLE}"
        yield from (_row(cell) for cell in cells if family(cell) == title)
        yield ""
    yield "```{toctree}\n:hidden:\n"
    yield from (cell.name for cell in cells)
    yield "```\n"


def _row(cell: Cell) -> str:
    weights, products, _ = compared(cell)
    kept = [f"`{state}` by `{factor}`" for state, factor in keeps(cell).items()]
    facts = ["diagonal"] * cell.diagonal + ["linear"] * cell.linear
    if cell.successive_products > 1:
        facts.append(f"{cell.successive_products} products in a row")
    row = (
        f"[{cell.name}]({cell.name}.md)",
        escaped(summary(cell)),
        " ".join(f"`{state.name}`" for state in cell.states),
        weights.share,
        products.share,
        ", ".join(kept) or "–",
        ", ".join(facts) or "–",
    )
    return f"| {' | '.join(row)} |"
