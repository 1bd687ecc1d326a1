"""From a posterior and a deployment to a forecast: what its outcomes may be."""

from bayes_rare.forecasting.deployment import Deployment
from bayes_rare.forecasting.forecasts import Forecast
from bayes_rare.forecasting.making import forecast, point_forecast, population_forecast
from bayes_rare.forecasting.targets import (
    RISK_THRESHOLDS,
    TARGETS,
    checked_risks,
    outcome,
)

__all__ = [
    "RISK_THRESHOLDS",
    "TARGETS",
    "Deployment",
    "Forecast",
    "checked_risks",
    "forecast",
    "outcome",
    "point_forecast",
    "population_forecast",
]
