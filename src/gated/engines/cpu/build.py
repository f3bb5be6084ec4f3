"""From a kernel's text to a loaded library: what came with gated, the cache, the compiler."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from gated.engines.cpu import cache, prefilled, threads
from gated.engines.cpu.machine import InstructionSet, instruction_set, narrower
from gated.engines.cpu.toolchain import Compiler, compile_file, flags, search
from gated.errors import EngineError

# raised when what the engine passes to a kernel changes
_ABI = 1


def unavailable() -> str | None:
    """Why no kernel can be compiled here, None if kernels can be."""
    found = search()
    return found if isinstance(found, str) else None


def available(text: str) -> str | None:
    """Why there is no kernel for a source here, None if it came with gated or can be compiled."""
    missing = unavailable()
    if missing is None or _prefilled(text) is not None:
        return None
    return f"its kernel did not come with gated, and {missing}"


def warn_without_compiler() -> None:
    """Warn, once in a process, that cells run slower for want of a compiler, where one helps."""
    missing = unavailable()
    if missing is not None and sys.platform.startswith("linux"):
        cache.warn_once(
            "compiler",
            "a cell whose kernel did not come with gated runs on the reference engine, many times"
            f" slower than compiled: {missing}",
        )


@lru_cache(maxsize=512)
def library(text: str) -> ctypes.CDLL:
    """The source as a loaded library: it came with gated, or is compiled at most once.

    EngineError if neither is possible. A cache that cannot be used costs one warning and the time
    to compile.
    """
    ready = _prefilled(text)
    if ready is not None:
        return ready
    found = search()
    if isinstance(found, str):
        raise EngineError(str(available(text)))
    machine = instruction_set()
    key = digest(text, found, machine)
    try:
        loaded = _load(text, cache.folder(), key, found, machine)
    except OSError as fault:
        cache.warn_once(
            "cache",
            f"kernels are compiled anew in each process, since their cache cannot be used: {fault}."
            " Let GATED_CACHE name a folder that only you can write to",
        )
        loaded = _load_privately(text, key, found, machine)
    _check_runtime(loaded, "let CXX name g++")
    return loaded


@lru_cache(maxsize=512)
def _prefilled(text: str) -> ctypes.CDLL | None:
    """The kernel that came with gated, if one did."""
    machine = instruction_set()
    # without a compiler one for less than this machine has is better than none
    sets = [machine] if unavailable() is None else [machine, *narrower(machine)]
    for each in sets:
        if (loaded := prefilled.load(portable_digest(text, each))) is not None:
            # it calls what the whole process sees
            _check_runtime(ctypes.CDLL(None), "let nothing load another before PyTorch")
            return loaded
    return None


def portable_digest(text: str, machine: InstructionSet) -> str:
    """The name of a kernel that comes with gated: known where there is no compiler."""
    return cache.digest("prefilled", str(_ABI), machine.name, *flags(machine, None), text)


def digest(text: str, compiler: Compiler, machine: InstructionSet) -> str:
    """The name of what the compiler makes of a source for a kind of machine."""
    runtime = threads.torch_runtime()
    # not the runtime's folder, which differs between environments that can share a cache
    options = flags(machine, runtime and Path(runtime).name)
    return cache.digest(str(_ABI), machine.name, compiler.identity, *options, text)


def _load(
    text: str, home: Path, key: str, compiler: Compiler, machine: InstructionSet
) -> ctypes.CDLL:
    target = home / f"{key}.so"
    if not cache.valid(target):
        with cache.locked(home, key):
            if not cache.valid(target):
                _build(text, target, compiler, machine)
    return ctypes.CDLL(str(target))


def _build(text: str, target: Path, compiler: Compiler, machine: InstructionSet) -> None:
    source = target.with_suffix(".cpp")
    with cache.working(target.parent) as work:
        (work / source.name).write_text(text, "utf-8")
        (work / source.name).replace(source)
        made = work / target.name
        compile_file(compiler, flags(machine, threads.torch_runtime()), source, made)
        cache.publish(made, target)


def _load_privately(
    text: str, key: str, compiler: Compiler, machine: InstructionSet
) -> ctypes.CDLL:
    """Compiled for this process alone; a library that is loaded needs its file no more."""
    home: Path | None = None
    try:
        home = Path(tempfile.mkdtemp(prefix="gated-"))
        loaded = _load(text, home, key, compiler, machine)
    except OSError as fault:
        if home:
            shutil.rmtree(home, ignore_errors=True)
        raise EngineError(
            f"there is no folder to compile a kernel in: {fault}. Let TMPDIR or GATED_CACHE name"
            " one that is yours, with space, on a file system not mounted noexec"
        ) from fault
    shutil.rmtree(home, ignore_errors=True)  # not if the compiler failed: the source is there
    return loaded


def _check_runtime(loaded: ctypes.CDLL, remedy: str) -> None:
    """Warn of a second OpenMP runtime: both would keep threads, and numbers set for one."""
    ours, theirs = threads.runtime(loaded), threads.torch_runtime()
    if ours and theirs and os.path.realpath(ours) != os.path.realpath(theirs):
        cache.warn_once(
            "openmp",
            f"kernels run on another OpenMP runtime ({ours}) than PyTorch ({theirs}): both keep"
            f" threads of their own; {remedy}",
        )
