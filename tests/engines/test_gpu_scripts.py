"""`make test-gpu` and `make bench-gpu` where there is no GPU: the scripts run, and lose nothing."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

sys.path.append(str(Path(__file__).parents[2]))
from bench.cpu.check import WrongError
from bench.gpu import cases, child, compiled, launched, problem, report, sides
from bench.gpu.check import check
from bench.gpu.problem import Problem
from bench.gpu.replays import Replays, replays
from bench.gpu.stop import Stop, started
from gated.engines.triton.stepwise import graphs

ROOT = Path(__file__).parents[2]


def loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"gpu_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TESTS = {
    "test_gpu_a.py": """
import os, time, pytest
def test_passes(): assert True
def test_kills_its_process(): os._exit(9)
def test_hangs(): time.sleep(100)
def test_fails(): assert 1 == 2, "one is not two"
@pytest.mark.skip(reason="no reason")
def test_is_skipped(): pass
def test_passes_after_all_that(): assert True
"""
}


@pytest.fixture
def found(tmp_path, monkeypatch) -> Any:
    """What a run over tests that break their process found."""
    run = loaded(ROOT / "tests/gpu/run.py")
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "turns").mkdir()
    monkeypatch.setattr(run, "TESTS", tmp_path)
    monkeypatch.setattr(run, "_LIMIT", 3.0)
    options = argparse.Namespace(minutes=1.5, processes=1, pytest=[])
    result = run.Found()
    run.Watch(tmp_path / "turns", options, result, Stop()).run(lambda: None)
    return run, result


def test_a_test_that_kills_or_stops_its_process_costs_itself_alone(found):
    run, result = found
    outcomes = {name.partition("::test_")[2]: test for name, test in result.tests.items()}
    assert {name: test.outcome for name, test in outcomes.items()} == {
        "passes": "passed", "kills_its_process": "failed", "hangs": "failed", "fails": "failed",
        "is_skipped": "skipped", "passes_after_all_that": "passed",
    }  # fmt: skip
    assert result.left == []
    assert "died (9)" in outcomes["kills_its_process"].told
    assert "no end after 3 s" in outcomes["hangs"].told
    text = run._text(result, "a device", 0.0)
    assert "one is not two" in text
    assert "2 passed, 3 failed, 1 skipped, 0 not run of 6 tests" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_tests_are_skipped_and_say_how_to_run_them():
    command = [sys.executable, "-m", "pytest", "-q", "tests/gpu/test_gpu_first.py"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "needs a CUDA device: run `make test-gpu` on a machine that has one" in told.stdout


def test_without_a_gpu_the_commands_say_so_and_write_nothing(tmp_path, monkeypatch, capsys):
    tests, bench = loaded(ROOT / "tests/gpu/run.py"), loaded(ROOT / "bench/gpu/__main__.py")
    monkeypatch.setattr(tests, "_device", lambda: {"device": "cpu"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["run", "--out", str(tmp_path)])
    for command in (tests, bench):
        assert command.main() == 1
        assert capsys.readouterr().out.startswith("there is no CUDA device here")
    assert not [*tmp_path.iterdir()]


def test_the_bench_runs_dry_and_writes_one_file(tmp_path):
    command = [sys.executable, "-m", "bench.gpu", "--dry", "--out", str(tmp_path)]
    told = subprocess.run(
        [*command, "--only", "graphs"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    (file,) = tmp_path.iterdir()
    run = json.loads(file.read_text())
    assert run["dry"]
    assert run["left"] == run["trouble"] == []
    timed = [row for row in run["rows"] if "ours ms" in row]
    assert timed
    assert {row["group"] for row in timed} == {"graphs"}
    assert len(run["table"]) > len(run["rows"])


def test_floors_of_the_worked_case():
    from bench.gpu.floor import floor

    least = floor(Problem("lstm", "training", 16, 1024, 768, "bfloat16", heads=24))
    rows, size = 16 * 1024, 768
    weights = 4 * size * size + 4 * size * 32 + 4 * size
    # x, output and weights there, once more back, and the gradients of all three
    assert least.bytes == 2 * 3 * (2 * rows * size + weights)
    assert least.operations == 3 * 2 * rows * (4 * size * size + 4 * size * 32)
    assert (least.chain, least.steps) == ("block", 2048)


LSTM = Problem("lstm", "training", 2, 3, 16, "bfloat16")
ZONEOUT = Problem("lstm", "training", 4, 3, 16, zoneout=True)


def tampered(place: int, change: Any) -> Any:
    """The reference's results with one of them changed."""
    results = [*sides.ours(problem.data(LSTM, "cpu"), "reference")()]
    results[place] = change(results[place].detach())
    return lambda: results


