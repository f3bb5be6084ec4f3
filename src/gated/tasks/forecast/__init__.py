"""Forecasting: from a table of series to a trained, judged and explained forecaster."""

from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.verdict import Evaluation

__all__ = ["Evaluation", "ForecastConfig", "Forecaster"]
