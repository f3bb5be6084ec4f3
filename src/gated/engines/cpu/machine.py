"""What this machine offers to a kernel: its vector instructions."""

from __future__ import annotations

import platform
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# what the levels of the x86-64 ABI ask for, as Linux names it in /proc/cpuinfo
_V3 = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
_V4 = _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])


@dataclass(frozen=True)
class InstructionSet:
    """A set of instructions that kernels are compiled for."""

    name: str
    flags: tuple[str, ...]
    lanes: int  # floats in a vector


# those of x86-64, each a part of the one before
SETS = (
    # compilers think 256 bits enough; the kernels' tile is made for 512
    InstructionSet("x86-64-v4", ("-march=x86-64-v4", "-mprefer-vector-width=512"), 16),
    InstructionSet("x86-64-v3", ("-march=x86-64-v3",), 8),
    InstructionSet("x86-64", (), 4),
)


@lru_cache(maxsize=1)
def instruction_set() -> InstructionSet:
    """The widest one that every core of this machine has."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    return widest(platform.machine(), common_flags(text))


def common_flags(cpuinfo: str) -> frozenset[str]:
    """The features that all cores have, of the text of /proc/cpuinfo."""
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    cores = [frozenset(value.split()) for key, _, value in lines if key.strip() == "flags"]
    return frozenset.intersection(*cores) if cores else frozenset()


def widest(architecture: str, features: Set[str]) -> InstructionSet:
    """The widest set for cores of an architecture with these features."""
    if architecture not in ("x86_64", "AMD64"):
        return InstructionSet(architecture, (), 4)
    if features >= _V4:
        return SETS[0]
    return SETS[1] if features >= _V3 else SETS[2]


def narrower(machine: InstructionSet) -> tuple[InstructionSet, ...]:
    """The sets that a machine of this one has too, the widest first."""
    return SETS[SETS.index(machine) + 1 :] if machine in SETS else ()
