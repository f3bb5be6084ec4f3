"""The verdict's metric of a network alone, quick enough to be asked hundreds of times."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gated.errors import DataError
from gated.tasks.forecast import predict
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.learner import origins_between
from gated.tasks.forecast.split import split

__all__ = ["HeldOut"]

_WINDOWS = 120


class HeldOut:
    """MASE on held-out windows, the mean over series; RMSE where a series never changes.

    Called with the network, or one that is clamped, it gives the metric.

    Args:
        forecaster: trained, with the table that it was trained on.
        windows: about so many, evenly spaced over the held-out part.

    Attributes:
        name: "MASE" or "RMSE".

    Raises:
        DataError: nothing was held out.
    """

    def __init__(self, forecaster: Forecaster, windows: int = _WINDOWS):
        self.config, self.panel = forecaster.config, forecaster.panel()
        series = forecaster.data.series
        cuts = split(self.config, series)
        start = torch.tensor([cut.val for cut in cuts])
        end = torch.tensor([cut.end for cut in cuts])
        self.chosen = origins_between(start, end, self.config.horizon or 1, windows)
        if not len(self.chosen[0]):
            raise DataError(
                f"no series has {self.config.horizon} steps after its validation part to measure "
                f"a clamped network on: give more data, or leave importance out"
            )
        self.truth = self.panel.truth(*self.chosen).numpy()
        lag = max(1, self.config.season or 1)
        scale = np.array([_scale(s.y[: c.train], lag) for s, c in zip(series, cuts, strict=True)])
        self.scale = scale[self.chosen[0].numpy()]
        self.name = "MASE" if np.isfinite(self.scale).any() else "RMSE"

    def __call__(self, net: nn.Module) -> float:
        """The metric of a network with the forecaster's interface."""
        found = predict.network(net, self.panel, self.config, *self.chosen)  # type: ignore[arg-type]
        error = found.point - self.truth
        which = self.chosen[0].numpy()
        values = [self._of(error[which == k], self.scale[which == k]) for k in np.unique(which)]
        return float(np.nanmean(values))

    def _of(self, error: NDArray[Any], scale: NDArray[Any]) -> float:
        known = error[np.isfinite(error)]
        if not known.size:
            return np.nan
        if self.name == "RMSE":
            return float(np.sqrt(np.square(known).mean()))
        return float(np.abs(known).mean() / scale[0])


def _scale(y: NDArray[Any], lag: int) -> float:
    """The seasonal naive's error in training; NaN where there is none to divide by."""
    steps = np.abs(y[lag:] - y[:-lag])
    steps = steps[np.isfinite(steps)]
    return float(steps.mean()) if steps.size and steps.mean() > 0 else np.nan
