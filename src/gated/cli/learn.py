"""`gated learn`: the interactive lesson."""

from __future__ import annotations

from pathlib import Path

import click

from gated.cli.command import Command
from gated.cli.screen import Screen

_EXAMPLES = (
    "gated learn                              write ./gated-lesson.html and open it",
    "gated learn --out class.html --no-open   write it for a class, open nothing",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--out", metavar="FILE", default="gated-lesson.html", show_default=True,
              type=click.Path(dir_okay=False), help="Where to write the lesson.")  # fmt: skip
@click.option("--open/--no-open", "opening", default=True, help="Open it in the web browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def learn(out: str, opening: bool, as_json: bool) -> None:
    """Learn how an LSTM works, in half an hour: one HTML file that works offline.

    It computes in the page, with the equations that this library runs: why an RNN forgets, the LSTM
    step by step, its gradient, its variants, and what its gates do in a sentence.
    """
    from gated.inspect.lesson import write_lesson
    from gated.inspect.pages import check_target

    path = check_target(out, "--out")
    write_lesson(path)
    screen = Screen(as_json=as_json)
    opened = opening and _opened(path)
    screen.result([f"lesson: {path}"])
    if opening and not opened:
        screen.result(["no web browser could be opened here; open the file in one"])
    screen.json({"lesson": path, "opened": opened})


def _opened(path: Path) -> bool:
    """Whether a browser took it; on a machine without one this is no error."""
    import webbrowser

    try:
        return webbrowser.open(path.resolve().as_uri())
    except (webbrowser.Error, OSError):
        return False
