"""What a kill costs: kill -9 a training, a saver, and flip bits, and count what was lost.

    python bench/kill_resume.py --kills 200 --saves 1000 --flips 500

A small LSTM with dropout, an averaged copy of its weights and a random subset of examples each
epoch is trained in a child process that saves after every step. The child is killed at random
moments and resumed until it finishes; then weights, optimiser, averages, random states and
metrics must equal those of a training that was never interrupted, bit for bit.

Exits with 1 if anything was lost. Children are forks of this process, which has imported PyTorch
and uses one thread, so that a kill costs milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning_fabric  # noqa: F401  # imported before the forks, so that none pays for it
import torch
from torch import Tensor, nn

from gated.errors import CheckpointError
from gated.training import RunDirectory, TrainingConfig, fit, load_model, save_model
from gated.training.checkpoint import load_state, save_state

CONFIG = TrainingConfig(
    max_epochs=6,
    batch_size=32,
    windows_per_epoch=384,
    ema_decay=0.9,
    seed=3,
    device="cpu",
    checkpoint_seconds=0,
)


class Network(nn.Module):
    """A two-layer LSTM with dropout and a linear head: (B, T, 2) to (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 16, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Adding:
    """The adding problem, T = 20: the sum of the two marked numbers of a sequence."""

    def __init__(self) -> None:
        torch.manual_seed(7)
        self.module = Network()
        numbers = torch.rand(640, 20)
        marks = torch.zeros(640, 20)
        marks[:, (3, 12)] = 1.0
        self.x = torch.stack([numbers, marks], -1)
        self.y = (numbers * marks).sum(1, keepdim=True)

    def __len__(self) -> int:
        return 512

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {"x": self.x[indices], "y": self.y[indices]}

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.module(batch["x"]) - batch["y"]).square().mean()

    def validate(self) -> dict[str, float]:
        return {"loss": float(self.loss(self.batch(torch.arange(512, 640))))}


class KeepingRun(RunDirectory):
    """A run that keeps its last training state, so that all of it can be compared."""

    def drop_states(self) -> None:
        """Nothing."""


