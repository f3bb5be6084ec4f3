"""All tests that need a GPU, in minutes: `make test-gpu`.

    PYTHONPATH=src python3 tests/gpu/run.py [--minutes 8.5] [--processes 12] [--out FOLDER]
                                            [-k catalogue, or what else pytest takes]

Several processes share the tests, the telling ones first, and the GPU: most of their time is
spent in compiling kernels. A process that a test breaks, or that hangs, is replaced by another,
so that one bad kernel costs one test. What became of each test, and which ones there was no time
for, is written to FOLDER/test-DEVICE.txt, and again every few seconds, so that a run that is
stopped leaves what it found. Tests that were chosen are written to FOLDER/test-DEVICE-partial.txt,
and so is a run that is less far than the one whose file stands there. Exits with 0 if every test
ran, none failed and one passed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.gpu.stop import Stop, ended, started

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTS = HERE
BROKEN = 77  # see `turns`
_LIMIT = 100.0  # seconds after which a test hangs
_LAST = 20.0  # seconds before the end in which no test begins
_EACH = "Each test:"


OUTCOMES = ("passed", "failed", "skipped")


class Test(NamedTuple):
    """What became of a test: "passed", "failed" or "skipped", and what was told."""

    outcome: str
    seconds: float
    told: str


@dataclass
class Process:
    """A process of pytest, and what it has written."""

    running: subprocess.Popen[bytes]
    log: Path
    out: Path
    began: tuple[str, float] | None = None
    read: int = 0


@dataclass
class Found:
    """What is known of all tests.

    Attributes:
        collected: their names, in their order.
        tests: what became of each.
        trouble: what befell processes.
    """

    collected: list[str] = field(default_factory=list)
    tests: dict[str, Test] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)

    def add(self, name: str, outcome: str, seconds: float, told: str = "") -> None:
        """What became of a test."""
        self.tests[name] = Test(outcome, seconds, told)
        if outcome == "failed":
            print(f"FAILED {name}: {told.strip().splitlines()[-1][:200]}", flush=True)

    def of(self, outcome: str) -> list[str]:
        """The tests with this outcome, in their order."""
        return [n for n in self.collected if n in self.tests and self.tests[n].outcome == outcome]

    @property
    def counts(self) -> str:
        """How many there are of each outcome."""
        told = [f"{len(self.of(outcome))} {outcome}" for outcome in OUTCOMES]
        return f"{', '.join(told)}, {len(self.left)} not run of {len(self.collected)} tests"

    @property
    def left(self) -> list[str]:
        """The tests that were not run."""
        return [name for name in self.collected if name not in self.tests]


def main() -> int:
    """0 if every test ran, none failed and one passed, else 1; when stopped, by its signal."""
    options = _options()
    with Stop() as stop:
        known = _device()
        if isinstance(known, str):
            print("stopped; written: nothing" if stop.signal else known)
            return stop.code if stop.signal else 1
        if "capability" not in known and os.environ.get("GATED_TEST_DEVICE") != "cpu":
            print("there is no CUDA device here; GATED_TEST_DEVICE=cpu and TRITON_INTERPRET=1 in")
            print("the environment run kernels in Triton's interpreter, which takes hours: choose")
            print('tests with GPU="-k first"')
            return 1
        found, file = Found(), File(options, known)
        with tempfile.TemporaryDirectory() as folder:
            Watch(Path(folder), options, found, stop).run(lambda: file.save(found))
    path = file.save(found)
    if stop.signal:
        print(f"stopped; written: {path}")
        return stop.code
    print(path.read_text("utf-8").partition(_EACH)[0])
    print(f"written: {path}")
    return 1 if found.of("failed") or found.left or not found.of("passed") else 0


class File:
    """The file of results: no other run's that knows more is written over."""

    def __init__(self, options: argparse.Namespace, facts: dict[str, object]):
        self.start = time.time()
        self.heading = ", ".join(f"{name} {value}" for name, value in facts.items())
        if options.pytest:
            self.heading += f"\nPARTIAL: only {' '.join(options.pytest)}"
        options.out.mkdir(parents=True, exist_ok=True)
        name = f"test-{file_name(facts)}"
        self.whole, self.partial = (options.out / f"{name}{end}.txt" for end in ("", "-partial"))
        known = self.whole.read_text("utf-8") if self.whole.exists() else ""
        self.least = len(known.partition(_EACH)[2].splitlines()) - 1
        self.chosen, self.written = bool(options.pytest), self.partial

    def save(self, found: Found) -> Path:
        """Write what is known, and return where."""
        last = self.written
        small = self.chosen or len(found.tests) < self.least
        self.written = self.partial if small else self.whole
        self.written.write_text(_text(found, self.heading, self.start), "utf-8")
        if last != self.written:
            last.unlink(missing_ok=True)
        return self.written


