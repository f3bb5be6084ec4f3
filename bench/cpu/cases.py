"""What is measured: every row of the figures that the CPU engine has to show, and more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import gated
from bench.cpu.problem import Problem, cell

TRAINING = ("training", "training+x")


class Entry(NamedTuple):
    """A side, by its name among the builders, and what it computes."""

    side: str
    problem: Problem


@dataclass(frozen=True)
class Comparison:
    """Ours and a peer; a "speed" is the peer's time over ours, a "cost" ours over the peer's.

    Attributes:
        figure: the figure to show that this belongs to.
        target: the least speed, or the highest cost; None if there is none.
        factor: by which a cost is multiplied, such as the ratio of multiply-adds.
    """

    ours: Entry
    peer: Entry
    figure: str
    target: float | None = None
    kind: str = "speed"
    factor: float = 1.0


class Case(NamedTuple):
    """Comparisons whose sides are timed together."""

    group: str
    comparisons: list[Comparison]

    @property
    def name(self) -> str:
        """The group, and what ours computes in it."""
        return f"{self.group}: {self.comparisons[0].ours.problem}"

    @property
    def entries(self) -> list[Entry]:
        """Every side once."""
        both = [(c.peer, c.ours) for c in self.comparisons]
        return list(dict.fromkeys(itertools.chain(*both)))


def _speeds(
    group: str, problem: Problem, peers: dict[str, float | None], of: tuple[str, ...] = ("cpu",)
) -> Case:
    """Our engines against peers on one problem."""
    what = "one step" if problem.mode == "step" else problem.mode
    pairs = itertools.product(of, peers.items())
    return Case(
        group,
        [
            Comparison(
                Entry(engine, problem), Entry(peer, problem),
                f"{group}: {what}, {engine} against {peer}", target,
            )
            for engine, (peer, target) in pairs
        ],
    )  # fmt: skip


def step(quick: bool) -> Iterator[Case]:
    """One step of a stream through `layer.step`."""
    targets = {128: (10, 2.5, 1.5), 256: (5, 1.2, 1), 512: (4, 1, 1.2)}
    for size, wanted in targets.items():
        peers = dict(zip(("torch.nn", "LSTMCell", "onnxruntime"), wanted, strict=True))
        yield _speeds("step", Problem("lstm", "step", 1, 1, size), peers, ("cpu", "auto"))


def inference(quick: bool) -> Iterator[Case]:
    """Whole sequences without gradients."""
    targets = {
        (1, 128): 2,
        (1, 256): 2,
        (1, 512): 1.3,
        (32, 128): 1.2,
        (32, 256): 1.1,
        (32, 512): 1,
    }
    for (batch, size), wanted in targets.items():
        peers = {"torch.nn": wanted, "onnxruntime": 1 if batch == 1 else None}
        problem = Problem("lstm", "inference", batch, 100, size)
        yield _speeds(f"inference B {batch}", problem, peers)


def training(quick: bool) -> Iterator[Case]:
    """There and back, without and with the gradient of x."""
    targets = {(16, 64): 1.7, (32, 128): 1.5, (16, 256): 1.5, (32, 512): 1.3}
    for (batch, size), wanted in targets.items():
        for mode in TRAINING:
            problem = Problem("lstm", mode, batch, 100, size)
            yield _speeds("training", problem, {"torch.nn": wanted})


def ragged(quick: bool) -> Iterator[Case]:
    """Rows of 50 to 100% of T against a PackedSequence that stands ready, and our padded time."""
    for (size, wanted), mode in itertools.product({64: 8, 256: 5, 512: 3.5}.items(), TRAINING):
        problem = Problem("lstm", mode, 32, 100, size, ragged=True)
        case = _speeds("ragged", problem, {"torch.nn": wanted})
        padded = Problem("lstm", mode, 32, 100, size)
        case.comparisons.append(
            Comparison(
                Entry("cpu", problem),
                Entry("cpu", padded),
                f"ragged: {mode}, time of our padded time",
                0.9,
                "cost",
            )
        )
        yield case


def gru(quick: bool) -> Iterator[Case]:
    """torch.nn's other layers."""
    for (name, wanted), mode in itertools.product({"gru": 3, "rnn": None}.items(), TRAINING):
        yield _speeds(f"nn.{name.upper()}", Problem(name, mode, 32, 100, 128), {"torch.nn": wanted})
    for name in ("gru", "rnn"):
        problem = Problem(name, "inference", 32, 100, 128)
        yield _speeds(f"nn.{name.upper()}", problem, {"torch.nn": None})


