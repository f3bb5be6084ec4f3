"""Ctrl-C and SIGTERM, turned into a request that training heeds between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from gated.errors import GatedError


class Interrupted(GatedError):
    """Training was stopped by a signal and can be resumed.

    `exit_code` is what a process should exit with: 130 after Ctrl-C (SIGINT), 143 after SIGTERM.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum


class StopSignals:
    """Within the block, the first SIGINT or SIGTERM sets `requested`; the second one raises.

    Only the main thread can take signals; elsewhere the block changes nothing.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._handle)
        return self

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise Interrupted(
                "stopped at once, without saving; resume to go on from the last checkpoint", signum
            )
        self.requested = signum

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if error is None:
            self.check("all is saved")

    def check(self, saved: str) -> None:
        """Raise Interrupted if a signal has come; `saved` says what was saved."""
        if self.requested is not None:
            name = "Ctrl-C" if self.requested == signal.SIGINT else "SIGTERM"
            raise Interrupted(f"stopped by {name}; {saved}", self.requested)
