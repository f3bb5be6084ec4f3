"""Fixtures for the compilation of kernels: a cache of one's own, and a process of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gated.engines.cpu import build, cache, toolchain

Child = Callable[..., str]


@pytest.fixture(scope="session")
def usual_cache() -> str:
    """The cache that tests share, for a kernel of the catalogue in a process of its own."""
    return str(cache.place())


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, for this test alone; nothing is remembered from other tests."""

    def forget() -> None:
        build.library.cache_clear()
        build._prefilled.cache_clear()
        toolchain.search.cache_clear()

    folder = tmp_path / "cache" / "kernels"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("GATED_CACHE", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(cache, "_warned", set())
    forget()
    yield folder
    forget()


@pytest.fixture
def child(kernels: Path) -> Child:
    """Run Python code in a new process, with the test's cache; returns what it prints."""

    def run(code: str, *arguments: str, before: tuple[str, ...] = (), **variables: str) -> str:
        done = subprocess.run(
            [*before, sys.executable, "-c", code, *arguments],
            # threads that spin while they wait take the time of the other tests
            env={
                **os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
                "OMP_WAIT_POLICY": "passive", **variables,
            },
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def wrapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make CXX a script that runs a line of shell before the compiler when it compiles."""
    found = toolchain.search()
    assert isinstance(found, toolchain.Compiler)
    (program, *_) = found.command

    def make(line: str) -> Path:
        script = tmp_path / "c++"
        script.write_text(
            f'#!/bin/sh\nhere={tmp_path}\ncase "$*" in *--version*) ;; *) {line} ;; esac\n'
            f'exec {program} "$@"\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("CXX", str(script))
        toolchain.search.cache_clear()
        return script

    return make