def grid(quick: bool) -> Iterator[Case]:
    """nn.LSTM over a grid of sizes; the figures are geometric means."""
    batches, steps, sizes = (1, 8, 32, 128), (32, 256), (32, 64, 128, 256, 512)
    if quick:
        batches, steps, sizes = (1, 32), (32,), (64, 256)
    for b, t, h in itertools.product(batches, steps, sizes):
        for mode in ("inference", *TRAINING):
            yield _speeds(
                "grid", Problem("lstm", mode, b, t, h), {"torch.nn": None}, ("cpu", "auto")
            )


def variants(quick: bool) -> Iterator[Case]:
    """Every cell against our own LSTM, per multiply-add of their products."""
    modes = ("inference", *TRAINING)
    for size, name in itertools.product((64,) if quick else (64, 256), gated.cells()):
        for mode in modes[:2] if quick or size > 64 else modes:
            ours, lstm = (Problem(which, mode, 16, 100, size) for which in (name, "lstm"))
            if name != "lstm":
                ratio = lstm.flops / ours.flops
                comparison = Comparison(
                    Entry("cpu", ours), Entry("cpu", lstm),
                    f"variants: {mode} H {size}, cost of a multiply-add against our lstm",
                    highest_cost(name), "cost", ratio,
                )  # fmt: skip
                yield Case("variants", [comparison])


def highest_cost(name: str) -> float:
    """Of a multiply-add, against the LSTM's."""
    if name == "layernorm-lstm":
        return 1.5
    return 1.7 if cell(name).successive_products > 1 else 1.25


def loops(quick: bool) -> Iterator[Case]:
    """Every cell against its loop in eager PyTorch, the LSTM against LSTMCell's as well."""
    targets = {"inference": 5.0, "training": 8.0, "training+x": 8.0}
    for name, (mode, wanted) in itertools.product(gated.cells(), targets.items()):
        if not (quick and mode == "training+x"):
            peers: dict[str, float | None] = {"eager loop": wanted}
            if name == "lstm":
                peers["LSTMCell"] = None
            yield _speeds("loops", Problem(name, mode, 16, 100, 64), peers)


def compiled(quick: bool) -> Iterator[Case]:
    """Loops under torch.compile, over few steps: it unrolls them, and compiles for long."""
    cells = ("lstm",) if quick else ("lstm", "peephole")
    for name, mode in itertools.product(cells, ("inference", "training")):
        problem = Problem(name, mode, 16, 8 if quick else 16, 64)
        yield _speeds("compiled", problem, {"compiled loop": None, "eager loop": None})


def jax(quick: bool) -> Iterator[Case]:
    """JAX's scan under jit."""
    for size, mode in itertools.product((128, 256), TRAINING):
        yield _speeds("jax", Problem("lstm", mode, 32, 100, size), {"JAX scan": 2})
    yield _speeds("jax", Problem("lstm", "inference", 32, 100, 128), {"JAX scan": None})


def trace(quick: bool) -> Iterator[Case]:
    """All gates and states against the same forward pass without them."""
    for name, batch, size in (("lstm", 16, 64), ("lstm", 32, 256), ("peephole", 16, 64)):
        traced, plain = (Problem(name, mode, batch, 100, size) for mode in ("trace", "taped"))
        comparison = Comparison(
            Entry("cpu", traced), Entry("cpu", plain),
            "trace: time of the same training forward's", 1.15, "cost",
        )  # fmt: skip
        yield Case("trace", [comparison])


GROUPS: dict[str, Callable[[bool], Iterator[Case]]] = {
    "step": step, "inference": inference, "training": training, "ragged": ragged, "gru": gru,
    "trace": trace, "jax": jax, "loops": loops, "variants": variants, "grid": grid,
    "compiled": compiled,
}  # fmt: skip
