"""Why tanh and not ReLU: how states grow, and the start from which ReLU works all the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gated.cells.lstm import LSTM
from gated.equations import U, W, b, relu
from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import fit, gaussian, network
from gated.layers.recurrent import Recurrent

__all__ = ["ReluLSTM", "growth", "identity", "recall", "run"]

FAR = 1000  # steps over which the identity is tested


class ReluLSTM(LSTM):
    """The LSTM with a rectifier in place of both of its tanh."""

    name = "lstm-relu"
    where = {  # noqa: RUF012
        "g": lambda x, h: relu(W.g @ x + U.g @ h + b.g),
        "h": lambda o, c: o * relu(c),
    }


CELLS = {"RNN, tanh": "rnn", "RNN, ReLU": "rnn-relu", "LSTM, tanh": "lstm", "LSTM, ReLU": ReluLSTM}


def run(
    steps: int = 100,
    units: int = 16,
    radii: tuple[float, ...] = (0.5, 0.9, 1.1, 1.5, 2.0, 4.0),
    delay: int = 50,
    batches: int = 200,
    seed: int = 0,
) -> Demonstration:
    """The largest state over time, with tanh and with ReLU, for growing weights.

    Args:
        steps: T.
        units: H.
        radii: largest moduli of an eigenvalue of U (of each gate's, in an LSTM).
        delay: T of the task of recalling the first input.
        batches: of its training; 0 leaves it out.
        seed: of weights and inputs.
    """
    grown = {
        name: {radius: growth(cell, radius, steps, units, seed) for radius in radii}
        for name, cell in CELLS.items()
    }
    rows = tuple((r, *(float(grown[name][r][-1]) for name in CELLS)) for r in radii)
    exact = {scale: identity(scale, FAR) for scale in (0.99, 1.0, 1.01)}
    trained = recall(delay, batches, seed) if batches else {}
    ends = dict(zip(CELLS, rows[-1][1:], strict=True))
    learned = trained.get("ReLU, identity", 0.0) < 0.5 * trained.get("ReLU, random", 1.0)
    return conclude(
        "tanh",
        ends["RNN, tanh"] <= 1 and min(ends["RNN, ReLU"], ends["LSTM, ReLU"]) > 100 and learned,
        done=_done(steps, units, delay, batches),
        found=(*_found(ends, rows, exact), *_learned(trained)),
        tables=(
            Table(f"largest entry of h after {steps} steps", ("size", *CELLS), rows),
            Table(
                f"identity × s, ReLU: gradient over {FAR} steps",
                ("s", "gradient"),
                tuple(exact.items()),
            ),
            *_trainings(trained),
        ),
        curves=(_curves({name: of[radii[-1]] for name, of in grown.items()}, radii[-1]),),
        numbers={**ends, **{f"identity {s:g}": g for s, g in exact.items()}, **trained},
    )


def _done(steps: int, units: int, delay: int, batches: int) -> tuple[str, ...]:
    return (
        f"Networks of {units} units run {steps} steps of random inputs, their recurrent matrices "
        "scaled to several sizes (largest modulus of an eigenvalue); the largest entry of h at "
        "the end. The LSTM with ReLU is the library's LSTM with two lines changed.",
        f"A ReLU RNN whose matrix is 0.99, 1 and 1.01 times the identity: the gradient over {FAR} "
        "steps.",
        *[
            f"Four RNNs learn to recall their first input, a number from 0 to 1, {delay} steps "
            f"later: {batches} batches of 32, Adam, rate 0.01, clipped at 1."
        ]
        * bool(batches),
    )


def _found(
    ends: dict[str, float], rows: tuple[tuple[float, ...], ...], exact: dict[float, float]
) -> tuple[str, ...]:
    return (
        f"At size {rows[-1][0]:g}, tanh: h is at most {number(ends['RNN, tanh'])} in the RNN and "
        f"{number(ends['LSTM, tanh'])} in the LSTM; no weights can push it past 1. ReLU: "
        f"{number(ends['RNN, ReLU'])} in the RNN, {number(ends['LSTM, ReLU'])} in the LSTM.",
        f"At size {rows[0][0]:g} ReLU is harmless: {number(rows[0][2])} in the RNN. It is the "
        "rectifier and large weights together.",
        f"At the identity the ReLU network's gradient after {FAR} steps is exactly "
        f"{number(exact[1.0])}; 1% off it is {number(exact[0.99])} or {number(exact[1.01])}. "
        "It works on a knife's edge.",
    )


def _curves(lines: dict[str, Array], size: float) -> Curves:
    at = np.arange(1, len(next(iter(lines.values()))) + 1)
    return Curves(
        f"Largest entry of h, size {size:g}",
        "step",
        "largest |h|",
        {name: Line.of(at, values, 1e-30) for name, values in lines.items()},
        {"what tanh allows": Line.of(at, 0 * at + 1.0)},
        log=True,
    )


def growth(cell: object, radius: float, steps: int, units: int, seed: int) -> Array:
    """The largest |h| at each step of random inputs: (T,)."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, 2, generator=draw, dtype=torch.float64)
    weights = torch.randn(units, 2, generator=draw, dtype=torch.float64)
    matrices = {f"U.{k}": gaussian(units, radius, seed + n) for n, k in enumerate("gifo")}
    layer = network(cell, 2, units, {"U": matrices["U.g"], "W": weights, **matrices})
    with torch.no_grad():
        return np.asarray(layer(x)[0].abs().amax(-1).numpy())


def identity(scale: float, steps: int) -> float:
    """dh_T/dh_0 of a unit of a ReLU RNN whose matrix is `scale` times the identity.

    >>> identity(2.0, 10)
    1024.0
    """
    layer = network(
        "rnn-relu", 1, 2, {"U": scale * torch.eye(2, dtype=torch.float64), "W": 1.0}, engine="torch"
    )
    start = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    final = layer(torch.zeros(steps, 1, dtype=torch.float64), start)[1]
    return float(torch.autograd.grad(final[0, 0], start)[0][0, 0])


def recall(delay: int, batches: int, seed: int) -> dict[str, float]:
    """The error at the end of training, by network, in recalling the first of `delay` inputs."""
    kinds = {
        "tanh, random": ("rnn", "uniform"),
        "tanh, orthogonal": ("rnn", "orthogonal"),
        "ReLU, random": ("rnn-relu", "uniform"),
        "ReLU, identity": ("rnn-relu", "irnn"),
    }
    return {name: _recall(cell, init, delay, batches, seed) for name, (cell, init) in kinds.items()}


def _recall(cell: str, init: str, delay: int, batches: int, seed: int) -> float:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layer = Recurrent(
            cell, 1, 16, batch_first=True, dtype=torch.float64, init=init, engine="torch"
        )
        head = torch.nn.Linear(16, 1, dtype=torch.float64)
    found = fit(
        layer,
        lambda last: head(last)[:, 0],
        lambda random: _batch(random, delay),
        torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01),
        steps=batches,
        seed=seed,
        clip=1.0,
    )
    return found.end(0.1)


def _batch(random: torch.Generator, delay: int) -> tuple[Tensor, Tensor]:
    x = torch.zeros(32, delay, 1, dtype=torch.float64)
    x[:, 0, 0] = torch.rand(32, generator=random, dtype=torch.float64)
    return x, x[:, 0, 0].clone()


def _learned(trained: dict[str, float]) -> tuple[str, ...]:
    if not trained:
        return ()
    return (
        f"And it learns: started at the identity the ReLU network's error is "
        f"{number(trained['ReLU, identity'])}, from random weights "
        f"{number(trained['ReLU, random'])}; always answering 0.5 has {number(1 / 12)}. tanh is no "
        f"remedy by itself: from random weights {number(trained['tanh, random'])}, from an "
        f"orthogonal matrix {number(trained['tanh, orthogonal'])}. What counts is the start.",
    )


def _trainings(trained: dict[str, float]) -> tuple[Table, ...]:
    title = "error in recalling the first input"
    return (Table(title, ("network and start", "error"), tuple(trained.items())),) * bool(trained)
