"""The loop of library products and a kernel per stage and step, beside a loop by hand."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from compared import ahead, astern, check, named
from oracle import Case

from gated.engines.triton import stepwise
from gated.engines.triton.stepwise import Stepwise, course
from gated.engines.triton.stepwise.course import Course
from gated.engines.triton.stepwise.graphs import Graphs
from gated.engines.triton.stepwise.launches import Launch, Step, Tiling

FULL, RAGGED = (3, 3), (4, 2, 1)
SIZES = {"D": 3, "H": 6, "P": 4}
SNAPSHOT = Path(__file__).with_name("snapshots") / "gru-reset-before_stepwise.py.txt"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory of other calls; and memory between kernels is NaN before it is written."""
    monkeypatch.setattr(stepwise, "GRAPHS", Graphs(8, 1 << 20, None))
    allocate = Course._memory

    def memory(self: Course) -> dict[str, torch.Tensor]:
        return {name: t.fill_(torch.nan) for name, t in allocate(self).items()}

    monkeypatch.setattr(Course, "_memory", memory)
    torch.manual_seed(0)


def case_of(name: str, lengths=FULL, reverse: bool = False, **more) -> Case:
    graph = named(name).graph
    return Case(graph, {k: SIZES[k] for k in graph.letters}, lengths, reverse, **more)


def steps_of(case: Case, real: str = "float64") -> Stepwise:
    return Stepwise(case.kept, case.leaving, real)


NAMES = ["lstm", "peephole", "gru-reset-before", "layernorm-lstm", "slstm", "lstmp"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("lengths", "reverse"), [(FULL, False), (RAGGED, True)])
def test_both_loops_equal_one_by_hand(name: str, lengths: tuple[int, ...], reverse: bool) -> None:
    case = case_of(name, lengths, reverse)
    check(case, steps_of(case))


@pytest.mark.parametrize(("lengths", "reverse"), [(FULL, True), (RAGGED, False)])
def test_rows_may_end_and_begin_at_any_step(lengths: tuple[int, ...], reverse: bool) -> None:
    case = case_of("rnn", lengths, reverse)
    check(case, steps_of(case))


def test_a_state_that_the_next_step_does_not_read_has_no_gradient() -> None:
    case = case_of("sru", RAGGED)
    check(case, steps_of(case))


def test_gradients_of_traced_values_arrive() -> None:
    case = case_of("gru-reset-before", RAGGED, traced=True)
    check(case, steps_of(case))


def test_matrices_of_several_operands_are_multiplied_as_a_batch() -> None:
    case = case_of("fgr")
    check(case, steps_of(case))
    assert [len(stage) for stage in steps_of(case).train.products] == [2]


def test_inference_leaves_the_first_state_and_the_last_ones() -> None:
    case = case_of("lstm", RAGGED)
    trained = ahead(case, steps_of(case))
    inferred = ahead(case, steps_of(case), training=False)
    assert set(inferred) == {*case.given, "state_h", "final_h", "final_c"}
    for name, value in inferred.items():
        assert torch.equal(value, trained[name])


