"""The nearest right name, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A question that leads from a wrong name to a right one, empty if none is near.

    Example:
        >>> did_you_mean("F", ["i", "f"])
        "did you mean 'f'? "
    """
    lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}? " if close else ""
