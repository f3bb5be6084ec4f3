"""Cells whose states are affine in themselves, unit by unit, in parallel over time.

Coefficients and offsets are computed for all steps at once, the states by one scan each, and what
reads the states for all steps at once again. It runs in PyTorch operations, on a GPU in kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from gated.engines import reference
from gated.engines.fused import obstacles
from gated.engines.fused.run import layered
from gated.engines.job import Job, Result, Values
from gated.engines.scan import operators
from gated.engines.scan.steps import Steps
from gated.equations.affine import Recurrence, recurrences
from gated.equations.facts import extent
from gated.equations.graph import Graph
from gated.equations.ops import PRODUCTS
from gated.equations.symbols import Node
from gated.errors import CellError

_DEVICES = ("cpu", "cuda", "meta")
_HALVES = (torch.float16, torch.bfloat16)
_TYPES = (torch.float32, torch.float64, *_HALVES)


def supports(job: Job) -> str | None:
    """None if every state that a step reads is affine in itself, else what stands in the way."""
    sequence = job.sequence
    if sequence.device.type not in _DEVICES:
        return f"the scan runs on CPUs and NVIDIA's GPUs, not on {sequence.device.type}"
    if sequence.dtype not in _TYPES:
        return f"the scan computes in float types of 16 to 64 bits, not in {sequence.dtype}"
    found = _recurrences(job.cell.graph)
    return found if isinstance(found, str) else obstacles.of_call(job)


@lru_cache(maxsize=256)
def _recurrences(graph: Graph) -> tuple[Recurrence, ...] | str:
    """How the states follow, or why they cannot be scanned."""
    try:
        return recurrences(graph)
    except CellError as error:
        return f"time cannot be a scan: {error}"


def run(job: Job) -> Result:
    """Run the job, layer by layer, one direction after the other."""
    return layered(job, lambda *place: _Direction(job, *place).results())


class _Direction:
    """One layer in one direction. All steps and rows are one axis."""

    def __init__(self, job: Job, layer: int, direction: int, inputs: Mapping[str, Tensor]):
        self.job, self.graph = job, job.cell.graph
        place = layer * job.num_directions + direction
        sequence = next(iter(inputs.values()))
        self.dtype = sequence.dtype
        # beside the axes of time and rows, and of an image
        self.image = sequence.shape[sequence.dim() - 1 - extent(self.graph) : -1]
        self.lead = sequence.shape[: sequence.dim() - 1 - len(self.image)]
        total, batch = math.prod(self.lead), job.initial[0].shape[1]
        self.steps = Steps(job.batch_sizes, total, batch, direction == 1)
        own = job.own[place] if job.own else {}
        self.given = {
            self.graph.inputs[name]: value.reshape(total, *value.shape[len(self.lead) :])
            for name, value in (*inputs.items(), *own.items())
        }
        leaves = {node.label: node for node in self.graph.nodes() if node.op == "parameter"}
        for key, value in reference.parameters(job, layer, direction).items():
            self.given[leaves[key]] = value
        self.known = {node: self._real(value) for node, value in self.given.items()}
        self.initial = {
            state.name: self._real(value[place])
            for state, value in zip(self.graph.states, job.initial, strict=True)
        }
        self.final: dict[str, Tensor] = {}

    def results(self) -> tuple[Tensor, list[Tensor], Values]:
        """The first state at every step, the last states, and every named value if wanted."""
        found = _recurrences(self.graph)
        assert not isinstance(found, str), "asked for where it is supported"
        for recurrence in found:
            self._scan(recurrence)
        for state in self.graph.states:
            if state.name not in self.final:
                self._follow(state.name)
        first = self.graph.updates[self.graph.states[0].name]
        named = {n: self._over_time(node) for n, node in self._wanted().items()}
        final = [self.final[state.name].to(self.dtype) for state in self.graph.states]
        return self._over_time(first), final, named

    def _wanted(self) -> Mapping[str, Node]:
        return self.graph.equations if self.job.trace else {}

    def _scan(self, recurrence: Recurrence) -> None:
        """Compute a state that follows from the one before."""
        name = recurrence.state
        if recurrence.coefficient is None:
            self._follow(name)
            return
        initial = self.initial[name]
        a, b = (self._everywhere(n, name) for n in (recurrence.coefficient, recurrence.offset))
        states, final = operators.scan(a.flatten(1), b.flatten(1), initial.flatten(1), self.steps)
        self.known[self.graph.updates[name]] = states.view(a.shape)
        self.final[name] = final.view(initial.shape)

    def _follow(self, name: str) -> None:
        """Compute a state that does not read the one before."""
        update, initial = self.graph.updates[name], self.initial[name]
        states = self._everywhere(update, name)
        final = self.steps.last(states.flatten(1), initial.flatten(1))
        self.known[update], self.final[name] = states, final.view(initial.shape)

    def _everywhere(self, node: Node, state: str) -> Tensor:
        """A value for every step, of as many units as a state has."""
        return self._value(node).expand(self.steps.total, *self.initial[state].shape[1:])

    def _over_time(self, node: Node) -> Tensor:
        """A named value at every step, laid out as the inputs."""
        value = self._value(node)
        whole = value.expand(self.steps.total, *self.image, value.shape[-1])
        if self.job.padded:
            whole = self.steps.valid(whole.flatten(1)).view(whole.shape)
        return whole.to(self.dtype).reshape(*self.lead, *whole.shape[1:])

    def _value(self, node: Node) -> Tensor:
        """The value of a node, from what is known."""
        for below in _below([node], self.known):
            if below.op == "state":
                after = self.known[self.graph.updates[below.label]]
                before = self.steps.before(after.flatten(1), self.initial[below.label].flatten(1))
                self.known[below] = before.view(after.shape)
            elif below.op in PRODUCTS and self.dtype in _HALVES:
                self._product(below)
        self.known = reference.evaluate([node], self.known)
        return self.known[node]

    def _product(self, node: Node) -> None:
        """A product with a matrix in the type of the call; all else of 16 bits is in 32."""
        self.known = reference.evaluate(node.args, self.known)
        operands = {
            arg: self.given[arg] if arg in self.given else self.known[arg].to(self.dtype)
            for arg in node.args
        }
        self.known[node] = self._real(reference.evaluate([node], operands)[node])

    def _real(self, value: Tensor) -> Tensor:
        return value.float() if self.dtype in _HALVES else value


def _below(roots: Iterable[Node], known: Mapping[Node, Tensor]) -> list[Node]:
    """The nodes that must be computed for some, operands first."""
    found: dict[Node, None] = {}
    waiting = [node for node in roots if node not in known]
    while waiting:
        node = waiting[-1]
        missing = [arg for arg in node.args if arg not in known and arg not in found]
        if missing:
            waiting += missing
            continue
        found.setdefault(node)
        waiting.pop()
    return list(found)
