"""Compiling generated C++, once for each source, compiler and machine."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from gated.errors import EngineError

_FLAGS = (
    "-O3", "-std=c++17", "-march=native", "-fopenmp", "-shared", "-fPIC",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """The path of a C++ compiler, None if there is none."""
    return shutil.which(os.environ.get("CXX", "")) or shutil.which("g++") or shutil.which("clang++")


@lru_cache(maxsize=512)
def library(text: str) -> ctypes.CDLL:
    """The source, compiled and loaded."""
    folder = Path(tempfile.gettempdir()) / f"gated-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256("\0".join([text, *_FLAGS]).encode()).hexdigest()[:32]
    target = folder / f"{digest}.so"
    if not target.exists():
        source = folder / f"{digest}.cpp"
        source.write_text(text, "utf-8")
        temporary = folder / f"{digest}.{os.getpid()}.so"
        found = compiler()
        assert found is not None, "supports() was asked first"
        run = subprocess.run(
            [found, *_FLAGS, "-o", str(temporary), str(source)], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if run.returncode:
            raise EngineError(f"the compiler refused a kernel: {run.stderr[:500]}")
        os.replace(temporary, target)
    return ctypes.CDLL(str(target))
