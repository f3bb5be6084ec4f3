"""Python that runs a cell, for its page."""

from __future__ import annotations

import sys

from gated.cells import cell as find
from gated.cells import cells as names
from gated.equations import Cell

__all__ = ["example"]


def example(cell: Cell) -> str:
    """Python that runs the cell as a layer, with its real shapes in the comments."""
    others = [letter for letter in cell.graph.letters if letter not in ("D", "H")]
    sizes = {"D": 8, "H": 16, **dict.fromkeys(others, 4)}
    name, imports = _reference(cell)
    given = "".join(f", {letter}=4" for letter in others)
    lines = [
        *imports,
        f"layer = gated.Recurrent({name}, input_size=8, hidden_size=16{given}, batch_first=True)",
        "x = torch.randn(2, 20, 8)  # (B, T, D)",
    ]
    further = list(cell.graph.input_sizes.items())[1:]
    for other, size in further:
        width = sizes.get(str(size), size)
        lines.append(f"{other} = torch.rand(2, 20, {width})  # (B, T, {size})")
    passed = "".join(f", {other}={other}" for other, _ in further)
    shown = _gate(cell)
    states = ", ".join(f"{state.name}_n" for state in cell.states)
    if len(cell.states) > 1:
        states = f"({states})"
    width = sizes.get(str(cell.states[0].size), cell.states[0].size)
    return "\n".join(
        [
            *lines,
            f"output, {states}, trace = layer(x{passed}, lengths=[20, 12], trace=True)",
            f"assert output.shape == (2, 20, {width})",
            f'print(trace["{shown}"][0, -1])  # {shown} of the first sequence, at the last step',
        ]
    )


def _reference(cell: Cell) -> tuple[str, list[str]]:
    """How Python names the cell, and what must be imported for it."""
    imports = ["import torch", "import gated"]
    if cell.name in names() and type(find(cell.name)) is type(cell):
        return f'"{cell.name}"', [*imports, ""]
    module = type(cell).__module__
    known = getattr(sys.modules.get(module), type(cell).__name__, None)
    if known is not type(cell) or module == "__main__":
        return "cell", [*imports, ""]
    return type(cell).__name__, [*imports, f"from {module} import {type(cell).__name__}", ""]


def _gate(cell: Cell) -> str:
    """The gate to look at: the one that keeps the memory, if there is one."""
    factors = [node.name for node in cell.kept.values() if node.name]
    return [*factors, *cell.gates, cell.states[0].name][0]
