"""Distributions of the score over queries, one per posterior draw.

=================  ==============================================================
``score``          ``-log(-log(risk))`` of a query; any real number
``survival``       fraction of queries whose score is larger; kept as a logarithm
``level``          survival at a query's own score: its rank from the top, in (0, 1)
``excess``         score less the threshold, positive
=================  ==============================================================

A population holds its parameters draw by draw, so the last axis of every answer is
``draw``. It is always complete, from the smallest score to the largest: deployments of
one query and of 1e12 are asked in the same way and cost the same.
"""

from bayes_rare.populations.body_and_tail import BodyAndTail
from bayes_rare.populations.empirical import Empirical
from bayes_rare.populations.family_mixture import FamilyMixture
from bayes_rare.populations.normal import Normal
from bayes_rare.populations.origin import Origin
from bayes_rare.populations.pareto import gpd_log_survival, gpd_quantile
from bayes_rare.populations.population import Population, log_worst_level
from bayes_rare.populations.spliced import (
    SPLICE,
    SPLICED_SCALE,
    spliced_log_density,
    spliced_log_survival,
    spliced_quantile,
)
from bayes_rare.populations.steps_and_tail import StepsAndTail

__all__ = [
    "SPLICE",
    "SPLICED_SCALE",
    "BodyAndTail",
    "Empirical",
    "FamilyMixture",
    "Normal",
    "Origin",
    "Population",
    "StepsAndTail",
    "gpd_log_survival",
    "gpd_quantile",
    "log_worst_level",
    "spliced_log_density",
    "spliced_log_survival",
    "spliced_quantile",
]
