"""Weights of several posteriors, by how well they forecast the riskiest queries.

A forecast extrapolates from the riskiest queries of the evaluation, so they alone are
scored: each by the density of its score, and all other queries by the chance that they
are not riskier. A query is left out by importance weights, without another fit; where
the weights cannot be trusted, `LeftOut.fitted_again` takes a posterior without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics.importance_weights import smoothed, trusted
from bayes_rare.inference.riskiest_queries import RiskiestQueries
from bayes_rare.populations import Population

__all__ = [
    "LeftOut",
    "left_out",
    "stacked_weights",
]

type Rows = Float[np.ndarray, " row"]

type Groups = Float[np.ndarray, " group"]

_CANDIDATES = 20_000


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Leave-one-out forecasts of the riskiest queries by one posterior.

    Parameters
    ----------
    log_chance
        Log chance of each row of the riskiest queries, given all other queries.
    log_no_other
        Log chance, by group, that one of the other queries is not riskier.
    pareto_k
        Pareto k of the importance weights of each row; see `trusted`.
    """

    log_chance: Rows
    log_no_other: Groups
    pareto_k: Rows

    @property
    def doubtful(self) -> list[int]:
        """Rows whose importance weights cannot be trusted."""
        return np.flatnonzero(~trusted(self.pareto_k)).tolist()

    def fitted_again(
        self, row: int, population: Population, top: RiskiestQueries
    ) -> "LeftOut":
        """The same, with one row forecast by a posterior without one query of it."""
        chance, doubt = self.log_chance.copy(), self.pareto_k.copy()
        drawn = top.log_chance(population)[row]
        chance[row] = np.logaddexp.reduce(drawn) - np.log(drawn.size)
        doubt[row] = 0.0
        return LeftOut(chance, self.log_no_other, doubt)


def left_out(population: Population, top: RiskiestQueries) -> LeftOut:
    """How a posterior forecasts each of the riskiest queries, given the others.

    By importance weights of the draws (`smoothed`). Leaving out one of the other
    queries hardly changes a posterior, so none of those is left out.
    """
    log_chance = top.log_chance(population)
    log_weight, pareto_k = smoothed(log_chance)
    with np.errstate(divide="ignore"):
        log_no_other = np.log(top.chance_not_riskier(population).mean(axis=1))
    return LeftOut(
        np.logaddexp.reduce(log_weight + log_chance, axis=-1),
        log_no_other,
        pareto_k,
    )


def stacked_weights(
    top: RiskiestQueries,
    forecasts: Sequence[LeftOut],
    concentration: Sequence[float] | None = None,
    seed: int = 0,
) -> Float[np.ndarray, " member"]:
    """Weights of a mixture of posteriors: the posterior mean, by Bayesian stacking.

    ``w ~ Dirichlet(concentration)`` and ``product of sum_k w_k p_k(y_i | y_-i)`` [1]_:
    members are weighted by how well their mixture forecasts. Ten queries hold little
    information, so members that they cannot tell apart keep their weight; a member that
    is far better gets nearly all. Weights by the evidence of each member would go to
    the best one, even where all are wrong in different ways.

    References
    ----------
    .. [1] Y. Yao, A. Vehtari, D. Simpson, A. Gelman (2018). Using stacking to average
       Bayesian predictive distributions. Bayesian Analysis 13, 917-1007, section 3;
       the prior on the weights and the mean over their posterior are after Y. Yao, G.
       Pirš, A. Vehtari, A. Gelman (2022), Bayesian hierarchical stacking, Bayesian
       Analysis 17, 1043-1071, section 2.

    Examples
    --------
    Members that forecast alike share the weight:

    >>> from bayes_rare.inference.riskiest_queries import ExactRiskiest
    >>> top = ExactRiskiest(np.ones(2), np.full(1, 8.0), np.zeros(2), np.ones(2), 0.0)
    >>> alike = LeftOut(np.full(2, -1.0), np.full(1, -0.1), np.zeros(2))
    >>> stacked_weights(top, [alike, alike]).round(1)
    array([0.5, 0.5])
    """
    if len(forecasts) == 1:
        return np.ones(1)
    rng = np.random.default_rng(seed)
    prior = np.ones(len(forecasts)) if concentration is None else concentration
    candidates = rng.dirichlet(prior, _CANDIDATES)
    log_chance = np.stack([each.log_chance for each in forecasts], axis=1)
    largest = log_chance.max(axis=1, keepdims=True)
    mixed = np.log(candidates @ np.exp(log_chance - largest).T)
    no_other = np.exp([each.log_no_other for each in forecasts])
    with np.errstate(divide="ignore"):
        score = mixed @ top.count + np.log(candidates @ no_other) @ top.others
    weight = np.exp(score - score.max())
    return weight @ candidates / weight.sum()
