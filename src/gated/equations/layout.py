"""How a cell's parameters stand in stored tensors: which symbols share one, in which rows.

Siblings of one shape are stacked in the order of the equations, as PyTorch stacks an LSTM's four
matrices in `weight_ih`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gated.equations.graph import Graph, Parameter, Size, length
from gated.errors import CellError

_STORED_AS = {"W": "weight_ih", "U": "weight_hh", "b": "bias"}


@dataclass(frozen=True)
class Slot:
    """One stored tensor: the symbols whose blocks of rows it holds, from the top.

    `start` is the value that it has before training, None if it is drawn at random.
    """

    name: str
    keys: tuple[str, ...]
    block: tuple[Size, ...]
    bias: bool = False
    start: float | None = None

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape for given sizes.

        Raises:
            CellError: a letter has no value, or does not divide into its parts.
        """
        try:
            rows, *tail = (length(size, sizes) for size in self.block)
        except CellError as error:
            raise CellError(f"{', '.join(self.keys)}: {error}") from None
        return (rows * len(self.keys), *tail)


def layout(graph: Graph, *, pytorch: bool = False) -> tuple[Slot, ...]:
    """The stored tensors of a cell.

    W stands in `weight_ih`, U in `weight_hh`, b in `bias`, other families under their own letter.
    With `pytorch=True` names and number are those of `torch.nn`'s layers: two biases, whose sum is
    b unless the equations name the second one, and `weight_hr` for the projection.

    Raises:
        CellError: two parameters would be stored under one name.

    Example:
        >>> from gated.cells import cell
        >>> [slot.name for slot in layout(cell("lstm").graph, pytorch=True)]
        ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh']
    """
    slots = [slot for family in graph.families.values() for slot in _slots(family)]
    if pytorch:
        return _as_pytorch({slot.name: slot for slot in slots})
    names = [slot.name for slot in slots]
    for name in names:
        if names.count(name) > 1:
            raise CellError(f"{graph.cell}: two parameters would be stored as {name}; rename one")
    return tuple(slots)


def _slots(family: tuple[Parameter, ...]) -> list[Slot]:
    letter, bias = family[0].family, family[0].symbol.family.bias
    start = family[0].symbol.family.start
    if len({parameter.shape for parameter in family}) == 1:
        keys = tuple(parameter.key for parameter in family)
        return [Slot(_STORED_AS.get(letter, letter), keys, family[0].shape, bias, start)]
    return [Slot(p.key.replace(".", "_"), (p.key,), p.shape, bias, start) for p in family]


def _as_pytorch(slots: dict[str, Slot]) -> tuple[Slot, ...]:
    """In the order in which PyTorch's operators take them, whatever that of the equations."""
    bias = slots["bias"]
    second = slots["b_h"].keys if "b_h" in slots else ()
    own = [f"b_h{key.removeprefix('b')}" for key in bias.keys]
    both = tuple(n if n in second else k for k, n in zip(bias.keys, own, strict=True))
    result = (
        slots["weight_ih"],
        slots["weight_hh"],
        Slot("bias_ih", bias.keys, bias.block, bias=True),
        Slot("bias_hh", both, bias.block, bias=True),
    )
    return (*result, replace(slots["R"], name="weight_hr")) if "R" in slots else result
