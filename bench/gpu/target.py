"""Kernels compiled for a GPU that is not there, and what the compiler made of them.

Triton compiles on any machine: only a driver tells it for what. While `compiling()`, that driver
is ours, and a launch compiles its kernel instead of running it. So what is compiled is what a GPU
would be given: the same types, alignments, constants and options, by the engine's own launches.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

TARGET = GPUTarget("cuda", 90, 32)
SHARED = 227 << 10  # bytes of shared memory that a program may have there


class _Driver:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return TARGET

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


class _Done:
    """A compiled kernel, of which launches do nothing."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *arguments: None


@dataclass(frozen=True)
class Compiled:
    """A kernel as the compiler left it.

    Attributes:
        registers: of a thread; local: bytes of a thread's that did not fit them.
        shared: bytes of a program; instructions: in all, and in the longest loop.
    """

    name: str
    warps: int
    registers: int
    local: int
    shared: int
    instructions: int
    loop: int
    seconds: float


@contextmanager
def compiling() -> Iterator[dict[str, Compiled]]:
    """What is launched meanwhile is compiled, and found here by the digest of its code.

    Raises what the compiler raises, at the launch.
    """
    found: dict[str, Compiled] = {}
    original = JITFunction.run

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        begin = time.perf_counter()
        made = original(kernel, *args, grid=grid, warmup=True, **options)
        if made.hash not in found:
            found[made.hash] = examine(made, time.perf_counter() - begin)
        return _Done()

    before = driver._active
    driver.set_active(_Driver())
    try:
        with mock.patch.object(JITFunction, "run", run), triton.knobs.compilation.scope():
            triton.knobs.compilation.always_compile = True
            yield found
    finally:
        driver.set_active(before)


def examine(made: Any, seconds: float) -> Compiled:
    """Read a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage = _tool("cuobjdump", "-res-usage", file.name)
        total, loop = instructions(_tool("nvdisasm", "-c", file.name))
    name = made.metadata.name
    block = usage[usage.index(f"Function {name}:") :]
    numbers = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", block)}
    return Compiled(
        name, made.metadata.num_warps, numbers["REG"], numbers["STACK"] + numbers["LOCAL"],
        made.metadata.shared, total, loop, seconds,
    )  # fmt: skip


def instructions(text: str) -> tuple[int, int]:
    """How many there are in a disassembled kernel, and from a jump back to where it goes."""
    total, loop = 0, 0
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = total
        elif re.match(r"\s+/\*[0-9a-f]+\*/\s", line):
            total += 1
            jump = re.search(r"BRA.*?(\.L_x_\d+)", line)
            size = total - labels.get(jump[1], total) if jump else 0
            loop = max(loop, size if size > 1 else 0)  # one waits for the end behind the last one
    return total, loop


def _tool(name: str, *arguments: str) -> str:
    """What one of the tools says that Triton brings along."""
    path = Path(nvidia.__file__).parent / "bin" / name
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout
