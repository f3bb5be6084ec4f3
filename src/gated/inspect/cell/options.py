"""What layers and wrappers can do with a cell, found by trying, and why not where they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gated.equations import Cell
from gated.errors import GatedError

__all__ = ["Option", "options"]

_INPUT, _HIDDEN, _OTHER = 6, 8, 4


@dataclass(frozen=True)
class Option:
    """One use of a cell.

    Attributes:
        name: as it is written in Python: "maps='diagonal'".
        possible: whether it is accepted.
        text: what comes of it, or why it is refused.
    """

    name: str
    possible: bool
    text: str


def options(cell: Cell) -> tuple[Option, ...]:
    """Try the uses that not every cell has.

    Example:
        >>> from gated.cells import cell
        >>> [option.name for option in options(cell("gru")) if not option.possible]
        ['proj_size=...']
    """
    from gated.cells.regularisers import dropconnect, variational_dropout, zoneout
    from gated.equations.maps import mapped
    from gated.equations.projection import projected

    tried: list[tuple[str, Callable[[], object], str]] = [
        ("num_layers=2", lambda: _layer(cell, 2), "layers can be stacked"),
        ("bidirectional=True", lambda: _both_ways(cell), ""),
        ("forget_bias=1.0", lambda: _forget_bias(cell), ""),
        ("init=gated.Chrono(...)", lambda: _chrono(cell), "memories of up to so many steps"),
        ("maps='diagonal'", lambda: mapped(cell, "diagonal"), "each unit sees only itself"),
        ("proj_size=...", lambda: projected(cell), "the output can have fewer units than H"),
        ("gated.zoneout", lambda: zoneout(cell, 0.1), "its states may stay at random"),
        (
            "gated.recurrent_dropout",
            lambda: _recurrent_dropout(cell),
            "",
        ),
        (
            "gated.variational_dropout",
            lambda: variational_dropout(cell, 0.1),
            "units may be dropped before its matrices, the same at every step",
        ),
        ("gated.dropconnect", lambda: dropconnect(cell, 0.1), "recurrent weights may be dropped"),
    ]
    return (Option("engine='auto'", True, _engine(cell)), *(_try(cell, *one) for one in tried))


def _try(cell: Cell, name: str, action: Callable[[], object], text: str) -> Option:
    try:
        found = action()
    except GatedError as error:
        return Option(name, False, _short(str(error), cell.name))
    return Option(name, True, found if isinstance(found, str) else text)


def _short(message: str, name: str) -> str:
    """A refusal without the words that say again which cell it is."""
    for start in (f"cell {name} cannot be projected: ", f"cell {name}: ", f"{name}: "):
        message = message.removeprefix(start)
    _, colon, rest = message.partition(": ")
    known = ("zoneout", "recurrent_dropout", "variational_dropout", "dropconnect")
    return rest if colon and message.startswith(known) else message


def _both_ways(cell: Cell) -> str:
    """What a second direction does, and what it cannot know."""
    _layer(cell, bidirectional=True)
    if "delta" not in cell.graph.inputs:
        return "a second direction reads from the end"
    return (
        "accepted, but delta is the time since the step before: the second direction, which "
        "comes from the end, reads the same gaps, and they would have to be counted from the "
        "other side"
    )


def _chrono(cell: Cell) -> object:
    from gated.layers.initialize import Chrono

    return _layer(cell, init=Chrono(10))


def _recurrent_dropout(cell: Cell) -> str:
    """With the states named where the cell keeps several."""
    from gated.cells.regularisers import recurrent_dropout

    try:
        recurrent_dropout(cell, 0.1)
    except GatedError:
        one_by_one = [state for state in cell.kept if _accepts(cell, state)]
        if not one_by_one:
            raise
        named = " or ".join(one_by_one)
        return f"with states=..., of {named}: what is written into it may be dropped"
    return "what it writes may be dropped"


def _accepts(cell: Cell, state: str) -> bool:
    from gated.cells.regularisers import recurrent_dropout

    try:
        recurrent_dropout(cell, 0.1, states=state)
    except GatedError:
        return False
    return True


def _layer(cell: Cell, num_layers: int = 1, **more: Any) -> object:
    from gated.layers import Recurrent

    others: dict[str, Any] = dict.fromkeys(cell.graph.letters, _OTHER)
    others = {letter: size for letter, size in others.items() if letter not in ("D", "H")}
    return Recurrent(cell, _INPUT, _HIDDEN, num_layers, device="meta", **more, **others)


def _forget_bias(cell: Cell) -> str:
    """Which biases the option sets."""
    from gated.layers.keeping import keeping

    states: dict[tuple[str, int], list[str]] = {}
    for memory in keeping(cell):
        for key, sign in memory.keep.items():
            if sign:
                states.setdefault((key, sign), []).append(memory.state)
    return "; ".join(
        f"sets {key}, which keeps {' and '.join(kept)}" + (", to its negative" if sign < 0 else "")
        for (key, sign), kept in states.items()
    )


def _engine(cell: Cell) -> str:
    from gated.engines.pytorch import operator

    if operator(cell.stored) is not None:
        return (
            "runs on PyTorch's fused operator, at its speed; with trace=True, maps or noise on the "
            "reference engine"
        )
    return (
        "runs on the reference engine, one PyTorch operation after another at each step: on any "
        "device and in any dtype, but slower than a fused operator"
    )
