"""`gated doctor`: what runs here, whether it is right, and what a layer would run on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from gated.cells import cell as find
from gated.cells import cells as names
from gated.cli.command import Command
from gated.cli.own_cell import is_own, own_cell
from gated.cli.screen import Screen
from gated.equations import Cell
from gated.equations.maps import Heads, Maps
from gated.errors import OptionError

if TYPE_CHECKING:
    from gated.inspect.doctor import Check

_EXAMPLES = (
    "gated doctor                            this machine, and every engine on five cells",
    "gated doctor --quick                    this machine alone",
    "gated doctor --cells all                every engine on every cell: some minutes",
    "gated doctor --cell lstm --train        what a layer runs on, and how fast the others are",
    "gated doctor --cell peephole --device cuda    what a GPU would run it on, and how fast",
    "gated doctor --cell my_cells.py:MyCell --hidden-size 256 --lengths",
)


class _OfLayer(click.Option):
    group = "A layer, asked about with --cell"


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--cell", cls=_OfLayer, metavar="NAME",
              help="Its cell, of the catalogue or FILE.py:Class.")  # fmt: skip
@click.option("--input-size", "-D", cls=_OfLayer, type=click.IntRange(1), default=64,
              show_default=True, metavar="N", help="D, the features of a step.")  # fmt: skip
@click.option("--hidden-size", "-H", cls=_OfLayer, type=click.IntRange(1), default=64,
              show_default=True, metavar="N", help="H, the units.")  # fmt: skip
@click.option("--batch", "-B", cls=_OfLayer, type=click.IntRange(1), default=16,
              show_default=True, metavar="N", help="B, the rows of a batch.")  # fmt: skip
@click.option("--steps", "-T", cls=_OfLayer, type=click.IntRange(1), default=100,
              show_default=True, metavar="N", help="T, the steps of a row.")  # fmt: skip
@click.option("--num-layers", cls=_OfLayer, type=click.IntRange(1), default=1, show_default=True,
              metavar="N", help="Layers on one another.")  # fmt: skip
@click.option("--bidirectional", cls=_OfLayer, is_flag=True, help="Both directions.")
@click.option("--maps", cls=_OfLayer, metavar="MAP",
              help="Recurrent matrices: dense, diagonal, or heads:N.")  # fmt: skip
@click.option("--dtype", cls=_OfLayer, default="float32", show_default=True,
              type=click.Choice(["float32", "float64", "bfloat16", "float16"]),
              help="The type of its numbers.")  # fmt: skip
@click.option("--train", cls=_OfLayer, is_flag=True, help="With gradients: forward and backward.")
@click.option("--lengths", cls=_OfLayer, is_flag=True,
              help="Rows of unequal lengths, from half of the steps to all.")  # fmt: skip
@click.option("--trace", cls=_OfLayer, is_flag=True, help="Every gate is wanted.")
@click.option("--device", metavar="NAME",
              help="Where the layer runs, cpu unless named, or a GPU that is not here; without a"
              " layer, where engines are checked, cpu and cuda unless named.")  # fmt: skip
@click.option("--cells", multiple=True, metavar="NAMES",
              help="Cells to check the engines on: names with commas, or all.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Leave out what takes long: the check, or the timings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(
    ctx: click.Context, /, cell: str | None, cells: tuple[str, ...], quick: bool, as_json: bool,
    maps: str | None, device: str | None, **layer: Any,
) -> int:  # fmt: skip
    """Look at what runs here, and check that it is right.

    Tells versions, compiler, threads, OpenMP runtimes, GPU and cache, then runs every engine on a
    few cells beside the reference, on the CPU and on a GPU if there is one; the exit code is 1 if
    one is wrong. A kernel is compiled at its first use, some seconds each. With --cell: the engine
    that a layer would run on, by which strategy, why, and how long each engine takes; of a GPU
    that is not here what one would take.
    """
    _refuse(ctx, cell, cells, quick, device)
    screen = Screen(as_json=as_json)
    if cell is not None:
        given = {"maps": _maps(maps), "device": device or "cpu", **layer}
        return _compare(_cell(cell), quick, screen, **given)
    return _examine([] if quick else _cells(cells), _devices(device), screen)


def _examine(chosen: list[Cell] | None, devices: list[str], screen: Screen) -> int:
    """This machine, and every engine on some cells; 1 if one is wrong."""
    from gated.cli import diagnosis
    from gated.inspect.doctor import CELLS, check, machine, steps

    around = machine()
    diagnosis.show_machine(screen, around)
    diagnosis.show_warnings(screen, around.warnings)
    cells = [find(name) for name in CELLS] if chosen is None else chosen
    checks: list[Check] = []
    with _progress("checking") as tell, _remarks() as remarks:
        turn, last = count(1), steps(cells, devices)
        checks += check(
            cells,
            lambda *what: tell("{}/{}: {}, {}, {}, {}".format(next(turn), last, *what)),
            devices,
        )
    problem = around.cache.problem  # said already
    further = [text for text in remarks() if problem is None or problem not in text]
    diagnosis.show_warnings(screen, further)
    diagnosis.show_checks(screen, checks)
    said = [*around.warnings, *further]
    screen.json(
        {**diagnosis.machine_content(around), **diagnosis.checks_content(checks), "warnings": said}
    )
    return int(any(one.wrong for one in checks))


def _compare(cell: Cell, quick: bool, screen: Screen, **layer: Any) -> int:
    """What one layer runs on; 1 if an engine says that it can run it and fails."""
    from gated.cli import comparison, diagnosis
    from gated.inspect.doctor import Layer, compare

    with _progress("timing") as tell, _remarks() as remarks:
        found = compare(Layer(cell, **layer), timed=not quick, tell=tell)
    diagnosis.show_warnings(screen, remarks())
    comparison.show_comparison(screen, found)
    screen.json({**comparison.comparison_content(found), "warnings": remarks()})
    return int(any(run.failure for run in found.runs))


def _refuse(
    ctx: click.Context, cell: str | None, cells: tuple[str, ...], quick: bool, device: str | None
) -> None:
    """Options that say nothing beside the others."""
    if cell is not None and cells:
        raise click.UsageError(
            "--cell asks about one layer, --cells says which cells to check: give one of them"
        )
    if cells and quick:
        raise click.UsageError("--quick leaves out the check that --cells is for: give one of them")
    if device is not None and quick and cell is None:
        raise click.UsageError(
            "--device says where engines are checked, and --quick leaves out the check: give one of"
            " them, or a layer's --cell"
        )
    given = click.core.ParameterSource.COMMANDLINE
    of_layer = [option for option in ctx.command.params if isinstance(option, _OfLayer)]
    for option in of_layer if cell is None else ():
        if ctx.get_parameter_source(option.name or "") is given:
            raise click.UsageError(f"{option.opts[0]} is about a layer: name its --cell too")


def _cells(given: tuple[str, ...]) -> list[Cell] | None:
    """The cells to check, None for those that are checked unless others are named."""
    wanted = [name.strip() for text in given for name in text.split(",") if name.strip()]
    if given and not wanted:
        raise OptionError("--cells is empty: expected names with commas, or all")
    if "all" in wanted:
        return [find(name) for name in names()]
    return [_cell(name) for name in dict.fromkeys(wanted)] or None


def _devices(named: str | None) -> list[str]:
    """Where engines are checked."""
    import torch

    from gated.inspect.doctor import device_of

    if named is not None:
        device_of(named)  # an error if it is not here
        return [named]
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _cell(name: str) -> Cell:
    return own_cell(name) if is_own(name) else find(name)


def _maps(text: str | None) -> Maps | None:
    if text is None or text in ("dense", "diagonal"):
        return text
    kind, _, count = text.partition(":")
    if kind != "heads" or not (count.isdecimal() and int(count)):
        raise OptionError(f"--maps {text}: expected dense, diagonal, or heads:N such as heads:4")
    return Heads(int(count))


@contextmanager
def _progress(doing: str) -> Iterator[Callable[[str], None]]:
    """On a terminal, a line that tells what is going on and leaves nothing behind."""
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{doing} ...") as status:
        yield lambda what: status.update(f"{doing} {what} (compiles new kernels)")


@contextmanager
def _remarks() -> Iterator[Callable[[], list[str]]]:
    """What the engines warn of within the block, each once; other warnings are not for here."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield lambda: list(
            dict.fromkeys(str(w.message) for w in heard if w.category is RuntimeWarning)
        )
