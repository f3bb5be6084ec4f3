"""Our layers in the place of torch.nn's: equal first, then no slower.

    python bench/drop_in.py [--cells lstm gru rnn] [--seconds 0.3] [--threads 1]

Equality: outputs, states and the gradients of inputs, weights and initial states, over every
configuration of the test suite's grid, on both engines, to 1e-6 in float32 and 1e-12 in float64.
Speed: both layers with the same weights on the same input, forward and training, timed in turns,
in a random order within each, in one process. The figure is the median over the turns of theirs /
ours, so 1 is as fast and 2 twice as fast. A figure outside 0.97 to 1.03 is measured anew on five
and then on fifteen fresh pairs of layers, built in either order, and is the median over the pairs:
torch.nn against itself differs by 5 % from pair to pair where weights fill the cache. On one thread
it is processor time that counts, since another process that takes its slice of the processor at
the same place in every turn would otherwise count as slowness of whoever stands there.

Exits with 1 if a configuration differs, or if ours falls below 0.95 of theirs.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "layers"))
from drop_in_cases import TOLERANCE, call, cases, furthest, layers

LEAST = 0.95
SURE = (0.97, 1.03)
PAIRS = (1, 5, 15)
VARIANTS: dict[str, dict[str, object]] = {
    "1 layer": {},
    "2 layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "packed": {},
}


def check_equality() -> int:
    """Compare the whole grid on both engines; return how many comparisons failed."""
    grid, wrong = cases(), 0
    worst = dict.fromkeys(TOLERANCE, 0.0)
    for case, engine in itertools.product(grid, ("torch", "reference")):
        theirs, ours = layers(case, engine)
        apart, where = furthest(call(case, ours), call(case, theirs))
        worst[case.dtype] = max(worst[case.dtype], apart)
        if apart > TOLERANCE[case.dtype]:
            wrong += 1
            print(f"DIFFERS {case} on {engine}: {where} by {apart:.2e}")
    print(f"equality: {len(grid)} configurations on 2 engines, {wrong} differ; largest difference")
    for dtype, apart in worst.items():
        print(f"  {dtype}: {apart:.1e} (allowed {TOLERANCE[dtype]:.0e})")
    return wrong


def machine() -> str:
    """Processor, threads and the rate of a float32 matrix product, the limit of all this."""
    a = torch.randn(1024, 1024)
    best = min(duration(lambda: a @ a) for _ in range(20))
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{model}, {torch.get_num_threads()} thread(s), PyTorch {torch.__version__}, "
        f"sgemm {2 * 1024**3 / best / 1e9:.0f} GF/s"
    )


def clock() -> float:
    """Seconds: of this process's work if it has one thread, else of the wall's clock."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def duration(work: Callable[[], object], times: int = 1) -> float:
    """Seconds that one of `times` calls takes."""
    start = clock()
    for _ in range(times):
        work()
    return (clock() - start) / times


def compare(
    theirs: Callable[[], object], ours: Callable[[], object], seconds: float
) -> tuple[float, float]:
    """Median seconds of theirs, and median of theirs / ours, timed in turns."""
    once = max(duration(theirs), duration(ours))  # also warms both up
    times = max(1, int(3e-4 / once))
    rows = []
    for _ in range(max(9, min(800, int(seconds / (2 * times * once))))):
        order = random.sample((theirs, ours), 2)
        took = {work: duration(work, times) for work in order}
        rows.append((took[theirs], took[theirs] / took[ours]))
    return statistics.median(t for t, _ in rows), statistics.median(r for _, r in rows)


def pair(name: str, size: int, options: dict[str, object], ours_first: bool) -> list[nn.Module]:
    """Theirs and ours with the same weights, laid into memory in either order."""
    order = (gated, nn) if ours_first else (nn, gated)
    built = {module: getattr(module, name)(size, size, **options) for module in order}
    built[gated].load_state_dict(built[nn].state_dict())
    return [built[nn], built[gated]]


def forward(layer: nn.Module, x: object) -> None:
    """A pass without gradients."""
    with torch.no_grad():
        layer(x)


def training(layer: nn.Module, x: object) -> None:
    """A pass there and back."""
    output, _ = layer(x)
    data = output if isinstance(output, torch.Tensor) else output.data
    data.sum().backward()


def sequences(variant: str, b: int, t: int, h: int) -> object:
    """A batch, padded and full or packed and ragged."""
    x = torch.randn(t, b, h)
    if variant != "packed":
        return x
    return pack_padded_sequence(x, [max(1, t - k * t // b) for k in range(b)])


def measure(
    mode: Callable[[nn.Module, object], None],
    build: Callable[[bool], list[nn.Module]],
    x: object,
    seconds: float,
) -> tuple[float, float]:
    """Seconds of theirs, and theirs / ours."""

    def once(ours_first: bool) -> tuple[float, float]:
        theirs, ours = (partial(mode, layer, x) for layer in build(ours_first))
        return compare(theirs, ours, seconds)

    for pairs in PAIRS:
        rows = [once(bool(k % 2)) for k in range(pairs)]
        took, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
        if SURE[0] <= ratio <= SURE[1]:
            break
    return took, ratio


def speed(names: list[str], seconds: float) -> Iterator[float]:
    """Time every size; print a table and yield its ratios."""
    print("\ntheirs / ours, with theirs in ms; F forward, T training")
    print(
        f"{'cell, variant':26}{'B':>3}{'T':>5}{'H':>5}  {'F':>6} {'T':>6}{'F ms':>10}{'T ms':>10}"
    )
    sizes = list(itertools.product((1, 8, 32), (1, 10, 100), (32, 128, 512)))
    for name, variant in itertools.product(names, VARIANTS):
        for b, t, h in sizes:
            x = sequences(variant, b, t, h)
            build = partial(pair, name, h, VARIANTS[variant])
            f_took, f_ratio = measure(forward, build, x, seconds)
            t_took, t_ratio = measure(training, build, x, seconds)
            yield f_ratio
            yield t_ratio
            print(
                f"{name + ', ' + variant:26}{b:3}{t:5}{h:5}  {f_ratio:6.3f} {t_ratio:6.3f}"
                f"{f_took * 1e3:10.3f}{t_took * 1e3:10.3f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ["lstm", "gru", "rnn"]
    parser.add_argument("--cells", nargs="+", default=known, choices=known)
    parser.add_argument("--seconds", type=float, default=0.3, help="to spend on each comparison")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # PyTorch says so of its own projected LSTM
    warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
    print(machine())
    wrong = check_equality()
    ratios = list(speed([name.upper() for name in options.cells], options.seconds))
    print(
        f"\n{len(ratios)} comparisons: lowest {min(ratios):.3f}, median "
        f"{statistics.median(ratios):.3f}; least allowed {LEAST}"
    )
    if wrong or min(ratios) < LEAST:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
