"""Layers: cells as `torch.nn.Module`s, drop-ins for PyTorch's, with their gates open."""

from gated.layers.convolutional import ConvLSTM
from gated.layers.drop_in import GRU, LSTM, RNN
from gated.layers.recurrent import Recurrent
from gated.layers.trace import Trace

__all__ = ["GRU", "LSTM", "RNN", "ConvLSTM", "Recurrent", "Trace"]
