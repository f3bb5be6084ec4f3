"""What `gated.record` costs, beside the same forward pass without it, on the CPU engine.

    python bench/record.py [--sizes 128 256] [--cells lstm gru] [--seconds 3] [--threads 1]

First, under `record` outputs and states must be the same bit for bit, and what is recorded that of
`trace=True`. Then both are timed in turns, in a random order within each, in one process: one call
on B = 32 rows of T = 100 steps, D = H, without gradients and as the forward pass of training. The
block of `record` is part of what is timed. A figure is the median of the turns' ratios, with the
middle half of them. On one thread it is processor time that counts.

Rows: all names of one call; the same with rows of unequal length; two names; and 16 calls that are
all kept, which take fresh memory from the system where a call alone is given used memory again.

Exits with 1 if something differs.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

import gated

B, T = 32, 100
LENGTHS = [T - 3 * k for k in range(B)]
KEPT = 16


def check(layer: gated.Recurrent, x: torch.Tensor, **options: object) -> bool:
    """Whether a recorded call gives and shows the same as one that is not recorded."""
    output, states = layer(x, **options)
    _, _, trace = layer(x, trace=True, **options)
    with gated.record(layer) as recording:
        again, after = layer(x, **options)
    values = recording["layer"].calls[0].values()
    pairs = [(output, again), *((trace[name].transpose(0, 1), values[name]) for name in trace)]
    both = ((s,) if isinstance(s, torch.Tensor) else s for s in (states, after))
    pairs += zip(*both, strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def seconds_of(work: Callable[[], object]) -> float:
    """Of this process's work if it has one thread, else of the wall's clock."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def ratios(plain: Callable[[], object], under: Callable[[], object], seconds: float) -> list[float]:
    """How much longer it takes under `record`, turn by turn."""
    for work in (plain, under, plain, under):
        once = seconds_of(work)
    found = []
    for _ in range(max(9, int(seconds / (2 * once)))):
        order = random.sample((plain, under), 2)
        took = {work: seconds_of(work) for work in order}
        found.append(took[under] / took[plain])
    return found


def cases(
    layer: gated.Recurrent, x: torch.Tensor
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What is timed, by its name: without and with `record`."""

    def run(record: Callable[[], AbstractContextManager[object]], calls: int, **options: object):
        with record():
            for _ in range(calls):
                layer(x, **options)

    record = partial(gated.record, layer)
    names = [layer.cell.states[-1].name, layer.cell.gates[1]]
    rows = {
        "all names": (record, 1, {}),
        "all names, unequal rows": (record, 1, {"lengths": LENGTHS}),
        f"{names[0]} and {names[1]}": (partial(record, names), 1, {}),
        f"{KEPT} calls kept": (partial(record, max_memory=None), KEPT, {}),
    }
    return {
        name: (partial(run, nullcontext, n, **options), partial(run, block, n, **options))
        for name, (block, n, options) in rows.items()
    }


def main() -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description="What gated.record costs.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    for cell in given.cells:
        for size in given.sizes:
            layer = gated.Recurrent(cell, size, size, engine="cpu")
            x = torch.randn(T, B, size)
            for gradients in (False, True):
                with torch.set_grad_enabled(gradients):
                    if not (check(layer, x) and check(layer, x, lengths=LENGTHS)):
                        print(f"DIFFERS: {cell}, H = {size}")
                        return 1
                    for name, pair in cases(layer, x).items():
                        found = ratios(*pair, given.seconds)
                        low, middle, high = statistics.quantiles(found, n=4)
                        what = "training" if gradients else "inference"
                        print(
                            f"{cell:5} H {size:4} {what:9} {name:24} {middle:.3f} "
                            f"({low:.3f} to {high:.3f}, {len(found)} turns)",
                            flush=True,
                        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
