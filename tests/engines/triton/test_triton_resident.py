"""The loop that is one kernel, against a loop by hand and PyTorch's gradients of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from oracle import Case

from gated.cells import cell
from gated.engines.triton.resident import Resident
from gated.equations.cell import Cell
from gated.equations.maps import Heads, mapped

NAMES = ["lstm", "peephole", "gru-reset-before", "layernorm-lstm", "slstm", "indrnn"]
LENGTHS = {"full": (4,) * 3, "ragged": (5, 3, 3, 1)}


def named(name: str) -> Cell:
    return mapped(cell(name), Heads(2)) if name == "slstm" else cell(name)


def run(case: Case) -> tuple[dict[str, Tensor], Resident]:
    """The buffers after the loop forward, NaN where nothing was written."""
    resident = Resident(case.kept, case.leaving, "float64")
    assert resident.obstacle(case.sizes) is None
    buffers = dict(case.given)
    total, batch = case.rows.total, case.rows.batch
    for buffer in case.kept.buffers:
        buffers[buffer.name] = torch.full((total, case.width(buffer)), torch.nan).double()
    for state in case.graph.states:
        buffers[f"final_{state.name}"] = torch.full_like(
            case.given[f"initial_{state.name}"], torch.nan
        )
        assert len(buffers[f"final_{state.name}"]) == batch
    resident.forward(buffers, case.sizes, case.rows, training=True)
    return buffers, resident


def part(case: Case, buffers: dict[str, Tensor], place) -> Tensor:
    widths = [case.width(type(place.buffer)("", "", (w,))) for w in place.buffer.widths]
    return buffers[place.buffer.name].split(widths, -1)[place.index]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_loop_equals_one_by_hand(name: str, lengths: str, reverse: bool) -> None:
    sizes = {"H": 6, "D": 3}
    case = Case(named(name).graph, sizes, LENGTHS[lengths], reverse)
    leaves = case.leaves()
    wanted = case.by_hand(leaves)
    buffers, resident = run(case)
    for state in case.graph.states:
        key = f"final_{state.name}"
        torch.testing.assert_close(buffers[key], wanted[key], rtol=1e-12, atol=1e-12)
    for node, place in case.kept.at.items():
        torch.testing.assert_close(part(case, buffers, place), wanted[node], rtol=1e-12, atol=1e-12)
    first = case.graph.states[0].name
    output = wanted[case.kept.loop.updates[first]]
    seed = torch.randn_like(output)
    loss = (seed * output).sum()
    buffers[f"d_{first}"] = seed
    for state in case.graph.states:
        carry = torch.randn_like(wanted[f"final_{state.name}"])
        loss = loss + (carry * wanted[f"final_{state.name}"]).sum()
        buffers[f"carry_{state.name}"] = carry.clone()
    loss.backward()
    for buffer in case.leaving.buffers:
        buffers[buffer.name] = torch.full((case.rows.total, case.width(buffer)), torch.nan).double()
    for _, buffer in case.leaving.totals:
        buffers[buffer.name] = torch.full((case.width(buffer),), torch.nan).double()
    resident.backward(buffers, case.sizes, case.rows)
    for key, leaf in leaves.items():
        if key.startswith("initial"):
            got = buffers[f"carry_{key.removeprefix('initial_')}"]
        elif key.startswith("bank"):
            got = of_bank(case, buffers, int(key.removeprefix("bank_")))
        else:
            got = buffers.get(f"d_{key}")
            if got is None:
                assert leaf.grad is None
                continue
        torch.testing.assert_close(got, leaf.grad, rtol=1e-12, atol=1e-12)


def of_bank(case: Case, buffers: dict[str, Tensor], number: int) -> Tensor:
    """The gradient of a bank from those of its products and what was multiplied."""
    loop, back = case.kept.loop, case.kept.back
    found = []
    for key in loop.banks[number].keys:
        total = 0
        for gradient, operand in back.outer[key]:
            d = part(case, buffers, case.leaving.products[gradient])
            v = before(case, buffers, operand)
            shape = loop.matrices[key].shape
            if len(shape) == 3:
                n = int(shape[0].value)
                d, v = d.unflatten(-1, (n, -1)), v.unflatten(-1, (n, -1))
                total = total + torch.einsum("nhr,nhc->hrc", d, v)
            else:
                total = total + d.T @ v
        found.append(total)
    return torch.cat(found)


def before(case: Case, buffers: dict[str, Tensor], operand) -> Tensor:
    if operand.op != "state":
        return part(case, buffers, case.kept.at[operand])
    (name,) = (n for n, node in case.kept.loop.previous.items() if node is operand)
    every = torch.cat([buffers[f"state_{name}"], case.given[f"initial_{name}"]])
    return every[case.rows.before]
