"""The factor by which any cell keeps its memory, found in its equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gated.equations import Cell
from gated.equations.symbols import Node
from gated.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["forget_factor"]


def forget_factor(
    values: Mapping[str, Tensor | ArrayLike], cell: Cell, state: str | None = None
) -> NDArray[np.float64]:
    """The share of a state that each unit keeps at each step: what `half_life` and others measure.

    It is ``cell.kept``: the derivative of the new state by the old one along sums and products
    of single units, gates held fixed. For the LSTM it is f, for the GRU z, where a paper swaps the
    two 1 - z, for the GRU-D its decay times 1 - z, for a cell that always keeps all of it 1. Its
    limits are those of `gated.inspect.measures.memory`. For the sLSTM it is the stabilised f', and
    0 at the first step, where the stabiliser comes from -inf.

    Args:
        values: gates and states by name, each (T, B, H) or (B, T, H), as `trace.at(0)` or
            `call.values()` of a recording gives them. A factor that reads an input of the cell
            or a parameter needs that too, under its name: `{**call.values(), "mask": mask}` for the
            last observation of "gru-d".
        cell: the layer's cell, `layer.cell`.
        state: which state, if the cell keeps several; the first that has such a factor if None.

    Returns:
        shape of the state's values, float64; 0 where those of padding are 0.

    Raises:
        OptionError: the cell keeps no state in this way (the plain RNN), or not this one, or a
            value that the factor needs is not there.

    Example:
        >>> import torch, gated
        >>> layer = gated.Recurrent("mingru", 3, 4)
        >>> _, _, trace = layer(torch.randn(5, 2, 3), trace=True)
        >>> kept = forget_factor(trace.at(0), layer.cell)
        >>> kept.shape, bool(np.allclose(kept, 1 - trace["z"].detach()))
        ((5, 2, 4), True)
    """
    import torch

    from gated.engines.reference import evaluate

    name, factor = _factor(cell, state)
    known = {
        node: torch.as_tensor(values[label]).detach()
        for label, node in _named(cell, factor).items()
        if label in values
    }
    missing = [label for label in _needed(cell, factor) if label not in values]
    if name not in values or missing:
        raise OptionError(
            f"{cell.name}: how much of {name} is kept depends on {', '.join(missing or [name])}, "
            f"which is not in values: it has {', '.join(values)}"
        )
    like = torch.as_tensor(values[name]).detach()
    share = evaluate([factor], known or {Node("constant"): like})[factor]
    shown: NDArray[np.float64] = share.expand_as(like).double().cpu().numpy()
    return shown


def _factor(cell: Cell, state: str | None) -> tuple[str, Node]:
    kept = cell.kept
    if not kept:
        raise OptionError(
            f"{cell.name}: no state keeps a share of its last value (cell.kept is empty), so it "
            f"has no forget factor; gated.inspect.measures.jacobian_norms measures its memory"
        )
    name = next(iter(kept)) if state is None else state
    if name not in kept:
        raise OptionError(
            f"{cell.name}: state {name!r} keeps no share of its last value, these do: "
            f"{', '.join(kept)}"
        )
    return name, kept[name]


def _named(cell: Cell, factor: Node) -> dict[str, Node]:
    """What `values` may name of the nodes that the factor reads: equations, inputs, parameters."""
    found: dict[str, Node] = {**cell.graph.inputs, **cell.graph.equations}
    waiting = [factor]
    while waiting:
        node = waiting.pop()
        if node.op == "parameter":
            found[node.label] = node
        waiting += node.args
    return found


def _needed(cell: Cell, factor: Node) -> list[str]:
    """The names without which the factor has no value."""
    labels = {node: label for label, node in _named(cell, factor).items()}
    found: dict[str, None] = {}
    waiting = [factor]
    while waiting:
        node = waiting.pop()
        if node in labels:
            found[labels[node]] = None
        elif node.op == "state":
            found[f"{node.label} of the step before"] = None
        else:
            waiting += node.args
    return list(found)
