"""The loop over time as registered operators, for `torch.compile`, `torch.export` and fake tensors.

    gated::loop   the first state at every step, all states after each row's last, what is shown
    gated::train  the states after each row's last step, and what the way back needs
    gated::back   the gradients that are wanted

An operator is told everything by its arguments: the engine by name, the cell as text
(`transcript`), so that a program saved in one process runs in another. In eager mode the engine
calls its loops directly, which costs less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from gated.engines.fused import transcript
from gated.engines.fused.autograd import shown_values
from gated.engines.fused.loops import Loops, Sizes, Tensors
from gated.engines.fused.passed import Passed
from gated.engines.job import Job, traced
from gated.errors import EngineError

_CALL = (
    "str engine, str cell, int[] sizes, bool reverse, bool traced, SymInt total, "
    "Tensor? batch_sizes, Tensor?[] tensors"
)
_library: Any = cast(Any, torch.library.Library)("gated", "FRAGMENT")
_BACK = f"{_CALL}, Tensor[] saved, Tensor?[] gradients, bool[] wanted"
# Inductor's CUDA graphs want back all memory that a call takes; an engine may keep some
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.cudagraph_unsafe)
for _schema in (f"loop({_CALL})", f"train({_CALL})", f"back({_BACK})"):
    _library.define(f"{_schema} -> Tensor[]", tags=_TAGS)
_ops: Any = torch.ops.gated


def needed(value: Tensor) -> bool:
    """Whether operators must run it: it holds no numbers, or something watches what is called."""
    return traced(value) or value.is_meta or torch._C._len_torch_dispatch_stack() > 0


def run(
    job: Job, loops: Loops, reverse: bool, sizes: Sizes, tensors: Tensors
) -> tuple[Tensor, ...]:
    """The loop of one layer and direction."""
    *axes, _ = job.sequence.shape
    found = _ops.loop(
        loops.engine, transcript.write(job.cell.graph), [int(sizes[n]) for n in loops.letters],
        reverse, job.trace, math.prod(axes), job.batch_sizes, list(tensors),
    )  # fmt: skip
    return tuple(found)


def _loop(*call: Any) -> list[Tensor]:
    given = Passed(*call)
    rows = given.rows()
    if rows is None:
        timed = [given.initial[0].new_zeros((given.total, n)) for n in given.widths()]
        return [timed[0], *map(_copy, given.initial), *timed[1:]]
    count = len(given.initial)
    if given.loops.traced:
        (output, *final), saved = given.loops.train(given.sizes, rows, given.valid(rows))
        final = _with_others(final, given.initial, rows.batch)
        # nor may two results share memory
        shown = [v.clone() for v in shown_values(given.loops, given.sizes, saved)]
    else:
        output, *final = given.loops.infer(given.sizes, rows, given.valid(rows))
        shown = []
    return [given.whole(output), *final[:count], *map(given.whole, shown)]


def _train(*call: Any) -> list[Tensor]:
    given = Passed(*call)
    rows = given.rows()
    if rows is None:
        made = [given.initial[0].new_zeros(n, dtype=t) for n, t in given.buffers().values()]
        return [*map(_copy, given.initial), *made]
    (_, *final), saved = given.loops.train(given.sizes, rows, given.valid(rows))
    final = _with_others(final, given.initial, rows.batch)
    return [*final, *(given.whole(saved[name]) for name in given.buffers())]


def _with_others(final: Sequence[Tensor], initial: Sequence[Tensor], reached: int) -> list[Tensor]:
    """The last states; those of rows without a step are the initial ones."""
    for after, before in zip(final, initial, strict=True):
        after[reached:] = before[reached:]
    return list(final)


def _back(*arguments: Any) -> list[Tensor]:
    *call, saved, gradients, wanted = arguments
    given = Passed(*call)
    rows, loop = given.rows(), given.loops.loop
    states = [state.name for state in loop.graph.states]
    output, final = gradients[0], gradients[1 : len(states) + 1]
    found: list[Tensor | None] = [None] * len(given.tensors)
    if rows is None:
        found[-len(states) :] = [None if d is None else _copy(d) for d in final]
        return _filled(given, found, wanted)
    names = [states[0], *loop.shown, *states[1:]]
    timed = [output, *gradients[len(states) + 1 :]]
    timed = [None if d is None else d[: rows.total] for d in timed]
    # the kernel writes over what was saved
    kept = {n: v[: rows.total].clone() for n, v in zip(given.buffers(), saved, strict=True)}
    arriving = dict(zip(names, timed, strict=False))
    found = given.loops.differentiate(
        given.sizes, rows, given.valid(rows), kept, arriving, final, wanted
    )
    return _filled(given, found, wanted)


def _filled(given: Passed, found: Tensors, wanted: Sequence[bool]) -> list[Tensor]:
    """The gradients that are wanted, 0 where a tensor changes nothing."""
    filled = []
    for tensor, value, timed, needed in zip(given.tensors, found, given.timed, wanted, strict=True):
        if needed and tensor is not None:
            value = torch.zeros_like(tensor) if value is None else value
            filled.append((given.whole(value) if timed else value).contiguous())
    return filled


def _like(value: Tensor) -> Tensor:
    return value.new_empty(value.shape)


def _copy(value: Tensor) -> Tensor:
    return _like(value).copy_(value)


def _fake_loop(*call: Any) -> list[Tensor]:
    given = Passed(*call)
    first, *shown = (given.initial[0].new_empty((given.total, n)) for n in given.widths())
    return [first, *map(_like, given.initial), *shown]


def _fake_train(*call: Any) -> list[Tensor]:
    given = Passed(*call)
    made = [given.initial[0].new_empty(n, dtype=t) for n, t in given.buffers().values()]
    return [*map(_like, given.initial), *made]


def _fake_back(*arguments: Any) -> list[Tensor]:
    *call, _, _, wanted = arguments
    return [
        t.new_empty(t.shape) for t, is_wanted in zip(call[-1], wanted, strict=True) if is_wanted
    ]


class _Loop(torch.autograd.Function):
    """`loop` where gradients are wanted: `train` ahead, `back` on the way back."""

    @staticmethod
    def forward(ctx: Any, call: tuple[Any, ...], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        with torch._C._AutoDispatchBelowAutograd():
            made = _ops.train(*call, list(tensors))
        given = Passed(*(*call, tensors))
        count = len(given.initial)
        final, saved = made[:count], dict(zip(given.buffers(), made[count:], strict=True))
        *ctx.call, batch_sizes = call
        ctx.save_for_backward(batch_sizes, *tensors, *saved.values())
        shown = shown_values(given.loops, given.sizes, saved)
        return (given.output(saved), *final, *shown)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        batch_sizes, *others = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[1:])
        tensors, saved = others[: len(wanted)], others[len(wanted) :]
        found = iter(_ops.back(*ctx.call, batch_sizes, tensors, saved, list(gradients), wanted))
        return (None, *(next(found) if one else None for one in wanted))


class _Refused(torch.autograd.Function):
    """An operator that can be called, and not differentiated."""

    @staticmethod
    def forward(ctx: Any, operator: Any, arguments: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(operator(*arguments))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        raise EngineError(
            "a compiled or exported layer has no second derivatives: call the layer as it is, or "
            "build it with engine='reference'"
        )


_apply_loop: Any = _Loop.apply
_apply_refused: Any = _Refused.apply


def _differentiable(*call: Any) -> list[Tensor]:
    *others, tensors = call
    if _wants_gradients(tensors):
        return list(_apply_loop(tuple(others), *tensors))
    with torch._C._AutoDispatchBelowAutograd():
        return list(_ops.loop(*call))


def _once(operator: Any) -> Any:
    """The operator for tensors that may want a derivative of it, which it has not."""

    def call(*arguments: Any) -> list[Tensor]:
        flat = [t for a in arguments if isinstance(a, (list, tuple)) for t in a]
        tensors = [t for t in flat if isinstance(t, Tensor)]
        if _wants_gradients(tensors):
            return list(_apply_refused(operator, arguments, *tensors))
        with torch._C._AutoDispatchBelowAutograd():
            return list(operator(*arguments))

    return call


def _wants_gradients(tensors: Tensors) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


for _name, _kernel, _fake in (
    ("loop", _loop, _fake_loop),
    ("train", _train, _fake_train),
    ("back", _back, _fake_back),
):
    for _device in ("CPU", "CUDA"):
        _library.impl(_name, _kernel, _device)
    torch.library.register_fake(f"gated::{_name}", _fake, lib=_library)
_library.impl("loop", _differentiable, "Autograd")
_library.impl("train", _once(_ops.train), "Autograd")
_library.impl("back", _once(_ops.back), "Autograd")
