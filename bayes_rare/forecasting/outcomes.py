"""What happens when queries are served: draws of a deployment's outcomes.

Given a population of scores, n queries are n independent draws from it. Each function
takes one population (parameters draw by draw) and gives one outcome for each of its
draws, exactly or nearly so, at a cost that does not grow with n.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import elementwise

from bayes_rare.populations import FamilyMixture, Population, log_worst_level
from bayes_rare.scores import log_safe_from_score, score_from_risk

__all__ = [
    "FOREVER",
    "FOREVER_WRITTEN",
    "aggregate_log_hazard",
    "exceedance_by_share",
    "exceedance_probability",
    "family_contributions",
    "first_failure",
    "joint_worst_scores",
    "largest_safe_deployment",
    "log_behaviour_frequency",
    "risky_queries",
    "worst_score",
    "worst_score_quantile",
    "worst_score_variance",
]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]

FOREVER = 10**12
"""Numbers of queries are given up to this many; larger ones are this."""

FOREVER_WRITTEN = f"{FOREVER:.0e}".replace("+", "")
"""`FOREVER` as a person writes it."""

# The riskiest queries of a deployment are drawn one by one, this many.
_RISKIEST = 64
# A variance is an integral over luck: over this many equal strata of chance, the first
# and the last of them halved this often, with two Gauss-Legendre nodes in each piece.
# So a worst score far out in a heavy tail counts for what it is worth.
_STRATA, _HALVINGS = 32, 40
# Strata of luck for each draw, where one outcome a draw would be noisier than it need.
_LUCK_STRATA = 4
# Beyond this score a risk is 1 in float64 however it is held; beyond it downwards, 0.
_CERTAIN = 1e3
# Bounds of a quantile of a score are narrowed down to twice this.
_NARROW = 1e-13
# What stands for infinity between them: chances nearer to 0 or 1 are not told apart.
_STEEPEST = 40.0


def worst_score(
    population: Population, queries: int, rng: np.random.Generator
) -> Draws:
    """Score of the riskiest of n queries.

    ``S^-1(1 - U ** (1 / n))`` with U uniform, draw by draw: the luck of one deployment
    and the ignorance of the population together.
    """
    return population.quantile(_log_top_level(population.draws, queries, rng))


def _log_top_level(draws: int, queries: int, rng: np.random.Generator) -> Draws:
    return log_worst_level(-rng.standard_exponential(draws), queries)


def worst_score_quantile(
    population: Population, queries: int, levels: Float[np.ndarray, " level"]
) -> Float[np.ndarray, " level"]:
    """Predictive quantiles of the score of the riskiest of n queries.

    The score at which ``mean over draws of (1 - S(score)) ** n`` is the level:
    quantiles of the distribution averaged over draws, free of the noise of sampled
    luck.
    """
    population = population.tabled()
    levels = np.asarray(levels, dtype=np.float64)
    # Given any one draw the quantile is known; the mean's lies between the extremes.
    known = population.quantile(log_worst_level(np.log(levels)[:, None], queries))
    # A score may be infinite, either way: a risk of 0 or of 1. No middle lies there.
    low = np.clip(known.min(axis=1), -_CERTAIN, _CERTAIN)
    high = np.clip(known.max(axis=1), -_CERTAIN, _CERTAIN)
    return _crossing(
        # On this scale the distribution of a maximum is nearly a straight line.
        lambda score, chosen: (
            _straight(_below(population, queries, score)) - _straight(levels[chosen])
        ),
        low,
        high,
    )


def _below(population: Population, queries: int, score: Draws) -> Draws:
    """Predictive probability that the worst of n queries is at or below each score."""
    log_survival = population.log_survival(score[:, None])
    with np.errstate(divide="ignore"):  # a draw under which every score is larger
        return np.exp(queries * np.log1p(-np.exp(log_survival))).mean(axis=1)


def _straight(chance: Draws) -> Draws:
    """``-log(-log(chance))``, kept finite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return np.clip(-np.log(-np.log(chance)), -_STEEPEST, _STEEPEST)


