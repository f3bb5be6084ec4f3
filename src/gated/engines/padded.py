"""Jobs of which no size depends on the rows' lengths, for engines that want the valid steps alone.

Such jobs come out of a traced call: of `torch.compile` and `torch.export`, where the number of
valid steps is known only when the program runs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gated.engines.job import Job, Result, nothing, traced


def obstacle(job: Job) -> str | None:
    """Why the steps that no row has cannot be left out, None if they can."""
    sizes = job.batch_sizes
    if sizes is None or not (sizes.is_meta or traced(sizes)):
        return None
    return (
        "lengths are known only when the program runs that torch.compile or torch.export makes, "
        "and its loop wants them before"
    )


def run(job: Job, engine: Callable[[Job], Result]) -> Result:
    """Run a job without the steps that no row has; their outputs are 0, as is their trace."""
    assert job.batch_sizes is not None, "such a job has them"
    sizes = job.batch_sizes[job.batch_sizes > 0]
    steps, total = int(sizes.sum()), len(job.sequence)
    rows = int(sizes[0]) if len(sizes) else 0

    def valid(value: Tensor) -> Tensor:
        return value[:steps]

    def whole(value: Tensor) -> Tensor:
        return torch.cat([value, value.new_zeros((total - steps, *value.shape[1:]))])

    part = job._replace(
        inputs={name: valid(value) for name, value in job.inputs.items()},
        own=[{name: valid(value) for name, value in one.items()} for one in job.own],
        initial=tuple(state[:, :rows] for state in job.initial),
        batch_sizes=sizes,
        padded=False,
    )
    found = engine(part) if steps else nothing(part)
    return Result(
        whole(found.output),
        tuple(
            torch.cat([after, before[:, rows:]], 1)
            for after, before in zip(found.final, job.initial, strict=True)
        ),
        [[{name: whole(v) for name, v in one.items()} for one in runs] for runs in found.trace],
    )
