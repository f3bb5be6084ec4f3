"""How strongly the states of a step depend on those of earlier steps, along all paths.

The states of one step are a function of those of the step before, so their derivative over k steps
is a product of k Jacobians. Norms of such products say how a small change grows or dies, and so do
gradients that flow back the same way (Bengio, Simard, Frasconi, "Learning long-term dependencies
with gradient descent is difficult", 1994; Pascanu, Mikolov, Bengio, "On the difficulty of training
recurrent neural networks", ICML 2013, arXiv:1211.5063).

Everything here is exact, by autograd through one step of the layer's own equations, in float64
whatever the layer's type. Limits:

- It is linear: what a change of a size that is not small does is another question (ablation).
- It is the dynamics of one layer and direction on one input, the input held fixed. What passes
  through the layers above and below is not in it.
- The states are independent coordinates: the derivative by c_t holds h_t, although the same step
  made both. `gradient_flow` gives the total derivative, in which h_t follows c_t (in the worked
  example the state Jacobian from c_1 to c_4 has 0.607 where the total is 0.9515).
- A large norm says that *some* change would be remembered, not that the task writes such a change.
- States have units: rescaling c against h changes norms of all states together, not the exponents.
- Regularisers are as in evaluation: without noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gated.errors import OptionError
from gated.inspect.measures.dynamics import Dynamics, Names
from gated.layers import Recurrent

__all__ = ["jacobian_norms", "lyapunov_exponents", "state_jacobian"]

_NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "spectral": lambda m: torch.linalg.matrix_norm(m, 2),
    "frobenius": lambda m: torch.linalg.matrix_norm(m, "fro"),
}


def state_jacobian(
    layer: Recurrent,
    x: Tensor,
    lag: int,
    end: int = -1,
    *,
    of: Names = None,
    by: Names = None,
    initial: Mapping[str, Tensor] | None = None,
    index: int = 0,
    direction: int = 0,
    **inputs: Tensor,
) -> NDArray[np.float64]:
    """The derivative of the states after step `end` by those `lag` steps before.

    Args:
        layer: any recurrent layer but a convolutional one.
        x: (T, D), one sequence: what that layer of the stack reads, as `x[:, 0]` for the first, or
            `call.inputs(index)["x"][0]` of a recording.
        lag: k, 0 to end + 1; the last is the derivative by the initial state.
        end: the step whose states are derived, from 0; -1 is the last.
        of, by: the states to derive and to derive by, as "c" or ("h", "c"); all, in the order of
            the equations, if None.
        initial: the states before the first step by name, each (n,); the cell's own if None.
        index, direction: which layer of the stack, and 0 forward, 1 reverse. The reverse one reads
            x from its end, so its step 0 is the last of x.
        inputs: the cell's further inputs, each (T, its size).

    Returns:
        (n of `of`, n of `by`) float64: element (i, j) is d of_i / d by_j.

    Raises:
        ShapeError: x, an input or an initial state does not fit.
        OptionError: no such layer, step, lag or state, or the layer is convolutional.

    Example:
        >>> import torch, gated
        >>> layer = gated.RNN(3, 2, nonlinearity="relu")
        >>> _ = [torch.nn.init.ones_(p) for p in layer.parameters()]
        >>> state_jacobian(layer, torch.ones(6, 3), 2)  # U times U: nothing is below 0
        array([[2., 2.],
               [2., 2.]])
    """
    steps = Dynamics(layer, x, initial, index, direction, inputs)
    last = steps.check_end(end)
    steps.check_lags(lag, last)
    matrix = torch.eye(steps.width, dtype=torch.float64)
    for matrix, scale in steps.back(last, lag):
        matrix = matrix * scale.exp()
    rows, columns = steps.places(of), steps.places(by)
    return np.asarray(matrix[rows][:, columns].numpy())


def jacobian_norms(
    layer: Recurrent,
    x: Tensor,
    ends: int | Sequence[int] = -1,
    *,
    lags: int | None = None,
    of: Names = None,
    by: Names = None,
    norm: str = "spectral",
    initial: Mapping[str, Tensor] | None = None,
    index: int = 0,
    direction: int = 0,
    **inputs: Tensor,
) -> NDArray[np.float64]:
    """Norms of d states(t) / d states(t - k) for k = 0 to `lags`, on a real input.

    The spectral norm is the most that a small change of length 1 can have grown to after k steps;
    for a gradient, the most that its length can have changed by. The module says where it is
    wrong. Norms of blocks (`of`, `by`) are those of the whole product's block, so paths through
    the other states are in them.

    Args:
        layer, x, of, by, initial, index, direction, inputs: as in `state_jacobian`.
        ends: t, the step to look back from, or several; `range(len(x))` gives every pair (t, k).
        lags: the largest k; as far as the states after step 0 if None.
        norm: "spectral" (the largest singular value) or "frobenius".

    Returns:
        (lags + 1,), or (number of ends, lags + 1) if `ends` are several; float64, NaN where
        t - k lies before the initial state.

    Raises:
        ShapeError, OptionError: as `state_jacobian`, or there is no such norm.

    Example:
        >>> import torch, gated
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(50, 3)
        >>> forgets, keeps = gated.LSTM(3, 4, forget_bias=-2.0), gated.LSTM(3, 4, forget_bias=4.0)
        >>> a, b = (jacobian_norms(layer, x, lags=20, of="c", by="c") for layer in (forgets, keeps))
        >>> bool(a[20] < 1e-8), bool(b[20] > 0.5)
        (True, True)
    """
    if norm not in _NORMS:
        raise OptionError(f"norm={norm!r}: expected one of {', '.join(map(repr, _NORMS))}")
    steps = Dynamics(layer, x, initial, index, direction, inputs)
    one = isinstance(ends, int | np.integer)
    several = [ends] if isinstance(ends, int | np.integer) else list(ends)
    lasts = [steps.check_end(end) for end in several]
    most = max(lasts, default=0) if lags is None else lags
    if one:
        steps.check_lags(most, lasts[0])
    rows, columns = steps.places(of), steps.places(by)
    found = np.full((len(lasts), most + 1), np.nan)
    for line, last in zip(found, lasts, strict=True):
        line[0] = _NORMS[norm](torch.eye(steps.width, dtype=torch.float64)[rows][:, columns])
        for k, (matrix, scale) in enumerate(steps.back(last, min(most, last + 1)), start=1):
            line[k] = _NORMS[norm](matrix[rows][:, columns]) * scale.exp()
    return found[0] if one else found


def lyapunov_exponents(
    layer: Recurrent,
    x: Tensor,
    *,
    skip: int = 0,
    initial: Mapping[str, Tensor] | None = None,
    index: int = 0,
    direction: int = 0,
    **inputs: Tensor,
) -> NDArray[np.float64]:
    """Finite-time Lyapunov exponents: mean logarithm of growth per step, one for each direction.

    By QR decompositions of the running product. The largest is the rate at which a small change
    grows (above 0: chaos, exploding gradients) or dies (below 0: after `1 / |rate|` steps a factor
    e is lost); at 0 it is remembered. Their sum is the mean of `ln |det J|`.

    Limits: those of the module; a finite window on one input is an estimate of the limit, and the
    first steps still turn into the growing directions: `skip` leaves them out. A direction that
    is lost in one step gives -inf.

    Args:
        layer, x, initial, index, direction, inputs: as in `state_jacobian`.
        skip: steps at the beginning that are not counted.

    Returns:
        (n,) float64, n the sizes of all states together, from the largest, per step.

    Raises:
        ShapeError, OptionError: as `state_jacobian`, or no step is left to count.

    Source: Vogt, Puelma Touzel, Shlizerman, Lajoie, "On Lyapunov exponents for RNNs", Frontiers in
    Applied Mathematics and Statistics 8 (2022), arXiv:2006.14123; the method is that of Benettin
    et al. 1980.

    Example:
        >>> import torch, gated
        >>> layer = gated.Recurrent("lstm-1997", 3, 2, dtype=torch.float64)
        >>> _ = [torch.nn.init.zeros_(p) for p in layer.parameters()]
        >>> abs(lyapunov_exponents(layer, torch.randn(9, 3))[:2].round(12))  # the carousel: c = c
        array([0., 0.])
    """
    steps = Dynamics(layer, x, initial, index, direction, inputs)
    if not 0 <= skip < steps.count:
        raise OptionError(
            f"skip={skip}: expected 0 to {steps.count - 1}, x has {steps.count} steps"
        )
    turned = torch.eye(steps.width, dtype=torch.float64)
    total = torch.zeros(steps.width, dtype=torch.float64)
    for t in range(steps.count):
        turned, stretched = torch.linalg.qr(steps.at(t) @ turned)
        if t >= skip:
            total += stretched.diagonal().abs().log()
    return np.asarray((total / (steps.count - skip)).sort(descending=True).values.numpy())
