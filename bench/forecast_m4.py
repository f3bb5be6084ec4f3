"""M4 Hourly, 48 hours ahead for 414 series: one LSTM for all, beside the seasonal naive.

    python bench/forecast_m4.py --threads 1

The Train file's last 48 hours choose the weights; the Test file is forecast once. First the
seasonal naive, computed here with NumPy from the two files alone, must give the competition's
sMAPE 13.912 and MASE 1.193; then the pipeline's must agree to the last digit. MASE is scaled, as
in the competition, by the seasonal naive's error over the whole Train file (the pipeline's own
verdict scales it by its training part, which is 48 hours shorter).

Other entries: the organisers' RNN 14.698 and MLP 13.842, Smyl's ES-RNN 9.328 (sMAPE).

--cut trains the same network with its hidden state cut off from the forecast, which leaves the
last value, the linear part and a constant: what the LSTM adds is the difference.
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

import gated.tasks.forecast.forecaster as task
from gated import Forecaster
from gated.models import ForecastNet
from gated.training.environment import environment

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "m4"
HORIZON, SEASON, SERIES = 48, 24, 414
KNOWN = {"sMAPE": 13.912, "MASE": 1.193}
Array = NDArray[np.float64]


def read(folder: Path) -> dict[str, tuple[Array, Array]]:
    """For each series what the Train and the Test file hold."""
    train, test = (
        pd.read_csv(folder / f"Hourly-{part}.csv", index_col=0) for part in ("train", "test")
    )
    return {
        str(name): (row.dropna().to_numpy(float), test.loc[name].to_numpy(float))
        for name, row in train.iterrows()
    }


def judge(forecasts: dict[str, Array], data: dict[str, tuple[Array, Array]]) -> dict[str, float]:
    """The competition's figures: the mean over series of sMAPE in percent, and of MASE."""
    smape, mase = [], []
    for name, (past, truth) in data.items():
        off = np.abs(forecasts[name] - truth)
        smape.append(200 * (off / (np.abs(forecasts[name]) + np.abs(truth))).mean())
        mase.append(off.mean() / np.abs(past[SEASON:] - past[:-SEASON]).mean())
    return {"sMAPE": float(np.mean(smape)), "MASE": float(np.mean(mase))}


def table(data: dict[str, tuple[Array, Array]]) -> pd.DataFrame:
    """Both files as one long table with integer time."""
    rows = [np.concatenate(pair) for pair in data.values()]
    return pd.DataFrame(
        {
            "unique_id": np.repeat(list(data), [len(row) for row in rows]),
            "ds": np.concatenate([np.arange(len(row)) for row in rows]),
            "y": np.concatenate(rows),
        }
    )


def without_hidden_state(*args: Any) -> ForecastNet:
    """The same network, but the head never learns to read the hidden state."""
    net = make_net(*args)
    net.head.out.weight.requires_grad_(False)
    return net


make_net = task.make_net


def pipeline(frame: pd.DataFrame, **options: Any) -> tuple[dict[str, dict[str, Array]], Any]:
    """Train and forecast the Test file: model -> series -> (48,)."""
    model = Forecaster(
        horizon=HORIZON, season=SEASON, val_size=HORIZON, test_size=HORIZON, **options
    )
    start = time.perf_counter()
    model.fit(frame)
    minutes = (time.perf_counter() - start) / 60
    held_out = model.evaluate()
    found = {
        name: {
            str(one): rows[name].to_numpy() for one, rows in held_out.forecasts.groupby("unique_id")
        }
        for name in held_out.metrics
    }
    about = {
        "minutes": minutes,
        "epochs": len(model.history.lines),
        "validation": model.history.best_loss,
        "coverage 90%": held_out.metrics["LSTM"].get("coverage 90%"),
    }
    return found, about


def main() -> int:
    """Measure, print, and exit with 1 if the seasonal naive is not what it is known to be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the two files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--context-length", type=int, default=336, help="hours")
    parser.add_argument("--max-epochs", type=int, default=30)
    parser.add_argument("--cut", action="store_true", help="without the hidden state")
    parser.add_argument("--classic", action="store_true", help="LSTM(50), linear head, MSE, Adam")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    say = (lambda line: None) if args.json else print

    data = read(args.data)
    assert len(data) == SERIES
    assert sum(len(past) for past, _ in data.values()) == 353_500
    plain = judge({name: np.tile(past[-SEASON:], 2) for name, (past, _) in data.items()}, data)
    say(f"{'seasonal naive':28} sMAPE {plain['sMAPE']:6.3f}  MASE {plain['MASE']:.3f}")
    if {key: round(value, 3) for key, value in plain.items()} != KNOWN:
        print(f"the seasonal naive should give {KNOWN}: wrong data", file=sys.stderr)
        return 1

    options: dict[str, Any] = {
        "max_epochs": args.max_epochs,
        "classic": args.classic,
        "context_length": args.context_length,
    }
    if args.cut:
        task.make_net = without_hidden_state
    kind = "cut" if args.cut else "classic LSTM" if args.classic else "LSTM"
    frame, runs, ridge = table(data), [], {}
    for seed in args.seeds:
        forecasts, about = pipeline(frame, seed=seed, **options)
        ours = judge(forecasts["seasonal naive"], data)
        if not np.allclose(list(ours.values()), list(plain.values()), rtol=1e-12):
            print("the pipeline's seasonal naive is not the competition's", file=sys.stderr)
            return 1
        ridge = judge(forecasts["ridge"], data)
        runs.append({"seed": seed, **judge(forecasts["LSTM"], data), **about})
        say(
            f"{kind}, seed {seed}".ljust(28)
            + f" sMAPE {runs[-1]['sMAPE']:6.3f}  MASE {runs[-1]['MASE']:.3f}  "
            f"{about['minutes']:.1f} min, {about['epochs']} epochs, "
            f"validation loss {about['validation']:.4f}"
        )
    say(f"{'ridge':28} sMAPE {ridge['sMAPE']:6.3f}  MASE {ridge['MASE']:.3f}")
    mean = {key: float(np.mean([run[key] for run in runs])) for key in KNOWN}
    say(f"{kind}, mean".ljust(28) + f" sMAPE {mean['sMAPE']:6.3f}  MASE {mean['MASE']:.3f}")
    machine = environment() | {"threads": args.threads}
    say("  ".join(f"{key}: {value}" for key, value in machine.items()))
    if args.json:
        result = {"kind": kind, "seasonal naive": plain, "ridge": ridge, "runs": runs, "mean": mean}
        print(json.dumps(result | {"machine": machine}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
