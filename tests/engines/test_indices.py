"""Index tensors that calls have in common."""

from __future__ import annotations

import torch

from gated.engines.indices import Indices, on_device

CPU = torch.device("cpu")


def test_equal_numbers_are_copied_once() -> None:
    held = Indices(8, 1 << 10)
    index = torch.tensor([2, 0, 1])
    first = held.on(CPU, index, capturing=False)
    assert first.tolist() == [2, 0, 1]
    assert first.data_ptr() != index.data_ptr()
    assert held.on(CPU, index.clone(), capturing=False) is first


def test_other_numbers_types_and_shapes_are_other_tensors() -> None:
    held = Indices(8, 1 << 10)
    given = [torch.zeros(4, dtype=torch.int64), torch.zeros(8, dtype=torch.int32),
             torch.zeros(2, 2, dtype=torch.int64), torch.ones(4, dtype=torch.int64)]  # fmt: skip
    for index in given:
        found = held.on(CPU, index, capturing=False)
        assert (found.dtype, found.shape) == (index.dtype, index.shape)
        assert torch.equal(found, index)
    assert len(held.late) == 4


def test_as_many_of_late_are_kept_as_may_be() -> None:
    held = Indices(2, 1 << 10)
    for number in (0, 1, 0, 2):
        held.on(CPU, torch.tensor([number]), capturing=False)
    assert [value.item() for value in held.late.values()] == [0, 2]


def test_their_bytes_have_a_bound() -> None:
    held = Indices(8, 40)
    for number in (1, 2, 3):
        held.on(CPU, torch.full((2,), number), capturing=False)
    assert [value[0].item() for value in held.late.values()] == [2, 3]
    assert torch.equal(held.on(CPU, torch.arange(9), capturing=False), torch.arange(9))
    assert not held.late


def test_what_a_graph_reads_stays() -> None:
    held = Indices(1, 1 << 10)
    index = torch.tensor([0])
    warm = held.on(CPU, index, capturing=False)
    assert held.on(CPU, index, capturing=True) is warm
    for number in (1, 2):
        held.on(CPU, torch.tensor([number]), capturing=False)
    assert held.on(CPU, index, capturing=False) is warm


def test_what_was_copied_in_inference_mode_can_be_saved_for_a_gradient() -> None:
    held, x = Indices(8, 1 << 10), torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        held.on(CPU, torch.tensor([1, 2]), capturing=False)
    x.index_select(0, held.on(CPU, torch.tensor([1, 2]), capturing=False)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1]


def test_on_the_cpu_an_index_is_itself() -> None:
    index = torch.tensor([1])
    assert on_device(index, CPU) is index
