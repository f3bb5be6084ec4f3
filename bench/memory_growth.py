"""How much memory stays after many shapes: the CPU engine, training and inference.

Batch and number of steps differ from call to call, 2500 times; resident memory is read after a
tenth of the calls and at the end. Beside it, in a process of its own, PyTorch's LSTM. Both get the
same shapes, in the same order.

Run: python bench/memory_growth.py; about a minute.
"""

from __future__ import annotations

import gc
import random
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import gated

CALLS = 2500
SIDES = {
    "ours": lambda: gated.LSTM(32, 48, engine="cpu"),
    "PyTorch": lambda: nn.LSTM(32, 48),
}


def resident() -> float:
    """The process's resident memory in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    raise OSError("/proc/self/status names no VmRSS")


def growth(layer: nn.Module, training: bool, calls: int) -> float:
    """MB by which memory grew after the first tenth of the calls."""
    shapes = random.Random(0)
    before = 0.0
    for call in range(calls):
        x = torch.randn(shapes.randint(1, 150), shapes.randint(1, 32), 32)
        with torch.set_grad_enabled(training):
            output, _ = layer(x)
        if training:
            output.sum().backward()
            layer.zero_grad()
        del x, output
        if call == calls // 10:
            gc.collect()
            before = resident()
    gc.collect()
    return resident() - before


def main() -> None:
    """Print the growth of each side, each in a process of its own."""
    if len(sys.argv) > 1:
        side, mode = sys.argv[1:]
        torch.manual_seed(0)
        print(f"{growth(SIDES[side](), mode == 'training', CALLS):.1f}")
        return
    for mode in ("inference", "training"):
        for side in SIDES:
            done = subprocess.run(
                [sys.executable, __file__, side, mode], capture_output=True, text=True, check=True
            )
            print(f"{mode:10} {side:8} {done.stdout.strip():>6} MB over {CALLS} shapes")


if __name__ == "__main__":
    main()
