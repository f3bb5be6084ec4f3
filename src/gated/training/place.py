"""Where a training stands, and what came of it when it is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gated.errors import TrainingError


@dataclass
class Place:
    """Where a training stands, beside weights, optimiser and random states: plain, JSON-able.

    `epoch` and `step` count what is done; a step is done whether or not it was skipped.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    seen: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, examples: int, loss: float, norm: float) -> None:
        """Note a step that was taken."""
        self.step += 1
        self.skipped_in_row = 0
        self.seen += examples
        self.loss_sum += loss * examples
        self.norm_sum += norm

    def skip(self) -> None:
        """Note a step that was not taken."""
        self.step += 1
        self.skipped += 1
        self.skipped_in_row += 1

    def end_epoch(self, learning_rate: float, validation: Mapping[str, float]) -> dict[str, Any]:
        """Close the epoch and return its line for metrics.jsonl; NaN and infinity become null.

        Raises TrainingError when the validation gave no "loss".
        """
        if "loss" not in validation:
            raise TrainingError(
                f'validate() gave {sorted(validation)}, expected a dict that holds "loss"'
            )
        loss = float(validation["loss"])
        best = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        self.epoch += 1
        line = {
            "epoch": self.epoch,
            "learning_rate": learning_rate,
            "train_loss": self.loss_sum / self.seen if self.seen else None,
            "grad_norm": self.norm_sum / (self.step - self.skipped) if self.seen else None,
            "skipped": self.skipped,
            **{f"val_{name}": _finite(value) for name, value in validation.items()},
            "best": best,
        }
        if best:
            self.best_loss, self.best_epoch = loss, self.epoch
        self.lines.append(line)
        self.step = self.seen = self.skipped = 0
        self.loss_sum = self.norm_sum = 0.0
        return line


@dataclass(frozen=True)
class History:
    """What came of a training.

    Attributes:
        lines: One dict an epoch, as in metrics.jsonl: epoch, learning_rate, train_loss,
            grad_norm, skipped, val_loss and whatever else validate() gave, best.
        best_epoch: The epoch (from 1) whose weights were kept.
        best_loss: Its validation loss.
        stopped: Why training ended, in words.
        seconds: Wall time, over all sessions when it was resumed.
    """

    lines: tuple[dict[str, Any], ...]
    best_epoch: int
    best_loss: float
    stopped: str
    seconds: float

    def describe(self) -> str:
        """One line for people."""
        epochs = "1 epoch" if len(self.lines) == 1 else f"{len(self.lines)} epochs"
        return (
            f"{self.stopped} after {epochs} and {self.seconds:.1f} s; "
            f"best epoch {self.best_epoch}, validation loss {self.best_loss:.4g}"
        )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
