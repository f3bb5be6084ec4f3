"""Measures on traces of gates and states, one file each: definition, source and limits.

    from gated.inspect.measures import half_life, saturation, forget_factor

Those on arrays take values (..., H), and `valid` for lengths. What needs PyTorch is loaded when it
is first asked for, in the way of `gated` itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gated.inspect.measures.arrays import in_reading_order, valid_steps
from gated.inspect.measures.association import Association, association
from gated.inspect.measures.comparison import (
    Difference,
    Matching,
    differences,
    linear_cka,
    match_units,
)
from gated.inspect.measures.correlation import Correlation, correlation, correlations
from gated.inspect.measures.forgetting import forget_factor
from gated.inspect.measures.memory import (
    half_life,
    horizon,
    memory_length,
    retention,
    retention_curve,
)
from gated.inspect.measures.saturation import Saturation, saturation, saturations

if TYPE_CHECKING:
    from gated.inspect.measures.jacobian import (
        jacobian_norms,
        lyapunov_exponents,
        state_jacobian,
    )
    from gated.inspect.measures.recorded import (
        Comparison,
        UnitMeasures,
        compare,
        steps_of,
        unit_measures,
    )

# where each of those stands; none may have the name of a file, which stands here once it is loaded
_LAZY = {
    "Comparison": "recorded",
    "UnitMeasures": "recorded",
    "compare": "recorded",
    "jacobian_norms": "jacobian",
    "lyapunov_exponents": "jacobian",
    "state_jacobian": "jacobian",
    "steps_of": "recorded",
    "unit_measures": "recorded",
}

__all__ = [
    "Association",
    "Comparison",
    "Correlation",
    "Difference",
    "Matching",
    "Saturation",
    "UnitMeasures",
    "association",
    "compare",
    "correlation",
    "correlations",
    "differences",
    "forget_factor",
    "half_life",
    "horizon",
    "in_reading_order",
    "jacobian_norms",
    "linear_cka",
    "lyapunov_exponents",
    "match_units",
    "memory_length",
    "retention",
    "retention_curve",
    "saturation",
    "saturations",
    "state_jacobian",
    "steps_of",
    "unit_measures",
    "valid_steps",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gated.inspect.measures' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
