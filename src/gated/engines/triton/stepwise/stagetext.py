"""The text of a stage's kernel around its work: what it takes, and where its rows and units are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gated.engines.triton.spelling import indented
from gated.equations.graph import Size

# what differs from step to step: where the step stands and the one before it in the loop forward;
# how many rows reach it, had that step before, go on after; which of two buffers is read
NUMBERS = ("at", "before", "rows", "joined", "goes", "turn", "batch")
_JIT = f"@triton.jit(do_not_specialize={[*NUMBERS]})".replace("'", '"')


@dataclass(frozen=True)
class Kernel:
    """A kernel.

    Attributes:
        buffers: what it takes, in order.
        widths: the widths of its tiles; cut: whether programs share the units of the only one.
        sizes: how many of the plan's sizes it takes.
    """

    name: str
    buffers: tuple[str, ...]
    widths: tuple[Size, ...]
    sizes: int
    cut: bool


def function(kernel: Kernel, external: Collection[str], lines: list[str]) -> str:
    """The text of a kernel; `external` are the caller's buffers."""
    given = [name for name in kernel.buffers if name in external]
    constants = [f"W{k}" for k in range(kernel.sizes)]
    constants += [f"{name}_{k}" for k in range(len(kernel.widths)) for name in ("SIZE", "BLOCK")]
    constants += [*(f"TYPE_{name}" for name in given), "ROWS", "INDEX", "REAL"]
    head = [
        "at, before = at.to(tl.int64), before.to(tl.int64)",
        "now = (turn * batch).to(tl.int64)",
        "after = batch - now",
        "row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]).to(INDEX)",
        "here = row < rows",
    ]
    for k in range(len(kernel.widths)):
        first = f"tl.program_id(1) * BLOCK_{k} + " if kernel.cut else ""
        head += [f"u{k} = {first}tl.arange(0, BLOCK_{k})[None, :]", f"m{k} = u{k} < SIZE_{k}"]
    for name in given:
        line = f"{name} = memory({name}, TYPE_{name})"
        head += [f"if {name} is not None:", f"    {line}"] if name.startswith("d_") else [line]
    takes = [f"{', '.join(NUMBERS)},", *(f"{name}," for name in kernel.buffers)]
    takes += [f"{name}: tl.constexpr," for name in constants]
    return _joined(_JIT, kernel.name, takes, [*head, *lines])


def addresses(name: str, external: Collection[str]) -> str:
    """A kernel that writes the addresses of a call's buffers into a table."""
    lines = []
    for k, buffer in enumerate(external):
        lines += [f"if {buffer} is not None:", f"    tl.store(table + {k}, {buffer}.to(tl.int64))"]
    takes = [f"{buffer}," for buffer in ("table", *external)]
    return _joined("@triton.jit", f"{name}_addresses", takes, lines or ["pass"])


def _joined(jit: str, name: str, takes: list[str], lines: list[str]) -> str:
    return "\n".join([jit, f"def {name}(", *indented(takes), "):", *indented(lines), ""])
