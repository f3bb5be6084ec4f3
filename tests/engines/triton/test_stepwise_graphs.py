"""Calls that come again as graphs, with a recorder that calls what it recorded again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch

pytest.importorskip("triton")

from compared import ahead, astern, check, check_gradients, loss_of, named
from oracle import Case

import gated
from gated.engines.triton import stepwise
from gated.engines.triton.stepwise import Stepwise, graphs
from gated.engines.triton.stepwise.course import Course
from gated.engines.triton.stepwise.graphs import Graphs

Work = Callable[[], None]
close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12)


class Recorder:
    """Stands in for CUDA's: what is recorded does not run until it is replayed."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def __call__(self, work: Work, device: torch.device) -> Work:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            work()

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr(stepwise, "GRAPHS", Graphs(8, 1 << 20, found))
    torch.manual_seed(0)
    return found


def case_of(lengths: tuple[int, ...] = (2, 2), name: str = "rnn", **more) -> Case:
    return Case(named(name).graph, {"D": 2, "H": 4}, lengths, **more)


def other_inputs(case: Case) -> Case:
    """The same call: other inputs, the same matrices."""
    found = Case(case.graph, case.sizes, case.lengths, case.reverse)
    found.given |= {name: t for name, t in case.given.items() if name.startswith("bank")}
    return found


def steps_of(case: Case) -> Stepwise:
    return Stepwise(case.kept, case.leaving, "float64")


def check_forward(case: Case, steps: Stepwise) -> None:
    wanted = case.by_hand(case.leaves())
    close(ahead(case, steps, training=False)["final_h"], wanted["final_h"])


@pytest.mark.parametrize("name", ["gru-reset-before", "peephole", "slstm"])
def test_a_call_that_comes_again_is_recorded_once_and_right_each_time(
    recorder: Recorder, name: str
) -> None:
    case = case_of((2, 1), name)
    steps = steps_of(case)
    for inputs in (case, other_inputs(case), other_inputs(case)):
        inputs.kept, inputs.leaving = case.kept, case.leaving
        check(inputs, steps)
    assert (recorder.recorded, recorder.replayed) == (2, 4)  # each direction, twice


def test_what_training_saved_stays_while_the_same_graph_runs_for_others(
    recorder: Recorder,
) -> None:
    first = case_of()
    steps = steps_of(first)
    second, layer = other_inputs(first), case_of()  # the layer has matrices of its own
    for each in (second, layer):
        each.kept, each.leaving = first.kept, first.leaving
    leaves = first.leaves()
    wanted = first.by_hand(leaves)
    for warm in (second, layer):
        check(warm, steps)
    saved = ahead(first, steps)
    for between in (second, layer):
        check(between, steps)
    astern(first, steps, saved)
    loss_of(first, saved, wanted).backward()
    check_gradients(first, saved, leaves, close)
    assert recorder.replayed > 0


def test_lengths_that_do_not_repeat_are_not_recorded(recorder: Recorder) -> None:
    case = case_of()
    steps = steps_of(case)
    for lengths in ((2, 2), (2, 1), (3, 1)):
        other = Case(case.graph, case.sizes, lengths)
        other.given |= {"bank_0": case.given["bank_0"]}
        other.kept, other.leaving = case.kept, case.leaving
        check_forward(other, steps)
    assert recorder.recorded == 0


@pytest.mark.parametrize("name", ["rnn", "fgr"])
def test_a_call_that_comes_again_with_other_matrices_is_the_same_call(
    recorder: Recorder, name: str
) -> None:
    case = case_of(name=name)
    steps = steps_of(case)
    for each in (case, case_of(name=name), case_of(name=name)):
        each.kept, each.leaving = case.kept, case.leaving
        check(each, steps)
    assert (recorder.recorded, recorder.replayed) == (2, 4)  # each direction, twice


