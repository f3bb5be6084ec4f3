"""How to train: the numbers, with defaults that need no expert."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from gated.errors import OptionError

SCHEDULES = ("cosine", "one-cycle", "constant")
# float16 needs its loss scaled and pure bfloat16 loses small updates: refused, not approximated.
PRECISIONS = ("32-true", "64-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train, checked when it is made. Raises OptionError that names the field.

    Attributes:
        max_epochs: Passes over the training examples, at most.
        batch_size: Examples a step.
        learning_rate: The peak of the schedule.
        schedule: "cosine" (warm-up, then down to 1 %), "one-cycle" (a third up, then down to
            nothing), or "constant" (warm-up, then level).
        warmup: The part of all steps that climb to the peak, for "cosine" and "constant".
        weight_decay: AdamW's, on matrices only: biases and gains are left alone.
        max_grad_norm: Longer gradients are shortened to this; 0 leaves them.
        patience: Epochs without a better validation loss before training stops; 0 never stops.
        ema_decay: Decay of the running average of the weights, which then is what is validated
            and kept; 0 means none.
        windows_per_epoch: At most so many examples an epoch, drawn anew each time; 0 means all.
        seed: Of the order of examples, dropout, and whatever else draws in training.
        device: "auto", "cpu", "cuda", "mps": a name that Lightning Fabric knows.
        precision: "32-true", "64-true" or "bf16-mixed".
        checkpoint_seconds: The most that a kill may cost; 0 saves after every step.
        max_skipped_steps: So many steps in a row without a finite loss and gradient stop training.
    """

    max_epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    patience: int = 8
    ema_decay: float = 0.0
    windows_per_epoch: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    checkpoint_seconds: float = 60.0
    max_skipped_steps: int = 10

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check_type(field.name, field.type)
        for name in ("max_epochs", "batch_size", "max_skipped_steps"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("weight_decay", "max_grad_norm", "checkpoint_seconds"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("patience", "windows_per_epoch", "seed"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("learning_rate", self.learning_rate > 0, "more than 0")
        self._require("warmup", 0 <= self.warmup < 1, "from 0 to below 1")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "from 0 to below 1")
        self._require("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        self._require("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _check_type(self, name: str, kind: object) -> None:
        value = getattr(self, name)
        if kind == "str":
            self._require(name, isinstance(value, str), "text")
        elif kind == "int":
            self._require(name, type(value) is int, "a whole number")
        else:
            self._require(name, type(value) in (int, float) and math.isfinite(value), "a number")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise OptionError(f"{name}={getattr(self, name)!r}: expected {expected}")


def learning_rate_at(config: TrainingConfig, step: int, total: int) -> float:
    """The learning rate of one step of `total`: a pure function, so that nothing need be saved.

    >>> [round(learning_rate_at(TrainingConfig(), step, 100), 5) for step in (0, 4, 5, 99)]
    [0.0004, 0.002, 0.002, 2e-05]
    """
    one_cycle = config.schedule == "one-cycle"
    rising = max(1, round((0.3 if one_cycle else config.warmup) * total))
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    if config.schedule == "constant":
        return config.learning_rate
    # The last step has the lowest rate; a step of size 0 would be a step for nothing.
    floor = 1e-4 if one_cycle else 0.01
    way = (step - rising) / max(1, total - 1 - rising)
    return config.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * way)) / 2)
