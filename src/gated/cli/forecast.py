"""`gated train forecast`: from a table to a trained, judged and explained forecaster."""

from __future__ import annotations

import dataclasses
import glob
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gated.cli.command import Command
from gated.cli.faults import Stopped
from gated.cli.fields import Options, collect, options_for
from gated.cli.file import Entry, read_options
from gated.cli.finish import finish
from gated.cli.opened import with_table
from gated.cli.screen import Screen
from gated.cli.source import Source, again, from_file, naming, require_same
from gated.cli.words import found_in_data
from gated.errors import CheckpointError, OptionError
from gated.tasks.forecast import ForecastConfig, Forecaster
from gated.training import RunDirectory

_EXAMPLES = (
    "gated train forecast sales.csv                          all found from the data",
    "gated train forecast sales.csv --target amount --horizon 14 --past price --future holiday",
    "gated train forecast sales.csv --classic                the textbook LSTM",
    "gated train forecast sales.csv --config settings.yaml   lines such as `horizon: 14`",
    "gated train forecast --resume --run runs/sales          go on after an interruption",
    "gated train forecast sales.csv --json > verdict.json",
)
_BESIDE = ("file", "run", "threads")  # what a configuration file may hold besides the fields


@dataclass(frozen=True)
class Request:
    """What the command was asked for, the command line and the file together."""

    file: str | None
    run: str | None
    threads: int | None
    options: Options


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("file", required=False)
@options_for(ForecastConfig)
@click.option("--config", "config_file", metavar="FILE",
              help="YAML or TOML file of the same options; the command line wins.")  # fmt: skip
@click.option("--run", metavar="DIR",
              help="Directory for all that is written. [runs/NAME-OF-FILE]")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, bit for bit.")
