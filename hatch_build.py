"""Put the kernels that `make wheel` compiled into the wheel; without any it is as ever, pure."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("build", "kernels")
PLACE = Path("gated", "engines", "cpu", "kernels")
# the oldest C library that such a tag can name
_OLDEST = 17


class Kernels(BuildHookInterface[Any]):
    """Adds the kernels, and says on what machines the wheel can be installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is built; what is here is used from where it lies if editable."""
        kernels = sorted((Path(self.root) / KERNELS).glob("*.so"))
        if version == "editable" or not kernels:
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(kernels)}"
        build_data["force_include"] |= {str(path): str(PLACE / path.name) for path in kernels}


def platform_tag(libraries: list[Path]) -> str:
    """The tag of the machines whose C library is new enough for all of these."""
    needed = re.compile(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)")
    found = (int(n) for path in libraries for n in needed.findall(path.read_bytes()))
    return f"manylinux_2_{max([_OLDEST, *found])}_{platform.machine()}"
