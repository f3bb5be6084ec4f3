"""`gated train`: one command a task."""

from __future__ import annotations

import click

from gated.cli.command import LazyGroup

_TASKS = {"forecast": ("gated.cli.forecast:forecast", "Forecast one or many time series.")}


@click.group(cls=LazyGroup, lazy=_TASKS)
def train() -> None:
    """Learn from a table, judge on what was held out, explain."""
