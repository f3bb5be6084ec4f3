"""Resuming: bit for bit after Ctrl-C, SIGTERM and SIGKILL (FAULTS rows 29, 30, 32)."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gated.errors import CheckpointError
from gated.training import Interrupted, RunDirectory, TrainingConfig, fit
from gated.training.signals import StopSignals

BENCH = Path(__file__).resolve().parents[2] / "bench" / "kill_resume.py"
CONFIG = TrainingConfig(
    max_epochs=4,
    batch_size=16,
    windows_per_epoch=64,
    ema_decay=0.9,
    seed=2,
    device="cpu",
    checkpoint_seconds=0,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def killed_at(learner: Any, call: str, turn: int, raising: Callable[[], None]) -> Any:
    """The learner, which is struck when a method is called for the so-manieth time."""
    method = getattr(learner, call)
    turns = iter(range(10**6))

    def struck(*args: Any) -> Any:
        if next(turns) == turn:
            raising()
        return method(*args)

    setattr(learner, call, struck)
    return learner


def kill() -> None:
    raise Killed


def outcome(run: RunDirectory) -> tuple[bytes, ...]:
    names = ("model.safetensors", "config.json", "metrics.jsonl")
    return tuple((run.path / name).read_bytes() for name in names)


@pytest.fixture
def expected(make_run: Any, make_learner: Any) -> tuple[bytes, ...]:
    """What a training that is never interrupted leaves."""
    run = make_run("uninterrupted")
    fit(make_learner(), CONFIG, run, progress="silent")
    return outcome(run)


@pytest.mark.parametrize(
    ("call", "turn"),
    [("batch", 0), ("batch", 6), ("loss", 3), ("loss", 4), ("validate", 0), ("validate", 3)],
)
def test_a_training_killed_anywhere_goes_on_bit_for_bit(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...], call: str, turn: int
) -> None:
    with pytest.raises(Killed):
        fit(killed_at(make_learner(), call, turn, kill), CONFIG, run, progress="silent")
    fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    assert outcome(run) == expected


@pytest.mark.parametrize("moment", ["save_state", "append_metrics", "save_model", "drop_states"])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_training_killed_before_or_after_it_writes_goes_on_bit_for_bit(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...], moment: str, done: bool
) -> None:
    write = getattr(RunDirectory, moment)

    def dying(self: RunDirectory, *args: Any) -> None:
        if done:
            write(self, *args)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, moment, dying)
        with pytest.raises(Killed):
            fit(make_learner(), CONFIG, run, progress="silent")
    fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_seldom_saves_only_cost_time(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...]
) -> None:
    config = TrainingConfig(**{**vars(CONFIG), "checkpoint_seconds": 1000.0})
    with pytest.raises(Killed):
        fit(killed_at(make_learner(), "batch", 7, kill), config, run, progress="silent")
    assert len(run.metrics) == 1
    fit(make_learner(), config, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_early_stopping_goes_on_counting(make_run: Any, make_learner: Any) -> None:
    config = TrainingConfig(**{**vars(CONFIG), "max_epochs": 30, "patience": 3})
    losses = [3.0, 1.0, 2.0, 2.5, 4.0, 5.0]

    def scripted(run: RunDirectory) -> Any:
        learner = make_learner()
        learner.validate = lambda: {"loss": losses[len(run.metrics)]}
        return learner

    whole, run = make_run("whole"), make_run("part")
    fit(scripted(whole), config, whole, progress="silent")
    with pytest.raises(Killed):
        fit(killed_at(scripted(run), "batch", 14, kill), config, run, progress="silent")
    history = fit(scripted(run), config, run, resume=True, progress="silent")
    assert history.best_epoch == 2
    assert len(history.lines) == 5
    assert outcome(run) == outcome(whole)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_saves_and_tells_how_to_go_on(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...], signum: int, code: int
) -> None:
    learner = killed_at(make_learner(), "loss", 6, lambda: os.kill(os.getpid(), signum))
    config = TrainingConfig(**{**vars(CONFIG), "checkpoint_seconds": 1000.0})
    with pytest.raises(Interrupted, match="after epoch 1, step 2 of 4 of the next; resume") as e:
        fit(learner, config, run, progress="silent")
    assert e.value.exit_code == code
    assert run.load_state()["place"]["step"] == 2
    fit(make_learner(), config, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_a_second_signal_abandons_at_once_and_loses_nothing_saved(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...]
) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped at once, without saving"):
        fit(killed_at(make_learner(), "loss", 6, twice), CONFIG, run, progress="silent")
    assert run.load_state()["place"]["step"] == 1
    fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_a_second_signal_within_a_save_leaves_the_previous_checkpoint(
    run: RunDirectory, make_learner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def impatient(descriptor: int) -> None:
        fsync(descriptor)
        if run.metrics:  # the first epoch is over: within the save after it
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", impatient)
        with pytest.raises(Interrupted, match="at once"):
            fit(make_learner(), CONFIG, run, progress="silent")
    assert run.load_state()["place"]["step"] == 4
    assert not list(run.path.rglob("*.writing"))


def test_a_signal_in_the_last_moment_is_not_lost(run: RunDirectory, make_learner: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            RunDirectory, "drop_states", lambda self: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(Interrupted, match="stopped by SIGTERM; all is saved"):
            fit(make_learner(), CONFIG, run, progress="silent")
    assert run.finished


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) not in before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_works_outside_the_main_thread(run: RunDirectory, make_learner: Any) -> None:
    made = []
    thread = threading.Thread(
        target=lambda: made.append(fit(make_learner(), CONFIG, run, progress="silent"))
    )
    thread.start()
    thread.join()
    assert len(made[0].lines) == 4


def test_a_finished_training_says_so_and_changes_nothing(
    run: RunDirectory, make_learner: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    learner = make_learner()
    first = fit(learner, CONFIG, run, progress="silent")
    files = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    again = make_learner()
    assert fit(again, CONFIG, run, resume=True, progress="plain") == first
    assert "this training is finished, nothing was changed" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == files
    assert torch.equal(again.weights()["head.weight"], learner.weights()["head.weight"])


def interrupted(run: RunDirectory, learner: Any) -> None:
    with pytest.raises(Killed):
        fit(killed_at(learner, "batch", 6, kill), CONFIG, run, progress="silent")


def test_another_configuration_is_refused_by_name(run: RunDirectory, make_learner: Any) -> None:
    interrupted(run, make_learner())
    other = TrainingConfig(**{**vars(CONFIG), "learning_rate": 0.5, "batch_size": 8})
    with pytest.raises(CheckpointError) as caught:
        fit(make_learner(), other, run, resume=True, progress="silent")
    assert "batch_size: 16 became 8; learning_rate: 0.002 became 0.5" in str(caught.value)


def test_other_data_is_refused(run: RunDirectory, make_learner: Any) -> None:
    interrupted(run, make_learner())
    with pytest.raises(CheckpointError, match="training examples: 96 became 95"):
        fit(make_learner(examples=95), CONFIG, run, resume=True, progress="silent")


def test_another_architecture_is_refused_by_name(run: RunDirectory, make_learner: Any) -> None:
    interrupted(run, make_learner())
    learner = make_learner()
    learner.module.head = torch.nn.Linear(6, 2)
    with pytest.raises(CheckpointError, match=r"head.weight has shape \(1, 6\), the model expects"):
        fit(learner, CONFIG, run, resume=True, progress="silent")


def test_another_rhythm_of_saving_is_allowed(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...]
) -> None:
    interrupted(run, make_learner())
    config = TrainingConfig(**{**vars(CONFIG), "checkpoint_seconds": 9.0})
    fit(make_learner(), config, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_another_number_of_threads_is_told(
    run: RunDirectory,
    make_learner: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupted(run, make_learner())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    fit(make_learner(), CONFIG, run, resume=True, progress="plain")
    assert "resuming with 2 threads, begun with 1" in capsys.readouterr().err


def test_a_damaged_checkpoint_stops_and_the_one_before_it_gives_the_same_result(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...]
) -> None:
    interrupted(run, make_learner())
    newest = max((run.path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is intact: delete the damaged file and resume"):
        fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    newest.unlink()
    fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    assert outcome(run) == expected


def test_a_full_disk_stops_training_and_loses_nothing(
    run: RunDirectory, make_learner: Any, expected: tuple[bytes, ...]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        learner = killed_at(
            make_learner(), "batch", 6, lambda: patch.setattr(os, "write", no_space_left)
        )
        with pytest.raises(CheckpointError, match="No space left on device"):
            fit(learner, CONFIG, run, progress="silent")
    fit(make_learner(), CONFIG, run, resume=True, progress="silent")
    assert outcome(run) == expected


def no_space_left(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_real_kills_lose_nothing() -> None:
    command = [sys.executable, str(BENCH), "--kills", "6", "--saves", "12", "--flips", "40"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = [json.loads(line) for line in done.stdout.splitlines()]
    trainings, savers, bits = (next(iter(part.values())) for part in parts)
    assert trainings["kills"] >= 6
    assert savers["kills"] == 12
    assert savers["saved"] >= 12
    assert bits["found"] == 40
    assert trainings["lost"] == savers["lost"] == bits["lost"] == 0
