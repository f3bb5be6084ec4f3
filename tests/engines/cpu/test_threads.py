"""One OpenMP runtime, no thread after a fork, no more threads than the machine lends."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gated.engines.cpu import build, threads, toolchain
from gated.engines.cpu.machine import instruction_set

Child = Callable[..., str]

# how many threads a kernel got, of those it asked for
COUNT = """
#include <omp.h>
extern "C" int count(int wanted) {
    int found = 0;
#pragma omp parallel num_threads(wanted) reduction(+ : found)
    found += 1;
    return found;
}
"""

MAPPED = """
import os, sys
if sys.argv[2:]:
    __import__(sys.argv[2])
import torch
from gated.engines.cpu import build, threads
torch.set_num_threads(2)
kernel = build.library(sys.argv[1])
assert kernel.count(2) == 2
(torch.ones(300, 300) @ torch.ones(300, 300)).sum()
assert os.path.samefile(threads.runtime(kernel), threads.torch_runtime())
names = {line.split()[-1] for line in open("/proc/self/maps") if "/libgomp" in line}
print(len(names))
"""

FORK = """
import os, sys, torch
from gated.engines.cpu import build, threads
torch.set_num_threads(2)
kernel, matrix = build.library(sys.argv[1]), torch.ones(600, 600)

def use():
    matrix @ matrix
    return kernel.count(threads.threads())

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return use()

def workers():
    return [int(n) for n in torch.utils.data.DataLoader(
        Numbers(), batch_size=None, num_workers=2, multiprocessing_context="fork")]

before, loaded, after = use(), workers(), use()
child = os.fork()
if child == 0:
    os._exit(use() == torch.get_num_threads() == 1)
_, status = os.waitpid(child, 0)
print(before, loaded, after, os.waitstatus_to_exitcode(status), workers(), use())
"""

FORK_LAYER = """
import os, torch, gated
torch.set_num_threads(2)
layer, x = gated.Recurrent("peephole", 32, 128, engine="cpu"), torch.randn(20, 32, 32)

def use(*_):
    (gradient,) = torch.autograd.grad(layer(x)[0].square().sum(), layer.weight_hh_l0)
    return float(gradient.norm())

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return use()

found = [use(), *torch.utils.data.DataLoader(
    Numbers(), batch_size=None, num_workers=2, multiprocessing_context="fork"), use()]
assert max(found) - min(found) <= 1e-6 * max(found), found
"""


# -- 39


@pytest.mark.skipif(threads.allowed() < 2, reason="needs two CPUs")
def test_a_fork_leaves_one_thread_and_no_hang(child: Child) -> None:
    told = child(FORK, COUNT, OMP_NUM_THREADS="2")
    assert told.strip() == "2 [1, 1, 1, 1] 2 1 [1, 1, 1, 1] 2"


@pytest.mark.skipif(threads.allowed() < 2, reason="needs two CPUs")
def test_a_layer_trains_in_a_worker_as_in_its_parent(usual_cache: str, child: Child) -> None:
    child(FORK_LAYER, OMP_NUM_THREADS="2", GATED_CACHE=usual_cache)


# -- 40


@pytest.mark.skipif(threads.allowed() < 2, reason="needs two CPUs")
def test_kernels_share_the_runtime_of_pytorch(child: Child) -> None:
    assert child(MAPPED, COUNT, OMP_NUM_THREADS="2").strip() == "1"


@pytest.mark.skipif(threads.allowed() < 2, reason="needs two CPUs")
def test_a_runtime_that_another_package_brings_is_not_taken(child: Child) -> None:
    pytest.importorskip("sklearn.utils._openmp_helpers")
    child(MAPPED, COUNT, "sklearn.utils._openmp_helpers", OMP_NUM_THREADS="2")


def test_a_renamed_runtime_is_linked_in_place_of_the_compilers(tmp_path: Path) -> None:
    found = toolchain.search()
    assert isinstance(found, toolchain.Compiler)
    renamed, source, made = (tmp_path / n for n in ("libgomp-0a1b.so.1", "kernel.cpp", "kernel.so"))
    source.write_text(
        'extern "C" {\n'
        "void GOMP_parallel(void (*run)(void*), void* data, unsigned, unsigned) { run(data); }\n"
        "int omp_get_max_threads() { return 1; }\n"
        "}\n"
    )
    own = ("-shared", "-fPIC", f"-Wl,-soname,{renamed.name}")
    toolchain.compile_file(found, own, source, renamed)
    source.write_text(COUNT)
    toolchain.compile_file(found, toolchain.flags(instruction_set(), str(renamed)), source, made)
    # PyTorch has loaded its copy; the loader then finds it by its name, wherever it lies
    held = ctypes.CDLL(str(renamed))
    kernel = ctypes.CDLL(str(made))
    assert threads.runtime(kernel) == threads.runtime(held) == str(renamed)
    assert b"libgomp.so.1\0" not in made.read_bytes()


def test_two_runtimes_are_detected(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "libgomp.so.1"
    other.touch()
    monkeypatch.setattr(threads, "torch_runtime", lambda: str(other))
    with pytest.warns(RuntimeWarning, match="another OpenMP runtime"):
        build.library(COUNT)
    build.library(COUNT + "\n")  # a second warning would be an error


def test_no_runtime_is_no_fault(kernels: Path) -> None:
    kernel = build.library('extern "C" int answer() { return 42; }')
    assert kernel.answer() == 42


# -- 41


@pytest.fixture
def one_limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    def limit(cores: int, granted: float) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        monkeypatch.setattr(threads, "quota", lambda: granted)
        monkeypatch.setattr(threads, "allowed", threads.allowed.__wrapped__)

    return limit


@pytest.mark.parametrize(
    ("cores", "granted", "wanted", "got"),
    [
        (8, math.inf, 4, 4),
        (2, math.inf, 4, 2),
        (8, 3.5, 4, 3),
        (8, 0.5, 4, 1),
        (8, math.inf, 1, 1),
    ],
)
def test_threads_are_capped(
    one_limit: Callable[[int, float], None],
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    granted: float,
    wanted: int,
    got: int,
) -> None:
    one_limit(cores, granted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: wanted)
    assert threads.threads() == got


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/a/b\n", {"a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000"}, 2.5),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, math.inf),
        ("0::/gone\n", {}, math.inf),
        ("0::/../../x\n", {"cpu.max": "400000 100000"}, 4),
        (
            "12:memory:/m\n4:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "4:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
            math.inf,
        ),
    ],
)
def test_control_groups(tmp_path: Path, own: str, files: dict[str, str], cpus: float) -> None:
    groups = tmp_path / "groups"
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert threads.quota(groups, tmp_path / "own") == cpus
    assert threads.quota(groups, tmp_path / "missing") == math.inf
