"""What `gated doctor --cell` found of one layer, as lines, tables and plain data."""

from __future__ import annotations

import dataclasses
from typing import Any

from gated.cli.diagnosis import wrapped
from gated.cli.screen import Screen
from gated.engines import PARTS
from gated.equations.maps import Heads
from gated.inspect.doctor import Comparison, Run


def show_comparison(screen: Screen, found: Comparison) -> None:
    """The choice, the times side by side, and whether the choice is right."""
    screen.result(wrapped("", _asked(found)))
    screen.result()
    for text in _remarks(found):
        screen.result([*wrapped("", text), ""], style="yellow")
    way = f", strategy {found.strategy}" if found.strategy else ""
    screen.result([f"auto takes  {found.engine}{way}"], style="bold")
    start = "because     "
    for reason in _reasons(found):
        screen.result(wrapped(start, reason))
        start = " " * len(start)
    timed = [run for run in found.runs if run.seconds]
    if timed:
        screen.result()
        own = {run.engine: run.median for run in timed}.get(found.engine)
        names = ["engine", "median", "middle half", "times auto's"]
        rows = [_row(run, own) for run in timed]
        taken = [k for k, run in enumerate(timed) if run.engine == found.engine]
        screen.table(names, rows, bold=taken)
    lines = [*([] if timed else [_able(found)]), *(_why_not(run, found) for run in found.runs)]
    screen.result(["", *(line for text in lines if text for line in wrapped("", text))])
    if verdict := _right(found):
        screen.result(wrapped("", verdict), style="bold")


def _remarks(found: Comparison) -> list[str]:
    """What the answer is to be read with."""
    if found.absent:
        return [
            "There is no GPU here: this is what would be taken on an H100; nothing was run or timed"
        ]
    if found.tf32 is None or len(set(found.tf32)) == 1:
        return []
    cudnn, _ = found.tf32
    more, less = ("cuDNN (torch)", "the others") if cudnn else ("the others", "cuDNN (torch)")
    return [
        f"By PyTorch's settings {more} may round float32 to tf32 in products and {less} may not:"
        " torch.backends.cudnn.allow_tf32 and torch.set_float32_matmul_precision change that"
    ]


def _reasons(found: Comparison) -> list[str]:
    """Why, one line for each engine or strategy that was passed over."""
    return [text for text in found.reason.split("; ") if text != f"strategy {found.strategy}"]


def _able(found: Comparison) -> str:
    """The engines that run it too."""
    others = [_title(run) for run in found.runs if run.reason is None and not run.same_as]
    others.remove(_title(next(run for run in found.runs if run.engine == found.engine)))
    if not others:
        return ""
    verb = "runs" if len(others) == 1 else "run"
    return (
        f"By name {_and(others)} {verb} it too; auto takes the first that can, of"
        f" {', '.join(found.order)}."
    )


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _title(run: Run) -> str:
    """An engine, and its strategy if its name does not tell."""
    if run.strategy is None or run.engine in PARTS:
        return run.engine
    return f"{run.engine} ({run.strategy})"


def _asked(found: Comparison) -> str:
    layer = found.layer
    words = [f"{layer.cell.name}, D = {layer.input_size}, H = {layer.hidden_size}"]
    words += [f"{layer.num_layers} layers"] if layer.num_layers > 1 else []
    words += ["both directions"] if layer.bidirectional else []
    maps = f"heads:{layer.maps.count}" if isinstance(layer.maps, Heads) else layer.maps
    words += [f"maps {maps}"] if maps is not None else []
    words += [f"B = {layer.batch}, T = {layer.steps}"]
    words += ["ragged lengths"] if layer.lengths else []
    words += [layer.dtype, layer.device, "training" if layer.train else "inference"]
    return ", ".join([*words, "with its gates"] if layer.trace else words)


def _row(run: Run, own: float | None) -> list[str]:
    low, high = run.middle
    share = "–" if own is None else f"{run.median / own:.2f}"
    return [_title(run), time_of(run.median), f"{time_of(low)} to {time_of(high)}", share]


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
    if run.same_as is not None:
        return f"{run.engine} is what {run.same_as} does here."
    # what the choice, or the whole that this is part of, has said already is not said again
    whole = next((one for one in found.runs if one.engine == PARTS.get(run.engine)), None)
    told = [found.reason, *([whole.reason] if whole is not None and whole.reason else [])]
    if run.reason is None or any(run.reason in text for text in told):
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
        "strategy": found.strategy,
        "reason": found.reason,
        "absent": found.absent,
        "tf32": None
        if found.tf32 is None
        else dict(zip(("cudnn", "products"), found.tf32, strict=True)),
        "engines": [
            {
                **dataclasses.asdict(run),
                "median": run.median if run.seconds else None,
                "fastest": run is found.fastest,
            }
            for run in found.runs
        ],
    }
