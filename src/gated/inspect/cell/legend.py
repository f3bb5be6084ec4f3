"""What the signs in a cell's flow chart mean, in sentences."""

from __future__ import annotations

from gated.equations import Cell
from gated.equations.words import keeps
from gated.inspect.cell.flow import BOXES, Flow
from gated.inspect.cell.reading import flow

__all__ = ["legend"]

_MATRICES = ("matrix", "heads", "kernel")


def legend(cell: Cell) -> list[str]:
    """One sentence for each kind of sign that is in the cell's chart.

    Example:
        >>> from gated.cells import cell
        >>> legend(cell("lstm"))[0]
        'The thick line carries what is kept from step to step: c by f.'
    """
    found = flow(cell)
    kept = " and ".join(f"{state} by {factor}" for state, factor in keeps(cell).items())
    sentences = {
        f"The thick line carries what is kept from step to step: {kept}.": bool(kept),
        **_boxes(found),
        **_circles(found),
        **_lines(found),
    }
    return [sentence for sentence, there in sentences.items() if there]


def _boxes(found: Flow) -> dict[str, bool]:
    boxes = [v for v in found.vertices.values() if v.kind in BOXES]
    coloured = [v for v in boxes if v.kind in ("gate", "candidate")]
    weighted = {line.target for line in found.lines if line.kind in _MATRICES}
    joins = {id for id, v in found.vertices.items() if v.kind == "join"} & weighted
    weighted |= {line.target for line in found.lines if line.source in joins}
    linear = [v for v in boxes if v.kind == "linear"]
    functions = [v for v in boxes if v.kind == "function"]
    parts = "matrices, bias, and" if {v.id for v in coloured} & weighted else "its weights, and"
    names = " ".join(f"{v.label} {v.note}" for v in boxes)
    return {
        f"A coloured box is an equation: {parts} the function beside its name.": bool(coloured),
        "σ gives 0 to 1.": "σ" in names,
        "tanh gives −1 to 1.": "tanh" in names,
        "relu gives 0 for what is below 0.": "relu" in names,
        "A grey box with corners is linear: matrices, and no function.": bool(linear),
        "Several names in a box are as many equations.": any(v.members for v in linear),
        "A grey pill is a function without a matrix.": bool(functions),
        "· stands for the value that enters.": "·" in names,
    }


def _circles(found: Flow) -> dict[str, bool]:
    signs = {v.label for v in found.vertices.values() if v.kind == "operation"}
    marks = {line.mark for line in found.lines}
    return {
        "A circle works unit by unit.": bool(signs),
        "max takes the larger value.": "max" in signs,
        "÷ divides by the value whose line has the sign ÷.": "÷" in signs,
        "− at the end of a line: its value is subtracted.": "−" in marks,
        "The circle ? chooses by the line marked ?: the value at yes where it is above 0, else the "
        "value at no.": "?" in signs,
    }


def _lines(found: Flow) -> dict[str, bool]:
    kinds = {line.kind for line in found.lines}
    into = {line.kind for line in found.lines if found.vertices[line.target].kind == "join"}
    labelled = any(line.mark and line.mark in line.weights for line in found.lines)
    return {
        "Lines that meet in a dot go on together: each box has matrices of its own for each.": bool(
            into & set(_MATRICES)
        ),
        "Lines that meet in a dot go on together to each box.": into == {"plain"},
        "A dashed line is weighted unit by unit, without a matrix.": bool(
            kinds & {"vector", "diagonal"}
        ),
        "The name beside a dashed line is that of its weights.": labelled,
        "Heads are blocks of units that see one another alone.": "heads" in kinds,
        "∗ is a convolution, with the extent of its kernel.": "kernel" in kinds,
    }
