"""What one run found, as one file: JSON, whose `table` is for reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gpu.device import file_name
from bench.gpu.floor import Floor

Row = Mapping[str, Any]
REFUSED = "not supported"  # how the trouble of a side begins that cannot compute a problem


@dataclass
class Run:
    """All that one run found.

    Attributes:
        started: date and time.
        dry: whether it ran without a GPU, so that no time means anything.
        facts, limits: of the device, see `device`.
        rows: in the order in which they were measured.
        trouble: cases that broke the process that measured.
        left: cases that there was no time for.
        minutes: that it took.
        only: the groups, if not all were asked for.
    """

    started: str
    dry: bool = False
    only: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    minutes: float = 0.0


def save(run: Run, folder: Path) -> Path:
    """Write the file and return its path: no other run's file of more rows is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(run.facts or {"device": "unknown"}) + ("-dry" if run.dry else "")
    whole, partial = (folder / f"{name}{end}.json" for end in ("", "-partial"))
    path = partial if run.only or _fuller(whole, run) else whole
    told = {**vars(run), "table": [*table(run)]}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if path == whole and partial.exists() and _of(partial).get("started") == run.started:
        partial.unlink()
    return path


def _fuller(path: Path, run: Run) -> bool:
    """Whether another run's file has more rows."""
    found = _of(path) if path.exists() else {}
    return found.get("started") != run.started and len(found.get("rows", [])) > len(run.rows)


def _of(path: Path) -> dict[str, Any]:
    """What stands in a file; nothing if it was cut short."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError:
        return {}
    return found


def faults(run: Run) -> list[str]:
    """What a run may not end well with: a side that failed, one of ours that refused, or the peer
    of a figure; processes that broke, cases that were not run, nothing of ours in time."""
    found = [
        f"{row['case']}, {side}: {told}"
        for row in run.rows
        for side, told in row.get("trouble", {}).items()
        if not told.startswith(REFUSED) or _needed(row, side)
    ]
    if not any("ours ms" in row for row in run.rows):
        found.append("nothing of ours was timed")
    return [*found, *run.trouble, *run.left]


def _needed(row: Row, side: str) -> bool:
    """Whether a side may not refuse what a row asks."""
    return side in ("auto", "triton") or row["wanted"] is not None or not row["peer"]


def table(run: Run) -> Iterator[str]:
    """The lines of the report."""
    yield f"{run.started}, {run.minutes:.1f} minutes{', DRY: times mean nothing' * run.dry}"
    if run.only:
        yield f"PARTIAL: only {', '.join(run.only)}"
    yield ", ".join(f"{name} {value}" for name, value in run.facts.items())
    yield "limits measured: " + ", ".join(f"{n} {v:.4g}" for n, v in run.limits.items())
    yield "ratio: the peer's time / ours, of a cost ours / the peer's; floor: the greatest of"
    yield "bytes, operations and the chain of steps, of which the last is an estimate; graph: of"
    yield "ours that runs step by step, whether from a CUDA graph"
    group = None
    for row in run.rows:
        if row["group"] != group:
            group = row["group"]
            yield ""
            yield f"{group}: {row['figure'].partition(':')[2].strip()}, and so on"
            yield _line(*_HEADINGS)
        yield line(row, run.limits)
    for heading, names in (("broke", run.trouble), ("not run", run.left)):
        if names:
            yield ""
            yield from (f"{heading}: {name}" for name in names)


_HEADINGS = (
    "case", "ours", "ms", "middle half", "us/step", "peer", "its ms", "ratio", "middle half",
    "wanted", "met", "floor ms", "by", "x floor", "off by", "graph",
)  # fmt: skip
_WIDTHS = (62, 24, 9, 17, 8, 34, 9, 7, 13, 7, 4, 9, 10, 8, 8, 5)


def _line(*cells: str) -> str:
    return " ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def line(row: Row, limits: Mapping[str, float]) -> str:
    """A row of the table."""
    ours, peer, ratio = row.get("ours ms"), row.get("peer ms"), row.get("ratio")
    name = row["ours"] + (f" ({row['auto takes']})" if "auto takes" in row else "")
    by, least = bound(row, limits)
    theirs, wanted = row["peer"], row["wanted"]
    if "published ms" in row:
        theirs, wanted = f"published {row['published ms']} ms (H100)", row["wanted ms"]
    cells = _line(
        row["case"], name, _ms(ours and ours[0]), (ours and f"{_ms(ours[1])}-{_ms(ours[2])}") or "",
        f"{row['us a step']:.3g}" if "us a step" in row else "", theirs,
        _ms(peer and peer[0]) if row["peer"] else "", f"{ratio[0]:.2f}" if ratio else "",
        f"{ratio[1]:.2f}-{ratio[2]:.2f}" if ratio else "", "" if wanted is None else f"{wanted:g}",
        {True: "yes", False: "NO"}.get(row.get("met"), ""), _ms(least), by,
        f"{ours[0] / least:.2f}" if ours and least else "",
        f"{row['ours off by']:.0e}" if "ours off by" in row else "", row.get("ours replayed", ""),
    )  # fmt: skip
    trouble = "; ".join(f"{side}: {told}" for side, told in row.get("trouble", {}).items())
    return f"{cells}  {trouble}" if trouble else cells


def bound(row: Row, limits: Mapping[str, float]) -> tuple[str, float]:
    """What bounds a case, and the time that it takes at least, in milliseconds."""
    if not limits:
        return "", 0.0
    bounds = Floor(**row["floor"]).milliseconds(limits, row["dtype"])
    by = max(bounds, key=lambda name: bounds[name])
    return by, bounds[by]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
