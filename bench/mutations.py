"""Do the tests of the cells notice a wrong equation? Every change must be killed by one.

    python bench/mutations.py [--every 1] [--of LSTM GRU ...]

Takes the equations in src/gated/cells, makes single changes to them (`mutants.py`), writes each
into a copy of the package, and runs the tests on the copy: first those in test_papers.py of the
cells that the change alters, then, if it survives them, all of tests/cells. A change that leaves
every cell's canonical graph as it was computes the same and is left out (a square does not see the
sign of what it squares); so is one whose graphs equal another change's. One that fails while the
cells are defined is rejected: nobody could use it.

Prints a table by class, the changes that test_papers.py alone would let pass, and the survivors;
exits with 1 if there are any. --every 5 takes one change in five. Ctrl-C prints what is done.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

# read by the children's copy of gated: what was compiled from one change must not meet another
sys.dont_write_bytecode = True
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy  # noqa: E402, F401
import pytest  # noqa: E402
import torch  # noqa: E402  imported once, inherited by every fork
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from mutants import Mutant, mutants  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
CELLS = ROOT / "src" / "gated" / "cells"
LEFT_OUT = ("__init__.py", "regularisers.py")
TESTS, PAPERS = "tests/cells", "tests/cells/test_papers.py"
SECONDS = 120
FATES = ("same graph", "as another", "rejected", "by test_papers", "by other tests", "survived")

# what is known of a change before a test has run, and the cells that it alters
Judgement = tuple[str, tuple[str, ...]]
Fates = list[tuple[Mutant, str]]


def forked(work: Callable[[], Any], package: Path, seconds: int = SECONDS) -> Any:
    """What `work` returns in a child process that imports gated from `package`; None if it dies."""
    receiving, sending = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.alarm(seconds)
        sys.path.insert(0, str(package))
        os.environ["PYTHONPATH"] = str(package)
        try:
            sending.send(work())
        finally:
            os._exit(0)
    sending.close()
    try:
        return receiving.recv()
    except EOFError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        receiving.close()


def judged(made: Sequence[Mutant]) -> list[Judgement]:
    """What is known of each change before a test has run."""
    import gated
    from gated.engines.pytorch import canonical
    from gated.equations.render import expression
    from gated.equations.rewrite import rewrite
    from gated.equations.symbols import Node

    def squared(node: Node, args: list[Node]) -> Node | None:
        """(a - b)² for (b - a)², which is the same to the bit."""
        if node.op != "mul" or args[0] is not args[1] or args[0].op != "sub":
            return None
        difference = dataclasses.replace(args[0], args=tuple(sorted(args[0].args, key=expression)))
        return dataclasses.replace(node, args=(difference, difference))

    def graphs(source: str, file: str) -> dict[str, object]:
        module = types.ModuleType(f"gated.cells.{file.removesuffix('.py')}")
        exec(compile(source, file, "exec"), module.__dict__)
        cells = [value for value in vars(module).values() if isinstance(value, type)]
        own = [c for c in cells if c.__module__ == module.__name__ and issubclass(c, gated.Cell)]
        return {cell.name: canonical(rewrite(cell.graph, squared)) for cell in own}

    original = {
        mutant.file: graphs((CELLS / mutant.file).read_text(), mutant.file) for mutant in made
    }
    for file, found in original.items():
        assert found == graphs((CELLS / file).read_text(), file), f"{file} is not equal to itself"
    seen: set[object] = set()
    judgements: list[Judgement] = []
    for mutant in made:
        was = original[mutant.file]
        try:
            now = graphs(mutant.source, mutant.file)
        except Exception:
            judgements.append(("rejected", ()))
            continue
        altered = tuple(name for name in was if now[name] != was[name])
        key = (mutant.file, tuple(now.items()))
        known = "" if altered else "same graph"
        judgements.append(("as another" if key in seen and altered else known, altered))
        seen.add(key)
    return judgements


def tests(*arguments: str) -> int:
    """pytest's exit code, in this process."""
    os.chdir(ROOT)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, *arguments]))


