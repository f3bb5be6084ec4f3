"""The check of the rows' lengths, as an operator too: a compiled program makes it when it runs."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from gated.engines import traced
from gated.errors import ShapeError

_library: Any = cast(Any, torch.library.Library)("gated", "FRAGMENT")
_library.define("lengths(Tensor lengths, SymInt steps, str cell) -> Tensor")


def checked(lengths: Tensor, steps: int, cell: str) -> Tensor:
    """Lengths (B,) on the CPU as whole numbers.

    Raises:
        ShapeError: one is none of 0 to T; the message names its index.
    """
    if traced(lengths):
        return torch.ops.gated.lengths(lengths, steps, cell)  # type: ignore[no-any-return]
    return _checked(lengths, steps, cell)


def _checked(lengths: Tensor, steps: int, cell: str) -> Tensor:
    wrong = ~((lengths >= 0) & (lengths <= steps) & (lengths == lengths.floor()))
    if bool(wrong.any()):
        index = int(wrong.nonzero()[0])
        raise ShapeError(
            f"{cell}: lengths[{index}] is {lengths[index].item()}, expected an integer from 0 to "
            f"T = {steps}"
        )
    return lengths.long()


def _run(lengths: Tensor, steps: int, cell: str) -> Tensor:
    # an operator may not return what it was passed
    return _checked(lengths, steps, cell).clone()


def _fake(lengths: Tensor, steps: int, cell: str) -> Tensor:
    return torch.empty_like(lengths, dtype=torch.int64)


_library.impl("lengths", _run, "CPU")
torch.library.register_fake("gated::lengths", _fake, lib=_library)
