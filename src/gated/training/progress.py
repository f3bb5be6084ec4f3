"""How far training is: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from gated.errors import OptionError

if TYPE_CHECKING:
    import rich.progress

# A log that nobody watches: so many lines for a whole training, not one for each epoch of many.
_PLAIN_LINES = 25


class Progress(Protocol):
    """What the loop reports to. Write another one to show training elsewhere."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Training of `epochs` epochs and `steps` steps in all begins, or resumes after `done`."""

    def step(self, epoch: int) -> None:
        """One step of an epoch (counted from 1) is done."""

    def epoch(self, line: Mapping[str, Any]) -> None:
        """An epoch is done and validated; `line` is its line of metrics.jsonl."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def end(self) -> None:
        """Training is over, however it ended."""


def make_progress(kind: str | Progress) -> Progress:
    """ "auto" (a bar on a terminal, else lines), "bar", "plain", "silent", or a Progress itself.

    Bars and lines go to stderr: stdout belongs to results. Raises OptionError for another name.
    """
    if not isinstance(kind, str):
        return kind
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"
    makers = {"bar": Bar, "plain": Plain, "silent": Silent}
    if kind not in makers:
        raise OptionError(f"progress={kind!r}: expected auto, {', '.join(makers)}")
    made: Progress = makers[kind]()
    return made


class Silent:
    """Reports nothing."""

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Nothing."""

    def step(self, epoch: int) -> None:
        """Nothing."""

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Plain:
    """A line every few epochs: at most about 25 in all, to stderr or another stream."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Start the clock."""
        self._epochs = epochs
        self._every = math.ceil(epochs / _PLAIN_LINES)
        self._left = steps - done
        self._done = 0
        self._start = time.monotonic()

    def step(self, epoch: int) -> None:
        """Count."""
        self._done += 1

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Print the epoch, if its turn has come."""
        epoch = line["epoch"]
        if epoch == 1 or epoch % self._every == 0 or epoch == self._epochs:
            self.note(f"{describe(line, self._epochs)}{self._remaining()}")

    def _remaining(self) -> str:
        left = self._left - self._done
        if not (left and self._done):
            return ""
        seconds = (time.monotonic() - self._start) / self._done * left
        return f"  at most {_clock(seconds)} left"

    def note(self, text: str) -> None:
        """Print the text."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Nothing: every line is already out."""


class Bar:
    """A bar over all steps with the time left, at most; on stderr."""

    def __init__(self, console: Any = None):
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._bar: rich.progress.Progress | None = None

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Draw the bar."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._epochs = epochs
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(10),
            TextColumn("{task.percentage:3.0f} %  at most"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(f"epoch 1/{epochs}", total=steps, completed=done)
        self._bar.start()

    def step(self, epoch: int) -> None:
        """Move the bar."""
        if self._bar:
            self._bar.advance(self._task)

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Show the epoch's figures in front of the bar."""
        if self._bar:
            self._bar.update(self._task, description=describe(line, self._epochs))

    def note(self, text: str) -> None:
        """Print the text above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()


def describe(line: Mapping[str, Any], epochs: int) -> str:
    """One epoch in words, from its line of metrics.jsonl."""
    skipped = f"  {line['skipped']} steps skipped" if line["skipped"] else ""
    return (
        f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  loss {_figure(line['train_loss'])}"
        f"  validation {_figure(line['val_loss'])}{' *' if line['best'] else '  '}{skipped}"
    )


def _figure(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
