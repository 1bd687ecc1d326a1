"""Pictures, from tables: each function takes frames and gives a matplotlib figure."""

from bayes_rare.plotting.backends import save_collection
from bayes_rare.plotting.backtests import coverage, pit, skill
from bayes_rare.plotting.families import contributions
from bayes_rare.plotting.figures import save, written
from bayes_rare.plotting.forecasts import scaling
from bayes_rare.plotting.posteriors import quantiles, ranks, thresholds
from bayes_rare.plotting.priors import prior_predictive

__all__ = [
    "contributions",
    "coverage",
    "pit",
    "prior_predictive",
    "quantiles",
    "ranks",
    "save",
    "save_collection",
    "scaling",
    "skill",
    "thresholds",
    "written",
]
