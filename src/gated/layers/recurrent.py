"""`Recurrent`: any cell as a layer, with the habits of `torch.nn.LSTM`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated import engines
from gated.cells import cell as find_cell
from gated.engines import Choice, Job
from gated.engines.pytorch import operator
from gated.equations import Cell
from gated.equations.layout import layout
from gated.errors import OptionError
from gated.layers import arguments
from gated.layers.ragged import Ragged
from gated.layers.trace import Trace

States = Tensor | tuple[Tensor, ...]


class Recurrent(nn.Module):
    """Any recurrent cell over sequences: stacked, in one or both directions.

    Axes: B batch, T time, D input size, H hidden size, L layers, S directions (1 or 2), n the size
    of a state (H, for most).

    Args:
        cell: a cell's name ("lstm"), a `Cell` or its class.
        input_size: D.
        hidden_size: H.
        num_layers: L; each layer reads the output of the one below.
        bias: whether the equations' biases are there; without, they count as 0.
        batch_first: whether inputs and outputs are (B, T, ...) rather than (T, B, ...).
        dropout: probability of dropping an output of every layer but the last, in training.
        bidirectional: whether a second set of weights reads the sequence backwards.
        device, dtype: of the parameters.
        engine: "auto" (the fastest that is right), "torch" or "reference".
        sizes: values of the further letters a cell names, as P=16 for "lstmp".

    Parameters are named and shaped as in `torch.nn` where the cell is one of PyTorch's, found by
    comparing graphs: `weight_ih_l0` (G*H, D), `weight_hh_l0` (G*H, H), `bias_ih_l0`, `bias_hh_l0`
    (G*H,), with `_reverse` appended for the second direction. Other cells have `bias_l0` and the
    further symbols under their own letters.

    Raises:
        OptionError: an argument makes no sense, or a size that the cell names is missing.
        CellError: there is no such cell.

    Example:
        >>> import torch, gated
        >>> layer = gated.Recurrent("gru-reset-before", 3, 8, batch_first=True)
        >>> output, h_n = layer(torch.randn(2, 5, 3), lengths=[5, 3])
        >>> output.shape, h_n.shape
        (torch.Size([2, 5, 8]), torch.Size([1, 2, 8]))
    """

    def __init__(
        self,
        cell: str | Cell | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        engine: str = "auto",
        **sizes: int,
    ):
        super().__init__()
        self.cell = find_cell(cell)
        self.input_size = arguments.check_size("input_size", input_size)
        self.hidden_size = arguments.check_size("hidden_size", hidden_size)
        self.num_layers = arguments.check_size("num_layers", num_layers)
        self.bias = arguments.check_flag("bias", bias)
        self.batch_first = arguments.check_flag("batch_first", batch_first)
        self.dropout = arguments.check_probability("dropout", dropout)
        self.bidirectional = arguments.check_flag("bidirectional", bidirectional)
        self.engine = engines.check_name(engine)
        self.sizes = arguments.check_sizes(self.cell, sizes)
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout={dropout} drops outputs between layers, and there is one layer: use "
                f"num_layers > 1",
                stacklevel=2,
            )
        arguments.check_callable(self.cell)
        self._register(device, arguments.check_dtype(dtype))
        self.reset_parameters()

    def _register(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Derive from cell and sizes what every call needs, and make room for the parameters."""
        graph = self.cell.graph
        self._letters = {"D": self.input_size, "H": self.hidden_size, **self.sizes}
        self._inputs = {name: self._units(size) for name, size in graph.input_sizes.items()}
        self._first = next(iter(self._inputs))
        self._states = {state.name: self._units(state.size) for state in graph.states}
        # where all states start alike, a call without hx makes one tensor for all
        starts = {(self._states[state.name], state.initial) for state in graph.states}
        self._start = starts.pop() if len(starts) == 1 else None
        width = self.num_directions * self._units(graph.states[0].size)
        if self.num_layers > 1 and width != self.input_size:
            arguments.check_stackable(self.cell)
        slots = layout(graph, pytorch=operator(graph) is not None)
        self._layout = tuple(slot for slot in slots if self.bias or not slot.bias)
        self._names: list[str] = []
        for index in range(self.num_layers):
            letters = {**self._letters, "D": width if index else self.input_size}
            for end in ("", "_reverse")[: self.num_directions]:
                for slot in self._layout:
                    empty = torch.empty(slot.shape(letters), device=device, dtype=dtype)
                    self._names.append(f"{slot.name}_l{index}{end}")
                    self.register_parameter(self._names[-1], nn.Parameter(empty))

    def _units(self, size: str | int) -> int:
        return self._letters[size] if isinstance(size, str) else size

    @property
    def num_directions(self) -> int:
        """S: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, as in `torch.nn`."""
        weights, each = self._weights(), len(self._layout)
        return [weights[start : start + each] for start in range(0, len(weights), each)]

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), as `torch.nn` does."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: kept so that code written for `torch.nn.LSTM` runs."""

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        trace: bool = False,
        **inputs: Tensor,
    ) -> Any:
        """Run the layer over sequences.

        Args:
            x: (T, B, D), (B, T, D) if `batch_first`, (T, D) unbatched, or a PackedSequence.
            hx: the initial states, each (L*S, B, n): a tensor if the cell has one state, else a
                tuple in the order of the equations, (h_0, c_0) for the LSTM. The cell's initial
                values (0, for most) if not given.
            lengths: (B,) the valid steps of each row, 0 to T. What lies beyond changes nothing,
                be it NaN. Rows end with the state after their last step; the output there is 0.
            trace: whether to return every gate and state.
            inputs: the cell's further inputs by name, with axes as `x`.

        Returns:
            (output, states), or (output, states, trace) with a `Trace`. `output` is
            (T, B, S*n), laid out as `x`; `states` as `hx`.

        Raises:
            ShapeError: a tensor does not fit; the message says which and what is expected.
            EngineError: the engine asked for by name cannot do this.
        """
        job, ragged, initial = self._prepare(x, hx, lengths, trace, inputs)
        output, final, traced = engines.run(job, self.engine)
        if ragged is not None:
            final = ragged.restore(final, initial)
        shown: Tensor | PackedSequence
        if isinstance(x, PackedSequence):
            shown = PackedSequence(output, *x[1:])
        else:
            shown = self._leave(output, x, ragged)
            if x.dim() == 2:
                final = tuple(state.squeeze(1) for state in final)
        states = final if len(final) > 1 else final[0]
        if not trace:
            return shown, states
        layers = [
            [{n: self._leave(v, x, ragged) for n, v in run.items()} for run in runs]
            for runs in traced
        ]
        return shown, states, Trace(layers)

    def step(self, x: Tensor, state: States | None = None, **inputs: Tensor) -> tuple[Tensor, Any]:
        """One step of a stream: `output, state = layer.step(x_t, state)`.

        Args:
            x: (B, D), or (D,) unbatched.
            state: what the last step returned; None at the start.
            inputs: the cell's further inputs, each (B, its size).

        Returns:
            output (B, n), and the state to pass to the next step.

        Raises:
            OptionError: the layer is bidirectional, so it needs the end before the start.
            ShapeError: a tensor does not fit.
        """
        if self.bidirectional:
            raise OptionError(
                "step() cannot run a bidirectional layer: its second direction starts at the end "
                "of the sequence, which a stream does not have; use bidirectional=False"
            )
        arguments.check_step({"x": x, **inputs}, self.cell.name)
        axis = 1 if self.batch_first and x.dim() == 2 else 0
        values = {name: value.unsqueeze(axis) for name, value in inputs.items()}
        output, state = self(x.unsqueeze(axis), state, **values)
        return output.squeeze(axis), state

    def choice(
        self,
        x: Tensor | PackedSequence,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        trace: bool = False,
        **inputs: Tensor,
    ) -> Choice:
        """The engine that would run this call, and why; arguments as in a call.

        Example:
            >>> import torch, gated
            >>> gated.LSTM(3, 4).choice(torch.randn(5, 2, 3), trace=True).engine
            'reference'
        """
        job, _, _ = self._prepare(x, hx, lengths, trace, inputs)
        return engines.choose(job, self.engine)

    def _prepare(
        self,
        x: Tensor | PackedSequence,
        hx: States | None,
        lengths: Tensor | Sequence[int] | None,
        trace: bool,
        inputs: Mapping[str, Tensor],
    ) -> tuple[Job, Ragged | None, tuple[Tensor, ...]]:
        """The checked job, how its rows were packed, and the initial states in the rows' order."""
        weights = self._weights()
        values, ragged, batch = self._enter(x, lengths, inputs, weights[0])
        sequence = values[self._first]
        batched = isinstance(x, PackedSequence) or x.dim() == 3
        initial = self._initial(hx, batch, batched, sequence)
        cast = arguments.autocast_type(sequence)
        if cast is not None:
            values = {name: value.to(cast) for name, value in values.items()}
            weights = [weight.to(cast) for weight in weights]
            initial = tuple(state.to(cast) for state in initial)
        job = Job(
            self.cell, self._layout, self._letters, self.num_layers,
            2 if self.bidirectional else 1,
            weights, values,
            initial if ragged is None else ragged.sort(initial),
            None if ragged is None else ragged.batch_sizes,
            self.dropout, self.training, trace,
        )  # fmt: skip
        return job, ragged, initial

    def _weights(self) -> list[Tensor]:
        """The parameters in the order of their names."""
        own: Mapping[str, Any] = self._parameters
        try:  # the short way
            return [own[name] for name in self._names]
        except KeyError:  # pruned, or parametrised
            return [getattr(self, name) for name in self._names]

    def _enter(
        self,
        x: Tensor | PackedSequence,
        lengths: Tensor | Sequence[int] | None,
        inputs: Mapping[str, Tensor],
        like: Tensor,
    ) -> tuple[dict[str, Tensor], Ragged | None, int]:
        """The inputs as an engine takes them, how rows were packed, and the number of rows."""
        name = self.cell.name
        if isinstance(x, PackedSequence):
            values = arguments.check_packed(x, lengths, inputs, self._inputs, like, name)
            ragged = Ragged.from_packed(x)
            return values, ragged, ragged.batch
        values = arguments.check_inputs(x, inputs, self._inputs, like, name)
        if x.dim() == 2:
            values = {name: value.unsqueeze(1) for name, value in values.items()}
        elif self.batch_first:
            values = {name: value.transpose(0, 1) for name, value in values.items()}
        steps, batch, _ = values[self._first].shape
        if lengths is None:
            return values, None, batch
        lengths = arguments.as_lengths(lengths, batch, steps, name)
        if bool((lengths == steps).all()):
            return values, None, batch
        ragged = Ragged.from_lengths(lengths, steps, x.device)
        return {name: ragged.pack(value) for name, value in values.items()}, ragged, batch

    def _leave(self, value: Tensor, x: Tensor | PackedSequence, ragged: Ragged | None) -> Tensor:
        """What an engine returned, laid out as the caller's input is."""
        if ragged is not None:
            value = ragged.unpack(value)
        if not isinstance(x, PackedSequence) and x.dim() == 2:
            return value.squeeze(1)
        return value.transpose(0, 1) if self.batch_first else value

    def _initial(
        self, hx: States | None, batch: int, batched: bool, like: Tensor
    ) -> tuple[Tensor, ...]:
        """The initial states, each (L*S, B, n)."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None and self._start is not None:
            size, value = self._start
            return (like.new_full((rows, batch, size), value),) * len(self._states)
        if hx is not None:
            states = arguments.as_states(hx, list(self._states), self.cell.name)
            for value, (name, size) in zip(states, self._states.items(), strict=True):
                shape = (rows, batch, size) if batched else (rows, size)
                arguments.check_state(name, value, shape, like, self.cell.name)
            return states if batched else tuple(state.unsqueeze(1) for state in states)
        return tuple(
            like.new_full((rows, batch, self._states[state.name]), state.initial)
            for state in self.cell.states
        )

    def extra_repr(self) -> str:
        """The options that differ from their defaults."""
        words = [self.cell.name, str(self.input_size), str(self.hidden_size)]
        words += [f"{k}={v}" for k, v in self.sizes.items()]
        defaults: dict[str, object] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
        }
        defaults |= {"bidirectional": False, "engine": "auto"}
        words += [f"{k}={getattr(self, k)!r}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join(words)