def train(path: Path) -> None:
    """Train in `path`, or resume what stands there."""
    begin = KeepingRun.resume if path.exists() else KeepingRun.create
    with begin(path, {"task": "adding"}) as run:
        fit(Adding(), CONFIG, run, resume=True, progress="silent")


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child process; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def kill_after(child: int, seconds: float) -> int:
    """Wait so long, then kill -9 the child; return its exit code, -9 if the kill hit it."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(path: Path) -> dict[str, Any]:
    """Everything that a training left behind, except how long it took."""
    state = load_state(path / "checkpoints")
    state["place"].pop("seconds")
    return {
        "state": state,
        "model": (path / "model.safetensors").read_bytes(),
        "config": (path / "config.json").read_bytes(),
        "metrics": (path / "metrics.jsonl").read_bytes(),
    }


def equal(one: Any, other: Any) -> bool:
    """Whether two nested values are equal to the last bit."""
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def strays(directory: Path) -> int:
    """How many half-written files stand in a directory tree."""
    return sum(1 for _ in directory.rglob(".*.writing"))


def uninterrupted(path: Path) -> tuple[float, dict[str, Any]]:
    """How long a training takes that nobody kills, and what it leaves."""
    start = time.monotonic()
    if os.waitpid(fork(lambda: train(path)), 0)[1]:
        raise SystemExit("the uninterrupted training failed")
    return time.monotonic() - start, outcome(path)


def kill_trainings(kills: int, chance: random.Random, place: Path) -> dict[str, Any]:
    """Kill trainings until so many kills have hit; count those that did not end as they should."""
    whole, truth = uninterrupted(place / "one")
    again, same = uninterrupted(place / "two")
    if not equal(truth, same):
        raise SystemExit("two uninterrupted trainings differ: nothing can be compared")
    whole = min(whole, again)
    count = {"kills": 0, "while_saving": 0, "trainings": 0, "lost": 0}
    while count["kills"] < kills:
        path = place / f"run{count['trainings']}"
        code = -9
        while code == -9:
            code = kill_after(fork(lambda path=path: train(path)), chance.uniform(0, whole / 2))
            count["kills"] += code == -9
            count["while_saving"] += code == -9 and strays(path) > 0
        count["trainings"] += 1
        if code or not equal(outcome(path), truth) or strays(path):
            count["lost"] += 1
        shutil.rmtree(path)
    return {**count, "seconds_uninterrupted": round(whole, 2)}


def kill_savers(saves: int, chance: random.Random, place: Path) -> dict[str, Any]:
    """Kill a process that only saves; each time the last acknowledged save, or a later, loads."""
    states, model = place / "states", place / "model"
    count = {"kills": 0, "while_saving": 0, "saved": 0, "lost": 0}
    acknowledged = -1
    while count["kills"] < saves:
        reader, writer = os.pipe()

        def work(writer: int = writer, first: int = acknowledged + 1) -> None:
            for number in range(first, first + 1_000_000):
                tensors = {"a": torch.full((20_000,), number), "b": torch.full((5_000,), number)}
                save_state(states, {"number": number, **tensors})
                save_model(model, tensors, {"number": number})
                os.write(writer, number.to_bytes(8, "little"))

        child = fork(work)
        os.close(writer)
        os.read(reader, 8)  # the first save of each child is done: nothing is killed at birth
        kill_after(child, chance.uniform(0, 0.02))
        with os.fdopen(reader, "rb") as pipe:
            acks = pipe.read()
        count["kills"] += 1
        count["while_saving"] += strays(place) > 0
        acknowledged += 1 + len(acks) // 8
        found = check_savers(states, model, acknowledged)
        count["lost"] += found is None
        acknowledged = acknowledged if found is None else found
    count["saved"] = acknowledged
    return count


def check_savers(states: Path, model: Path, acknowledged: int) -> int | None:
    """The newest number that loads whole, None when it is older than acknowledged or mixed."""
    try:
        state = load_state(states)
        tensors, config = load_model(model)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return None
    whole = all(
        bool((values[name] == number).all())
        for values, number in ((state, state["number"]), (tensors, config["number"]))
        for name in ("a", "b")
    )
    oldest = min(state["number"], config["number"])
    return max(state["number"], config["number"]) if whole and oldest >= acknowledged else None


def flip_bits(flips: int, chance: random.Random, place: Path) -> dict[str, Any]:
    """Flip one bit at a time, in a training state and in a model; count what is noticed."""
    tensors = {
        f"weight{i}": torch.randn(40, generator=torch.Generator().manual_seed(i)) for i in range(8)
    }
    save_state(place / "states", {"epoch": 3, **tensors})
    save_model(place / "model", tensors, {"hidden_size": 8})
    files: list[tuple[Path, Callable[[], Any]]] = [
        (place / "states" / "state-000000.safetensors", lambda: load_state(place / "states")),
        (place / "model" / "model.safetensors", lambda: load_model(place / "model")),
    ]
    found = 0
    for turn in range(flips):
        path, load = files[turn % 2]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        try:
            load()
        except CheckpointError:
            found += 1
        path.write_bytes(good)
        load()
    return {"flips": flips, "found": found, "lost": flips - found}


def main() -> int:
    """Run the three parts and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="kills of a training")
    parser.add_argument("--saves", type=int, default=0, help="kills of a process that only saves")
    parser.add_argument("--flips", type=int, default=0, help="bits to flip")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the bits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = (
        ("trainings", kill_trainings, options.kills),
        ("savers", kill_savers, options.saves),
        ("bits", flip_bits, options.flips),
    )
    lost = 0
    for name, part, many in parts:
        if many:
            with tempfile.TemporaryDirectory() as place:
                start = time.monotonic()
                result = part(many, random.Random(options.seed), Path(place))
                result["seconds"] = round(time.monotonic() - start, 1)
            print(json.dumps({name: result}), flush=True)
            lost += result["lost"]
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
