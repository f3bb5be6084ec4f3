"""ETTh1, univariate (OT), 24 hours ahead, the standard split of 12, 4 and 4 months.

Checks first that the last value gets the MSE of 0.0343 that it must on this split (so data, split
and metric are right). All 2857 test windows, stride 1; MSE and MAE over values scaled by the
training part's mean and standard deviation. The ridge sees the same windows as the network.

    python bench/forecast_etth1.py [--seeds 3] [--option loss=quantile ...] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import gated
from forecast_common import add_options, describe, machine

DATA = Path(__file__).parents[2] / "shared" / "data" / "ett" / "ETTh1.csv"
TRAIN, VAL, TEST = 8640, 2880, 2880
PUBLISHED = {
    "LSTMa (Informer, table 1)": 0.114,
    "Informer (table 1)": 0.098,
    "DeepAR (table 1)": 0.107,
}


def run(frame: pd.DataFrame, seed: int, options: dict[str, Any]) -> dict[str, float]:
    """Train and judge once: MSE of every model and MAE of the network, over scaled values."""
    started = time.perf_counter()
    settings = {
        "horizon": 24,
        "context_length": 336,
        "loss": "mse",
        "val_size": VAL,
        "test_size": TEST,
    }
    model = gated.Forecaster(**{**settings, "seed": seed, **options}).fit(frame, progress="auto")
    minutes = (time.perf_counter() - started) / 60
    found = model.evaluate()
    table, scale = found.forecasts, frame["OT"][:TRAIN].std(ddof=0)
    assert table["window"].nunique() == TEST - 24 + 1, "not all test windows were judged"
    errors = {name: (table[name] - table["y"]) / scale for name in found.metrics}
    mse = {name: float(error.pow(2).mean()) for name, error in errors.items()}
    assert abs(mse["naive"] - 0.0343) < 0.0001, "data, split or metric is not the standard one"
    mae = float(errors[found.network].abs().mean())
    return {**mse, f"{found.network} MAE": mae, "minutes": minutes}


def main() -> None:
    """Train for each seed and print the table."""
    arguments = add_options(argparse.ArgumentParser(description=__doc__)).parse_args()
    frame = pd.read_csv(DATA)[["date", "OT"]][: TRAIN + VAL + TEST]
    rows = [run(frame, seed, dict(arguments.option)) for seed in range(arguments.seeds)]
    if arguments.json:
        print(json.dumps({"machine": machine(), "published": PUBLISHED, "seeds": rows}))
        return
    print(f"ETTh1 OT, 24 hours ahead, MSE; {machine()}, {torch.get_num_threads()} thread(s)\n")
    for name, value in PUBLISHED.items():
        print(f"{name:30} {value:8.4f}  published")
    describe(rows)


if __name__ == "__main__":
    main()