@pytest.mark.parametrize("reverse", [False, True])
def test_no_steps_leave_states_and_gradients_as_they_are(reverse: bool) -> None:
    case = case_of("lstm", (0, 0), reverse)
    buffers = ahead(case, steps_of(case))
    astern(case, steps_of(case), buffers)
    for state in "hc":
        assert torch.equal(buffers[f"final_{state}"], case.given[f"initial_{state}"])
        assert torch.equal(buffers[f"carry_{state}"], buffers[f"seed_carry_{state}"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_numbers_are_computed_with_in_32_bits(dtype: torch.dtype) -> None:
    case = case_of("gru-reset-before", RAGGED, dtype=dtype)
    unit = torch.finfo(dtype).eps
    check(case, steps_of(case, "float32"), rtol=4 * unit, atol=4 * unit)


# -- what is launched


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The products, with their rows, and the kernels, with theirs, in their order."""
    found: list[tuple[object, ...]] = []
    launch = Launch.__call__

    def counted(self: Launch, step: Step) -> None:
        found.append(("kernel", step.rows))
        launch(self, step)

    def multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
        found.append(("product", left.shape[-2]))
        torch.matmul(left, right, out=out)

    monkeypatch.setattr(Launch, "__call__", counted)
    monkeypatch.setattr(course, "multiplier", lambda *_: multiply)
    return found


@pytest.mark.parametrize(
    ("name", "each"),
    [("lstm", 1), ("gru", 1), ("gru-reset-before", 2), ("slstm", 1), ("layernorm-lstm", 1),
     ("lstmp", 2)],
)  # fmt: skip
def test_a_step_takes_as_few_products_and_kernels_as_its_stages(
    launched: list[tuple[object, ...]], name: str, each: int
) -> None:
    case = case_of(name, (1, 1))
    buffers = ahead(case, steps_of(case))
    assert Counter(kind for kind, _ in launched) == {"product": each, "kernel": each}
    launched.clear()
    astern(case, steps_of(case), buffers)
    assert Counter(kind for kind, _ in launched) == {"product": each, "kernel": each}


def test_products_and_kernels_run_on_the_rows_that_reach_a_step(
    launched: list[tuple[object, ...]],
) -> None:
    case = case_of("rnn", (3, 2, 1, 1))
    ahead(case, steps_of(case), training=False)
    assert launched == [(kind, rows) for rows in (4, 2, 1) for kind in ("product", "kernel")]


def test_on_a_device_only_the_first_launch_of_a_kernel_asks_triton_what_its_arguments_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[object, ...]] = []

    class Compiled:
        def __getitem__(self, grid: tuple[int, ...]):
            return lambda *given: calls.append((grid, given))

    class Function:
        def __getitem__(self, grid: tuple[int, ...]):
            return lambda *given, **_: calls.append((grid, "first")) or Compiled()

    monkeypatch.setattr("gated.engines.triton.launch.interpreted", lambda: False)
    memory = torch.zeros(4)
    launch = Launch(Function(), [memory, None], {"W0": 8}, Tiling(2, (8,), 3, 4))
    for rows in (5, 5, 2):
        launch(Step(7, 0, rows, 0, 0, 1, 5))
    where = (memory.data_ptr(), None, 8)
    assert calls == [
        ((3, 3, 1), "first"),
        ((3, 3, 1), (7, 0, 5, 0, 0, 1, 5, *where)),
        ((1, 3, 1), (7, 0, 2, 0, 0, 1, 5, *where)),
    ]


@pytest.mark.parametrize("name", ["sru", "lstm", "gru"])
def test_threads_meet_between_reading_memory_and_writing_it(name: str) -> None:
    (kernel,) = (
        text
        for text in steps_of(case_of(name)).text.split("@triton.jit")
        if "def backward_0(" in text
    )
    reading, writing = kernel.split("tl.debug_barrier()")
    carried = set(re.findall(r"tl\.load\((carried_\w+)", kernel))
    assert carried
    assert carried & set(re.findall(r"tl\.store\((\w+)", kernel))
    assert not carried & set(re.findall(r"tl\.store\((\w+)", reading))
    assert not carried & set(re.findall(r"tl\.load\((\w+)", writing))


def test_the_kernels_of_a_gru_read_as_they_did() -> None:
    """`GATED_SNAPSHOTS=write pytest ...` writes it down anew: look at what changed."""
    got = steps_of(case_of("gru-reset-before"), "float32").text
    if os.environ.get("GATED_SNAPSHOTS") == "write":
        SNAPSHOT.write_text(got)
    assert got == SNAPSHOT.read_text()


def test_units_beyond_a_program_are_refused_where_they_are_reduced() -> None:
    case = case_of("layernorm-lstm")
    assert steps_of(case).obstacle({"D": 1, "H": 1 << 14}) is None
    assert "reduce" in (steps_of(case).obstacle({"D": 1, "H": 1 << 15}) or "")
    assert steps_of(case_of("lstm")).obstacle({"D": 1, "H": 1 << 15}) is None
