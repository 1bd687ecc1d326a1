"""Posteriors: their draws, where they come from, and what they say of a query."""

from bayes_rare.diagnostics.convergence import Verdict, judge
from bayes_rare.posterior.average import Average
from bayes_rare.posterior.fitted import Fitted
from bayes_rare.posterior.load import load_posterior
from bayes_rare.posterior.posterior import Posterior, extreme_scores, population_of

__all__ = [
    "Average",
    "Fitted",
    "Posterior",
    "Verdict",
    "extreme_scores",
    "judge",
    "load_posterior",
    "population_of",
]
