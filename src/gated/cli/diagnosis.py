"""What `gated doctor` found on this machine, as lines, tables and plain data."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from gated.cli.faults import one_line
from gated.cli.screen import Screen
from gated.inspect.doctor import ALLOWED, EPS, TIMES, Check, Gpu, Machine

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
        "CUDA": found.cuda or "none in this PyTorch",
        "Triton": found.triton or "not installed: it comes with PyTorch for GPUs on Linux",
        "compiler": compiler or f"none: {found.compiler_version}",
    })  # fmt: skip
    _section(screen, "Machine", {
        "CPU": found.cpu,
        "instructions": f"{found.instruction_set}, {found.lanes} float32 numbers at a time",
        "threads": f"{found.kernel_threads} in kernels (PyTorch's {pairs[0]}, allowed {pairs[1]})",
        "OpenMP": ", ".join(found.openmp) or "no runtime found",
        "GPU": _gpu(found.gpu),
    })  # fmt: skip
    _section(screen, "Cache of compiled kernels", {
        "folder": cache.folder,
        "state": cache.problem or f"can be used; {cache.kernels} kernels, {_size(cache.size)}",
    })  # fmt: skip


def _gpu(found: Gpu | None) -> str:
    if found is None:
        return "none that PyTorch can use"
    more = f"; one of {found.count}" if found.count > 1 else ""
    return f"{found.name}, compute capability {found.capability}, {found.memory / 1e9:.0f} GB{more}"


def machine_content(found: Machine) -> dict[str, Any]:
    """The facts as plain data."""
    return {"machine": dataclasses.asdict(found)}


def _section(screen: Screen, title: str, lines: dict[str, str]) -> None:
    screen.result([title], style="bold")
    for name, text in lines.items():
        screen.result(wrapped(f"  {name:<14}", text))
    screen.result()


def wrapped(start: str, text: str) -> list[str]:
    """The text after a start, in lines of which further ones are indented by it."""
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    return textwrap.wrap(
        start + one_line(text), min(room, _WIDTH), subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def show_warnings(screen: Screen, said: Sequence[str]) -> None:
    """What a person should set right."""
    for one in said:
        screen.result(wrapped("warning: ", one), style="yellow")
    if said:
        screen.result()


def show_checks(screen: Screen, checks: Sequence[Check]) -> None:
    """A table a device, one row a cell and engine; then what was not run, and the verdict."""
    if not checks:
        return
    title = "Engines beside the reference in float64: greatest error of outputs, states, gradients"
    screen.result([title], style="bold")
    for device, own in _by(checks, lambda check: check.device).items():
        screen.result(["", f"on {device}"], style="bold")
        _table(screen, [check for check in own if check.reason is None])
        screen.result(["", *(line for text in _not_run(own) for line in wrapped("", text))])
    wrong = [c for c in checks if c.wrong]
    for text in _complaints(wrong):
        screen.result(wrapped("", text), style="bold red")
    screen.result(wrapped("", _verdict(checks, wrong)), style="bold")


def _by(checks: Sequence[Check], what: Callable[[Check], str]) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    for check in checks:
        found.setdefault(what(check), []).append(check)
    return found


def _table(screen: Screen, ran: Sequence[Check]) -> None:
    types = list(_by(ran, lambda check: check.dtype))
    rows = []
    for cell, of_cell in _by(ran, lambda check: check.cell).items():
        engines = _by(of_cell, lambda check: check.engine)
        for k, (engine, of_engine) in enumerate(engines.items()):
            errors = {check.dtype: _error(check) for check in of_engine}
            rows.append(["" if k else cell, engine, *(errors.get(dtype, "") for dtype in types)])
    screen.table(["cell", "engine", *types], rows)


def _error(check: Check) -> str:
    if check.failure is not None:
        return "– failed"
    return f"{check.error:.0e}{' wrong' if check.wrong else ''}"


def _not_run(checks: Sequence[Check]) -> list[str]:
    """Why engines leave out cells, one line for each reason."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.reason is not None:
            # the same for each of the cells that it names
            reason = check.reason.replace(f" {check.cell} ", " the cell ")
            found.setdefault((check.engine, reason), []).append(check)
    everything = len({check.cell for check in checks})
    lines = []
    for (engine, reason), left in found.items():
        cells, types = list(_by(left, lambda c: c.cell)), list(_by(left, lambda c: c.dtype))
        which = " here" if len(cells) == everything else f" {_named(cells)}"
        if len(types) < len(_by(checks, lambda c: c.dtype)):
            which += f" in {' and '.join(types)}"
        lines.append(f"{engine} does not run{which}: {reason}")
    return lines


def _named(cells: Sequence[str]) -> str:
    return ", ".join(cells) if len(cells) <= _NAMED else f"{len(cells)} cells"


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
            f" {worst.cell} in {worst.dtype} on {worst.device}"
            if failure is None
            else f"{engine} fails on {cells}: {failure}"
        )
    return lines


def _verdict(checks: Sequence[Check], wrong: Sequence[Check]) -> str:
    if not wrong:
        exact = {str(dtype).removeprefix("torch."): most for dtype, most in ALLOWED.items()}
        within = " and ".join(f"{most:.0e} in {dtype}" for dtype, most in exact.items())
        halves = (
            f"; in 16 bits within {EPS} eps, or {TIMES} times the error of PyTorch's operations"
            if any(check.dtype not in exact for check in checks)
            else ""
        )
        return (
            f"All engines agree with the reference, within {within} of the greatest value{halves}."
        )
    engines = list(dict.fromkeys(check.engine for check in wrong))
    return (
        f"Do not use {' or '.join(engines)} for these: pass engine='reference', which is slow and"
        " right, and report this with what `gated doctor --json` prints."
    )


def checks_content(checks: Sequence[Check]) -> dict[str, Any]:
    """The checks as plain data."""
    return {"checks": [{**dataclasses.asdict(c), "wrong": c.wrong} for c in checks]}
