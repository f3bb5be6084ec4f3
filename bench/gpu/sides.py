"""How ours, cuDNN and loops compute a problem on the device.

A side is made from the problem's data, and called without arguments. It returns the output, then
what is shown of gates, or the gradients of the parameters in their order and of x. What a side
draws at random is shown for the check as its expectation, by `shown`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bench.cpu.sides import NotSupportedError, trained
from bench.gpu import loops
from bench.gpu.problem import Data
from gated.errors import GatedError

Results = Sequence[Tensor]
Side = Callable[[], Results]
GRAPH, LAUNCHED = " in a graph", " launched"
WARM = 4  # calls after which nothing is compiled or captured any more


def side(name: str, data: Data) -> Side:
    """A side by its name: an engine of ours, "torch.nn", or "compiled loop 1" and its like.

    Raises:
        NotSupportedError: it cannot compute this problem.
    """
    if name.endswith(LAUNCHED):
        return launched(ours(data, name.removesuffix(LAUNCHED)))
    base = name.removesuffix(GRAPH)
    if base == "torch.nn":
        made = torch_layer(data)
    elif " loop " in base:
        kind, _, count = base.rpartition(" loop ")
        steps = data.problem.steps if count == "T" else int(count)
        made = loop(data, kind == "compiled", steps)
    else:
        made = ours(data, base)
    return made if base == name else captured(made, data)


def ours(data: Data, engine: str, dtype: torch.dtype | None = None) -> Side:
    """Our layer on an engine, in the type of the data if no other is said."""
    asked = data.problem
    options = {} if asked.lengths is None else {"lengths": asked.lengths}
    try:
        layer = data.layer(engine, dtype)
        layer.choice(data.x, trace=asked.mode == "trace", **options)
    except GatedError as error:
        raise NotSupportedError(str(error)) from None
    if asked.mode == "trace":
        return lambda: _traced(*layer(data.x, trace=True, **options))
    if asked.mode != "training":
        return lambda: layer(data.x, **options)[:1]
    x = data.x.clone().requires_grad_()
    wanted = [*layer.parameters(), x]
    compute = partial(trained, lambda: layer(x, **options)[0], wanted, data.d)
    return _Shown(compute, _expected(compute, layer), alike=True) if asked.draws else compute


def engine_of(data: Data) -> str:
    """What `auto` takes."""
    asked = data.problem
    options = {} if asked.lengths is None else {"lengths": asked.lengths}
    with torch.set_grad_enabled(asked.learns):
        chosen = data.layer("auto").choice(data.x, trace=asked.mode == "trace", **options)
    return chosen.engine


def torch_layer(data: Data) -> Side:
    """`torch.nn`'s layer, of ragged rows on a PackedSequence that stands ready."""
    asked = data.problem
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
    if asked.cell not in kinds or asked.heads or asked.zoneout or asked.mode == "trace":
        raise NotSupportedError(f"torch.nn has no {asked}")
    layer = kinds[asked.cell](
        asked.size, asked.size, bidirectional=asked.directions == 2, dtype=asked.kind,
        device=data.device,
    )  # fmt: skip
    layer.load_state_dict(data.state)
    layer.train(asked.learns)  # in training cuDNN keeps what a way back would need
    x = data.x.clone().requires_grad_(asked.mode == "training")
    if asked.lengths is not None:
        return _packed(layer, data, x)
    if asked.mode != "training":
        return lambda: layer(x)[:1]
    return partial(trained, lambda: layer(x)[0], [*layer.parameters(), x], data.d)


def _packed(layer: nn.Module, data: Data, x: Tensor) -> Side:
    lengths = data.problem.lengths
    packed = pack_padded_sequence(x.detach(), lengths, enforce_sorted=False)
    rows = packed.data.clone().requires_grad_(x.requires_grad)
    packed = PackedSequence(rows, *packed[1:])
    d = pack_padded_sequence(data.d, lengths, enforce_sorted=False).data
    steps = data.problem.steps

    def pad(values: Tensor) -> Tensor:
        return pad_packed_sequence(PackedSequence(values, *packed[1:]), total_length=steps)[0]

    def compute() -> Results:
        if data.problem.mode != "training":
            return [layer(packed)[0].data]
        return trained(lambda: layer(packed)[0].data, [*layer.parameters(), rows], d)

    def shown() -> Results:
        output, *gradients = compute()
        return [pad(output), *gradients[:-1], *map(pad, gradients[-1:])]

    return _Shown(compute, shown)


def loop(data: Data, compiled: bool, steps: int) -> Side:
    """A loop in PyTorch, of functions for so many steps, eager or compiled."""
    asked = data.problem
    make = loops.LOOPS.get("zoneout" if asked.zoneout else asked.cell)
    if make is None or asked.heads or asked.ragged or asked.directions == 2:
        raise NotSupportedError(f"no loop was written for {asked}")
    training = asked.mode == "training"
    parameters = {
        name.removesuffix("_l0"): value.clone().requires_grad_(training)
        for name, value in data.state.items()
    }
    x = data.x.clone().requires_grad_(training)
    part = loops.part_of(make(parameters, x[:1], False).step)
    if compiled:
        backend = "inductor" if data.device == "cuda" else "eager"
        part = torch.compile(part, fullgraph=True, dynamic=False, backend=backend)

    def forward(learning: bool) -> Tensor:
        return loops.run(make(parameters, x, learning), part, steps)

    def compute(learning: bool) -> Results:
        if not training:
            return [forward(learning)]
        wanted = [*parameters.values(), x]
        return trained(lambda: forward(learning), wanted, data.d)

    if not asked.draws:
        return partial(compute, False)
    return _Shown(partial(compute, True), partial(compute, False))


def captured(work: Side, data: Data) -> Side:
    """The same side, replayed from a CUDA graph."""
    if data.device != "cuda":
        raise NotSupportedError("graphs are CUDA's")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = work()

    def replay() -> Results:
        graph.replay()
        return found

    return _Shown(replay, work.shown) if isinstance(work, _Shown) else replay


def launched(work: Side) -> Side:
    """A side of the stepwise strategy that replays no graph: each kernel is launched."""
    from gated.engines.triton.stepwise import GRAPHS

    def call() -> Results:
        record, GRAPHS.record = GRAPHS.record, None
        try:
            return work()
        finally:
            GRAPHS.record = record

    return call


class _Shown:
    """A side whose results are shown for the check by another.

    Attributes:
        shown: the other; of what is drawn at random it computes the expectation.
        alike: whether the side itself draws what the reference draws.
    """

    def __init__(self, compute: Side, shown: Side, alike: bool = False):
        self._compute, self.shown, self.alike = compute, shown, alike

    def __call__(self) -> Results:
        return self._compute()


def _expected(compute: Side, layer: nn.Module) -> Side:
    """The side in evaluation, where a layer computes the expectation."""

    def expected() -> Results:
        layer.eval()
        try:
            return compute()
        finally:
            layer.train()

    return expected


def _traced(output: Tensor, _: object, trace: object) -> Results:
    return [output, *trace.at().values()]
