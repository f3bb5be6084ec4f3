"""What a loop is passed, from the inputs and stored parameters of a layer and direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.job import PLAIN, Form, Job
from gated.equations.graph import length
from gated.equations.layout import Slot
from gated.equations.loop import Forward
from gated.equations.schedule import width_of
from gated.equations.stacks import Stream
from gated.equations.symbols import Node
from gated.errors import ShapeError


class Part(NamedTuple):
    """Blocks that stand one below the other in a stored tensor, and from where on in the result."""

    slot: int
    first: int
    several: int
    blocks: int  # in the whole tensor
    at: int = 0
    beyond: int = 0  # blocks of the result that come after them


Parts = tuple[Part, ...]  # tensors whose sum is meant


class Plan(NamedTuple):
    """Where a loop's matrices and biases stand among a layer's stored tensors.

    None for what must be computed from them; no parts for a bias that the layer does without.
    """

    matrices: tuple[Parts | None, ...]
    added: tuple[Parts | None, ...]
    banks: tuple[Parts | None, ...]


def gather(loop: Forward, job: Job, values: Values) -> list[Tensor | None]:
    """The tensors that a loop takes, in its order; all steps and rows are one axis.

    First each stream's operand, matrix and what is added (None for nothing), then the loose values,
    the banks, and the states before the first step.
    """
    place, lead = values.place, job.sequence.shape[:-1]
    stored, plan = job.own_weights(*place), _plan(loop, job.form)
    check_stored(job, place, stored, values.sizes["D"])
    found: list[Tensor | None] = []
    for stream, matrix, added in zip(loop.streams, plan.matrices, plan.added, strict=True):
        operand = values.of(stream.operand)
        found.append(_flat(operand, lead, operand.shape[-1]))
        found.append(_stacked(matrix, stored) if matrix else _joined(stream.bank.keys, values))
        found.append(_added(stream, values) if added is None else _stacked(added, stored))
    for node in loop.loose:
        width = length(width_of(node), values.sizes)
        value = values.of(node)
        timed = loop.given[node]
        found.append(_flat(value, lead, width) if timed else dense(value.expand(width)))
    for bank, parts in zip(loop.banks, plan.banks, strict=True):
        found.append(_stacked(parts, stored) if parts else _joined(bank.keys, values))
    number = place[0] * job.num_directions + place[1]
    return found + [dense(state.select(0, number)) for state in job.initial]


def check_stored(
    job: Job, place: tuple[int, int], stored: Sequence[Tensor], input_size: int
) -> None:
    """Kernels read as much memory as the sizes say: parameters must have it, in their type.

    ShapeError if one that was put in a parameter's place does not.
    """
    dtype, device = job.sequence.dtype, job.sequence.device
    for number, expected in enumerate(_shapes(job.form, input_size)):
        value = stored[number]
        if type(value) in PLAIN and device.type == "cpu" and value.numel() and not value.data_ptr():
            raise ShapeError(
                f"{job.cell.name}: {job.layout[number].name}_l{place[0]} has no memory: its "
                "storage was freed, as sharding does; gather the parameters before the call"
            )
        if value.shape != expected or value.dtype != dtype or value.device != device:
            name = f"{job.layout[number].name}_l{place[0]}{'_reverse' if place[1] else ''}"
            raise ShapeError(
                f"{job.cell.name}: {name} is {tuple(value.shape)} {value.dtype} on {value.device}, "
                f"expected {expected} {dtype} on {device}; put back a parameter of the "
                f"layer's sizes, or build a layer for what you have"
            )


def _shapes(form: Form, input_size: int) -> list[tuple[int, ...]]:
    """The shapes of the stored tensors of a layer that reads inputs of a size."""
    number = type(input_size) is int  # a size that stands for many cannot be looked up
    found: list[tuple[int, ...]] | None = form.memo.get(input_size) if number else None
    if found is None:
        sizes = {**form.sizes, "D": input_size}
        found = [slot.shape(sizes) for slot in form.layout]
        if number:
            form.memo[input_size] = found
    return found


class Values:
    """Values known before the loop, computed when they are asked for, and added to `known`."""

    def __init__(
        self, loop: Forward, job: Job, layer: int, direction: int, known: dict[Node, Tensor]
    ):
        self.loop, self.job, self.place = loop, job, (layer, direction)
        self.known = known
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


def _plan(loop: Forward, form: Form) -> Plan:
    """Where the loop's matrices and biases stand in layers of a form."""
    found: Plan | None = form.memo.get(loop)
    if found is None:
        slots = form.layout
        found = form.memo[loop] = Plan(
            tuple(stored_blocks(stream.bank.keys, slots) for stream in loop.streams),
            tuple(_stored_biases(stream, slots) for stream in loop.streams),
            tuple(stored_blocks(bank.keys, slots) for bank in loop.banks),
        )
    return found


