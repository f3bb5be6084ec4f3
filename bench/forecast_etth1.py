"""ETTh1, oil temperature, 24 hours ahead: the LSTM beside the last value and the ridge.

    python bench/forecast_etth1.py --threads 1

The protocol of the Informer's tables: 8640 hours to train, 2880 to validate, 2880 to test; the
error of all 2857 test windows over values scaled by the training part's mean and standard
deviation. First the last value and a ridge with a context of 96 hours, computed here with NumPy
alone, must give the known 0.034 and 0.026; then the pipeline's own baselines must agree.

A context of 336 hours is better than 168 on the validation part, for the ridge as for the LSTM;
the ridge at the LSTM's own context is the last baseline.

The published LSTM row is 0.114 (Zhou et al. 2021, table 1: LSTMa, MAE 0.272).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gated import Forecaster
from gated.training.environment import environment

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ett" / "ETTh1.csv"
TRAIN, PART, HORIZON = 8640, 2880, 24
KNOWN = {"last value": 0.034, "ridge, 96 hours": 0.026}
Array = NDArray[np.float64]


def errors(forecast: Array, truth: Array) -> dict[str, float]:
    """Mean squared and absolute error over all windows and hours."""
    off = forecast - truth
    return {"MSE": float(np.square(off).mean()), "MAE": float(np.abs(off).mean())}


def plain_baselines(z: Array) -> dict[str, dict[str, float]]:
    """The last value, and a ridge fitted by its normal equations, without any of gated."""
    windows = np.lib.stride_tricks.sliding_window_view(z, 96 + HORIZON)
    last = windows[:, 95:96]
    x, y = windows[:, :96] - last, windows[:, 96:] - last
    train, test = slice(0, TRAIN - 96 - HORIZON + 1), slice(TRAIN + PART - 96, None)
    center_x, center_y = x[train].mean(0), y[train].mean(0)
    a, b = x[train] - center_x, y[train] - center_y
    weights = np.linalg.solve(a.T @ a + 100.0 * np.eye(96), a.T @ b)
    truth = windows[test, 96:]
    assert len(truth) == PART - HORIZON + 1
    ridge = (x[test] - center_x) @ weights + center_y + last[test]
    return {
        "last value": errors(np.repeat(last[test], HORIZON, 1), truth),
        "ridge, 96 hours": errors(ridge, truth),
    }


def pipeline(
    frame: pd.DataFrame, mean: float, std: float, **options: Any
) -> dict[str, dict[str, float]]:
    """Train, judge on every test window, and scale the errors."""
    start = time.perf_counter()
    model = Forecaster(
        target="OT", time_col="date", horizon=HORIZON, val_size=PART, test_size=PART, **options
    ).fit(frame)
    minutes = (time.perf_counter() - start) / 60
    table = model.evaluate().forecasts
    assert len(table) == (PART - HORIZON + 1) * HORIZON
    truth = (table["y"].to_numpy() - mean) / std
    names = ["LSTM", "naive", "seasonal naive", "ridge"]
    found = {name: errors((table[name].to_numpy() - mean) / std, truth) for name in names}
    found["LSTM"] |= {"minutes": minutes, "epochs": len(model.history.lines)}
    return found


def main() -> int:
    """Measure, print, and exit with 1 if a baseline is not what it is known to be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="ETTh1.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--losses", nargs="+", default=["mse"])
    parser.add_argument("--context-length", type=int, default=336, help="hours")
    parser.add_argument("--max-epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    say = (lambda line: None) if args.json else print

    frame = pd.read_csv(args.data)[["date", "OT"]].iloc[: TRAIN + 2 * PART]
    values = frame["OT"].to_numpy(dtype=np.float64)
    mean, std = values[:TRAIN].mean(), values[:TRAIN].std()
    plain = plain_baselines((values - mean) / std)
    for name, known in KNOWN.items():
        say(f"{name:32} MSE {plain[name]['MSE']:.5f}  MAE {plain[name]['MAE']:.4f}")
        if round(plain[name]["MSE"], 3) != known:
            print(f"the {name} should give {known}: wrong data or protocol", file=sys.stderr)
            return 1

    runs: dict[str, list[dict[str, Any]]] = {}
    for loss in args.losses:
        for seed in args.seeds:
            found = pipeline(
                frame, mean, std, loss=loss, seed=seed, max_epochs=args.max_epochs,
                context_length=args.context_length,
            )  # fmt: skip
            if not np.isclose(found["naive"]["MSE"], plain["last value"]["MSE"], rtol=1e-9):
                print("the pipeline's windows are not the protocol's", file=sys.stderr)
                return 1
            runs.setdefault(loss, []).append({"seed": seed, **found})
            line = found["LSTM"]
            say(
                f"LSTM, loss {loss}, seed {seed}".ljust(32)
                + f" MSE {line['MSE']:.5f}  MAE {line['MAE']:.4f}  "
                f"{line['minutes']:.1f} min, {line['epochs']} epochs"
            )
    ridge = next(iter(runs.values()))[0]["ridge"]
    say(
        f"ridge, {args.context_length} hours".ljust(32)
        + f" MSE {ridge['MSE']:.5f}  MAE {ridge['MAE']:.4f}"
    )
    means = {
        loss: {key: float(np.mean([r["LSTM"][key] for r in of])) for key in ("MSE", "MAE")}
        for loss, of in runs.items()
    }
    for loss, line in means.items():
        say(f"LSTM, loss {loss}, mean".ljust(32) + f" MSE {line['MSE']:.5f}  MAE {line['MAE']:.4f}")
    machine = environment() | {"threads": args.threads}
    say("  ".join(f"{key}: {value}" for key, value in machine.items()))
    if args.json:
        print(json.dumps({"known": plain, "runs": runs, "mean": means, "machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
