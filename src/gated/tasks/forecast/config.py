"""What can be said about a forecast: one field each, with the help that the command line prints."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gated.cells import cell as find_cell
from gated.errors import OptionError
from gated.training import TrainingConfig

LOSSES = ("quantile", "mse", "mae", "huber")
SCALINGS = ("auto", "level", "log", "series")
# What the classic recurrent forecaster of the tutorials is: LSTM(50), a linear head, MSE, Adam.
CLASSIC: dict[str, Any] = {
    "hidden_size": 50, "num_layers": 1, "dropout": 0.0, "loss": "mse", "skip": False,
    "scaling": "series", "season_inputs": False, "origins": 1, "weight_decay": 0.0,
    "ema_decay": 0.0, "learning_rate": 1e-3, "schedule": "constant",
}  # fmt: skip


def _say(default: Any, text: str, group: str) -> Any:
    metadata = {"help": text, "group": group}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ForecastConfig:
    """How to forecast. What is None is found from the data and written into the run.

    Each field's `metadata["help"]` says what it means; the command line and the configuration file
    take the same names.

    Raises:
        OptionError: a value makes no sense; the message names the field.
        CellError: there is no such cell.
    """

    target: str | None = _say(
        None, "Column to forecast; '*' makes every numeric column a series.", "data"
    )
    time_col: str | None = _say(None, "Column of dates or step numbers.", "data")
    id_col: str | None = _say(None, "Column that tells the series of a long table apart.", "data")
    freq: str | None = _say(None, "Frequency, as pandas writes it: h, 30min, D, W, MS.", "data")
    season: int | None = _say(None, "Steps in a season, 1 if there is none.", "data")
    past: tuple[str, ...] = _say((), "Covariates known up to now.", "data")
    future: tuple[str, ...] = _say((), "Covariates known ahead, such as holidays.", "data")
    val_size: int | None = _say(None, "Steps before the test part that choose the weights.", "data")
    test_size: int | None = _say(None, "Last steps, held out for the verdict.", "data")
    horizon: int | None = _say(None, "Steps to forecast.", "forecast")
    context_length: int | None = _say(None, "Steps the network looks back.", "forecast")
    loss: str = _say("quantile", f"One of {', '.join(LOSSES)}.", "forecast")
    quantiles: tuple[float, ...] = _say(
        (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95), "Quantiles to forecast.", "forecast"
    )
    classic: bool = _say(False, "The textbook model: LSTM(50), linear head, MSE, Adam.", "network")
    cell: str = _say("lstm", "Cell, see `gated cells`.", "network")
    hidden_size: int = _say(64, "Units of a layer.", "network")
    num_layers: int = _say(1, "Recurrent layers.", "network")
    dropout: float = _say(0.1, "Share of hidden units dropped in training.", "network")
    skip: bool = _say(
        True, "Add the last value and a linear part to the network's forecast.", "network"
    )
    scaling: str = _say(
        "auto",
        "What the network sees: values scaled by series, less each window's mean (level); the same "
        "of their logarithms (log); or values scaled by series alone (series).",
        "network",
    )
    season_inputs: bool = _say(True, "Show each step the values of the last season.", "network")
    origins: int = _say(24, "Forecast origins that one training window teaches.", "network")
    max_epochs: int = _say(30, "Passes over the training windows, at most.", "training")
    batch_size: int = _say(32, "Windows a step.", "training")
    learning_rate: float = _say(2e-3, "Peak of the schedule.", "training")
    schedule: str = _say("cosine", "cosine, one-cycle or constant.", "training")
    weight_decay: float = _say(0.01, "Of AdamW, on matrices.", "training")
    max_grad_norm: float = _say(1.0, "Longer gradients are clipped to this; 0: never.", "training")
    ema_decay: float = _say(0.98, "Decay of the running average of weights; 0: none.", "training")
    patience: int = _say(8, "Epochs without progress before training stops; 0: never.", "training")
    windows_per_epoch: int = _say(1600, "Windows drawn an epoch, at most; 0: all.", "training")
    seed: int = _say(0, "Of weights, order and dropout.", "training")
    device: str = _say("auto", "auto, cpu, cuda, mps.", "training")
    precision: str = _say("32-true", "32-true, 64-true or bf16-mixed.", "training")
    checkpoint_seconds: float = _say(30.0, "Seconds between checkpoints.", "training")

    def __post_init__(self) -> None:
        self._require("cell", isinstance(self.cell, str), "the name of a cell of the catalogue")
        graph = find_cell(self.cell).graph
        plain = len(graph.inputs) == 1 and set(graph.letters) <= {"D", "H"}
        self._require("cell", plain, "a cell with one input and no sizes but D and H, as lstm has")
        for name in ("past", "future"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        object.__setattr__(self, "quantiles", tuple(sorted(float(q) for q in self.quantiles)))
        for name in ("horizon", "context_length", "season", "val_size", "test_size"):
            self._whole(name, may_be_none=True)
        for name in ("hidden_size", "num_layers", "origins"):
            self._whole(name)
        self._require("loss", self.loss in LOSSES, f"one of {', '.join(LOSSES)}")
        self._require("scaling", self.scaling in SCALINGS, f"one of {', '.join(SCALINGS)}")
        self._require("dropout", 0 <= self.dropout < 1, "a share from 0 to below 1")
        self._require(
            "quantiles",
            _distinct(self.quantiles),
            "different numbers between 0 and 1, 0.5 among them",
        )
        self.training()

    @classmethod
    def make(cls, options: Mapping[str, Any]) -> ForecastConfig:
        """A configuration from a mapping, where `classic` sets what is not given otherwise.

        Raises:
            OptionError: there is no such option; the message gives the nearest.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
                raise OptionError(f"there is no option {name!r}: {hint}")
        base = CLASSIC if options.get("classic") else {}
        try:
            return cls(**{**base, **options})
        except (TypeError, ValueError) as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(f"options cannot be read: {error}") from error

    def training(self) -> TrainingConfig:
        """The part that the training loop reads."""
        names = {f.name for f in dataclasses.fields(TrainingConfig)}
        mine = {f.name for f in dataclasses.fields(self)}
        return TrainingConfig(**{name: getattr(self, name) for name in names & mine})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        plain = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    def _whole(self, name: str, may_be_none: bool = False) -> None:
        value = getattr(self, name)
        if not (value is None and may_be_none):
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            self._require(name, whole, "a whole number of at least 1")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise OptionError(f"{name}={getattr(self, name)!r}: expected {expected}")


def _distinct(quantiles: tuple[float, ...]) -> bool:
    different = len({f"{q:g}" for q in quantiles}) == len(quantiles)  # as columns name them
    return different and 0.5 in quantiles and all(0 < q < 1 for q in quantiles)
