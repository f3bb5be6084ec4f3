"""What is measured: every row of the figures that the GPU engine has to show, and more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product

from bench.cpu.cases import Case, Comparison, Entry
from bench.gpu.problem import Problem

MODES = ("forward", "training")
BEST, RESIDENT, STEPWISE = "triton", "triton-resident", "triton-stepwise"
NN = "torch.nn"


def _against(
    group: str,
    problem: Problem,
    peers: Mapping[str, float | None],
    of: tuple[str, ...] = ("auto", BEST),
) -> Case:
    """Our engines against peers; the first of ours has the targets."""
    return Case(
        group,
        [
            Comparison(
                Entry(engine, problem), Entry(peer, problem),
                f"{group}: {problem.mode}, {engine} against {peer}",
                target if engine == of[0] else None,
            )
            for engine, (peer, target) in product(of, peers.items())
        ],
    )  # fmt: skip


def inside() -> Iterator[Case]:
    """Where cuDNN keeps its weights on the chip: `auto` takes its time, ours is stated."""
    for dtype, mode in product(("bfloat16", "float16"), MODES):
        problem = Problem("lstm", mode, 16, 1024, 768, dtype)
        yield _against("inside", problem, {NN: 0.98})


def heads() -> Iterator[Case]:
    """FlashRNN's figures on an H100 are in `PUBLISHED`."""
    for count, mode in product((24, 12), MODES):
        problem = Problem("lstm", mode, 16, 1024, 768, "bfloat16", heads=count)
        yield Case("heads", [_alone("heads", problem, engine) for engine in ("auto", RESIDENT)])


# of the cases of `heads`, in milliseconds, without the input product: what FlashRNN publishes for
# an H100, and what is wanted here
PUBLISHED = {
    (24, "forward"): (1.44, 1.2), (24, "training"): (4.10, 3.4),
    (12, "forward"): (1.99, None), (12, "training"): (8.64, None),
}  # fmt: skip


def _alone(group: str, problem: Problem, engine: str) -> Comparison:
    """A side that has no peer here."""
    entry = Entry(engine, problem)
    return Comparison(entry, entry, f"{group}: {problem.mode}, {engine}")


def outside() -> Iterator[Case]:
    """Where cuDNN does not keep its weights on the chip."""
    plain = Problem("lstm", "forward", 32, 256, 512, "bfloat16")
    for size in (512, 256, 1024):
        for problem in (
            replace(plain, size=size, dtype="float32"),
            replace(plain, size=size, directions=2),
            replace(plain, size=size, ragged=True),
            replace(plain, size=size - 56),
            replace(plain, size=size, batch=30),
            replace(plain, size=size, dtype="tf32"),
        ):
            for mode, wanted in zip(MODES, (1.3, 1.2), strict=True):
                # by name: there `auto` may be cuDNN itself
                yield _against("outside", replace(problem, mode=mode), {NN: wanted}, (BEST, "auto"))


def variants() -> Iterator[Case]:
    """Cells that PyTorch lacks against loops whose step is compiled."""
    peers = dict.fromkeys(("compiled loop 1 in a graph", "compiled loop 1"), 10.0)
    for problem, mode in product(_VARIANTS, MODES):
        yield _against("variants", replace(problem, mode=mode), peers, ("auto",))


_VARIANTS = (
    Problem("peephole", "forward", 64, 100, 512),
    Problem("layernorm-lstm", "forward", 64, 100, 512),
    Problem("lstm", "forward", 64, 100, 512, zoneout=True),
    Problem("peephole", "forward", 64, 100, 512, "bfloat16"),
)


def whole() -> Iterator[Case]:
    """The same against whole loops compiled, which takes minutes to compile: as time allows."""
    for problem, mode in product(_VARIANTS, MODES):
        yield _against("whole", replace(problem, mode=mode), {"compiled loop T": 10}, ("auto",))


_OF_MANY = "compiled loop 64"


def minlstm() -> Iterator[Case]:
    """A state that is linear, parallel over time, against its sequential loop compiled."""
    for mode in MODES:
        problem = Problem("minlstm", mode, 8, 16384, 256)
        peers = dict.fromkeys((f"{_OF_MANY} in a graph", _OF_MANY, "compiled loop 1"), 50.0)
        yield _against("minlstm", problem, peers, ("auto", RESIDENT))


def gates() -> Iterator[Case]:
    """All gates and states against the same forward pass of training without them."""
    for cell, size, count, dtype in (
        ("lstm", 512, 0, "bfloat16"), ("peephole", 512, 0, "float32"),
        ("lstm", 768, 24, "bfloat16"), ("minlstm", 256, 0, "float32"),
    ):  # fmt: skip
        traced, taped = (
            Problem(cell, mode, 32, 256, size, dtype, heads=count) for mode in ("trace", "taped")
        )
        engine = "scan" if cell == "minlstm" else BEST
        comparison = Comparison(
            Entry(engine, traced), Entry(engine, taped),
            "gates: time of the same training forward's", 1.15, "cost",
        )  # fmt: skip
        yield Case("gates", [comparison])


def steps() -> Iterator[Case]:
    """Microseconds a step by H, resident and stepwise; the first is for dense maps that fit."""
    for size, mode in product((32, 64, 128, 256, 512, 1024), MODES):
        problem = Problem("lstm", mode, 16, 256, size, "bfloat16")
        yield _against("steps", problem, {NN: None}, (RESIDENT, STEPWISE))
    for size, mode in product((64, 1024), MODES):
        problem = Problem("indrnn", mode, 16, 256, size)
        yield Case("steps", [_alone("steps", problem, engine) for engine in (RESIDENT, STEPWISE)])


def graphs() -> Iterator[Case]:
    """Stepwise as it is, which keeps a graph for calls that come again, and launched directly."""
    for size, mode in product((128, 512), MODES):
        problem = Problem("peephole", mode, 16, 256, size)
        comparison = Comparison(
            Entry(STEPWISE, problem), Entry(f"{STEPWISE} launched", problem),
            f"graphs: {mode}, with against without",
        )  # fmt: skip
        yield Case("graphs", [comparison])


def auto() -> Iterator[Case]:
    """What `auto` takes against every engine that can run it, by name."""
    for problem, names in (
        (Problem("lstm", "training", 32, 100, 128), (NN, STEPWISE)),
        (Problem("gru", "training", 32, 100, 128, "bfloat16"), (NN, RESIDENT, STEPWISE)),
        (Problem("lstm", "forward", 1, 100, 256), (NN, STEPWISE)),
        (Problem("minlstm", "training", 4, 64, 64), (RESIDENT, STEPWISE, "scan")),
        (Problem("sru", "training", 32, 512, 512), (RESIDENT, STEPWISE)),
        (Problem("slstm", "training", 16, 256, 512, "bfloat16", heads=4), (RESIDENT, STEPWISE)),
    ):
        yield _against("auto", problem, dict.fromkeys(names, 0.95), ("auto",))


# the most important first
GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "inside": inside, "heads": heads, "variants": variants, "minlstm": minlstm,
    "outside": outside, "gates": gates, "steps": steps, "graphs": graphs, "auto": auto,
    "whole": whole,
}  # fmt: skip
