"""The command: run all programs, say each, show a table."""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bench.sanitize
from bench.sanitize.check import KINDS, Outcome, Program, missing, programs, run
from gated.cells import cells

LINES = 40  # of a finding


def main() -> int:
    """0, or 1 if anything was found, or 2 if a sanitizer is missing, or 130 if stopped."""
    options = _options()
    console = Console()
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in options.kind:
        if (reason := missing(kind, options.out)) is not None:
            console.print(
                f"the {kind} sanitizer cannot be used here: {reason}", markup=False, soft_wrap=True
            )
            return 2
    wanted = list(programs(options.cells, options.kind, full=options.full))
    begin = time.monotonic()
    done: dict[Program, Outcome] = {}
    stopped = False
    try:
        _run(wanted, done, options, console)
    except KeyboardInterrupt:
        stopped = True
    console.print(_table(done, options.kind))
    found = sum(outcome.found is not None for outcome in done.values())
    minutes = (time.monotonic() - begin) / 60
    console.print(
        f"{len(done)} of {len(wanted)} programs ran, {found} with a finding; {minutes:.1f} minutes"
    )
    return 130 if stopped else 1 if found else 0


def _run(
    wanted: list[Program], done: dict[Program, Outcome], options: argparse.Namespace,
    console: Console,
) -> None:  # fmt: skip
    """Fill `done`, and say each outcome when it is there."""
    pool = ThreadPoolExecutor(options.jobs)
    try:
        begun = {pool.submit(_one, each, options.out): each for each in wanted}
        for ended in as_completed(begun):
            each, outcome = begun[ended], ended.result()
            done[each] = outcome
            word = "clean" if outcome.found is None else "FOUND"
            text = (
                f"[{len(done)}/{len(wanted)}] {each.title}: {word},"
                f" {outcome.compiling:.1f} s to compile, {outcome.running:.1f} s"
            )
            style = "default" if outcome.found is None else "bold red"
            console.print(text, style=style, markup=False, highlight=False)
            if outcome.found is not None:
                lines = "\n".join(outcome.found.splitlines()[:LINES])
                console.print(lines, markup=False, highlight=False, soft_wrap=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _one(each: Program, folder: Path) -> Outcome:
    return run(each.text(), each.kind, folder / each.title.replace(" ", "-"))


def _table(done: dict[Program, Outcome], kinds: list[str]) -> Table:
    """A row for each cell, a column for each sanitizer."""
    table = Table("cell", *kinds)
    for name in sorted({each.cell for each in done}):
        row = []
        for kind in kinds:
            own = [o for each, o in done.items() if (each.cell, each.kind) == (name, kind)]
            found = sum(outcome.found is not None for outcome in own)
            clean = f"{len(own)} clean" if own else ""
            row.append(f"[bold red]{found} of {len(own)} FOUND[/]" if found else clean)
        table.add_row(name, *row)
    return table


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.sanitize", description=bench.sanitize.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--cells", type=_cells, default=[], help="divided by commas")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--full", action="store_true", help="both types traced and untraced")
    parser.add_argument("--jobs", type=int, default=2, help="programs at once")
    parser.add_argument("--out", type=Path, default=Path("build/sanitize"), help="for findings")
    return parser.parse_args()


def _cells(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names).difference(cells()):
        raise argparse.ArgumentTypeError(f"no cells: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    raise SystemExit(main())
