"""The parameters of a layer under the symbols that its equations give them."""

from __future__ import annotations

import torch
from torch import Tensor

from gated.engines.reference import by_symbol as read
from gated.inspect.recording.surgery import place_of
from gated.layers import Recurrent

__all__ = ["by_symbol"]


def by_symbol(layer: Recurrent, index: int = 0, direction: int = 0) -> dict[str, Tensor]:
    """Every parameter symbol of a layer's equations, in their order, with its tensor.

    The tensors are views of the stored parameters or sums of such, on their autograd graph: what
    is computed from them has gradients with respect to the layer's parameters.

    Args:
        layer: any recurrent layer.
        index: which of its L stacked layers, from 0.
        direction: 0 forward, 1 reverse.

    Returns:
        "W.i" (H, D), "U.f" (H, H), "b.f" (H,), and whatever else the equations name. Where
        `torch.nn` stores two biases of which the equations see only the sum, it is that sum; a
        bias that the layer does not have is 0. A diagonal map is (H,), one of heads
        (heads, H / heads, H / heads), a convolution has the axes of its kernel behind (H, D).

    Raises:
        OptionError: `layer` is no layer of gated, or there is no such index or direction.

    Example:
        >>> import gated
        >>> lstm = gated.LSTM(3, 5, num_layers=2)
        >>> found = by_symbol(lstm, index=1)
        >>> list(found)[:4], found["W.i"].shape, found["b.f"].shape
        (['W.i', 'U.i', 'b.i', 'W.f'], torch.Size([5, 5]), torch.Size([5]))
    """
    place = place_of(layer, "by_symbol", index, direction)
    weights = layer.all_weights[place]
    names = [slot.name for slot in layer._layout]
    like = weights[0] if weights else torch.empty(0)
    values = read(layer._form, dict(zip(names, weights, strict=True)), like)
    return {parameter.key: values[parameter.key] for parameter in layer.cell.parameters}
