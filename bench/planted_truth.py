"""A planted truth is found: the measures point at the one step and the few units that matter.

A sequence is T pairs of a random value and a marker; one pair is marked, and the target, read at
the last step, is the value marked. So it is known what the output depends on: one step, which
another draw of the same values would have put elsewhere. A small LSTM learns it, and then:

1. The contribution of each step to the output, by integrated gradients and by exact ablation, each
   with two baselines, is largest at the marked step in at least 95 % of 200 new sequences.
2. Freezing the few units that `importance` ranks highest destroys the answer: the mean squared
   error is more than half the target's variance, the error of whoever always answers the mean.
   Freezing as many units drawn at random does not: the median of 20 draws stays below a twentieth.
   The ranking is made on other sequences than those on which this is measured.

Values are from 0.2 to 1 in size, with either sign: a marked value near 0 contributes nothing that
could be found. An eighth of the sequences learned from has no mark, and the target 0: contributions
are told from a baseline, so it has to mean something to the network that nothing is marked. Exits
with 1 if something is otherwise.

    python bench/planted_truth.py [--length 30] [--hidden-size 64] [--steps 600] [--seed 0]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import gated
from gated.inspect.measures.clamping import freeze, importance
from gated.inspect.measures.contribution import ablation, integrated_gradients

CASES = 200
FOUND = 0.95
DESTROYED, KEPT = 0.5, 0.05  # of the target's variance
DRAWS = 20
BATCH = 64


def sequences(
    count: int, length: int, draw: torch.Generator, unmarked: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, T, 2), targets (B,) and the marked steps (B,); nothing is marked in some."""
    sizes = 0.2 + 0.8 * torch.rand(count, length, generator=draw)
    values = sizes * (torch.randint(2, (count, length), generator=draw) * 2 - 1)
    marked = torch.randint(length, (count,), generator=draw)
    markers = nn.functional.one_hot(marked, length).float()
    markers[:unmarked] = 0
    return torch.stack([values, markers], -1), (values * markers).sum(1), marked


class Recall(nn.Module):
    """An LSTM, and a linear output at the last step."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.rnn = gated.LSTM(2, hidden_size, batch_first=True, forget_bias=3.0)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1]).squeeze(-1)


def train(length: int, hidden_size: int, steps: int, seed: int) -> Recall:
    """A network that has learned the task."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    net = Recall(hidden_size)
    optimiser = torch.optim.Adam(net.parameters())
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.02, steps)
    for _ in range(steps):
        x, targets, _ = sequences(BATCH, length, draw, BATCH // 8)
        optimiser.zero_grad()
        (net(x) - targets).square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        pace.step()
    return net.eval()


def error(net: Recall, data: tuple[Tensor, Tensor, Tensor]) -> float:
    """The mean squared error, as a share of the target's variance."""
    x, targets, _ = data
    with torch.no_grad():
        return float((net(x) - targets).square().mean() / targets.var())


def pointing(
    net: Recall, data: tuple[Tensor, Tensor, Tensor], baselines: Sequence[str] = ("zero", "mean")
) -> dict[str, float]:
    """The share of the sequences in which each measure points at the marked step."""
    x, _, marked = data
    found = {}
    for measure in (integrated_gradients, ablation):
        for baseline in baselines:
            contribution = measure(net, x, baseline=baseline)
            name = f"{contribution.method}, baseline {baseline}"
            found[name] = float((contribution.top == marked.numpy()).mean())
    return found


def freezing(
    net: Recall, units: int, ranked_on: tuple[Tensor, ...], data: tuple[Tensor, ...], seed: int
) -> tuple[list[int], float, list[float]]:
    """The units ranked highest, the error without them, and those without as many at random."""
    ranking = importance(net, lambda model: error(model, ranked_on), gates=()).ranking()
    highest = [effect.unit for effect in ranking[:units]]
    draw, errors = torch.Generator().manual_seed(seed), []
    drawn = [torch.randperm(len(ranking), generator=draw)[:units].tolist() for _ in range(DRAWS)]
    for chosen in (highest, *drawn):
        with freeze(net, {"rnn": chosen}):
            errors.append(error(net, data))
    return highest, errors[0], sorted(errors[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=30, help="T")
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=600, help=f"of training, {BATCH} sequences each"
    )
    parser.add_argument("--units", type=int, default=4, help="how many units are frozen")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    net = train(options.length, options.hidden_size, options.steps, options.seed)
    spent = time.process_time() - start
    draw = torch.Generator().manual_seed(2**40 + options.seed)
    ranked_on, data, many = (sequences(n, options.length, draw) for n in (500, CASES, 500))
    print(
        f"one value of {options.length}, LSTM of {options.hidden_size} units, trained in "
        f"{spent:.1f} s of CPU time; error {error(net, many):.3%} of the target's variance\n"
    )
    failed = []
    print(f"points at the marked step, of {CASES} sequences")
    for name, share in pointing(net, data).items():
        print(f"  {name:38}{share:7.1%}")
        if share < FOUND:
            failed.append(f"{name} found {share:.1%}")
    highest, without, at_random = freezing(net, options.units, ranked_on, many, options.seed)
    median = at_random[DRAWS // 2]
    print(f"\nerror of the target's variance with {options.units} of the units frozen at 0")
    print(f"  ranked highest: {', '.join(map(str, highest))}   {without:7.1%}")
    print(f"  at random, median of {DRAWS} draws   {median:7.1%}")
    print(f"  at random, from least to worst    {at_random[0]:7.1%} to {at_random[-1]:.1%}")
    if without < DESTROYED:
        failed.append(f"without the highest units the error is {without:.1%}")
    if median > KEPT:
        failed.append(f"without random units the error is {median:.1%}")
    if failed:
        raise SystemExit("; ".join(failed))


if __name__ == "__main__":
    main()
