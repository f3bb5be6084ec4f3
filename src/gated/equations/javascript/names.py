"""How names, numbers and texts are spelled in JavaScript."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from functools import cache
from importlib import resources

__all__ = ["Names", "literal", "quoted", "runtime"]

# JavaScript's own words, and what the written functions use
_RESERVED = re.findall(
    r"\w+",
    """
    arguments await break case catch class const continue debugger default delete do else enum eval
    export extends false finally for function if implements import in instanceof interface let new
    null package private protected public return static super switch this throw true try typeof var
    void while with yield Array Error Float64Array Infinity Math NaN Object globalThis undefined u
    """,
)


@cache
def runtime() -> str:
    """The functions that the table's column calls."""
    return resources.files(__package__).joinpath("runtime.js").read_text("utf-8")


class Names:
    """A variable's name for whatever needs one: the name wished for, numbered if it is taken."""

    def __init__(self, *taken: str) -> None:
        self.found: dict[Hashable, str] = {}
        self.taken = {*_RESERVED, *re.findall(r"function (\w+)", runtime()), *taken}

    def of(self, what: Hashable, wish: str = "n") -> str:
        """The name of `what`; `wish` counts when it is asked for first."""
        if what not in self.found:
            number, name = 1, wish
            while name in self.taken:
                number += 1
                name = f"{wish}_{number}"
            self.taken.add(name)
            self.found[what] = name
        return self.found[what]


def literal(value: float) -> str:
    """A number in JavaScript."""
    return repr(value).removesuffix(".0").replace("inf", "Infinity")


def quoted(value: object) -> str:
    """JSON as a part of a script that stands in a page: it holds no character of markup."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
