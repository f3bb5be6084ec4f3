"""The facts of this machine and process that decide which engines run, and how fast."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from gated import __version__
from gated.engines.cpu import cache, threads, toolchain
from gated.engines.cpu.machine import instruction_set
from gated.training.environment import environment

# GNU's, Intel's and LLVM's, under their own names or those that packages give to their copies
_OPENMP = re.compile(r"lib(?:g|i)?omp\d*(?:[-.][\w.+-]*)?\.(?:so|dylib)(?:\.\d+)*")


@dataclass(frozen=True)
class Cache:
    """The folder of compiled kernels.

    Attributes:
        folder: where it is.
        problem: why it cannot be used, None if it can.
        kernels: how many are in it.
        size: of all its files, in bytes.
    """

    folder: str
    problem: str | None
    kernels: int
    size: int


@dataclass(frozen=True)
class Gpu:
    """The GPU that PyTorch takes unless another is named.

    Attributes:
        name: what it calls itself.
        capability: its compute capability, as "9.0".
        memory: in bytes.
        count: how many GPUs PyTorch sees.
    """

    name: str
    capability: str
    memory: int
    count: int


@dataclass(frozen=True)
class Machine:
    """Versions, processor, threads, OpenMP runtimes, cache and GPU.

    Attributes:
        gated, python, torch: versions.
        cuda: the version of CUDA that PyTorch was built with, None if it was built without.
        triton: the version of Triton, None if it is not installed.
        compiler: the C++ compiler that kernels are compiled with, None if there is none.
        compiler_version: what it says of itself; without a compiler, why there is none.
        cpu: the processor's name.
        instruction_set: what kernels are compiled for.
        lanes: the float32 numbers that one of its instructions takes.
        torch_threads: how many threads PyTorch uses.
        allowed_threads: how many CPUs this process may use, by affinity and control group.
        kernel_threads: how many threads kernels use.
        openmp: the files of the OpenMP runtimes in this process.
        cache: the folder of compiled kernels.
        gpu: the GPU, None if PyTorch sees none.
    """

    gated: str
    python: str
    torch: str
    cuda: str | None
    triton: str | None
    compiler: str | None
    compiler_version: str
    cpu: str
    instruction_set: str
    lanes: int
    torch_threads: int
    allowed_threads: int
    kernel_threads: int
    openmp: tuple[str, ...]
    cache: Cache
    gpu: Gpu | None

    @property
    def warnings(self) -> list[str]:
        """What makes engines slower than they could be here, each with what to do about it."""
        found = []
        if self.compiler is None:
            found.append(
                f"no kernel can be compiled: {self.compiler_version}. Cells that have no kernel run"
                " on PyTorch's operators or on the reference, many times slower"
            )
        elif self.cache.problem:
            found.append(
                f"the cache cannot be used, so kernels are compiled anew in each process:"
                f" {self.cache.problem}. Or let GATED_CACHE name a folder that only you can write"
                " to"
            )
        if self.gpu is not None and self.triton is None:
            found.append(
                "Triton is not installed, so no kernel can be made for the GPU: install triton, of"
                " the version that comes with this PyTorch"
            )
        if len(self.openmp) > 1:
            found.append(
                f"{len(self.openmp)} OpenMP runtimes are in this process, each with threads of its"
                f" own: {', '.join(self.openmp)}. Let one package bring it: reinstall the others"
                " from where PyTorch comes from, and let CXX name g++"
            )
        if self.torch_threads > self.allowed_threads:
            found.append(
                f"PyTorch uses {self.torch_threads} threads, and this process may use"
                f" {self.allowed_threads} of the CPUs:"
                f" call torch.set_num_threads({self.allowed_threads}), or set"
                f" OMP_NUM_THREADS={self.allowed_threads}"
            )
        return found


def machine() -> Machine:
    """Look at this machine and process."""
    around, instructions, found = environment(), instruction_set(), toolchain.search()
    compiler, told = (
        (None, found) if isinstance(found, str) else (" ".join(found.command), found.version)
    )
    return Machine(
        gated=__version__,
        python=around["python"],
        torch=torch.__version__,
        cuda=torch.version.cuda,
        triton=_triton(),
        compiler=compiler,
        compiler_version=told,
        cpu=around["cpu"],
        instruction_set=instructions.name,
        lanes=instructions.lanes,
        torch_threads=torch.get_num_threads(),
        allowed_threads=threads.allowed(),
        kernel_threads=threads.threads(),
        openmp=openmp(mapped_files()),
        cache=kernel_cache(),
        gpu=gpu(),
    )


def gpu() -> Gpu | None:
    """The GPU that PyTorch takes, None if it sees none."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    capability = f"{found.major}.{found.minor}"
    return Gpu(found.name, capability, found.total_memory, torch.cuda.device_count())


def _triton() -> str | None:
    """The version of Triton, None if it is not installed."""
    if find_spec("triton") is None:
        return None
    with suppress(PackageNotFoundError):  # it stands in packages of other names, too
        return version("triton")
    return str(import_module("triton").__version__)


def mapped_files() -> str:
    """What this process has in memory, as Linux lists it; empty elsewhere."""
    try:
        return Path("/proc/self/maps").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def openmp(maps: str) -> tuple[str, ...]:
    """The files of the OpenMP runtimes among those that a process has mapped.

    Args:
        maps: the text of /proc/PID/maps.

    Example:
        >>> openmp("7f00-7f01 r-xp 00000000 08:01 42    /usr/lib/libgomp.so.1.0.0")
        ('/usr/lib/libgomp.so.1.0.0',)
    """
    # address, rights, offset, device, inode; then the file, in which spaces may stand
    lines = (line.split(maxsplit=5) for line in maps.splitlines())
    files = (parts[5].removesuffix(" (deleted)") for parts in lines if len(parts) == 6)
    found = (file for file in files if _OPENMP.fullmatch(os.path.basename(file)))
    return tuple(dict.fromkeys(found))


def kernel_cache() -> Cache:
    """The folder of kernels, and whether it can be used; it is made if it is not there."""
    place = cache.place()
    kernels = size = 0
    problem = _problem(place)
    with suppress(OSError):  # the problem says why
        for entry in os.scandir(place):
            if entry.is_file(follow_symlinks=False):
                kernels += entry.name.endswith(".so")
                size += entry.stat(follow_symlinks=False).st_size
    return Cache(str(place), problem, kernels, size)


def _problem(place: Path) -> str | None:
    """Why the folder cannot be used, None if it can."""
    if not hasattr(os, "geteuid"):
        return f"{sys.platform} does not tell whose a folder is"
    try:
        cache.folder()
    except OSError as fault:
        # the cache's own words, or the system's
        return f"{fault.filename}: {fault.strerror}" if fault.strerror else str(fault)
    return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written to"
