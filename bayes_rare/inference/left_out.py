"""Weights of several posteriors, by how they forecast the riskiest queries left out.

What is scored is the top of the evaluation, as that is what a forecast goes on from: of
each of the riskiest queries where its score lies, and of all others that they are no
riskier. A query is left out by importance weights, so nothing is fitted again; where
these cannot be trusted, `LeftOut.fitted_again` takes a posterior that never met it.
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
    """How one posterior forecasts the top of an evaluation, each query left out.

    Parameters
    ----------
    log_chance
        Log chance of each row of the top, given all queries but it.
    log_no_other
        Log chance that another query of each group shows no more than they did.
    pareto_k
        Diagnostic of the weights of each row; see `trusted`.
    """

    log_chance: Rows
    log_no_other: Groups
    pareto_k: Rows

    @property
    def doubtful(self) -> list[int]:
        """Rows whose weights cannot be trusted."""
        return np.flatnonzero(~trusted(self.pareto_k)).tolist()

    def fitted_again(
        self, row: int, population: Population, top: RiskiestQueries
    ) -> "LeftOut":
        """The same, with one row forecast by a posterior that lacks one query."""
        chance, doubt = self.log_chance.copy(), self.pareto_k.copy()
        drawn = top.log_chance(population)[row]
        chance[row] = np.logaddexp.reduce(drawn) - np.log(drawn.size)
        doubt[row] = 0.0
        return LeftOut(chance, self.log_no_other, doubt)


def left_out(population: Population, top: RiskiestQueries) -> LeftOut:
    """How a posterior forecasts each of the riskiest queries, given the others.

    By weights of the draws (`smoothed`). Leaving out one of the others changes next to
    nothing, so they are all kept when they are scored.
    """
    log_chance = top.log_chance(population)
    log_weight, pareto_k = smoothed(log_chance)
    with np.errstate(divide="ignore"):
        log_no_other = np.log(top.none_above(population).mean(axis=1))
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
    a member gets the weight that its forecasts earn as a part of the mixture. Ten
    queries earn little, so members stay that they cannot tell apart; where one is far
    better, it gets nearly all. Weights by the evidence of each member alone would go to
    the best of them, even where all are wrong in ways of their own.

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

    >>> from bayes_rare.inference.riskiest_queries import ExactTop
    >>> top = ExactTop(np.ones(2), np.full(1, 8.0), np.zeros(2), np.ones(2), 0.0)
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
