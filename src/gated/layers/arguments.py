"""Checks of what a layer is called with. Every message says what was got and what is expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.equations import Cell
from gated.errors import OptionError, ShapeError

# one call asks for all devices at once; without it, the public question is asked each time
_any_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


class ArgumentTypeError(ShapeError, TypeError):
    """An argument is not a tensor, or not of a floating type."""


class OptionTypeError(OptionError, TypeError):
    """A constructor's argument has the wrong type."""


def check_inputs(
    x: Any, extra: Mapping[str, Any], sizes: Mapping[str, int], like: Tensor, cell: str
) -> dict[str, Any]:
    """The inputs by name, each (..., its size) with two or three axes, alike but for the last.

    The first input is the sequence, which callers pass by position.
    """
    first, *others = sizes
    check_input(first, x, sizes[first], like, cell)
    if x.dim() not in (2, 3):
        raise ShapeError(
            f"{cell}: {first} has shape {tuple(x.shape)}, expected three axes, or two if unbatched"
        )
    if not others and not extra:
        return {first: x}
    for wrong in sorted({*extra} ^ {*others}):
        problem = "is missing" if wrong in others else "is not an input of this cell"
        raise ShapeError(f"{cell}: {wrong} {problem}; expected {', '.join(sizes)}")
    for name in others:
        check_input(name, extra[name], sizes[name], like, cell)
        if extra[name].shape[:-1] != x.shape[:-1]:
            raise ShapeError(
                f"{cell}: {name} has shape {tuple(extra[name].shape)}, {first} has "
                f"{tuple(x.shape)}: all axes but the last must agree"
            )
    return {first: x, **extra}


def check_packed(
    x: PackedSequence,
    lengths: object,
    extra: Mapping[str, Any],
    sizes: Mapping[str, int],
    like: Tensor,
    cell: str,
) -> dict[str, Tensor]:
    """The data of a PackedSequence, which carries its lengths and one input alone."""
    if lengths is not None or extra or len(sizes) > 1:
        raise ShapeError(
            f"{cell}: a PackedSequence has its lengths in itself and carries "
            f"{next(iter(sizes))} alone; pass padded tensors with lengths= instead"
        )
    ((name, size),) = sizes.items()
    check_input(f"{name}.data", x.data, size, like, cell)
    if x.data.dim() != 2:
        raise ShapeError(f"{cell}: {name}.data has shape {tuple(x.data.shape)}, expected two axes")
    data: Tensor = x.data
    return {name: data}


def check_input(name: str, value: Any, size: int, like: Tensor, cell: str) -> None:
    """An input must be (..., size), of the weights' dtype and device."""
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise ArgumentTypeError(f"{cell}: {name} is {got}, expected a torch.Tensor")
    if value.dtype != like.dtype and autocast_type(value) is None:
        kind = ShapeError if value.is_floating_point() else ArgumentTypeError
        raise kind(
            f"{cell}: {name} has dtype {value.dtype}, the weights have {like.dtype}; convert one "
            f"with .to()"
        )
    if value.device != like.device:
        raise ShapeError(
            f"{cell}: {name} is on {value.device}, the weights are on {like.device}; move one "
            f"with .to()"
        )
    if value.dim() == 0 or value.shape[-1] != size:
        raise ShapeError(
            f"{cell}: {name} has shape {tuple(value.shape)}, expected {size} features in the last "
            f"axis; pass {size} features, or build the layer for what you have"
        )


def autocast_type(value: Tensor) -> torch.dtype | None:
    """The type in which autocast computes with a tensor, None where it leaves it alone."""
    if not _any_autocast() or not torch.is_autocast_enabled(value.device.type):
        return None
    if not value.is_floating_point() or value.dtype == torch.float64:
        return None
    return torch.get_autocast_dtype(value.device.type)


def check_step(values: Mapping[str, Any], cell: str) -> None:
    """The inputs of one step have no axis for time."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            got = type(value).__name__
            raise ArgumentTypeError(f"{cell}: {name} is {got}, expected a torch.Tensor")
        if value.dim() not in (1, 2):
            raise ShapeError(
                f"{cell}: {name} has shape {tuple(value.shape)}, one step has (B, features), or "
                f"(features,) if unbatched"
            )


def check_state(name: str, value: Any, shape: tuple[int, ...], like: Tensor, cell: str) -> None:
    """An initial state must have exactly this shape, and the input's dtype and device."""
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(
            f"{cell}: {name}0 is {type(value).__name__}, expected a torch.Tensor"
        )
    if value.shape != shape:
        raise ShapeError(
            f"{cell}: {name}0 has shape {tuple(value.shape)}, expected {shape}: "
            f"(layers x directions, batch, size), without the batch axis for unbatched input"
        )
    if value.dtype != like.dtype and autocast_type(value) is None:
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
    whole: Tensor = lengths.long()
    return whole


def check_size(name: str, value: Any, least: int = 1) -> int:
    """A size must be an integer, not a bool, and at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionTypeError(f"{name} is {value!r} ({type(value).__name__}), expected an integer")
    if value < least:
        raise OptionError(f"{name} is {value}, expected at least {least}")
    return value


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


def check_dtype(dtype: torch.dtype | None) -> torch.dtype | None:
    """Weights must be of a floating type."""
    if dtype is not None and not dtype.is_floating_point:
        raise OptionTypeError(f"dtype is {dtype}, expected a floating type such as torch.float32")
    return dtype


def check_sizes(cell: Cell, sizes: Mapping[str, Any]) -> dict[str, int]:
    """The values of a cell's own letters: each given, none too many."""
    letters = [letter for letter in cell.graph.letters if letter not in ("D", "H")]
    for letter in sorted({*letters} ^ {*sizes}):
        problem = "is missing" if letter in letters else "means nothing"
        raise OptionError(
            f"{cell.name}: size {letter} {problem}; the cell's own sizes are "
            f"{', '.join(letters) or 'none'}"
        )
    return {letter: check_size(letter, sizes[letter]) for letter in letters}


# the names that a call of a layer uses for itself
_TAKEN = ("x", "hx", "lengths", "trace")


def check_callable(cell: Cell) -> None:
    """A layer passes the first input by position, and the others by names that must be free."""
    if not cell.graph.inputs:
        raise OptionError(f"{cell.name} has no input: a layer needs a sequence to run over")
    for name in list(cell.graph.inputs)[1:]:
        if name in _TAKEN:
            raise OptionError(
                f"{cell.name}: input {name} cannot be passed by name, a layer's call has an "
                f"argument {name} already; rename it"
            )


def check_stackable(cell: Cell) -> None:
    """Layers above the first see another D, which only the sequence may have."""
    sizes = dict(list(cell.graph.input_sizes.items())[1:])
    sizes |= {state.name: state.size for state in cell.states}
    for name, size in sizes.items():
        if size == "D":
            raise OptionError(
                f"{cell.name}: {name} has the size of the input, which only the first layer sees; "
                f"use num_layers=1"
            )
