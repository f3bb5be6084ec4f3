"""What the signs in a cell's flow chart mean, in sentences."""

from __future__ import annotations

from gated.equations import Cell
from gated.equations.words import keeps
from gated.inspect.reading import flow

__all__ = ["legend"]


def legend(cell: Cell) -> list[str]:
    """One sentence for each kind of sign that is in the cell's chart.

    Example:
        >>> from gated.cells import cell
        >>> legend(cell("lstm"))[0]
        'The thick line carries what is kept from step to step: c by f.'
    """
    found = flow(cell)
    kinds = {vertex.kind for vertex in found.vertices.values()}
    lines = {line.kind for line in found.lines}
    into = {line.kind for line in found.lines if found.vertices[line.target].kind == "join"}
    kept = " and ".join(f"{state} by {factor}" for state, factor in keeps(cell).items())
    sentences = {
        f"The thick line carries what is kept from step to step: {kept}.": kept,
        "A coloured box is an equation: matrices, bias, and the function beside its name; "
        "σ gives 0 to 1, tanh −1 to 1.": kinds & {"gate", "candidate"},
        "A circle works unit by unit.": "operation" in kinds,
        "Lines that meet in a dot go on together: each box has matrices of its own for each.": into
        - {"plain"},
        "Lines that meet in a dot go on together to each box.": into == {"plain"},
        "A dashed line is weighted unit by unit, without a matrix.": lines & {"vector", "diagonal"},
        "Heads are blocks of units that see one another alone.": "heads" in lines,
        "∗ is a convolution, with the extent of its kernel.": "kernel" in lines,
    }
    return [sentence for sentence, there in sentences.items() if there]
