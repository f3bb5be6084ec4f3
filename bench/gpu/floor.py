"""The least that a case can take: bytes over bandwidth, operations over the rate of products.

Bytes: each input of the call is read once and each result written once. Forward these are x, the
weights and the output, and in a trace every gate; there and back x, weights and output are read
again, the output's gradient is read, those of x and the weights are written. Gates and c_t, which
the way back needs, are not counted: they could be computed anew. Operations: those of the matrix
products alone, see `bench.cpu.counts`; what is computed unit by unit is not counted.

A recurrence has a third bound, the chain: T steps after one another, twice there and back, each of
which takes as long as the values of one step need to reach the next. It is estimated, in
microseconds a step, from what was measured elsewhere and from latencies:

- `unit` 0.1: each unit sees itself alone. Some 10 to 40 dependent instructions of 4 to 20 cycles
  at 1.7 to 1.98 GHz. (A fused sequential kernel of this kind takes 0.46 on an H800: HGRN in
  flash-linear-attention's benchmarks, B 16 D 128.)
- `block` 0.6: a product on one multiprocessor: operand through shared memory, a chain of matrix
  instructions of some 33 cycles, two barriers, functions. (FlashRNN's Triton kernel takes 1.4 on an
  H100: 1.44 ms for T 1024.)
- `chip` 1.2: units are spread over the chip, and a step's h must reach all of it: two passes
  through the L2, some 250 cycles each way, and a barrier. (cuDNN takes 2.0 on an H100: 2.01 ms for
  T 1024 at H 768 in float16.)
- `scan` 0: parallel over time.

A bound that is estimated says what to expect, not what is possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cpu import counts
from bench.gpu.problem import Problem, layer
from gated.equations.graph import length

# microseconds a step
CHAIN = {"unit": 0.1, "block": 0.6, "chip": 1.2, "scan": 0.0}
# an H200 as it was measured by others in PyTorch (copy and bfloat16), else by its datasheet
DATASHEET = {
    "copy GB/s": 4300.0, "bfloat16 TF/s": 790.0, "float16 TF/s": 790.0, "float32 TF/s": 67.0,
    "tf32 TF/s": 395.0,
}  # fmt: skip
# bytes of a dense cell's recurrent matrices that one multiprocessor holds beside all else
_HELD = 160 << 10


@dataclass(frozen=True)
class Floor:
    """What a problem needs at least.

    Attributes:
        bytes, operations: see the module.
        chain: of which kind the steps' chain is.
        steps: its links.
    """

    bytes: int
    operations: int
    chain: str
    steps: int

    def milliseconds(self, limits: Mapping[str, float], dtype: str) -> dict[str, float]:
        """The three bounds for a device's limits."""
        rate = limits.get(f"{dtype} TF/s", 0) or 1e-9
        return {
            "bytes": self.bytes / limits["copy GB/s"] / 1e6,
            "operations": self.operations / rate / 1e9,
            "chain": self.steps * CHAIN[self.chain] / 1e3,
        }


def floor(problem: Problem) -> Floor:
    """The least that a problem takes."""
    made = layer(problem, "reference", "meta", problem.kind)
    graph, letters = made.cell.graph, {"D": problem.size, "H": problem.size, **made.sizes}
    rows, size = problem.valid_steps, problem.kind.itemsize
    weights = sum(weight.numel() for weight in made.parameters())
    x = rows * problem.size
    y = rows * problem.directions * length(graph.states[0].size, letters)
    moved = x + weights + y
    if problem.mode == "trace":
        shown = (length(node.shape[0].value or 1, letters) for node in graph.equations.values())
        moved += problem.directions * rows * sum(shown) - y
    operations = counts.forward(graph, letters, rows)
    passes = 1
    if problem.mode == "training":
        # once more x, weights and y, then the three gradients
        moved += 2 * (x + weights + y)
        operations, passes = counts.training(graph, letters, rows, of_x=True), 2
    chain = _chain(made.cell, letters, problem)
    steps = passes * problem.steps
    return Floor(moved * size, problem.directions * operations, chain, steps)


def _chain(cell: Any, letters: Mapping[str, int], problem: Problem) -> str:
    if cell.linear and cell.diagonal:
        return "scan"
    if cell.diagonal:
        return "unit"
    dense = [p.shape for p in cell.graph.parameters if p.family == "U" and len(p.shape) > 1]
    held = sum(_elements(shape, letters) for shape in dense) * problem.kind.itemsize
    return "block" if problem.heads or held <= _HELD else "chip"


def _elements(shape: Sequence[Any], letters: Mapping[str, int]) -> int:
    total = 1
    for size in shape:
        total *= length(size, letters)
    return total


def table(problems: Iterable[tuple[str, Problem]], limits: Mapping[str, float]) -> str:
    """The floors of problems as Markdown, under their names."""
    lines = ["| case | MB | GF | bytes ms | operations ms | chain ms |", "|---|" + "---:|" * 5]
    for name, problem in problems:
        least = floor(problem)
        ms = least.milliseconds(limits, problem.dtype)
        chain = f"{ms['chain']:.3g} ({least.chain})" if least.steps else ""
        lines.append(
            f"| {name} | {least.bytes / 1e6:.4g} | {least.operations / 1e9:.4g} | "
            f"{ms['bytes']:.3f} | {ms['operations']:.3f} | {chain} |"
        )
    return "\n".join(lines)
