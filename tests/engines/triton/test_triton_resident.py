"""The loop that is one kernel, against a loop by hand and PyTorch's gradients of it."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from compared import ahead, astern, check, named
from oracle import Case

from gated.cells import cell
from gated.engines.triton.resident import ROWS, Resident
from gated.equations.maps import Heads, mapped

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


def resident_of(case: Case) -> Resident:
    return Resident(case.kept, case.leaving, str(case.real).removeprefix("torch."), case.dtype)


@pytest.mark.parametrize(("name", "lengths", "reverse"), CASES)
def test_the_loop_and_its_gradients(name: str, lengths: tuple[int, ...], reverse: bool) -> None:
    case = Case(named(name).graph, SIZES, lengths, reverse)
    check(case, resident_of(case))


def test_the_loop_with_all_values_shown() -> None:
    case = Case(cell("peephole").graph, SIZES, RAGGED, traced=True)
    check(case, resident_of(case))


def test_more_rows_and_units_than_a_program_has() -> None:
    for case in (
        Case(cell("indrnn").graph, {"H": 37, "D": 3}, (2, 2, 1)),
        Case(cell("rnn").graph, SIZES, (2,) * 9 + (1,) * 9),
    ):
        check(case, resident_of(case))


@pytest.mark.parametrize("reverse", [False, True])
def test_no_steps_leave_states_and_gradients_as_they_are(reverse: bool) -> None:
    case = Case(cell("lstm").graph, SIZES, (0, 0), reverse)
    resident = resident_of(case)
    buffers = ahead(case, resident)
    astern(case, resident, buffers)
    for state in "hc":
        assert torch.equal(buffers[f"final_{state}"], case.given[f"initial_{state}"])
        assert torch.equal(buffers[f"carry_{state}"], buffers[f"seed_carry_{state}"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_of_16_bits_are_computed_with_in_float32(dtype: torch.dtype) -> None:
    case = Case(mapped(cell("lstm"), Heads(2)).graph, SIZES, RAGGED, dtype=dtype)
    unit = torch.finfo(dtype).eps
    check(case, resident_of(case), rtol=4 * unit, atol=4 * unit)


def test_inference_leaves_the_first_state_and_the_last_ones() -> None:
    case = Case(cell("lstm").graph, SIZES, RAGGED)
    trained = ahead(case, resident_of(case))
    inferred = ahead(case, resident_of(case), training=False)
    assert set(inferred) == {*case.given, "state_h", "final_h", "final_c"}
    for name, value in inferred.items():
        assert torch.equal(value, trained[name])


def test_gradients_that_do_not_arrive_count_as_zeros() -> None:
    case = Case(cell("lstm").graph, SIZES, FULL)
    resident = resident_of(case)
    buffers = ahead(case, resident)
    astern(case, resident, buffers)
    zeros = {"d_h": torch.zeros_like(buffers["state_h"]), "d_c": None}
    found = []
    for d in (zeros, {"d_h": None, "d_c": None}):
        given = {**buffers, **d}
        given |= {f"carry_{s}": buffers[f"seed_carry_{s}"].clone() for s in "hc"}
        given["grad_stream_0"] = torch.full_like(buffers["stream_0"], torch.nan)
        resident.backward(given, case.sizes, case.rows)
        found.append(given["grad_stream_0"])
    assert torch.equal(*found)


def test_a_call_repeats_bit_for_bit_and_rows_do_not_meet() -> None:
    case = Case(cell("peephole").graph, SIZES, FULL, dtype=torch.float32)
    first, again = ahead(case, resident_of(case)), ahead(case, resident_of(case))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    swapped = Case(cell("peephole").graph, SIZES, FULL, dtype=torch.float32)
    for name, value in case.given.items():
        timed = name.startswith("stream")
        parts = value.unflatten(0, (3, 2)).flip(1).flatten(0, 1) if timed else value.flip(0)
        swapped.given[name] = parts if timed or name.startswith("initial") else value
    other = ahead(swapped, resident_of(swapped))
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
