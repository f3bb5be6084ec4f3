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
    from gated.inspect.demonstrations import Demonstration

_EXAMPLES = (
    "gated demonstrate                 what there is, each with its answer in a line",
    "gated demonstrate vanishing       run one: a few seconds",
    "gated demonstrate all --page claims.html     run all, and draw the curves",
    "gated demonstrate all --json      the same for programs",
)
_WIDTH = 100


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("name", required=False)
@click.option("--page", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write a page with the curves too: one HTML file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, curves included.")
def demonstrate(name: str | None, page: str | None, as_json: bool) -> None:
    """Put a claim about recurrent networks to the test, or list those that can be tested.

    NAME is one of the list, or "all". Every number is computed when the command runs, with the
    library's own cells.
    """
    from gated.inspect import demonstrations

    screen = Screen(as_json=as_json)
    if page is not None:
        _check_page(name, page)
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
    if page is not None:
        from gated.inspect.demonstrations.page import write_page

        screen.result(["", f"wrote {write_page(found, page)}"])
    if name == "all":
        screen.json({"demonstrations": [one.to_dict() for one in found]})
    else:
        screen.json(found[0].to_dict())


def _check_page(name: str | None, page: str) -> None:
    """Refuse a page that could not be written, before anything is computed."""
    from gated.inspect.pages import check_target

    if name is None:
        raise click.UsageError("--page is for what is run: gated demonstrate NAME --page FILE")
    check_target(page, "--page")


def show(screen: Screen, found: Demonstration) -> None:
    """Print one: the question, what was done, the tables, what was found, the verdict."""
    screen.result(_wrapped(f"{found.name}: {found.question}"), style="bold")
    screen.result(["", *_wrapped(f"claim   {found.claim}", 8)])
    screen.result(_wrapped(f"source  {found.source}", 8), style="dim")
    for line in found.done:
        screen.result(["", *_wrapped(line)])
    for table in found.tables:
        screen.result(["", f"{table.title}:"])
        screen.table(table.columns, table.texts())
    for line in found.found:
        screen.result(["", *_wrapped(line)])
    screen.result(["", *_wrapped(found.verdict)], style="bold")


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
