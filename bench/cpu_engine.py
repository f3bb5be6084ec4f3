"""The CPU engine beside PyTorch's own operators and beside the reference: equal first, then timed.

    python bench/cpu_engine.py [--threads 2]

Each ratio is the peer's time over ours, from the fastest of several runs in turn.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch

import gated

SIZES = [(16, 100, 64), (32, 100, 128), (16, 100, 256), (32, 100, 512), (1, 100, 128)]
VARIANTS = ["peephole", "gru-reset-before", "fgr", "layernorm-lstm", "slstm"]
RUNS = 5


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    print(f"sgemm: {product_rate():.0f} GF/s with {torch.get_num_threads()} threads")
    for batch, steps, size in SIZES:
        x = torch.randn(steps, batch, size)
        compare("lstm", "torch", x)
    for cell in VARIANTS:
        compare(cell, "reference", torch.randn(100, 16, 64))


def compare(cell: str, peer: str, x: torch.Tensor) -> None:
    """One line: inference and training of a cell on the CPU engine and on a peer."""
    size = x.shape[-1]
    ours = gated.Recurrent(cell, size, size, engine="cpu")
    theirs = gated.Recurrent(cell, size, size, engine=peer)
    theirs.load_state_dict(ours.state_dict())
    check(ours, theirs, x)
    quick = ratio(lambda: infer(theirs, x), lambda: infer(ours, x))
    whole = ratio(lambda: train(theirs, x), lambda: train(ours, x))
    print(
        f"{cell:>17} B {x.shape[1]:3} T {x.shape[0]:4} H {size:4} against {peer:9}: "
        f"inference {quick:5.2f}, training {whole:5.2f}"
    )


def check(ours: gated.Recurrent, theirs: gated.Recurrent, x: torch.Tensor) -> None:
    """Equal outputs and weight gradients in float64, where no cell magnifies what is rounded."""
    found = []
    for layer in (copy.deepcopy(ours).double(), copy.deepcopy(theirs).double()):
        output = layer(x.double())[0]
        gradients = torch.autograd.grad(output.square().mean(), list(layer.parameters()))
        found.append([output.detach(), *gradients])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


def infer(layer: gated.Recurrent, x: torch.Tensor) -> None:
    """Outputs alone."""
    with torch.no_grad():
        layer(x)


def train(layer: gated.Recurrent, x: torch.Tensor) -> None:
    """Outputs and the gradients of the weights."""
    layer.zero_grad()
    layer(x)[0].sum().backward()


def ratio(peer: Callable[[], None], ours: Callable[[], None]) -> float:
    """The peer's time over ours, run in turn."""
    best = [float("inf"), float("inf")]
    for _ in range(RUNS + 1):  # the first runs warm up and count too, they are never the fastest
        for place, run in enumerate((peer, ours)):
            start = time.perf_counter()
            run()
            best[place] = min(best[place], time.perf_counter() - start)
    return best[0] / best[1]


def product_rate() -> float:
    """The machine's own rate of float32 matrix products, in GF/s."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


if __name__ == "__main__":
    main()
