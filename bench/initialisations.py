"""What an initialisation is worth: the adding problem, the same few steps from each.

    python bench/initialisations.py [--length 100] [--steps 600] [--seeds 3] [--cells lstm gru ...]

A sequence is T pairs of a value in [0, 1] and a marker; one pair of the first half and one of the
second are marked by 1, all others by 0, and the target, read at the last step, is the sum of the
two marked values (Hochreiter & Schmidhuber 1997, in the form of Le et al. 2015). The guess line is
1/6, the variance of the target, which is the error of whoever always answers 1.

Each run is an equal number of Adam steps on fresh batches, with the gradient's norm clipped at 1,
and differs from its neighbours in the initialisation alone; chrono is given T as max_steps. The
figure is the mean squared error on 1,000 new sequences in parts of the guess line, after a quarter
of the steps and at the end, for each seed: 1.00 is as good as knowing nothing, below 0.10 counts as
learned. The rates, one for each cell, are common ones and were tuned for no initialisation; the
IRNN of the paper trains for far longer than these few steps. Few seeds and one task: a table to
see an effect by, not to rank by.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

import gated

GUESS = 1 / 6
BATCH = 32
TEST = 1000
LEARNED = 0.10
RATES = {"lstm": 0.01, "gru": 0.01, "mingru": 0.01, "rnn-relu": 0.001}
PLAIN = ("uniform", None), ("orthogonal", None)
GATED = (("uniform", 1.0), ("orthogonal", 1.0), ("chrono", None))


def starts(cell: str) -> list[tuple[str, float | None]]:
    """The initialisations that make sense for a cell, with their forget biases."""
    return [*PLAIN, *(GATED if gated.cell(cell).kept else [("irnn", None)])]


def sequences(count: int, length: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs (T, B, 2) and targets (B,)."""
    values = torch.rand(length, count, generator=draw)
    markers, rows, half = torch.zeros(length, count), torch.arange(count), length // 2
    for low, high in ((0, half), (half, length)):
        markers[torch.randint(low, high, (count,), generator=draw), rows] = 1
    return torch.stack([values, markers], dim=-1), (values * markers).sum(0)


class Adder(nn.Module):
    """A recurrent layer, and a linear output at the last step."""

    def __init__(self, cell: str, hidden_size: int, **options: object):
        super().__init__()
        self.layer = gated.Recurrent(cell, 2, hidden_size, **options)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.layer(x)
        return self.head(output[-1]).squeeze(-1)


def run(cell: str, init: object, bias: float | None, seed: int, options: argparse.Namespace):
    """The errors in parts of the guess line, after a quarter of the steps and at the end."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    x_test, y_test = sequences(TEST, options.length, torch.Generator().manual_seed(2**40))
    net = Adder(cell, options.hidden_size, init=init, forget_bias=bias)
    optimiser = torch.optim.Adam(net.parameters(), lr=options.rate or RATES.get(cell, 0.01))
    found = []
    for step in range(1, options.steps + 1):
        x, target = sequences(BATCH, options.length, draw)
        optimiser.zero_grad()
        (net(x) - target).square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        if step in (options.steps // 4, options.steps):
            with torch.no_grad():
                found.append(float((net(x_test) - y_test).square().mean()) / GUESS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=100, help="T")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hidden-size", type=int, default=32)
    parser.add_argument("--rate", type=float, help="of Adam; 0.001 for the rnn, else 0.01")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "rnn-relu"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    print(
        f"adding, T = {options.length}, H = {options.hidden_size}, {options.steps} steps of "
        f"{BATCH} sequences; errors in parts of the guess line, a column a seed\n"
    )
    columns = 7 * options.seeds
    print(f"{'cell':10}{'init':12}{'forget':>7}  {'a quarter':>{columns}}  {'the end':>{columns}}"
          f"  {'learned':>8}")  # fmt: skip
    for cell in options.cells:
        for name, bias in starts(cell):
            init = gated.Chrono(options.length) if name == "chrono" else name
            errors = [run(cell, init, bias, seed, options) for seed in range(options.seeds)]
            early, late = ("".join(f"{e[k]:7.2f}" for e in errors) for k in (0, 1))
            learned = sum(e[1] < LEARNED for e in errors)
            shown = "" if bias is None else f"{bias:g}"
            print(
                f"{cell:10}{name:12}{shown:>7}  {early}  {late}  {learned:>4} of {len(errors)}",
                flush=True,
            )
    print(f"\n{time.perf_counter() - start:.0f} s on one thread")


if __name__ == "__main__":
    main()
