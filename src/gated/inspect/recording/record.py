"""`gated.record`: every gate and state of every layer, while a model runs as ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gated.equations.graph import length
from gated.errors import OptionError
from gated.inspect.recording.call import call_of
from gated.inspect.recording.recordings import Call, LayerRecording, Recording
from gated.inspect.recording.surgery import eager, layers_of
from gated.layers import Recurrent
from gated.layers.arguments import autocast_type

__all__ = ["record"]

OnCall = Callable[[str, Call], object]

_transform: Callable[[], Any] = torch._C._functorch.peek_interpreter_stack

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


@contextmanager
def record(
    model: nn.Module,
    only: Collection[str] | None = None,
    *,
    max_memory: int | str | None = "1 GB",
    detach: bool = True,
    keep: str = "all",
    on_call: OnCall | None = None,
) -> Iterator[Recording]:
    """Record every gate and state of every layer of a model while it runs.

    The model's results, its state and the random numbers are as they would be without. Where
    `engine="auto"` would have taken PyTorch's own operator, which hides its gates, another engine
    runs, and results agree to rounding. What `torch.compile` has compiled runs as it was written.

    Args:
        model: any module with layers of `gated` in it, however deep, or such a layer.
        only: the names of gates and states to keep, ("f", "c"); None for all.
        max_memory: what the recording may hold, "1 GB" or a number of bytes; None for no bound.
            While a call runs, it takes what all names need, as a step of training does.
        detach: whether values leave the autograd graph. With False, they can be a part of a loss,
            and the recording keeps the graph alive.
        keep: "all" calls, or the "last" of each layer.
        on_call: called with a layer's name and a `Call` after each; then none is kept.

    Yields:
        A `Recording`: a mapping from the layers' names to their calls.

    Raises:
        OptionError: there is nothing to record in the model, no layer has a name in `only`, or,
            from the call in question and before it runs, `max_memory` is too little for it.

    Example:
        >>> import torch, gated
        >>> model = torch.nn.Sequential(gated.LSTM(3, 4, batch_first=True))
        >>> with gated.record(model) as recording:
        ...     _ = model(torch.randn(2, 5, 3))
        >>> recording["0"].calls[0].values()["f"].shape
        torch.Size([2, 5, 4])
    """
    layers = layers_of(model)
    names = _names(layers, only)
    if keep not in ("all", "last"):
        raise OptionError(f"keep={keep!r}: expected 'all' or 'last'")
    recording = Recording({n: LayerRecording(n, layers[n], names[n]) for n in names})
    memory = Memory(max_memory)
    with ExitStack() as stack:
        stack.enter_context(eager())
        for one in recording.values():
            recorder = _Recorder(one, only is None, detach, keep == "last", on_call, memory)
            for handle in recorder.hooks():
                stack.callback(handle.remove)
        yield recording


class _Recorder:
    """Asks one layer for its trace, and takes it away again before the caller sees it."""

    def __init__(
        self, to: LayerRecording, all_names: bool, detach: bool, last: bool,
        on_call: OnCall | None, memory: Memory,
    ):  # fmt: skip
        self.to, self.names = to, None if all_names else to.names
        self.detach, self.last, self.on_call, self.memory = detach, last, on_call, memory
        self.width = _width(to.layer, to.names)
        self.asked, self.needed = False, 0

    def hooks(self) -> list[Any]:
        """Put up the hooks. The last recorder to come is the first to look at what a call gives."""
        layer = self.to.layer
        return [
            layer.register_forward_pre_hook(self.before, with_kwargs=True),
            layer.register_forward_hook(self.after, with_kwargs=True, prepend=True),
        ]

    def before(self, layer: Recurrent, args: Any, kwargs: dict[str, Any]) -> Any:
        """Ask for the trace."""
        if _transform() is not None:
            raise OptionError(
                f"{self.to.name}: it runs inside a transform of torch.func, as vmap or grad, where "
                f"a value stands for many: record the model outside of it, a call for each"
            )
        self.asked = bool(kwargs.get("trace", False))
        if not _on_the_way_back():
            self.make_room(args[0] if args else kwargs.get("x"))
        return args, {**kwargs, "trace": True}

    def make_room(self, x: Any) -> None:
        """Before a call: forget the last one, if so asked, and see that this one may be kept."""
        if self.last and self.to.calls:
            self.to.calls.clear()
            self.memory.held -= self.needed
        self.needed = 0
        if isinstance(x, (Tensor, PackedSequence)):  # of anything else the layer will complain
            data = x.data if isinstance(x, PackedSequence) else x
            steps = data.numel() // self.to.layer.input_size
            self.needed = steps * self.width * (autocast_type(data) or data.dtype).itemsize
            self.memory.check(self.to.name, self.needed, steps)

    def after(self, layer: Recurrent, args: Any, kwargs: dict[str, Any], found: Any) -> Any:
        """Keep the trace, and return what the caller asked for."""
        if not _on_the_way_back():
            call = call_of(layer, args, kwargs, found, self.names, self.detach)
            if self.on_call is not None:
                self.on_call(self.to.name, call)
            else:
                self.to.calls.append(call)
                self.memory.held += self.needed
        return found if self.asked else found[:2]


class Memory:
    """What recordings may hold, all layers of a model together, and what they do.

    Raises:
        OptionError: `most` is no amount of memory.
    """

    def __init__(self, most: int | str | None):
        self.most, self.held = _bytes(most), 0

    def check(self, name: str, needed: int, steps: int) -> None:
        """Whether a call of a layer may be recorded that needs so many bytes; padding counts.

        Raises:
            OptionError: they are too many.
        """
        if self.most is not None and self.held + needed > self.most:
            held = f", beside {_said(self.held)} that it holds" if self.held else ""
            raise OptionError(
                f"{name}: a recording of this call, of {steps} steps in all rows, takes "
                f"{_said(needed)}{held}, and max_memory is {_said(self.most)}: keep what you "
                f'need, only=("c", "h"); run shorter windows; keep="last"; take each call as it '
                f"comes, on_call=...; or allow more, None for no bound"
            )


def _on_the_way_back() -> bool:
    """Whether gradients are computed, and a checkpoint runs again what was recorded before."""
    return bool(torch._C._current_graph_task_id() != -1)


def _width(layer: Recurrent, names: Collection[str]) -> int:
    """How many numbers are kept of one step of a row: values, and what each layer reads."""
    graph = layer.cell.training.graph
    shapes = [graph.equations[name].shape for name in names]
    sizes = [shape[0].value or 1 if shape else 1 for shape in shapes]
    read = layer.cell.graph.input_sizes.values()
    return sum(
        length(size, letters)
        for place, letters in enumerate(layer._places)
        for size in (*sizes, *(read if place % layer.num_directions == 0 else ()))
    )


def _bytes(amount: int | str | None) -> int | None:
    if amount is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:(k|m|g|ki|mi|gi)?b)?\s*", str(amount).lower())
    if found is None or isinstance(amount, bool):
        raise OptionError(f'max_memory={amount!r}: expected bytes, "1 GB", "500 MB" or None')
    return int(float(found[1]) * _UNITS[found[2] or ""])


def _said(amount: int) -> str:
    return f"{amount / 1e9:.2f} GB" if amount >= 1e8 else f"{amount / 1e6:.2f} MB"


def _names(
    layers: Mapping[str, Recurrent], only: Collection[str] | None
) -> dict[str, tuple[str, ...]]:
    """What to record of each layer, for those that have any of it."""
    names = {n: tuple(layer.cell.training.graph.equations) for n, layer in layers.items()}
    if only is None:
        return names
    wanted = (only,) if isinstance(only, str) else tuple(only)
    there = dict.fromkeys(name for own in names.values() for name in own)
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        raise OptionError(
            f"only={wanted!r}: no layer has {missing[0] if missing else 'nothing'}; "
            + "; ".join(f"{n} ({layers[n].cell.name}) has {', '.join(own)}"
                        for n, own in names.items())
        )  # fmt: skip
    kept = {n: tuple(name for name in own if name in wanted) for n, own in names.items()}
    return {n: own for n, own in kept.items() if own}
