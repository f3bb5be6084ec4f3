"""Models: networks made of layers. They read no files and have no training loop."""

from gated.models.forecaster import ForecastNet

__all__ = ["ForecastNet"]
