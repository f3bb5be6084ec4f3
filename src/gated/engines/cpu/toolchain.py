"""The system's C++ compiler: which one it is, and how a kernel is given to it."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gated.engines.cpu.machine import InstructionSet
from gated.errors import EngineError

# never -ffast-math: a library linked with it makes the whole process flush denormals to zero
_FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-fopenmp",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
_UNSAFE = {"-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-march=native"}
_SECONDS = 600
_LINES = 12
# faults of the folder that the object is written to, not of the source
_FOLDER_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


@dataclass(frozen=True)
class Compiler:
    """A compiler and what tells it apart from others."""

    command: tuple[str, ...]
    version: str
    changed: int  # when the program was last changed, in nanoseconds

    @property
    def identity(self) -> str:
        """Text that differs between compilers whose objects may differ."""
        return "\0".join([*self.command, self.version, str(self.changed)])


@lru_cache(maxsize=1)
def search() -> Compiler | str:
    """The compiler: $CXX, else g++, clang++ or c++; or the reason why there is none."""
    if not sys.platform.startswith("linux"):
        return f"kernels are compiled on Linux only, not on {sys.platform}"
    wanted = os.environ.get("CXX", "").strip()
    names = [wanted] if wanted else ["g++", "clang++", "c++"]
    for name in names:
        try:
            program, *options = shlex.split(name)
        except ValueError as fault:
            return f"CXX={name} cannot be read: {fault}"
        if unsafe := _UNSAFE.intersection(options):
            return f"CXX holds {min(unsafe)}, with which kernels would be wrong: leave it out"
        if path := shutil.which(program):
            return _identify(path, options)
    if wanted:
        return f"CXX={wanted} is no program that can be run: correct it or unset it"
    return "there is no C++ compiler: install g++ or clang++, or let CXX name one"


def _identify(path: str, options: list[str]) -> Compiler | str:
    try:
        told = subprocess.run(
            [path, *options, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False, timeout=60, env=_environment(),
        ).stdout  # fmt: skip
        changed = os.stat(path).st_mtime_ns
    except (OSError, subprocess.SubprocessError) as fault:
        return f"the C++ compiler {path} does not run: {fault}"
    version = told.partition("\n")[0].strip()
    return Compiler((path, *options), version, changed)


def flags(machine: InstructionSet, runtime: str | None) -> tuple[str, ...]:
    """The options for a kernel that shares the OpenMP runtime, a file, with PyTorch."""
    chosen = (*_FLAGS, f"-DLANES={machine.lanes}", *machine.flags)
    if runtime is None or Path(runtime).name == "libgomp.so.1":
        return chosen  # the plain one is found by its name, and so is the one already loaded
    # a renamed copy, or another runtime that knows GNU's functions: it comes first, and the
    # compiler's own is then not needed
    return (*chosen, "-Wl,--no-as-needed", runtime, "-Wl,--as-needed")


def compile_shipped(
    compiler: Compiler, machine: InstructionSet, source: Path, target: Path
) -> None:
    """Compile a source into a library for other machines, which bring the OpenMP runtime.

    It names no runtime: the copy that PyTorch has loaded goes by many names. `prefilled.load` sees
    to it that the functions are found.
    """
    made = target.with_suffix(".o")
    compile_file(compiler, (*flags(machine, None), "-c"), source, made)
    compile_file(compiler, ("-shared", "-s", "-Wl,--as-needed"), made, target)
    made.unlink()
    if b"__kmpc_" in target.read_bytes():
        raise EngineError(
            f"{compiler.command[0]} calls functions that GNU's OpenMP runtime lacks: let CXX name"
            " g++ for kernels that others are to use"
        )


def compile_file(compiler: Compiler, options: tuple[str, ...], source: Path, target: Path) -> None:
    """Compile a source into a shared library.

    EngineError if the compiler refuses it; OSError if the folder of the target is at fault.
    """
    # the source stands before the libraries that it needs
    command = [*compiler.command, "-o", str(target), str(source), *options]
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False, timeout=_SECONDS, env=_environment(),
        )  # fmt: skip
        told, code = run.stderr, run.returncode
    except subprocess.TimeoutExpired:
        told, code = f"it was stopped after {_SECONDS} s", 1
    except OSError as fault:
        told, code = f"it does not run: {fault}", 1
    if not code and target.exists():
        return
    for number in _FOLDER_FAULTS:
        if os.strerror(number) in told:
            raise OSError(number, os.strerror(number), str(target))
    lines = told.strip().splitlines() or [f"it ended with {code} and said nothing"]
    raise EngineError(
        f"the C++ compiler failed on a kernel; it was called as\n  {shlex.join(command)}\n"
        + "\n".join(f"  {line}" for line in lines[:_LINES])
        + f"\nthe source is {source}; set CXX to another compiler, or choose another engine"
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
