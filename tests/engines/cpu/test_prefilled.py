"""Kernels that come with the package: found without a compiler, whole, on PyTorch's threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gated.engines.cpu import build, cache, prefilled, threads, toolchain
from gated.engines.cpu.machine import SETS, InstructionSet, instruction_set, narrower, widest
from gated.engines.cpu.prefill import Wanted, compile_one
from gated.errors import EngineError

Child = Callable[..., str]
Ship = Callable[..., Path]

ANSWER = 'extern "C" int answer() { return 42; }\n'
OTHER = ANSWER.replace("42", "43")
LANES = 'extern "C" int answer() { return LANES; }\n'

# how many threads a kernel got, of those it asked for
COUNT = """
#include <omp.h>
extern "C" int count(int wanted) {
    int found = 0;
#pragma omp parallel num_threads(wanted) reduction(+ : found)
    found += omp_get_num_threads() == wanted;
    return found;
}
"""

# with the package's folder, as a user finds it
SHARED = """
import os, sys, torch
from pathlib import Path
from gated.engines.cpu import build, prefilled, threads
prefilled.FOLDER = Path(sys.argv[2])
torch.set_num_threads(2)
kernel = build.library(sys.argv[1])
assert Path(kernel._name).parent == prefilled.FOLDER
(torch.ones(300, 300) @ torch.ones(300, 300)).sum()
names = {line.split()[-1] for line in open("/proc/self/maps") if "gomp" in line}
assert os.path.samefile(*names, threads.torch_runtime())
print(kernel.count(2), len(names))
"""

# where the only runtime has another name; without PyTorch, which would bring its own
RENAMED = """
import ctypes, sys
try:
    ctypes.CDLL(sys.argv[2])
except OSError as fault:
    print("undefined symbol" in str(fault))
