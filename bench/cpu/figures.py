"""The figures to show: what the rows say of each target, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from bench.cpu.measure import Row

LEAST_MEAN = {"training": 1.5, "training+x": 1.5, "inference": 1.3}
LEAST_AUTO = 0.95
LEAST_SHARE = 0.7


@dataclass(frozen=True)
class Figure:
    """A target, what was found, and whether that reaches it; None if nothing was found."""

    name: str
    wanted: str
    found: str
    met: bool | None


def figures(rows: Sequence[Row], sgemm: float) -> list[Figure]:
    """Every figure that the rows have something to say about."""
    names = dict.fromkeys(row.figure for row in rows if row.target is not None)
    found = [_figure(name, [row for row in rows if row.figure == name]) for name in names]
    return [*found, *_grid(rows), *_shares(rows, sgemm)]


def share(row: Row, sgemm: float) -> float:
    """Our rate of products as a share of the machine's."""
    return row.gflops / sgemm if sgemm else 0.0


def _figure(name: str, rows: Sequence[Row]) -> Figure:
    """Few rows are all shown; of many, the mean and the worst."""
    known = [row for row in rows if row.value is not None]
    few = len(rows) <= 4
    targets = [f"{row.target:g}" for row in rows]
    wanted = " / ".join(targets if few else sorted({*targets}))
    wanted = f"{'≥' if rows[0].kind == 'speed' else '≤'} {wanted}"
    if not known:
        return Figure(name, wanted, rows[0].note, None)
    met = all(row.met for row in rows)
    if few:
        texts = [f"{row.value.median:.2f}" if row.value else "none" for row in rows]
        return Figure(name, wanted, " / ".join(texts), met)
    worst = sorted(known, key=lambda row: row.value.median / row.target)
    worst = worst if rows[0].kind == "speed" else worst[::-1]
    short = ", ".join(f"{row.problem.cell} {row.value.median:.2f}" for row in worst[:3])
    reached = sum(bool(row.met) for row in known)
    mean = geometric_mean(row.value.median for row in known)
    text = f"{reached} of {len(rows)}; mean {mean:.2f}; furthest {short}"
    return Figure(name, wanted, text, met)


def _grid(rows: Sequence[Row]) -> Iterable[Figure]:
    """Geometric means over the grid, and the worst of `auto`."""
    for side in ("cpu", "auto"):
        for mode, least in LEAST_MEAN.items():
            values = [
                row.value.median for row in rows
                if row.group == "grid" and row.value and row.ours == side
                and row.problem.mode == mode
            ]  # fmt: skip
            if values:
                mean, name = geometric_mean(values), f"grid: {mode}, {side} against nn.LSTM, mean"
                yield Figure(name, f"≥ {least}", f"{mean:.2f} of {len(values)}", mean >= least)
    auto = [row for row in rows if row.group == "grid" and row.ours == "auto" and row.value]
    if auto:
        worst = min(auto, key=lambda row: row.value.median)
        yield Figure(
            "grid: auto in its worst case", f"≥ {LEAST_AUTO}",
            f"{worst.value.median:.2f} ({worst.problem})", worst.value.median >= LEAST_AUTO,
        )  # fmt: skip


def _shares(rows: Sequence[Row], sgemm: float) -> Iterable[Figure]:
    """Training where products are most of the work."""
    for mode in ("training", "training+x"):
        large = [
            row for row in rows
            if row.value and row.ours == "cpu" and row.problem.cell == "lstm"
            and row.problem.mode == mode and not row.problem.ragged
            and row.problem.batch >= 32 and row.problem.size >= 256
        ]  # fmt: skip
        if large and sgemm:
            worst = min(large, key=lambda row: row.gflops)
            name = f"share of the sgemm rate: {mode}, B ≥ 32, H ≥ 256, worst"
            text = f"{share(worst, sgemm):.0%} ({worst.problem})"
            yield Figure(name, f"≥ {LEAST_SHARE:.0%}", text, share(worst, sgemm) >= LEAST_SHARE)
