"""What a loop is passed, from the inputs and stored parameters of a layer and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.job import Job
from gated.equations.graph import length
from gated.equations.layout import Slot
from gated.equations.loop import Forward
from gated.equations.schedule import width_of
from gated.equations.stacks import Stream
from gated.equations.symbols import Node
from gated.errors import ShapeError


def gather(loop: Forward, job: Job, values: Values) -> list[Tensor | None]:
    """The tensors that a loop takes, in its order; all steps and rows are one axis.

    First each stream's operand, matrix and what is added (None for nothing), then the loose values,
    the banks, and the states before the first step.
    """
    layer, direction = values.place
    stored = job.stored(layer, direction)
    sizes, lead = values.sizes, job.sequence.shape[:-1]
    check_stored(job, values.place, stored, sizes)
    found: list[Tensor | None] = []
    for stream in loop.streams:
        operand = values.of(stream.operand)
        found.append(_flat(operand, lead, operand.shape[-1]))
        found.append(stacked(stream.bank.keys, job.layout, stored, values))
        found.append(_added(stream, job.layout, stored, values))
    for node in loop.loose:
        width = length(width_of(node), sizes)
        value = values.of(node)
        timed = loop.given[node]
        found.append(_flat(value, lead, width) if timed else value.expand(width).contiguous())
    for bank in loop.banks:
        found.append(stacked(bank.keys, job.layout, stored, values))
    place = layer * job.num_directions + direction
    found += [state[place].contiguous().resolve_neg() for state in job.initial]
    return found


def check_stored(
    job: Job, place: tuple[int, int], stored: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> None:
    """Kernels read as much memory as the sizes say: parameters must have it, in their type.

    ShapeError if one that was put in a parameter's place does not.
    """
    like = job.sequence
    for slot in job.layout:
        value, expected = stored[slot.name], slot.shape(sizes)
        if value.shape != expected or value.dtype != like.dtype or value.device != like.device:
            name = f"{slot.name}_l{place[0]}{'_reverse' if place[1] else ''}"
            raise ShapeError(
                f"{job.cell.name}: {name} is {tuple(value.shape)} {value.dtype} on {value.device}, "
                f"expected {expected} {like.dtype} on {like.device}; put back a parameter of the "
                f"layer's sizes, or build a layer for what you have"
            )


class Values:
    """Values known before the loop, computed when they are asked for."""

    def __init__(
        self, loop: Forward, job: Job, layer: int, direction: int, known: Mapping[Node, Tensor]
    ):
        self.loop, self.job, self.place = loop, job, (layer, direction)
        self.known = dict(known)
        first = loop.graph.inputs[next(iter(job.inputs))]
        self.sizes = {**job.sizes, "D": known[first].shape[-1]}
        self.ready = False

    def of(self, node: Node) -> Tensor:
        """The value of a node."""
        if node not in self.known:
            self.prepare()
            self.known |= reference.evaluate([node], self.known)
        return self.known[node]

    def prepare(self) -> None:
        """The parameters by symbol."""
        if self.ready:
            return
        self.ready = True
        leaves = {n.label: n for n in self.loop.graph.nodes() if n.op == "parameter"}
        parameters = reference.parameters(self.job, *self.place)
        self.known |= {leaves[key]: value for key, value in parameters.items() if key in leaves}


def stacked(
    keys: Sequence[str], slots: Sequence[Slot], stored: Mapping[str, Tensor], values: Values
) -> Tensor:
    """Parameters one below the other: a stored tensor as it is, where it holds just these."""
    found = stored_blocks(tuple(keys), tuple(slots))
    if found is None:
        values.prepare()
        labels = {n.label: n for n in values.known}
        return torch.cat([values.known[labels[key]] for key in keys])
    whole: Tensor | None = None
    for name, first, count, blocks in found:
        part = stored[name]
        if count != blocks:
            rows = part.shape[0] // blocks
            part = part[first * rows : (first + count) * rows]
        whole = part if whole is None else whole + part
    assert whole is not None
    return whole.contiguous()


@lru_cache(maxsize=1024)
def stored_blocks(
    keys: tuple[str, ...], slots: tuple[Slot, ...]
) -> list[tuple[str, int, int, int]] | None:
    """The slots whose sum holds the keys in their order: name, first block, blocks, of how many."""
    found = []
    for slot in slots:
        if not any(key in slot.keys for key in keys):
            continue
        first = slot.keys.index(keys[0]) if keys[0] in slot.keys else -1
        if first < 0 or slot.keys[first : first + len(keys)] != keys:
            return None
        found.append((slot.name, first, len(keys), len(slot.keys)))
    return found or None


def _added(
    stream: Stream, slots: Sequence[Slot], stored: Mapping[str, Tensor], values: Values
) -> Tensor | None:
    """What is added to a stream's products, one below the other."""
    if all(node is None for node in stream.added):
        return None
    if all(node is not None and node.op == "parameter" for node in stream.added):
        keys = tuple(node.label for node in stream.added if node is not None)
        names = {key for slot in slots for key in slot.keys}
        if not names.intersection(keys):
            return None  # a layer without biases
        if names.issuperset(keys):
            return stacked(keys, slots, stored, values)
    values.prepare()
    like = next(iter(values.known.values()))
    parts = []
    for node, given in zip(stream.nodes, stream.added, strict=True):
        width = length(width_of(node), values.sizes)
        parts.append(like.new_zeros(width) if given is None else values.of(given).expand(width))
    return torch.cat(parts)


def _flat(value: Tensor, lead: Sequence[int], width: int) -> Tensor:
    # the imaginary part of a conjugate stands in memory with the other sign
    return value.expand(*lead, width).reshape(-1, width).contiguous().resolve_neg()
