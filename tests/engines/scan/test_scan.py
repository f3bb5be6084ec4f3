"""The scan over packed rows, against a loop over each row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scan_cases import HARD, by_hand
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gated.engines.scan import loop, operators
from gated.engines.scan.steps import Steps
from gated.errors import EngineError

N_UNITS = 3
RAGGED = [4, 4, 3, 1, 1]
TIGHT = {"rtol": 1e-5, "atol": 1e-7}
# sizes of steps: all rows reach all, some, one row, one step, one of everything, some reach none
BATCHES = [None, RAGGED, [1] * 7, [3], [1], [2, 2, 0, 0]]


def steps(sizes: list[int] | None, reverse: bool, batch: int = 4, count: int = 6) -> Steps:
    if sizes is None:
        return Steps(None, batch * count, batch, reverse)
    return Steps(torch.tensor(sizes), sum(sizes) + 2 * (0 in sizes), max(batch, sizes[0]), reverse)


def values(rows: Steps, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients of both signs, offsets and first states."""
    a, b = (torch.randn(rows.total, N_UNITS, dtype=dtype) for _ in range(2))
    return a.tanh(), b, torch.randn(rows.batch, N_UNITS, dtype=dtype)


each = pytest.mark.parametrize("sizes", BATCHES, ids=str)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["ahead", "back"])


@each
@both_ways
@pytest.mark.parametrize("shifted", [False, True], ids=["own", "last"])
@pytest.mark.parametrize("length", [1, 2, 5, 6, 100])
def test_pieces_of_any_length_give_what_a_loop_over_each_row_gives(sizes, reverse, shifted, length):
    rows = steps(sizes, reverse)
    a, b, initial = values(rows)
    found = loop.scan(a, b, initial, rows, shifted, length)
    torch.testing.assert_close(found, by_hand(a, b, initial, rows, shifted), rtol=1e-12, atol=1e-12)


@each
@both_ways
def test_a_state_before_a_step_is_that_after_the_one_before(sizes, reverse):
    rows = steps(sizes, reverse)
    _, states, initial = values(rows)
    # with a coefficient of 1 and the difference as offset each state follows from the one before
    difference = states - rows.before(states, initial)
    again = by_hand(torch.ones_like(states), difference, initial, rows)
    torch.testing.assert_close(again, rows.valid(states))


@each
@both_ways
def test_the_last_state_is_that_of_each_rows_last_step(sizes, reverse):
    rows = steps(sizes, reverse)
    a, b, initial = values(rows)
    _, final = operators.scan(a, b, initial, rows)
    # time the other way begins where this one ends, so its first state before is what is asked for
    for row in range(rows.batch):
        reach = [rows.batch] * (rows.total // rows.batch) if sizes is None else sizes
        places = [sum(reach[:t]) + row for t, size in enumerate(reach) if row < size]
        states = by_hand(a, b, initial, rows)
        last = states[places[0 if reverse else -1]] if places else initial[row]
        torch.testing.assert_close(final[row], last)


@each
@both_ways
def test_what_carries_gradients_back_is_the_transposed_of_what_was_before(sizes, reverse):
    rows = steps(sizes, reverse)
    _, states, initial = values(rows)
    d = rows.valid(torch.randn_like(states))
    to_states, to_initial = rows.before_t(d)
    ahead = (rows.before(states, initial) * d).sum()
    torch.testing.assert_close(ahead, (to_states * states).sum() + (to_initial * initial).sum())


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    cut=st.integers(1, 12),
    length=st.integers(1, 12),
)
def test_a_sequence_in_parts_with_its_state_carried_is_the_whole(lengths, cut, length):
    reach = [sum(n > t for n in lengths) for t in range(max(lengths))]
    rows = Steps(torch.tensor(reach), sum(reach), len(lengths), False)
    a, b, initial = values(rows)
    whole, final = operators.scan(a, b, initial, rows)
    at, state, parts = 0, initial, []
    for sizes in filter(None, (reach[:cut], reach[cut:])):
        part = Steps(torch.tensor(sizes), sum(sizes), len(lengths), False)
        here = slice(at, at + part.total)
        parts.append(loop.scan(a[here], b[here], state, part, False, length))
        state, at = part.last(parts[-1], state), at + part.total
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [None, [3, 2, 2], [2, 1, 0, 0]], ids=str)
@both_ways
def test_derivatives_of_first_and_second_order_are_those_of_finite_differences(sizes, reverse):
    rows = steps(sizes, reverse, batch=2, count=2)
    inputs = tuple(v.requires_grad_() for v in values(rows))

    def function(a: Tensor, b: Tensor, initial: Tensor) -> tuple[Tensor, ...]:
        return operators.scan(a, b, initial, rows)

    assert gradcheck(function, inputs, **TIGHT)
    assert gradgradcheck(function, inputs, **TIGHT)


