"""The vanishing gradient: RNNs against an LSTM whose forget gate is close to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Row,
    Table,
    conclude,
)
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import flow, gaussian, network, orthogonal, unroll
from gated.inspect.demonstrations.worked import toys
from gated.inspect.measures.memory import retention
from gated.inspect.words import percent

__all__ = ["run", "without_eigenvalues"]

LAGS = (10, 30, 100, 300, 1000)
LEAST, MOST = 1e-30, 1e6  # between which curves and bounds are drawn
CLOSED = -6.0  # the bias of an input gate that writes next to nothing
GROWTH = 1.5  # a step, of the network whose matrix has no eigenvalue but 0

EVEN, RANDOM, ZERO = "RNN, scaled orthogonal", "RNN, random", "RNN, every eigenvalue 0"
LSTM_C, LSTM_H, WRITES = "LSTM, at c", "LSTM, at h", "LSTM that writes, at c"
PRODUCT = "LSTM, product of f"


def run(
    steps: int = 1000,
    units: int = 16,
    radius: float = 0.9,
    forget_bias: float = 10.0,
    noise: float = 0.1,
    seed: int = 0,
) -> Demonstration:
    """The gradient of a number read from the last h, k steps back, in RNNs and LSTMs.

    Args:
        steps: T; the lags 10, 30, 100, 300 and 1000 are shown as far as they fit.
        units: H.
        radius: the largest modulus of an eigenvalue of two RNNs' U.
        forget_bias: b.f of the LSTM.
        noise: the standard deviation of the inputs.
        seed: of weights and inputs.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.1: for h = tanh(Wx + Uh₋ + b),
    ||dh_T/dh_t|| <= (γ σ_max(U))^(T-t) with γ = 1, the largest slope of tanh.
    """
    found = _measure(steps, units, radius, forget_bias, noise, seed)
    toy_table, toy_sentences, toy_numbers = toys()
    last = found.lags[-1]
    within = found.within(EVEN, radius) and found.within(RANDOM, found.sigma)
    faded = max(found.at(EVEN, last), found.at(RANDOM, last)) < 0.01 * found.at(LSTM_C, last)
    numbers = {
        f"{name} {lag}": found.at(name, lag) for name in found.gradients for lag in found.lags
    }
    return conclude(
        "vanishing",
        within and faded and found.at(ZERO, last) > 1,
        done=_done(found, units, forget_bias),
        found=(*_of_rnns(found), *_of_lstms(found), *toy_sentences),
        tables=(found.table(), toy_table),
        curves=(found.curves(),),
        numbers=numbers | {"sigma": found.sigma, "f": found.gate} | toy_numbers,
    )


@dataclass(frozen=True)
class _Found:
    """Norms of gradients by steps back, each (T,), and what theory says of them."""

    gradients: Mapping[str, Array]
    radius: float
    sigma: float
    gate: float

    @property
    def lags(self) -> list[int]:
        """The steps back that are shown."""
        steps = len(self.gradients[EVEN]) - 1
        return [lag for lag in LAGS if lag <= steps] or [steps]

    def at(self, name: str, lag: int) -> float:
        """The norm so many steps back."""
        return float(self.gradients[name][lag])

    def within(self, name: str, factor: float) -> bool:
        """Whether every norm is at most factor ** steps back, but for rounding."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.gradients[name])
        return bool((logs <= np.arange(len(logs)) * np.log(factor) + 1e-9).all())

    def table(self) -> Table:
        """One row a network or bound, one column a lag."""
        names = {"eigenvalue": self.radius, "singular value": self.sigma}
        bounds = {f"{value:.3g}^k ({name})": value for name, value in names.items()}
        rows: list[Row] = [
            (name, *(self.at(name, lag) for lag in self.lags)) for name in self.gradients
        ]
        rows += [(name, *(base**lag for lag in self.lags)) for name, base in bounds.items()]
        columns = ("k steps back", *map(str, self.lags))
        return Table("what is left of the gradient", columns, tuple(rows))

    def curves(self) -> Curves:
        """All networks, and the two powers that are to bound them."""
        back = np.arange(len(self.gradients[EVEN]))
        short = back[self.sigma**back < MOST]
        return Curves(
            "What is left of the gradient, step by step back",
            "steps back",
            "norm of the gradient",
            {
                name: Line.of(back[values < MOST], values[values < MOST], LEAST)
                for name, values in self.gradients.items()
            },
            {
                f"{self.radius:g}^k: largest eigenvalue": Line.of(back, self.radius**back, LEAST),
                f"{self.sigma:.3g}^k: largest singular value": Line.of(
                    short, self.sigma**short, LEAST
                ),
            },
            log=True,
        )


def _measure(
    steps: int, units: int, radius: float, forget_bias: float, noise: float, seed: int
) -> _Found:
    x = noise * _normal(steps + 1, 2, seed)
    random = gaussian(units, radius, seed)
    in_h, in_c, kept = _lstm(units, forget_bias, CLOSED, x, seed)
    gradients = {
        EVEN: _rnn(orthogonal(units, radius, seed), x, seed),
        RANDOM: _rnn(random, x, seed),
        ZERO: without_eigenvalues(steps),
        LSTM_C: in_c,
        PRODUCT: kept,
        LSTM_H: in_h,
        WRITES: _lstm(units, forget_bias, 0.0, x, seed)[1],
    }
    sigma = float(torch.linalg.matrix_norm(random, 2))
    return _Found(gradients, radius, sigma, 1 / (1 + math.exp(-forget_bias)))


