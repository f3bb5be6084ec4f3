"""Everything in training that is drawn by chance, and how to draw it again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def epoch_batches(
    examples: int, batch_size: int, *, seed: int, epoch: int, at_most: int = 0
) -> tuple[Tensor, ...]:
    """The batches of one epoch as indices, the last one maybe shorter.

    They follow from the arguments alone, so a training resumed in mid-epoch finds its place again.
    With `at_most`, that many examples are drawn anew each epoch.

    >>> [batch.tolist() for batch in epoch_batches(5, 2, seed=0, epoch=0)]
    [[1, 3], [0, 4], [2]]
    """
    mixed = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(mixed[0]))
    order = torch.randperm(examples, generator=generator)
    order = order[: at_most or examples]
    return tuple(order[at : at + batch_size] for at in range(0, len(order), batch_size))


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of PyTorch, NumPy and Python; give the caller's own back afterwards."""
    before = random_state(device)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        set_random_state(before, device)


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators of PyTorch (CPU and device), NumPy and Python."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    version, words, gauss = random.getstate()
    state["python"] = (version, torch.tensor(words), gauss)
    kind, keys, *rest = np.random.get_state()
    state["numpy"] = (kind, torch.tensor(np.asarray(keys, np.int64)), *rest)
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])
