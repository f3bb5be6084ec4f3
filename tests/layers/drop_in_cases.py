"""Configurations of torch.nn's layers, and the same call of theirs and ours on equal weights."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import gated

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "lstm-proj": ("LSTM", {"proj_size": 3}),
    "gru": ("GRU", {}),
    "rnn-tanh": ("RNN", {}),
    "rnn-relu": ("RNN", {"nonlinearity": "relu"}),
}
FORMS = ("padded", "packed", "packed-unsorted", "unbatched")
T, B, D, H = 5, 3, 4, 5
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


@dataclass(frozen=True)
class Case:
    """One way to build and call a layer of torch.nn."""

    kind: str
    bias: bool
    bidirectional: bool
    num_layers: int
    form: str
    dtype: torch.dtype
    batch_first: bool
    given: bool  # whether initial states are given

    def __str__(self) -> str:
        words = [self.kind, self.form, f"{self.num_layers}l", str(self.dtype)[6:]]
        flags = ("bias", "bidirectional", "batch_first", "given")
        return "-".join(words + [flag for flag in flags if getattr(self, flag)])

    def options(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        own = {k: getattr(self, k) for k in ("bias", "bidirectional", "num_layers", "batch_first")}
        return {**KINDS[self.kind][1], **own, "dtype": self.dtype}


def cases() -> list[Case]:
    """Every kind, bias, direction, depth, form and type; the rest by a seeded coin."""
    coin = random.Random(0)
    product = itertools.product(
        KINDS, (True, False), (False, True), (1, 2), FORMS, (torch.float32, torch.float64)
    )
    return [Case(*axes, coin.random() < 0.5, coin.random() < 0.5) for axes in product]


def layers(case: Case, engine: str = "auto") -> tuple[nn.Module, nn.Module]:
    """Theirs and ours, with the same weights."""
    name = KINDS[case.kind][0]
    theirs = getattr(nn, name)(D, H, **case.options())
    ours = getattr(gated, name)(D, H, **case.options(), engine=engine)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def call(case: Case, layer: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Outputs, states, and gradients of inputs, weights and initial states, of one random call."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=case.dtype).requires_grad_()

    batched = case.form != "unbatched"
    shape = ((B, T, D) if case.batch_first else (T, B, D)) if batched else (T, D)
    x, given = normal(*shape), x_of(case, shape)
    rows = case.num_layers * (1 + case.bidirectional)
    sizes = [case.options().get("proj_size", H)] + [H] * (KINDS[case.kind][0] == "LSTM")
    states = [normal(*((rows, B, n) if batched else (rows, n))) for n in sizes]
    hx = (tuple(states) if len(states) > 1 else states[0]) if case.given else None
    output, final = layer(given(x), hx)
    data = output.data if isinstance(output, PackedSequence) else output
    finals = final if isinstance(final, tuple) else (final,)
    results = {"output": data, **{f"state {k}": state for k, state in enumerate(finals)}}
    weighted = [torch.randn(r.shape, generator=draw, dtype=case.dtype) for r in results.values()]
    sum((r * w).sum() for r, w in zip(results.values(), weighted, strict=True)).backward()
    gradients = {"x": x.grad, **{k: p.grad for k, p in layer.named_parameters()}}
    if case.given:
        gradients |= {f"initial {k}": state.grad for k, state in enumerate(states)}
    return results | {f"gradient of {k}": g for k, g in gradients.items()}


def x_of(case: Case, shape: tuple[int, ...]) -> Any:
    """How the case hands over its input."""
    if not case.form.startswith("packed"):
        return lambda x: x
    lengths = [5, 3, 2] if case.form == "packed" else [2, 5, 3]
    return lambda x: pack_padded_sequence(
        x, lengths, batch_first=case.batch_first, enforce_sorted=case.form == "packed"
    )


def furthest(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[float, str]:
    """The largest difference, relative to values above 1, and what it is of."""
    assert ours.keys() == theirs.keys()
    found = []
    for name, value in theirs.items():
        assert ours[name].shape == value.shape, name
        assert ours[name].dtype == value.dtype, name
        scale = max(1.0, float(value.detach().abs().max()))
        apart = (ours[name] - value).detach().abs().max()
        found.append((float(apart) / scale, name))
    return max(found)
