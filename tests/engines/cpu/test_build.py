"""Kernels that are damaged, planted, refused or hostile; the numbers are rows of the faults."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gated.engines.cpu import build, cache, toolchain
from gated.engines.cpu.machine import InstructionSet, common_flags, instruction_set, widest
from gated.errors import EngineError

ANSWER = 'extern "C" int answer() { return 42; }\n'
FEATURES = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
V3 = widest("x86_64", FEATURES)


def answer(text: str = ANSWER) -> int:
    """What the kernel says, as a new process would find it."""
    build.library.cache_clear()
    return int(build.library(text).answer())


def objects(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def test_a_kernel_is_compiled_once(kernels: Path, wrapper: Callable[[str], Path]) -> None:
    wrapper("echo compiled >> $here/count")
    assert [answer(), answer(), answer()] == [42, 42, 42]
    assert (kernels.parents[1] / "count").read_text().split() == ["compiled"]
    (made,) = objects(kernels)
    assert made.with_suffix(".cpp").read_text() == ANSWER
    assert kernels.stat().st_mode & 0o777 == 0o700
    assert not list(kernels.glob("work-*"))


# -- 33


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -41])
def test_a_truncated_object_is_rebuilt(kernels: Path, keep: int) -> None:
    answer()
    (made,) = objects(kernels)
    whole = made.read_bytes()
    made.unlink()  # this process has it loaded
    made.write_bytes(whole[:keep])
    assert not cache.valid(made)
    assert answer() == 42
    assert cache.valid(made)


def test_every_flipped_bit_is_found_before_the_object_is_loaded(kernels: Path) -> None:
    answer()
    (made,) = objects(kernels)
    whole = made.read_bytes()
    damaged = kernels / "damaged" / made.name
    damaged.parent.mkdir()
    damaged.write_bytes(whole)
    assert cache.valid(damaged)
    for place in range(0, len(whole), len(whole) // 500):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        damaged.write_bytes(content)
        assert not cache.valid(damaged), place


def test_an_object_under_another_name_is_not_believed(kernels: Path) -> None:
    answer()
    (made,) = objects(kernels)
    other = ANSWER.replace("42", "43")
    assert answer(other) == 43
    (second,) = set(objects(kernels)) - {made}
    second.unlink()
    second.write_bytes(made.read_bytes())
    assert answer(other) == 43


def test_strays_of_killed_builders_are_removed(kernels: Path) -> None:
    kernels.mkdir(parents=True, mode=0o700)
    old, new = kernels / "work-old", kernels / "work-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    answer()
    assert not old.exists()
    assert new.exists()


# -- 34


def test_a_cache_that_cannot_be_made_costs_one_warning(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels.parent.write_text("a file")
    with pytest.warns(RuntimeWarning, match="GATED_CACHE"):
        assert answer() == 42
    assert answer(ANSWER.replace("42", "43")) == 43  # a second warning would be an error
    assert not list((kernels.parents[1] / "temporary").iterdir())


def test_a_full_cache_is_not_the_sources_fault(
    kernels: Path, wrapper: Callable[[str], Path]
) -> None:
    wrapper('case "$*" in */cache/*) echo "ld: No space left on device" >&2; exit 1;; esac')
    with pytest.warns(RuntimeWarning, match="No space left") as warned:
        assert answer() == 42
    assert len(warned) == 1
    assert not list(kernels.glob("work-*"))


def test_nowhere_to_compile_is_an_error_that_says_so(
    kernels: Path, wrapper: Callable[[str], Path]
) -> None:
    wrapper('echo "ld: No space left on device" >&2; exit 1')
    with pytest.warns(RuntimeWarning), pytest.raises(EngineError, match="TMPDIR or GATED_CACHE"):
        answer()
    assert not list((kernels.parents[1] / "temporary").iterdir())


# -- 36


@pytest.mark.parametrize("fault", ["group", "world", "link", "owner"])
def test_a_folder_that_others_can_change_is_refused(
    kernels: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels.mkdir(parents=True, mode=0o700)
    said = {"group": "others may write", "world": "others may write", "link": "is a link"}
    if fault == "link":
        kernels.rename(kernels.with_name("elsewhere"))
        kernels.symlink_to("elsewhere")
    elif fault == "owner":
        if os.geteuid() == 0:
            os.chown(kernels, 12345, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
    else:
        kernels.chmod(0o770 if fault == "group" else 0o707)
    with pytest.raises(OSError, match=said.get(fault, "is owned by")):
        cache.folder()
    with pytest.warns(RuntimeWarning, match=said.get(fault, "is owned by")):
        assert answer() == 42
    assert not list(kernels.iterdir())


def test_a_planted_object_is_never_loaded(kernels: Path, tmp_path: Path) -> None:
    source = tmp_path / "planted.cpp"
    source.write_text(
        '#include <cstdlib>\nextern "C" int answer() { return 0; }\n'
        "struct Trap { Trap() { std::abort(); } } trap;\n"
    )
    answer()
    (made,) = objects(kernels)
    made.unlink()
    subprocess.run(["g++", "-shared", "-fPIC", "-o", made, source], check=True)
    assert answer() == 42


# -- 37


def test_nothing_reaches_a_shell(
    kernels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = tmp_path / "a b;touch pwned;$(touch pwned)`touch pwned`'\""
    monkeypatch.setenv("GATED_CACHE", str(hostile))
    assert answer() == 42
    assert len(objects(hostile)) == 1
    monkeypatch.setenv("CXX", "g++; touch pwned")
    toolchain.search.cache_clear()
    assert "CXX=g++; touch pwned is no program" in str(build.unavailable())
    assert not list(tmp_path.rglob("pwned"))


# -- 38


def test_other_compilers_flags_and_machines_have_other_keys() -> None:
    found, machine = toolchain.search(), instruction_set()
    assert isinstance(found, toolchain.Compiler)
    keys = [
        build.digest(*given)
        for given in [
            (ANSWER, found, machine),
            (ANSWER + " ", found, machine),
            (ANSWER, replace(found, command=("/opt/g++",)), machine),
            (ANSWER, replace(found, command=(*found.command, "-g")), machine),
            (ANSWER, replace(found, version="99"), machine),
            (ANSWER, replace(found, changed=1), machine),
            (ANSWER, found, replace(machine, name="other")),
            (ANSWER, found, replace(machine, flags=(*machine.flags, "-mtune=generic"))),
            (ANSWER, found, replace(machine, lanes=2)),
        ]
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_depend_on_where_the_environment_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, machine = toolchain.search(), instruction_set()
    assert isinstance(found, toolchain.Compiler)
    keys = set()
    for place in ("/one/libgomp-1.so", "/two/libgomp-1.so", "/one/libgomp-2.so"):
        monkeypatch.setattr(build.threads, "torch_runtime", lambda place=place: place)
        keys.add(build.digest(ANSWER, found, machine))
    assert len(keys) == 2


def test_an_instruction_set_is_one_that_every_core_has() -> None:
    full = FEATURES | {"sse4_2"}
    wide = full | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])
    assert widest("x86_64", wide) == InstructionSet(
        "x86-64-v4", ("-march=x86-64-v4", "-mprefer-vector-width=512"), 16
    )
    for missing in ("avx512f", "avx512cd", "avx512vl"):
        assert widest("x86_64", wide - {missing}) == V3
    for missing in ("fma", "avx2", "movbe"):
        assert widest("x86_64", wide - {missing}) == InstructionSet("x86-64", (), 4)
    assert widest("aarch64", frozenset({"asimd"})) == InstructionSet("aarch64", (), 4)
    text = f"flags\t\t: {' '.join(wide)}\nvmx flags\t: ept\n\nflags\t\t: {' '.join(full)}\n"
    assert common_flags(text) == full
    assert common_flags("Features : fp asimd\n") == frozenset()


def test_kernels_know_how_many_lanes_they_have(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        'extern "C" int lanes() { return LANES; }\n'
        "#ifdef __AVX512F__\n"
        'extern "C" int answer() { return 16; }\n'
        "#elif defined __AVX2__\n"
        'extern "C" int answer() { return 8; }\n'
        "#else\n"
        'extern "C" int answer() { return 4; }\n'
        "#endif\n"
    )
    here = instruction_set()
    others = {"x86-64-v4": [V3], "x86-64-v3": []}.get(here.name, [])
    for machine in (here, *others):
        monkeypatch.setattr(build, "instruction_set", lambda machine=machine: machine)
        assert answer(text) == build.library(text).lanes() == machine.lanes
    assert len(objects(kernels)) == 1 + len(others)


def test_flags_are_safe(kernels: Path) -> None:
    for machine in (V3, instruction_set()):
        given = toolchain.flags(machine, None)
        assert not {"-ffast-math", "-Ofast", "-march=native"} & set(given)
    answer()
    tiny = torch.tensor(1e-40)
    assert (tiny * 1).item() == tiny.item() != 0  # denormals are kept


# -- compilers


def test_a_source_that_the_compiler_refuses(kernels: Path) -> None:
    with pytest.raises(EngineError) as caught:
        answer("int answer( {\n")
    message = str(caught.value)
    (source,) = kernels.glob("*.cpp")
    assert f"the source is {source}" in message
    assert source.read_text() == "int answer( {\n"
    assert "-O3 -std=c++17" in message
    assert "error:" in message
    assert not objects(kernels)
    assert not list(kernels.glob("work-*"))


def test_a_compiler_that_fails_without_a_word(
    kernels: Path, wrapper: Callable[[str], Path]
) -> None:
    wrapper("exit 7")
    with pytest.raises(EngineError, match="it ended with 7 and said nothing"):
        answer()


def test_no_compiler(kernels: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    toolchain.search.cache_clear()
    assert build.unavailable() == (
        "there is no C++ compiler: install g++ or clang++, or let CXX name one"
    )
    with pytest.raises(EngineError, match="there is no C\\+\\+ compiler"):
        answer()


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-march=native"])
def test_flags_in_cxx_that_would_make_kernels_wrong(
    kernels: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setenv("CXX", f"g++ {flag}")
    toolchain.search.cache_clear()
    assert f"CXX holds {flag}" in str(build.unavailable())


def test_where_kernels_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GATED_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the standard says to ignore
    assert cache.place() == tmp_path / ".cache" / "gated" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.place() == tmp_path / "xdg" / "gated" / "kernels"
    assert cache.folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("GATED_CACHE", str(tmp_path / "own"))
    assert cache.place() == tmp_path / "own"


def test_libraries_are_plain(kernels: Path) -> None:
    assert isinstance(build.library(ANSWER), ctypes.CDLL)
    assert build.library(ANSWER) is build.library(ANSWER)
