"""The directory of one training run: everything it was told, measured and learned."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from gated.errors import CheckpointError
from gated.training.atomic import disk_errors, hold, sweep, write_atomically
from gated.training.checkpoint import MODEL, load_model, load_state, save_model, save_state
from gated.training.environment import environment
from gated.training.record import (
    CONFIG,
    hindrances,
    jsonable,
    read_record,
    split_record,
    write_config,
)

_LOCK = ".lock"
_STATES = "checkpoints"
_METRICS = "metrics.jsonl"
_HISTORY = "history.json"
# What an old run leaves, in the order of removal: the configuration last, because until then
# the directory is still known to be a run.
_FILES = ("report.html", "environment.json", "scalers.json", _HISTORY, MODEL, _METRICS, CONFIG)


class RunDirectory:
    """A run: configuration, metrics, model, scalers, environment, report, checkpoints.

    Make one with `create`, go on with `resume`, or read one with `open`. The first two hold a lock
    until `close` (or the end of a `with` block), so that two trainers never share a directory.

        config.json         the resolved configuration, format and gated versions, model checksum
        metrics.jsonl       one JSON object an epoch; the same bytes however often interrupted
        history.json        best epoch, why training stopped, seconds; once it has
        model.safetensors   the best weights; once training has finished
        scalers.json        what undoes the scaling of the data
        environment.json    Python, PyTorch, gated, platform, threads, CPU
        report.html         the page
        checkpoints/        training states for resuming; gone once training has finished

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with RunDirectory.create(f"{place}/run", {"hidden_size": 8}) as run:
    ...         run.write_json("scalers.json", {"mean": 0.5})
    ...         run.save_model({"w": torch.ones(1)})
    ...     RunDirectory.open(f"{place}/run").finished
    True
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config: dict[str, Any] = {}
        self._lock: int | None = None

    @classmethod
    def create(
        cls, path: str | Path, config: Mapping[str, Any], *, overwrite: bool = False
    ) -> Self:
        """Begin a run in a new or empty directory, or in place of an old run with `overwrite`.

        Raises:
            CheckpointError: The directory holds something that is no run; or a run, and not
                `overwrite`; or another trainer is using it; or it cannot be written.
            OptionError: `config` cannot be written as JSON.
        """
        run = cls(path)
        resolved = jsonable(config)
        run._refuse_foreign()
        run._lock = hold(run.path / _LOCK)
        try:
            run._make_room(overwrite)
            run._begin(resolved)
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def resume(cls, path: str | Path, config: Mapping[str, Any] | None = None) -> Self:
        """Go on with a run, whatever ended it. With `config`, it must be the run's own.

        Raises:
            CheckpointError: There is no run; or its configuration differs (the message lists the
                names); or another trainer is using it.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise CheckpointError(f"there is no run in {run.path} to resume; start one first")
        run._refuse_foreign()
        run._lock = hold(run.path / _LOCK)
        try:
            sweep(run.path)
            run._adopt(None if config is None else jsonable(config))
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a run, finished or not, without locking it.

        Raises CheckpointError when the directory is no run.
        """
        run = cls(path)
        record = read_record(run.path)
        if not record:
            raise CheckpointError(
                f"{run.path} is not a run: it holds no {CONFIG}; give the directory of a training"
            )
        run.config, _ = split_record(record)
        return run

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def finished(self) -> bool:
        """Whether training ran to its end and the model stands here."""
        return "checksum" in read_record(self.path)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, one an epoch."""
        try:
            text = (self.path / _METRICS).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        # What follows the last line break was cut off by a kill.
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one epoch's line to metrics.jsonl."""
        path = self.path / _METRICS
        with disk_errors(path), path.open("a", encoding="utf-8") as file:
            file.write(_json_line(line))

    def write_metrics(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Make metrics.jsonl hold exactly these lines: what a resumed training knows to be true."""
        write_atomically(self.path / _METRICS, "".join(map(_json_line, lines)).encode())

    def save_model(self, tensors: Mapping[str, Tensor]) -> None:
        """Write the model with the run's configuration; the run is then finished."""
        save_model(self.path, tensors, self.config)
        self.drop_states()

    def load_model(self) -> dict[str, Tensor]:
        """The tensors of the trained model, every bit checked. Raises CheckpointError."""
        return load_model(self.path)[0]

    def save_state(self, tree: Any) -> None:
        """Write a training state; the one before it stays too."""
        save_state(self.path / _STATES, tree)

    def load_state(self) -> Any | None:
        """The newest training state, None when there is none. Raises CheckpointError if damaged."""
        return load_state(self.path / _STATES)

    def drop_states(self) -> None:
        """Remove every training state: nothing is left to resume."""
        shutil.rmtree(self.path / _STATES, ignore_errors=True)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file such as scalers.json, atomically; floats keep every bit."""
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run. Raises CheckpointError when it is missing or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot read {self.path / name}: {error}; expected what the training wrote there"
            ) from error

    def write_text(self, name: str, text: str) -> None:
        """Write a text file such as report.html, atomically."""
        write_atomically(self.path / name, text.encode())

    def _refuse_foreign(self) -> None:
        """Raise unless the directory is absent, empty, a run, or one that was killed at birth."""
        if self.path.exists() and not self.path.is_dir():
            raise CheckpointError(f"{self.path} is a file, expected a directory for the run")
        names = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        if names and _LOCK not in names and not split_record(read_record(self.path))[1]:
            raise CheckpointError(
                f"{self.path} is not empty and is not a run (it holds {sorted(names)[0]}); "
                "choose a new or empty directory"
            )

    def _make_room(self, overwrite: bool) -> None:
        if (self.path / CONFIG).exists() and not overwrite:
            state = "a finished run" if self.finished else "an unfinished run"
            remedy = "overwrite it" if self.finished else "resume it, overwrite it"
            raise CheckpointError(
                f"{self.path} holds {state}; {remedy}, or choose another directory"
            )
        sweep(self.path)
        self.drop_states()
        for name in _FILES:
            with disk_errors(self.path / name):
                (self.path / name).unlink(missing_ok=True)

    def _begin(self, config: dict[str, Any]) -> None:
        self.config = config
        with disk_errors(self.path):
            (self.path / _STATES).mkdir(exist_ok=True)
        self.write_json("environment.json", environment())
        write_config(self.path, config)

    def _adopt(self, config: dict[str, Any] | None) -> None:
        """Take over the configuration on disk, or begin anew when the kill came before it."""
        record = read_record(self.path)
        if not record:
            if config is None:
                raise CheckpointError(
                    f"{self.path} was interrupted before it held a configuration; "
                    "start the training again instead of resuming it"
                )
            self._begin(config)
            return
        self.config, _ = split_record(record)
        changed = [] if config is None else hindrances(self.config, config)
        if changed:
            raise CheckpointError(
                f"{self.path} was begun with another configuration: {'; '.join(changed)}; "
                "resume with the same one, or choose another directory"
            )


def _json_line(line: Mapping[str, Any]) -> str:
    return json.dumps(dict(line), allow_nan=False) + "\n"
