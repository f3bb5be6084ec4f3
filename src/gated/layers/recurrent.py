"""`Recurrent`: any cell as a layer, with the habits of `torch.nn.LSTM`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated import engines
from gated.cells import cell as find_cell
from gated.engines import Choice, Job
from gated.engines.pytorch import operator
from gated.equations import Cell
from gated.equations.layout import layout
from gated.errors import OptionError, ShapeError
from gated.layers import arguments
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
        OptionError: an argument makes no sense.
        CellError: there is no such cell, or a size it names is missing.

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
        self.sizes = {k: arguments.check_size(k, v) for k, v in sizes.items()}
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout={dropout} drops outputs between layers, and there is one layer: use "
                f"num_layers > 1",
                stacklevel=2,
            )
        self._set_up()
        for index, suffix in self._places():
            for slot in self._layout:
                shape = slot.shape(self._known_sizes(index))
                self.register_parameter(
                    slot.name + suffix, nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                )
        self.reset_parameters()

    def _set_up(self) -> None:
        """What follows from the options and is not saved with the weights."""
        graph = self.cell.graph
        letters = [letter for letter in graph.letters if letter not in ("D", "H")]
        for letter in {*letters, *self.sizes}:
            if letter not in self.sizes or letter not in letters:
                problem = "is missing" if letter in letters else "means nothing"
                raise OptionError(
                    f"{self.cell.name}: size {letter} {problem}; the cell's own sizes are "
                    f"{', '.join(letters) or 'none'}"
                )
        self._is_pytorch = operator(graph) is not None
        slots = layout(graph, pytorch=self._is_pytorch)
        self._layout = tuple(slot for slot in slots if self.bias or not slot.bias)
        self._state_sizes = tuple(self._length(state.size) for state in graph.states)
        self._extra = tuple(name for name in graph.inputs if name != "x")
        for name in self._extra:
            if graph.input_sizes[name] == "D" and self.num_layers > 1:
                raise OptionError(
                    f"{self.cell.name}: input {name} has the size of x, which only the first layer "
                    f"sees; use num_layers=1"
                )

    def _length(self, size: str | int) -> int:
        return self._known_sizes(0)[size] if isinstance(size, str) else size

    def _known_sizes(self, index: int) -> dict[str, int]:
        below = self.input_size if index == 0 else self._state_sizes[0] * self.num_directions
        return {"D": below, "H": self.hidden_size, **self.sizes}

    def _places(self) -> list[tuple[int, str]]:
        """Each layer and direction: the layer's index and the suffix of its parameters' names."""
        ends = ("", "_reverse")[: self.num_directions]
        return [(k, f"_l{k}{end}") for k in range(self.num_layers) for end in ends]

    @property
    def num_directions(self) -> int:
        """S: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as in `torch.nn`."""
        return [[getattr(self, s.name + end) for s in self._layout] for _, end in self._places()]

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
        lengths: Tensor | list[int] | None = None,
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
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, hx, lengths, trace, inputs)
        values = self._inputs(x, inputs)
        batched = x.dim() == 3
        if not batched:
            values = {name: value.unsqueeze(1) for name, value in values.items()}
        elif self.batch_first:
            values = {name: value.transpose(0, 1) for name, value in values.items()}
        steps, batch = values["x"].shape[:2]
        states = self._initial(hx, batch, values["x"], batched)
        if lengths is not None:
            lengths = arguments.as_lengths(lengths, batch, steps, self.cell.name)
        job = self._job(values, states, lengths=lengths, trace=trace)
        output, final, traced = self._run(job, states)
        return self._shaped(output, final, traced, batched)

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
        """
        if self.bidirectional:
            raise OptionError(
                "step() cannot run a bidirectional layer: its second direction starts at the end "
                "of the sequence, which a stream does not have; use bidirectional=False"
            )
        axis = 1 if self.batch_first and x.dim() == 2 else 0
        values = {name: value.unsqueeze(axis) for name, value in inputs.items()}
        output, state = self(x.unsqueeze(axis), state, **values)
        return output.squeeze(axis), state

    def choice(
        self, x: Tensor, hx: States | None = None, *, trace: bool = False, **inputs: Tensor
    ) -> Choice:
        """The engine that would run this call, and why.

        Example:
            >>> import torch, gated
            >>> gated.LSTM(3, 4).choice(torch.randn(5, 2, 3), trace=True).engine
            'reference'
        """
        values = self._inputs(x, inputs)
        if x.dim() == 2:
            values = {name: value.unsqueeze(1) for name, value in values.items()}
        elif self.batch_first:
            values = {name: value.transpose(0, 1) for name, value in values.items()}
        states = self._initial(hx, values["x"].shape[1], values["x"], x.dim() == 3)
        job = self._job(values, states, trace=trace)
        return engines.choose(job, self.engine)

    def _inputs(self, x: Tensor, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        like = next(self.parameters())
        name = self.cell.name
        arguments.check_input("x", x, self.input_size, like, name)
        if inputs or self._extra:
            for wrong in {*inputs} ^ {*self._extra}:
                problem = "is missing" if wrong in self._extra else "is not an input of this cell"
                raise ShapeError(f"{name}: {wrong} {problem}; expected x, {', '.join(self._extra)}")
        for key in self._extra:
            size = self._length(self.cell.graph.input_sizes[key])
            arguments.check_input(key, inputs[key], size, like, name)
            if inputs[key].shape[:-1] != x.shape[:-1]:
                raise ShapeError(
                    f"{name}: {key} has shape {tuple(inputs[key].shape)}, x has {tuple(x.shape)}: "
                    f"all axes but the last must agree"
                )
        return {"x": x, **inputs}

    def _initial(
        self, hx: States | None, batch: int, like: Tensor, batched: bool
    ) -> tuple[Tensor, ...]:
        """The initial states, each (L*S, B, n)."""
        rows = self.num_layers * self.num_directions
        declared = self.cell.states
        if hx is None:
            return tuple(
                like.new_full((rows, batch, size), state.initial)
                for state, size in zip(declared, self._state_sizes, strict=True)
            )
        states = arguments.as_states(hx, [state.name for state in declared], self.cell.name)
        for state, size, value in zip(declared, self._state_sizes, states, strict=True):
            shape = (rows, batch, size) if batched else (rows, size)
            arguments.check_state(state.name, value, shape, like, self.cell.name)
        return states if batched else tuple(state.unsqueeze(1) for state in states)

    def _job(self, values: dict[str, Tensor], states: tuple[Tensor, ...], **options: Any) -> Job:
        """The first layer's job; `_run` derives those of the layers above."""
        return Job(self.cell, self._layout, (), values, states, training=self.training, **options)

    def _weights(self, index: int, cast: torch.dtype | None) -> tuple[dict[str, Tensor], ...]:
        ends = ("", "_reverse")[: self.num_directions]
        found = tuple(
            {slot.name: getattr(self, f"{slot.name}_l{index}{end}") for slot in self._layout}
            for end in ends
        )
        if cast is None:
            return found
        return tuple({k: w.to(cast) for k, w in weights.items()} for weights in found)

    def _run(
        self, job: Job, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...], list[Any]]:
        """Every layer in turn; under autocast all in its type, inside which it is off."""
        device = job.inputs["x"].device.type
        if not torch.is_autocast_enabled(device):
            return self._stack(job, states, None)
        cast = torch.get_autocast_dtype(device)
        values = {name: value.to(cast) for name, value in job.inputs.items()}
        job = Job(**{**vars(job), "inputs": values})
        with torch.autocast(device, enabled=False):
            return self._stack(job, tuple(state.to(cast) for state in states), cast)

    def _stack(
        self, job: Job, states: tuple[Tensor, ...], cast: torch.dtype | None
    ) -> tuple[Tensor, tuple[Tensor, ...], list[Any]]:
        width = self.num_directions
        values, finals, traced = dict(job.inputs), [], []
        for index in range(self.num_layers):
            if index and self.dropout and self.training:
                values["x"] = nn.functional.dropout(values["x"], self.dropout, training=True)
            layer = Job(
                job.cell,
                job.layout,
                self._weights(index, cast),
                values,
                states if self.num_layers == 1
                else tuple(state[index * width : (index + 1) * width] for state in states),
                job.lengths,
                job.batch_sizes,
                job.trace,
                job.training,
            )  # fmt: skip
            result = engines.run(layer, self.engine)
            values = {**values, "x": result.output}
            finals.append(result.final)
            traced.append(list(result.trace or ()))
        final = finals[0] if len(finals) == 1 else tuple(map(torch.cat, zip(*finals, strict=True)))
        return values["x"], final, traced

    def _shaped(
        self, output: Tensor, final: tuple[Tensor, ...], traced: list[Any], batched: bool
    ) -> Any:
        """Outputs, states and trace in the layout that the caller's input had."""

        def laid_out(value: Tensor) -> Tensor:
            if not batched:
                return value.squeeze(1)
            return value.transpose(0, 1) if self.batch_first else value

        states = final if batched else tuple(state.squeeze(1) for state in final)
        hx = states[0] if len(states) == 1 else states
        if not traced[0]:
            return laid_out(output), hx
        layers = [[{n: laid_out(v) for n, v in run.items()} for run in runs] for runs in traced]
        return laid_out(output), hx, Trace(layers)

    def _forward_packed(
        self,
        x: PackedSequence,
        hx: States | None,
        lengths: object,
        trace: bool,
        inputs: Mapping[str, Tensor],
    ) -> Any:
        """Run on a PackedSequence and return one."""
        if lengths is not None or inputs:
            raise ShapeError(
                f"{self.cell.name}: a PackedSequence has its lengths in itself and carries x "
                f"alone; pass padded tensors with lengths= instead"
            )
        arguments.check_input(
            "x.data", x.data, self.input_size, next(self.parameters()), self.cell.name
        )
        batch = int(x.batch_sizes[0])
        states = self._initial(hx, batch, x.data, batched=True)
        if x.sorted_indices is not None and hx is not None:
            states = tuple(state.index_select(1, x.sorted_indices) for state in states)
        job = self._job({"x": x.data}, states, batch_sizes=x.batch_sizes, trace=trace)
        if engines.supports_packed(job, self.engine):
            data, final, traced = self._run(job, states)
        else:
            padded, sizes = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes))
            job = self._job({"x": padded}, states, lengths=sizes, trace=trace)
            output, final, traced = self._run(job, states)
            data = pack_padded_sequence(output, sizes).data
        if x.unsorted_indices is not None:
            final = tuple(state.index_select(1, x.unsorted_indices) for state in final)
            traced = [
                [{n: v.index_select(1, x.unsorted_indices) for n, v in run.items()} for run in runs]
                for runs in traced
            ]
        packed = PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        hx = final[0] if len(final) == 1 else final
        if not trace:
            return packed, hx
        return packed, hx, Trace(traced)

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
