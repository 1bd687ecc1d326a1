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
    from bayes_rare.backtesting import (
        Backtest,
        Comparison,
        backtest,
        compare,
        load_backtest,
        stack,
    )
    from bayes_rare.backtesting.scoring import Realised, score
    from bayes_rare.errors import BayesRareError
    from bayes_rare.evaluation import Evaluation, QueryPool
    from bayes_rare.forecasting import Deployment, Forecast, forecast
    from bayes_rare.forecasting.prior_predictive import (
        PriorPredictive,
        prior_predictive,
    )
    from bayes_rare.inference import average, fit, fit_many
    from bayes_rare.inference.stack import Stack, load_stack
    from bayes_rare.methods.evaluation_maximum import evaluation_maximum
    from bayes_rare.methods.gpd_mle import gpd_mle
    from bayes_rare.methods.gumbel_ols import gumbel_ols, gumbel_ols_pivot
    from bayes_rare.methods.log_normal_moments import log_normal_moments
    from bayes_rare.populations.missed_mode import MissedMode
    from bayes_rare.posterior import Average, Fitted, Posterior, load_posterior
    from bayes_rare.posterior.query_risks import QueryRisks, query_risks
    from bayes_rare.posterior.replicates import posterior_predictive
    from bayes_rare.readers.logs.garak import import_garak
    from bayes_rare.readers.logs.imported import ImportedTable
    from bayes_rare.readers.logs.inspect_ai import import_inspect
    from bayes_rare.readers.logs.lm_eval import import_lm_eval
    from bayes_rare.readers.tables.read_pool import read_pool
    from bayes_rare.readers.tables.read_table import read_table
    from bayes_rare.readers.tables.sample import (
        sample_evaluation,
        sample_split,
        sample_table,
    )
    from bayes_rare.reporting import Report, report

__version__ = version("bayes-rare")

_HOMES = {
    "Average": "posterior",
    "Backtest": "backtesting",
    "BayesRareError": "errors",
    "Comparison": "backtesting",
    "Deployment": "forecasting",
    "Evaluation": "evaluation",
    "Fitted": "posterior",
    "Forecast": "forecasting",
    "ImportedTable": "readers.logs.imported",
    "MissedMode": "populations.missed_mode",
    "Posterior": "posterior",
    "PriorPredictive": "forecasting.prior_predictive",
    "QueryPool": "evaluation",
    "QueryRisks": "posterior.query_risks",
    "Realised": "backtesting.scoring",
    "Report": "reporting",
    "Stack": "inference.stack",
    "average": "inference",
    "backtest": "backtesting",
    "compare": "backtesting",
    "evaluation_maximum": "methods.evaluation_maximum",
    "fit": "inference",
    "fit_many": "inference",
    "forecast": "forecasting",
    "gpd_mle": "methods.gpd_mle",
    "gumbel_ols": "methods.gumbel_ols",
    "gumbel_ols_pivot": "methods.gumbel_ols",
    "import_garak": "readers.logs.garak",
    "import_inspect": "readers.logs.inspect_ai",
    "import_lm_eval": "readers.logs.lm_eval",
    "load_backtest": "backtesting",
    "load_posterior": "posterior",
    "load_stack": "inference.stack",
    "log_normal_moments": "methods.log_normal_moments",
    "posterior_predictive": "posterior.replicates",
    "prior_predictive": "forecasting.prior_predictive",
    "query_risks": "posterior.query_risks",
    "read_pool": "readers.tables.read_pool",
    "read_table": "readers.tables.read_table",
    "report": "reporting",
    "sample_evaluation": "readers.tables.sample",
    "sample_split": "readers.tables.sample",
    "sample_table": "readers.tables.sample",
    "score": "backtesting.scoring",
    "stack": "backtesting",
}

__all__ = [
    "Average",
    "Backtest",
    "BayesRareError",
    "Comparison",
    "Deployment",
    "Evaluation",
    "Fitted",
    "Forecast",
    "ImportedTable",
    "MissedMode",
    "Posterior",
    "PriorPredictive",
    "QueryPool",
    "QueryRisks",
    "Realised",
    "Report",
    "Stack",
    "average",
    "backtest",
    "compare",
    "evaluation_maximum",
    "fit",
    "fit_many",
    "forecast",
    "gpd_mle",
    "gumbel_ols",
    "gumbel_ols_pivot",
    "import_garak",
    "import_inspect",
    "import_lm_eval",
    "load_backtest",
    "load_posterior",
    "load_stack",
    "log_normal_moments",
    "posterior_predictive",
    "prior_predictive",
    "query_risks",
    "read_pool",
    "read_table",
    "report",
    "sample_evaluation",
    "sample_split",
    "sample_table",
    "score",
    "stack",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
