"""Between which numbers a value must lie, whatever the weights and the input are."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from gated.equations.symbols import Node

__all__ = ["Interval", "bounds", "is_squashed", "written"]

Interval = tuple[float, float]
_ANYTHING: Interval = (-math.inf, math.inf)
_AT_LEAST: dict[str, Interval] = {
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf), "sqrt": (0.0, math.inf), "abs": (0.0, math.inf),
}  # fmt: skip


def _exp(a: Interval) -> Interval:
    low, high = (0.0 if end == -math.inf else math.inf if end > 700 else math.exp(end) for end in a)
    return low, high


def _times(a: Interval, b: Interval) -> Interval:
    corners = [0.0 if 0 in (x, y) else x * y for x, y in product(a, b)]
    return min(corners), max(corners)


_OF: dict[str, Callable[..., Interval]] = {
    "exp": _exp,
    "neg": lambda a: (-a[1], -a[0]),
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": _times,
    "maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "select": lambda condition, a, b: (min(a[0], b[0]), max(a[1], b[1])),
}


def bounds(node: Node) -> Interval:
    """The interval in which a value lies, by interval arithmetic; infinite where no end is known.

    Example:
        >>> from gated.cells import cell
        >>> bounds(cell("cifg").graph.equations["f"])  # 1 - i
        (0.0, 1.0)
    """
    if node.op == "constant":
        return float(node.value), float(node.value)
    if node.op in _AT_LEAST:
        return _AT_LEAST[node.op]
    rule = _OF.get(node.op)
    return rule(*map(bounds, node.args)) if rule else _ANYTHING


def written(interval: Interval, strict: bool = False) -> str:
    """An interval in words, "" if it has no ends; `strict` if its single end is never reached.

    Example:
        >>> written((-1.0, 1.0)), written((0.0, math.inf))
        ('−1 to 1', '≥ 0')
    """
    low, high = (f"{end + 0.0:g}".replace("-", "−") for end in interval)
    ends = math.isfinite(interval[0]), math.isfinite(interval[1])
    if all(ends):
        return f"{low} to {high}"
    if ends[0]:
        return f"> {low}" if strict else f"≥ {low}"
    return f"≤ {high}" if ends[1] else ""


def is_squashed(node: Node) -> bool:
    """Whether it is what a gate is: held between two numbers, or squashed from one side."""
    return all(map(math.isfinite, bounds(node))) or node.op in ("relu", "exp")
