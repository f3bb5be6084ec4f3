"""PyTorch's own fused operators, for the cells whose graph is what those operators compute.

Which cells these are is found by comparing graphs, so that a cell of one's own with an LSTM's
equations runs as fast as `torch.nn.LSTM`, and one with a changed sign does not run here at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gated.engines.job import Job, Result
from gated.equations import Cell, R, U, W, b, b_h, relu, sigmoid, tanh
from gated.equations.graph import Graph, fold
from gated.equations.symbols import Node

_VF: Any = torch._VF


# What the operators compute, in the language of cells. Weights stand by position, so only the
# order of the names matters here, not the names.


class _TanhOperator(Cell):
    def step(self, x, h):  # type: ignore[no-untyped-def]
        h = tanh(W @ x + U @ h + b)
        return h


class _ReluOperator(Cell):
    def step(self, x, h):  # type: ignore[no-untyped-def]
        h = relu(W @ x + U @ h + b)
        return h


class _GruOperator(Cell):
    def step(self, x, h):  # type: ignore[no-untyped-def]
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        n = tanh(W.n @ x + b.n + r * (U.n @ h + b_h.n))
        h = (1 - z) * n + z * h
        return h


class _FourGateOperator(Cell):
    def step(self, x, h, c):  # type: ignore[no-untyped-def]
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, c


class _ProjectedOperator(Cell):
    sizes = {"h": "P"}  # noqa: RUF012

    def step(self, x, h, c):  # type: ignore[no-untyped-def]
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = R @ (o * tanh(c))
        return h, c


Operator = Callable[..., tuple[Tensor, ...]]
_OPERATORS: tuple[tuple[type[Cell], Operator], ...] = (
    (_TanhOperator, _VF.rnn_tanh),
    (_ReluOperator, _VF.rnn_relu),
    (_GruOperator, _VF.gru),
    (_FourGateOperator, _VF.lstm),
    (_ProjectedOperator, _VF.lstm),
)


@lru_cache(maxsize=256)
def operator(graph: Graph) -> Operator | None:
    """PyTorch's operator that computes a cell's graph, None if there is none."""
    mine = canonical(graph)
    return next((run for form, run in _OPERATORS if canonical(form.graph) == mine), None)


def canonical(graph: Graph) -> object:
    """A value that is equal for two graphs that compute the same from weights stored alike.

    Names of gates and states do not count; the order of terms in sums and of factors in products
    does not count; a parameter is its family and its place in it.
    """
    places = {p.key: (p.family, i) for ps in graph.families.values() for i, p in enumerate(ps)}
    inputs, states = list(graph.inputs), list(graph.previous)

    def key(node: Node, args: list[Any]) -> Any:
        if node.op == "parameter":
            return ("parameter", *places[node.label])
        if node.op in ("input", "state"):
            return (node.op, (inputs if node.op == "input" else states).index(node.label))
        if node.op == "constant":
            return ("constant", node.value)
        if node.op in ("add", "mul"):
            terms = [t for arg in args for t in (arg[1] if arg[0] == node.op else (arg,))]
            return (node.op, tuple(sorted(terms, key=repr)))
        return (node.op, *args)

    keys = fold(graph.updates.values(), key)
    return (
        tuple(keys[node] for node in graph.updates.values()),
        tuple((state.size, state.initial) for state in graph.states),
        tuple(graph.input_sizes.values()),
    )


def supports(job: Job) -> str | None:
    """None if PyTorch has a fused operator for the job, else what stands in the way."""
    if operator(job.cell.graph) is None:
        return f"PyTorch has no fused operator that computes {job.cell.name}"
    if job.trace:
        return "PyTorch's fused operators do not show their gates"
    return None


def run(job: Job) -> Result:
    """Run the job by PyTorch's operator."""
    if job.batch_sizes is not None:
        return _call(job, job.inputs["x"], job.initial, job.batch_sizes)
    x = job.inputs["x"]
    if x.shape[0] == 0 or x.shape[1] == 0:
        return _nothing(job, x)
    if job.lengths is None or bool((job.lengths == x.shape[0]).all()):
        return _call(job, x, job.initial)
    return _ragged(job, x, job.lengths)


def _call(
    job: Job, x: Tensor, initial: tuple[Tensor, ...], batch_sizes: Tensor | None = None
) -> Result:
    run_operator = operator(job.cell.graph)
    assert run_operator is not None, "supports() was asked first"
    flat = [
        weights[slot.name] for weights in job.weights for slot in job.layout if slot.name in weights
    ]
    state: Any = initial if len(initial) > 1 else initial[0]
    biases = "bias_ih" in job.weights[0]
    settings = (biases, 1, 0.0, job.training, len(job.weights) == 2)
    if batch_sizes is None:
        output, *final = run_operator(x, state, flat, *settings, False)
    else:
        output, *final = run_operator(x, batch_sizes, state, flat, *settings)
    return Result(output, tuple(final))


def _nothing(job: Job, x: Tensor) -> Result:
    """No step or no row: PyTorch refuses some of these, the answer is known."""
    width = job.initial[0].shape[-1] * len(job.weights)
    # an empty sum of the weights, so that their gradients are 0 rather than absent
    zero = sum(w.flatten()[:0].sum() for weights in job.weights for w in weights.values())
    return Result(x.new_zeros((*x.shape[:2], width)) + x[:0].sum() + zero, job.initial)


def _ragged(job: Job, x: Tensor, lengths: Tensor) -> Result:
    """Rows of unequal length, packed; rows of length 0, which PyTorch refuses, stay out."""
    rows = lengths.nonzero().squeeze(1).to(x.device)
    if len(rows) == 0:
        return _nothing(job, x)
    some = len(rows) < len(lengths)
    packed = pack_padded_sequence(
        x[:, rows] if some else x, lengths[lengths > 0], enforce_sorted=False
    )
    order = rows[packed.sorted_indices]
    result = _call(job, packed.data, tuple(s[:, order] for s in job.initial), packed.batch_sizes)
    output, _ = pad_packed_sequence(
        PackedSequence(result.output, packed.batch_sizes), total_length=x.shape[0]
    )
    back = torch.argsort(order)
    if not some:
        return Result(output[:, back], tuple(state[:, back] for state in result.final))
    final = tuple(
        before.index_copy(1, order, after)
        for before, after in zip(job.initial, result.final, strict=True)
    )
    blank = output.new_zeros((x.shape[0], x.shape[1], output.shape[-1]))
    return Result(blank.index_copy(1, order, output), final)
