"""Row 30 of the faults: a signal ends with 130 or 143, one line, and nothing lost."""

import errno
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_shops import SMALL

from gated.training.trainer import Trainer

ARGUMENTS = ["train", "forecast", "shops.csv", "--horizon=7", *SMALL, "--max-epochs=20",
             "--patience=0"]  # fmt: skip


def start(*arguments):
    command = [sys.executable, "-m", "gated", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_stopped_training_goes_on_to_the_same_bits(gated, place):
    gated(*ARGUMENTS, "--run", "whole", "--quiet")
    metrics = Path("runs/shops/metrics.jsonl")
    process = start(*ARGUMENTS, "--quiet")
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err.count("\n") == 1, err
    assert metrics.read_text().count("\n") < 20

    how = err.strip().partition("to go on: gated ")[2]
    assert how == "train forecast --resume --run runs/shops"
    assert gated(*shlex.split(how), "--quiet").code == 0
    for name in ("model.safetensors", "metrics.jsonl", "scalers.json"):
        assert Path("runs/shops", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.fixture
def stopped(gated, place, monkeypatch):
    """runs/shops, stopped by Ctrl-C after its first epoch."""
    run_epoch = Trainer.run_epoch

    def run_one_epoch(trainer):
        run_epoch(trainer)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", run_one_epoch)
        shown = gated(*ARGUMENTS, "--quiet")
    assert (shown.code, shown.out) == (130, "")
    assert shown.line.endswith("to go on: gated train forecast --resume --run runs/shops")
    return Path("runs/shops")


def test_a_stopped_training_cannot_be_evaluated_but_says_how_to_go_on(gated, stopped):
    shown = gated("evaluate", stopped)
    assert shown.code == 2
    assert "go on with: gated train forecast --resume --run runs/shops" in shown.line


def test_resuming_by_the_file_finds_its_newest_run(gated, stopped):
    assert gated("train", "forecast", "shops.csv", "--resume", "--quiet").code == 0
    assert gated("evaluate", stopped).code == 0


def test_25_a_damaged_checkpoint_is_kept_and_the_one_before_it_offered(gated, stopped):
    older, newest = sorted((stopped / "checkpoints").glob("state-*"))
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    shown = gated("train", "forecast", "--resume", "--run", stopped, "--quiet")
    assert shown.code == 2
    assert f"the one before it, {older.name}, is intact" in shown.line
    assert newest.exists()
    newest.unlink()
    assert gated("train", "forecast", "--resume", "--run", stopped, "--quiet").code == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_training_ends_in_one_line(place, sent, code):
    os.mkfifo("slow.csv")  # reading it waits for a writer that never comes
    process = start("train", "forecast", "slow.csv")
    wait_for(lambda: _is_read("slow.csv"))
    out, err = ended(process, sent)
    assert (process.returncode, out) == (code, "")
    assert err.count("\n") == 1, err
    assert err.startswith("stopped by")


def ended(process, sent):
    """What it printed. A signal that comes just before Python's read() waits for the next one."""
    for _ in range(5):
        process.send_signal(sent)
        try:
            return process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return process.communicate()


def _is_read(fifo):
    """Whether someone reads the pipe; if so, it is held open, so that the reader waits."""
    try:
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return False
    return True
