"""Weights of several posteriors, by how they forecast the riskiest queries left out.

What is scored is the top of the evaluation, as that is what a forecast goes on from: of
each of the riskiest queries where its score lies, and of all others that they are no
riskier. A query is left out by importance weights, so nothing is fitted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_rare.cells import ScoreCells
from bayes_rare.populations import Population

__all__ = ["SCORED", "TRUSTED", "LeftOut", "Top", "left_out", "stacked_weights"]

type Rows = Float[np.ndarray, " row"]

SCORED = 10
"""How many of the riskiest queries are scored one by one."""

TRUSTED = 0.7
"""Largest Pareto k at which leaving out by weights can be trusted."""

# A score lies in a cell of this width around it: populations may have atoms, and cells
# of one width make densities of different models comparable.
_CELL = 1 / 32
_CANDIDATES = 20_000
_SAME = 1e-12
# Weights that a tail of weights needs.
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class Top:
    """The riskiest queries of a behaviour, and how many others there are.

    Parameters
    ----------
    low, high
        Between which scores each of the riskiest lies; ``high`` is infinite where its
        risk was seen as 1.
    count
        How many queries each row stands for: ties are one row.
    threshold
        Score that no other query exceeds.
    others
        How many others there are.
    """

    low: Rows
    high: Rows
    count: Rows
    threshold: float
    others: float

    @classmethod
    def of(cls, scores: ScoreCells, most: int = SCORED) -> "Top":
        """The riskiest of some scores: about so many, ties together.

        Parameters
        ----------
        scores
            All scores of a behaviour.
        most
            How many to aim for; fewer if the evaluation has not three times as many.
        """
        wanted = max(min(most, scores.size // 3), 1)
        certain = float(scores.censored_above)
        reached = certain + np.cumsum(scores.count)
        rows = int(np.searchsorted(reached, wanted)) + 1 if certain < wanted else 0
        rows = min(rows, scores.score.size)
        chosen = scores.score[:rows]
        low, high = chosen - _CELL / 2, chosen + _CELL / 2
        count = scores.count[:rows]
        lowest = float(chosen[-1]) if rows else scores.highest
        following = scores.score[rows : rows + 1]
        threshold = (lowest + float(following[0])) / 2 if following.size else -np.inf
        if certain:
            low, high = np.append(scores.highest, low), np.append(np.inf, high)
            count = np.append(certain, count)
        return cls(low, high, count, threshold, scores.size - float(count.sum()))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """How one posterior forecasts the top of an evaluation, each query left out.

    Parameters
    ----------
    log_chance
        Log chance of each row of the top, given all queries but it.
    log_no_other
        Log chance that another query is not above the threshold.
    pareto_k
        Largest diagnostic of the weights; above `TRUSTED` they cannot be trusted.
    """

    log_chance: Rows
    log_no_other: float
    pareto_k: float


def left_out(population: Population, top: Top) -> LeftOut:
    """How a posterior forecasts each of the riskiest queries, given the others.

    With weights proportional to ``1 / p(y | draw)``, smoothed [1]_. Leaving out one of
    the others changes next to nothing, so they are all kept when they are scored.

    Parameters
    ----------
    population
        Of the posterior, draw by draw.
    top
        What is scored.

    References
    ----------
    .. [1] A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    array_stats: Any = import_module("arviz_stats.base").array_stats
    survival = np.exp(population.log_survival(top.low[:, None]))
    finite = np.isfinite(top.high)
    beyond = np.zeros_like(survival)
    beyond[finite] = np.exp(population.log_survival(top.high[finite][:, None]))
    # A draw with an upper end below a score that was seen cannot be ruled out wholly:
    # it is a draw given the others, and an infinite weight would be no weight.
    log_chance = np.log(np.maximum(survival - beyond, 1e-300))
    log_weight = -log_chance - np.logaddexp.reduce(-log_chance, axis=1, keepdims=True)
    pareto_k = np.zeros(len(log_chance))
    # Where the largest weights are all one there is no tail of weights to smooth.
    ranked = np.sort(log_weight, axis=1)
    tail = min(int(ranked.shape[1] / 5), int(3 * ranked.shape[1] ** 0.5)) + 1
    varied = ranked[:, -1] - ranked[:, -tail] > _SAME
    if tail <= _FEWEST:
        pareto_k[varied] = np.inf  # too few draws to smooth, or to tell
    elif varied.any():
        log_weight[varied], pareto_k[varied] = array_stats.psislw(
            log_chance[varied], axis=-1
        )
    none_above = -np.expm1(population.log_survival(np.asarray(top.threshold)))
    with np.errstate(divide="ignore"):
        log_no_other = float(np.log(none_above.mean()))
    return LeftOut(
        np.logaddexp.reduce(log_weight + log_chance, axis=-1),
        log_no_other,
        float(np.max(pareto_k)),
    )


def stacked_weights(
    top: Top, forecasts: Sequence[LeftOut], concentration: float = 1.0, seed: int = 0
) -> Float[np.ndarray, " member"]:
    """Weights of a mixture of posteriors: the posterior mean, by Bayesian stacking.

    ``w ~ Dirichlet(concentration)`` and ``product of sum_k w_k p_k(y_i | y_-i)`` [1]_:
    a member gets the weight that its forecasts earn as a part of the mixture. Ten
    queries earn little, so members stay that they cannot tell apart; where one is far
    better, it gets nearly all. Weights by the evidence of each member alone would go to
    the best of them, even where all are wrong in ways of their own.

    Parameters
    ----------
    top
        What was forecast.
    forecasts
        By each member.
    concentration
        Of the Dirichlet prior, positive.
    seed
        Seeds the candidates that the mean is taken over.

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

    >>> top = Top(np.zeros(2), np.ones(2), np.ones(2), 0.0, 8.0)
    >>> alike = LeftOut(np.full(2, -1.0), -0.1, 0.0)
    >>> stacked_weights(top, [alike, alike]).round(1)
    array([0.5, 0.5])
    """
    if len(forecasts) == 1:
        return np.ones(1)
    rng = np.random.default_rng(seed)
    candidates = rng.dirichlet(np.full(len(forecasts), concentration), _CANDIDATES)
    log_chance = np.stack([each.log_chance for each in forecasts], axis=1)
    largest = log_chance.max(axis=1, keepdims=True)
    mixed = np.log(candidates @ np.exp(log_chance - largest).T)
    no_other = np.exp([each.log_no_other for each in forecasts])
    with np.errstate(divide="ignore"):
        score = mixed @ top.count + top.others * np.log(candidates @ no_other)
    weight = np.exp(score - score.max())
    return weight @ candidates / weight.sum()
