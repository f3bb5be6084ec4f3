"""What the forecasting benches share: options, the machine's name, a table over seeds."""

from __future__ import annotations

import argparse
import ast
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """--seeds, --option NAME=VALUE (any of the forecaster's), --json."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0")
    parser.add_argument("--option", type=_option, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def machine() -> str:
    """Processor, and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name} ({len(names)} cores), PyTorch {torch.__version__}"


def describe(rows: list[dict[str, float]]) -> None:
    """One line a figure: its value for each seed, and the mean."""
    for name in rows[0]:
        values = [row[name] for row in rows]
        each = "  ".join(f"{value:8.4f}" for value in values)
        print(f"{name:30} {np.mean(values):8.4f}  mean of  {each}")
