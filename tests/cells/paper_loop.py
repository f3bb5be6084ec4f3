"""The loop of the cells in `papers.py`: one step of one row is theirs, batch and time are here."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import exp, maximum

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Paper:
    """One cell: its step, the order of its states, and where a state starts if not at zero."""

    step: Callable[..., Values]
    states: tuple[str, ...]
    start: dict[str, float] = dataclasses.field(default_factory=dict)


PAPERS: dict[str, Paper] = {}


def paper(name, *states, **start):
    """Enter the function below under `name`."""

    def enter(step):
        PAPERS[name] = Paper(step, states, start)
        return step

    return enter


def run(name, xs, start, p, **inputs):
    """The values of every step: dict of name to array (T, B, ...).

    `xs`: (T, B, D). `start`: the states before the first step, by name, (B, H).
    `inputs`: further inputs, (T, B, ...) each.
    """
    cell = PAPERS[name]
    T, B, _ = xs.shape
    rows = []
    for row in range(B):
        s = {key: start[key][row] for key in cell.states}
        steps = []
        for t in range(T):
            now = cell.step(xs[t, row], s, p, **{k: v[t, row] for k, v in inputs.items()})
            s = {key: now[key] for key in cell.states}
            steps.append(now)
        rows.append(steps)
    return {
        key: np.array([[np.atleast_1d(rows[row][t][key]) for row in range(B)] for t in range(T)])
        for key in rows[0][0]
    }


def sigmoid(a):
    return 1 / (1 + exp(-a))


def relu(a):
    return maximum(a, 0.0)


def normalised(a):
    """Mean 0, variance 1 over the vector (variance over N, not N - 1); Ba 2016, equation 4."""
    return (a - a.mean()) / np.sqrt(((a - a.mean()) ** 2).mean() + 1e-5)
