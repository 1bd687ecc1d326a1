"""Baselines: the published methods, and simple ones for comparison.

======================  =============================================================
`gumbel_ols`            a straight line through the log survival of the largest scores
`log_normal_moments`    a normal distribution with the mean and deviation of all scores
`gumbel_ols_pivot`      the same line, with the interval of its error
`evaluation_maximum`    the observed scores and no others
`gpd_mle`               a generalized Pareto tail by maximum likelihood, with its
                        profile interval
======================  =============================================================

The first two are the point methods of Jones et al. (2025), *Forecasting Rare Language
Model Behaviors*, arXiv 2502.16797, section 3. All take exact risks and need no
sampling.
"""

from collections.abc import Callable

from bayes_rare.forecasting import Forecast
from bayes_rare.methods.evaluation_maximum import evaluation_maximum
from bayes_rare.methods.gpd_mle import gpd_mle
from bayes_rare.methods.gumbel_ols import Positions, gumbel_ols, gumbel_ols_pivot
from bayes_rare.methods.log_normal_moments import log_normal_moments

__all__ = [
    "BASELINES",
    "PUBLISHED",
    "Positions",
    "evaluation_maximum",
    "gpd_mle",
    "gumbel_ols",
    "gumbel_ols_pivot",
    "log_normal_moments",
]

BASELINES: dict[str, Callable[..., Forecast]] = {
    "gumbel_ols": gumbel_ols,
    "log_normal_moments": log_normal_moments,
    "gumbel_ols_pivot": gumbel_ols_pivot,
    "evaluation_maximum": evaluation_maximum,
    "gpd_mle": gpd_mle,
}
"""The methods by name."""

PUBLISHED = ("gumbel_ols", "log_normal_moments")
"""Those of Jones et al. (2025)."""