def fate(package: Path, altered: Sequence[str]) -> str:
    """Which tests notice that `package` has other equations for these cells."""
    of_these = " or ".join(f"[{name}]" for name in altered)
    for arguments, name in (
        ((PAPERS, "-k", of_these), "by test_papers"),
        ((TESTS, f"--ignore={PAPERS}"), "by other tests"),
    ):
        code = forked(lambda given=arguments: tests(*given), package)
        if code != 0:
            # 1: a test failed; anything else is no verdict of a test
            return name if code == 1 else f"no verdict ({code})"
    return "survived"


@contextlib.contextmanager
def a_copy() -> Iterator[Path]:
    """A folder that holds a copy of the package."""
    with tempfile.TemporaryDirectory() as folder:
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "src" / "gated", Path(folder) / "gated", ignore=leave)
        yield Path(folder)


def check_unchanged(package: Path, files: set[str]) -> None:
    """End here unless the tests pass on the copy as it is, its files written as changes are."""
    for name in files:
        file = package / "gated" / "cells" / name
        file.write_text(ast.unparse(ast.parse(file.read_text())))
    where = forked(lambda: importlib.import_module("gated").__file__, package)
    if not str(where).startswith(str(package)):
        sys.exit(f"the tests would import {where}, not the copy in {package}")
    code = forked(lambda: tests(TESTS), package, 300)
    if code != 0:
        sys.exit(f"{TESTS} does not pass as it is ({code}): run pytest there first")


def run_all(package: Path, made: Sequence[Mutant], judgements: Sequence[Judgement]) -> Fates:
    """The fate of every change, in order; those reached so far if Ctrl-C is pressed."""
    fates: Fates = []
    every = list(zip(made, judgements, strict=True))
    console = Console(stderr=True)
    with contextlib.suppress(KeyboardInterrupt):
        for mutant, (known, altered) in track(every, "changes", console=console):
            if not console.is_terminal and len(fates) % 100 == 0:
                print(f"{len(fates)} of {len(every)} changes", file=sys.stderr, flush=True)
            if not known:
                file = package / "gated" / "cells" / mutant.file
                kept = file.read_text()
                file.write_text(mutant.source)
                known = fate(package, altered)
                file.write_text(kept)
            fates.append((mutant, known))
    return fates


def show(fates: Fates, wanted: int) -> None:
    """The table by class, and every change that no test noticed."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, known in fates:
        counts[mutant.place][known] += 1
    names = list(dict.fromkeys([*FATES, *(known for _, known in fates)]))
    table = Table("equations of", "changes", *names)
    for place, count in counts.items():
        table.add_row(place, str(count.total()), *(str(count[name]) for name in names))
    total = sum(counts.values(), Counter())
    table.add_row("all", str(total.total()), *(str(total[name]) for name in names), style="bold")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for mutant, known in fates:
        if known not in FATES[:4]:
            console.print(
                f"{known}: {mutant.file}:{mutant.line} {mutant.place}, {mutant.kind}:\n"
                f"  {mutant.before}\n  {mutant.after}", markup=False, highlight=False,
            )  # fmt: skip
    run = sum(n for name, n in total.items() if name not in FATES[:3])
    killed = total["by test_papers"] + total["by other tests"]
    print(f"{killed} of {run} changes that alter a cell were killed; {len(fates)} of {wanted} done")


def main() -> None:
    """Make the changes, run the tests on each, print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="take one in so many")
    parser.add_argument("--of", nargs="*", help="classes or functions, all if not given")
    options = parser.parse_args()
    started = time.monotonic()
    made = [
        mutant
        for path in sorted(CELLS.glob("*.py"))
        if path.name not in LEFT_OUT
        for mutant in mutants(path)
        if not options.of or mutant.place in options.of
    ][:: options.every]
    with a_copy() as package:
        judgements = forked(lambda: judged(made), package)
        check_unchanged(package, {mutant.file for mutant in made})
        fates = run_all(package, made, judgements)
    show(fates, len(made))
    took = f"{time.monotonic() - started:.0f} s, {sum(os.times()[:4]):.0f} s of one core"
    print(f"{took}; torch {torch.__version__}")
    if len(fates) < len(made):
        sys.exit(130)
    sys.exit(any(known not in FATES[:5] for _, known in fates))


if __name__ == "__main__":
    main()
