"""The scan as registered operators, each the other's derivative, of any order.

    gated::scan       h_t = a_t h_(t-1) + b_t: all states, and those after each row's last step
    gated::scan_back  the gradients of a, b and the first states from those of the results

They take packed rows. More steps than rows have may stand behind them: these come out as 0.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor

from gated.engines.scan import loop
from gated.engines.scan.steps import Steps
from gated.errors import EngineError

_library: Any = cast(Any, torch.library.Library)("gated", "FRAGMENT")
for _schema in (
    "scan(Tensor a, Tensor b, Tensor initial, Tensor? batch_sizes, bool reverse)"
    " -> (Tensor, Tensor)",
    "scan_back(Tensor a, Tensor states, Tensor initial, Tensor d_states, Tensor d_final, "
    "Tensor? batch_sizes, bool reverse) -> (Tensor, Tensor, Tensor)",
):
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))
_ops: Any = torch.ops.gated


def scan(a: Tensor, b: Tensor, initial: Tensor, steps: Steps) -> tuple[Tensor, Tensor]:
    """All states, (N, n), and those after each row's last step, (B, n).

    Args:
        a, b: coefficients and offsets, each (N, n).
        initial: the states before the first step, (B, n).
        steps: which rows reach which step.
    """
    states, final = _ops.scan(a, b, initial, steps.sizes, steps.reverse)
    return states, final


def _steps(initial: Tensor, total: int, sizes: Tensor | None, reverse: bool) -> Steps:
    return Steps(sizes, total, initial.shape[0], reverse)


def _checked(like: Tensor, sizes: Tensor | None, initial: Tensor, *others: Tensor) -> Tensor | None:
    """The sizes as Steps wants them.

    Raises:
        EngineError: a tensor is not as long, as wide or of the type that the others are, or no rows
            can have reached steps so.
    """
    total, batch = like.shape[0], initial.shape[0]
    for other in others:
        if other.shape != like.shape:
            raise EngineError(f"a scan of {tuple(other.shape)} with {tuple(like.shape)}")
    if initial.shape[1:] != like.shape[1:]:
        raise EngineError(f"a scan of {tuple(like.shape)} from states {tuple(initial.shape)}")
    if any(v.dtype != like.dtype or v.device != like.device for v in (initial, *others)):
        raise EngineError("a scan of tensors of several types, or on several devices")
    if sizes is None:
        if total % max(batch, 1) or (total and not batch):
            raise EngineError(f"{total} steps are not as many for each of {batch} rows")
        return None
    reach = sizes.to(torch.int64)
    falls = bool((reach[1:] <= reach[:-1]).all()) and bool((reach >= 0).all())
    if not falls or bool((reach > batch).any()) or int(reach.sum()) > total:
        raise EngineError(
            f"batch_sizes is {reach.tolist()}, expected numbers that never rise, of at most "
            f"{batch} rows, {total} in all"
        )
    return reach


def _scan(
    a: Tensor, b: Tensor, initial: Tensor, sizes: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    steps = _steps(initial, a.shape[0], _checked(a, sizes, initial, b), reverse)
    if not a.numel() or steps.none:
        return torch.zeros_like(b), initial.clone()
    if _by_kernels(a):
        from gated.engines.scan import device

        states, _ = device.scan(a, b, initial, steps, False)
    else:
        states = loop.scan(a, b, initial, steps, False)
    # an operator returns no view
    return states, steps.last(states, initial).clone()


def _scan_back(
    a: Tensor, states: Tensor, initial: Tensor, d_states: Tensor, d_final: Tensor,
    sizes: Tensor | None, reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    reach = _checked(a, sizes, initial, states, d_states)
    ahead = _steps(initial, a.shape[0], reach, reverse)
    back = _steps(initial, a.shape[0], reach, not reverse)
    if not a.numel() or ahead.none:
        return torch.zeros_like(a), torch.zeros_like(a), d_final.clone()
    if _by_kernels(a):
        from gated.engines.scan import device

        found, d_a = device.scan(a, d_states, d_final, back, True, old=states, first=initial)
        assert d_a is not None, "it was asked for"
    else:
        found = loop.scan(a, d_states, d_final, back, True)
        d_a = ahead.valid(found * ahead.before(states, initial))
    return d_a, found, back.last(a, torch.ones_like(initial)) * back.last(found, d_final)


def _by_kernels(value: Tensor) -> bool:
    return value.is_cuda and _triton()


@lru_cache(maxsize=1)
def _triton() -> bool:
    """Whether Triton is installed; without it a GPU gets the operations of a CPU."""
    return find_spec("triton") is not None


def _fake_scan(
    a: Tensor, b: Tensor, initial: Tensor, sizes: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    return b.new_empty(b.shape), initial.new_empty(initial.shape)


def _fake_back(
    a: Tensor, states: Tensor, initial: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return a.new_empty(a.shape), a.new_empty(a.shape), initial.new_empty(initial.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    a, _, initial, sizes, ctx.reverse = inputs
    ctx.save_for_backward(a, output[0], initial, sizes)


def _d_scan(ctx: Any, d_states: Tensor, d_final: Tensor) -> tuple[Any, ...]:
    a, states, initial, sizes = ctx.saved_tensors
    found = _ops.scan_back(a, states, initial, d_states, d_final, sizes, ctx.reverse)
    return (*found, None, None)


def _keep_back(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    a, states, initial, _, _, sizes, ctx.reverse = inputs
    ctx.save_for_backward(a, states, initial, sizes, output[1])


def _d_scan_back(ctx: Any, to_a: Tensor, to_b: Tensor, to_initial: Tensor) -> tuple[Any, ...]:
    """The gradients of `scan_back`: it is linear in those that it took, and its transposed a scan.

    With g the gradients of b that it gave, it is g * before(states, initial), g, and a_1 g_1.
    """
    a, states, initial, sizes, g = ctx.saved_tensors
    steps = _steps(initial, a.shape[0], sizes, ctx.reverse)
    seed = to_b + to_a * steps.before(states, initial)
    found, final = _ops.scan(a, seed, to_initial, sizes, ctx.reverse)
    d_a = g * steps.before(found, to_initial)
    return (d_a, *steps.before_t(to_a * g), found, final, None, None)


for _name, _kernel, _fake, _setup, _backward in (
    ("scan", _scan, _fake_scan, _keep, _d_scan),
    ("scan_back", _scan_back, _fake_back, _keep_back, _d_scan_back),
):
    for _key in ("CPU", "CUDA"):
        _library.impl(_name, _kernel, _key)
    torch.library.register_fake(f"gated::{_name}", _fake, lib=_library)
    torch.library.register_autograd(
        f"gated::{_name}", _backward, setup_context=_setup, lib=_library
    )
