"""Layers on layers: what passes from one to the next, where it is more than the plain output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import dropout

from gated import engines
from gated.engines import Job, Result, Values

# how the outputs of the two directions become one; each takes (..., S, n)
MERGES: dict[str, Callable[[Tensor], Tensor]] = {
    "concat": lambda both: both.flatten(-2),
    "sum": lambda both: both.sum(-2),
    "mean": lambda both: both.mean(-2),
    "mul": lambda both: both.prod(-2),
}


def run(job: Job, engine: str, merge: str, residual: bool) -> Result:
    """Run a stack of layers: in one call of the engine where layers pass on plain outputs.

    A traced stack goes layer by layer, so that what each layer read is known.

    Args:
        job: the stack.
        engine: the name of an engine, or "auto".
        merge: how the outputs of two directions become one, a key of `MERGES`.
        residual: whether every layer but the first adds what it reads to its output.
    """
    if merge == "concat" and not residual and (job.num_layers == 1 or not job.trace):
        return engines.run(job, engine)
    return one_by_one(job, engine, merge, residual)


def one_by_one(
    job: Job,
    engine: str,
    merge: str,
    residual: bool,
    seen: Callable[[Job, Result], None] | None = None,
) -> Result:
    """As `run`, each layer in a call of its own, which `seen` is shown with its job."""
    first = next(iter(job.inputs))
    value, finals = job.sequence, []
    traces: list[Sequence[Values]] = []
    reads: list[Mapping[str, Tensor]] = []
    for index in range(job.num_layers):
        read = dropout(value, job.dropout, job.training) if index else value
        layer = _layer(job, index, {**job.inputs, first: read})
        reads.append(layer.inputs)
        result = engines.run(layer, engine)
        if seen:
            seen(layer, result)
        both = result.output.unflatten(-1, (job.num_directions, -1))  # type: ignore[no-untyped-call]
        output = MERGES[merge](both)
        value = output + value if residual and index else output
        finals.append(result.final)
        traces += result.trace
    final = tuple(torch.cat(states) for states in zip(*finals, strict=True))
    return Result(value, final, traces, reads)


def _layer(job: Job, index: int, inputs: dict[str, Tensor]) -> Job:
    """One layer of a stack."""

    def part(values: Sequence[Tensor] | Tensor) -> slice:
        each = len(values) // job.num_layers
        return slice(index * each, (index + 1) * each)

    return job._replace(
        num_layers=1,
        weights=job.weights[part(job.weights)],
        inputs=inputs,
        initial=tuple(state[part(state)] for state in job.initial),
        own=job.own[slice(index * job.num_directions, (index + 1) * job.num_directions)],
        dropout=0.0,
    )
