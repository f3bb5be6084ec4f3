"""The command line run in this process, and one small trained run that many tests look at."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from small_shops import SMALL, shops

from gated.cli import main


@dataclass(frozen=True)
class Shown:
    """What a command gave back and what it printed."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The only line of stderr."""
        assert self.err.count("\n") == 1, self.err
        return self.err.rstrip("\n")


@pytest.fixture
def gated(capfd):
    """Run a command line: `gated("cells", "lstm")`."""

    def run(*arguments: object) -> Shown:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Shown(code, *capfd.readouterr())

    return run


@pytest.fixture(autouse=True, scope="session")
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty directory to work in, with shops.csv: two shops, 120 days."""
    monkeypatch.chdir(tmp_path)
    shops().to_csv("shops.csv", index=False)
    return tmp_path


@pytest.fixture(scope="session")
def _trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    shops().to_csv(directory / "shops.csv", index=False)
    run = str(directory / "run")
    file = str(directory / "shops.csv")
    assert main(["train", "forecast", file, "--horizon=7", *SMALL, "--run", run, "--quiet"]) == 0
    return directory


@pytest.fixture
def run(_trained, place) -> Path:
    """A copy of a finished run, horizon 7, of shops.csv: its own to change or damage."""
    shutil.copytree(_trained / "run", "runs/shops")
    return Path("runs/shops")
