"""What `gated doctor` found, as lines, tables and plain data."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

from gated.cli.faults import one_line
from gated.cli.screen import Screen
from gated.inspect.doctor import ALLOWED, Check, Comparison, Machine, Run

_WIDTH = 100
_NAMED = 6  # cells named in a sentence; more are counted


def show_machine(screen: Screen, found: Machine) -> None:
    """The facts, in sections."""
    cache, pairs = found.cache, [found.torch_threads, found.allowed_threads]
    compiler = f"{found.compiler_version} ({found.compiler})" if found.compiler else None
    _section(screen, "Versions", {
        "gated": found.gated,
        "Python": found.python,
        "PyTorch": found.torch,
        "compiler": compiler or f"none: {found.compiler_version}",
    })  # fmt: skip
    _section(screen, "Machine", {
        "CPU": found.cpu,
        "instructions": f"{found.instruction_set}, {found.lanes} float32 numbers at a time",
        "threads": f"{found.kernel_threads} in kernels (PyTorch's {pairs[0]}, allowed {pairs[1]})",
        "OpenMP": ", ".join(found.openmp) or "no runtime found",
        "GPU": found.gpu or "none",
    })  # fmt: skip
    _section(screen, "Cache of compiled kernels", {
        "folder": cache.folder,
        "state": cache.problem or f"can be used; {cache.kernels} kernels, {_size(cache.size)}",
    })  # fmt: skip


def machine_content(found: Machine) -> dict[str, Any]:
    """The facts as plain data."""
    return {"machine": dataclasses.asdict(found)}


def _section(screen: Screen, title: str, lines: dict[str, str]) -> None:
    screen.result([title], style="bold")
    for name, text in lines.items():
        screen.result(_wrapped(f"  {name:<14}", text))
    screen.result()


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        start + one_line(text), _WIDTH, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def show_warnings(screen: Screen, said: Sequence[str]) -> None:
    """What a person should set right."""
    for one in said:
        screen.result(_wrapped("warning: ", one), style="yellow")
    if said:
        screen.result()


def show_checks(screen: Screen, checks: Sequence[Check]) -> None:
    """One row a cell, one column an engine and type; then what the dashes mean, and the verdict."""
    if not checks:
        return
    title = "Engines beside the reference in float64: greatest error of outputs, states, gradients"
    screen.result([title], style="bold")
    ran = [c for c in checks if c.reason is None]
    columns = list(dict.fromkeys((c.engine, c.dtype) for c in ran))
    found = {(c.cell, c.engine, c.dtype): _error(c) for c in checks}
    rows = [
        [cell, *(found[cell, *column] for column in columns)]
        for cell in dict.fromkeys(c.cell for c in checks)
    ]
    screen.table(["cell", *map(" ".join, columns)], rows)
    screen.result(["", *(line for text in _not_run(checks) for line in _wrapped("", text))])
    wrong = [c for c in checks if c.wrong]
    for text in _complaints(wrong):
        screen.result(_wrapped("", text), style="bold red")
    screen.result(_wrapped("", _verdict(wrong)), style="bold")


def _error(check: Check) -> str:
    if check.failure is not None:
        return "– failed"
    if check.error is None:
        return "–"
    return f"{check.error:.0e}{' wrong' if check.wrong else ''}"


def _not_run(checks: Sequence[Check]) -> list[str]:
    """Why engines leave out cells, one line for each reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check.reason is not None:
            # the same for each of the cells that it names
            reason = check.reason.replace(f" {check.cell} ", " the cell ")
            found.setdefault((check.engine, reason), []).append(check.cell)
    lines = []
    for (engine, reason), cells in found.items():
        own = list(dict.fromkeys(cells))
        which = ", ".join(own) if len(own) <= _NAMED else f"{len(own)} cells (–)"
        lines.append(f"{engine} does not run {which}: {reason}")
    return lines


def _complaints(wrong: Sequence[Check]) -> list[str]:
    """What is wrong, one line for each fault of an engine."""
    found: dict[tuple[str, str | None], list[Check]] = {}
    for check in wrong:
        found.setdefault((check.engine, check.failure), []).append(check)
    lines = []
    for (engine, failure), checks in found.items():
        cells = ", ".join(dict.fromkeys(check.cell for check in checks))
        worst = max(checks, key=lambda check: check.error or 0.0)
        lines.append(
            f"{engine} is wrong on {cells}: {worst.value} is off by {worst.error:.1e} on"
            f" {worst.cell} in {worst.dtype}"
            if failure is None
            else f"{engine} fails on {cells}: {failure}"
        )
    return lines


