"""`gated`: the root of the commands, and the one place where errors become lines."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

import click

import gated
from gated.cli.command import LazyGroup
from gated.cli.faults import Terminated, explain

_COMMANDS = {
    "demo": ("gated.cli.demo:demo", "Train on a series that comes along: a minute, no files."),
    "train": ("gated.cli.train:train", "Learn from a table, judge, explain."),
    "evaluate": ("gated.cli.judge:evaluate", "Judge a trained run beside the baselines again."),
    "backtest": ("gated.cli.judge:backtest", "Judge it as if used at several past times."),
    "predict": ("gated.cli.predict:predict", "Forecast what comes next."),
    "report": ("gated.cli.judge:report", "Write the page of its verdict and forecasts again."),
    "explain": ("gated.cli.explain:explain", "Write the page on which its gates can be explored."),
    "learn": ("gated.cli.learn:learn", "Write and open the lesson: an LSTM from the inside."),
    "cells": ("gated.cli.cells:cells", "Print the cells: equations, parameters, facts, source."),
    "demonstrate": ("gated.cli.demonstrate:demonstrate", "Put a claim about networks to the test."),
    "doctor": ("gated.cli.doctor:doctor", "Tell which engines run here, whether they are right."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
@click.version_option(gated.__version__, prog_name="gated", message="%(prog)s %(version)s")
def root() -> None:
    """The LSTM family for PyTorch, with its gates open.

    \b
    Start here:
      gated demo                          see what it does, without a file of your own
      gated train forecast sales.csv      train on a table of your own
      gated cells lstm                    read a cell's equations
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code; errors are one line on stderr.

    0: done. 1: a bug. 2: something a person can set right. 130, 143: stopped by Ctrl-C, SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with _sigterm_raises(), _any_encoding():
        try:
            code = root.main(given, prog_name="gated", standalone_mode=False)
            sys.stdout.flush()
        except BrokenPipeError:
            return _silence(141)
        except (Exception, Terminated) as error:
            return _report(error, "--debug" in given)
    return code if isinstance(code, int) else 0


def _report(error: BaseException, debug: bool) -> int:
    line, code = explain(error)
    if code == 141:
        return _silence(code)
    if debug and code in (1, 2):
        traceback.print_exception(error)
    with contextlib.suppress(OSError):  # stderr may be gone too
        click.echo(line, err=True)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    return code


def _silence(code: int) -> int:
    """Nobody reads stdout any more: keep the interpreter from complaining when it flushes."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Within the block SIGTERM unwinds the stack, so that what is half done is cleaned up."""

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _any_encoding() -> Iterator[None]:
    """Where a terminal cannot show a symbol it shows a question mark, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    yield