def _crossing(
    function: Callable[[Draws, Int[np.ndarray, " level"]], Draws],
    low: Draws,
    high: Draws,
) -> Draws:
    """Where increasing functions cross 0, each between two bounds: the upper side.

    Chandrupatla's method; where a function jumps, its bracket closes on the jump.
    """
    every = np.arange(low.size)
    found: Any = elementwise.find_root(
        function,
        (low, high),
        args=(every,),
        tolerances={"xatol": 2 * _NARROW, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
    )
    found_by = [found.success & (found.f_x == 0), found.success]
    outside = np.where(function(low, every) >= 0, low, high)
    return np.select(found_by, [found.x, np.maximum(*found.bracket)], outside)


def worst_score_variance(population: Population, queries: int) -> tuple[float, float]:
    """Variance of the worst query's score, limited to 1000 either way, split in two.

    With s the score so limited, ``Var(s) = E[Var(s | population)] + Var(E[s |
    population])``: the luck of the draw, which no evaluation removes, and ignorance of
    the population, which a larger one would. A risk is 1 long before that limit; and
    without it both parts were infinite as soon as one draw of the population has a tail
    of shape 1/2 or more.
    """
    population = population.tabled()
    log_uniform, weight = _luck()
    score = population.quantile(log_worst_level(log_uniform[:, None], queries))
    score = np.clip(score, -_CERTAIN, _CERTAIN)
    mean = weight @ score
    luck = weight @ (score - mean) ** 2
    return float(luck.mean()), float(mean.var())


def _luck() -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Logarithms of a uniform number and their weights, for a mean over luck."""
    halves = 0.5 ** np.arange(_HALVINGS, -1, -1) / _STRATA
    edges = np.concatenate([[0.0], halves, np.arange(2, _STRATA // 2 + 1) / _STRATA])
    width, offset = np.diff(edges), 0.5 / np.sqrt(3)
    middle = edges[:-1] + width / 2
    chance = np.concatenate([middle - offset * width, middle + offset * width])
    weight = np.tile(width / 2, 2)
    # The lower half of the uniform numbers, and its mirror image without rounding.
    log_uniform = np.concatenate([np.log(chance), np.log1p(-chance)])
    return log_uniform, np.tile(weight, 2)


def log_behaviour_frequency(population: Population, risk: float) -> Draws:
    """Log share of queries riskier than ``risk``: ``log P(p > risk)``."""
    return population.log_survival(score_from_risk(risk))


def risky_queries(
    population: Population, queries: int, risk: float, rng: np.random.Generator
) -> Draws:
    """Number of n queries that are riskier than ``risk``: binomial given the share."""
    share = np.exp(log_behaviour_frequency(population, risk))
    return rng.binomial(queries, np.clip(share, 0.0, 1.0)).astype(np.float64)


def exceedance_probability(population: Population, queries: int, risk: float) -> Draws:
    """Chance that the riskiest of n queries is riskier than ``risk``.

    ``1 - (1 - P(p > risk)) ** n``; the mean over draws is the predictive probability,
    the spread over draws is what is not known of the population.
    """
    share = np.exp(log_behaviour_frequency(population, risk))
    return exceedance_by_share(share, queries)


def exceedance_by_share(share: Draws, queries: int) -> Draws:
    """Chance that one of n queries is of those that are riskier than a threshold."""
    with np.errstate(divide="ignore"):
        return -np.expm1(queries * np.log1p(-share))


def largest_safe_deployment(
    population: Population, risk: int | float, level: int | float
) -> Draws:
    """Most queries that keep the chance of one riskier than ``risk`` to ``level``.

    ``floor(log(1 - level) / log(1 - P(p > risk)))``, draw by draw, at most `FOREVER`.
    """
    share = np.exp(log_behaviour_frequency(population, risk))
    with np.errstate(divide="ignore", over="ignore"):
        number = np.log1p(-level) / np.log1p(-share)
    return np.floor(np.minimum(number, FOREVER))


def first_failure(
    population: Population, samples_per_query: int, rng: np.random.Generator
) -> Draws:
    """Queries served until one first shows the behaviour, at most `FOREVER`.

    Geometric, given the chance ``E[1 - (1 - p) ** r]`` that a random query, sampled r
    times, shows it.
    """
    population = population.tabled()
    failure = population.mean_failure(samples_per_query)
    with np.errstate(divide="ignore", over="ignore"):
        waited = -rng.standard_exponential(population.draws) / np.log1p(-failure)
    return np.minimum(1 + np.floor(np.minimum(waited, FOREVER)), FOREVER)


def aggregate_log_hazard(
    population: Population,
    queries: int,
    samples_per_query: int,
    rng: np.random.Generator,
) -> Draws:
    """Log of minus the log chance that no response shows the behaviour.

    With ``H = -r * sum over queries of log(1 - p_i)``, the aggregate risk is
    ``A = 1 - exp(-H)``; the answer is ``log H``, which tells apart values of A that
    float64 rounds to 0 or to 1. Predictive, not its expectation over luck: the 64
    riskiest queries are drawn exactly, as order statistics; the sum over the others,
    given the 64th, is drawn from the gamma distribution of the same mean and variance.
    """
    population = population.tabled()
    drawn = min(queries, _RISKIEST)
    gaps = rng.standard_exponential((drawn, population.draws))
    # Spacings of uniform order statistics (Rényi 1953): the k-th smallest of n levels.
    gaps /= (queries - np.arange(drawn))[:, None]
    log_level = np.log(-np.expm1(-np.cumsum(gaps, axis=0)))
    hazard = _hazard(population.quantile(log_level)).sum(axis=0)
    others = queries - drawn
    if others:
        left = -np.expm1(log_level[-1])
        mean, square = population.mean(_hazard_and_square, log_level[-1]) / left
        hazard = hazard + _gamma(others * mean, others * (square - mean**2), rng)
    with np.errstate(divide="ignore"):
        return np.log(samples_per_query) + np.log(hazard)


def _hazard(score: Array) -> Array:
    """``-log(1 - p)`` of a score, bounded so that a sum of squares stays finite."""
    return np.minimum(-log_safe_from_score(score), _CERTAIN)


def _hazard_and_square(score: Array) -> Array:
    hazard = _hazard(score)
    return np.stack([hazard, hazard**2])


def _gamma(mean: Draws, variance: Draws, rng: np.random.Generator) -> Draws:
    """Gamma variables of given mean and variance; the mean where it does not vary."""
    varies = variance > 0
    scale = np.divide(variance, mean, out=np.ones_like(mean), where=varies)
    shape = np.divide(mean, scale, out=np.ones_like(mean), where=varies)
    return np.where(varies, scale * rng.standard_gamma(shape), mean)


def _luck_strata(
    draws: int, strata: int, rng: np.random.Generator
) -> Float[np.ndarray, "stratum draw"]:
    """Uniform numbers, one in each of some equal strata, for each draw."""
    return (np.arange(strata)[:, None] + rng.random((strata, draws))) / strata


def family_contributions(
    population: FamilyMixture, queries: int, rng: np.random.Generator
) -> Float[np.ndarray, "family draw"]:
    """Chance that the riskiest of n queries is from each family, draw by draw.

    ``E[weight_f * density_f(s) / sum of these]`` over the score s of the riskiest:
    given s, nothing but the densities there says which family it is from. The mean over
    draws is the predictive probability.
    """
    luck = _luck_strata(population.draws, _LUCK_STRATA, rng)
    score = population.tabled().quantile(log_worst_level(np.log(luck), queries))
    return np.mean([population.shares(row) for row in score], axis=0)


def joint_worst_scores(
    populations: Sequence[Population],
    queries: int,
    rng: np.random.Generator,
    *,
    together: bool,
) -> Float[np.ndarray, "population sample"]:
    """Scores of the riskiest of n queries of several behaviours, drawn jointly.

    Samples of one place share the posterior draw. Given it, the luck of behaviours is
    independent, or one and the same: the two ends between which behaviours lie that are
    measured on the same queries.
    """
    draws = populations[0].draws
    strata = [_luck_strata(draws, _LUCK_STRATA, rng) for _ in populations]
    # Each draw meets the strata of another behaviour in an order of its own.
    strata = [rng.permuted(luck, axis=0) for luck in strata]
    if together:
        strata = [strata[0]] * len(populations)
    return np.stack(
        [
            population.tabled().quantile(log_worst_level(np.log(luck), queries)).ravel()
            for population, luck in zip(populations, strata, strict=True)
        ]
    )
