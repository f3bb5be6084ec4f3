"""Checks of what a layer is called with. Every message says what was got and what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gated.errors import OptionError, ShapeError


class ArgumentTypeError(ShapeError, TypeError):
    """An argument is not a tensor, or not of a floating type."""


def check_input(name: str, value: Any, size: int, like: Tensor, cell: str) -> None:
    """An input must be (..., size) of the weights' dtype and device, with two or three axes."""
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise ArgumentTypeError(f"{cell}: {name} is {got}, expected a torch.Tensor")
    if value.dtype != like.dtype and not _autocast(value):
        kind = ArgumentTypeError if not value.is_floating_point() else ShapeError
        raise kind(
            f"{cell}: {name} has dtype {value.dtype}, the weights have {like.dtype}; convert one "
            f"with .to()"
        )
    if value.device != like.device:
        raise ShapeError(
            f"{cell}: {name} is on {value.device}, the weights are on {like.device}; move one "
            f"with .to()"
        )
    if value.dim() not in (2, 3):
        raise ShapeError(
            f"{cell}: {name} has shape {tuple(value.shape)}, expected three axes, or two if "
            f"unbatched"
        )
    if value.shape[-1] != size:
        raise ShapeError(
            f"{cell}: {name} has shape {tuple(value.shape)}, the weights expect {size} features in "
            f"the last axis; set input_size={value.shape[-1]} or pass {size} features"
        )


def _autocast(value: Tensor) -> bool:
    return value.is_floating_point() and torch.is_autocast_enabled(value.device.type)


def check_state(name: str, value: Any, shape: tuple[int, ...], like: Tensor, cell: str) -> None:
    """An initial state must have exactly this shape, and the input's dtype and device."""
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(
            f"{cell}: {name}0 is {type(value).__name__}, expected a torch.Tensor"
        )
    if tuple(value.shape) != shape:
        raise ShapeError(
            f"{cell}: {name}0 has shape {tuple(value.shape)}, expected {shape}: "
            f"(layers x directions, batch, size), without the batch axis for unbatched input"
        )
    if value.dtype != like.dtype and not _autocast(like):
        raise ShapeError(f"{cell}: {name}0 has dtype {value.dtype}, the input has {like.dtype}")
    if value.device != like.device:
        raise ShapeError(f"{cell}: {name}0 is on {value.device}, the input is on {like.device}")


def as_states(hx: Any, names: Sequence[str], cell: str) -> tuple[Any, ...]:
    """The states given as `hx`: a tensor for a cell of one state, else a tuple in their order."""
    if len(names) == 1:
        return (hx,)
    want = f"({', '.join(f'{name}0' for name in names)})"
    if not isinstance(hx, (tuple, list)):
        raise ArgumentTypeError(f"{cell}: hx is {type(hx).__name__}, expected a tuple {want}")
    if len(hx) != len(names):
        raise ShapeError(f"{cell}: hx holds {len(hx)} states, expected {len(names)}: {want}")
    return tuple(hx)


def as_lengths(lengths: Any, batch: int, steps: int, cell: str) -> Tensor:
    """The lengths as a tensor (B,) of integers in 0..T on the CPU."""
    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.tensor(list(lengths))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentTypeError(
                f"{cell}: lengths is {lengths!r}, expected {batch} integers, one for each row"
            ) from error
    if tuple(lengths.shape) != (batch,):
        raise ShapeError(
            f"{cell}: lengths has shape {tuple(lengths.shape)}, expected ({batch},): one for each "
            f"row"
        )
    lengths = torch.as_tensor(lengths).detach().cpu()
    if lengths.dtype == torch.bool or lengths.is_complex():
        raise ArgumentTypeError(f"{cell}: lengths has dtype {lengths.dtype}, expected integers")
    wrong = ~((lengths >= 0) & (lengths <= steps) & (lengths == lengths.floor()))
    if batch and bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        raise ShapeError(
            f"{cell}: lengths[{index}] is {lengths[index].item()}, expected an integer from 0 to "
            f"T = {steps}"
        )
    return lengths.long()


def check_size(name: str, value: Any, least: int = 1) -> int:
    """A size must be an integer, not a bool, and at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionTypeError(f"{name} is {value!r} ({type(value).__name__}), expected an integer")
    if value < least:
        raise OptionError(f"{name} is {value}, expected at least {least}")
    return value


class OptionTypeError(OptionError, TypeError):
    """A constructor's argument has the wrong type."""


def check_flag(name: str, value: Any) -> bool:
    """A flag must be True or False."""
    if not isinstance(value, bool):
        raise OptionTypeError(
            f"{name} is {value!r} ({type(value).__name__}), expected True or False"
        )
    return value


def check_probability(name: str, value: Any) -> float:
    """A probability must be a number in [0, 1]; NaN is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionTypeError(f"{name} is {value!r} ({type(value).__name__}), expected a number")
    if not 0 <= value <= 1:
        raise OptionError(f"{name} is {value}, expected a probability from 0 to 1")
    return float(value)
