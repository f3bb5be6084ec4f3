"""How the gradient flows back through a recurrent layer: to every state, unit, step and row.

Two answers are given side by side. The total gradient ∂L/∂c_t counts all the ways from c_t to the
loss. The direct path counts one: from c_t to c_(t+1) by the factor that keeps it, and so on. The
direct path is what the LSTM was built for, and what the textbook's "product of forget gates" is;
the total is what training sees. They differ as soon as anything passes through h: see the worked
example, .260 against .9515 after three steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gated.equations import Cell
from gated.equations.close import did_you_mean
from gated.errors import OptionError
from gated.inspect.recording.surgery import eager, find_layer, layers_of
from gated.inspect.recording.watch import Array, Piece, Place, Watch, derive
from gated.layers import Recurrent

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CallFlow", "GradientFlow", "LayerFlow", "gradient_flow"]


@dataclass(frozen=True)
class CallFlow:
    """The gradients of one call of a layer.

    Axes: B rows, T time, n the units of a value. Steps beyond a row's length hold NaN. A reverse
    direction stands in the time order of the input.

    Attributes:
        valid: (B, T), where a row has a step.
        totals, directs: (B, T, n) by (index in the stack, direction) and name.
    """

    valid: Array
    totals: Mapping[Place, Mapping[str, Array]]
    directs: Mapping[Place, Mapping[str, Array]]


@dataclass(frozen=True)
class LayerFlow:
    """The gradients of one layer of the model: of all its calls, stacked layers and directions."""

    cell: Cell
    calls: Sequence[CallFlow]

    def total(self, name: str, index: int = 0, direction: int = 0, call: int = 0) -> Array:
        """∂L/∂(state or gate) over all paths, (B, T, n)."""
        return self._find("totals", name, index, direction, call)

    def direct(self, name: str, index: int = 0, direction: int = 0, call: int = 0) -> Array:
        """∂L/∂(state) along the direct path alone, (B, T, n).

        Raises:
            OptionError: no factor keeps this state, so it has no direct path.
        """
        return self._find("directs", name, index, direction, call)

    def norms(
        self, name: str, path: str = "total", index: int = 0, direction: int = 0, call: int = 0
    ) -> Array:
        """The length of the gradient at each step: over the units, (B, T)."""
        if path not in ("total", "direct"):
            raise OptionError(f"path is {path!r}, expected 'total' or 'direct'")
        return _norm(self._find(f"{path}s", name, index, direction, call))

    def _find(self, which: str, name: str, index: int, direction: int, call: int) -> Array:
        if not 0 <= call < len(self.calls):
            raise OptionError(
                f"there is no call {call}: the layer was called {len(self.calls)} times, counted "
                f"from 0"
            )
        places: Mapping[Place, Mapping[str, Array]] = getattr(self.calls[call], which)
        if (index, direction) not in places:
            raise OptionError(
                f"there is no layer {index} in direction {direction}: there are {sorted(places)}"
            )
        found = places[index, direction]
        if name not in found:
            raise OptionError(self._missing(which, name, found))
        return found[name]

    def _missing(self, which: str, name: str, found: Mapping[str, Array]) -> str:
        known = ", ".join(found) or "none"
        if which == "directs" and name in self.cell.graph.equations:
            return (
                f"{self.cell.name}: {name} has no direct path, since no factor keeps it from step "
                f"to step; states that have one: {known}"
            )
        return (
            f"{self.cell.name}: no gradient of {name!r} was taken: {did_you_mean(name, found)}"
            f"there are {known}; name gates too, as in gradient_flow(..., names=('f', 'c', 'h'))"
        )


class GradientFlow(Mapping[str, LayerFlow]):
    """The gradient flow of a model, by the path of each recurrent layer.

    Attributes:
        loss: the loss whose gradient it is.
    """

    def __init__(self, loss: float, layers: Mapping[str, LayerFlow]):
        self.loss = loss
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> LayerFlow:
        if name not in self._layers:
            raise KeyError(f"no gradient flows through {name!r}, but: {', '.join(self._layers)}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return f"<gradient flow of loss {self.loss:.6g} through {', '.join(self._layers)}>"

    def to_pandas(self) -> pd.DataFrame:
        """The gradients' norms over the units, one row for each value at each valid step.

        Columns: layer, call, index (in the stack), direction, value, row, step, total, direct; NaN
        for the direct path of what has none.
        """
        import pandas as pd

        frames = [
            _frame(call, place, value).assign(
                layer=name, call=k, index=place[0], direction=place[1], value=value
            )
            for name, layer in self.items()
            for k, call in enumerate(layer.calls)
            for place, found in call.totals.items()
            for value in found
        ]
        columns = ["layer", "call", "index", "direction", "value", "row", "step"]
        columns += ["total", "direct"]
        whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
        return whole[columns]


def gradient_flow(
    model: nn.Module,
    loss: Callable[[Any], Tensor],
    *,
    names: str | Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
) -> GradientFlow:
    """The gradient of a loss with respect to every state of every recurrent layer, at every step.

    The total is the derivative of the loss by an input that is added to the state's new value and
    is 0 (`gated.cells.probes.probed`): exact, on whichever engine runs the layer. The direct path
    is the recursion d_t = e_t + k_(t+1) d_(t+1), unit by unit, where k is the factor by which the
    cell keeps the state (the forget gate f of an LSTM, z of a GRU, derived from the equations), and
    e_t is what arrives from the step's own output and from the final states. Where the loss reads
    the last step alone it is the product of the forget gates from there. A zoneout's output reads
    c_new, which is on the way from c to the next c: what arrives there is counted, too.

    Parameters and their `.grad` stay as they are. `loss` is called once, with the model in the mode
    it is in: call `model.eval()` for one without dropout.

    Args:
        model: any module that has layers of gated in it, or is one.
        loss: takes the model and gives a tensor of one number; it runs the model as it likes.
        names: gates and states to take the total gradient of; all states of each cell if not given.
        layers: the paths of the layers to look at, or one path; all if not given.

    Returns:
        A mapping from a layer's path ("layer" if the model is a layer) to its `LayerFlow`.

    Raises:
        OptionError: no layer, no such name, the loss is not one number with a gradient, or it runs
            none of the layers.

    Limits: a gradient is the slope at this input. It says how the loss would answer to a small
    change of the state, not what the network needs the state for: a saturated gate shows none. The
    direct path ignores what passes through h and through other units; it is no bound on the total,
    in either direction. A loss that reads a traced value (`trace=True`) of the first state counts
    in the total, and not in the direct path. `truncate=` cuts both. `step()` gives a call for each
    step, each with a direct path of its own.

    Source: S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
    section 4 (the direct path: constant error flow); F. A. Gers, J. Schmidhuber, F. Cummins,
    Learning to forget (2000), equations 3.11-3.14 with a forget gate; total: P. J. Werbos,
    Backpropagation through time (1990).

    Example:
        >>> import gated, torch
        >>> lstm, x = gated.LSTM(2, 3, batch_first=True), torch.randn(4, 10, 2)
        >>> flow = gradient_flow(lstm, lambda model: model(x)[0][:, -1].sum())
        >>> flow["layer"].total("c").shape, flow["layer"].norms("c", "direct").shape
        ((4, 10, 3), (4, 10))
    """
    layers = (layers,) if isinstance(layers, str) else layers
    paths = layers_of(model) if layers is None else layers
    chosen = {path: find_layer(model, path) for path in paths}
    if names is not None:
        names = (names,) if isinstance(names, str) else tuple(names)
        _check_names(names, chosen)
    watches = {name: Watch(layer, names) for name, layer in chosen.items()}
    with ExitStack() as block:
        block.enter_context(eager())
        block.enter_context(torch.inference_mode(False))
        block.enter_context(torch.enable_grad())
        for watch in watches.values():
            watch.enter(block)
        value = _number(loss(model))
    if not any(watch.pieces for watch in watches.values()):
        raise OptionError(
            f"loss(model) ran no layer of {', '.join(map(repr, watches))}, expected one that runs "
            f"the model it is given: as lambda model: model(x)[0].sum()"
        )
    derive(value, [piece for watch in watches.values() for piece in watch.pieces])
    flows = {name: _flow(watch) for name, watch in watches.items() if watch.pieces}
    return GradientFlow(float(value.detach()), flows)


def _check_names(names: Sequence[str], layers: Mapping[str, Recurrent]) -> None:
    known = [name for layer in layers.values() for name in layer.cell.graph.equations]
    for name in names:
        if name not in known:
            raise OptionError(
                f"no cell of the model has an equation {name!r}: {did_you_mean(name, known)}"
                f"there are {', '.join(dict.fromkeys(known))}"
            )


def _number(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        got = (
            f"a tensor of shape {tuple(value.shape)}, requires_grad={value.requires_grad}"
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        raise OptionError(
            f"loss(model) gave {got}, expected a tensor of one number on the model's graph: sum or "
            f"average what you return, and use neither .item() nor torch.no_grad()"
        )
    return value.sum()


def _flow(watch: Watch) -> LayerFlow:
    """What was found, call by call."""
    calls = dict.fromkeys(piece.call for piece in watch.pieces)
    parts = [[piece for piece in watch.pieces if piece.call == call] for call in calls]
    return LayerFlow(watch.layer.cell, [_joined(pieces) for pieces in parts])


def _joined(pieces: Sequence[Piece]) -> CallFlow:
    """The chunks of a call's time as one."""
    directs = _along_time([piece.direct() for piece in pieces])
    totals = _along_time([piece.total() for piece in pieces])
    return CallFlow(np.concatenate([piece.valid() for piece in pieces], 1), totals, directs)


def _along_time(
    parts: Sequence[Mapping[Place, Mapping[str, Array]]],
) -> dict[Place, dict[str, Array]]:
    return {
        place: {name: np.concatenate([part[place][name] for part in parts], 1) for name in found}
        for place, found in parts[0].items()
    }


def _norm(value: Array) -> Array:
    # a gradient that explodes has a square that float32 has no room for
    flat = value.reshape(*value.shape[:2], -1).astype(np.float64)
    return np.asarray(np.linalg.norm(flat, axis=-1))


def _frame(call: CallFlow, place: Place, name: str) -> pd.DataFrame:
    import pandas as pd

    row, step = np.nonzero(call.valid)
    total = _norm(call.totals[place][name])[row, step]
    path = call.directs.get(place, {}).get(name)
    direct = np.full(len(row), np.nan) if path is None else _norm(path)[row, step]
    return pd.DataFrame({"row": row, "step": step, "total": total, "direct": direct})
