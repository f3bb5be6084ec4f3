"""One layer and direction on one sequence, as a dynamical system: a Jacobian for each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from gated.errors import OptionError, ShapeError
from gated.inspect.recording.surgery import place_of
from gated.layers import Recurrent

__all__ = ["Dynamics", "Names", "alone"]

Names = str | Sequence[str] | None
_CHUNK = 64 << 20  # bytes of Jacobians computed at a time


class Dynamics:
    """One layer and direction on one sequence: the Jacobian of each of its steps."""

    @torch.inference_mode(False)
    def __init__(
        self,
        layer: Recurrent,
        x: Tensor,
        initial: Mapping[str, Tensor] | None,
        index: int,
        direction: int,
        inputs: Mapping[str, Tensor],
    ):
        self.layer = alone(layer, index, direction)
        names = list(self.layer.cell.graph.inputs)
        values = {names[0]: x, **inputs}
        self.inputs = {name: _sequence(name, value, x, direction) for name, value in values.items()}
        self.sequence = self.inputs.pop(names[0])
        self.count = len(self.sequence)
        if self.count == 0:
            raise ShapeError(f"x has shape {tuple(x.shape)}: expected at least one step")
        start = _start(self.layer, initial)
        with torch.no_grad():
            _, _, trace = self.layer(self.sequence, start, trace=True, **self.inputs)
        self.states = [
            torch.cat([first[0], trace[state.name][:-1, 0]])
            for first, state in zip(_tuple(start), self.layer.cell.states, strict=True)
        ]
        self.sizes = [state.shape[-1] for state in self.states]
        self.width = sum(self.sizes)
        self.each = max(1, _CHUNK // (8 * self.width**2))
        self.chunk = lru_cache(maxsize=4)(self._chunk)

    def at(self, t: int) -> Tensor:
        """(n, n): the derivative of the states after step t by those before it."""
        return self.chunk(t // self.each)[t % self.each]

    def back(self, end: int, lags: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The product of the last 1, 2, ... Jacobians, as a matrix and the logarithm of a factor.

        The factor is kept apart so that 1000 steps of decay or growth leave the range of float64
        only where the result does.
        """
        matrix = torch.eye(self.width, dtype=torch.float64)
        scale = torch.zeros((), dtype=torch.float64)
        for k in range(lags):
            matrix = matrix @ self.at(end - k)
            size = matrix.abs().max()
            if 0 < size < torch.inf:
                matrix, scale = matrix / size, scale + size.log()
            yield matrix, scale

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _chunk(self, number: int) -> Tensor:
        """The Jacobians of some steps, (steps, n, n): steps are rows of a batch of one step."""
        span = slice(number * self.each, (number + 1) * self.each)
        before = tuple(state[None, span].requires_grad_() for state in self.states)
        now = {name: value[span].transpose(0, 1) for name, value in self.inputs.items()}
        hx = before if len(before) > 1 else before[0]
        _, after = self.layer(self.sequence[span].transpose(0, 1), hx, **now)
        flat = torch.cat([state[0] for state in _tuple(after)], -1)
        ones = torch.eye(self.width, dtype=flat.dtype)
        ones = ones[:, None].expand(-1, len(flat), -1)
        found = torch.autograd.grad(flat, before, ones, is_grads_batched=True, allow_unused=True)
        # (outputs, 1, steps, n) of each state
        blank = [ones.new_zeros(self.width, *state.shape) for state in before]
        blocks = [zero if one is None else one for one, zero in zip(found, blank, strict=True)]
        return torch.cat([block[:, 0] for block in blocks], -1).transpose(0, 1)

    def places(self, names: Names) -> list[int]:
        """Where states stand among all of them."""
        known = [state.name for state in self.layer.cell.states]
        wanted = known if names is None else [names] if isinstance(names, str) else list(names)
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            raise OptionError(
                f"{self.layer.cell.name}: there is no state {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(known)}"
            )
        ends = [*accumulate(self.sizes)]
        spans = {n: range(e - k, e) for n, e, k in zip(known, ends, self.sizes, strict=True)}
        return [place for name in wanted for place in spans[name]]

    def check_end(self, end: int) -> int:
        """The step counted from 0."""
        if not -self.count <= end < self.count:
            raise OptionError(f"end={end}: x has {self.count} steps, counted from 0")
        return end % self.count

    def check_lags(self, lags: int, end: int) -> None:
        """Refuse to look back beyond the initial state."""
        if not 0 <= lags <= end + 1:
            raise OptionError(
                f"lag {lags} from step {end}: expected 0 to {end + 1}, which is the initial state"
            )


def alone(layer: Recurrent, index: int = 0, direction: int = 0) -> Recurrent:
    """One layer and direction of a stack as a layer of its own: forward, float64, evaluating.

    Raises:
        OptionError: `layer` is a model, there is no such layer in it, or it is convolutional.
    """
    place = place_of(layer, "the Jacobian of a layer", index, direction)
    if layer._takes.extent:
        raise OptionError(f"{layer.cell.name}: Jacobians of convolutional layers are not offered")
    sizes: dict[str, Any] = dict(layer.sizes)
    with torch.random.fork_rng([]):  # what it draws to start with is not used
        own = Recurrent(
            layer.cell, layer._places[place]["D"], layer.hidden_size, bias=layer.bias,
            dtype=torch.float64, engine="reference", **sizes,
        )  # fmt: skip
    with torch.no_grad():
        for mine, theirs in zip(own.all_weights[0], layer.all_weights[place], strict=True):
            mine.copy_(theirs)
    return own.eval().requires_grad_(False)


def _sequence(name: str, value: Tensor, x: Tensor, direction: int) -> Tensor:
    """(T, D) as the layer alone reads it: (T, 1, D), from the end if it is the reverse one."""
    if value.dim() != 2 or len(value) != len(x):
        raise ShapeError(
            f"{name} has shape {tuple(value.shape)}, expected one sequence (T, size) with "
            f"as many steps as x, as x[:, 0] of a batch"
        )
    value = value.detach().to("cpu", torch.float64, copy=True)[:, None]
    wrong = value.isfinite().logical_not().flatten(1).any(1).nonzero()
    if len(wrong):
        raise ShapeError(
            f"{name} is NaN or infinite at step {int(wrong[0])}, where no derivative is known: "
            f"expected finite values, cut padding off"
        )
    return value.flip(0) if direction else value


def _start(layer: Recurrent, initial: Mapping[str, Tensor] | None) -> Tensor | tuple[Tensor, ...]:
    """The initial states, (1, 1, n) each, in the order of the equations."""
    given = initial or {}
    known = [state.name for state in layer.cell.states]
    if given and set(given) != set(known):
        raise OptionError(
            f"{layer.cell.name}: initial has {', '.join(given)}, expected {', '.join(known)}"
        )
    blank = layer._takes.states.items()
    states = tuple(
        given[name].detach().to("cpu", torch.float64).reshape(1, 1, -1)
        if given
        else torch.full((1, 1, size), value, dtype=torch.float64)
        for (name, size), value in zip(blank, layer._takes.values, strict=True)
    )
    return states if len(states) > 1 else states[0]


def _tuple(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return states if isinstance(states, tuple) else (states,)