def stored_blocks(keys: tuple[str, ...], slots: Sequence[Slot]) -> Parts | None:
    """The stored blocks whose sum holds the keys in their order."""
    found = []
    for number, slot in enumerate(slots):
        if not any(key in slot.keys for key in keys):
            continue
        first = slot.keys.index(keys[0]) if keys[0] in slot.keys else -1
        if first < 0 or slot.keys[first : first + len(keys)] != keys:
            return None
        found.append(Part(number, first, len(keys), len(slot.keys)))
    return tuple(found) or None


def _stored_biases(stream: Stream, slots: Sequence[Slot]) -> Parts | None:
    """Where what is added to a stream's products stands; no parts if nothing is."""
    if all(node is None for node in stream.added):
        return ()
    if any(node is None or node.op != "parameter" for node in stream.added):
        return None
    return stored_sums(tuple(node.label for node in stream.added if node is not None), slots)


def stored_sums(keys: tuple[str, ...], slots: Sequence[Slot]) -> Parts | None:
    """As `stored_blocks`, of tensors that may each hold some of the keys; no parts if none does."""
    found, held = [], set()
    for number, slot in enumerate(slots):
        mine = [key for key in keys if key in slot.keys]
        if not mine:
            continue
        at, first, several = keys.index(mine[0]), slot.keys.index(mine[0]), len(mine)
        if not keys[at : at + several] == slot.keys[first : first + several] == tuple(mine):
            return None
        held |= set(mine)
        beyond = len(keys) - at - several
        found.append(Part(number, first, several, len(slot.keys), at, beyond))
    return tuple(found) if len(held) in (0, len(keys)) else None


def _stacked(parts: Parts, stored: Sequence[Tensor]) -> Tensor | None:
    """Blocks as they are stored, or their sum if several tensors have a share in them."""
    whole: Tensor | None = None
    for number, first, several, blocks, at, beyond in parts:
        part = stored[number]
        rows = part.shape[0] // blocks
        if several != blocks:
            part = part[first * rows : (first + several) * rows]
        if at or beyond:
            part = torch.nn.functional.pad(part, (at * rows, beyond * rows))
        whole = part if whole is None else whole + part
    return None if whole is None else dense(whole)


def _joined(keys: Sequence[str], values: Values) -> Tensor:
    """Parameters that do not stand together, one below the other."""
    values.prepare()
    labels = {n.label: n for n in values.known}
    return torch.cat([values.known[labels[key]] for key in keys])


def _added(stream: Stream, values: Values) -> Tensor:
    """What is added to a stream's products, one below the other."""
    values.prepare()
    like = next(iter(values.known.values()))
    parts = []
    for node, given in zip(stream.nodes, stream.added, strict=True):
        width = length(width_of(node), values.sizes)
        parts.append(like.new_zeros(width) if given is None else values.of(given).expand(width))
    return torch.cat(parts)


def _flat(value: Tensor, lead: Sequence[int], width: int) -> Tensor:
    if len(lead) == value.dim() - 1 and value.is_contiguous():
        whole = value.view(-1, width)
    else:
        whole = value.expand(*lead, width).reshape(-1, width)
    return dense(whole)


def dense(value: Tensor) -> Tensor:
    """The values as a kernel reads them: side by side in memory, as they are."""
    # the imaginary part of a conjugate stands in memory with the other sign
    return (
        value if value.is_contiguous() and not value.is_neg() else value.contiguous().resolve_neg()
    )
