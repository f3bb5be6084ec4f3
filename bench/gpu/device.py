"""What device this is, and its limits, measured: copying, products, kernels one after another."""

from __future__ import annotations

import json
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

_PEERS = ("torch", "triton", "numpy", "nvidia-cudnn-cu13", "nvidia-cublas")
NODES = 200


def facts(device: str) -> dict[str, object]:
    """Name, memory, driver and the versions of what is compared."""
    found: dict[str, object] = {"device": platform.processor() or "cpu"}
    if device == "cuda":
        told = torch.cuda.get_device_properties(0)
        found = {
            "device": told.name, "capability": f"{told.major}.{told.minor}",
            "multiprocessors": told.multi_processor_count,
            "memory GiB": round(told.total_memory / 2**30, 1),
            "L2 MiB": round(getattr(told, "L2_cache_size", 0) / 2**20, 1),
            "CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version(),
            "driver": _driver(),
        }  # fmt: skip
    versions = {name: number for name in _PEERS if (number := _version(name))}
    return {**found, "python": platform.python_version(), **versions, "commit": _commit()}


def file_name(found: dict[str, object]) -> str:
    """The device's name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", str(found["device"]).lower()).strip("-") or "cpu"


def limits(device: str) -> dict[str, float]:
    """GB/s of a copy (read and written), TF/s of products by type, and microseconds of one small
    kernel after another in a graph and launched one by one."""
    large = device == "cuda"
    found = {"copy GB/s": _copy(device, 1 << (32 if large else 20))}
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        found[f"{name} TF/s"] = _product(device, dtype, 8192 if large else 64)
    for name, on in (("float32", False), ("tf32", True)):
        allow_tf32(on)
        found[f"{name} TF/s"] = _product(device, torch.float32, 8192 if large else 64)
    allow_tf32(False)
    if large:
        found["graph node us"] = _nodes(device)
        found["launch us"] = _launches(device)
    return found


def allow_tf32(on: bool) -> None:
    """PyTorch's settings for products and for cuDNN, which differ as they come."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def milliseconds(work: Callable[[], object], device: str, times: int) -> float:
    """Of one call, of so many one after another."""
    if device != "cuda":
        start = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - start) / times * 1e3
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times


def _median(work: Callable[[], object], device: str, times: int) -> float:
    milliseconds(work, device, 3)
    return statistics.median(milliseconds(work, device, times) for _ in range(5))


def _copy(device: str, size: int) -> float:
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _median(lambda: target.copy_(source), device, 5) / 1e6


def _product(device: str, dtype: torch.dtype, n: int) -> float:
    one, other = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(one)
    return 2 * n**3 / _median(lambda: torch.mm(one, other, out=out), device, 10) / 1e9


def _chain(x: Tensor) -> Callable[[], None]:
    def run() -> None:
        for _ in range(NODES):
            x.mul_(0.999)

    return run


def _nodes(device: str) -> float:
    """Microseconds from a small kernel in a graph to the one that waits for it."""
    x = torch.randn(1024, device=device)
    chain, graph = _chain(x), torch.cuda.CUDAGraph()
    chain()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        chain()
    return _median(graph.replay, device, 10) / NODES * 1e3


def _launches(device: str) -> float:
    """The same, launched from Python one by one."""
    return _median(_chain(torch.randn(1024, device=device)), device, 3) / NODES * 1e3


def _driver() -> str:
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.split("\n")[0]


def _commit() -> str:
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(facts("cuda" if torch.cuda.is_available() else "cpu")))
