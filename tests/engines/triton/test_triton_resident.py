"""The loop that is one kernel, against a loop by hand and PyTorch's gradients of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from oracle import Case

from gated.cells import cell
from gated.engines.fused.storage import Place
from gated.engines.triton.resident import ROWS, Resident
from gated.equations.cell import Cell
from gated.equations.maps import Heads, mapped
from gated.equations.symbols import Node

RAGGED, FULL = (4, 2, 2, 1), (3, 3)
# each cell with rows of unequal length and of equal, forwards and backwards in time
CASES = [
    ("lstm", RAGGED, True), ("lstm", FULL, False),
    ("peephole", RAGGED, False), ("peephole", FULL, True),
    ("gru-reset-before", RAGGED, True), ("gru-reset-before", FULL, False),
    ("layernorm-lstm", RAGGED, False),
    ("slstm", RAGGED, True), ("slstm", FULL, False),
    ("indrnn", RAGGED, False), ("indrnn", RAGGED, True), ("indrnn", FULL, True),
]  # fmt: skip
SIZES = {"H": 6, "D": 3}


def named(name: str) -> Cell:
    return mapped(cell(name), Heads(2)) if name == "slstm" else cell(name)


def ahead(case: Case, *, training: bool = True) -> tuple[Resident, dict[str, Tensor]]:
    """The buffers after the loop forward: NaN where nothing was written."""
    resident = Resident(case.kept, case.leaving, str(case.real).removeprefix("torch."), case.dtype)
    assert resident.obstacle(case.sizes) is None
    buffers = dict(case.given)
    for buffer in case.kept.buffers if training else case.kept.buffers[:1]:
        buffers[buffer.name] = case.empty(buffer)
    for state in case.graph.states:
        like = case.given[f"initial_{state.name}"]
        buffers[f"final_{state.name}"] = torch.full_like(like, torch.nan, dtype=case.real)
    resident.forward(buffers, case.sizes, case.rows, training=training)
    return resident, buffers


def astern(case: Case, resident: Resident, buffers: dict[str, Tensor]) -> None:
    """The loop backwards, of random gradients `d_...` and `carry_...`, which it adds."""
    for name in ends(case):
        buffers[f"d_{name}"] = torch.randn_like(buffers[f"state_{name}"])
    for state in case.graph.states:
        buffers[f"carry_{state.name}"] = torch.randn_like(buffers[f"final_{state.name}"])
    seeds = {name: value.clone() for name, value in buffers.items()}
    for buffer in case.leaving.buffers:
        buffers[buffer.name] = case.empty(buffer)
    for _, buffer in case.leaving.totals:
        buffers[buffer.name] = case.empty(buffer)[0]
    resident.backward(buffers, case.sizes, case.rows)
    buffers |= {f"seed_{name}": seeds[name] for name in seeds if name.startswith(("d_", "carry_"))}


def ends(case: Case) -> list[str]:
    """The states whose gradients arrive at every step."""
    names = [state.name for state in case.graph.states]
    return names if case.traced else names[:1]


def part(case: Case, buffers: dict[str, Tensor], place: Place) -> Tensor:
    widths = [case.units(width) for width in place.buffer.widths]
    return buffers[place.buffer.name].split(widths, -1)[place.index]


@pytest.mark.parametrize(("name", "lengths", "reverse"), CASES)
def test_the_loop_and_its_gradients(name: str, lengths: tuple[int, ...], reverse: bool) -> None:
    case = Case(named(name).graph, SIZES, lengths, reverse)
    check(case, rtol=1e-12, atol=1e-12)


def test_the_loop_with_all_values_shown() -> None:
    check(Case(cell("peephole").graph, SIZES, RAGGED, traced=True), rtol=1e-12, atol=1e-12)


def test_more_rows_and_units_than_a_program_has() -> None:
    check(Case(cell("indrnn").graph, {"H": 37, "D": 3}, (2, 2, 1)), rtol=1e-12, atol=1e-12)
    check(Case(cell("rnn").graph, SIZES, (2,) * 9 + (1,) * 9), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_steps_leave_states_and_gradients_as_they_are(reverse: bool) -> None:
    case = Case(cell("lstm").graph, SIZES, (0, 0), reverse)
    resident, buffers = ahead(case)
    astern(case, resident, buffers)
    for state in "hc":
        assert torch.equal(buffers[f"final_{state}"], case.given[f"initial_{state}"])
        assert torch.equal(buffers[f"carry_{state}"], buffers[f"seed_carry_{state}"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_are_computed_with_in_float32(dtype: torch.dtype) -> None:
    case = Case(mapped(cell("lstm"), Heads(2)).graph, SIZES, RAGGED, dtype=dtype)
    unit = torch.finfo(dtype).eps
    check(case, rtol=4 * unit, atol=4 * unit)


def check(case: Case, *, rtol: float, atol: float) -> None:
    leaves = case.leaves()
    wanted = case.by_hand(leaves)
    resident, buffers = ahead(case)

    def close(got: Tensor, expected: Tensor | None) -> None:
        assert expected is not None
        torch.testing.assert_close(got.double(), expected, rtol=rtol, atol=atol)

    for state in case.graph.states:
        close(buffers[f"final_{state.name}"], wanted[f"final_{state.name}"])
    for node, place in case.kept.at.items():
        close(part(case, buffers, place), wanted[node])
    astern(case, resident, buffers)
    loss = torch.zeros(())
    for name in ends(case):
        loss = loss + (buffers[f"seed_d_{name}"] * wanted[case.kept.loop.updates[name]]).sum()
    for state in case.graph.states:
        carry = buffers[f"seed_carry_{state.name}"]
        loss = loss + (carry * wanted[f"final_{state.name}"]).sum()
    loss.backward()
    for name, leaf in leaves.items():
        kind, _, number = name.partition("_")
        if kind == "initial":
            close(buffers[f"carry_{number}"], leaf.grad)
        elif kind == "bank":
            close(of_bank(case, buffers, int(number)), leaf.grad)
        elif leaf.grad is not None:
            close(buffers[f"d_{name}"], leaf.grad)
        else:
            assert f"d_{name}" not in buffers


def of_bank(case: Case, buffers: dict[str, Tensor], number: int) -> Tensor:
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


def multiplied(case: Case, buffers: dict[str, Tensor], operand: Node) -> Tensor:
    """The values that a matrix was multiplied with, at every step."""
    if operand.op != "state":
        return part(case, buffers, case.kept.at[operand])
    (name,) = (n for n, node in case.kept.loop.previous.items() if node is operand)
    every = torch.cat([buffers[f"state_{name}"], case.given[f"initial_{name}"]])
    return every[case.rows.before]


def test_inference_leaves_the_first_state_and_the_last_ones() -> None:
    case = Case(cell("lstm").graph, SIZES, RAGGED)
    _, trained = ahead(case)
    _, inferred = ahead(case, training=False)
    assert set(inferred) == {*case.given, "state_h", "final_h", "final_c"}
    for name, value in inferred.items():
        assert torch.equal(value, trained[name])


def test_gradients_that_do_not_arrive_count_as_zeros() -> None:
    case = Case(cell("lstm").graph, SIZES, FULL)
    resident, buffers = ahead(case)
    astern(case, resident, buffers)
    zeros = {"d_h": torch.zeros_like(buffers["state_h"]), "d_c": None}
    found = []
    for d in (zeros, {"d_h": None, "d_c": None}):
        given = {**buffers, **d}
        given |= {f"carry_{s}": buffers[f"seed_carry_{s}"].clone() for s in "hc"}
        given["d_stream_0"] = torch.full_like(buffers["stream_0"], torch.nan)
        resident.backward(given, case.sizes, case.rows)
        found.append(given["d_stream_0"])
    assert torch.equal(*found)


def test_a_call_repeats_bit_for_bit_and_rows_do_not_meet() -> None:
    case = Case(cell("peephole").graph, SIZES, FULL, dtype=torch.float32)
    _, first = ahead(case)
    _, again = ahead(case)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    swapped = Case(cell("peephole").graph, SIZES, FULL, dtype=torch.float32)
    for name, value in case.given.items():
        timed = name.startswith("stream")
        parts = value.unflatten(0, (3, 2)).flip(1).flatten(0, 1) if timed else value.flip(0)
        swapped.given[name] = parts if timed or name.startswith("initial") else value
    _, other = ahead(swapped)
    assert torch.equal(other["final_h"].flip(0), first["final_h"])


def obstacle(name: str, maps: object, dtype: torch.dtype = torch.float32, **sizes: int) -> str:
    found = mapped(cell(name), maps) if maps else cell(name)  # type: ignore[arg-type]
    case = Case(found.graph, {"H": 6, "D": 3}, FULL)
    resident = Resident(case.kept, case.leaving, "float32", dtype)
    return resident.obstacle({"H": 6, "D": 3, **sizes}) or ""


def test_what_stands_in_its_way() -> None:
    assert "128 units" in obstacle("lstm", None, torch.bfloat16, H=129)
    assert obstacle("lstm", None, torch.bfloat16, H=128) == ""
    assert "bytes of shared memory" in obstacle("lstm", None, H=65)
    assert obstacle("lstm", None, H=64) == ""
    assert obstacle("lstm", Heads(6), torch.bfloat16, H=768) == ""
    assert "goes beyond a head" in obstacle("layernorm-lstm", Heads(2))
    assert "dense" in obstacle("lstm", {"U.i": Heads(2)})
    assert obstacle("indrnn", None, H=10_000) == ""


def test_programs_share_out_rows_and_heads() -> None:
    case = Case(mapped(cell("lstm"), Heads(3)).graph, SIZES, (1,) * (ROWS + 1))
    resident = Resident(case.kept, case.leaving, "float32")
    share = resident.share({"H": 96, "D": 3}, case.rows)
    assert (share.grid, share.warps) == ((2, 3), 4)