def _verdict(wrong: Sequence[Check]) -> str:
    if not wrong:
        within = " and ".join(
            f"{most:.0e} in {str(dtype).removeprefix('torch.')}" for dtype, most in ALLOWED.items()
        )
        return f"All engines agree with the reference, within {within} of the greatest value."
    engines = list(dict.fromkeys(check.engine for check in wrong))
    return (
        f"Do not use {' or '.join(engines)} for these: pass engine='reference', which is slow and"
        " right, and report this with what `gated doctor --json` prints."
    )


def checks_content(checks: Sequence[Check]) -> dict[str, Any]:
    """The checks as plain data."""
    return {"checks": [{**dataclasses.asdict(c), "wrong": c.wrong} for c in checks]}


def show_comparison(screen: Screen, found: Comparison) -> None:
    """The choice, the times side by side, and whether the choice is right."""
    screen.result(_wrapped("", _asked(found)))
    screen.result()
    screen.result([f"auto takes  {found.engine}"], style="bold")
    screen.result(_wrapped("because     ", found.reason))
    timed = [run for run in found.runs if run.seconds]
    if timed:
        screen.result()
        own = {run.engine: run.median for run in timed}.get(found.engine)
        names = ["engine", "median", "middle half", "times auto's"]
        rows = [_row(run, own) for run in timed]
        taken = [k for k, run in enumerate(timed) if run.engine == found.engine]
        screen.table(names, rows, bold=taken)
    lines = [_why_not(run, found) for run in found.runs]
    screen.result(["", *(line for text in lines if text for line in _wrapped("", text))])
    if verdict := _right(found):
        screen.result(_wrapped("", verdict), style="bold")


def _asked(found: Comparison) -> str:
    layer = found.layer
    words = [f"{layer.cell.name}, D = {layer.input_size}, H = {layer.hidden_size}"]
    words += [f"{layer.num_layers} layers"] if layer.num_layers > 1 else []
    words += ["both directions"] if layer.bidirectional else []
    words += [f"maps {layer.maps}"] if layer.maps is not None else []
    words += [f"B = {layer.batch}, T = {layer.steps}"]
    words += ["ragged lengths"] if layer.lengths else []
    words += [layer.dtype, layer.device, "training" if layer.train else "inference"]
    return ", ".join([*words, "with its gates"] if layer.trace else words)


def _row(run: Run, own: float | None) -> list[str]:
    low, high = run.middle
    share = "–" if own is None else f"{run.median / own:.2f}"
    return [run.engine, time_of(run.median), f"{time_of(low)} to {time_of(high)}", share]


def time_of(seconds: float) -> str:
    """A time with three digits.

    >>> time_of(0.0012345), time_of(2.5e-5), time_of(12)
    ('1.23 ms', '25.0 µs', '12.0 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            break
    value = seconds / scale
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


def _why_not(run: Run, found: Comparison) -> str:
    if run.failure is not None:
        return f"{run.engine} failed: {run.failure}"
    # what the choice has said already is not said again
    if run.reason is None or run.reason in found.reason:
        return ""
    return f"{run.engine} does not run this: {run.reason}"


def _right(found: Comparison) -> str:
    """Whether the choice is right, by the times."""
    best = found.fastest
    own = next((run for run in found.runs if run.engine == found.engine and run.seconds), None)
    if best is None:
        return ""
    if best is own:
        alone = sum(bool(run.seconds) for run in found.runs) == 1
        return (
            "No other engine runs this."
            if alone
            else "The choice is right: none is clearly faster."
        )
    share = f": {best.median / own.median:.2f} of the time" if own else ""
    return f"{best.engine} is faster here{share}. To have it, pass engine='{best.engine}'."


def comparison_content(found: Comparison) -> dict[str, Any]:
    """The choice as plain data."""
    layer = {f.name: getattr(found.layer, f.name) for f in dataclasses.fields(found.layer)}
    maps = None if layer["maps"] is None else str(layer["maps"])
    return {
        "layer": {**layer, "cell": found.layer.cell.name, "maps": maps},
        "engine": found.engine,
        "reason": found.reason,
        "engines": [
            {
                **dataclasses.asdict(run),
                "median": run.median if run.seconds else None,
                "fastest": run is found.fastest,
            }
            for run in found.runs
        ],
    }