def file_name(facts: dict[str, object]) -> str:
    """The device's name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", str(facts["device"]).lower()).strip("-") or "cpu"


class Watch:
    """Processes that share the tests, each replaced when a test ends it."""

    def __init__(self, folder: Path, options: argparse.Namespace, found: Found, stop: Stop):
        self.folder, self.options, self.found, self.stop = folder, options, found, stop
        self.start = time.time()
        self.end = self.start + 60 * options.minutes
        (folder / "claims").mkdir()
        self.processes: list[Process] = []

    def run(self, save: Callable[[], object]) -> None:
        """Until all tests were run or time is up; what is known is saved every few seconds."""
        try:
            self.processes += [self._started() for _ in range(self.options.processes)]
            self._watch(save)
        finally:
            for process in self.processes:
                ended(process.running)
        for process in self.processes:
            self._read(process)
            if process.began:
                why = "the run was stopped" if self.stop.signal else "time was up"
                self.found.trouble.append(f"{why} within {process.began[0]}")

    def _watch(self, save: Callable[[], object]) -> None:
        saved = self.start
        while self.processes and time.time() < self.end and not self.stop.signal:
            time.sleep(0.3)
            for process in list(self.processes):
                self._look_at(process)
            if time.time() - saved > 10:
                saved = time.time()
                save()
                print(f"{saved - self.start:4.0f} s: {self.found.counts}", flush=True)

    def _look_at(self, process: Process) -> None:
        """Whether the process goes on, hangs, or has ended and needs a successor."""
        code = process.running.poll()
        self._read(process)
        if process.began and code is None and time.time() - process.began[1] > _LIMIT:
            code = ended(process.running)
            self._lost(process, f"no end after {_LIMIT:.0f} s")
        elif process.began and code is not None:
            self._lost(process, f"the process died ({code})")
        elif code is None:
            return
        elif code not in (0, 1, 5, BROKEN) or not self.found.collected:
            told = process.out.read_text("utf-8", "replace")[-2000:]
            self.found.trouble.append(f"a process ended with {code}: {told}")
        self.processes.remove(process)
        if code not in (0, 1, 5) and self.found.left and time.time() < self.end - _LAST:
            self.processes.append(self._started())

    def _started(self) -> Process:
        until = str(self.end - _LAST)
        command = [sys.executable, "-m", "pytest", str(TESTS), "-p", "turns", "-q"]
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".out", delete=False) as out:
            running = started(
                [*command, *self.options.pytest], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                env=_environment(GATED_TURNS=str(self.folder), GATED_TURNS_UNTIL=until),
            )  # fmt: skip
        return Process(running, self.folder / f"{running.pid}.log", Path(out.name))

    def _read(self, process: Process) -> None:
        """What the process wrote since it was read last, whole lines only."""
        if not process.log.exists():
            return
        with process.log.open("rb") as file:
            file.seek(process.read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        process.read += len(whole)
        for line in whole.splitlines():
            self._take(process, json.loads(line))

    def _take(self, process: Process, told: dict[str, Any]) -> None:
        if "collected" in told:
            self.found.collected = told["collected"]
        elif "began" in told:
            process.began = (told["began"], told["at"])
        elif "broken" in told:
            self.found.trouble.append(f"{told['broken']} broke the device: {told['error']}")
        else:
            process.began = None
            self.found.add(**told)

    def _lost(self, process: Process, why: str) -> None:
        assert process.began
        (name, at), process.began = process.began, None
        self.found.add(name, "failed", round(time.time() - at, 1), why)


def _text(found: Found, facts: str, start: float) -> str:
    """The results as they are kept."""
    minutes = (time.time() - start) / 60
    lines = [facts, f"{found.counts}; {minutes:.1f} minutes"]
    lines += [f"\nTROUBLE {told}" for told in found.trouble]
    lines += [f"\nFAILED {name}\n{found.tests[name].told}" for name in found.of("failed")]
    reasons = Counter(found.tests[name].told for name in found.of("skipped"))
    lines += ["", *(f"SKIPPED {count}: {told}" for told, count in reasons.items())]
    lines += ["", *(f"NOT RUN {name}" for name in found.left), "", _EACH]
    for name in found.collected:
        if name in found.tests:
            test = found.tests[name]
            noted = f"  {test.told}" if test.outcome == "passed" and test.told else ""
            lines.append(f"{test.outcome:7} {test.seconds:6.1f} s  {name}{noted}")
    return "\n".join(lines) + "\n"


def _device() -> dict[str, object] | str:
    """The device's facts, asked in a process that ends; why there are none."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.gpu.device"], cwd=ROOT, env=_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if told.returncode == 0:
        return json.loads(told.stdout.splitlines()[-1])
    *_, why = told.stderr.strip().splitlines() or [f"it ended with {told.returncode}"]
    if "No module named 'torch'" in why:
        return f"{sys.executable} has no PyTorch: make test-gpu PYTHON=... names one that has"
    return f"the device could not be asked: {why}"


def _environment(**further: str) -> dict[str, str]:
    paths = [str(ROOT / "src"), str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **further,
    }  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    usual = max(1, min(12, (os.cpu_count() or 4) - 2))
    parser.add_argument("--minutes", type=float, default=8.5, help="after which the run ends")
    parser.add_argument("--processes", type=int, default=usual)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/gpu/results")
    options, further = parser.parse_known_args()
    options.pytest = [argument for argument in further if argument != "--"]
    return options


if __name__ == "__main__":
    raise SystemExit(main())
