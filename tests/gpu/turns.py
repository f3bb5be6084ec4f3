"""A pytest plugin: several processes take tests in turn, and write down what became of each.

A process whose GPU context is broken ends, so that its successor goes on with a sound one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
import torch
from _pytest.runner import runtestprotocol
from gpu_cases import NOTED

BROKEN = 77  # the exit code of a process that needs a successor
_LONGEST = 3000  # characters of a failure


class Turns:
    """Which tests this process runs, and where it writes."""

    def __init__(self, folder: Path, until: float):
        self.claims, self.until = folder / "claims", until
        self.log = (folder / f"{os.getpid()}.log").open("a", encoding="utf-8")
        self.reports: list[pytest.TestReport] = []

    def claim(self, name: str) -> bool:
        """Whether the test is this process's to run."""
        if time.time() > self.until:
            return False
        try:
            (self.claims / hashlib.sha256(name.encode()).hexdigest()).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def write(self, **found: object) -> None:
        self.log.write(json.dumps(found) + "\n")
        self.log.flush()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write(collected=[item.nodeid for item in session.items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        if self.claim(item.nodeid):
            self.write(began=item.nodeid, at=time.time())
            NOTED.clear()
            start = time.monotonic()
            self.reports = runtestprotocol(item, log=False, nextitem=None)
            seconds = time.monotonic() - start
            self.write(name=item.nodeid, seconds=round(seconds, 2), **outcome(self.reports))
            self.leave_if_broken(item.nodeid)
        return True

    def leave_if_broken(self, name: str) -> None:
        """After an error that the device does not recover from, all calls fail."""
        try:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
        except RuntimeError as error:
            self.write(broken=name, error=str(error).partition("\n")[0])
            self.log.close()
            os._exit(BROKEN)


def outcome(reports: list[pytest.TestReport]) -> dict[str, str]:
    """What became of a test, from the reports of its three phases."""
    for kind in ("failed", "skipped"):
        for report in reports:
            if report.outcome == kind:
                told = report.longrepr
                text = str(told[2]) if isinstance(told, tuple) else str(told)
                return {"outcome": kind, "told": text[-_LONGEST:]}
    return {"outcome": "passed", "told": "; ".join(NOTED)}


def pytest_configure(config: pytest.Config) -> None:
    folder = Path(os.environ["GATED_TURNS"])
    config.pluginmanager.register(Turns(folder, float(os.environ["GATED_TURNS_UNTIL"])))
