"""`gated demonstrate`: claims about recurrent networks, put to the test and printed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import click

from gated.cli.command import Command
from gated.cli.screen import Screen

if TYPE_CHECKING:
    from gated.inspect.demonstrations import Demonstration, Table

_EXAMPLES = (
    "gated demonstrate                 what there is, each with its answer in a line",
    "gated demonstrate vanishing       run one: a few seconds",
    "gated demonstrate all --json      run all, for programs: the curves too",
)
_WIDTH = 100


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, curves included.")
def demonstrate(name: str | None, as_json: bool) -> None:
    """Put a claim about recurrent networks to the test, or list those that can be tested.

    NAME is one of the list, or "all". Every number is computed when the command runs, with the
    library's own cells.
    """
    from gated.inspect import demonstrations

    screen = Screen(as_json=as_json)
    if name is None:
        screen.result(_listed())
        screen.json({"demonstrations": [_entry(one) for one in demonstrations.names()]})
        return
    chosen = demonstrations.names() if name == "all" else [name]
    for one in chosen:
        demonstrations.text(one)
    found = []
    for k, one in enumerate(chosen):
        found.append(demonstrations.demonstrate(one))
        screen.result([""] * bool(k))
        show(screen, found[-1])
    if name == "all":
        screen.json({"demonstrations": [one.to_dict() for one in found]})
    else:
        screen.json(found[0].to_dict())


def show(screen: Screen, found: Demonstration) -> None:
    """Print one: the question, what was done, the tables, what was found, the verdict."""
    screen.result(_wrapped(f"{found.name}: {found.question}"), style="bold")
    screen.result(["", *_wrapped(f"claim   {found.claim}", 8)])
    screen.result(_wrapped(f"source  {found.source}", 8), style="dim")
    for line in found.done:
        screen.result(["", *_wrapped(line)])
    for table in found.tables:
        screen.result(["", f"{table.title}:"])
        screen.table(table.columns, _cells(table))
    for line in found.found:
        screen.result(["", *_wrapped(line)])
    screen.result(["", *_wrapped(found.verdict)], style="bold")


def _cells(table: Table) -> list[list[str]]:
    return [[_cell(value) for value in row] for row in table.rows]


def _cell(value: str | float) -> str:
    from gated.inspect.words import number

    return number(value, whole=False) if isinstance(value, float) else str(value)


def _listed() -> list[str]:
    from gated.inspect.demonstrations import names, text

    lines = []
    for name in names():
        said = text(name)
        lines += [f"{name:<12}{said.question}", *_wrapped(f"{'':<12}{said.answer}", 12), ""]
    return [*lines, "Run one: gated demonstrate NAME. All: gated demonstrate all"]


def _entry(name: str) -> dict[str, Any]:
    from gated.inspect.demonstrations import text

    said = text(name)
    return {"name": name, "question": said.question, "claim": said.claim, "answer": said.answer}


def _wrapped(text: str, indent: int = 0) -> list[str]:
    """Lines that end where the terminal does; in a file or a pipe, at 100 letters."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    return textwrap.wrap(
        text, min(width, _WIDTH), subsequent_indent=" " * indent, break_long_words=False
    )
