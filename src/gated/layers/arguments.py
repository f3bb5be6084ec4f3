"""Checks of what a layer is called with. Every message says what was got and what is expected."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gated.errors import ShapeError
from gated.layers.lengths import checked

# one call asks for all devices at once; without it, the public question is asked each time
_any_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


class ArgumentTypeError(ShapeError, TypeError):
    """An argument is not a tensor, or not of a floating type."""


def check_sequence(name: str, x: Any, size: int, like: Tensor, cell: str, extent: int) -> None:
    """The first input, which callers pass by position, must be (T, B, size), or (T, size).

    Where the cell's maps are convolutions, as many axes as their kernels have, `extent`, stand
    behind.
    """
    check_input(name, x, size, like, cell, extent)
    if x.dim() - extent not in (2, 3):
        image = f", before the {extent} of the {_IMAGE[extent]}" if extent else ""
        raise ShapeError(
            f"{cell}: {name} has shape {tuple(x.shape)}, expected three axes, or two if "
            f"unbatched{image}"
        )


def check_others(
    x: Tensor, given: Mapping[str, Any], sizes: Mapping[str, int], like: Tensor, cell: str,
    extent: int,
) -> None:  # fmt: skip
    """The further inputs must be there by name, and as the first one in all axes but the units'.

    Args:
        x: the first input, checked.
        given: what was passed by name.
        sizes: the units of each input, the first among them.
        like, cell, extent: as for `check_sequence`.
    """
    first, *others = sizes
    check_names(given, others, first, cell, CALL)
    for name in others:
        if name not in given:
            raise ShapeError(f"{cell}: {name} is missing; expected {', '.join(sizes)}")
        check_input(name, given[name], sizes[name], like, cell, extent)
        if _without_units(given[name], extent) != _without_units(x, extent):
            raise ShapeError(
                f"{cell}: {name} has shape {tuple(given[name].shape)}, {first} has "
                f"{tuple(x.shape)}: all axes but that of the features must agree"
            )


# what a call, and a step of a stream, take by name beside the cell's inputs
CALL = ("hx", "lengths", "resets", "truncate", "trace")
STEP = ("state", "resets")


def check_names(
    given: Iterable[str], others: Sequence[str], first: str, cell: str, options: Sequence[str]
) -> None:
    """What is passed by name must be an input of the cell, or an option of the call."""
    for name in given:
        if name not in others:
            known = [*others, *options]
            close = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {close[0]}?" if close else f"expected {', '.join([first, *known])}"
            )
            raise ShapeError(f"{cell}: {name} is not an input of this cell; {hint}")


_IMAGE = ("", "signal", "image", "volume")


def _without_units(value: Tensor, extent: int) -> tuple[int, ...]:
    place = value.dim() - 1 - extent
    return (*value.shape[:place], *value.shape[place + 1 :])


def check_packed(
    x: PackedSequence,
    given: Mapping[str, Any],
    sizes: Mapping[str, int],
    like: Tensor,
    cell: str,
    extent: int,
) -> dict[str, Tensor]:
    """The data of a PackedSequence, which carries its lengths and one input alone."""
    if extent or len(sizes) > 1 or any(value is not None for value in given.values()):
        raise ShapeError(
            f"{cell}: a PackedSequence has its lengths in itself and carries vectors of "
            f"{next(iter(sizes))} alone; pass padded tensors with lengths= instead"
        )
    ((name, size),) = sizes.items()
    check_input(f"{name}.data", x.data, size, like, cell)
    if x.data.dim() != 2:
        raise ShapeError(f"{cell}: {name}.data has shape {tuple(x.data.shape)}, expected two axes")
    data: Tensor = x.data
    return {name: data}


def check_input(name: str, value: Any, size: int, like: Tensor, cell: str, extent: int = 0) -> None:
    """An input must be (..., size, *extent), of the weights' dtype and device."""
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise ArgumentTypeError(f"{cell}: {name} is {got}, expected a torch.Tensor")
    if value.dtype != like.dtype and autocast_type(value) is None:
        kind = ShapeError if value.is_floating_point() else ArgumentTypeError
        raise kind(
            f"{cell}: {name} has dtype {value.dtype}, the weights have {like.dtype}; convert one "
            f"with .to(), as in {name}.to({like.dtype})"
        )
    if value.device != like.device:
        raise ShapeError(
            f"{cell}: {name} is on {value.device}, the weights are on {like.device}; move one "
            f"with .to()"
        )
    if value.dim() <= extent or value.shape[-1 - extent] != size:
        noun = "feature" if size == 1 else "features"
        where = f"{size} {noun} in the last axis"
        if extent:
            where = f"{size} channels in axis {-1 - extent}, before the {extent} of the "
            where += f"{_IMAGE[extent]}: (T, B, {size}{', n' * extent}), B first if batch_first"
        raise ShapeError(
            f"{cell}: {name} has shape {tuple(value.shape)}, expected {where}; pass these, or "
            f"build the layer for what you have"
        )


def autocast_type(value: Tensor) -> torch.dtype | None:
    """The type in which autocast computes with a tensor, None where it leaves it alone."""
    if not _any_autocast() or not torch.is_autocast_enabled(value.device.type):
        return None
    if not value.is_floating_point() or value.dtype == torch.float64:
        return None
    return torch.get_autocast_dtype(value.device.type)


def check_step(name: str, x: Any, inputs: Mapping[str, Any], cell: str, extent: int) -> None:
    """The inputs of one step have no axis for time."""
    for key, value in {name: x, **inputs}.items():
        if not isinstance(value, Tensor):
            got = type(value).__name__
            raise ArgumentTypeError(f"{cell}: {key} is {got}, expected a torch.Tensor")
        if value.dim() - extent not in (1, 2):
            behind = f", behind them the {extent} of the {_IMAGE[extent]}" if extent else ""
            raise ShapeError(
                f"{cell}: {key} has shape {tuple(value.shape)}, one step has (B, features), or "
                f"(features,) if unbatched{behind}"
            )


def check_state(
    name: str, value: Any, shape: tuple[int, ...], like: Tensor, cell: str, extent: int = 0
) -> None:
    """An initial state must have exactly this shape, and the input's dtype and device."""
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(
            f"{cell}: {name}0 is {type(value).__name__}, expected a torch.Tensor"
        )
    if value.shape != shape:
        behind = f", then the axes of the {_IMAGE[extent]}" if extent else ""
        raise ShapeError(
            f"{cell}: {name}0 has shape {tuple(value.shape)}, expected {shape}: "
            f"(layers x directions, batch, size), without the batch axis for unbatched input"
            f"{behind}"
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
    return checked(lengths, steps, cell)


def as_resets(resets: Any, shape: tuple[int, ...], cell: str) -> Tensor:
    """Where rows start anew, as a tensor of booleans on the CPU, laid out as the caller's input."""
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        got = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise ArgumentTypeError(
            f"{cell}: resets is {got}, expected a torch.Tensor of booleans, as in (done > 0)"
        )
    if tuple(resets.shape) != shape:
        raise ShapeError(
            f"{cell}: resets has shape {tuple(resets.shape)}, expected {shape}: one for each step "
            f"of each row, laid out as the input"
        )
    whole: Tensor = resets.detach().cpu()
    return whole
