"""The command: measure the groups asked for, show and save what was found."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import time
import warnings
from datetime import datetime
from pathlib import Path

import torch
from rich.console import Console

import bench.cpu
from bench.cpu import machine, report
from bench.cpu.cases import GROUPS
from bench.cpu.measure import measure
from bench.cpu.timing import Effort

# columns that the tables need
_WIDTH = 150


def main() -> int:
    """0, or 1 if a side was wrong, or 130 if stopped from the keyboard."""
    options = _options()
    _restrict(options.threads)
    # what jit compilers and exporters say about themselves is no news here
    warnings.filterwarnings("ignore")
    console = Console(width=None if Console().width >= _WIDTH else _WIDTH)
    started = datetime.now().isoformat(" ", "seconds")
    run = report.Run(started, machine.facts(), [machine.sgemm()], machine.bandwidths())
    console.print(report.known(run))
    console.print(report.limits(run))
    begin = time.monotonic()
    try:
        _measure(run, options, console)
        run.sgemm.append(machine.sgemm())
        run.ended = True
    except KeyboardInterrupt:
        console.print("[bold]stopped: this is what was measured[/]")
    run.minutes = (time.monotonic() - begin) / 60
    report.show(run, console)
    console.print(f"{run.minutes:.1f} minutes; {report.limits(run)}")
    for path in report.save(run, options.out):
        console.print(f"written: {path}", soft_wrap=True)
    wrong = [row for row in run.rows if row.wrong]
    for row in wrong:
        console.print(f"[bold red]{report.line(row)}[/]", soft_wrap=True)
    return 1 if wrong else 0 if run.ended else 130


def _measure(run: report.Run, options: argparse.Namespace, console: Console) -> None:
    """Fill the run with rows, and say them on the way."""
    effort = Effort(0.15, 3) if options.quick else Effort(options.seconds)
    cases = list(itertools.chain(*(GROUPS[name](options.quick) for name in options.only)))
    cases = [case for case in cases if re.search(options.match, case.name)]
    for place, case in enumerate(cases, 1):
        with console.status(f"[{place}/{len(cases)}] {case.name}"):
            rows = list(measure(case, effort))
        for row in rows:
            run.rows.append(row)
            colour = "bold red" if row.wrong else "yellow" if row.met is False else "default"
            text = f"[{place}/{len(cases)}] {row.group}: {report.line(row)}"
            console.print(text, style=colour, markup=False, soft_wrap=True, highlight=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.cpu", description=bench.cpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="GROUP", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--match", default="", help="a pattern: only cases such as 'H 256'")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.6, help="to spend on each comparison")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="a folder")
    return parser.parse_args()


def _restrict(threads: int) -> None:
    """As many CPUs as threads for everybody: not every peer can be told its number of threads."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


if __name__ == "__main__":
    raise SystemExit(main())
