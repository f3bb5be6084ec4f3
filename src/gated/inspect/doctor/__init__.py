"""What the engines find on this machine: its facts, a check of each engine, and a layer's choice.

Nothing here prints; `gated doctor` does.
"""

from gated.inspect.doctor.checks import ALLOWED, CELLS, Check, check, steps
from gated.inspect.doctor.comparison import Comparison, Layer, Run, compare
from gated.inspect.doctor.facts import Cache, Machine, machine

__all__ = [
    "ALLOWED",
    "CELLS",
    "Cache",
    "Check",
    "Comparison",
    "Layer",
    "Machine",
    "Run",
    "check",
    "compare",
    "machine",
    "steps",
]
