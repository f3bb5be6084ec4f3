"""What the products of the operation table mean in PyTorch, on values (..., units).

Axes: N heads, r and k the rows and columns of a head, the rest as in the house: D columns, H rows.
A convolution's values are (..., *extent, units), as many axes of extent as its kernel has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad
from torch.nn.functional import pad

from gated.engines.job import any_number

_BLOCK = 8
_VECTORS = 64


def linear(rows: Tensor, matrix: Tensor) -> Tensor:
    """The matrix (H, D) times every row, with bits that do not depend on where a row stands.

    BLAS computes the edges of its blocks in another order than their inside, so that a row's last
    bit depends on its neighbours; padded to whole blocks, a product has no edges.
    """
    width, height = rows.shape[-1], matrix.shape[0]
    count = rows.numel() // width
    if any_number(count):  # a compiler, which arranges products as it likes
        return F.linear(rows, matrix)
    if not (width % _BLOCK or height % _BLOCK or count % _BLOCK):
        return F.linear(rows, matrix)
    whole = F.linear(_padded(rows.reshape(-1, width), 2), _padded(matrix, 2))
    return whole[:count, :height].reshape(*rows.shape[:-1], height)


def sigmoid(v: Tensor) -> Tensor:
    """The logistic function, with bits that do not depend on where a value stands.

    PyTorch computes the end of an array that fills no whole vector by another formula.
    """
    count = v.numel()
    if any_number(count) or count % _VECTORS == 0:
        return torch.sigmoid(v)
    return torch.sigmoid(pad(v.reshape(-1), (0, -count % _VECTORS)))[:count].view(v.shape)


def blocks(matrix: Tensor, v: Tensor) -> Tensor:
    """The blocks (N, r, k) times a vector (..., N * k), head by head: (..., N * r).

    Padded as in `linear`. The blocks may be (..., N, r, k), one set for each vector.
    """
    heads, rows, columns = matrix.shape[-3:]
    parts = v.reshape(*v.shape[:-1], heads, columns)
    if matrix.dim() > 3:
        return torch.einsum("...nrk,...nk->...nr", matrix, parts).flatten(-2)
    parts = parts.reshape(-1, heads, columns).transpose(0, 1)
    whole = torch.bmm(_padded(parts, 2), _padded(matrix, 2).mT)
    found = whole[:, : parts.shape[1], :rows].transpose(0, 1)
    return found.reshape(*v.shape[:-1], heads * rows)


def _padded(value: Tensor, axes: int) -> Tensor:
    """Zeros after the last axes, up to whole blocks."""
    last = value.shape[: -axes - 1 : -1]
    missing = [0 if any_number(n) else -n % _BLOCK for n in last]
    return pad(value, [n for m in missing for n in (0, m)]) if any(missing) else value


def blocks_t(matrix: Tensor, v: Tensor) -> Tensor:
    """The transposed blocks times a vector (..., N * r): (..., N * k)."""
    return blocks(matrix.mT, v)


def blocks_outer(like: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The outer product of (..., N * r) and (..., N * k) within each head, as `like` is cut."""
    rows, columns = (v.reshape(*v.shape[:-1], like.shape[-3], -1) for v in (a, b))
    return torch.einsum("...nr,...nk->...nrk", rows, columns)


_CONVOLUTIONS: list[Callable[..., Tensor]] = [F.conv1d, F.conv2d, F.conv3d]
_TRANSPOSED: list[Callable[..., Tensor]] = [
    F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
]  # fmt: skip
_WEIGHTS: list[Callable[..., Any]] = [
    grad.conv1d_weight, grad.conv2d_weight, grad.conv3d_weight,
]  # fmt: skip


def convolve(kernel: Tensor, v: Tensor) -> Tensor:
    """The kernel (H, D, *k) over (..., *extent, D), zeros beyond the edge: (..., *extent, H)."""
    return _over_images(_CONVOLUTIONS, kernel, v)


def convolve_t(kernel: Tensor, v: Tensor) -> Tensor:
    """The transposed convolution: (..., *extent, H) to (..., *extent, D)."""
    return _over_images(_TRANSPOSED, kernel, v)


def convolve_outer(like: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The gradient of a kernel shaped as `like`, from (..., *extent, H) and (..., *extent, D)."""
    axes = like.dim() - 2
    lead = a.shape[: a.dim() - axes - 1]
    results, inputs = (_images(v, axes).flatten(0, 1).unsqueeze(0) for v in (a, b))
    count = lead.numel()
    shape = (count * like.shape[0], *like.shape[1:])
    found: Tensor = _WEIGHTS[axes - 1](
        inputs, shape, results, padding=[n // 2 for n in like.shape[2:]], groups=count
    )
    return found.reshape(*lead, *like.shape)


def _over_images(operators: list[Callable[..., Tensor]], kernel: Tensor, v: Tensor) -> Tensor:
    """A convolution, padded as in `linear`: whole blocks of places, so that images begin alike."""
    axes = kernel.dim() - 2
    padding = [n // 2 for n in kernel.shape[2:]]
    whole = operators[axes - 1](_padded(_images(v, axes), 1), kernel, padding=padding)
    found = whole[..., : v.shape[-2]].movedim(1, -1)
    return found.reshape(*v.shape[:-1], found.shape[-1])


def _images(v: Tensor, axes: int) -> Tensor:
    """(..., *extent, n) to (number, n, *extent), in one layout whatever that of v."""
    return v.contiguous().reshape(-1, *v.shape[v.dim() - axes - 1 :]).movedim(-1, 1)


# the names that the table's PyTorch column uses
SCOPE: dict[str, Any] = {"torch": torch} | {
    f.__name__: f
    for f in (linear, sigmoid, blocks, blocks_t, blocks_outer, convolve, convolve_t, convolve_outer)
}
