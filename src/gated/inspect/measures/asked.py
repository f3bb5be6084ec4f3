"""A model asked for one number a row: how its inputs are laid out, and which number is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gated.errors import OptionError, ShapeError
from gated.layers.arguments import as_lengths

__all__ = ["Asked", "Target", "as_baseline", "predicting"]

Target = Callable[[Any], Tensor] | int | tuple[int, ...] | None
Baseline = str | float | Tensor


@dataclass(frozen=True)
class Asked:
    """A model, its inputs and what is asked of its output.

    Axes: B rows, T steps, D features.

    Attributes:
        model: takes the sequence, and lengths and further inputs by name.
        x: (B, T, D), 0 beyond a row's length.
        lengths: (B,), None if all rows reach T.
        others: further inputs by name, B first.
        target: what is asked, see `values`.
        batch_first: whether the model takes B before T.
    """

    model: Callable[..., Any]
    x: Tensor
    lengths: Tensor | None
    others: Mapping[str, Tensor]
    target: Target
    batch_first: bool

    @classmethod
    def of(
        cls, model: Callable[..., Any], x: Tensor, target: Target, lengths: Any,
        batch_first: bool | None, others: Mapping[str, Tensor],
    ) -> Asked:  # fmt: skip
        """Checked, and with B first.

        Raises:
            ShapeError: x has not three axes, or lengths do not fit.
        """
        if not isinstance(x, Tensor) or x.dim() != 3 or not x.is_floating_point():
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ShapeError(
                f"contribution: x is {got}, expected floats with three axes, (B, T, D) or "
                f"(T, B, D); embed symbols first and attribute to the embedded steps"
            )
        first = getattr(model, "batch_first", True) if batch_first is None else batch_first
        values = {"x": x.detach(), **others}
        if not first:
            values = {name: value.transpose(0, 1) for name, value in values.items()}
        x = values.pop("x")
        rows, steps = x.shape[:2]
        if lengths is not None:
            lengths = as_lengths(lengths, rows, steps, "contribution")
            beyond = torch.arange(steps) >= lengths.unsqueeze(1)
            x = x.masked_fill(beyond.unsqueeze(-1).to(x.device), 0.0)
        return cls(model, x, lengths, values, target, first)

    @property
    def valid(self) -> Tensor:
        """(B, T), where a row has a step, on the CPU."""
        rows, steps = self.x.shape[:2]
        if self.lengths is None:
            return torch.ones(rows, steps, dtype=torch.bool)
        return torch.arange(steps) < self.lengths.unsqueeze(1)

    def part(self, rows: slice) -> Asked:
        """Some of the rows."""
        return replace(
            self,
            x=self.x[rows],
            lengths=None if self.lengths is None else self.lengths[rows],
            others={name: value[rows] for name, value in self.others.items()},
        )

    def values(self, x: Tensor) -> Tensor:
        """The number that is asked for, of each row of x, (N,): N is B, or B again and again.

        With a callable it is `target(output)`; with an index that of the output's axes behind the
        rows', the output being the first of a tuple; with None the output itself.

        Raises:
            ShapeError: it is not one number a row.
        """
        times, options = len(x) // max(len(self.x), 1), dict(self.others)
        if self.lengths is not None:
            options["lengths"] = self.lengths
        options = {name: torch.cat([value] * times) for name, value in options.items()}
        if not self.batch_first:
            lengths = options.pop("lengths", None)
            x, options = x.transpose(0, 1), {n: v.transpose(0, 1) for n, v in options.items()}
            options |= {} if lengths is None else {"lengths": lengths}
        found = self._selected(self.model(x, **options), times)
        rows = len(self.x) * times
        while isinstance(found, Tensor) and found.dim() > 1 and found.shape[-1] == 1:
            found = found.squeeze(-1)
        if not isinstance(found, Tensor) or found.shape != (rows,):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(
                f"contribution: the target is {got} for {rows} rows, expected one number for each, "
                f"({rows},): pass target= as the index of an output, or a function of the output, "
                f"as lambda out: out[:, -1, 2]{self._other_way(found)}"
            )
        return found

    def _other_way(self, found: Any) -> str:
        """A hint where the axes of x may have been read the wrong way round."""
        if not self.batch_first or not isinstance(found, Tensor):
            return ""
        rows, steps = self.x.shape[:2]
        return (
            f"; x {tuple(self.x.shape)} was read as {rows} rows of {steps} steps: if the model "
            f"takes (T, B, D), pass batch_first=False"
        )

    def _selected(self, output: Any, times: int) -> Any:
        if callable(self.target):
            return self.target(output)
        value = output[0] if isinstance(output, (tuple, list)) else output
        if self.target is None:
            return value
        if not self.batch_first and isinstance(value, Tensor) and value.dim() > 2:
            value = value.transpose(0, 1)
        index = self.target if isinstance(self.target, tuple) else (self.target,)
        if self._counts_back(value, index):
            steps, rows = self._steps(index[0], times), torch.arange(len(value))
            try:
                return value[(rows.to(value.device), steps.to(value.device), *index[1:])]
            except IndexError as error:
                raise self._no_index(value, error) from None
        try:
            return value[(slice(None), *index)]
        except (IndexError, TypeError) as error:
            raise self._no_index(value, error) from None

    def _no_index(self, value: Any, error: Exception) -> OptionError:
        return OptionError(
            f"contribution: target {self.target!r} is no index of an output of shape "
            f"{tuple(value.shape)} behind its first axis: {error}"
        )

    def _counts_back(self, value: Any, index: tuple[Any, ...]) -> bool:
        """Whether the index counts steps from the end of rows, which may be of several lengths."""
        first = index[0] if index else None
        if self.lengths is None or not isinstance(first, int) or first >= 0:
            return False
        if not isinstance(value, Tensor) or value.dim() < 2 or value.shape[1] != self.x.shape[1]:
            return False
        if value.dim() == 2 and bool((self.lengths < self.x.shape[1]).any()):
            raise OptionError(
                f"contribution: target {self.target!r} counts from the end of an output of shape "
                f"{tuple(value.shape)}, which may be steps or classes: count from its beginning, "
                f"or pass a function of the output"
            )
        return value.dim() > 2

    def _steps(self, back: int, times: int) -> Tensor:
        """Which step of each row it is, so many from the end of the row."""
        assert self.lengths is not None
        if bool(((self.lengths > 0) & (self.lengths + back < 0)).any()):
            raise OptionError(
                f"contribution: target {self.target!r} is step {back} of each row, and a row has "
                f"{int(self.lengths[self.lengths > 0].min())}: leave out what is shorter"
            )
        return torch.cat([(self.lengths + back).clamp(min=0)] * times)


def as_baseline(asked: Asked, baseline: Baseline) -> Tensor:
    """What stands in the place of an input, (B, T, D), 0 beyond a row's length.

    Raises:
        OptionError: it is none of "zero", "mean", a number and a tensor.
        ShapeError: the tensor does not spread over x.
    """
    x = asked.x
    if isinstance(baseline, str):
        if baseline not in ("zero", "mean"):
            raise OptionError(
                f"baseline is {baseline!r}, expected 'zero', 'mean', a number or a tensor"
            )
        steps = x[asked.valid.to(x.device)]
        baseline = steps.mean(0) if baseline == "mean" and len(steps) else 0.0
    given = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
    try:
        whole = given.expand_as(x)
    except RuntimeError:
        raise ShapeError(
            f"baseline has shape {tuple(given.shape)}, expected one that spreads over x "
            f"{tuple(x.shape)}: (D,), (T, D) or (B, T, D), rows first"
        ) from None
    return whole.masked_fill(~asked.valid.unsqueeze(-1).to(x.device), 0.0)


@contextmanager
def predicting(model: Any) -> Iterator[None]:
    """Within the block, a module is in evaluation mode, each of its parts as before at the end."""
    modules: Sequence[nn.Module] = list(model.modules()) if isinstance(model, nn.Module) else []
    before = [(module, module.training) for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
