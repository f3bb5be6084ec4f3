"""Measures on traces of gates and states, one file each: definition, source and limits.

    from gated.inspect.measures import half_life, saturation, forget_factor

Those on arrays take values (..., H), and `valid` for lengths. What needs PyTorch is loaded when it
is first asked for, in the way of `gated` itself.
"""

from __future__ import annotations

from gated.inspect.measures.arrays import in_reading_order, valid_steps
from gated.inspect.measures.forgetting import forget_factor
from gated.inspect.measures.memory import (
    half_life,
    horizon,
    memory_length,
    retention,
    retention_curve,
)
from gated.inspect.measures.saturation import Saturation, saturation, saturations

__all__ = [
    "Saturation",
    "forget_factor",
    "half_life",
    "horizon",
    "in_reading_order",
    "memory_length",
    "retention",
    "retention_curve",
    "saturation",
    "saturations",
    "valid_steps",
]