ctypes.CDLL(sys.argv[1])
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)  # as prefilled.share does
print(ctypes.CDLL(sys.argv[2]).count(2))
names = {line.split()[-1] for line in open("/proc/self/maps") if "/lib" in line}
print([name for name in names if "gomp" in name or "gump" in name] == [sys.argv[1]])
"""


@pytest.fixture
def ship(kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    """Let a kernel come with the package; returns its file."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(prefilled, "FOLDER", folder)

    def shipped(text: str, machine: InstructionSet | None = None) -> Path:
        wanted = Wanted("for a test", text, machine or instruction_set())
        compile_one(wanted, folder)
        return folder / f"{wanted.name}.so"

    return shipped


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Take the compiler away."""

    def take() -> None:
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        monkeypatch.delenv("CXX", raising=False)
        for remembered in (toolchain.search, build.library, build._prefilled):
            remembered.cache_clear()

    return take


def answer(text: str) -> int:
    return int(build.library(text).answer())


def test_what_came_with_the_package_needs_no_compiler(
    ship: Ship, without_compiler: Callable[[], None], kernels: Path
) -> None:
    ship(ANSWER)
    without_compiler()
    assert build.available(ANSWER) is None
    assert answer(ANSWER) == 42
    assert not kernels.exists()


def test_it_goes_before_a_compiler(
    ship: Ship, wrapper: Callable[[str], Path], kernels: Path
) -> None:
    ship(ANSWER)
    wrapper("exit 1")
    assert answer(ANSWER) == 42
    assert not kernels.exists()


def test_without_a_compiler_what_did_not_come_is_refused_with_the_reason(
    ship: Ship, without_compiler: Callable[[], None]
) -> None:
    ship(ANSWER)
    without_compiler()
    reason = build.available(OTHER)
    assert reason == (
        "its kernel did not come with gated, and there is no C++ compiler: install g++ or clang++,"
        " or let CXX name one"
    )
    with pytest.raises(EngineError) as caught:
        build.library(OTHER)
    assert reason in str(caught.value)


def test_with_a_compiler_what_did_not_come_is_compiled(ship: Ship, kernels: Path) -> None:
    ship(ANSWER)
    assert build.available(OTHER) is None
    assert answer(OTHER) == 43
    assert len(list(kernels.glob("*.so"))) == 1


def test_one_warning_says_what_to_install(
    without_compiler: Callable[[], None], kernels: Path
) -> None:
    build.warn_without_compiler()  # there is one: a warning would be an error
    without_compiler()
    with pytest.warns(RuntimeWarning, match=r"slower.*install g\+\+ or clang\+\+"):
        build.warn_without_compiler()
    build.warn_without_compiler()  # a second warning would be an error


@pytest.mark.parametrize("fault", ["truncated", "empty", "flipped", "another's", "no library"])
def test_what_is_damaged_is_not_loaded(
    ship: Ship, without_compiler: Callable[[], None], fault: str
) -> None:
    path = ship(ANSWER)
    whole = path.read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    nothing = b"no library"
    path.write_bytes({
        "truncated": whole[:-1],
        "empty": b"",
        "flipped": flipped,
        "another's": ship(OTHER).read_bytes(),
        "no library": nothing + cache.checksum(path.name, nothing),
    }[fault])  # fmt: skip
    assert answer(ANSWER) == 42  # compiled
    without_compiler()
    assert "did not come with gated" in str(build.available(ANSWER))


def test_the_owner_of_the_package_is_believed_and_so_are_links(
    ship: Ship, without_compiler: Callable[[], None], tmp_path: Path
) -> None:
    path = ship(ANSWER)
    kept = path.rename(tmp_path / "kept")
    path.symlink_to(kept)  # as installers lay them out
    if os.geteuid() == 0:
        os.chown(kept, 12345, -1)
    without_compiler()
    assert answer(ANSWER) == 42


def test_a_lesser_instruction_set_is_for_those_without_a_compiler(
    ship: Ship, without_compiler: Callable[[], None], kernels: Path
) -> None:
    here = instruction_set()
    if not narrower(here):
        pytest.skip("this machine has the least of them")
    for less in narrower(here):
        ship(LANES, less)
    assert answer(LANES) == here.lanes
    without_compiler()
    assert answer(LANES) == narrower(here)[0].lanes


def test_each_set_contains_the_next() -> None:
    assert narrower(SETS[0]) == SETS[1:]
    assert narrower(SETS[2]) == ()
    assert narrower(widest("aarch64", set())) == ()


def test_the_name_is_known_without_a_compiler(
    without_compiler: Callable[[], None], kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = instruction_set()
    name = build.portable_digest(ANSWER, machine)
    monkeypatch.setenv("CXX", "clang++")
    monkeypatch.setattr(threads, "torch_runtime", lambda: "/opt/libgomp-0a1b.so.1")
    without_compiler()
    assert build.portable_digest(ANSWER, machine) == name
    others = {
        build.portable_digest(OTHER, machine),
        build.portable_digest(ANSWER, replace(machine, name="other")),
        build.portable_digest(ANSWER, replace(machine, flags=("-mtune=generic",))),
    }
    monkeypatch.setattr(build, "_ABI", build._ABI + 1)
    others.add(build.portable_digest(ANSWER, machine))
    assert len(others - {name}) == 4


# -- 40


@pytest.mark.skipif(threads.allowed() < 2, reason="needs two CPUs")
def test_it_runs_on_the_threads_of_pytorch(ship: Ship, child: Child) -> None:
    path = ship(COUNT)
    assert b"libgomp" not in path.read_bytes()
    assert child(SHARED, COUNT, str(path.parent), OMP_NUM_THREADS="2") == "2 1\n"


def test_it_runs_on_a_runtime_of_any_name(ship: Ship, tmp_path: Path) -> None:
    runtime = threads.torch_runtime()
    if runtime is None or b"libgomp.so.1\0" not in Path(runtime).read_bytes():
        pytest.skip("PyTorch's runtime is not GNU's under its own name")
    renamed = tmp_path / "libgump.so.1"
    renamed.write_bytes(Path(runtime).read_bytes().replace(b"libgomp.so.1\0", b"libgump.so.1\0"))
    done = subprocess.run(
        [sys.executable, "-c", RENAMED, str(renamed), str(ship(COUNT))],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["True", "2", "True"], "")


def test_a_runtime_loaded_before_pytorchs_is_warned_of(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(ANSWER)
    monkeypatch.setattr(threads, "torch_runtime", lambda: "/opt/libgomp-0a1b.so.1")
    with pytest.warns(RuntimeWarning, match=r"another OpenMP runtime .*libgomp-0a1b.so.1"):
        assert answer(ANSWER) == 42


def test_a_compiler_whose_kernels_need_another_runtime_is_refused(
    ship: Ship, wrapper: Callable[[str], Path]
) -> None:
    clangs = 'extern "C" void __kmpc_barrier();\nextern "C" void answer() { __kmpc_barrier(); }\n'
    with pytest.raises(EngineError, match=r"let CXX name g\+\+"):
        ship(clangs)


def test_the_kernels_folder_is_beside_the_code() -> None:
    assert prefilled.FOLDER.parent == Path(build.__file__).parent
