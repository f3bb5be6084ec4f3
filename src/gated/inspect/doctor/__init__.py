"""What the engines find on this machine: its facts, a check of each engine, and a layer's choice.

Nothing here prints; `gated doctor` does.
"""

from gated.inspect.doctor.checks import ALLOWED, CELLS, EPS, TIMES, Check, check, steps
from gated.inspect.doctor.comparison import Comparison, Layer, compare, device_of
from gated.inspect.doctor.facts import Cache, Gpu, Machine, machine
from gated.inspect.doctor.timing import Run

__all__ = [
    "ALLOWED",
    "CELLS",
    "EPS",
    "TIMES",
    "Cache",
    "Check",
    "Comparison",
    "Gpu",
    "Layer",
    "Machine",
    "Run",
    "check",
    "compare",
    "device_of",
    "machine",
    "steps",
]
