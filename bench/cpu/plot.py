"""The ratios of a run as a picture: a point with its quartiles for each, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cpu.measure import Row

_COLOURS = {"inference": "#0072b2", "step": "#0072b2", "training": "#d55e00"}
_OTHER = "#009e73"
# modes side by side on one line
_SHIFTS = {"inference": -0.25, "training+x": 0.25}


def draw(rows: Sequence[Row], path: Path, title: str) -> Path | None:
    """Write a PNG, one panel a group; None if matplotlib is not installed or nothing is known."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = _by_group(rows)
    if not groups:
        return None
    counts = [len(lines) for lines in groups.values()]
    figure, axes = pyplot.subplots(
        len(groups), 1, figsize=(9, 0.9 * len(groups) + 0.17 * sum(counts)), squeeze=False,
        height_ratios=[count + 3 for count in counts], layout="constrained",
    )  # fmt: skip
    for (group, lines), place in zip(groups.items(), axes[:, 0], strict=True):
        _panel(place, group, lines)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _by_group(rows: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """The rows of each group, by the line on which they stand: those of all modes on one."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.value is not None:
            asked = row.problem
            peer = row.peer.partition(" (")[0]
            other = " padded" if asked.ragged and row.kind == "cost" else ""
            line = (
                f"{asked.cell}, B {asked.batch} T {asked.steps} H {asked.size}: "
                f"{row.ours} / {peer}{other}"
            )
            found.setdefault(row.group, {}).setdefault(line, []).append(row)
    return found


def _panel(place: Any, group: str, lines: Mapping[str, Sequence[Row]]) -> None:
    for height, row in enumerate(lines.values()):
        for one in row:
            _mark(place, one, height + _SHIFTS.get(one.problem.mode, 0.0))
    place.set_yticks(range(len(lines)), list(lines), fontsize=6)
    place.set_ylim(len(lines) - 0.4, -0.6)
    place.set_xscale("log", base=2)
    place.xaxis.set_major_formatter("{x:g}")
    place.tick_params(axis="x", labelsize=6)
    place.axvline(1, color="grey", linewidth=0.8)
    place.grid(axis="x", alpha=0.3)
    rows = [row for line in lines.values() for row in line]
    kinds = {"speed": "the peer's time / ours", "cost": "our time / the other's"}
    words = " and ".join(kinds[kind] for kind in dict.fromkeys(row.kind for row in rows))
    place.set_title(f"{group}: {words}", fontsize=8, loc="left")
    handles = [
        place.plot([], [], "o-", color=_COLOURS.get(mode, _OTHER), markersize=3, label=mode)[0]
        for mode in dict.fromkeys(row.problem.mode for row in rows)
    ]
    handles += place.plot([], [], "k|", markersize=5, label="wanted")
    place.legend(
        handles=handles,
        fontsize=6,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=4,
        frameon=False,
        borderaxespad=0.1,
    )


def _mark(place: Any, row: Row, height: float) -> None:
    """The median, its quartiles and the target."""
    assert row.value is not None
    colour = _COLOURS.get(row.problem.mode, _OTHER)
    place.plot([row.value.low, row.value.high], [height] * 2, color=colour, linewidth=1.5)
    place.plot(row.value.median, height, "o", color=colour, markersize=3)
    if row.target is not None:
        place.plot(row.target, height, "|", color="black", markersize=5)
