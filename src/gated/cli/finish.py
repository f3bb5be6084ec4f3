"""From a forecaster that has read its table to a run that is trained, judged and explained."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gated.cli.faults import Stopped, Terminated
from gated.cli.screen import Screen
from gated.cli.words import show_verdict

if TYPE_CHECKING:
    from gated.tasks.forecast import Evaluation, Forecaster
    from gated.training import RunDirectory


def finish(
    forecaster: Forecaster, run: RunDirectory, screen: Screen, *, resume: bool
) -> dict[str, Any]:
    """Train, judge and explain; print the verdict and where things are; return it all.

    A forecaster that is trained already is judged and explained alone.

    Raises:
        Stopped: Ctrl-C or SIGTERM came; the message says how to go on.
    """
    with _stoppable(run.path):
        if forecaster.net is None:
            progress = "silent" if screen.quiet else "auto"
            forecaster.fit(run=run, resume=resume, progress=progress)
            screen.remark()
        else:
            screen.remark(
                [f"{run.path} is trained already: judged again, nothing else changed", ""]
            )
        history = forecaster.history
        assert history is not None
        evaluation = forecaster.evaluate()
        content = show_verdict(screen, evaluation)
        page = write_page(forecaster, evaluation, run)
    name = shlex.quote(str(run.path))
    screen.result(
        [
            "",
            f"run: {run.path}",
            f"page: {page}",
            f"next: gated predict {name}{_rows_ahead(forecaster)} --output forecast.csv",
            f"      gated backtest {name} --windows 4",
            f"      gated explain {name}",
        ]
    )
    training = {
        "epochs": len(history.lines),
        "best_epoch": history.best_epoch,
        "best_loss": history.best_loss,
        "stopped": history.stopped,
        "seconds": history.seconds,
    }
    return {"run": run.path, "page": page, "training": training, **content}


def _rows_ahead(forecaster: Forecaster) -> str:
    """What a forecast needs besides the run: a file, if covariates must be known ahead."""
    data, horizon = forecaster.data, forecaster.config.horizon or 1
    short = any(len(one.future) - len(one) < horizon for one in data.series)
    return f" FILE-WITH-NEXT-{data.future[0]}" if data.future and short else ""


def write_page(forecaster: Forecaster, evaluation: Evaluation, run: RunDirectory) -> Path:
    """Write report.html into the run and return its path."""
    from gated.inspect import write
    from gated.tasks.forecast.page import build_report

    report = build_report(
        forecaster,
        evaluation,
        command=command_of(run.config, run.path),
        run_config=run.config,
        environment=_environment(run),
    )
    return write(report, run.path / "report.html")


def _environment(run: RunDirectory) -> Any:
    """What the run recorded; nothing if it is no run but a model saved from Python."""
    from gated.errors import CheckpointError

    try:
        return run.read_json("environment.json")
    except CheckpointError:
        return {}


def command_of(config: Mapping[str, Any], path: Path) -> str:
    """The command line that makes this run again."""
    from gated.cli.fields import option_name

    record = config.get("data", {})
    if "embedded" in record:
        return f"gated demo --run {shlex.quote(str(path))}"
    words = ["gated", "train", "forecast", record.get("file", "FILE")]
    for name, value in config.get("options", {}).items():
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list):
            words += [word for one in value for word in (option, str(one))]
        else:
            words += [option, str(value)]
    return shlex.join([*words, "--run", str(path)])


@contextmanager
def _stoppable(path: Path) -> Iterator[None]:
    """Within the block, a signal ends in one line that says how to go on."""
    from gated.training import Interrupted

    how = f"to go on: gated train forecast --resume --run {shlex.quote(str(path))}"
    try:
        yield
    except Interrupted as stop:
        raise Stopped(f"{stop}; {how}", stop.exit_code) from None
    except KeyboardInterrupt:
        raise Stopped(f"stopped by Ctrl-C; {how}", 130) from None
    except Terminated:
        raise Stopped(f"stopped by SIGTERM; {how}", 143) from None
