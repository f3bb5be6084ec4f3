"""The command: start the process that measures, again if it dies, and write what it found."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} has no PyTorch: make bench-gpu PYTHON=... names one that has")

import bench.gpu
from bench.gpu import cases, floor, report
from bench.gpu.child import BROKEN
from bench.gpu.child import cases as chosen
from bench.gpu.report import Run
from bench.gpu.stop import Stop, ended, started

ROOT = Path(__file__).resolve().parents[2]
_LIMIT = 150.0  # seconds after which a case hangs
_LAST = 15.0  # seconds before the end in which no case begins


class Watch:
    """The process that measures, started anew until all cases were tried or time is up."""

    def __init__(self, options: argparse.Namespace, run: Run, folder: Path, stop: Stop):
        self.options, self.run, self.log, self.stop = options, run, folder / "log", stop
        self.names = [case.name for case in chosen(options.only, options.dry)]
        self.start = time.time()
        self.end = self.start + 60 * options.minutes
        self.began: tuple[int, float] | None = None
        self.next = self.read = 0

    def measure(self) -> None:
        """Until the end."""
        while self.next < len(self.names) and time.time() < self.end - _LAST:
            before = self.next
            code = self._child()
            if self.stop.signal:
                break
            if self.began is not None:
                self.run.trouble.append(f"{self.names[self.began[0]]}: {self._why(code)}")
                self.next, self.began = self.began[0] + 1, None
            elif code not in (0, BROKEN):
                self.run.trouble.append(f"the process that measures ended with {code}")
                if self.next == before:
                    break
            if code == 0:
                break
        self.run.left = self.names[self.next :]
        self.run.minutes = (time.time() - self.start) / 60

    def _why(self, code: int) -> str:
        return "no end in time" if code < 0 else f"the process died ({code})"

    def _child(self) -> int:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self.options.dry:
            environment["TRITON_INTERPRET"] = "1"
        child = started(self._command(), env=environment, cwd=ROOT)
        try:
            while child.poll() is None:
                time.sleep(0.1)
                self._read()
                late = self.began and time.time() - self.began[1] > _LIMIT
                if late or time.time() > self.end or self.stop.signal:
                    break
        finally:
            code = ended(child)
        self._read()
        return code

    def _command(self) -> list[str]:
        return [
            sys.executable, "-m", "bench.gpu.child", "--log", str(self.log),
            "--first", str(self.next), "--until", str(self.end - _LAST),
            "--only", *self.options.only, *["--dry"] * self.options.dry,
        ]  # fmt: skip

    def _read(self) -> None:
        """What was written since the last time, whole lines only."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self.read)
            told = file.read()
        whole = told[: told.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))
        if whole:
            self.run.minutes = (time.time() - self.start) / 60
            self.run.left = self.names[self.next :]
            report.save(self.run, self.options.out)

    def _take(self, told: dict[str, object]) -> None:
        if "facts" in told:
            self.run.facts, self.run.limits = told["facts"], told["limits"]
        elif "began" in told:
            self.began = (told["began"], time.time())
        elif "row" in told:
            self.run.rows.append(told["row"])
            print(report.line(told["row"], self.run.limits), flush=True)
        else:
            self.next, self.began = told["ended"] + 1, None


def main() -> int:
    """0 if every case was tried and nothing is wrong, see `report.faults`; 1 else, and without a
    device; what a signal asks for if one stopped it."""
    options = _options()
    if options.floors:
        print(floor.table(_floors(options), floor.DATASHEET))
        return 0
    if not options.dry and not torch.cuda.is_available():
        print("there is no CUDA device here; --dry runs the scripts without one")
        return 1
    part = options.only if set(options.only) < set(cases.GROUPS) else []
    run = Run(datetime.now().isoformat(" ", "seconds"), options.dry, part)
    with tempfile.TemporaryDirectory() as folder, Stop() as stop:
        Watch(options, run, Path(folder), stop).measure()
    path = report.save(run, options.out) if run.facts else "nothing"
    if stop.signal:
        print(f"stopped; written: {path}")
        return stop.code
    print("\n".join(report.table(run)))
    print(f"written: {path}")
    return 1 if report.faults(run) else 0


def _floors(options: argparse.Namespace) -> list[tuple[str, object]]:
    problems = [c.comparisons[0].ours.problem for c in chosen(options.only)]
    return [(str(problem), problem) for problem in dict.fromkeys(problems)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.gpu", description=bench.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    groups = list(cases.GROUPS)
    parser.add_argument("--only", nargs="+", metavar="GROUP", choices=groups, default=groups)
    parser.add_argument("--minutes", type=float, default=8.5, help="after which the run ends")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/gpu/results", help="a folder")
    parser.add_argument("--dry", action="store_true", help="without a GPU; times mean nothing")
    parser.add_argument("--floors", action="store_true", help="print the floors, measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
