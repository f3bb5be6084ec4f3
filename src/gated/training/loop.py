"""`fit`: from a learner and a run directory to trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from gated.errors import CheckpointError, TrainingError
from gated.training.checkpoint import load_weights
from gated.training.config import TrainingConfig
from gated.training.engine import Learner
from gated.training.place import History
from gated.training.progress import Progress, make_progress
from gated.training.randomness import own_randomness
from gated.training.run import RunDirectory
from gated.training.signals import StopSignals
from gated.training.trainer import Trainer

_HISTORY = "history.json"


def fit(
    learner: Learner,
    config: TrainingConfig,
    run: RunDirectory,
    *,
    resume: bool = False,
    progress: str | Progress = "auto",
) -> History:
    """Train a learner's module; it ends in evaluation mode with the best weights found.

    A training that ended by Ctrl-C, SIGTERM, SIGKILL or a loss of power goes on bit for bit with
    `resume=True`, also in mid-epoch: the same weights, the same metrics.jsonl, as if it had never
    stopped (on one machine with one number of threads). The generators of PyTorch, NumPy and
    Python are seeded for training and given back as they were.

    Args:
        learner: The module, its examples, loss and validation.
        config: How to train.
        run: Where everything is written, from `RunDirectory.create` or `.resume`.
        resume: Go on from the run's newest checkpoint; with none, begin. A finished run is left
            as it is: its weights are loaded and its history is returned.
        progress: "auto", "bar", "plain", "silent", or a `Progress`.

    Raises:
        TrainingError: There are no examples; nothing can learn; too many steps in a row had no
            finite loss and gradient; no epoch had a finite validation loss.
        CheckpointError: A checkpoint is damaged, of another training, or cannot be written.
        Interrupted: Ctrl-C or SIGTERM came; the step was finished and all is saved.

    >>> import tempfile, torch
    >>> class Mean:
    ...     module = torch.nn.Linear(1, 1)
    ...     def __len__(self): return 64
    ...     def batch(self, indices): return {"y": indices.float().reshape(-1, 1) % 2}
    ...     def loss(self, batch): return (self.module(batch["y"]) - batch["y"]).square().mean()
    ...     def validate(self): return {"loss": float(self.loss(self.batch(torch.arange(64))))}
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with RunDirectory.create(f"{place}/run", {"task": "mean"}) as run:
    ...         history = fit(Mean(), TrainingConfig(max_epochs=3), run, progress="silent")
    >>> len(history.lines)
    3
    """
    if len(learner) == 0:
        raise TrainingError(
            "there are no training examples: the series may be shorter than context length plus "
            "horizon; give more data, or lower one of these"
        )
    with StopSignals() as stop, _shown(make_progress(progress)) as report:
        if run.finished:
            return _finished(learner, run, resume, report)
        trainer = Trainer(learner, config, run, report, stop)
        with own_randomness(config.seed, trainer.fabric.device):
            _begin(trainer, resume)
            while trainer.stopped() is None:
                trainer.run_epoch()
        return _finish(trainer)


@contextmanager
def _shown(report: Progress) -> Iterator[Progress]:
    try:
        yield report
    finally:
        report.end()


def _begin(trainer: Trainer, resume: bool) -> None:
    state = trainer.run.load_state()
    if state is None:
        trainer.save()
    elif resume:
        trainer.restore(state)
    else:
        raise CheckpointError(
            f"{trainer.run.path} holds an unfinished training; resume it, or overwrite it"
        )
    trainer.report.begin(trainer.config.max_epochs, trainer.total_steps, trainer.done_steps)


def _finish(trainer: Trainer) -> History:
    place, stopped = trainer.place, trainer.stopped()
    if trainer.best is None or place.best_loss is None or stopped is None:
        raise TrainingError(
            f"no validation loss was finite in {place.epoch} epochs; "
            "check the held-out data for huge or missing values, or lower the learning rate"
        )
    load_weights(trainer.module, trainer.best, "the best epoch")
    trainer.module.eval()
    history = History(tuple(place.lines), place.best_epoch, place.best_loss, stopped, place.seconds)
    content = {name: value for name, value in asdict(history).items() if name != "lines"}
    trainer.run.write_json(_HISTORY, content)
    trainer.run.save_model(trainer.best)
    trainer.report.note(history.describe())
    return history


def _finished(learner: Learner, run: RunDirectory, resume: bool, report: Progress) -> History:
    if not resume:
        raise CheckpointError(
            f"{run.path} holds a finished training; overwrite it, or choose another directory"
        )
    load_weights(learner.module, run.load_model(), f"the model in {run.path}")
    learner.module.eval()
    history = History(tuple(run.metrics), **run.read_json(_HISTORY))
    report.note(f"this training is finished, nothing was changed: {history.describe()}")
    return history
