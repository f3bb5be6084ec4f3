"""What a cell declares beside its step: inputs, sizes, initial values and its name, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gated.equations.graph import Size, State
from gated.equations.symbols import check_name
from gated.errors import CellError

if TYPE_CHECKING:
    from gated.equations.cell import Cell

# Hyphens too: "gru-reset-before". The name ends up in files and in generated code.
_CELL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


@dataclass(frozen=True)
class Declared:
    """The inputs with their sizes and the states, in the order of step's arguments."""

    inputs: dict[str, Size]
    states: tuple[State, ...]


def declared(cls: type[Cell], arguments: list[str]) -> Declared:
    """Read and check what a cell declares, given the names that its step takes.

    Raises:
        CellError: a declaration is malformed or does not fit the step's arguments.
    """
    if not isinstance(cls.name, str) or not _CELL_NAME.match(cls.name):
        raise CellError(
            f"name {cls.name!r} is no cell's name: use a letter, then letters, digits, - or _"
        )
    if cls.__init__ is not object.__init__:
        raise CellError(
            "a cell has no __init__: its equations are fixed when the class is defined; make the "
            "constant a class attribute and subclass for another value"
        )
    for attribute in ("inputs", "sizes", "initial"):
        if not isinstance(getattr(cls, attribute), Mapping):
            raise CellError(f"{attribute} is {getattr(cls, attribute)!r}, expected a dictionary")
    inputs = {name: _size(name, cls.inputs[name]) for name in arguments if name in cls.inputs}
    return Declared(inputs, _states(cls, arguments))


def _states(cls: type[Cell], arguments: list[str]) -> tuple[State, ...]:
    signature = f"step({', '.join(arguments)})"
    for name in cls.inputs:
        if name not in arguments:
            raise CellError(f"input {name} is not an argument of {signature}")
    names = arguments[len(cls.inputs) :]
    if any(name in cls.inputs for name in names):
        raise CellError(
            f"{signature} names a state before an input: the inputs {', '.join(cls.inputs)} "
            f"come first"
        )
    if not names:
        raise CellError(f"{signature} has no state: name at least one, as in (x, h)")
    for attribute in ("sizes", "initial"):
        for name in getattr(cls, attribute):
            if name not in names:
                raise CellError(f"{attribute} names {name}, the states are {', '.join(names)}")
    return tuple(
        State(name, _size(name, cls.sizes.get(name, "H")), _initial(name, cls.initial.get(name, 0)))
        for name in names
    )


def _size(name: str, size: object) -> Size:
    if isinstance(size, str):
        return check_name(size, f"size of {name}")
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    raise CellError(f"size of {name} is {size!r}, expected a letter such as 'H' or a number >= 1")


def _initial(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value):
        return float(value)
    raise CellError(f"initial value of {name} is {value!r}, expected a number")
