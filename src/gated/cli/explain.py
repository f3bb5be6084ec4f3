"""`gated explain`: the page on which every gate and state of a trained run can be read."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import signal
import sys
import webbrowser
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from gated.cli.command import Command
from gated.cli.faults import Stopped
from gated.cli.screen import Screen

if TYPE_CHECKING:
    import rich.progress

    from gated.inspect.explorer import ExplorerView

_EXAMPLES = (
    "gated explain runs/sales                              the first series, as far as is read",
    "gated explain runs/sales --series store-7 --steps 2000",
    "gated explain runs/sales --units 16                   clamp 16 units alone: quicker",
    "gated explain runs/sales --no-importance --open       quickest, and show it",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("run")
@click.option(
    "--series", metavar="NAME", help="Whose end the network reads; the first if not given."
)
@click.option("--steps", type=click.IntRange(1), metavar="N",
              help="So many steps: at least the context of the training, which is what is taken if "
                   "not given, at most those of the series.")  # fmt: skip
@click.option("--units", type=click.IntRange(1), metavar="N",
              help="Clamp so many units of each layer, those that remember longest; all if not "
                   "given.")  # fmt: skip
@click.option("--importance/--no-importance", default=True, show_default=True,
              help="Measure what clamping each gate of a unit does to the forecasts.")  # fmt: skip
@click.option("--data", metavar="FILE", help="Use this table, not the one of the training.")
@click.option(
    "--out", "-o", metavar="FILE", help="Where to write; explorer.html in RUN if not given."
)
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def explain(
    run: str,
    series: str | None,
    steps: int | None,
    units: int | None,
    importance: bool,
    data: str | None,
    out: str | None,
    show: bool,
    as_json: bool,
) -> None:
    """Write the explorer of the trained RUN, one file that needs no network, and print its path.

    It shows every gate and state of the network while it reads the end of a series: as maps on one
    time axis, as lines of a unit, as equations of a step with their numbers; how long each unit
    remembers, where it is most active, what clamping it does to the forecasts, and how the
    gradient flows back. The verdict and the forecasts are on another page, by `gated report`.
    """
    from gated.cli.opened import open_with_data
    from gated.inspect import explorer
    from gated.inspect.pages import check_target
    from gated.inspect.words import file_size
    from gated.tasks.forecast.explained import explained
    from gated.training import Interrupted

    if units is not None and not importance:
        raise click.UsageError("--units says how many to clamp, --no-importance clamps none: "
                               "give one of them")  # fmt: skip
    screen = Screen(as_json=as_json)
    forecaster, directory = open_with_data(run, data)
    target = check_target(out if out is not None else directory.path / "explorer.html")
    try:
        with _progress() as progress:
            view = explained(
                forecaster,
                series=series,
                steps=steps,
                importance=importance,
                units=units,
                progress=progress,
            )
            done = len(view.time) if steps is not None else None
            options = {"--series": series, "--steps": done, "--units": units, "--data": data}
            again = _command(run, {**options, "--out": out}, importance)
            view = dataclasses.replace(view, command=again)
            progress("writing", 0, 1)
            page = explorer.write(view, target)
    except Interrupted as stop:
        name = "Ctrl-C" if stop.signum == signal.SIGINT else "SIGTERM"
        raise Stopped(
            f"stopped by {name}; nothing was written. Quicker: fewer --units, or --no-importance",
            stop.exit_code,
        ) from None
    for line in _otherwise(view, steps, units):
        click.echo(line, err=True)
    size = page.stat().st_size
    click.echo(f"{len(view.time):,} steps, {file_size(size)}", err=True)
    screen.result([str(page)])
    screen.json({"run": run, "page": page, "bytes": size, "steps": len(view.time)})
    if show:
        webbrowser.open(page.resolve().as_uri())


def _command(run: str, options: Mapping[str, object], importance: bool) -> str:
    """What writes the page again."""
    words = ["gated", "explain", run]
    words += [str(w) for pair in options.items() if pair[1] is not None for w in pair]
    return shlex.join(words + ([] if importance else ["--no-importance"]))


def _otherwise(view: ExplorerView, steps: int | None, units: int | None) -> Iterator[str]:
    """What was done otherwise than asked."""
    shown, most = len(view.time), max(place.units for place in view.places)
    if steps is not None and steps < shown:
        yield f"--steps {steps}: the least is the context of the training; {shown:,} are shown"
    if steps is not None and steps > shown:
        yield f"--steps {steps}: no more stand before the last horizon; {shown:,} are shown"
    if units is not None and units > most:
        yield f"--units {units}: the largest layer has {most}; all are clamped"


class _Quiet:
    """A line on stderr for each thing that takes long."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self.last:
            click.echo(f"{what} ...", err=True)
        self.last = what


class _Bar(_Quiet):
    """A bar on stderr."""

    def __init__(self, bar: rich.progress.Progress):
        super().__init__()
        self.bar, self.task = bar, bar.add_task("", total=None)

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(20), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
