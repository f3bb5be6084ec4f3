"""Comparisons are made on one thread, with the same random numbers each time."""

import warnings
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _said_once() -> None:
    """PyTorch warns once a process that its projected LSTM has no oneDNN kernel: hear it here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        torch.nn.LSTM(2, 2, proj_size=1)(torch.zeros(1, 1, 2))