def test_a_call_under_autocast_comes_again_with_weights_cast_anew(recorder: Recorder) -> None:
    layer = gated.RNN(2, 4, engine="triton-stepwise")
    x = torch.randn(2, 1, 2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        first, again = (layer(x)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert (recorder.recorded, recorder.replayed) == (1, 1)


def test_nothing_is_recorded_or_remembered_while_the_caller_captures(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "capturing", lambda device: True)
    case = case_of()
    steps = steps_of(case)
    for _ in range(2):
        check_forward(case, steps)
    assert recorder.recorded == 0
    assert not stepwise.GRAPHS.entries


def test_a_buffer_that_kernels_cannot_read_in_wide_words_is_copied(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of()
    shifted = torch.empty(case.given["stream_0"].numel() + 1, dtype=torch.float64)[1:]
    case.given["stream_0"] = shifted.view_as(case.given["stream_0"]).copy_(case.given["stream_0"])
    assert shifted.data_ptr() % stepwise.ALIGNED
    fill, filled = Course.fill, list[int]()

    def watched(self: Course, buffers: Mapping[str, torch.Tensor | None]) -> None:
        filled.extend(0 if t is None else t.data_ptr() for t in buffers.values())
        fill(self, buffers)

    monkeypatch.setattr(Course, "fill", watched)
    check_forward(case, steps_of(case))
    assert filled
    assert not any(address % stepwise.ALIGNED for address in filled)


def test_a_call_may_begin_in_inference_mode_and_come_again_outside(recorder: Recorder) -> None:
    case = case_of()
    steps = steps_of(case)
    with torch.inference_mode():
        ahead(case, steps, training=False)
    check_forward(case, steps)
    case.given["bank_0"].requires_grad_()
    ahead(case, steps, training=False)
    assert recorder.recorded == 1


# -- what is remembered


def calls(graphs: Graphs) -> list[int]:
    return [entry.course.batch for entry in graphs.entries.values()]


def of_batch(case: Case, batch: int) -> Case:
    found = Case(case.graph, case.sizes, (1,) * batch)
    found.given |= {"bank_0": case.given["bank_0"]}
    found.kept, found.leaving = case.kept, case.leaving
    return found


def test_the_calls_of_late_are_remembered_as_many_as_may_be(monkeypatch) -> None:
    held = Graphs(2, 1 << 20, None)
    monkeypatch.setattr(stepwise, "GRAPHS", held)
    case = case_of()
    steps = steps_of(case)
    for batch in (1, 2, 1, 3):
        ahead(of_batch(case, batch), steps, training=False)
    assert calls(held) == [1, 3]


def test_what_calls_hold_has_a_bound_that_the_latest_alone_may_pass(monkeypatch) -> None:
    case = case_of()
    steps = steps_of(case)
    held = Graphs(8, 1, None)
    monkeypatch.setattr(stepwise, "GRAPHS", held)
    for batch in (1, 2):
        ahead(of_batch(case, batch), steps, training=False)
        assert calls(held) == [batch]


def test_the_copies_of_matrices_that_graphs_read_count(recorder: Recorder) -> None:
    case = case_of()
    steps = steps_of(case)
    sizes = []
    for _ in range(2):
        ahead(case, steps, training=False)
        (entry,) = stepwise.GRAPHS.entries.values()
        sizes.append(entry.size)
    assert sizes[1] - sizes[0] == case.given["bank_0"].nbytes
    stepwise.GRAPHS.size = sizes[1]  # there is room for one
    for _ in range(2):
        ahead(of_batch(case, 3), steps, training=False)
    assert calls(stepwise.GRAPHS) == [3]


def test_where_no_graph_can_be_made_calls_are_launched(monkeypatch) -> None:
    def refuse(work: Work, device: torch.device) -> Work:
        raise RuntimeError("not here")

    held = Graphs(8, 1 << 20, refuse)
    monkeypatch.setattr(stepwise, "GRAPHS", held)
    case = case_of()
    steps = steps_of(case)
    check_forward(case, steps)
    with pytest.warns(UserWarning, match="not here"):
        check_forward(case, steps)
    check_forward(case, steps)
    assert held.record is None
