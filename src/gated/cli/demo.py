"""`gated demo`: the whole way, on a real series that comes along."""

from __future__ import annotations

from pathlib import Path

import click

from gated.cli.command import Command

_OPTIONS = {"horizon": 48}  # a day of half hours


@click.command(cls=Command, examples=("gated demo", "gated demo --run /tmp/demo --quiet"))
@click.option("--run", metavar="DIR", default="runs/demo", show_default=True,
              help="Directory for all that is written; replaces an earlier demo.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="Print the verdict alone.")
def demo(run: str, threads: int | None, as_json: bool, quiet: bool) -> None:
    """Train on a real series that comes along, judge, explain: about a minute, no file needed.

    Half-hourly sea surface temperature at a buoy off Maine, 2016-17, forecast a day ahead.
    """
    from gated.cli.fields import Options
    from gated.cli.finish import finish
    from gated.cli.forecast import announce, read, record, use_threads
    from gated.cli.screen import Screen
    from gated.cli.source import embedded
    from gated.tasks.forecast import ForecastConfig
    from gated.training import RunDirectory

    use_threads(threads)
    path = Path(run)
    _refuse_others(path)
    screen = Screen(as_json=as_json, quiet=quiet)
    source = embedded()
    options = Options(_OPTIONS, {})
    forecaster = read(ForecastConfig.make(_OPTIONS), source, options)
    announce(forecaster, source, path, screen)
    content = record(forecaster, source, _OPTIONS)
    with RunDirectory.create(path, content, overwrite=True) as directory:
        found = finish(forecaster, directory, screen, resume=False)
    screen.json({**found, "config": directory.config})


def _refuse_others(path: Path) -> None:
    """A run that is no demo is somebody's work: leave it alone."""
    from gated.errors import CheckpointError
    from gated.training import RunDirectory

    if (path / "config.json").exists():
        data = RunDirectory.open(path).config.get("data")
        if not (isinstance(data, dict) and "embedded" in data):
            raise CheckpointError(
                f"{path} holds a run that is no demo; choose another directory with --run"
            )
