"""Offline pages that draw themselves: a bundle of `web/`, a JSON document, and arrays."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.errors import OptionError
from gated.inspect.pages import policy, script, template_file

__all__ = ["offline"]

_KINDS = ("float32", "float64", "uint8", "uint16", "int32")


def offline(
    bundle: str,
    content: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    programs: Sequence[str] = (),
) -> str:
    """A page as one HTML text that loads nothing: it runs its own scripts and no others.

    Args:
        bundle: "explorer" or "lesson", the folder of `web/src` that it was made from.
        content: what becomes JSON; `content["title"]` is the page's title.
        arrays: by name; float32, float64, uint8, uint16 or int32.
        programs: scripts that run before the bundle, as the cells' equations.

    Raises:
        OptionError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise OptionError(
            f"the page needs the package {error.name!r}, which is not installed; "
            "pip install 'gated[pages]'"
        ) from error
    scripts = [script(text) for text in (*programs, _bundle(f"{bundle}.js"))]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template_file("offline.html.j2")).render(
        title=content["title"],
        style=Markup(_bundle(f"{bundle}.css")),
        policy=policy(*scripts),
        content=Markup(_json(content)),
        arrays=_packed(arrays or {}),
        programs=[Markup(text) for text in scripts],
    )


def _bundle(name: str) -> str:
    return resources.files("gated.inspect").joinpath("bundles", name).read_text("utf-8")


def _json(content: Mapping[str, Any]) -> str:
    """JSON that holds no character with which markup could start."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(arrays: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, str, str, str]]:
    """Each array's name, type, shape, and its bytes as base64 of raw deflate."""
    for name, values in arrays.items():
        kind = values.dtype.name
        if kind not in _KINDS:
            raise TypeError(f"array {name!r} is {kind}, expected one of {', '.join(_KINDS)}")
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(little.tobytes()) + packer.flush()
        shape = ",".join(map(str, values.shape))
        yield name, kind, shape, base64.b64encode(packed).decode()
