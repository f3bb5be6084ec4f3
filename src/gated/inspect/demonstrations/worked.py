"""The worked example that several demonstrations speak of: four words, every weight 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gated.inspect.demonstrations.demonstration import Array, Row, Table
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import flow, network, unroll
from gated.inspect.measures.memory import retention

__all__ = ["INPUTS", "WORDS", "Example", "example", "toys"]

WORDS = ("This", "movie", "is", "good")
INPUTS = ((0.5, -0.1), (0.3, 0.8), (0.1, -0.2), (0.9, 0.7))


@dataclass(frozen=True)
class Example:
    """The example, computed: values of each equation (4, H), gradients (4,).

    Attributes:
        values: of each equation and state.
        direct: dc_4/dc_t of a unit along c alone: the product of the later forget gates.
        total: d(sum of the units of the last c, or h)/dc_t (or h_t) of a unit, along every path.
    """

    values: dict[str, Array]
    direct: Array
    total: Array

    def table(self) -> Table:
        """The steps, one row a word."""
        names = [name for name in ("f", "c", "h") if name in self.values]
        rows: list[Row] = [
            (w, *(float(self.values[n][t, 0]) for n in names)) for t, w in enumerate(WORDS)
        ]
        return Table("the worked example, unit 1 of 2", ("word", *names), tuple(rows))


def example(cell: str = "lstm", units: int = 2, scale: float = 1.0) -> Example:
    """The four words through a cell whose weights are all 0.5 and whose biases are 0.

    Args:
        cell: "lstm", or "rnn", which has no direct path (NaN).
        units: H.
        scale: of the inputs; 0 for silence.

    >>> example().direct.round(3)
    array([0.26 , 0.402, 0.728, 1.   ])
    """
    layer = network(cell, 2, units, {"W": 0.5, "U": 0.5})
    x = scale * torch.tensor(INPUTS, dtype=torch.float64)
    trace = layer(x, trace=True)[2].at()
    values = {name: value.detach().numpy() for name, value in trace.items()}
    steps = unroll(layer, x)
    memory = "c" if "c" in values else "h"
    total = flow(steps, steps[-1][memory].sum(), memory)[1:, 0]
    gates = values.get("f")
    direct = np.full(len(INPUTS), np.nan) if gates is None else retention(gates)[:, 0]
    return Example(values, direct, total)


def toys() -> tuple[Table, tuple[str, ...], dict[str, float]]:
    """The scalar RNN's .5 ** 3 beside the worked LSTM's numbers, and what they do not show."""
    silent, spoken = example("rnn", 1, 0.0).total[0], example("rnn", 1).total[0]
    pair, lstm = example("rnn", 2).total[0], example()
    rows = (
        ("RNN, 1 unit, no input: 0.5³", silent),
        ("RNN, 1 unit, on the four words", spoken),
        ("RNN, 2 units, on the four words", pair),
        ("LSTM, 2 units, along c alone", lstm.direct[0]),
        ("LSTM, 2 units, all paths", lstm.total[0]),
    )
    sentences = (
        f"The toy numbers: a one-unit RNN with weight 0.5 keeps 0.5³ = {number(silent)} over three "
        f"steps, the LSTM of the worked example {number(lstm.direct[0])} along c. Both fade: "
        f"its f are between {number(lstm.values['f'].min())} and "
        f"{number(lstm.values['f'].max())}, so along c little of it is left after 20 steps too.",
        f"Nor do they compare like with like: through all paths this LSTM keeps "
        f"{lstm.total[0]:.4f}, an RNN of two units with the same weights {pair:.4f}. Three steps "
        "of two units say how to compute a gradient, not who remembers longer.",
    )
    numbers = {"scalar RNN": silent, "scalar RNN on words": spoken, "RNN of two units": pair,
               "direct": lstm.direct[0], "total": lstm.total[0]}  # fmt: skip
    table = Table("three steps with every weight 0.5", ("network", "gradient"), rows)
    return table, sentences, numbers
