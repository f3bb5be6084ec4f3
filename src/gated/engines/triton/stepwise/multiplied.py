"""Matrix products by the library, into memory that is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Multiply = Callable[[Tensor, Tensor, Tensor], None]


@lru_cache(maxsize=64)
def multiplier(typed: torch.dtype, real: torch.dtype, device: torch.device) -> Multiply:
    """What multiplies two matrices of a type, or a batch of them, into a third of type `real`."""
    if typed == real:
        return _alike
    return _wide if _offered(typed, device) else _cast


def _alike(left: Tensor, right: Tensor, out: Tensor) -> None:
    (torch.mm if left.dim() == 2 else torch.bmm)(left, right, out=out)


def _wide(left: Tensor, right: Tensor, out: Tensor) -> None:
    product: Any = torch.mm if left.dim() == 2 else torch.bmm
    product(left, right, out_dtype=out.dtype, out=out)


def _cast(left: Tensor, right: Tensor, out: Tensor) -> None:
    _alike(left.to(out.dtype), right.to(out.dtype), out)


def _offered(typed: torch.dtype, device: torch.device) -> bool:
    """Whether the library leaves products of 16-bit numbers in 32 bits, as it accumulates them."""
    one = torch.ones(2, 16, 16, dtype=typed, device=device)
    out = torch.empty(2, 16, 16, device=device)
    try:
        _wide(one[0], one[0], out[0])
        _wide(one, one, out)
    except (RuntimeError, TypeError):
        return False
    return True
