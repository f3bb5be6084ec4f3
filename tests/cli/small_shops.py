"""A table that trains in a moment, and the options for it."""

import numpy as np
import pandas as pd

SMALL = ("--hidden-size=4", "--context-length=14", "--max-epochs=2", "--windows-per-epoch=32",
         "--batch-size=8", "--threads=1")  # fmt: skip


def shops(rows: int = 120, names: tuple[str, ...] = ("north", "=1+1")) -> pd.DataFrame:
    """Daily sales with a weekly rhythm; the second shop's name is a formula."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows)
    week = 3 * np.sin(2 * np.pi * np.arange(rows) / 7)
    parts = [
        pd.DataFrame(
            {"unique_id": name, "ds": days, "y": 10 + 5 * k + week + rng.normal(0, 1, rows)}
        )
        for k, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)
