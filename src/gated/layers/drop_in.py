"""`LSTM`, `GRU` and `RNN`: the names and arguments of `torch.nn`'s layers, on `Recurrent`."""

from __future__ import annotations

from typing import Any

import torch

from gated.errors import OptionError
from gated.layers.recurrent import Recurrent


class LSTM(Recurrent):
    """The LSTM, in the place of `torch.nn.LSTM`: same arguments, outputs, names and shapes.

    State dicts load strictly in both directions. Beyond `torch.nn.LSTM`: `lengths=`, `trace=True`,
    `step()`, `engine=` and more; see `Recurrent` for arguments, shapes and errors.

    Args:
        proj_size: if above 0, outputs and h have this size and c has `hidden_size` (Sak 2014).
        options: further options of `Recurrent`, by name.

    Example:
        >>> import torch, gated
        >>> lstm = gated.LSTM(3, 8, num_layers=2)
        >>> _ = lstm.load_state_dict(torch.nn.LSTM(3, 8, num_layers=2).state_dict())
        >>> output, (h_n, c_n) = lstm(torch.randn(5, 2, 3))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 8]), torch.Size([2, 2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ):
        super().__init__(
            "lstm", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device, dtype, proj_size=proj_size, **options,
        )  # fmt: skip


class GRU(Recurrent):
    """The GRU, in the place of `torch.nn.GRU`: same arguments, outputs, names and shapes.

    See `Recurrent` for arguments, shapes and errors.

    Example:
        >>> import torch, gated
        >>> output, h_n = gated.GRU(3, 8, batch_first=True)(torch.randn(2, 5, 3))
        >>> output.shape, h_n.shape
        (torch.Size([2, 5, 8]), torch.Size([1, 2, 8]))
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **kwargs: Any):
        super().__init__("gru", input_size, hidden_size, *args, **kwargs)


class RNN(Recurrent):
    """The simple RNN, in the place of `torch.nn.RNN`: same arguments, outputs, names and shapes.

    See `Recurrent` for arguments, shapes and errors.

    Args:
        nonlinearity: "tanh" or "relu".
        options: further options of `Recurrent`, by name.

    Example:
        >>> import torch, gated
        >>> output, h_n = gated.RNN(3, 8, nonlinearity="relu")(torch.randn(5, 2, 3))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 8]), torch.Size([1, 2, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise OptionError(f"nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
        super().__init__(
            "rnn" if nonlinearity == "tanh" else "rnn-relu", input_size, hidden_size, num_layers,
            bias, batch_first, dropout, bidirectional, device, dtype, **options,
        )  # fmt: skip
        self.nonlinearity = nonlinearity
