"""The loop over time as one operation of autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.fused.loops import Inputs, Loops, Sizes
from gated.engines.fused.rows import Rows
from gated.equations.graph import length
from gated.equations.symbols import Node


class Loop(torch.autograd.Function):
    """The loop over time as one operation.

    It returns the first state at every step, the states after each row's last step, and what else
    is wanted at every step: in the order of `Loops.loop.shown`, then the other states.
    """

    @staticmethod
    def forward(
        ctx: Any, loops: Loops, sizes: Sizes, rows: Rows, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Run it, and keep what the way back needs."""
        ctx.set_materialize_grads(False)
        found, saved = loops.train(sizes, rows, tensors)
        shown = shown_values(loops, sizes, saved)
        ctx.save_for_backward(*tensors)
        ctx.call = (loops, sizes, rows)
        # detached, since an output that hangs on its own graph is never freed
        ctx.saved = {name: value.detach() for name, value in saved.items()}
        ctx.versions = [value._version for value in saved.values()]
        return (*found, *shown)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of everything that went in."""
        loops, sizes, rows = ctx.call
        tensors = ctx.saved_tensors
        states = len(loops.loop.graph.states)
        first, final, shown = gradients[0], gradients[1 : states + 1], gradients[states + 1 :]
        again = torch.is_grad_enabled()  # whether a second derivative is wanted
        if again or any(d is not None and _is_many(d) for d in gradients):
            with torch.enable_grad():
                found = _by_reference(loops, rows, tensors, (first, *final, *shown), again)
            return (None, None, None, *found)
        saved, ctx.saved = ctx.saved, None
        if saved is None:  # it was written over, by the first of several ways back
            _, saved = loops.train(sizes, rows, tensors)
        elif [value._version for value in saved.values()] != ctx.versions:
            raise RuntimeError(
                "an output of the layer was changed in place, and its gradient needs it as it was: "
                "change a copy, output.clone()"
            )
        names = [*loops.loop.shown, *(s.name for s in loops.loop.graph.states[1:])]
        arriving = dict(zip(names, shown, strict=False))
        arriving[loops.loop.graph.states[0].name] = first
        wanted = ctx.needs_input_grad[3:]
        found = loops.differentiate(sizes, rows, tensors, saved, arriving, final, wanted)
        return (None, None, None, *found)


# gradients of `is_grads_batched`, as in `torch.autograd.functional.jacobian(vectorize=True)`
_is_many: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor
apply: Callable[..., tuple[Tensor, ...]] = Loop.apply


def shown_values(loops: Loops, sizes: Sizes, saved: Mapping[str, Tensor]) -> list[Tensor]:
    """What a traced loop shows at every step, beside the first state."""
    if not loops.traced:
        return []
    found = []
    dtype = saved[loops.kept.buffers[0].name].dtype
    others = [loops.loop.updates[s.name] for s in loops.loop.graph.states[1:]]
    for node in (*loops.loop.shown.values(), *others):
        place = loops.kept.at[node]
        widths = [length(width, sizes) for width in place.buffer.widths]
        start = sum(widths[: place.index])
        value = saved[place.buffer.name][:, start : start + widths[place.index]]
        found.append(value.to(dtype))
    return found


def _by_reference(
    loops: Loops, rows: Rows, tensors: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None], again: bool,
) -> list[Tensor | None]:  # fmt: skip
    """The gradients as the reference computes them: they may have gradients themselves."""
    loop, given = loops.loop, Inputs.of(loops.loop, tensors)
    sizes = rows.sizes.tolist()
    known: dict[Node, Tensor] = {}
    timed: dict[Node, Sequence[Tensor]] = {}
    for stream, (operand, matrix, added) in zip(loop.streams, given.streams, strict=True):
        values = operand @ matrix.T if added is None else operand @ matrix.T + added
        for node, part in zip(stream.nodes, values.chunk(len(stream.nodes), 1), strict=True):
            timed[node] = torch.split(part, sizes)
    for node, value in zip(loop.loose, given.loose, strict=True):
        if loop.given[node]:
            timed[node] = torch.split(value, sizes)
        else:
            known[node] = value
    for bank, matrices in zip(loop.banks, given.banks, strict=True):
        for key, matrix in zip(bank.keys, matrices.chunk(len(bank.keys)), strict=True):
            known[loop.matrices[key]] = matrix
    nodes = [node for node in loop.graph.nodes() if node in loop.moving and node.args]
    like = given.initial[0]
    known |= {n: like.new_full((), n.value) for n in loop.graph.nodes() if n.op == "constant"}
    first, *others = loop.updates.values()
    recorded: dict[Node, list[Tensor]] = {first: []}
    if loops.traced:
        recorded |= {node: [] for node in (*loop.shown.values(), *others)}
    final = reference.unroll(
        loop.graph, nodes, known, timed, given.initial, sizes, rows.reverse, recorded
    )
    order = -1 if rows.reverse else 1
    whole = {node: torch.cat(values[::order]) for node, values in recorded.items()}
    ends = [whole[first], *final]
    if loops.traced:
        ends += [whole[node] for node in (*loop.shown.values(), *others)]
    pairs = [(end, d) for end, d in zip(ends, gradients, strict=True) if d is not None]
    wanted = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    found = iter(
        torch.autograd.grad(
            [end for end, _ in pairs], wanted, [d for _, d in pairs],
            create_graph=again, allow_unused=True,
        )
    )  # fmt: skip
    return [
        next(found) if tensor is not None and tensor.requires_grad else None for tensor in tensors
    ]
