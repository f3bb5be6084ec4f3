"""The vanishing gradient: RNNs against an LSTM whose forget gate is close to 1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gated.inspect.demonstrations.demonstration import (
    Array,
    Curves,
    Demonstration,
    Line,
    Table,
    conclude,
)
from gated.inspect.demonstrations.running import flow, gaussian, network, orthogonal, unroll
from gated.inspect.demonstrations.worked import toys
from gated.inspect.measures.memory import retention
from gated.inspect.words import number, percent

__all__ = ["run"]

LAGS = (10, 30, 100, 300, 1000)
LEAST = 1e-30  # below which a curve is not drawn
MOST = 1e6  # above which a bound is not drawn
CLOSED = -6.0  # the bias of an input gate that writes next to nothing


def run(
    steps: int = 1000,
    units: int = 16,
    radius: float = 0.9,
    forget_bias: float = 10.0,
    noise: float = 0.1,
    seed: int = 0,
) -> Demonstration:
    """The gradient of one read-out of the last h, k steps back, in three networks.

    Args:
        steps: T; the lags 10, 30, 100, 300 and 1000 are shown as far as they fit.
        units: H.
        radius: the largest modulus of an eigenvalue of both RNNs' U.
        forget_bias: b.f of the LSTM.
        noise: the standard deviation of the inputs.
        seed: of weights and inputs.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.1: for h = tanh(Wx + Uh₋ + b),
    ||dh_T/dh_t|| <= (γ σ_max(U))^(T-t) with γ = 1, the largest slope of tanh.
    """
    draw = torch.Generator().manual_seed(seed)
    x = noise * torch.randn(steps + 1, 2, generator=draw, dtype=torch.float64)
    even, random = orthogonal(units, radius, seed), gaussian(units, radius, seed)
    gradients = {
        "RNN, singular values equal": _rnn(even, x, seed),
        "RNN, random matrix": _rnn(random, x, seed),
    }
    in_h, in_c, kept = _lstm(units, forget_bias, CLOSED, x, seed)
    gradients |= {"LSTM, at c": in_c, "LSTM, at h": in_h, "LSTM, product of f": kept}
    gradients["LSTM that writes, at c"] = _lstm(units, forget_bias, 0.0, x, seed)[1]
    sigma = float(torch.linalg.matrix_norm(random, 2))
    numbers = {
        f"{name} {lag}": float(values[lag])
        for name, values in gradients.items()
        for lag in _lags(steps)
    }
    numbers |= {"radius": radius, "sigma": sigma, "f": _sigmoid(forget_bias)}
    last = _lags(steps)[-1]
    within = _within(gradients["RNN, singular values equal"], radius)
    within = within and _within(gradients["RNN, random matrix"], sigma)
    ends = [
        float(gradients[name][last])
        for name in ("RNN, singular values equal", "RNN, random matrix")
    ]
    holds = within and max(ends) < 0.01 * numbers[f"LSTM, at c {last}"]
    toy_table, said, toy_numbers = toys()
    return conclude(
        "vanishing",
        holds,
        done=(
            f"A number is read from the last h, and its gradient followed {last} steps back, by "
            f"autograd through each step, in two RNNs and an LSTM of {units} units, float64.",
            f"Both RNNs have eigenvalues of modulus up to {radius:g}. The first matrix is an "
            "orthogonal one, scaled, so all its singular values are the same; the second is random "
            f"and has a largest singular value of {sigma:.3g}.",
            f"The LSTM's forget gate has the bias {forget_bias:g}, so f = {numbers['f']:.5f}, and "
            f"its input gate the bias {CLOSED:g}: it holds, and hardly writes. A second one has "
            "the input gate half open.",
        ),
        found=(*_found(numbers, last, radius, sigma), *said),
        tables=(_table(gradients, steps, radius, sigma), toy_table),
        curves=(_curves(gradients, steps, radius, sigma),),
        numbers=numbers | toy_numbers,
    )


def _lags(steps: int) -> list[int]:
    return [lag for lag in LAGS if lag <= steps] or [steps]


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def _read(units: int, seed: int) -> Tensor:
    """A direction of length 1 along which the last h is read."""
    draw = torch.Generator().manual_seed(seed + 1)
    vector = torch.randn(units, generator=draw, dtype=torch.float64)
    return torch.nn.functional.normalize(vector, dim=0)


def _input_weights(units: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed + 2)
    return torch.randn(units, 2, generator=draw, dtype=torch.float64)


def _norms(gradient: Array) -> Array:
    """(T + 1, H) in time order -> (T,) by steps back; before the first step no gate has acted."""
    return np.asarray(np.linalg.norm(gradient[1:], axis=1)[::-1])


def _rnn(matrix: Tensor, x: Tensor, seed: int) -> Array:
    units = len(matrix)
    layer = network("rnn", 2, units, {"U": matrix, "W": _input_weights(units, seed)})
    steps = unroll(layer, x)
    return _norms(flow(steps, steps[-1]["h"] @ _read(units, seed), "h"))


def _lstm(
    units: int, forget_bias: float, input_bias: float, x: Tensor, seed: int
) -> tuple[Array, Array, Array]:
    """Gradient at h, at c as a share of that at the last c, and the mean product of f."""
    values: dict[str, Tensor | float] = {"b.f": forget_bias, "b.i": input_bias}
    for k, gate in enumerate("ifgo"):
        values[f"U.{gate}"] = gaussian(units, 0.5, seed + 10 + k)
        values[f"W.{gate}"] = _input_weights(units, seed + 20 + k)
    layer = network("lstm", 2, units, values)
    steps = unroll(layer, x)
    loss = steps[-1]["h"] @ _read(units, seed)
    in_h, in_c = (_norms(flow(steps, loss, name)) for name in "hc")
    with torch.no_grad():
        gates = layer(x, trace=True)[2].at()["f"].numpy()
    return in_h, in_c / in_c[0], np.asarray(retention(gates).mean(axis=1)[::-1])


def _within(norms: Array, factor: float) -> bool:
    """Whether every norm is at most factor ** steps back, but for rounding."""
    with np.errstate(divide="ignore"):
        logs = np.log(norms)
    return bool((logs <= np.arange(len(norms)) * np.log(factor) + 1e-9).all())


def _found(n: dict[str, float], last: int, radius: float, sigma: float) -> tuple[str, ...]:
    lag = 100 if last >= 100 else last
    even, random = n[f"RNN, singular values equal {lag}"], n[f"RNN, random matrix {lag}"]
    product, in_h = n[f"LSTM, product of f {last}"], n[f"LSTM, at h {last}"]
    return (
        f"RNN with equal singular values: after {lag} steps {number(even)} of the gradient is "
        f"left, below the bound {radius:g}^{lag} = {number(radius**lag)}. It had to vanish.",
        f"RNN with the random matrix: {number(random)} is left. It vanishes too, but the bound "
        f"does not say so: {sigma:.3g}^{lag} = {number(sigma**lag)}. Eigenvalues below 1 make "
        "the powers of one matrix vanish in the end; with the slopes of tanh each step has another "
        "matrix, and only singular values below 1 are a guarantee.",
        f"LSTM: {last} steps back the gradient at c is {number(n[f'LSTM, at c {last}'])} of that "
        f"at the end. Along c alone it is the product of the forget gates, "
        f"{n['f']:.5f}^{last} or so: {percent(product)}. At h it is {number(in_h)}: "
        "it is c that carries it.",
        f"f near 1 is not all: where the input gate is half open, so that h writes into c all the "
        f"time, {number(n[f'LSTM that writes, at c {last}'])} is left. The other paths add to the "
        "one along c, with either sign.",
        f"It lasts because f is near 1. With f = 0.9 the path along c would keep 0.9^{lag} = "
        f"{number(0.9**lag)}, as the RNN does.",
    )


def _table(gradients: dict[str, Array], steps: int, radius: float, sigma: float) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for lag in _lags(steps):
        own = [float(values[lag]) for values in gradients.values()]
        rows.append((lag, *own, radius**lag, sigma**lag))
    columns = ("steps back", *gradients, f"{radius:g}^k", f"{sigma:.3g}^k")
    return Table("what is left of the gradient", columns, tuple(rows))


def _curves(gradients: dict[str, Array], steps: int, radius: float, sigma: float) -> Curves:
    back = np.arange(steps + 1)
    short = back[: int(np.log(MOST) / np.log(sigma)) + 1] if sigma > 1 else back
    return Curves(
        "What is left of the gradient, step by step back",
        "steps back",
        "norm of the gradient",
        {name: Line.of(back, values, LEAST) for name, values in gradients.items()},
        {
            f"{radius:g}^k: largest eigenvalue": Line.of(back, radius**back, LEAST),
            f"{sigma:.3g}^k: largest singular value, random matrix": Line.of(
                short, sigma**short, LEAST
            ),
        },
        log=True,
    )
