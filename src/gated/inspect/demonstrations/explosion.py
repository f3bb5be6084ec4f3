"""Exploding gradients: in an RNN, and in an LSTM, of which it is said that they are avoided."""

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
from gated.inspect.demonstrations.numbers import number
from gated.inspect.demonstrations.running import flow, gaussian, network, unroll
from gated.layers.recurrent import Recurrent

__all__ = ["at_rest", "run", "scaled"]

WEIGHT = 3.92  # U.g of the LSTM of one unit: it grows by 0.5 + 0.25 * 3.92 = 1.48 a step
REST, NOISY, ALONE = "RNN at rest", "RNN with inputs", "LSTM of 1 unit at rest"


def run(
    steps: int = 100,
    units: int = 32,
    radius: float = 1.5,
    scales: tuple[float, ...] = (1.0, 5.0, 10.0, 20.0),
    seed: int = 0,
) -> Demonstration:
    """The gradient of the last state, step by step back, in networks with large weights.

    Args:
        steps: T.
        units: H.
        radius: the largest modulus of an eigenvalue of the RNN's U.
        scales: what PyTorch's starting weights of an LSTM are multiplied by.
        seed: of weights and inputs.

    Source: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.1: a singular value of U above
    1 / γ is necessary for an RNN's gradient to explode, and not enough: where tanh saturates its
    slope is small.
    """
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(steps + 1, 4, generator=draw, dtype=torch.float64)
    matrix = gaussian(units, radius, seed)
    lines = {REST: _rnn(matrix, 0 * x), NOISY: _rnn(matrix, x)}
    for scale in scales:
        lines[f"LSTM, weights × {scale:g}"] = scaled(scale, units, x, seed)
    lines[ALONE] = at_rest(steps)
    ends = {name: float(values[-1]) for name, values in lines.items()}
    most = max((name for name in ends if "×" in name), key=ends.__getitem__)
    back = np.arange(steps + 1)
    return conclude(
        "explosion",
        min(ends[REST], ends[most], ends[ALONE]) > 1e3,
        done=_done(steps, units, radius),
        found=_found(ends, most, steps, radius),
        tables=(Table(f"gradient {steps} steps back", ("network", "norm"), tuple(ends.items())),),
        curves=(
            Curves(
                "The gradient, step by step back",
                "steps back",
                "norm of the gradient",
                {name: Line.of(back, values, 1e-30) for name, values in lines.items()},
                {f"{radius:g}^k": Line.of(back, radius**back)},
                log=True,
            ),
        ),
        numbers=ends,
    )


def _done(steps: int, units: int, radius: float) -> tuple[str, ...]:
    return (
        f"The sum of the last state (h of an RNN, c of an LSTM) is followed {steps} steps back "
        f"by autograd: the norm of its gradient at that state, as a multiple of the norm at "
        f"the end. {units} units, float64.",
        f"The RNN's matrix has eigenvalues of modulus up to {radius:g}. It runs without input, "
        "where every slope of tanh is 1, and with random inputs, where they are smaller.",
        "The LSTMs have PyTorch's starting weights, multiplied, and the same random inputs. "
        f"The last one has one unit, no input, and one weight that is not 0: U_g = {WEIGHT:g}.",
    )


def _found(ends: dict[str, float], most: str, steps: int, radius: float) -> tuple[str, ...]:
    least = next(name for name in ends if "×" in name)
    return (
        f"RNN at rest: {number(ends[REST])} after {steps} steps; {radius:g}^{steps} = "
        f"{number(radius**steps)}. With inputs {number(ends[NOISY])}: large weights can explode "
        "and need not, for saturated units pass little on.",
        f"{most}: {number(ends[most])}. With {least.removeprefix('LSTM, ')} it is "
        f"{number(ends[least])}. Nothing in the LSTM's equations bounds it.",
        f"Why, in one unit at rest: along c alone a step keeps f = 0.5. The way from c to h and "
        f"back through U_g adds o i U_g = 0.25 × {WEIGHT:g}. Together {0.5 + 0.25 * WEIGHT:g} a "
        f"step, which is {number(ends[ALONE])} in {steps} steps.",
        "What is true: the path along c alone is a product of forget gates, and so at most 1.",
    )


def scaled(scale: float, units: int, x: Tensor, seed: int) -> Array:
    """Norms of the gradient at c of an LSTM with scaled starting weights, by steps back: (T,).

    Args:
        scale: what every weight and bias, as PyTorch draws them, is multiplied by.
        units: H.
        x: (T, D).
        seed: of the weights.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layer = Recurrent("lstm", x.shape[1], units, dtype=torch.float64, engine="reference")
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(scale)
    return _norms(layer, x, "c")


def at_rest(steps: int, weight: float = WEIGHT) -> Array:
    """The same for one unit without input, U.g the only weight: (0.5 + 0.25 * U.g) ** steps back.

    >>> at_rest(2, 4.0)
    array([1.  , 1.5 , 2.25])
    """
    layer = network("lstm", 1, 1, {"U.g": weight})
    return _norms(layer, torch.zeros(steps + 1, 1, dtype=torch.float64), "c")


def _rnn(matrix: Tensor, x: Tensor) -> Array:
    units, inputs = len(matrix), x.shape[1]
    draw = torch.Generator().manual_seed(units)
    weights = torch.randn(units, inputs, generator=draw, dtype=torch.float64)
    return _norms(network("rnn", inputs, units, {"U": matrix, "W": weights}), x, "h")


def _norms(layer: Recurrent, x: Tensor, state: str) -> Array:
    """By steps back, as shares of the norm at the last step."""
    steps = unroll(layer, x)
    # before the first step no gate has acted: that entry is left out
    norms = np.linalg.norm(flow(steps, steps[-1][state].sum(), state)[1:], axis=1)
    return np.asarray(norms[::-1] / norms[-1])
