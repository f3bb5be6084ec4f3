"""Python that runs a cell, for its page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from gated.cells import cell as find
from gated.cells import cells as names
from gated.equations import Cell

__all__ = ["example"]

# What the catalogue's cells read beside x, made as it is made from data.
_MASK = (
    'x[torch.rand(2, 20, 8) < 0.3] = float("nan")  # some features are missing',
    "mask = (~x.isnan()).float()  # (B, T, D): 1 where x was observed, 0 where it is missing",
)
_TIMES = "times = torch.rand(2, 20).cumsum(1)  # (B, T): when each step was"
_GAP_OF_STEPS = (
    _TIMES,
    "delta = times.diff(dim=1, prepend=times[:, :1])[..., None]  # (B, T, 1): since the last step",
)
_GAP_OF_FEATURES = (
    _TIMES,
    "delta = torch.zeros_like(x)  # (B, T, D): since each feature was last observed",
    "for t in range(1, 20):",
    "    since = (times[:, t] - times[:, t - 1])[:, None]",
    "    delta[:, t] = since + (1 - mask[:, t - 1]) * delta[:, t - 1]",
)


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
    further = dict([*cell.graph.input_sizes.items()][1:])
    lines += _further(further, sizes)
    passed = "".join(f", {other}={other}" for other in further)
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


def _further(inputs: Mapping[str, int | str], sizes: Mapping[str, int]) -> Iterator[str]:
    """Lines that make the inputs beside x."""
    for name, size in inputs.items():
        if (name, size) == ("mask", "D"):
            yield from _MASK
        elif (name, size) == ("delta", "D") and inputs.get("mask") == "D":
            yield from _GAP_OF_FEATURES
        elif (name, size) == ("delta", 1):
            yield from _GAP_OF_STEPS
        else:
            yield f"{name} = torch.rand(2, 20, {sizes.get(str(size), size)})  # (B, T, {size})"


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
