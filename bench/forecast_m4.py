"""M4 Hourly: 414 series, 48 hours ahead, the competition's own split and sMAPE.

Checks first that the seasonal naive gets the organisers' 13.912 (so data and metric are right),
then trains one forecaster for all series with the library's defaults.

    python bench/forecast_m4.py [--seeds 3] [--option hidden_size=32 ...] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import gated
from forecast_common import add_options, describe, machine

DATA = Path(__file__).parents[2] / "shared" / "data" / "m4"
PUBLISHED = {
    "seasonal naive (organisers)": 13.912,
    "RNN (organisers)": 14.698,
    "FFORMA": 11.506,
    "ES-RNN (winner)": 9.328,
}


def table() -> pd.DataFrame:
    """Train and test files joined, one row a step: the last 48 of each series are the test's."""
    train, test = (
        pd.read_csv(DATA / f"Hourly-{part}.csv", index_col=0) for part in ("train", "test")
    )
    parts = []
    for name in train.index:
        y = np.concatenate(
            [train.loc[name].dropna().to_numpy(), test.loc[name].dropna().to_numpy()]
        )
        parts.append(
            pd.DataFrame({"unique_id": name, "ds": np.arange(len(y)), "y": y.astype(float)})
        )
    return pd.concat(parts, ignore_index=True)


def run(frame: pd.DataFrame, seed: int, options: dict[str, Any]) -> dict[str, float]:
    """Train and judge once; sMAPE of every model, and the minutes of the training."""
    started = time.perf_counter()
    settings = {"horizon": 48, "season": 24, "context_length": 336, "val_size": 48, "test_size": 48}
    model = gated.Forecaster(**{**settings, "seed": seed, **options}).fit(frame, progress="auto")
    minutes = (time.perf_counter() - started) / 60
    found = model.evaluate()
    errors = {name: row["sMAPE"] for name, row in found.metrics.items()}
    assert abs(errors["seasonal naive"] - 13.912) < 0.001, "data or metric is not the organisers'"
    return {**errors, "minutes": minutes}


def main() -> None:
    """Train for each seed and print the table."""
    arguments = add_options(argparse.ArgumentParser(description=__doc__)).parse_args()
    frame = table()
    rows = [run(frame, seed, dict(arguments.option)) for seed in range(arguments.seeds)]
    if arguments.json:
        print(json.dumps({"machine": machine(), "published": PUBLISHED, "seeds": rows}))
        return
    print(f"M4 Hourly, sMAPE; {machine()}, {torch.get_num_threads()} thread(s)\n")
    for name, value in PUBLISHED.items():
        print(f"{name:30} {value:8.3f}  published")
    describe(rows)


if __name__ == "__main__":
    main()
