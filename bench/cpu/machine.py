"""What machine this is, and its limits: the rate of matrix products, and of reading memory."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gated.engines.cpu import build, threads
from gated.errors import EngineError

_SIZES = (512, 1024, 2048)
_PEERS = ("torch", "onnxruntime", "jax", "jaxlib", "numpy")
# a sum of integers, which compilers vectorise without leave to reorder floating-point sums
_READER = """
#include <cstdint>
#include <omp.h>

// Each thread reads its own part of the array `times` times over.
extern "C" uint64_t read_all(const uint64_t* data, int64_t count, int64_t times, int threads) {
    uint64_t total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        const int64_t part = count / omp_get_num_threads();
        const uint64_t* own = data + part * omp_get_thread_num();
        for (int64_t k = 0; k < times; ++k) {
            uint64_t a = 0, b = 0, c = 0, d = 0;
            for (int64_t i = 0; i + 32 <= part; i += 32) {
                for (int64_t j = 0; j < 8; ++j) a += own[i + j];
                for (int64_t j = 8; j < 16; ++j) b += own[i + j];
                for (int64_t j = 16; j < 24; ++j) c += own[i + j];
                for (int64_t j = 24; j < 32; ++j) d += own[i + j];
            }
            total += a + b + c + d;
            asm volatile("" ::: "memory");  // or all rounds would become one
        }
    }
    return total;
}
"""


def facts() -> dict[str, object]:
    """Processor, caches, cores, threads and the versions of what is compared."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "caches": {f"L{level}": size for level, size in caches().items()},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: found for name in _PEERS if (found := _version(name))},
    }


def caches() -> dict[int, int]:
    """The bytes of the first core's caches of data, by level; of no level that is not known."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (folder / "type").read_text().strip() == "Instruction":
            continue
        size = (folder / "size").read_text().strip()
        factor = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
        found[int((folder / "level").read_text())] = int(size.rstrip("KM")) * factor
    return found


def sgemm() -> float:
    """GF/s of float32 matrix products through PyTorch, the best over several sizes."""
    return max(2 * n**3 / _best(_product(n), 0.3) / 1e9 for n in _SIZES)


def bandwidths() -> dict[str, float]:
    """GB/s at which all threads together read what fits each cache, and memory; none without a
    compiler."""
    count, sizes = threads.threads(), caches()
    bytes_read = {}
    if 2 in sizes:
        bytes_read["L2"] = count * sizes[2] // 2
    if 3 in sizes:
        bytes_read["L3"] = max(2 * count * sizes.get(2, 0), sizes[3] // 4)
    bytes_read["DRAM"] = max(256 << 20, 4 * sizes.get(3, 0))
    try:
        read = build.library(_READER).read_all
    except EngineError:
        return {}
    read.restype = ctypes.c_uint64
    read.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int)
    found = {}
    for level, size in bytes_read.items():
        array = torch.ones(size // 8, dtype=torch.int64)
        times = max(1, (64 << 20) // size)
        seconds = _best(lambda a=array, n=times: read(a.data_ptr(), a.numel(), n, count), 0.3)
        found[level] = size * times / seconds / 1e9
    return found


def _product(n: int) -> object:
    a, b, out = torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)
    return lambda: torch.mm(a, b, out=out)


def _best(work: object, seconds: float) -> float:
    """The fastest of the calls that fit in the time, at least three after one to warm up."""
    work()
    took, end = [], time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
