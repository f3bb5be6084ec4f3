"""How ours and PyTorch's layers compute a problem; further peers stand in files of their own.

A side is built by a function that takes the problem's data, and is called without arguments. It
returns the output, then the gradients: of the layer's parameters in their order, then of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bench.cpu.loops_other import LOOPS
from bench.cpu.problem import Data
from gated.errors import EngineError

Results = Sequence[Tensor]
Side = Callable[[], Results]
Builder = Callable[[Data], Side]


class NotSupportedError(Exception):
    """A side cannot compute this problem, or is not installed."""


def ours(engine: str) -> Builder:
    """Our layer on an engine."""

    def build(data: Data) -> Side:
        layer, asked = data.layer(engine), data.problem
        try:
            layer.choice(*_call(data), trace=asked.mode == "trace", **_options(data))
        except EngineError as error:
            raise NotSupportedError(str(error)) from None
        if asked.mode == "step":
            state = tuple(value.unsqueeze(0) for value in data.initial)
            return partial(_stepped, layer.step, data.x, state)
        options = _options(data)
        if asked.mode == "trace":
            options["trace"] = True
        x = _leaf(data)
        forward = partial(layer, x, **options)
        if not asked.mode.startswith("training"):
            return lambda: forward()[:1]
        return partial(trained, lambda: forward()[0], _wanted(layer, x), data.d)

    return build


def chosen(data: Data) -> str:
    """The engine that `auto` takes for a problem."""
    with torch.set_grad_enabled(data.problem.learns):
        return data.layer("auto").choice(*_call(data), **_options(data)).engine


def torch_layer(data: Data) -> Side:
    """`torch.nn`'s layer, of ragged rows on a PackedSequence that stands ready."""
    asked = data.problem
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
    if asked.cell not in kinds:
        raise NotSupportedError(f"torch.nn has no {asked.cell}")
    layer = kinds[asked.cell](asked.size, asked.size)
    layer.load_state_dict(data.state)
    if asked.mode == "step":
        x, state = data.x.unsqueeze(0), tuple(s.unsqueeze(0) for s in data.initial)
        return lambda: _flat(layer(x, state))
    if data.lengths is not None:
        return _packed(layer, data)
    x = _leaf(data)
    if not asked.learns:
        return lambda: layer(x)[:1]
    return partial(trained, lambda: layer(x)[0], _wanted(layer, x), data.d)


def lstm_cell(data: Data) -> Side:
    """`torch.nn.LSTMCell`: one step, or called in a loop."""
    asked = data.problem
    layer = nn.LSTMCell(asked.size, asked.size)
    layer.load_state_dict({name.removesuffix("_l0"): v for name, v in data.state.items()})
    if asked.mode == "step":
        return lambda: layer(data.x, data.initial)
    x = _leaf(data)

    def forward() -> Tensor:
        h = c = x.new_zeros(asked.batch, asked.size)
        outputs = []
        for now in x.unbind(0):
            h, c = layer(now, (h, c))
            outputs.append(h)
        return torch.stack(outputs)

    if not asked.learns:
        return lambda: [forward()]
    return partial(trained, forward, _wanted(layer, x), data.d)


def loop(data: Data, compiled: bool = False) -> Side:
    """A loop in PyTorch, eager or compiled."""
    asked = data.problem
    if asked.cell not in LOOPS:
        raise NotSupportedError(f"no loop was written for {asked.cell}")
    parameters = {
        name.removesuffix("_l0"): value.clone().requires_grad_(asked.learns)
        for name, value in data.state.items()
    }
    x, run = _leaf(data), LOOPS[asked.cell]
    if compiled:
        torch._dynamo.reset()
        run = torch.compile(run, fullgraph=True, dynamic=False)
    forward = partial(run, parameters, x, **data.inputs)
    if not asked.learns:
        return lambda: [forward()]
    return partial(trained, forward, [*parameters.values(), *_of_x(x)], data.d)


def trained(forward: Callable[[], Tensor], wanted: Sequence[Tensor], d: Tensor) -> Results:
    """There and back."""
    output = forward()
    return [output, *torch.autograd.grad(output, wanted, d)]


def _call(data: Data) -> tuple[object, ...]:
    if data.problem.mode == "step":
        return data.x.unsqueeze(0), tuple(s.unsqueeze(0) for s in data.initial)
    return (data.x,)


def _options(data: Data) -> dict[str, object]:
    """The arguments by name of a call of our layer."""
    return dict(data.inputs) if data.lengths is None else {**data.inputs, "lengths": data.lengths}


def _stepped(step: Callable[..., object], x: Tensor, state: tuple[Tensor, ...]) -> Results:
    return _flat(step(x, state))


def _flat(result: object) -> Results:
    """Of (output, (h, c)) the states alone."""
    return list(result[1])


def _leaf(data: Data) -> Tensor:
    return data.x.clone().requires_grad_(data.problem.mode == "training+x")


def _of_x(x: Tensor) -> list[Tensor]:
    return [x] if x.requires_grad else []


def _wanted(layer: nn.Module, x: Tensor) -> list[Tensor]:
    return [*layer.parameters(), *_of_x(x)]


def _packed(layer: nn.Module, data: Data) -> Side:
    """Gradients of x are those of the packed steps."""
    asked = data.problem
    pack = partial(pack_padded_sequence, lengths=torch.tensor(data.lengths), enforce_sorted=False)
    packed = pack(data.x)
    leaf = packed.data.clone().requires_grad_(asked.mode == "training+x")
    rows, d = packed._replace(data=leaf), pack(data.d).data

    def padded(values: Tensor) -> Tensor:
        return pad_packed_sequence(packed._replace(data=values), total_length=asked.steps)[0]

    def forward() -> Tensor:
        output: PackedSequence = layer(rows)[0]
        return output.data

    if not asked.learns:
        return Shown(lambda: [forward()], padded)
    side = partial(trained, forward, _wanted(layer, leaf), d)
    return Shown(side, padded, leaf.requires_grad)


class Shown:
    """A side whose output, and gradient of x, are padded for the comparison alone."""

    def __init__(self, run: Side, shown: Callable[[Tensor], Tensor], of_x: bool = False):
        self._run, self._shown, self._of_x = run, shown, of_x

    def __call__(self) -> Results:
        return self._run()

    def shown(self) -> Results:
        """The results, laid out as those of other sides."""
        found = list(self._run())
        places = (0, -1) if self._of_x else (0,)
        for place in places:
            found[place] = self._shown(found[place])
        return found


BUILDERS: dict[str, Builder] = {
    "cpu": ours("cpu"),
    "auto": ours("auto"),
    "torch.nn": torch_layer,
    "LSTMCell": lstm_cell,
    "eager loop": loop,
    "compiled loop": partial(loop, compiled=True),
}
