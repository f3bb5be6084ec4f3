"""The training loop: its parts, its state, and how both are saved."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from gated.errors import CheckpointError, TrainingError
from gated.training.average import AveragedWeights
from gated.training.checkpoint import load_weights
from gated.training.config import TrainingConfig, learning_rate_at
from gated.training.engine import Learner, Objective, make_fabric, make_optimizer
from gated.training.place import Place
from gated.training.progress import Progress
from gated.training.randomness import epoch_batches, random_state, set_random_state
from gated.training.record import hindrances
from gated.training.run import RunDirectory
from gated.training.signals import StopSignals


class Trainer:
    """One training in progress. `fit` makes it and drives it."""

    def __init__(
        self,
        learner: Learner,
        config: TrainingConfig,
        run: RunDirectory,
        report: Progress,
        stop: StopSignals,
    ):
        self.learner, self.config, self.run = learner, config, run
        self.report, self.stop = report, stop
        self.module = learner.module
        self.fabric = make_fabric(config)
        optimizer = make_optimizer(self.module, config)
        self.objective, self.optimizer = self.fabric.setup(Objective(learner), optimizer)
        self.average = AveragedWeights(self.module, config.ema_decay) if config.ema_decay else None
        self.best: dict[str, Tensor] | None = None
        self.place = Place()
        at_most = min(len(learner), config.windows_per_epoch or len(learner))
        self.steps_an_epoch = math.ceil(at_most / config.batch_size)
        self._resumed = self._saved = time.monotonic()

    @property
    def total_steps(self) -> int:
        """All steps of all epochs, if nothing stops training early."""
        return self.steps_an_epoch * self.config.max_epochs

    @property
    def done_steps(self) -> int:
        """Steps done so far, skipped ones included."""
        return self.place.epoch * self.steps_an_epoch + self.place.step

    def stopped(self) -> str | None:
        """Why training is over, None when it is not."""
        place, config = self.place, self.config
        if config.patience and place.epoch - place.best_epoch >= config.patience:
            return f"no better validation loss for {config.patience} epochs"
        return "all epochs done" if place.epoch >= config.max_epochs else None

    def run_epoch(self) -> None:
        """Train for the rest of an epoch, validate, save. Raises Interrupted after a signal."""
        config, place = self.config, self.place
        batches = epoch_batches(
            len(self.learner),
            config.batch_size,
            seed=config.seed,
            epoch=place.epoch,
            at_most=config.windows_per_epoch,
        )
        self.module.train()
        for indices in batches[place.step :]:
            self._step(indices)
            self.report.step(place.epoch + 1)
            self._save_if_due()
        self._validate()
        self.save()
        self._heed_signal()

    def _step(self, indices: Tensor) -> None:
        rate = learning_rate_at(self.config, self.done_steps, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.fabric.to_device(self.learner.batch(indices))
        loss = self.objective(batch)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.objective,
            self.optimizer,
            max_norm=self.config.max_grad_norm or math.inf,
            error_if_nonfinite=False,
        )
        assert norm is not None  # Fabric gives one whenever it is given max_norm
        loss_value, norm_value = loss.item(), norm.item()
        if math.isfinite(loss_value) and math.isfinite(norm_value):
            self.optimizer.step()
            if self.average:
                self.average.update()
            self.place.count(len(indices), loss_value, norm_value)
        else:
            self.place.skip()
        self.optimizer.zero_grad()
        if self.place.skipped_in_row >= self.config.max_skipped_steps:
            raise TrainingError(self._diverged(indices, loss_value, norm_value))

    def _diverged(self, indices: Tensor, loss: float, norm: float) -> str:
        culprits = [int(index) for index in indices if not self._finite_alone(index)]
        blame = f"alone, {_some(culprits)} give no finite loss; " if culprits else ""
        return (
            f"{self.place.skipped_in_row} steps in a row without a finite loss and gradient, up to "
            f"epoch {self.place.epoch + 1}, step {self.place.step}: loss {loss}, gradient norm "
            f"{norm}, batch of examples {_some(indices.tolist())}; {blame}"
            "check these examples for huge or missing values, or lower the learning rate"
        )

    @torch.no_grad()
    def _finite_alone(self, index: Tensor) -> bool:
        batch = self.fabric.to_device(self.learner.batch(index.reshape(1)))
        return math.isfinite(self.objective(batch).item())

    def _validate(self) -> None:
        self.module.eval()
        with self.average.applied() if self.average else nullcontext():
            with torch.no_grad(), self.fabric.autocast():
                figures = self.learner.validate()
            rate = self.optimizer.param_groups[0]["lr"]
            line = self.place.end_epoch(rate, figures)
            if line["best"]:
                self.best = {
                    name: value.detach().clone() for name, value in self.module.state_dict().items()
                }
        self.run.append_metrics(line)
        self.report.epoch(line)

    def _save_if_due(self) -> None:
        due = time.monotonic() - self._saved >= self.config.checkpoint_seconds
        if due or self.stop.requested:
            self.save()
            self._heed_signal()

    def _heed_signal(self) -> None:
        self.stop.check(
            f"saved in {self.run.path} after epoch {self.place.epoch}, step {self.place.step} of "
            f"{self.steps_an_epoch} of the next; resume it, and the result will be the same"
        )

    def save(self) -> None:
        """Write all that a resumption needs to go on bit for bit."""
        now = time.monotonic()
        self.place.seconds += now - self._resumed
        self._resumed = now
        self.run.save_state(
            {
                "config": asdict(self.config),
                "examples": len(self.learner),
                "threads": torch.get_num_threads(),
                "place": asdict(self.place),
                "module": dict(self.module.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average else None,
                "best": self.best,
                "random": random_state(self.fabric.device),
            }
        )
        self._saved = time.monotonic()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. Raises CheckpointError when it is of another training."""
        old = {**state["config"], "training examples": state["examples"]}
        new = {**asdict(self.config), "training examples": len(self.learner)}
        changed = hindrances(old, new)
        if changed:
            raise CheckpointError(
                f"{self.run.path} was begun differently: {'; '.join(changed)}; "
                "resume with the same configuration and data, or choose another directory"
            )
        if state["threads"] != torch.get_num_threads():
            self.report.note(
                f"resuming with {torch.get_num_threads()} threads, begun with {state['threads']}: "
                "the result may differ in the last bits"
            )
        load_weights(self.module, state["module"], f"the checkpoint in {self.run.path}")
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.best = state["best"]
        self.place = Place(**state["place"])
        self.run.write_metrics(self.place.lines)
        set_random_state(state["random"], self.fabric.device)


def _some(numbers: list[int], at_most: int = 16) -> str:
    shown = ", ".join(map(str, numbers[:at_most]))
    rest = len(numbers) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown
