"""Loose claims about the LSTM, each with the number that shows it to be loose."""

from __future__ import annotations

import numpy as np

from gated.inspect.demonstrations.demonstration import (
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.explosion import at_rest
from gated.inspect.demonstrations.forgetting import kept, overlaid
from gated.inspect.demonstrations.growth import saturated
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.worked import WORDS, Example, example
from gated.inspect.words import percent

__all__ = ["run"]


def run(steps: int = 100, rows: int = 4000, seed: int = 0) -> Demonstration:
    """The worked example's two gradients, and three claims more.

    Args:
        steps: T of what is computed beside the worked example.
        rows: sequences, as of the demonstration "forgetting".
        seed: of these.
    """
    worked = example()
    burst = float(at_rest(steps)[-1])
    grown = float(saturated(steps // 2)[0][-1])
    share, told = float(kept((0.95,), steps)[0][-1, 0]), float(overlaid(steps, rows, seed)[-1])
    direct, total = float(worked.direct[0]), float(worked.total[0])
    table = (
        ("the gradient is the product of the forget gates", "along c alone",
         f"{direct:.3f}; along all paths {total:.4f}"),
        ("exploding gradients are avoided", "along c alone",
         f"{number(burst)} in {steps} steps"),
        ("tanh keeps the cell in ±1", "of g and h",
         f"c = {number(grown)} after {steps // 2} steps"),
        ("an LSTM never forgets", "f = 1 and i = 0",
         f"f = 0.95 keeps {percent(share)} in {steps} steps; f = 1, written to, {percent(told)}"),
    )  # fmt: skip
    return conclude(
        "claims",
        total > 1.5 * direct and burst > 10 and grown > 1 and share < 0.5 and told < 0.9,
        done=(
            f"The worked example: the words {' '.join(WORDS)!r} through an LSTM of two units, "
            "every weight 0.5, every bias 0, from h = c = 0. Its gradients from the last c back to "
            "each earlier one: along c alone, and along every path, by autograd.",
            "The other numbers are those of the demonstrations explosion, growth and forgetting.",
        ),
        found=_found(worked, burst, grown, steps),
        tables=(
            Table("claims", ("claim", "true", "computed"), table),
            worked.table(),
            Table(
                "gradient of the last c at an earlier one",
                ("word", "along c alone", "all paths"),
                tuple(
                    (word, float(d), float(t))
                    for word, d, t in zip(WORDS, worked.direct, worked.total, strict=True)
                ),
            ),
        ),
        curves=(_gradients(worked),),
        numbers={
            "direct": direct, "total": total, "explosion": burst, "c": grown,
            "kept": share, "told apart": told,
        },
    )  # fmt: skip


def _found(worked: Example, burst: float, grown: float, steps: int) -> tuple[str, ...]:
    back = ", ".join(f"{d:.3f}" for d in worked.direct[-2::-1])
    whole = ", ".join(f"{t:.4f}" for t in worked.total[-2::-1])
    return (
        f"The product of the forget gates is {back}, one, two and three steps back. The whole "
        f"gradient is {whole}: h carries the rest, from c through the gates of the next step.",
        f"An LSTM of one unit, at rest, with one large weight: {number(burst)} in {steps} steps. "
        "See gated demonstrate explosion.",
        f"A cell that is written to at every step holds {number(grown)} after {steps // 2}. See "
        "gated demonstrate growth.",
        "What an LSTM keeps it loses by shares, or under what is written later. See gated "
        "demonstrate forgetting.",
    )


def _gradients(worked: Example) -> Curves:
    at = np.arange(len(WORDS))
    return Curves(
        "The worked example's gradient, step by step back",
        "steps back",
        "gradient at c",
        {
            "along c alone": Line.of(at, worked.direct[::-1]),
            "all paths": Line.of(at, worked.total[::-1]),
        },
    )
