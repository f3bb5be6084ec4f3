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
    from gated.inspect.measures.clamping import Effect, Importance, clamp, freeze, importance
    from gated.inspect.measures.contribution import Contribution, ablation, integrated_gradients
    from gated.inspect.measures.gradient import GradientFlow, LayerFlow, gradient_flow
    from gated.inspect.measures.jacobian import jacobian_norms, lyapunov_exponents, state_jacobian
    from gated.inspect.measures.recorded import Steps, steps_of
    from gated.inspect.measures.units import Comparison, UnitMeasures, compare, unit_measures

# where each of those stands; none may have the name of a file, which stands here once it is loaded
_LAZY = {
    "Comparison": "units",
    "Contribution": "contribution",
    "Effect": "clamping",
    "GradientFlow": "gradient",
    "Importance": "clamping",
    "LayerFlow": "gradient",
    "Steps": "recorded",
    "UnitMeasures": "units",
    "ablation": "contribution",
    "clamp": "clamping",
    "compare": "units",
    "freeze": "clamping",
    "gradient_flow": "gradient",
    "importance": "clamping",
    "integrated_gradients": "contribution",
    "jacobian_norms": "jacobian",
    "lyapunov_exponents": "jacobian",
    "state_jacobian": "jacobian",
    "steps_of": "recorded",
    "unit_measures": "units",
}

__all__ = [
    "Association",
    "Comparison",
    "Contribution",
    "Correlation",
    "Difference",
    "Effect",
    "GradientFlow",
    "Importance",
    "LayerFlow",
    "Matching",
    "Saturation",
    "Steps",
    "UnitMeasures",
    "ablation",
    "association",
    "clamp",
    "compare",
    "correlation",
    "correlations",
    "differences",
    "forget_factor",
    "freeze",
    "gradient_flow",
    "half_life",
    "horizon",
    "importance",
    "in_reading_order",
    "integrated_gradients",
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