def test_a_side_that_computes_what_the_reference_does_passes_the_check():
    given = problem.data(LSTM, "cpu")
    assert check(sides.side("torch.nn", given), given) < 0.02


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value * 1.1,
        lambda value: torch.where(value == value.flatten()[0], torch.nan, value),
        lambda value: value[..., :-1],
    ],
    ids=["a tenth too large", "one NaN", "too narrow"],
)
@pytest.mark.parametrize("place", [0, 1, 5])
def test_one_result_that_is_not_the_references_fails_the_check(place, change):
    with pytest.raises(WrongError, match=f"result {place}"):
        check(tampered(place, change), problem.data(LSTM, "cpu"))


def test_a_side_that_leaves_results_out_fails_the_check():
    given = problem.data(LSTM, "cpu")
    results = sides.ours(given, "reference")()
    with pytest.raises(WrongError, match="5 results, expected 6"):
        check(lambda: results[:-1], given)


def test_each_result_is_allowed_its_own_rounding_alone(monkeypatch):
    # the gradient of weight_hh rounds to a half of its size, the output by nothing
    monkeypatch.setattr("bench.gpu.check._rounding", lambda data: [0, 0, 0.5, 0, 0, 0])
    given = problem.data(LSTM, "cpu")
    check(tampered(2, lambda value: value * 1.1), given)
    with pytest.raises(WrongError, match="result 0"):
        check(tampered(0, lambda value: value * 1.1), given)


def test_what_a_side_draws_at_random_is_checked_as_drawn():
    given = problem.data(ZONEOUT, "cpu")
    right = sides.ours(given, "reference")
    assert check(right, given) < 2e-5
    with pytest.raises(WrongError, match="result 0"):  # it draws nothing
        check(sides._Shown(right.shown, right.shown, alike=True), given)


@pytest.mark.parametrize("name", ["torch.nn", "reference"])
@pytest.mark.parametrize("mode", ["forward", "training"])
def test_layers_without_gradients_are_in_evaluation(name, mode):
    made = sides.side(name, problem.data(Problem("lstm", mode, 2, 2, 4), "cpu"))
    seen: list[bool] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: seen.append(module.training)
    )
    with hook, torch.set_grad_enabled(mode == "training"):
        made()
    assert set(seen) == {mode == "training"}


def run_of(trouble: dict[str, str], **row: Any) -> report.Run:
    timed = {"case": "a", "ours": "auto", "peer": "b", "wanted": None, "ours ms": [1, 1, 1]}
    return report.Run("today", rows=[timed, {**timed, **row, "trouble": trouble}])


@pytest.mark.parametrize(
    ("run", "count"),
    [
        (run_of({}), 0),
        (run_of({"scan": "not supported: no"}), 0),
        (run_of({"scan": "WRONG: off by 1"}), 1),
        (run_of({"scan": "not supported: no"}, wanted=1.2), 1),
        (run_of({"triton-resident": "not supported: no"}, peer=""), 1),
        (run_of({"triton": "not supported: no"}), 1),
        (run_of({"triton-stepwise": Replays(4, 3).trouble("triton-stepwise")}), 1),
        (report.Run("today", rows=run_of({}).rows, trouble=["died"]), 1),
        (report.Run("today", rows=run_of({}).rows, left=["a case"]), 1),
        (report.Run("today"), 1),
    ],
)
def test_a_run_ends_well_if_all_that_had_to_run_did(run, count):
    assert len(report.faults(run)) == count


def test_a_run_of_less_does_not_write_over_one_of_more(tmp_path):
    rows, facts = run_of({}).rows, {"device": "X 1"}
    row = {**rows[0], "group": "g", "figure": "g: f", "floor": {}, "dtype": "float32"}
    full = report.Run("first", rows=[row] * 3, facts=facts)
    chosen = report.Run("second", rows=[row] * 4, facts=facts, only=["heads"])
    short = report.Run("third", rows=[row] * 2, facts=facts)
    paths = [report.save(run, tmp_path).name for run in (full, chosen, short)]
    assert paths == ["x-1.json", "x-1-partial.json", "x-1-partial.json"]
    assert json.loads((tmp_path / paths[0]).read_text())["started"] == "first"
    assert "PARTIAL: only heads" in report.table(chosen)
    short.rows *= 2
    assert report.save(short, tmp_path).name == "x-1.json"
    assert [file.name for file in tmp_path.iterdir()] == ["x-1.json"]


