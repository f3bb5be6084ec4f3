"""A layer's single steps by the short way: no checks that a call of one step does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.modules import module

from gated import engines

if TYPE_CHECKING:
    from gated.layers.recurrent import Recurrent

_peek = torch._C._functorch.peek_interpreter_stack
# hooks of all modules
_hooks, _pre_hooks = module._global_forward_hooks, module._global_forward_pre_hooks


class Quick:
    """Runs a step on the CPU engine where nothing but its arithmetic is asked for.

    It belongs to one layer; a copy of the layer begins without what was found out about it.
    """

    def __init__(self) -> None:
        self.steppers: dict[torch.dtype, Any] = {}

    def __reduce__(self) -> tuple[type[Quick], tuple[()]]:
        return (Quick, ())

    def step(self, layer: Recurrent, x: Tensor, state: Any) -> tuple[Tensor, Any] | None:
        """The step's output and new state, None if it must take the long way."""
        if (
            torch.compiler.is_compiling()
            or type(x) is not Tensor
            or x.dim() != 2
            or not x.is_cpu
            or (layer.engine != "cpu" and not (layer.engine == "auto" and _automatic()))
            or layer.num_layers > 1
            or layer._forward_hooks
            or layer._forward_pre_hooks
            or _hooks
            or _pre_hooks
            or (layer.training and layer.cell.noise)
            or forward_ad._current_level >= 0
            or _peek() is not None
            or torch.is_autocast_enabled("cpu")
        ):
            return None
        states = state if isinstance(state, tuple) else (state,)
        own: Any = layer._parameters
        try:
            weights = [own[name] for name in layer._names]
        except KeyError:  # pruned, or parametrised
            return None
        found = self.steppers.get(x.dtype, self)
        if found is self:
            found = self._find(layer, x.dtype)
        if (
            found is None
            or x.shape[1] != layer.input_size
            or not _fit(x, states, found.widths)
            or (held := found.fits(weights)) is None
        ):
            return None
        output, final = found(x, states, held)
        return output, (tuple(final) if isinstance(state, tuple) else final[0])

    def _find(self, layer: Recurrent, dtype: torch.dtype) -> Any:
        found = engines.stepper(layer.cell.graph, layer._layout, layer._letters, dtype)
        self.steppers[dtype] = found
        return found


def _automatic() -> bool:
    """Whether `auto` may take the CPU engine."""
    return "cpu" in engines.AUTOMATIC


def _fit(x: Tensor, states: tuple[Any, ...], widths: list[int]) -> bool:
    """Whether the tensors are what the kernel reads: anything else is told by the long way."""
    (batch, size), dtype = x.shape, x.dtype
    if not batch or not x.is_contiguous() or len(states) != len(widths):
        return False
    if batch == 1 and (size == 1 or 1 in widths):
        return False  # a single number may stand in memory with the other sign: Tensor.is_neg
    for one, width in zip(states, widths, strict=True):
        if (
            type(one) is not Tensor
            or one.shape != (1, batch, width)
            or one.dtype != dtype
            or not one.is_cpu
            or not one.is_contiguous()
        ):
            return False
    return True
