"""How far float32 is from float64: the CPU engine beside PyTorch's own LSTM, and other cells.

Equal weights and inputs; the truth is the same numbers in float64, in PyTorch's LSTM or, for cells
that it lacks, in the reference engine. Errors are the largest difference of any element, that of a
gradient by the largest element of the gradient. Over seeds the geometric mean is taken: errors are
random walks, which differ tenfold from seed to seed where the memory is long.

Run: python bench/float32_errors.py [--long], with T = 100 000 too; about 3 minutes, 10 with it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import gated

BIASES, STEPS, SEEDS = (0.0, 1.0, 3.0, 6.0), (100, 1000), {100: 10, 1000: 6, 100_000: 1}
D, H, B = 8, 32, 4
KINDS = ("outputs", "states", "gradients")
Errors = dict[str, float]


def lstm(bias: float) -> dict[str, Tensor]:
    """The parameters of an LSTM whose forget gate has this bias."""
    state = nn.LSTM(D, H).state_dict()
    state["bias_ih_l0"][H : 2 * H], state["bias_hh_l0"][H : 2 * H] = bias, 0.0
    return state


def results(layer: nn.Module, x: Tensor, weigh: Tensor) -> dict[str, list[Tensor]]:
    """Outputs, states, and the gradients of the input and of every parameter."""
    x = x.clone().requires_grad_()
    output, states = layer(x)
    states = states if isinstance(states, tuple) else (states,)
    loss = (output * weigh).sum() + sum(state.sum() for state in states)
    gradients = torch.autograd.grad(loss, [x, *layer.parameters()])
    return {"outputs": [output], "states": list(states), "gradients": list(gradients)}


def errors(layer: nn.Module, truth: nn.Module, x: Tensor, weigh: Tensor) -> Errors:
    """The largest differences by kind."""
    exact = results(truth, x.double(), weigh.double())
    found = {}
    for kind, values in results(layer, x, weigh).items():
        apart = []
        for one, two in zip(values, exact[kind], strict=True):
            scale = float(two.detach().abs().max()) if kind == "gradients" else 1.0
            apart.append(float((one.double() - two).detach().abs().max()) / max(scale, 1e-30))
        found[kind] = max(apart)
    return found


def compared(
    sides: dict[str, Callable[[], nn.Module]], truth: Callable[[], nn.Module],
    start: Callable[[], dict[str, Tensor]], steps: int, seeds: int,
) -> dict[str, Errors]:  # fmt: skip
    """The geometric means over seeds of each side's errors."""
    total = {name: dict.fromkeys(KINDS, 0.0) for name in sides}
    for seed in range(seeds):
        torch.manual_seed(seed)
        weights = start()
        exact = truth()
        exact.load_state_dict({name: value.double() for name, value in weights.items()})
        x, weigh = torch.randn(steps, B, D), torch.randn(steps, B, H)
        for name, make in sides.items():
            layer = make()
            layer.load_state_dict(weights)
            for kind, error in errors(layer, exact, x, weigh).items():
                total[name][kind] += math.log(max(error, 1e-30)) / seeds
    return {name: {k: math.exp(v) for k, v in found.items()} for name, found in total.items()}


def grid(steps: tuple[int, ...]) -> None:
    """The LSTM: forget bias by number of steps."""
    sides = {
        "PyTorch": lambda: nn.LSTM(D, H),
        "ours": lambda: gated.LSTM(D, H, engine="cpu"),
    }
    print(f"LSTM, D {D}, H {H}, B {B}: errors of float32, and ours by PyTorch's")
    print("bias       T" + "".join(f"  {kind:>27}" for kind in KINDS))
    for bias in BIASES:
        for count in steps:
            truth, start = partial(nn.LSTM, D, H, dtype=torch.float64), partial(lstm, bias)
            found = compared(sides, truth, start, count, SEEDS[count])
            print(
                f"{bias:4.0f}{count:8}" + "".join(_cell(found, kind, "PyTorch") for kind in KINDS)
            )


def others(steps: int = 100) -> None:
    """The other cells, beside the float32 of the reference."""
    print(f"\nOther cells, T {steps}: errors of the reference in float32, ours, and their ratio")
    for name in gated.cells():
        graph = gated.cell(name).graph
        if name == "lstm" or list(graph.inputs) != ["x"] or graph.states[0].size != "H":
            continue
        make = partial(gated.Recurrent, name, D, H)
        sides = {
            "reference": partial(make, engine="reference"),
            "ours": partial(make, engine="cpu"),
        }
        truth = partial(make, engine="reference", dtype=torch.float64)
        found = compared(sides, truth, lambda make=make: make().state_dict(), steps, 6)
        print(f"{name:22}" + "".join(_cell(found, kind, "reference") for kind in KINDS))


def _cell(found: dict[str, Errors], kind: str, peer: str) -> str:
    theirs, ours = found[peer][kind], found["ours"][kind]
    return f"  {theirs:9.1e} {ours:9.1e} {ours / max(theirs, 1e-30):6.2f}x"


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--long", action="store_true", help="T = 100 000 too")
    chosen = options.parse_args()
    grid((*STEPS, 100_000) if chosen.long else STEPS)
    others()


if __name__ == "__main__":
    main()
