"""How many threads kernels use, in which OpenMP runtime, and what a fork does to them.

A kernel and PyTorch must share one runtime: two would each keep a pool of threads. And a runtime
does not survive a fork: the child inherits a pool whose threads are gone, and waits for them for
ever. So one thread is what a forked child gets, for PyTorch's operators too.
"""

from __future__ import annotations

import ctypes
import math
import os
from functools import lru_cache
from pathlib import Path

import torch

_forked = False


def threads() -> int:
    """PyTorch's number of threads, at most the CPUs that this process may use; 1 after a fork."""
    return 1 if _forked else max(1, min(torch.get_num_threads(), allowed()))


@lru_cache(maxsize=1)
def allowed() -> int:
    """How many CPUs this process may use, by its affinity and its control group."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        count = os.cpu_count() or 1
    return max(1, math.floor(min(count, quota())))


def quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """The CPUs that the control groups grant this process; infinity if they set no limit."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return math.inf
    found = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / "cpu" if controllers else groups
        here = root / path.lstrip("/")
        # a container may see its own group as the root of all
        for folder in {root, here, *(p for p in here.parents if root in p.parents)}:
            found = min(found, _limit(folder))
    return found


def _limit(folder: Path) -> float:
    """The limit that one control group sets."""
    try:
        if (folder / "cpu.max").exists():
            given, period = (folder / "cpu.max").read_text().split()
        else:
            given = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(given) / int(period) if int(given) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _after_fork() -> None:
    global _forked
    _forked = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(after_in_child=_after_fork)


class _Found(ctypes.Structure):
    """What `dladdr` tells: Dl_info."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def runtime(library: ctypes.CDLL) -> str | None:
    """The file of the OpenMP runtime that a loaded library calls, None if it calls none."""
    try:
        function = library.omp_get_max_threads
        dladdr = ctypes.CDLL(None).dladdr
    except AttributeError:
        return None
    dladdr.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    found = _Found()
    if not dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(found)):
        return None
    return os.fsdecode(found.file)


@lru_cache(maxsize=1)
def torch_runtime() -> str | None:
    """The file of PyTorch's OpenMP runtime, None if it has none that can be shared."""
    place = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    # it is loaded already: this only finds it again
    return runtime(ctypes.CDLL(str(place))) if place.exists() else None
