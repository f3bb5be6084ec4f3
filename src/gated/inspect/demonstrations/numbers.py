"""Numbers as the demonstrations write them, the same in sentences and in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gated.inspect import words

__all__ = ["column", "number"]

_RAISED = str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_APART = 1e4  # how many times its smallest a column's largest number is, written alike


def number(value: float, digits: int = 3, whole: bool = True) -> str:
    """A number with so many significant digits, its power of ten as the lesson writes it.

    >>> number(0.9**100), number(1.5**100), number(0.25)
    ('2.66·10⁻⁵', '4.07·10¹⁷', '0.250')
    """
    text, _, power = words.number(value, digits, whole).replace("-", "−").partition("e")
    if not power:
        return text
    sign = "−" if power[0] == "−" else ""
    return f"{text}·10{(sign + power[1:].lstrip('0')).translate(_RAISED)}"


def column(values: Sequence[float]) -> list[str]:
    """A table's column: one number of decimals where the values are of like size.

    It is the fewest that write all of them exactly, or give the smallest three digits.

    >>> column([1.0, 0.99, 0.5]), column([64.0, 79.0]), column([0.0, 7.74, 10.123])
    (['1.00', '0.99', '0.50'], ['64', '79'], ['0', '7.74', '10.12'])
    """
    sizes = [abs(v) for v in values if v and math.isfinite(v)]
    if not sizes or max(sizes) > _APART * min(sizes) or not 1e-4 <= min(sizes) <= 1e6:
        return [number(v, whole=v == 0) for v in values]
    most = max(0, 2 - math.floor(math.log10(min(sizes))))
    decimals = next((d for d in range(most) if all(_exact(v, d) for v in sizes)), most)
    return [
        f"{v:,.{decimals}f}".replace("-", "−") if v and math.isfinite(v) else number(v)
        for v in values
    ]


def _exact(value: float, decimals: int) -> bool:
    return math.isclose(value, round(value, decimals), rel_tol=1e-9)
