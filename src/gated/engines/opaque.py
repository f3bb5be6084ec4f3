"""A job inside `torch.compile`: it runs the engine's code, and does not read it."""

from __future__ import annotations

from typing import Any

import torch

from gated import engines
from gated.engines.job import Form, Job, Result
from gated.errors import EngineError


def run(job: Job, engine: str) -> Result:
    """Run a job as one step of what is being compiled, or beside it if that cannot be."""
    x = job.sequence
    against = _against(
        job.form, engine, x.dtype, x.device.type, job.trace, len(job.own) > 0, job.padded
    )
    if against is not None:
        torch._dynamo.graph_break(msg=against)  # an error with this text where fullgraph=True
        beside: Result = _beside(job, engine)
        return beside
    values = job._asdict()
    form = values.pop("form")
    # None cannot be passed
    given = {name: value for name, value in values.items() if value is not None}
    return Result(*_run(form, engine, given))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _against(
    form: Form, engine: str, dtype: torch.dtype, device: str, trace: bool, noisy: bool, padded: bool
) -> str | None:
    """Why no engine, or not the one asked for, can run such a job; known when it is compiled."""
    if torch.compiler.is_exporting():  # which PyTorch 2.11 affirms in all code that it compiles
        return "an engine cannot be read: call torch.export.export with strict=False"
    like = torch.empty((0, 1), dtype=dtype, device=device)
    sizes = torch.empty(0, device="meta") if padded else None
    own = [{"": like}] if noisy else ()
    job = Job(form, 1, 1, [like], {"": like}, (like,), sizes, trace=trace, own=own, padded=padded)
    try:
        engines.choose(job, engine)
    except EngineError as error:
        return str(error)
    return None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _beside(job: Job, engine: str) -> Result:
    return engines.run_here(job, engine)


@torch._dynamo.nonstrict_trace
def _run(form: Form, engine: str, given: dict[str, Any]) -> Any:
    found = _beside(Job(form, **given), engine)
    return found.output, found.final, [list(runs) for runs in found.trace]
