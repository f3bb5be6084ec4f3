"""What stands in the way of a fused loop for a cell's equations, or for a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch.autograd import forward_ad

from gated.engines.job import PLAIN, Job
from gated.equations.graph import Graph

_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack


def of_call(job: Job) -> str | None:
    """Why kernels cannot run a job as it is called here, whatever its equations."""
    if type(job.sequence) in PLAIN and any(type(weight) not in PLAIN for weight in job.weights):
        return "a parameter is a tensor of a kind of its own, which a kernel cannot read"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    if _transform() is not None:
        return "a transform of torch.func is on, as vmap or grad"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace is on, which cannot record its kernels"
    if torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export():
        return "ONNX has no operator for its kernels"
    return None


@lru_cache(maxsize=256)
def obstacle(graph: Graph) -> str | None:
    """What of a cell's equations fused engines have no kernel for."""
    if any(node.op == "convolve" for node in graph.nodes()):
        return "it has no convolution"
    moving = graph.depends_on_state()
    for name, node in graph.equations.items():
        if name in graph.updates and node not in moving:
            return f"the state {name} does not depend on the state before"
        if node.op == "state":
            return f"{name} is a state of the step before as it stands"
    return None
