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
    from bayes_rare.averages import Average, load_posterior
    from bayes_rare.backtesting import Backtest, backtest, load_backtest
    from bayes_rare.baselines import (
        evaluation_maximum,
        gpd_mle,
        gumbel_ols,
        gumbel_ols_pivot,
        log_normal_moments,
    )
    from bayes_rare.comparison import Comparison, compare, stack
    from bayes_rare.errors import BayesRareError
    from bayes_rare.evaluation import Evaluation
    from bayes_rare.forecasting import Deployment, Forecast, forecast
    from bayes_rare.inference import average, fit, fit_many
    from bayes_rare.missed import MissedMode
    from bayes_rare.pools import QueryPool
    from bayes_rare.posterior import Posterior
    from bayes_rare.priors import PriorPredictive, prior_predictive
    from bayes_rare.querying import QueryRisks, query_risks
    from bayes_rare.readers.garak_reports import import_garak
    from bayes_rare.readers.imported import ImportedTable
    from bayes_rare.readers.inspect_samples import import_inspect
    from bayes_rare.readers.lm_eval_samples import import_lm_eval
    from bayes_rare.readers.rows import read_pool
    from bayes_rare.readers.sample import sample_evaluation, sample_split, sample_table
    from bayes_rare.readers.tables import read_table
    from bayes_rare.replicates import posterior_predictive
    from bayes_rare.reporting import Report, report
    from bayes_rare.stacks import Stack, load_stack
    from bayes_rare.verification import Realised, score

__version__ = version("bayes-rare")

_HOMES = {
    "Average": "averages",
    "Backtest": "backtesting",
    "BayesRareError": "errors",
    "Comparison": "comparison",
    "Deployment": "forecasting",
    "Evaluation": "evaluation",
    "Forecast": "forecasting",
    "ImportedTable": "readers.imported",
    "MissedMode": "missed",
    "Posterior": "posterior",
    "PriorPredictive": "priors",
    "QueryPool": "pools",
    "QueryRisks": "querying",
    "Realised": "verification",
    "Report": "reporting",
    "Stack": "stacks",
    "average": "inference",
    "backtest": "backtesting",
    "compare": "comparison",
    "evaluation_maximum": "baselines",
    "fit": "inference",
    "fit_many": "inference",
    "forecast": "forecasting",
    "gpd_mle": "baselines",
    "gumbel_ols": "baselines",
    "gumbel_ols_pivot": "baselines",
    "import_garak": "readers.garak_reports",
    "import_inspect": "readers.inspect_samples",
    "import_lm_eval": "readers.lm_eval_samples",
    "load_backtest": "backtesting",
    "load_posterior": "averages",
    "load_stack": "stacks",
    "log_normal_moments": "baselines",
    "posterior_predictive": "replicates",
    "prior_predictive": "priors",
    "query_risks": "querying",
    "read_pool": "readers.rows",
    "read_table": "readers.tables",
    "report": "reporting",
    "sample_evaluation": "readers.sample",
    "sample_split": "readers.sample",
    "sample_table": "readers.sample",
    "score": "verification",
    "stack": "comparison",
}

__all__ = [
    "Average",
    "Backtest",
    "BayesRareError",
    "Comparison",
    "Deployment",
    "Evaluation",
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