@click.option("--overwrite", is_flag=True, help="Replace the run in the directory.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the CPU.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="Print the verdict alone.")
def forecast(
    file: str | None,
    config_file: str | None,
    run: str | None,
    resume: bool,
    overwrite: bool,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    **fields: Any,
) -> None:
    """Train a forecaster on FILE, judge it on the held-out end, and write a page about it.

    FILE is a CSV or Parquet table of one or many series, wide or long. What is not given is found
    from it and printed before training starts. Lists take commas, or the option several times.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other; give one of them")
    entries = _entries(config_file)
    request = Request(
        file or _entry(entries, "file", str),
        run or _entry(entries, "run", str),
        threads or _entry(entries, "threads", int),
        collect(ForecastConfig, fields, entries),
    )
    screen = Screen(as_json=as_json, quiet=quiet)
    if resume:
        forecaster, directory = _resumed(request, screen)
    else:
        forecaster, directory = _new(request, screen, overwrite)
    undone = nullcontext() if resume else _undone(directory)
    with directory, undone, _located(request.options):
        content = finish(forecaster, directory, screen, resume=resume)
    screen.json({**content, "config": directory.config})


def _entries(config_file: str | None) -> dict[str, Entry]:
    if config_file is None:
        return {}
    known = [field.name for field in dataclasses.fields(ForecastConfig)]
    return read_options(config_file, [*known, *_BESIDE])


def _entry(entries: dict[str, Entry], name: str, kind: type) -> Any:
    entry = entries.get(name)
    if entry is None:
        return None
    if type(entry.value) is not kind or entry.value in ("", 0):
        expected = "a whole number of at least 1" if kind is int else "a path"
        raise OptionError(f"{entry.place}: {name} is {entry.value!r}, expected {expected}")
    return entry.value


def _new(request: Request, screen: Screen, overwrite: bool) -> tuple[Forecaster, RunDirectory]:
    if request.file is None:
        raise click.UsageError("FILE is missing: the table to learn from")
    use_threads(request.threads)
    config = _config(request.options, {})
    path = Path(request.run) if request.run else _free(request.file, overwrite)
    _refuse_taken(path, overwrite)
    source = from_file(request.file)
    forecaster = read(config, source, request.options)
    announce(forecaster, source, path, screen)
    content = record(forecaster, source, request.options.values)
    return forecaster, RunDirectory.create(path, content, overwrite=overwrite)


def _resumed(request: Request, screen: Screen) -> tuple[Forecaster, RunDirectory]:
    path = _begun(request)
    known = RunDirectory.open(path).config if (path / "config.json").exists() else {}
    if not known and request.file is None:
        RunDirectory.resume(path)  # it says what is wrong with the directory
    if known and known.get("task") != "forecast":
        raise CheckpointError(f"{path} is no run of gated train forecast")
    use_threads(request.threads or _threads_of(path))
    source = _same_source(request, known, path)
    options = known.get("options", {}) | request.options.values
    forecaster = read(_config(request.options, options), source, request.options)
    # where the file lies now, and what would only repeat the differences, is not compared
    same = {name: known[name] for name in ("data", "options") if name in known}
    content = record(forecaster, source, options) | same
    directory = RunDirectory.resume(path, content)
    announce(forecaster, source, path, screen)
    if directory.finished and (path / "tail.parquet").exists():  # the last file of a training
        forecaster = with_table(Forecaster.from_pretrained(path), directory, source)
    return forecaster, directory


def _refuse_taken(path: Path, overwrite: bool) -> None:
    """Say so before any work is done, in the words of the command line."""
    if path.exists() and not path.is_dir():
        raise CheckpointError(f"--run {path}: this is a file; give a new or empty directory")
    if not overwrite and (path / "config.json").exists():
        finished = RunDirectory.open(path).finished
        state = "a finished run" if finished else "an unfinished run; go on with it with --resume"
        raise CheckpointError(
            f"--run {path}: there is {state}; replace it with --overwrite, or choose another "
            "directory"
        )


def _begun(request: Request) -> Path:
    """The run to go on with: the one that was named, or the newest of the file's."""
    if request.run is not None:
        return Path(request.run)
    if request.file is None:
        raise click.UsageError("--resume needs --run DIR, or the FILE that the run learns from")
    stem = _stem(request.file)
    numbered = re.compile(rf"{re.escape(stem)}(?:-(\d+))?")
    names = [p.name for p in Path("runs").glob(f"{glob.escape(stem)}*")]
    matches = [m for m in map(numbered.fullmatch, names) if m]
    if not matches:
        raise CheckpointError(f"there is no run of {request.file} in runs/; name it with --run DIR")
    return Path("runs", max(matches, key=lambda m: int(m[1] or 1))[0])


def _same_source(request: Request, known: dict[str, Any], path: Path) -> Source:
    if request.file is None:
        return again(known, path)
    if known:
        require_same(request.file, known.get("data", {}), path, "begin another run")
    return from_file(request.file)


def _config(options: Options, values: dict[str, Any]) -> ForecastConfig:
    with _located(options):
        return ForecastConfig.make(values or options.values)


@contextmanager
def _located(options: Options) -> Iterator[None]:
    """Within the block, an error of an option is told as the option was given."""
    try:
        yield
    except OptionError as error:
        raise options.locate(error) from error


@contextmanager
def _undone(directory: RunDirectory) -> Iterator[None]:
    """A training that fails before it learned anything leaves no run behind; a stopped one does."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, Stopped) and not directory.metrics:
            shutil.rmtree(directory.path)
        raise


def read(config: ForecastConfig, source: Source, options: Options) -> Forecaster:
    """A forecaster that has read the table and settled what was not given."""
    with _located(options), naming(source.name):
        return Forecaster.from_config(config).read(source.frame)


def record(forecaster: Forecaster, source: Source, options: dict[str, Any]) -> dict[str, Any]:
    """What the run's config.json holds."""
    return {**forecaster.to_dict(), "data": source.record, "options": options}


def announce(forecaster: Forecaster, source: Source, path: Path, screen: Screen) -> None:
    """Say what was found, before anything is trained on it."""
    columns = [str(name) for name in source.frame]
    lines = [f"  {line}" for line in found_in_data(forecaster, columns)]
    screen.remark([f"{source.name}:", *lines, f"  run: {path}", ""])


def _stem(file: str) -> str:
    return Path(file).name.split(".")[0] or "run"


def _free(file: str, overwrite: bool) -> Path:
    """runs/NAME, or with the first number that is not taken."""
    first = Path("runs", _stem(file))
    if overwrite or not first.exists():
        return first
    number = 2
    while first.with_name(f"{first.name}-{number}").exists():
        number += 1
    return first.with_name(f"{first.name}-{number}")


def use_threads(count: int | None) -> None:
    """Limit PyTorch to so many threads; all that the machine gives if None."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def _threads_of(path: Path) -> int | None:
    """The threads that the run began with: only with as many does it go on bit for bit."""
    try:
        found = RunDirectory(path).read_json("environment.json").get("threads")
    except CheckpointError:
        return None
    return found if isinstance(found, int) else None
