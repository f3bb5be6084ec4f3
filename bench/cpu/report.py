"""Results as tables for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.cpu import counts, plot
from bench.cpu.figures import Figure, figures, share
from bench.cpu.measure import Row

HEADINGS = (
    "ours", "against", "ours ms", "its ms", "ratio", "quartiles", "best", "wanted", "met", "GF/s",
    "of sgemm", "off by",
)  # fmt: skip


FIGURES = ("figure", "wanted", "found", "met")


@dataclass
class Run:
    """All that one run found.

    Attributes:
        started: date and time.
        machine: processor, threads and versions.
        sgemm: GF/s of float32 matrix products, before and after.
        bandwidth: GB/s of reading, by level.
        rows: in the order in which they were measured.
        ended: whether it came to its end.
        minutes: that it took.
    """

    started: str
    machine: dict[str, object]
    sgemm: list[float] = field(default_factory=list)
    bandwidth: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    ended: bool = False
    minutes: float = 0.0

    @property
    def rate(self) -> float:
        """The better of both sgemm rates."""
        return max(self.sgemm, default=0.0)


def known(run: Run) -> str:
    """The machine in a line."""
    parts = dict(run.machine)
    caches = " ".join(f"{level} {size >> 10} KiB" for level, size in dict(parts["caches"]).items())
    return ", ".join(f"{name} {value}" for name, value in {**parts, "caches": caches}.items())


def limits(run: Run) -> str:
    """The machine's rates in a line."""
    rates = " and ".join(f"{rate:.0f}" for rate in run.sgemm)
    read = ", ".join(f"{level} {rate:.0f}" for level, rate in run.bandwidth.items())
    return f"sgemm {rates} GF/s; reading {read or 'not measured: no compiler'} GB/s"


def line(row: Row) -> str:
    """A row while the run goes on."""
    what = f"{row.problem}: {row.ours} against {row.peer}"
    if row.value is None:
        return f"{what}: {row.note}"
    value = row.value
    mark = {True: " ok", False: " MISSED", None: ""}[row.met]
    return (
        f"{what}: {row.kind} {value.median:.2f} ({value.low:.2f}-{value.high:.2f}, best "
        f"{value.best:.2f}){_wanted(row)}{mark}"
    )


def show(run: Run, console: Console) -> None:
    """The tables on the terminal."""
    for group, rows in _by_group(run.rows):
        cells = [[str(row.problem), *_cells(row, run.rate)] for row in rows]
        console.print(_table(f"{group}: {_kinds(rows)}", ("case", *HEADINGS), cells))
    cells = [_figure_cells(figure) for figure in figures(run.rows, run.rate)]
    console.print(_table("Figures to show", FIGURES, cells))


def save(run: Run, folder: Path) -> list[Path]:
    """Write JSON, Markdown and, if matplotlib is there, a plot; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    processor = re.sub(r"[^a-z0-9]+", "-", str(run.machine["processor"]).lower()).strip("-")
    stem = f"{run.started.replace(':', '').replace(' ', '-')}-{processor}"
    written = [folder / f"{stem}.json", folder / f"{stem}.md"]
    written[0].write_text(json.dumps(asdict(run), indent=1, ensure_ascii=False) + "\n", "utf-8")
    picture = plot.draw(run.rows, folder / f"{stem}.png", str(run.machine["processor"]))
    written[1].write_text(markdown(run, picture), "utf-8")
    return written + ([picture] if picture else [])


def markdown(run: Run, picture: Path | None) -> str:
    """The whole report."""
    parts = [
        "# The CPU engine beside its peers",
        f"{run.started}. {known(run)}. {limits(run)}. `make bench`, {run.minutes:.0f} minutes"
        f"{'' if run.ended else ', stopped before its end'}.",
        "A speed is the peer's time over ours, a cost our time over the other's: the median over "
        "turns, its quartiles, and the ratio of the best times. Results were compared with the "
        "float64 reference first; 'off by' is the largest difference, as a share of the largest "
        "value. The share of sgemm is of the better of both rates.",
        " ".join((counts.__doc__ or "").split()),
        "## Figures to show",
        _rows(FIGURES, map(_figure_cells, figures(run.rows, run.rate))),
    ]
    if picture is not None:
        parts.append(f"![The ratios of this run]({picture.name})")
    for group, rows in _by_group(run.rows):
        cells = ([str(row.problem), *_cells(row, run.rate)] for row in rows)
        parts += [f"## {group}", f"{_kinds(rows).capitalize()}.", _rows(("case", *HEADINGS), cells)]
    return "\n\n".join(parts) + "\n"


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place == 0)
    for cells in rows:
        table.add_row(*cells)
    return table


def _rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _figure_cells(figure: Figure) -> list[str]:
    return [figure.name, figure.wanted, figure.found, _mark(figure.met)]


def _cells(row: Row, rate: float) -> list[str]:
    if row.value is None:
        return [row.ours, row.peer, "", "", row.note, *[""] * 7]
    value = row.value
    return [
        f"{row.ours}{f' ({row.note})' if row.note else ''}", row.peer,
        _ms(row.ours_ms), _ms(row.peer_ms), f"{value.median:.2f}",
        f"{value.low:.2f}-{value.high:.2f}", f"{value.best:.2f}", _wanted(row).strip(" ,"),
        _mark(row.met), f"{row.gflops:.0f}", f"{share(row, rate):.0%}", f"{row.error:.0e}",
    ]  # fmt: skip


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _wanted(row: Row) -> str:
    if row.target is None:
        return ""
    return f", {'≥' if row.kind == 'speed' else '≤'} {row.target:g}"


def _mark(met: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[met]


def _kinds(rows: Sequence[Row]) -> str:
    """What the ratios of a group are."""
    words = {"speed": "the peer's time / ours", "cost": "our time / the other's"}
    return "; ".join(f"{k}: {words[k]}" for k in dict.fromkeys(row.kind for row in rows))


def _by_group(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    names = dict.fromkeys(row.group for row in rows)
    return [(name, [row for row in rows if row.group == name]) for name in names]
