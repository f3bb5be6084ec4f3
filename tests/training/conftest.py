"""A small learner with dropout, and runs for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gated.training import RunDirectory


class Network(nn.Module):
    """(B, T, 1) to (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 6, num_layers=2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Sines:
    """The next value of sine waves: 96 training examples, 32 held out."""

    def __init__(self, examples: int = 96) -> None:
        torch.manual_seed(5)
        self.module = Network()
        phase = torch.rand(128, 1) * 6.0
        waves = torch.sin(phase + torch.arange(9) * 0.7)
        self.x, self.y = waves[:, :8, None], waves[:, 8:]
        self.examples = examples

    def __len__(self) -> int:
        return self.examples

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        return {"x": self.x[indices], "y": self.y[indices]}

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.module(batch["x"]) - batch["y"]).square().mean()

    def validate(self) -> dict[str, float]:
        weight = next(self.module.parameters())
        held_out = {k: v.to(weight.dtype) for k, v in self.batch(torch.arange(96, 128)).items()}
        loss = float(self.loss(held_out))
        return {"loss": loss, "rmse": loss**0.5}

    def weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.module.state_dict().items()}


@pytest.fixture
def learner() -> Sines:
    return Sines()


@pytest.fixture
def make_learner() -> Callable[..., Sines]:
    return Sines


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(tmp_path / "run", {"hidden_size": 6}) as run:
        yield run


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[Callable[..., RunDirectory]]:
    made: list[RunDirectory] = []

    def make(name: str, config: dict[str, Any] | None = None) -> RunDirectory:
        made.append(RunDirectory.create(tmp_path / name, config or {"hidden_size": 6}))
        return made[-1]

    yield make
    for run in made:
        run.close()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
