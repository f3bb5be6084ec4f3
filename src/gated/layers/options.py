"""Checks of what a layer is built with. Every message says what was got and what is expected."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from gated.cells import nearest
from gated.equations import Cell
from gated.errors import OptionError
from gated.layers.arguments import CALL, STEP
from gated.layers.inits import Uniform


class OptionTypeError(OptionError, TypeError):
    """A constructor's argument has the wrong type."""


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """One of some words."""
    known = list(known)
    if not isinstance(value, str):
        raise OptionTypeError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if value not in known:
        raise OptionError(f"{name} is {value!r}{nearest(value, known)}")
    return value


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


def check_sizes(cell: Cell, sizes: Mapping[str, Any], layer: type) -> dict[str, int]:
    """The values of a cell's own letters: each given, none too many, no option of the layer."""
    letters = [letter for letter in cell.graph.letters if letter not in ("D", "H")]
    for letter in sorted({*letters} ^ {*sizes}):
        if letter not in letters and len(letter) > 1:
            raise OptionError(
                f"there is no option {letter}{nearest(letter, [*_names(layer), *letters])}"
            )
        problem = "means nothing"
        if letter in letters:
            problem = f"is missing: give it by name, as {letter}=16"
        raise OptionError(
            f"{cell.name}: size {letter} {problem}; the cell's own sizes are "
            f"{', '.join(letters) or 'none'}"
        )
    return {letter: check_size(letter, sizes[letter]) for letter in letters}


def _names(layer: type) -> list[str]:
    """The names of the arguments that a layer is built with, those it passes on among them."""
    classes = [cls for cls in layer.__mro__ if issubclass(cls, torch.nn.Module)]
    known = [p for cls in classes for p in inspect.signature(cls).parameters.values()]
    return list(dict.fromkeys(p.name for p in known if p.kind in _NAMED))


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


# the names that a call of a layer uses for itself
_TAKEN = ("x", *CALL, *STEP)


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


def check_projection(proj_size: int, hidden_size: int, sizes: Mapping[str, int]) -> None:
    """A projection has fewer units than what it projects, and is asked for once."""
    if proj_size >= hidden_size:
        raise OptionError(
            f"proj_size is {proj_size}, expected less than hidden_size = {hidden_size}"
        )
    if "P" in sizes:
        raise OptionError(f"proj_size={proj_size} and P={sizes['P']} say the same: give one")


# the options of a layer that are shown where they differ from these
_DEFAULTS: dict[str, object] = {
    "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
    "maps": None, "merge": "concat", "residual": False, "init": Uniform(), "forget_bias": None,
    "engine": "auto",
}  # fmt: skip


def shown(layer: Any) -> str:
    """The cell, the sizes, and the options that differ from their defaults."""
    words = [layer.cell.name, str(layer.input_size), str(layer.hidden_size)]
    words += [f"{letter}={value}" for letter, value in layer.sizes.items()]
    words += [f"{noise.name}={noise.rate}" for noise in layer.cell.noise]
    options = {name: getattr(layer, name) for name in _DEFAULTS}
    words += [f"{name}={value!r}" for name, value in options.items() if value != _DEFAULTS[name]]
    return ", ".join(words)
