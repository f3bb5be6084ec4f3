"""Compile kernels for others, who may have no compiler: what a wheel brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from gated.engines.cpu import build, cache
from gated.engines.cpu.generate import generate
from gated.engines.cpu.machine import InstructionSet
from gated.engines.cpu.toolchain import compile_shipped, search
from gated.engines.fused.storage import Kept
from gated.equations.graph import Graph
from gated.equations.loop import backward, forward
from gated.errors import EngineError

TYPES = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Wanted:
    """A kernel to compile: what it is for, its source, its instruction set."""

    title: str
    text: str
    machine: InstructionSet

    @property
    def name(self) -> str:
        """The name that its object is looked for by."""
        return build.portable_digest(self.text, self.machine)


def source(graph: Graph, real: str, traced: bool = False) -> str:
    """The text of the kernel for a cell's graph, as the engine asks for it."""
    loop = forward(graph, traced)
    return generate(Kept(loop, backward(loop)), real).text


def compile_one(wanted: Wanted, folder: Path) -> None:
    """Compile a kernel into a folder, unless it is there already."""
    target = folder / f"{wanted.name}.so"
    if cache.intact(target):
        return
    compiler = search()
    if isinstance(compiler, str):
        raise EngineError(compiler)
    with cache.working(folder) as work:
        text = work / "kernel.cpp"
        text.write_text(wanted.text, "utf-8")
        made = work / target.name
        compile_shipped(compiler, wanted.machine, text, made)
        cache.publish(made, target)


def fill(folder: Path, kernels: Sequence[Wanted], jobs: int) -> Iterator[Wanted]:
    """Compile kernels, several at once; yields each when it is there.

    Stopped at any moment, it leaves whole objects only, and goes on from there the next time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(jobs)
    try:
        begun = {pool.submit(compile_one, wanted, folder): wanted for wanted in kernels}
        for done in as_completed(begun):
            done.result()
            yield begun[done]
    finally:
        pool.shutdown(cancel_futures=True)


def prune(folder: Path, kernels: Iterable[Wanted]) -> int:
    """Remove the objects in a folder that are none of these; returns how many there were."""
    names = {wanted.name for wanted in kernels}
    others = [path for path in folder.glob("*.so") if path.stem not in names]
    for path in others:
        path.unlink()
    return len(others)
