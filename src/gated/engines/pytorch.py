"""PyTorch's own fused operators, for the cells whose graph is what those operators compute.

Which cells these are is found by comparing graphs, so that a cell of one's own with an LSTM's
equations runs as fast as `torch.nn.LSTM`, and one with a changed sign does not run here at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gated.engines.job import Job, Result, traced
from gated.equations import Cell, R, U, W, b, b_h, relu, sigmoid, tanh
from gated.equations.graph import Graph, fold
from gated.equations.symbols import Node

_VF: Any = torch._VF
is_batchedtensor: Callable[[Tensor], bool] = torch._C._functorch.is_batchedtensor


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


# No operator has a longer sum or product; sums of shared sums could grow without bound.
_MOST_TERMS = 8
_numbers: dict[object, int] = {}


def canonical(graph: Graph) -> object:
    """A value that is equal for two graphs that compute the same from weights stored alike.

    Names of gates and states do not count; the order of terms in sums and of factors in products
    does not count; a parameter is its family and its place in it.
    """
    places = _places(graph)
    inputs, states = list(graph.inputs), list(graph.previous)
    terms: dict[int, tuple[str, tuple[int, ...]]] = {}

    def number(node: Node, args: list[int]) -> int:
        """Equal expressions have equal numbers."""
        if node.op == "parameter":
            return _number(("parameter", *places[node.label]))
        if node.op in ("input", "state"):
            return _number((node.op, (inputs if node.op == "input" else states).index(node.label)))
        if node.op == "constant":
            return _number(("constant", node.value))
        if node.op not in ("add", "mul"):
            return _number((node.op, *args))
        parts = [
            t for a in args for t in (terms[a][1] if terms.get(a, "")[:1] == (node.op,) else (a,))
        ]
        if len(parts) > _MOST_TERMS:
            return _number(object())
        found = _number((node.op, *sorted(parts)))
        terms[found] = (node.op, tuple(parts))
        return found

    numbers = fold(graph.updates.values(), number)
    return (
        tuple(numbers[node] for node in graph.updates.values()),
        tuple((state.size, state.initial) for state in graph.states),
        tuple(graph.input_sizes.values()),
    )


def _number(key: object) -> int:
    return _numbers.setdefault(key, len(_numbers))


def _places(graph: Graph) -> dict[str, tuple[str, int]]:
    """Each parameter's family and its place among its siblings.

    A second bias has the place of the first one of its subscript: they are stored side by side.
    """
    places = {p.key: (p.family, i) for ps in graph.families.values() for i, p in enumerate(ps)}
    for key, (family, _) in list(places.items()):
        if family == "b_h":
            places[key] = (family, places.get("b" + key.removeprefix("b_h"), ("", -1))[1])
    return places


def supports(job: Job) -> str | None:
    """None if PyTorch has a fused operator for the job, else what stands in the way."""
    if operator(job.cell.graph) is None:
        return f"PyTorch has no fused operator that computes {job.cell.name} as it stands here"
    if job.own:
        return "PyTorch's fused operators take no noise at each step"
    if job.trace:
        return "PyTorch's fused operators do not show their gates"
    if is_batchedtensor(job.sequence) or is_batchedtensor(job.weights[0]):
        return "torch.vmap is on, PyTorch's fused operators have no rule for it"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on, PyTorch's fused operators lack it"
    if job.sizes.get("P", 0) >= job.sizes["H"]:
        return "PyTorch's fused operators project to fewer than hidden_size units only"
    return None


def run(job: Job) -> Result:
    """Run the job by PyTorch's operator, all layers and directions at once."""
    run_operator = operator(job.cell.graph)
    assert run_operator is not None, "supports() was asked first"
    (x,) = job.inputs.values()
    if traced(x):
        x = _tracked(x, job.weights)
    state: Any = job.initial if len(job.initial) > 1 else job.initial[0]
    biases = job.layout[-1].bias or job.layout[-2].bias  # weight_hr may stand last
    settings = (biases, job.num_layers, job.dropout, job.training, job.num_directions == 2)
    if job.batch_sizes is None:
        output, *final = run_operator(x, state, job.weights, *settings, False)
    else:
        output, *final = run_operator(x, job.batch_sizes, state, job.weights, *settings)
    if traced(x):  # PyTorch 2.11 compiles an LSTM's last states with an axis too many
        pairs = zip(final, job.initial, strict=True)
        final = [after.reshape(before.shape) for after, before in pairs]
    return Result(output, tuple(final))


def _tracked(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The sequence, with a gradient wherever the weights have one.

    What torch.compile makes of the LSTM's operator takes the gradient of the sequence for granted,
    and fails without (PyTorch 2.13).
    """
    if x.requires_grad or not any(weight.requires_grad for weight in weights):
        return x
    return x + weights[0].flatten()[:0].sum()  # a sum of nothing


def flatten(
    graph: Graph, weights: Sequence[Tensor], sizes: Mapping[str, int], num_layers: int,
    num_directions: int,
) -> None:  # fmt: skip
    """Move the weights of a stack into one block of memory, where cuDNN would copy them each time.

    Args:
        graph: of the cell; nothing is done if PyTorch has no operator for it.
        weights: the stored tensors in the order of a job's; nothing is done for such as cuDNN does
            not take, or that share memory.
        sizes: D, that of the first layer, H, and P for a projection.
        num_layers, num_directions: L and S.
    """
    run, first = operator(graph), weights[0]
    library: Any = torch
    cudnn = library.backends.cudnn
    alike = all(w.dtype == first.dtype and cudnn.is_acceptable(w) for w in weights)
    if run is None or not alike or len({w.data_ptr() for w in weights}) != len(weights):
        return
    if sizes.get("P", 0) >= sizes["H"]:  # no projection to cuDNN
        return
    mode = import_module("torch.backends.cudnn.rnn").get_cudnn_mode(run.__name__.upper())
    with library.cuda.device_of(first), torch.no_grad():
        if library._use_cudnn_rnn_flatten_weight():
            library._cudnn_rnn_flatten_weight(
                weights, len(weights) // (num_layers * num_directions), sizes["D"], mode,
                sizes["H"], sizes.get("P", 0), num_layers, False, num_directions == 2,
            )  # fmt: skip
