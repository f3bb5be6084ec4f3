"""Compile the catalogue's kernels into a folder; `make wheel` packs it into the package.

    python -m gated.cli.prefill FOLDER

It makes a wheel and is no command of `gated`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gated.cells import cell, cells
from gated.engines.cpu.machine import SETS, InstructionSet, instruction_set
from gated.engines.cpu.prefill import TYPES, Wanted, fill, prune, source
from gated.engines.cpu.threads import allowed
from gated.equations.maps import mapped
from gated.errors import CellError, GatedError

MAPS = ("dense", "diagonal")


def plan(
    names: Iterable[str], maps: Iterable[str], types: Iterable[str], sets: Sequence[InstructionSet]
) -> Iterator[Wanted]:
    """All combinations that make sense, with `trace=True` and without, each source once.

    CellError if there is no such cell.
    """
    seen = set[str]()
    for name in names:
        for meaning in maps:
            try:
                graph = (
                    cell(name).graph if meaning == "dense" else mapped(cell(name), meaning).graph
                )
            except CellError:
                if meaning == "dense":
                    raise
                continue  # a map that its matrices cannot have
            for kind, traced in product(types, (False, True)):
                text = source(graph, TYPES[kind], traced)
                title = f"{name} {meaning} {kind}{' traced' if traced else ''}"
                if text not in seen:
                    seen.add(text)
                    yield from (Wanted(f"{title} {each.name}", text, each) for each in sets)


class _Listed(click.ParamType[tuple[str, ...]]):
    """Some of a list of words, divided by commas."""

    name = "list"

    def __init__(self, known: Iterable[str]):
        self.known = tuple(known)

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        for word in words:
            if word not in self.known:
                self.fail(f"{word!r}; known are {', '.join(self.known)}", param, ctx)
        return words


def _sets() -> dict[str, InstructionSet]:
    here = instruction_set()
    return {each.name: each for each in (SETS if here in SETS else [here])}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cells", "names", type=_Listed(cells()), default=",".join(cells()))
@click.option("--maps", type=_Listed(MAPS), default=",".join(MAPS), show_default=True)
@click.option("--types", type=_Listed(TYPES), default=",".join(TYPES), show_default=True)
@click.option(
    "--sets", type=_Listed(_sets()), default=",".join(list(_sets())[:2]), show_default=True
)
@click.option("--jobs", type=click.IntRange(1), default=allowed(), help="Compilers at once.")
@click.option("--prune", "pruned", is_flag=True, help="Remove objects that are not asked for.")
def main(
    folder: Path, names: tuple[str, ...], maps: tuple[str, ...], types: tuple[str, ...],
    sets: tuple[str, ...], jobs: int, pruned: bool,
) -> None:  # fmt: skip
    """Compile the kernels of cells of the catalogue into FOLDER; those that are there stay."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    try:
        kernels = list(plan(names, maps, types, [_sets()[each] for each in sets]))
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("kernels", total=len(kernels))
            for wanted in fill(folder, kernels, jobs):
                progress.update(task, advance=1, description=wanted.title)
        gone = prune(folder, kernels) if pruned else 0
    except KeyboardInterrupt:
        console.print("stopped; the next call goes on from here")
        raise click.exceptions.Exit(130) from None
    except (GatedError, OSError) as fault:
        raise click.ClickException(str(fault)) from fault
    size = sum(os.stat(path).st_size for path in folder.glob("*.so"))
    console.print(f"{len(kernels)} kernels are in {folder} ({size / 1e6:.1f} MB); {gone} removed")


if __name__ == "__main__":
    main()
