"""`Recurrent`: any cell as a layer, with the habits of `torch.nn.LSTM`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated import engines
from gated.cells import cell as find_cell
from gated.engines import Choice, Form, Job, Result
from gated.engines.pytorch import flatten, operator
from gated.equations import Cell
from gated.equations.graph import length
from gated.equations.layout import layout
from gated.equations.maps import Maps, mapped
from gated.equations.projection import projected
from gated.errors import OptionError
from gated.layers import arguments, options, stack
from gated.layers.arrangement import Arrangement
from gated.layers.chunks import in_chunks
from gated.layers.initialize import Init, as_init, start
from gated.layers.noise import Draws
from gated.layers.quick import Quick
from gated.layers.signature import Signature, States
from gated.layers.trace import Trace


class Recurrent(nn.Module):
    """Any recurrent cell over sequences: stacked, in one or both directions.

    Axes: B batch, T time, D input size, H hidden size, L layers, S directions (1 or 2), n the size
    of a state (H, for most). Where `maps` are convolutions, D, H and n count channels, and the axes
    of the signal or image stand behind them: x is (T, B, D, height, width), a state
    (L*S, B, n, height, width).

    Args:
        cell: a cell's name ("lstm"), a `Cell` or its class; wrapped in regularisers, if you like:
            `gated.zoneout("lstm", h=0.05, c=0.5)`.
        input_size: D.
        hidden_size: H.
        num_layers: L; each layer reads the output of the one below.
        bias: whether the equations' biases are there; without, they count as 0.
        batch_first: whether inputs and outputs are (B, T, ...) rather than (T, B, ...).
        dropout: probability of dropping an output of every layer but the last, in training.
        bidirectional: whether a second set of weights reads the sequence backwards.
        device, dtype: of the parameters.
        maps: what the equations' matrices mean: "dense", "diagonal", `gated.Heads(4)`,
            `gated.Convolution(3)`, or a dictionary of such, {"U": "diagonal"}. A convolution is for
            all matrices, the others are for the recurrent ones.
        merge: how the outputs of two directions become one: "concat", "sum", "mean" or "mul".
        residual: whether every layer but the first adds the output of the one below to its own;
            `dropout` is for what the layer reads, not for what is added.
        proj_size: if above 0, h is projected to this size, as in `torch.nn.LSTM` (Sak 2014).
        init: how parameters start: "uniform", "orthogonal", "irnn" or `gated.Chrono(max_steps)`.
        forget_bias: the bias of the gate that keeps the memory, both of PyTorch's summed; drawn as
            the others if None.
        engine: "auto" (the fastest that is right), "cpu", "scan", "torch" or "reference".
        sizes: values of the further letters a cell names, as P=16 for "lstmp".

    Parameters are named and shaped as in `torch.nn` where the cell is one of PyTorch's, found by
    comparing graphs: `weight_ih_l0` (G*H, D), `weight_hh_l0` (G*H, H), `bias_ih_l0`, `bias_hh_l0`
    (G*H,), with `_reverse` appended for the second direction. Other cells have `bias_l0` and the
    further symbols under their own letters.

    Raises:
        OptionError: an argument makes no sense, or a size that the cell names is missing.
        CellError: there is no such cell, or a map has no meaning for it.

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
        maps: Maps | None = None,
        merge: str = "concat",
        residual: bool = False,
        proj_size: int = 0,
        init: str | Init = "uniform",
        forget_bias: float | None = None,
        engine: str = "auto",
        **sizes: int,
    ):
        super().__init__()
        self.input_size = options.check_size("input_size", input_size)
        self.hidden_size = options.check_size("hidden_size", hidden_size)
        self.num_layers = options.check_size("num_layers", num_layers)
        self.bias = options.check_flag("bias", bias)
        self.batch_first = options.check_flag("batch_first", batch_first)
        self.dropout = options.check_probability("dropout", dropout)
        self.bidirectional = options.check_flag("bidirectional", bidirectional)
        self.merge = options.check_choice("merge", merge, stack.MERGES)
        self.residual = options.check_flag("residual", residual)
        self.proj_size = options.check_size("proj_size", proj_size, least=0)
        self.init = as_init(init)
        self.forget_bias = forget_bias
        self.engine = engines.check_name(engine)
        self.cell = find_cell(cell)
        if proj_size:
            options.check_projection(proj_size, hidden_size, sizes)
            self.cell, sizes = projected(self.cell), {**sizes, "P": proj_size}
        self.maps = maps
        if maps is not None:
            self.cell = mapped(self.cell, maps)
        self.sizes = options.check_sizes(self.cell, sizes, type(self))
        self._check_stack()
        options.check_callable(self.cell)
        self._register(device, options.check_dtype(dtype))
        self.reset_parameters()
        self.flatten_parameters()

    def _check_stack(self) -> None:
        """Options that need a second layer or a second direction."""
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout={self.dropout} drops outputs between layers, and there is one layer: use "
                f"num_layers > 1",
                stacklevel=3,
            )
        if self.merge != "concat" and not self.bidirectional:
            raise OptionError(
                f"merge={self.merge!r} has nothing to merge: use bidirectional=True, or drop it"
            )
        if self.residual and self.num_layers == 1:
            raise OptionError(
                "residual=True adds what a layer reads to its output in every layer but the first: "
                "use num_layers > 1"
            )

    def _register(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Derive from cell and sizes what every call needs, and make room for the parameters."""
        graph = self.cell.graph
        self._letters = {"D": self.input_size, "H": self.hidden_size, **self.sizes}
        self._takes = Signature.of(
            graph, self._letters, self.batch_first, self.num_layers, self.num_directions
        )
        width = length(graph.states[0].size, self._letters)
        width *= self.num_directions if self.merge == "concat" else 1
        if self.num_layers > 1:
            options.check_stackable(self.cell)
        stored = self.cell.stored
        slots = layout(stored, pytorch=operator(stored) is not None)
        self._layout = tuple(slot for slot in slots if self.bias or not slot.bias)
        self._quick = Quick()
        self._form = Form.of(self.cell, self._layout, self._letters)
        self._noisy = Form.of(self.cell.training, self._layout, self._letters)
        # the letters in each layer and direction
        self._places: list[dict[str, int]] = []
        self._names: list[str] = []
        for index in range(self.num_layers):
            letters = {**self._letters, "D": width if index else self.input_size}
            for end in ("", "_reverse")[: self.num_directions]:
                self._places.append(letters)
                for slot in self._layout:
                    empty = torch.empty(slot.shape(letters), device=device, dtype=dtype)
                    self._names.append(f"{slot.name}_l{index}{end}")
                    self.register_parameter(self._names[-1], nn.Parameter(empty))

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
        """Draw every parameter anew, as `init` and `forget_bias` say."""
        names = [slot.name for slot in self._layout]
        for letters, weights in zip(self._places, self.all_weights, strict=True):
            stored = dict(zip(names, weights, strict=True))
            start(self.cell, self._layout, stored, letters, self.init, self.forget_bias)

    def flatten_parameters(self) -> None:
        """Let the parameters stand in memory as cuDNN wants them; elsewhere nothing is done.

        It is done whenever the layer moves, so nobody need call it, as with `torch.nn.LSTM`.
        """
        own = self._parameters
        if all(name in own for name in self._names):  # neither pruned nor parametrised
            flatten(
                self.cell.graph, self._weights(), self._letters, self.num_layers,
                self.num_directions,
            )  # fmt: skip

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self

    def forward(
        self,
        x: Tensor | PackedSequence,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        truncate: int | None = None,
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
            resets: booleans (T, B), or (B, T) if `batch_first`: where true, that row starts anew
                from the cell's initial values before that step, as at the start of an episode.
            truncate: let gradients flow back over at most this many steps: within the sequence, the
                states are detached at every multiple of it (truncated backpropagation through
                time). As ever, detach the states that you carry on to a next call.
            trace: whether to return every gate and state.
            inputs: the cell's further inputs by name, with axes as `x`.

        Returns:
            (output, states), or (output, states, trace) with a `Trace`. `output` is
            (T, B, S*n), laid out as `x`, (T, B, n) where directions are merged; `states` as `hx`.

        Raises:
            ShapeError: a tensor does not fit; the message says which and what is expected.
            OptionError: `truncate` for a layer or an input that cannot be cut.
            EngineError: the engine asked for by name cannot do this.
        """
        if truncate is None:
            return self._call(x, hx, lengths, resets, trace, inputs)
        options.check_size("truncate", truncate)
        if self.bidirectional or isinstance(x, PackedSequence):
            raise OptionError(
                f"truncate={truncate} cuts the sequence from its start to its end: it needs "
                f"bidirectional=False, and a padded tensor with lengths= for a PackedSequence"
            )
        values, arranged, batch = self._takes.enter(x, lengths, resets, inputs, self._weights()[0])
        self._takes.initial(hx, batch, arranged, values[self._takes.first])  # checks the whole
        run, axis = partial(self._call, draws=self._draws()), self.time_axis(x)
        return in_chunks(run, truncate, axis, x, hx, lengths, resets, trace, inputs)

    def _call(
        self,
        x: Tensor | PackedSequence,
        hx: States | None,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        trace: bool,
        inputs: Mapping[str, Tensor],
        draws: Draws | None = None,
    ) -> Any:
        """A call on a whole sequence, or on a chunk of it, whose `draws` are those of the whole."""
        job, arranged, initial = self._job(x, hx, lengths, resets, trace, inputs, draws)
        found = self._run(job)
        shown = arranged.leave_output(found.output)
        states = arranged.leave_states(found.final, initial)
        if not trace:
            return shown, states
        return shown, states, Trace.of(found.trace, found.reads or [job.inputs], arranged.leave)

    def _job(
        self,
        x: Tensor | PackedSequence,
        hx: States | None,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        trace: bool,
        inputs: Mapping[str, Tensor],
        draws: Draws | None = None,
    ) -> tuple[Job, Arrangement, tuple[Tensor, ...]]:
        """The checked job, how its tensors are laid out, and the initial states of all rows."""
        takes, form, weights = self._takes, self._form, self._weights()
        values, arranged, batch = takes.enter(x, lengths, resets, inputs, weights[0])
        sequence, ragged = values[takes.first], arranged.ragged
        initial = takes.initial(hx, batch, arranged, sequence)
        cast = arguments.autocast_type(sequence)
        if cast is not None:
            values = {name: value.to(cast) for name, value in values.items()}
            weights = [weight.to(cast) for weight in weights]
            initial = tuple(state.to(cast) for state in initial)
        own: Sequence[Mapping[str, Tensor]] = ()
        if self.training and self.cell.noise:
            draws = draws or self._draws()
            form, own = self._noisy, draws.inputs(values[takes.first], ragged)
            weights = draws.weights(weights)
        job = Job(
            form, self.num_layers, takes.directions, weights, values,
            initial if ragged is None else ragged.sort(initial),
            None if ragged is None else ragged.batch_sizes,
            # one layer has none; torch.compile would take the number for a variable
            self.dropout if self.num_layers > 1 else 0.0,
            self.training, trace, own, ragged is not None and ragged.padded,
        )  # fmt: skip
        return job, arranged, initial

    def _run(self, job: Job) -> Result:
        """Run the job."""
        return stack.run(job, self.engine, self.merge, self.residual)

    def _draws(self) -> Draws:
        """What a call draws for regularisers."""
        return Draws(self.cell.noise, self._layout, self._places)

    def step(
        self,
        x: Tensor,
        state: States | None = None,
        *,
        resets: Tensor | None = None,
        **inputs: Tensor,
    ) -> tuple[Tensor, Any]:
        """One step of a stream: `output, state = layer.step(x_t, state)`.

        Args:
            x: (B, D), or (D,) unbatched.
            state: what the last step returned; None at the start.
            resets: booleans (B,): the rows that start anew before this step.
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
        if (
            state is not None
            and resets is None
            and not inputs
            and not torch.is_grad_enabled()
            and getattr(self.forward, "__func__", None) is Recurrent.forward  # not another's
        ):
            found = self._quick.step(self, x, state)
            if found is not None:
                return found
        name, first, extent = self.cell.name, self._takes.first, self._takes.extent
        arguments.check_names(inputs, self._takes.others, first, name, arguments.STEP)
        arguments.check_step(first, x, inputs, name, extent)
        axis = self.time_axis(x, within=1)
        values = {name: value.unsqueeze(axis) for name, value in inputs.items()}
        if resets is not None:
            rows = tuple(x.shape[: x.dim() - extent - 1])
            values["resets"] = arguments.as_resets(resets, rows, name).unsqueeze(axis)
        output, state = self(x.unsqueeze(axis), state, **values)
        return output.squeeze(axis), state

    def time_axis(self, x: Tensor, within: int = 0) -> int:
        """The axis of time of a call's sequence, or `within` axes before it would be complete."""
        batched = x.dim() + within - self._takes.extent == 3
        return 1 if self.batch_first and batched else 0

    def choice(
        self,
        x: Tensor | PackedSequence,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        trace: bool = False,
        **inputs: Tensor,
    ) -> Choice:
        """The engine that would run this call, and why; arguments as in a call.

        Example:
            >>> import torch, gated
            >>> gated.LSTM(3, 4).choice(torch.randn(5, 2, 3), trace=True).engine
            'cpu'
        """
        # noise is drawn, but a question leaves the random numbers where they were
        with torch.random.fork_rng([x.data.device] if x.is_cuda else []):
            job, _, _ = self._job(x, hx, lengths, resets, trace, inputs)
        return engines.choose(job, self.engine)

    def _weights(self) -> list[Tensor]:
        """The parameters in the order of their names."""
        own: Mapping[str, Any] = self._parameters
        try:  # the short way
            return [own[name] for name in self._names]
        except KeyError:  # pruned, or parametrised
            return [getattr(self, name) for name in self._names]

    def extra_repr(self) -> str:
        """The options that differ from their defaults."""
        return options.shown(self)
