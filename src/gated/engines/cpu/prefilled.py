"""The kernels that came with the package: compiled for the catalogue when a wheel was built.

Who can write to their folder can write to this file beside it, so it is trusted as far as the
package is, whoever owns it. An object is loaded only if it is whole. `prefill` makes them.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from gated.engines.cpu import cache, threads

FOLDER = Path(__file__).with_name("kernels")


def load(name: str) -> ctypes.CDLL | None:
    """The kernel of a name, None if it did not come or cannot be loaded here."""
    path = FOLDER / f"{name}.so"
    if not cache.intact(path):
        return None
    _share_runtime()
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # an older C library than it needs, or a file system mounted noexec
        return None


@lru_cache(maxsize=1)
def _share_runtime() -> None:
    """Let libraries find the functions of PyTorch's OpenMP runtime without naming it."""
    if runtime := threads.torch_runtime():
        with suppress(OSError):
            share(runtime)


def share(runtime: str) -> None:
    """Make the functions of a library, which is loaded already, visible to the whole process."""
    ctypes.CDLL(runtime, ctypes.RTLD_GLOBAL)
