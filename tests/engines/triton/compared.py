"""A strategy's loops beside the loop by hand: all that they leave in memory filled with NaN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from oracle import Case
from torch import Tensor

from gated.cells import cell
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Place
from gated.equations.cell import Cell
from gated.equations.maps import Heads, mapped
from gated.equations.symbols import Node

Buffers = dict[str, Tensor]
close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)


class Strategy(Protocol):
    def forward(
        self, buffers: Buffers, sizes: Mapping[str, int], rows: Rows, *, training: bool
    ) -> None: ...

    def backward(self, buffers: Buffers, sizes: Mapping[str, int], rows: Rows) -> None: ...


def named(name: str) -> Cell:
    return mapped(cell(name), Heads(2)) if name == "slstm" else cell(name)


def forward(case: Case, strategy: Strategy, *, training: bool) -> Buffers:
    """The buffers after the loop forward, NaN where nothing was written."""
    buffers, total = dict(case.given), case.rows.total
    states = [case.kept.buffers[0].name, *(f"state_{s.name}" for s in case.graph.states)]
    real = torch.float64 if case.dtype == torch.float64 else torch.float32
    for buffer in case.kept.buffers:
        dtype = real if buffer.name in states[1:] and buffer.name != states[0] else case.dtype
        buffers[buffer.name] = torch.full((total, case.width(buffer)), torch.nan, dtype=dtype)
    for state in case.graph.states:
        initial = case.given[f"initial_{state.name}"]
        buffers[f"final_{state.name}"] = torch.full_like(initial, torch.nan, dtype=real)
    strategy.forward(buffers, case.sizes, case.rows, training=training)
    return buffers


def backward(
    case: Case, strategy: Strategy, buffers: Buffers, wanted: dict[object, Tensor]
) -> Tensor:
    """The loop backwards from gradients drawn at random; the loss that has them."""
    loop, loss = case.kept.loop, torch.zeros(())
    ends = {**loop.updates, **loop.shown}
    first = case.graph.states[0].name
    for name in ends if case.traced else [first]:
        seed = torch.randn_like(wanted[ends[name]]).to(case.dtype)
        loss = loss + (seed * wanted[ends[name]]).sum()
        buffers[f"d_{name}"] = seed
    for state in case.graph.states:
        carry = torch.randn_like(wanted[f"final_{state.name}"])
        loss = loss + (carry * wanted[f"final_{state.name}"]).sum()
        buffers[f"carry_{state.name}"] = carry.to(buffers[f"final_{state.name}"].dtype, copy=True)
    empty = partial(torch.full, fill_value=torch.nan, dtype=case.dtype)
    for buffer in case.leaving.buffers:
        buffers[buffer.name] = empty((case.rows.total, case.width(buffer)))
    for _, buffer in case.leaving.totals:
        buffers[buffer.name] = empty((case.width(buffer),))
    strategy.backward(buffers, case.sizes, case.rows)
    return loss


def check_values(case: Case, buffers: Buffers, wanted: Mapping[object, Tensor]) -> None:
    for state in case.graph.states:
        close(buffers[f"final_{state.name}"], wanted[f"final_{state.name}"])
    for node, place in case.kept.at.items():
        close(part(case, buffers, place), wanted[node])


def gradients(case: Case, buffers: Buffers) -> Buffers:
    """The gradients of what the loop was given, by its name."""
    found = {}
    for key in case.given:
        kind, _, name = key.partition("_")
        if kind == "initial":
            found[key] = buffers[f"carry_{name}"]
        elif kind == "bank":
            found[key] = of_bank(case, buffers, int(name))
        elif f"d_{key}" in buffers:
            found[key] = buffers[f"d_{key}"]
    return found


def check(case: Case, strategy: Strategy) -> None:
    """What both loops leave equals what the loop by hand and PyTorch's gradients say."""
    leaves = case.leaves()
    wanted = case.by_hand(leaves)
    buffers = forward(case, strategy, training=True)
    check_values(case, buffers, wanted)
    backward(case, strategy, buffers, wanted).backward()
    found = gradients(case, buffers)
    for key, leaf in leaves.items():
        if leaf.grad is not None:
            close(found[key], leaf.grad, msg=lambda text, key=key: f"{key}: {text}")


def part(case: Case, buffers: Buffers, place: Place) -> Tensor:
    widths = [case.width(replace(place.buffer, widths=(w,))) for w in place.buffer.widths]
    return buffers[place.buffer.name].split(widths, -1)[place.index]


def of_bank(case: Case, buffers: Buffers, number: int) -> Tensor:
    """The gradient of a bank from those of its products and what was multiplied."""
    loop, back, found = case.kept.loop, case.kept.back, []
    for key in loop.banks[number].keys:
        shape, total = loop.matrices[key].shape, torch.zeros(())
        heads = int(shape[0].value) if len(shape) == 3 else 1
        for gradient, operand in back.outer[key]:
            d = part(case, buffers, case.leaving.products[gradient]).unflatten(-1, (heads, -1))
            v = operand_of(case, buffers, operand).unflatten(-1, (heads, -1))
            total = total + torch.einsum("nhr,nhc->hrc", d, v)
        found.append(total if len(shape) == 3 else total[0])
    return torch.cat(found)


def operand_of(case: Case, buffers: Buffers, operand: Node) -> Tensor:
    if operand.op != "state":
        return part(case, buffers, case.kept.at[operand])
    name = operand.label
    every = torch.cat([buffers[f"state_{name}"], case.given[f"initial_{name}"]])
    return every[case.rows.before]
