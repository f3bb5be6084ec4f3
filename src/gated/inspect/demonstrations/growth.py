"""The cell state outgrows ±1: it adds up what is written into it."""

from __future__ import annotations

import numpy as np
import torch

from gated.engines.reference import evaluate
from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import network

__all__ = ["run", "saturated"]

OPEN = 40.0  # a bias at which σ and tanh are 1 in float64


def run(steps: int = 50, keeps: tuple[float, ...] = (1.0, 0.99, 0.9, 0.5)) -> Demonstration:
    """The cell state of an LSTM that writes 1 at every step.

    Args:
        steps: T.
        keeps: values of the forget gate, the first one 1.
    """
    runs = {keep: saturated(steps, keep) for keep in keeps}
    c = {keep: found[0] for keep, found in runs.items()}
    full, shown, slope = runs[keeps[0]]
    rows = tuple(
        (keep, values[-1], float(runs[keep][1][-1]), 1 / (1 - keep) if keep < 1 else np.inf)
        for keep, values in c.items()
    )
    at = np.arange(1, steps + 1)
    picked = sorted({min(k, steps) for k in (1, 2, 3, 5, 10, 20, steps)})
    slopes = tuple((float(full[k - 1]), float(shown[k - 1]), _slope(slope[k - 1])) for k in picked)
    return conclude(
        "growth",
        full[-1] > 1 and bool((np.abs(shown) <= 1).all()),
        done=(
            f"An LSTM of one unit runs {steps} steps with its input gate, candidate and output "
            "gate all at 1: it writes as much as it can. The forget gate is held at several "
            "values.",
        ),
        found=(
            f"With f = 1 the cell state is {number(full[-1])} after {steps} steps: 1 more in each.",
            *(
                f"With f = {keep:g} it is {number(values[-1])}; it cannot pass 1 / (1 − f) = "
                f"{number(round(1 / (1 - keep), 9))}."
                for keep, values in c.items()
                if keep < 1
            ),
            f"What tanh bounds is g, what is written, and h, what is shown: h is "
            f"{number(shown[-1])}.",
            f"It has a price. At c = {number(slopes[-1][0])} the slope of h in c is "
            f"{slopes[-1][2]}, at c = 1 it is {slopes[0][2]}: where c is large, h no longer tells "
            "its values apart, and next to no gradient comes in through h.",
        ),
        tables=(
            Table(f"after {steps} steps", ("f", "c", "h", "1 / (1 − f)"), rows),
            Table("what h shows of c, f = 1", ("c", "h", "slope of h in c"), slopes),
        ),
        curves=(
            Curves(
                "The cell state, written to at every step",
                "step",
                "c",
                {f"f = {keep:g}": Line.of(at, values) for keep, values in c.items()},
                {
                    f"1 / (1 − {keep:g})": Line.of(at, 0 * at + 1 / (1 - keep))
                    for keep in keeps
                    if keep < 1 and 1 / (1 - keep) <= 1.2 * steps
                },
            ),
        ),
        numbers={"c": full[-1], "h": shown[-1], "slope": slope[-1]},
    )


def _slope(value: float) -> str:
    """tanh's slope, which is never 0: float64 has no room for what is left beside 1."""
    return number(value) if value >= 1e-16 else "below 10⁻¹⁶"


def saturated(steps: int, keep: float = 1.0) -> tuple[Array, Array, Array]:
    """c, h and dh/dc, each (T,), of one unit with i = g = o = 1 and f = keep.

    >>> saturated(3)[0]
    array([1., 2., 3.])
    """
    bias = OPEN if keep == 1 else float(np.log(keep / (1 - keep)))
    layer = network("lstm", 1, 1, {"b.i": OPEN, "b.g": OPEN, "b.o": OPEN, "b.f": bias})
    trace = layer(torch.zeros(steps, 1, dtype=torch.float64), trace=True)[2].at()
    # dh/dc, on the equation h = o ⊙ tanh(c) of each step alone
    c = trace["c"].detach().requires_grad_()
    graph = layer.cell.graph
    known = {graph.equations["o"]: trace["o"].detach(), graph.updates["c"]: c}
    h = evaluate([graph.updates["h"]], known)[graph.updates["h"]]
    (slope,) = torch.autograd.grad(h.sum(), c)
    return c.detach()[:, 0].numpy(), h.detach()[:, 0].numpy(), slope[:, 0].numpy()
