"""A strategy's loops beside the loop by hand: all that they leave in memory filled with NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class Strategy(Protocol):
    def obstacle(self, sizes: Mapping[str, int]) -> str | None: ...

    def forward(
        self, buffers: Buffers, sizes: Mapping[str, int], rows: Rows, *, training: bool
    ) -> None: ...

    def backward(self, buffers: Buffers, sizes: Mapping[str, int], rows: Rows) -> None: ...


def named(name: str) -> Cell:
    return mapped(cell(name), Heads(2)) if name == "slstm" else cell(name)


def ahead(case: Case, strategy: Strategy, *, training: bool = True) -> Buffers:
    """The buffers after the loop forward: NaN where nothing was written."""
    assert strategy.obstacle(case.sizes) is None
    buffers = dict(case.given)
    for buffer in case.kept.buffers if training else case.kept.buffers[:1]:
        buffers[buffer.name] = case.empty(buffer)
    for state in case.graph.states:
        like = case.given[f"initial_{state.name}"]
        buffers[f"final_{state.name}"] = torch.full_like(like, torch.nan, dtype=case.real)
    strategy.forward(buffers, case.sizes, case.rows, training=training)
    return buffers


def astern(case: Case, strategy: Strategy, buffers: Buffers) -> None:
    """The loop backwards, of random gradients `d_...` and `carry_...`, which it adds."""
    for name in ends(case):
        buffers[f"d_{name}"] = torch.randn_like(part(case, buffers, case.kept.at[ends(case)[name]]))
    for state in case.graph.states:
        buffers[f"carry_{state.name}"] = torch.randn_like(buffers[f"final_{state.name}"])
    seeds = {name: value.clone() for name, value in buffers.items()}
    for buffer in case.leaving.buffers:
        buffers[buffer.name] = case.empty(buffer)
    for _, buffer in case.leaving.totals:
        buffers[buffer.name] = case.empty(buffer)[0]
    strategy.backward(buffers, case.sizes, case.rows)
    buffers |= {f"seed_{name}": seeds[name] for name in seeds if name.startswith(("d_", "carry_"))}


def ends(case: Case) -> dict[str, Node]:
    """The values whose gradients arrive at every step."""
    first = case.graph.states[0].name
    found = {**case.kept.loop.updates, **case.kept.loop.shown}
    return found if case.traced else {first: found[first]}


def check(
    case: Case, strategy: Strategy, *, rtol: float = 1e-12, atol: float = 1e-12
) -> None:  # fmt: skip
    """What both loops leave equals what the loop by hand and PyTorch's gradients say."""
    leaves = case.leaves()
    wanted = case.by_hand(leaves)
    buffers = ahead(case, strategy)

    def close(got: Tensor, expected: Tensor | None) -> None:
        assert expected is not None
        torch.testing.assert_close(got.double(), expected, rtol=rtol, atol=atol)

    for state in case.graph.states:
        close(buffers[f"final_{state.name}"], wanted[f"final_{state.name}"])
    for node, place in case.kept.at.items():
        close(part(case, buffers, place), wanted[node])
    astern(case, strategy, buffers)
    loss_of(case, buffers, wanted).backward()
    check_gradients(case, buffers, leaves, close)


def loss_of(case: Case, buffers: Buffers, wanted: Mapping[str | Node, Tensor]) -> Tensor:
    """What has the gradients that arrived."""
    loss = torch.zeros(())
    for name, node in ends(case).items():
        loss = loss + (buffers[f"seed_d_{name}"] * wanted[node]).sum()
    for state in case.graph.states:
        carry = buffers[f"seed_carry_{state.name}"]
        loss = loss + (carry * wanted[f"final_{state.name}"]).sum()
    return loss


def check_gradients(
    case: Case, buffers: Buffers, leaves: Mapping[str, Tensor],
    close: Callable[[Tensor, Tensor | None], None],
) -> None:  # fmt: skip
    for name, leaf in leaves.items():
        kind, _, number = name.partition("_")
        if kind == "initial":
            unused = torch.zeros_like(leaf)
            close(buffers[f"carry_{number}"], unused if leaf.grad is None else leaf.grad)
        elif kind == "bank":
            close(of_bank(case, buffers, int(number)), leaf.grad)
        elif leaf.grad is not None:
            close(buffers[f"grad_{name}"], leaf.grad)
        else:
            assert f"grad_{name}" not in buffers


def part(case: Case, buffers: Buffers, place: Place) -> Tensor:
    widths = [case.units(width) for width in place.buffer.widths]
    return buffers[place.buffer.name].split(widths, -1)[place.index]


def of_bank(case: Case, buffers: Buffers, number: int) -> Tensor:
    """The gradient of a bank from those of its products and what was multiplied."""
    found = []
    for key in case.kept.loop.banks[number].keys:
        shape = case.kept.loop.matrices[key].shape
        heads = shape[0].value if len(shape) == 3 else 1
        assert isinstance(heads, int)
        parts = []
        for gradient, operand in case.kept.back.outer[key]:
            d = part(case, buffers, case.leaving.products[gradient]).double()
            v = multiplied(case, buffers, operand).double()
            d, v = d.unflatten(-1, (heads, -1)), v.unflatten(-1, (heads, -1))
            parts.append(torch.einsum("nhr,nhc->hrc", d, v))
        total = torch.stack(parts).sum(0)
        found.append(total if len(shape) == 3 else total[0])
    return torch.cat(found)


def multiplied(case: Case, buffers: Buffers, operand: Node) -> Tensor:
    """The values that a matrix was multiplied with, at every step."""
    if operand.op != "state":
        return part(case, buffers, case.kept.at[operand])
    (name,) = (n for n, node in case.kept.loop.previous.items() if node is operand)
    every = torch.cat([buffers[f"state_{name}"], case.given[f"initial_{name}"]])
    return every[case.rows.before]