def test_tests_that_were_chosen_do_not_write_over_all_of_them(tmp_path):
    run = loaded(ROOT / "tests/gpu/run.py")
    names = []
    for chosen, ran in (([], 3), (["-k", "a"], 1), ([], 2), ([], 3)):
        found = run.Found([*"abc"], {name: run.Test("passed", 0, "") for name in "abc"[:ran]})
        options = argparse.Namespace(out=tmp_path, pytest=chosen)
        names.append(run.File(options, {"device": "X 1"}).save(found).name)
    assert names == [f"test-x-1{end}.txt" for end in ("", "-partial", "-partial", "")]
    assert not (tmp_path / "test-x-1-partial.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["tests", "bench"])
def test_a_run_that_is_stopped_ends_its_processes_and_says_so(
    command, number, tmp_path, monkeypatch, capsys
):
    begun = []

    def begin(*_: Any, **__: Any) -> Any:
        begun.append(started([sys.executable, "-S", "-c", "import time; time.sleep(99)"]))
        threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
        return begun[-1]

    monkeypatch.setattr(sys, "argv", ["run", "--out", str(tmp_path)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    if command == "tests":
        run = loaded(ROOT / "tests/gpu/run.py")
        monkeypatch.setattr(sys, "argv", [*sys.argv, "--processes", "1"])
        monkeypatch.setattr(run, "_device", lambda: {"device": "x", "capability": "9.0"})
    else:
        run = loaded(ROOT / "bench/gpu/__main__.py")
    monkeypatch.setattr(run, "started", begin)
    before = signal.getsignal(number)
    assert run.main() == 128 + number
    (process,) = begun
    assert process.poll() == -signal.SIGKILL
    assert capsys.readouterr().out.splitlines()[-1].startswith("stopped; written: ")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("command", ["tests/gpu/run.py", "bench/gpu/__main__.py"])
def test_a_python_without_pytorch_is_told_in_one_line(command, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")")
    told = subprocess.run(
        [sys.executable, str(ROOT / command)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    (line,) = (told.stdout + told.stderr).splitlines()
    assert "has no PyTorch: make " in line
    assert told.returncode == 1


@pytest.mark.parametrize("given", [["-k", "first"], ["--", "-k", "first"]])
def test_arguments_of_pytest_may_follow_those_of_the_command(given, monkeypatch):
    run = loaded(ROOT / "tests/gpu/run.py")
    monkeypatch.setattr(sys, "argv", ["run", "--minutes", "2", *given])
    options = run._options()
    assert (options.minutes, options.pytest) == (2, ["-k", "first"])


@pytest.mark.parametrize("given", [["nosuch"], ["lstm", "--dtype", "int9"]])
def test_kernels_of_what_is_not_there_are_not_said_to_compile(given, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compiled", *given])
    with pytest.raises(SystemExit) as ended:
        compiled.main()
    assert ended.value.code == 2
    assert given[-1] in capsys.readouterr().err


def test_a_strategy_that_takes_a_cell_at_no_size_is_named(monkeypatch, capsys):
    case = launched.Case("lstm", "resident", "dense", 15, "float32", 16, False)
    why = launched.fitting(case)
    monkeypatch.setattr(
        compiled, "compiled", lambda case: [launched.Row(case, launched.UNTAKEN, None, why)]
    )
    argv = ["lstm", "--strategy", "resident", "--maps", "dense", "--dtype", "float32"]
    monkeypatch.setattr(sys, "argv", ["compiled", *argv])
    assert compiled.main() == 1
    *_, line, summary = capsys.readouterr().out.splitlines()
    assert line == "lstm, resident, dense, float32: 15 units are fewer than 16"
    assert summary == "nothing was compiled; 1 cases that a strategy does not take"


class Course:
    """A loop of one step that computes nothing."""

    steps, size, device = 1, 0, torch.device("cpu")

    def run(self, banks: list[Tensor]) -> None:
        pass


def test_a_side_says_whether_its_loops_are_replayed():
    known = graphs.Graphs(4, 100, lambda work, device: work)
    entry = graphs.Entry(Course())
    assert replays(lambda: known.run(entry, [])) == (1, 0)
    assert replays(lambda: known.run(entry, [])) == (1, 1)
    assert [Replays(*of).told() for of in ((0, 0), (2, 1), (2, 2))] == ["", "no", "yes"]
    assert Replays(2, 1).trouble("triton")
    assert not Replays(2, 0).trouble("triton-stepwise launched")


def test_a_dry_run_has_each_group_and_no_case_twice():
    groups = [*cases.GROUPS]
    found = child.cases(groups, dry=True)
    assert {case.group for case in found} == {*groups}
    assert len({case.name for case in found}) == len(found)