def without_eigenvalues(steps: int, growth: float = GROWTH) -> Array:
    """Of an RNN of two units whose U has no eigenvalue but 0, by steps back: growth ** k.

    U = growth * [[1, 1], [-1, -1]] is 0 when squared. But the second unit is saturated: its slope
    is 0, and what is left of U is the first row, with the eigenvalue `growth`. The first unit is
    held at 0, where its slope is 1.

    >>> without_eigenvalues(3, 2.0)
    array([1., 2., 4., 8.])
    """
    matrix = growth * torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    bias = torch.tensor([-growth, 40.0], dtype=torch.float64)
    weights = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    layer = network("rnn", 1, 2, {"U": matrix, "W": weights, "b": bias})
    x = torch.zeros(steps + 1, 1, dtype=torch.float64)
    x[0] = growth  # there is no saturated unit before the first step
    states = unroll(layer, x)
    return np.abs(flow(states, states[-1]["h"][0], "h")[1:, 0])[::-1]


def _rnn(matrix: Tensor, x: Tensor, seed: int) -> Array:
    units = len(matrix)
    layer = network("rnn", 2, units, {"U": matrix, "W": _normal(units, 2, seed + 2)})
    states = unroll(layer, x)
    return _norms(flow(states, states[-1]["h"] @ _read(units, seed), "h"))


def _lstm(
    units: int, forget_bias: float, input_bias: float, x: Tensor, seed: int
) -> tuple[Array, Array, Array]:
    """Gradient at h, at c as a share of that at the last c, and the mean product of f."""
    values: dict[str, Tensor | float] = {"b.f": forget_bias, "b.i": input_bias}
    for k, gate in enumerate("ifgo"):
        values[f"U.{gate}"] = gaussian(units, 0.5, seed + 10 + k)
        values[f"W.{gate}"] = _normal(units, 2, seed + 20 + k)
    layer = network("lstm", 2, units, values)
    states = unroll(layer, x)
    loss = states[-1]["h"] @ _read(units, seed)
    in_h, in_c = (_norms(flow(states, loss, name)) for name in "hc")
    with torch.no_grad():
        gates = layer(x, trace=True)[2].at()["f"].numpy()
    return in_h, in_c / in_c[0], np.asarray(retention(gates).mean(axis=1)[::-1])


def _normal(rows: int, columns: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draw, dtype=torch.float64)


def _read(units: int, seed: int) -> Tensor:
    """A direction of length 1 along which the last h is read."""
    return torch.nn.functional.normalize(_normal(1, units, seed + 1)[0], dim=0)


def _norms(gradient: Array) -> Array:
    """(T + 1, H) in time order -> (T,) by steps back; before the first step no gate has acted."""
    return np.asarray(np.linalg.norm(gradient[1:], axis=1)[::-1])


def _done(found: _Found, units: int, forget_bias: float) -> tuple[str, ...]:
    return (
        f"A number is read from the last h, and its gradient followed {found.lags[-1]} steps back, "
        f"by autograd through each step. RNNs and LSTMs of {units} units, float64, small random "
        "inputs.",
        f"Two RNNs have eigenvalues of modulus up to {found.radius:g}. The first matrix is an "
        "orthogonal one, scaled: all its singular values are the same. The second is random: its "
        f"largest singular value is {found.sigma:.3g}. A third, of two units, has a matrix whose "
        "eigenvalues are all 0, and one unit saturated.",
        f"The LSTM's forget gate has the bias {forget_bias:g}, so f is near {found.gate:.5f}, and "
        f"its input gate the bias {CLOSED:g}: it holds, and hardly writes. A second LSTM has the "
        "input gate half open.",
    )


def _of_rnns(found: _Found) -> tuple[str, ...]:
    lag, sigma = min(100, found.lags[-1]), found.sigma
    bound = found.radius**lag
    return (
        f"Scaled orthogonal matrix: after {lag} steps {number(found.at(EVEN, lag))} of the "
        f"gradient is left, below the bound {found.radius:g}^{lag} = {number(bound)}. It had to "
        "vanish: every singular value is below 1.",
        f"Random matrix: {number(found.at(RANDOM, lag))} is left. It vanishes too, but the bound "
        f"did not promise it: {sigma:.3g}^{lag} = {number(sigma**lag)}.",
        "Eigenvalues below 1 make the powers of one matrix vanish in the end. But tanh multiplies "
        "the matrix by other slopes at each step, and then they promise nothing: with eigenvalues "
        f"all 0, and a saturated unit, the gradient grows to {number(found.at(ZERO, lag))} = "
        f"{GROWTH:g}^{lag}.",
    )


def _of_lstms(found: _Found) -> tuple[str, ...]:
    lag, last, writes = min(100, found.lags[-1]), found.lags[-1], found.gradients[WRITES]
    return (
        f"LSTM: {last} steps back the gradient at c is {number(found.at(LSTM_C, last))} of that at "
        f"the end. Along c alone it is the product of the forget gates: "
        f"{percent(found.at(PRODUCT, last))}. At h it is {number(found.at(LSTM_H, last))}: it is c "
        "that carries it.",
        f"It lasts because f is near 1. With f = 0.9 the path along c would keep 0.9^{lag} = "
        f"{number(0.9**lag)}, no more than the RNN's bound.",
        "f near 1 is not all: where the input gate is half open, so that h writes into c all "
        f"the time, the gradient at c wanders between {number(float(writes.min()))} and "
        f"{number(float(writes.max()))} of its size at the end. Other paths add to the one along "
        "c, with either sign.",
    )
