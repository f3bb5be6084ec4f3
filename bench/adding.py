"""Long memory: the adding problem of Hochreiter & Schmidhuber (1997), at T = 100.

    python bench/adding.py [--length 100] [--cells rnn lstm] [--seed 0]

A sequence is pairs of a value in [-1, 1] and a marker; its length is drawn from T to 1.1 T, and
the layers read it by `lengths=`. One of the first ten pairs is marked by 1, then one of the first
T/2 - 1 that is not marked yet; the first and the last pair have the marker -1, all others 0. The
target, read at the last step, is 0.5 + (X1 + X2) / 4 of the two marked values; where the first
pair of all was drawn to be marked, its value is 0. An output is right if it is within 0.04 of the
target. Training stops when the mean error of the last 2,000 sequences is below 0.01 and all of
them were right, each judged before it was learned from; then 2,560 new sequences are the test.

As in the paper, whose LSTM has no forget gate and keeps everything, the LSTM starts with forget
gates nearly open (bias 5) and input gates nearly shut (bias -3). Other than there: minibatches and
Adam (the RNN at a tenth of the step, which suits it better), with the gradient's norm clipped and
the step reduced as the error falls; 32 units, in place of two blocks of two cells.

The guess line is the variance of the target, the mean squared error of whoever always answers the
mean. The LSTM has to solve the task; the RNN, given as many sequences as the budget allows, is
expected at the guess line. Exits with 1 if either is otherwise.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

import gated

RIGHT = 0.04
RECENT = 2000
MEAN_ERROR = 0.01
TEST = 2560
BATCH = 20
INPUT_BIAS = -3.0
FORGET_BIAS = 5.0


def sequences(count: int, length: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T, 2), lengths (B,) and targets (B,)."""
    longest = length + length // 10
    lengths = torch.randint(length, longest + 1, (count,), generator=draw)
    rows = torch.arange(count)
    first = torch.randint(10, (count,), generator=draw)
    second = torch.randint(length // 2 - 2, (count,), generator=draw)
    second += second >= first  # one of those that are not marked yet
    values = torch.rand(count, longest, generator=draw) * 2 - 1
    drawn = (first == 0) | (second == 0)
    values[:, 0] = torch.where(drawn, 0.0, values[:, 0])
    markers = torch.zeros(count, longest)
    markers[rows, first] = 1
    markers[rows, second] = 1
    markers[:, 0] = -1
    markers[rows, lengths - 1] = -1
    targets = 0.5 + (values[rows, first] + values[rows, second]) / 4
    return torch.stack([values, markers], dim=-1), lengths, targets


class Adder(nn.Module):
    """A recurrent layer, and a linear output at each row's last step."""

    def __init__(self, cell: str, hidden_size: int):
        super().__init__()
        self.layer = gated.Recurrent(cell, 2, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)
        if cell == "lstm":
            for k, value in enumerate((INPUT_BIAS, FORGET_BIAS)):  # rows stand as i, f, g, o
                gate = slice(k * hidden_size, (k + 1) * hidden_size)
                nn.init.constant_(self.layer.bias_ih_l0[gate], value)
                nn.init.zeros_(self.layer.bias_hh_l0[gate])

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        _, state = self.layer(x, lengths=lengths)
        h = state[0] if isinstance(state, tuple) else state
        return self.head(h[-1]).squeeze(-1)


def train(cell: str, options: argparse.Namespace) -> tuple[Adder, int, bool]:
    """Train until it is solved or the budget is spent: network, sequences seen, solved."""
    torch.manual_seed(options.seed)
    draw = torch.Generator().manual_seed(options.seed)
    net = Adder(cell, options.hidden_size)
    step = options.learning_rate or (0.001 if cell == "rnn" else 0.01)
    optimiser = torch.optim.Adam(net.parameters(), lr=step)
    start, errors = time.perf_counter(), torch.full((0,), 1.0)
    for seen in range(BATCH, options.budget + 1, BATCH):
        x, lengths, targets = sequences(BATCH, options.length, draw)
        error = net(x, lengths) - targets
        optimiser.zero_grad()
        error.square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        errors = torch.cat([errors, error.detach().abs()])[-RECENT:]
        mean = float(errors.mean())
        # a step that is large beside the error only stirs it
        for group in optimiser.param_groups:
            group["lr"] = step * min(1.0, max(0.02, mean / 0.1))
        wrong = int((errors >= RIGHT).sum())
        solved = len(errors) == RECENT and mean < MEAN_ERROR and wrong == 0
        if solved or seen % 10_000 == 0:
            print(
                f"  {cell} {seen:7,} sequences, {time.perf_counter() - start:4.0f} s: of the last "
                f"2,000 {wrong:5,} wrong, mean error {mean:.4f}",
                flush=True,
            )
        if solved:
            return net, seen, True
    return net, options.budget, False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=100, help="T")
    parser.add_argument("--cells", nargs="+", default=["rnn", "lstm"])
    parser.add_argument("--hidden-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, help="0.001 for the rnn, else 0.01")
    parser.add_argument("--budget", type=int, default=100_000, help="sequences at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, lengths, targets = sequences(TEST, options.length, torch.Generator().manual_seed(2**40))
    guess = float(targets.var())
    print(f"adding, T = {options.length}; guess line (variance of the target) {guess:.4f}")
    rows, failed = [], []
    for cell in options.cells:
        net, seen, solved = train(cell, options)
        with torch.no_grad():
            error = net(x, lengths) - targets
        loss, wrong = float(error.square().mean()), int((error.abs() >= RIGHT).sum())
        rows.append(
            f"{cell:18}{'solved' if solved else 'not solved':12}{seen:9,}{loss:12.6f}"
            f"{loss / guess:10.1%}{wrong:8,}"
        )
        if cell == "lstm" and not solved:
            failed.append("the LSTM did not solve it")
        if cell == "rnn" and loss < 0.9 * guess:
            failed.append("the RNN left the guess line")
    print(f"\n{'cell':18}{'':12}{'sequences':>9}{'test MSE':>12}{'of guess':>10}{'wrong':>8}")
    print("\n".join(rows))
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
