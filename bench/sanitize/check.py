"""Programs under a sanitizer: which there are, compiling and running one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.sanitize.program import program
from gated.cells import cell, cells
from gated.engines.cpu.machine import instruction_set
from gated.engines.cpu.toolchain import Compiler, search
from gated.equations.graph import Graph
from gated.equations.maps import Heads, mapped

# no number is converted to an integer that cannot hold it: "undefined" alone leaves that out
KINDS = {"address": "address,undefined,float-cast-overflow", "thread": "thread"}
RACES = ("lstm", "gru-reset-before", "layernorm-lstm", "fgr")
MAPS = {"diagonal": "diagonal", "heads": Heads(3)}
MAPPED = ("lstm", "gru")
# the kernels' options, with std::thread; memory that malloc gives is NaN until it is written
OPTIONS = ("-std=c++17", "-O1", "-g1", "-fno-omit-frame-pointer", "-ffp-contract=fast",
           "-fno-math-errno", "-fno-trapping-math", "-fno-sanitize-recover=all", "-DSTD_THREADS",
           "-pthread")  # fmt: skip
VARIABLES = {
    "ASAN_OPTIONS": "max_malloc_fill_size=1073741824:malloc_fill_byte=255"
    ":detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
SECONDS = 600


@dataclass(frozen=True)
class Program:
    """What is to be run: a kernel and the sanitizer that sees it."""

    cell: str
    graph: Graph
    real: str
    traced: bool
    kind: str

    @property
    def title(self) -> str:
        """Words that no other program has."""
        return f"{self.cell} {self.real}{' traced' if self.traced else ''} {self.kind}"

    def text(self) -> str:
        """Its source. Races need sizes that threads share; at others they would only take time."""
        return program(self.graph, self.real, traced=self.traced, small=self.kind == "address")


@dataclass(frozen=True)
class Outcome:
    """How it went: what was found, None for nothing; the seconds of the compiler and the run."""

    found: str | None
    compiling: float
    running: float = 0


def programs(names: Sequence[str], kinds: Sequence[str], *, full: bool) -> Iterator[Program]:
    """All programs: of no names the whole catalogue, and for races some of it.

    The two types of numbers differ in one line of the source, so one of them is traced, unless all
    four are wanted.
    """
    both = [("float", False), ("double", True)]
    four = [*both, ("float", True), ("double", False)]
    for kind in kinds:
        for name in names or (RACES if kind == "thread" else cells()):
            graphs = {name: cell(name).graph}
            if name in MAPPED and kind == "address":
                graphs |= {f"{name} {m}": mapped(cell(name), MAPS[m]).graph for m in MAPS}
            for title, graph in graphs.items():
                for real, traced in four if full else both:
                    yield Program(title, graph, real, traced, kind)


def missing(kind: str, folder: Path) -> str | None:
    """Why a sanitizer cannot be used here, None if it can."""
    outcome = run("int main() { return 0; }\n", kind, folder / f"probe-{kind}")
    return outcome.found


def run(text: str, kind: str, target: Path) -> Outcome:
    """Compile a program and run it; its source and itself stay if there is a finding."""
    start = time.monotonic()
    found = compiled(text, kind, target)
    middle = time.monotonic()
    if found is None:
        found = executed(target)
        if found is None:
            target.with_suffix(".cpp").unlink()
            target.unlink()
    return Outcome(found, middle - start, time.monotonic() - middle)


def compiled(text: str, kind: str, target: Path) -> str | None:
    """What the compiler says that fails, None if the program is there."""
    compiler = search()
    if not isinstance(compiler, Compiler):
        return compiler
    machine = instruction_set()
    source = target.with_suffix(".cpp")
    source.write_text(text, "utf-8")
    options = [*OPTIONS, f"-DLANES={machine.lanes}", *machine.flags, f"-fsanitize={KINDS[kind]}"]
    return _told([*compiler.command, *options, str(source), "-o", str(target)])


def executed(target: Path) -> str | None:
    """What is found when a program runs, after its last case; None if nothing is."""
    told = _told([str(target)])
    if told is None:
        return None
    *_, last = told.rpartition("CASE ")
    return last


def _told(command: list[str]) -> str | None:
    """What a program says that fails, None if it does not."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False, timeout=SECONDS, env={**os.environ, **VARIABLES, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {SECONDS} s"
    if done.returncode == 0:
        return None
    return f"{done.stderr.strip() or 'it said nothing'}\n(it ended with {done.returncode})"
