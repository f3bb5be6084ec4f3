"""`ConvLSTM`: the LSTM with convolutions for its matrices."""

from __future__ import annotations

from typing import Any

import torch

from gated.equations.maps import Convolution
from gated.errors import OptionError
from gated.layers.options import check_flag
from gated.layers.recurrent import Recurrent


class ConvLSTM(Recurrent):
    """The LSTM over images or signals: the same equations, their matrices are convolutions.

    Axes: T time, B batch, D input channels, H hidden channels, and the extent of the image, which
    padding with zeros keeps; it may differ from call to call.

    Args:
        input_size: D, the channels of the input.
        hidden_size: H, the channels of h and c.
        kernel_size: odd; a number for a square kernel over images, or one for each axis: (3,) for
            signals, (3, 5) for images.
        num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as in `Recurrent`.
        peephole: whether the gates see the cell state (Shi 2015, equation 3), through one gain for
            each channel; the paper has one for each position too, which ties a layer to one size of
            image.
        options: further options of `Recurrent`.

    Shapes: x is (T, B, D, height, width), (B, T, D, height, width) if `batch_first`, without B if
    unbatched; output the same with H; h_n and c_n (L*S, B, H, height, width). `lengths`, `resets`,
    `trace` and `step()` are those of `Recurrent`. The states of layer k are h_n[k] and c_n[k]; the
    outputs of all layers, which some modules return as a list, are in `trace["h"]`. Layers that
    differ in width or kernel are layers of their own, one after the other. A convolutional form of
    another cell is `Recurrent("gru", 1, 8, maps=gated.Convolution(3))`.

    Raises:
        OptionError, CellError: an argument makes no sense.

    Source: X. Shi et al., Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting, NeurIPS 2015, equation 3.

    Example:
        >>> import torch, gated
        >>> layer = gated.ConvLSTM(1, 8, kernel_size=3, batch_first=True)
        >>> frames = torch.randn(2, 10, 1, 16, 20)
        >>> output, (h_n, c_n) = layer(frames, lengths=[10, 7])
        >>> output.shape, h_n.shape
        (torch.Size([2, 10, 8, 16, 20]), torch.Size([1, 2, 8, 16, 20]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: int | tuple[int, ...] = 3,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        peephole: bool = False,
        **options: Any,
    ):
        for name in ("cell", "maps"):
            if name in options:
                raise OptionError(
                    f"ConvLSTM has its own {name}: for another use gated.Recurrent(cell, "
                    f"{input_size}, {hidden_size}, maps=gated.Convolution({kernel_size}))"
                )
        cell = "peephole" if check_flag("peephole", peephole) else "lstm"
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device, dtype, maps=Convolution(kernel_size), **options,
        )  # fmt: skip
        self.kernel_size = kernel_size