def test_a_hundred_thousand_steps_are_as_exact_as_their_type():
    count = 100_000
    rows = Steps(None, count, 1, False)
    given = (torch.rand(count, 2) * 0.2 + 0.8, torch.randn(count, 2), torch.ones(1, 2))
    wide = [v.double() for v in given]
    truth = loop.scan(*wide, rows, False, length=count)
    for values, near in ((wide, 1e-12), (given, 1e-6)):
        found = loop.scan(*values, rows, False)
        assert found.dtype == values[0].dtype
        assert (found.double() - truth).abs().max() <= near * truth.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_of_16_bits_are_carried_in_32(dtype):
    rows = Steps(None, 300, 1, False)
    a, b, initial = (v.to(dtype) for v in values(rows))
    found = loop.scan(a, b, initial, rows, False)
    wide = loop.scan(a.float(), b.float(), initial.float(), rows, False)
    assert torch.equal(found, wide.to(dtype))


@pytest.mark.parametrize("which", HARD)
def test_pieces_are_finite_infinite_or_nan_where_the_loop_is(which):
    a, b, first = HARD[which]
    rows = Steps(None, len(a), 1, False)
    initial = torch.full((1, 1), first)
    found = loop.scan(a, b, initial, rows, False, length=3)
    torch.testing.assert_close(
        found, by_hand(a, b, initial, rows), rtol=1e-6, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("length", [2, 100])
def test_faults_10_nan_in_one_row_touches_that_row_alone(length):
    rows = steps(RAGGED, False)
    a, b, initial = values(rows)
    clean = loop.scan(a, b, initial, rows, False, length)
    b[1] = torch.nan
    found = loop.scan(a, b, initial, rows, False, length)
    second = torch.zeros(rows.total, dtype=torch.bool)
    second[[1, 5, 9]] = True
    assert found[second].isnan().all()
    torch.testing.assert_close(found[~second], clean[~second], rtol=1e-12, atol=1e-12)


def test_steps_that_no_row_has_are_not_read_and_come_out_as_0():
    rows = steps([2, 2, 0, 0], False)
    a, b, initial = values(rows)
    clean, _ = operators.scan(a, b, initial, rows)
    a[4:], b[4:] = torch.nan, torch.nan
    leaves = [v.requires_grad_() for v in (a, b, initial)]
    found, final = operators.scan(*leaves, rows)
    assert torch.equal(found[:4], clean[:4])
    assert torch.equal(final[2:], initial[2:])
    assert not found[4:].any()
    for gradient in torch.autograd.grad(found.square().sum() + final.sum(), leaves):
        assert gradient.isfinite().all()
        assert not gradient[4:].any()


def test_equal_calls_give_equal_bits_and_the_order_of_rows_changes_none():
    rows = Steps(None, 64 * 8, 8, False)
    a, b, initial = values(rows)
    found, _ = operators.scan(a, b, initial, rows)
    assert torch.equal(operators.scan(a, b, initial, rows)[0], found)
    order = torch.randperm(8)
    swapped = [v.view(-1, 8, N_UNITS)[:, order].reshape(-1, N_UNITS) for v in (a, b, initial)]
    moved, _ = operators.scan(*swapped, rows)
    assert torch.equal(moved.view(-1, 8, N_UNITS), found.view(-1, 8, N_UNITS)[:, order])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"b": torch.zeros(5, N_UNITS)}, "a scan of"),
        ({"initial": torch.zeros(4, 2)}, "from states"),
        ({"initial": torch.zeros(4, N_UNITS)}, "several types"),
        (
            {"batch_sizes": None, "initial": torch.zeros(5, N_UNITS).double()},
            "not as many for each",
        ),
        ({"batch_sizes": torch.tensor([3, 4])}, "batch_sizes is"),
        ({"batch_sizes": torch.tensor([5, 1])}, "batch_sizes is"),
        ({"batch_sizes": torch.tensor([4, 4, 4, 4])}, "batch_sizes is"),
        ({"batch_sizes": torch.tensor([4, -1])}, "batch_sizes is"),
    ],
)
def test_an_operator_reads_no_memory_that_it_was_not_given(change, complaint):
    rows = steps(RAGGED, False)
    names = ("a", "b", "initial", "batch_sizes")
    call = dict(zip(names, [*values(rows, torch.float64), rows.sizes], strict=True)) | change
    with pytest.raises(EngineError, match=complaint):
        torch.ops.gated.scan(**call, reverse=False)


@pytest.mark.parametrize("sizes", [None, [2, 2, 0, 0]], ids=str)
def test_opcheck(sizes):
    rows = steps(sizes, True, batch=3, count=2)
    a, b, initial = (v.requires_grad_() for v in values(rows))
    states, final = operators.scan(a, b, initial, rows)
    d = [torch.randn_like(v).requires_grad_() for v in (states, final)]
    apart = [torch.stack([v, v], -1)[..., 0].detach() for v in (a, b)]
    calls = [
        (torch.ops.gated.scan, (a, b, initial, rows.sizes, True)),
        (torch.ops.gated.scan, (*apart, initial, rows.sizes, False)),
        (torch.ops.gated.scan_back, (a, states.detach(), initial, *d, rows.sizes, True)),
    ]
    for operator, arguments in calls:
        assert set(torch.library.opcheck(operator, arguments).values()) == {"SUCCESS"}
