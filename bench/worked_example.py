"""The worked example of an LSTM in numbers: "This movie is good", hidden size 2.

Every weight is 0.5, every bias 0, the first state 0. The example's source prints f, C and h step
by step, rounded at each step, and the gradients that reach earlier cell states from the last one
along the direct path, the product of the forget gates. The total gradients, which also pass
through h, are larger: the direct path is not the whole story.

    python bench/worked_example.py
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import gated

WORDS = ("This", "movie", "is", "good")
# the source leaves the last two inputs out; these give its table
INPUTS = ((0.5, -0.1), (0.3, 0.8), (0.1, -0.2), (0.9, 0.7))
SOURCE_C = (0.108, 0.422, 0.346, 0.802)
SOURCE_H = (0.059, 0.258, 0.184, 0.483)
ATOL = 1.5e-3
# with respect to C at steps 3, 2 and 1
DIRECT = (0.728, 0.402, 0.260)
TOTAL = (0.9886, 0.9378, 0.9515)


def example(engine: str = "auto") -> tuple[gated.LSTM, Tensor]:
    """The layer and the sentence, (4, 1, 2)."""
    lstm = gated.LSTM(2, 2, dtype=torch.float64, engine=engine)
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            weight.fill_(0.5 if name.startswith("weight") else 0.0)
    return lstm, torch.tensor(INPUTS, dtype=torch.float64).unsqueeze(1)


def table(lstm: gated.LSTM, x: Tensor) -> dict[str, list[float]]:
    """f, c and h of the first unit at each step (the two units are equal)."""
    with torch.no_grad():
        _, _, trace = lstm(x, trace=True)
    return {name: trace[name][:, 0, 0].tolist() for name in ("f", "c", "h")}


def direct_gradients(lstm: gated.LSTM, x: Tensor) -> list[float]:
    """Of the last cell state by those before it, along the forget gates: the newest first."""
    f = torch.tensor(table(lstm, x)["f"], dtype=torch.float64)
    return f.flip(0).cumprod(0)[:-1].tolist()


def total_gradients(lstm: gated.LSTM, x: Tensor) -> list[float]:
    """The same along all paths: c enters h, and h all the gates of the next step."""
    found = []
    for t in range(len(x) - 1, 0, -1):
        _, (_, c), trace = lstm(x[:t], trace=True)
        c = c.detach().requires_grad_()
        h = trace["o"][-1:].detach() * torch.tanh(c)
        _, (_, last) = lstm(x[t:], (h, c))
        (gradient,) = torch.autograd.grad(last[0, 0].sum(), c)
        found.append(float(gradient[0, 0, 0]))
    return found


def check(name: str, found: list[float], expected: tuple[float, ...], atol: float) -> None:
    """Stop with an error if a row of numbers is not the expected one."""
    apart = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if apart > atol:
        raise SystemExit(f"{name}: {found} is not {expected} to {atol}, but {apart} away")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    lstm, x = example()
    rows = table(lstm, x)
    print("t  word      f         C         h       source's C, h")
    for t, word in enumerate(WORDS):
        f, c, h = (rows[name][t] for name in ("f", "c", "h"))
        print(f"{t + 1}  {word:6} {f:.6f}  {c:.6f}  {h:.6f}   {SOURCE_C[t]:.3f}, {SOURCE_H[t]:.3f}")
    direct, total = direct_gradients(lstm, x), total_gradients(lstm, x)
    print("\ngradient of C at step 4 by C at step     3       2       1")
    print("  along the forget gates (direct)   ", "  ".join(f"{v:.4f}" for v in direct))
    print("  along all paths (total)           ", "  ".join(f"{v:.4f}" for v in total))
    check("C", rows["c"], SOURCE_C, ATOL)
    check("h", rows["h"], SOURCE_H, ATOL)
    check("direct gradients", direct, DIRECT, 5e-4)
    check("total gradients", total, TOTAL, 5e-5)
    print(f"\nC and h agree with the source to {ATOL}, the gradients to their last printed digit")


if __name__ == "__main__":
    main()
