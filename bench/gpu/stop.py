"""Stopping: a signal ends a run in order, and the processes that it started with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any


class Stop:
    """Whether the run was asked to end, by Ctrl-C or SIGTERM; a context.

    Attributes:
        signal: that asked, 0 if none did.
    """

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> Stop:
        self._before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        self.signal = number

    @property
    def code(self) -> int:
        """What a run that was stopped exits with."""
        return 128 + self.signal


def started(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process that Ctrl-C does not reach, and whatever it starts."""
    return subprocess.Popen(command, start_new_session=True, **options)


def ended(process: subprocess.Popen[bytes]) -> int:
    """End a process and whatever it started, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
