"""`make test-gpu` and `make bench-gpu` where there is no GPU: the scripts run, and lose nothing."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))


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
    run.Watch(tmp_path / "turns", options, result).run(lambda: None)
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
        [*command, "--only", "minlstm"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    (file,) = tmp_path.iterdir()
    run = json.loads(file.read_text())
    assert run["dry"]
    assert run["left"] == run["trouble"] == []
    timed = [row for row in run["rows"] if "ours ms" in row]
    assert timed
    assert {row["group"] for row in timed} == {"minlstm"}
    assert len(run["table"]) > len(run["rows"])


def test_floors_of_the_worked_case():
    from bench.gpu.floor import floor
    from bench.gpu.problem import Problem

    least = floor(Problem("lstm", "training", 16, 1024, 768, "bfloat16", heads=24))
    rows, size = 16 * 1024, 768
    weights = 4 * size * size + 4 * size * 32 + 4 * size
    # x, output and weights there, once more back, and the gradients of all three
    assert least.bytes == 2 * 3 * (2 * rows * size + weights)
    assert least.operations == 3 * 2 * rows * (4 * size * size + 4 * size * 32)
    assert (least.chain, least.steps) == ("block", 2048)
