"""JAX: the LSTM as `lax.scan` under jit, with its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.cpu.problem import Data
from bench.cpu.sides import NotSupportedError, Side

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def jax_scan(data: Data) -> Side:
    """The loop, or the loop and its gradients, as one compiled function."""
    asked = data.problem
    if asked.cell != "lstm" or asked.mode == "step" or data.lengths is not None:
        raise NotSupportedError("here only for the LSTM over whole batches")
    try:
        import jax
    except ImportError as error:
        raise NotSupportedError(str(error)) from None
    x, d, *weights = (
        jax.numpy.asarray(value.numpy()) for value in (data.x, data.d, *map(data.state.get, NAMES))
    )
    order = (1, 2, 3, 4, 0) if asked.mode == "training+x" else (1, 2, 3, 4)

    def loss(*arguments: Any) -> tuple[Any, Any]:
        output = _forward(*arguments)
        return jax.numpy.vdot(output, d), output

    if asked.learns:
        both = jax.jit(jax.value_and_grad(loss, argnums=order, has_aux=True))

        def results() -> Sequence[Any]:
            (_, output), gradients = both(x, *weights)
            return output, *gradients
    else:
        alone = jax.jit(_forward)

        def results() -> Sequence[Any]:
            return (alone(x, *weights),)

    return _Waiting(results, jax.block_until_ready)


def _forward(x: Any, w: Any, u: Any, b: Any, b_h: Any) -> Any:
    """The input product for all steps, then a scan over them."""
    import jax
    from jax import numpy as jnp

    inner = x @ w.T + (b + b_h)
    start = jnp.zeros((x.shape[1], u.shape[1]), x.dtype)

    def step(states: tuple[Any, Any], a: Any) -> tuple[tuple[Any, Any], Any]:
        h, c = states
        i, f, g, o = jnp.split(a + h @ u.T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (start, start), inner)[1]


class _Waiting:
    """A side that waits for JAX, and gives PyTorch's tensors for the comparison alone."""

    def __init__(self, results: Any, wait: Any):
        self._results, self._wait = results, wait

    def __call__(self) -> Any:
        return self._wait(self._results())

    def shown(self) -> list[torch.Tensor]:
        """The results as PyTorch's tensors."""
        import numpy as np

        return [torch.from_numpy(np.array(value)) for value in self()]
