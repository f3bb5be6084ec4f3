"""Series that come with the installation, so that nothing has to be downloaded."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from gated.data.columns import Floats
from gated.data.read import read_table
from gated.errors import DataError, OptionError


def sea_surface_temperature() -> pd.DataFrame:
    """Half-hourly sea surface temperature at buoy B01, Western Maine Shelf, 2016-17.

    Columns time (UTC) and temperature (degrees Celsius); 19 225 rows with two gaps. The file
    holds 2017-03-21 16:30 twice; the first reading is kept. Carried by the package
    bokeh_sampledata; observed by NERACOOS, station B01, free to use and redistribute.
    Raises DataError if the package is not installed.
    """
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or spec.origin is None:
        raise DataError(
            "the embedded series needs the package bokeh_sampledata, which is not installed; "
            'install it with: pip install "gated[demo]"'
        )
    # located without being imported: the package's own loaders pull in more than one file
    path = Path(spec.origin).parent / "_data" / "sea_surface_temperature.csv.gz"
    frame = read_table(path)
    frame.columns = pd.Index(["time", "temperature"])
    repeated = frame.duplicated("time")
    notes = [
        f"{time}: the second reading at this time was left out" for time in frame["time"][repeated]
    ]
    frame = frame[~repeated]
    frame.attrs.update(file=path.name, notes=notes)
    return frame


def mackey_glass(n: int = 5000, *, tau: int = 17, seed: int = 0) -> pd.DataFrame:
    """The Mackey-Glass delay equation, a chaotic series of known law, sampled once a unit.

        dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

    n: the number of rows. tau: the delay, in units of time; from about 17 on the series is
    chaotic. seed: draws the constant past from which it starts; the first 500 units are left out.
    Columns t (integer steps) and x. Source: M. C. Mackey and L. Glass, Oscillation and chaos in
    physiological control systems, Science 197 (1977) 287-289, equation 4b.

    >>> mackey_glass(3)["t"].tolist()
    [0, 1, 2]
    """
    if n < 1 or tau < 1:
        raise OptionError(f"mackey_glass: n={n} and tau={tau}; expected both to be at least 1")
    past = float(np.random.default_rng(seed).uniform(0.5, 1.3))
    x = solve_mackey_glass(past, 500 + n, tau)[-n:]
    return pd.DataFrame({"t": np.arange(n), "x": x})


def solve_mackey_glass(past: float, n: int, tau: int, substeps: int = 10) -> Floats:
    """Integrate from x(t) = past for t <= 0; returns (n,): x at t = 1, 2, ..., n.

    Fourth-order Runge-Kutta; half steps of the delayed value by cubic Hermite interpolation,
    which keeps the order.
    """
    h, delay = 1.0 / substeps, tau * substeps
    x = [past] * (delay + 1)
    slope = [0.0] * (delay + 1)

    def law(now: float, delayed: float) -> float:
        return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * now

    for _ in range(n * substeps):
        now, before, after = x[-1], x[-1 - delay], x[-delay]
        middle = past
        if len(x) > 2 * delay:  # the slope jumps at t = 0, where the constant past ends
            middle = (before + after) / 2 + h / 8 * (slope[-1 - delay] - slope[-delay])
        k1 = law(now, before)
        k2 = law(now + h / 2 * k1, middle)
        k3 = law(now + h / 2 * k2, middle)
        k4 = law(now + h * k3, after)
        slope[-1] = k1
        x.append(now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope.append(0.0)
    return np.array(x[delay + substeps :: substeps])
