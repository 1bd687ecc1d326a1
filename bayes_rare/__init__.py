"""Forecasts of a language model's worst-case risk at deployment scale.

    evaluation = bayes_rare.read_table("evaluation.parquet")
    posterior = bayes_rare.fit(evaluation, "gpd_tail")
    forecast = bayes_rare.forecast(posterior, bayes_rare.Deployment([10**6, 10**9]))

Names are imported when they are first used: PyMC and JAX take seconds.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_rare.baselines import gumbel_ols, log_normal_moments
    from bayes_rare.errors import BayesRareError
    from bayes_rare.evaluation import Evaluation
    from bayes_rare.forecasting import Deployment, Forecast, forecast
    from bayes_rare.inference import fit, fit_many
    from bayes_rare.posterior import Posterior, load_posterior
    from bayes_rare.readers.sample import (
        sample_evaluation,
        sample_split,
        sample_table,
    )
    from bayes_rare.readers.tables import read_table

__version__ = version("bayes-rare")

_HOMES = {
    "BayesRareError": "errors",
    "Deployment": "forecasting",
    "Evaluation": "evaluation",
    "Forecast": "forecasting",
    "Posterior": "posterior",
    "fit": "inference",
    "fit_many": "inference",
    "forecast": "forecasting",
    "gumbel_ols": "baselines",
    "load_posterior": "posterior",
    "log_normal_moments": "baselines",
    "read_table": "readers.tables",
    "sample_evaluation": "readers.sample",
    "sample_split": "readers.sample",
    "sample_table": "readers.sample",
}

__all__ = [
    "BayesRareError",
    "Deployment",
    "Evaluation",
    "Forecast",
    "Posterior",
    "fit",
    "fit_many",
    "forecast",
    "gumbel_ols",
    "load_posterior",
    "log_normal_moments",
    "read_table",
    "sample_evaluation",
    "sample_split",
    "sample_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
