"""A small view of the explorer, and the exact numbers that stand behind it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import gated
from gated.inspect import half_life
from gated.inspect.explorer import (
    Curve,
    ExplorerView,
    Metric,
    PlaceView,
    Tops,
    UnitMeasure,
)
from gated.inspect.recording.symbols import by_symbol

STEPS, UNITS, INPUTS = 300, 12, 3
CONTEXT = 120  # that it was trained to read, so the page is told
NAMES = ("i", "f", "g", "o", "c", "h")


@dataclass(frozen=True)
class Case:
    """A view and the trace that it was made from: [layer][direction][name] (T, H)."""

    view: ExplorerView
    trace: list[list[dict[str, np.ndarray]]]


def small_case(evil: str = "") -> Case:
    """Two layers in both directions, with every part of the page; names end with `evil`."""
    torch.manual_seed(3)
    layer = gated.LSTM(INPUTS, UNITS, 2, batch_first=True, bidirectional=True)
    x = torch.randn(1, STEPS, INPUTS)
    with torch.no_grad():
        layer.bias_ih_l0[UNITS : 2 * UNITS] = torch.linspace(4, -2, UNITS)
        below = gated.LSTM(INPUTS, UNITS, batch_first=True, bidirectional=True)
        below.load_state_dict({n: v for n, v in layer.state_dict().items() if "_l0" in n})
        first, _ = below(x)
        trace = layer(x, trace=True)[2]
    read = [x[0].numpy(), first[0].numpy()]
    values = [
        [{n: trace.at(k, d)[n][0].numpy() for n in NAMES} for d in range(2)] for k in range(2)
    ]
    places = [
        _place(f"layer {k + 1}, {'backward' if d else 'forward'}{evil}", layer, k, d, read[k],
               values[k][d], evil)
        for k in range(2) for d in range(2)
    ]  # fmt: skip
    view = ExplorerView(
        title=f"Inside the forecast of load{evil}",
        time=np.datetime64("2024-02-26T00", "ns") + np.arange(STEPS).astype("timedelta64[h]"),
        inputs={f"load{evil}": x[0, :, 0].numpy(), "temperature": x[0, :, 1].numpy()},
        places=places,
        subtitle=f"Two layers{evil}",
        step=f"hour{evil}",
        meanings={"f": f"how much of c is kept{evil}"},
        metric=Metric(f"MASE{evil}", 0.712),
        loss=f"the loss{evil}",
        notes=[f"A note{evil}"],
        command=f"gated explain runs/load{evil}",
        context=CONTEXT,
    )
    return Case(view, values)


def _place(
    label: str, layer: Any, k: int, d: int, x: np.ndarray, v: dict[str, np.ndarray], evil: str
) -> PlaceView:
    draw = np.random.default_rng(2 * k + d)
    changes = draw.normal(0, 0.01, (4, UNITS))
    changes[:, 0] = np.nan
    best = np.abs(v["c"]).argmax(axis=0)
    around = best[:, None, None] + np.arange(-2, 3)
    activity = v["c"].T[np.arange(UNITS)[:, None, None], around.clip(0, STEPS - 1)]
    ago = np.arange(STEPS)[::-1]
    return PlaceView(
        label=label,
        cell=layer.cell,
        x=x,
        values=v,
        initial={"h": np.zeros(UNITS), "c": np.zeros(UNITS)},
        parameters={n: p.detach().numpy() for n, p in by_symbol(layer, k, d).items()},
        reverse=d == 1,
        measures=[
            UnitMeasure("half-life", half_life(v["f"]), f"Steps.{evil}", f"Limits.{evil}", "hours")
        ],
        saturation={
            n: np.stack([(v[n] < 0.1).mean(0), (v[n] > 0.9).mean(0)], 1) for n in ("i", "f", "o")
        },
        curves=[
            Curve("c", "total", 0.1 * 0.99**ago),
            Curve("c", "direct path", 0.1 * 0.95**ago),
            Curve("h", "total", np.where(ago > 200, 0.0, 0.3 * 0.9**ago)),
        ],
        clamped=dict(zip(("f = 1", "i = 0", "o = 1", "frozen"), changes, strict=True)),
        whole={"f = 1": 0.5},
        tops=Tops(
            "|c|",
            v["c"][best, np.arange(UNITS)][:, None],
            [[f"load, hour {step}{evil}"] for step in best],
            activity,
            np.where(around < STEPS, x[:, 0][around.clip(0, STEPS - 1)], np.nan),
            2,
            f"all of it{evil}",
            [[None if unit == 3 else int(step)] for unit, step in enumerate(best)],
        ),
    )
