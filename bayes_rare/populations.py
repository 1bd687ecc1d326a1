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

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtri_exp

from bayes_rare.scores import Numbers, log_safe_from_score

__all__ = [
    "BodyAndTail",
    "Empirical",
    "Normal",
    "Population",
    "StepsAndTail",
    "gpd_log_survival",
    "gpd_quantile",
    "log_worst_level",
]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]

# Means over a population are Gauss-Legendre sums over panels: at most 5 units of depth
# wide in a tail, 2 standard deviations in a normal population. The chance that a query
# sampled r times fails turns from 0 to 1 where -log(risk) is near log(r), within a few
# units of it; a wide population crosses that in a hundredth of its width. So panels are
# cut at scores too, up to 60 by fours on the scale of -log(risk), and by ones above:
# the relative error is then below 1e-6 for r up to 1e9 and scales up to 8.
_NODES = 12
_CUTS = np.concatenate([-np.log(np.arange(60.0, 0.0, -4.0)), np.arange(0.0, 6.0)])
# The deepest level that a mean descends to, exp(-60) of the tail: a query so rare is
# met once in 1e26, and a failure chance is at most 1.
_DEPTH = 60.0
# Standard deviations on either side that a mean over a normal population spans.
_REACH = 12.0
# Relative error of a level that was made from the logarithm of a number up to 1e12.
_ROUNDING = 1e-14


def gpd_log_survival(excess: Numbers, scale: Numbers, shape: Numbers) -> Array:
    """Log survival of the generalized Pareto distribution.

    ``log S(x) = -log1p(shape * x / scale) / shape``, and its limit ``-x / scale`` at
    shape 0; ``-inf`` beyond the upper end ``-scale / shape`` of a negative shape [1]_.

    Parameters
    ----------
    excess
        Excess over the threshold, at least 0.
    scale
        Scale in units of the excess, positive.
    shape
        Shape: 0 for the exponential, negative for a bounded tail.

    References
    ----------
    .. [1] S. Coles (2001). An Introduction to Statistical Modeling of Extreme Values.
       Springer, section 4.2.1.

    Examples
    --------
    Continuous through shape 0:

    >>> gpd_log_survival(2.0, 1.0, np.array([-1e-12, 0.0, 1e-12])).round(9)
    array([-2., -2., -2.])
    """
    depth = _array(excess) / _array(scale)
    endless = np.isinf(depth)  # a risk of 1: beyond any tail, and 0 * inf is not 0
    depth = np.where(endless, 0.0, depth)
    bend = np.maximum(_array(shape) * depth, -1.0)
    with np.errstate(divide="ignore"):
        log_survival = -depth * _ratio_at_zero_one(np.log1p, bend)
    return np.where(endless, -np.inf, log_survival)


def gpd_quantile(depth: Numbers, scale: Numbers, shape: Numbers) -> Array:
    """Excess whose log survival is ``-depth``; the upper end where depth is infinite.

    ``scale * expm1(shape * depth) / shape``; its limit ``scale * depth`` at shape 0.

    Parameters
    ----------
    depth
        Minus the log survival, at least 0.
    scale, shape
        As in `gpd_log_survival`.

    Examples
    --------
    The inverse of `gpd_log_survival`:

    >>> excess = gpd_quantile(30.0, 0.5, np.array([-0.2, 0.0, 0.2]))
    >>> gpd_log_survival(excess, 0.5, np.array([-0.2, 0.0, 0.2])).round(9)
    array([-30., -30., -30.])
    """
    scale, shape = _array(scale), _array(shape)
    depth = _array(depth)
    endless = np.isinf(depth)
    depth = np.where(endless, 0.0, depth)
    with np.errstate(over="ignore", divide="ignore"):
        excess = scale * depth * _ratio_at_zero_one(np.expm1, shape * depth)
        end = np.where(shape < 0, -scale / shape, np.inf)
    return np.where(endless, end, excess)


def _array(numbers: Numbers) -> Array:
    return np.asarray(numbers, dtype=np.float64)


def _ratio_at_zero_one(function: np.ufunc, argument: Numbers) -> Array:
    """``function(argument) / argument``, which is 1 at 0 for log1p and expm1."""
    argument = _array(argument)
    ratio = np.ones_like(argument)
    np.divide(function(argument), argument, out=ratio, where=argument != 0)
    return ratio


def log_worst_level(log_uniform: Numbers, queries: int | float) -> Array:
    """Log level of the riskiest of ``queries``, from the log of a uniform number.

    The riskiest of n independent queries has a score below s with chance
    ``(1 - S(s)) ** n``; so its level is ``1 - U ** (1 / n) = -expm1(log(U) / n)``.

    Parameters
    ----------
    log_uniform
        Logarithm of a uniform random number, or of a probability: with ``log(0.5)`` the
        answer is the level of the median worst query.
    queries
        Number of queries, at least 1.

    Examples
    --------
    Ten times the queries, a tenth of the level:

    >>> levels = np.exp([log_worst_level(np.log(0.5), n) for n in (1e6, 1e7)])
    >>> float(round(levels[0] / levels[1], 4))
    10.0
    """
    return np.asarray(np.log(-np.expm1(_array(log_uniform) / queries)))


class Population(ABC):
    """A distribution of scores over queries, one per posterior draw."""

    @property
    @abstractmethod
    def draws(self) -> int:
        """Number of posterior draws, the length of the last axis of every answer."""

    @abstractmethod
    def log_survival(self, score: Numbers) -> Array:
        """Log fraction of queries with a larger score.

        Parameters
        ----------
        score
            Scores, of a shape that broadcasts against ``(..., draw)``.
        """

    @abstractmethod
    def quantile(self, log_survival: Numbers) -> Array:
        """Score that a fraction ``exp(log_survival)`` of queries exceeds.

        The generalized inverse: the smallest score whose log survival is not larger.

        Parameters
        ----------
        log_survival
            At most 0, of a shape that broadcasts against ``(..., draw)``.
        """

    @abstractmethod
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        """Mean over queries of a function of the score, the riskiest left out.

        ``integral of function(quantile(v)) dv`` over levels v from ``exp(log_level)``
        to 1; an unnormalised mean where ``log_level`` is finite.

        Parameters
        ----------
        function
            Takes scores of shape ``(node, draw)``, or ``(node, 1)`` where they are the
            same for all draws; gives values of the same shape, or of several functions
            at once, stacked along leading axes.
        log_level
            Log of the fraction of queries left out at the risky end, draw by draw.

        Returns
        -------
        Means by draw, with the leading axes of the function.
        """

    def mean_failure(self, samples: int | float = 1) -> Draws:
        """Chance that a random query, sampled ``samples`` times, fails at least once.

        ``E[1 - (1 - p) ** samples]`` over the population.

        Parameters
        ----------
        samples
            Responses sampled per query, at least 1.
        """
        mean = self.mean(lambda score: -np.expm1(samples * log_safe_from_score(score)))
        return np.minimum(mean, 1.0)  # of certain failures, it may round to more


@dataclass(frozen=True, eq=False)
class Normal(Population):
    """Normal scores: ``S(s) = Phi((location - s) / scale)``.

    Then ``-log(risk)`` is log-normal, the baseline of Jones et al. (2025).

    Parameters
    ----------
    location
        Mean score.
    scale
        Standard deviation of the score, positive.
    """

    location: Draws
    scale: Draws

    @property
    @override
    def draws(self) -> int:
        return self.location.size

    @override
    def log_survival(self, score: Numbers) -> Array:
        return np.asarray(log_ndtr((self.location - _array(score)) / self.scale))

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        return self.location - self.scale * np.asarray(ndtri_exp(_array(log_survival)))

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        with np.errstate(invalid="ignore"):
            highest = np.clip(-ndtri_exp(_array(log_level)), -_REACH, _REACH)
        cuts = (_CUTS[:, None] - self.location) / self.scale
        deviate, weight = _panels(-_REACH, highest, _REACH / 6, cuts)
        density = np.exp(-0.5 * deviate**2) / math.sqrt(2 * math.pi)
        values = function(self.location + self.scale * deviate)
        return np.einsum("nd,nd,...nd->...d", weight, density, values)


@dataclass(frozen=True, eq=False)
class BodyAndTail(Population):
    """The evaluation's own scores below a threshold, a generalized Pareto tail above.

    Above the threshold u, ``S(s) = rate * (1 + shape * (s - u) / scale) ** (-1 /
    shape)``.
    The other ``1 - rate`` of queries have the scores that the evaluation saw at or
    below u, with weights from a Dirichlet distribution whose parameters are how often
    each was seen: the Bayesian bootstrap [1]_.

    Parameters
    ----------
    threshold
        Score above which the tail holds.
    rate
        Fraction of queries above the threshold, in (0, 1).
    scale
        Scale of the excess in score units, positive.
    shape
        Shape of the tail; 0 for an exponential one, whose maxima are Gumbel.
    body_score
        Scores at or below the threshold, in any order; at least one.
    body_count
        How often each was seen; positive.
    resample
        Whether the body's weights are uncertain; if not, they are the counts.

    Notes
    -----
    The weights are drawn when first needed, from a generator that the body itself
    seeds, so a population is a value: asked twice, it answers the same.

    References
    ----------
    .. [1] D. B. Rubin (1981). The Bayesian bootstrap. Annals of Statistics 9, 130-134.
    """

    threshold: float
    rate: Draws
    scale: Draws
    shape: Draws
    body_score: Float[np.ndarray, " cell"]
    body_count: Float[np.ndarray, " cell"]
    resample: bool = True

    def __post_init__(self) -> None:
        order = np.argsort(-self.body_score, kind="stable")
        object.__setattr__(self, "body_score", self.body_score[order])
        object.__setattr__(self, "body_count", self.body_count[order])

    @property
    @override
    def draws(self) -> int:
        return self.rate.size

    @cached_property
    def _edges_end_to_end(self) -> Float[np.ndarray, " edge"]:
        """Upper edges of the body of all draws, each draw's moved up by 2 more."""
        return (self._body_level[:-1] + 2.0 * np.arange(self.draws)).T.ravel()

    def _cell_at(
        self, level: Float[np.ndarray, " point"], draw: Int[np.ndarray, " point"]
    ) -> Int[np.ndarray, " point"]:
        """The last body score whose upper edge is not deeper than a level."""
        edges, last = self._body_level, self.body_score.size - 1
        found = np.searchsorted(
            self._edges_end_to_end, level + 2.0 * draw, side="right"
        )
        cell = np.clip(found - 1 - draw * (last + 1), 0, last)
        # Moving the edges rounds them: a level at an edge may be one cell off.
        cell = np.maximum(cell - (edges[cell, draw] > level), 0)
        deeper = np.minimum(cell + 1, last)
        return np.where(edges[deeper, draw] <= level, deeper, cell)

    def _body_weight(self) -> Float[np.ndarray, "cell draw"]:
        """Weight of each body score, up to a factor."""
        shape = (self.body_count.size, self.draws)
        if not self.resample:
            return np.broadcast_to(self.body_count[:, None], shape)
        seen = np.concatenate([self.body_score, self.body_count])
        rng = np.random.default_rng(zlib.crc32(seen.tobytes()))
        weight = rng.standard_exponential(shape)  # a gamma variable of shape 1
        many = self.body_count != 1
        weight[many] = rng.standard_gamma(
            self.body_count[many, None], (int(many.sum()), self.draws)
        )
        return weight

    @cached_property
    def _body_level(self) -> Float[np.ndarray, "edge draw"]:
        """Level at the upper edge of each body score, and 1 at the end."""
        weight = self._body_weight()
        level = np.zeros((weight.shape[0] + 1, weight.shape[1]))
        np.cumsum(weight, axis=0, out=level[1:])
        level *= (1 - self.rate) / level[-1]
        level += self.rate
        level[-1] = 1.0
        return level

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = _array(score)
        excess = np.maximum(score - self.threshold, 0.0)
        tail = np.log(self.rate) + gpd_log_survival(excess, self.scale, self.shape)
        in_body = score < self.threshold
        if not in_body.any():
            return tail
        above = np.searchsorted(-self.body_score, -score, side="left")
        edge, draw = np.broadcast_arrays(above, np.arange(self.draws))
        return np.where(in_body, np.log(self._body_level[edge, draw]), tail)

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        log_rate = np.log(self.rate)
        log_survival, log_rate = np.broadcast_arrays(_array(log_survival), log_rate)
        depth = np.maximum(log_rate - log_survival, 0.0)
        score = self.threshold + gpd_quantile(depth, self.scale, self.shape)
        in_body = log_survival >= log_rate
        if in_body.any():
            draw = np.broadcast_to(np.arange(self.draws), in_body.shape)[in_body]
            cell = self._cell_at(np.exp(log_survival[in_body]), draw)
            score[in_body] = self.body_score[cell]
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        level = np.maximum(self._body_level, np.exp(_array(log_level)))
        body = function(self.body_score[:, None])  # the same for all draws
        below = np.einsum("cd,...c->...d", np.diff(level, axis=0), body[..., 0])
        return _tail_mean(self, function, log_level) + below


@dataclass(frozen=True, eq=False)
class StepsAndTail(Population):
    """A density of steps below a threshold, a generalized Pareto tail above.

    Between two edges ``a < s <= b`` a fraction ``weight`` of the queries is spread
    evenly, so ``S`` is piecewise linear there; above the threshold, which is the last
    edge, ``S(s) = rate * (1 + shape * (s - u) / scale) ** (-1 / shape)``.

    Parameters
    ----------
    edges
        Scores at which steps begin and end, ascending; the last is the threshold.
    weight
        Fraction of the queries in each step, from the lowest up; with the rate, they
        sum to 1 in each draw.
    rate
        Fraction of queries above the threshold, in (0, 1).
    scale
        Scale of the excess in score units, positive.
    shape
        Shape of the tail; 0 for an exponential one, whose maxima are Gumbel.

    Examples
    --------
    Half of a step has half of its queries above it:

    >>> half = np.full((1, 1), 0.5)
    >>> steps = StepsAndTail(np.array([-2.0, -1.0]), half, *np.full((3, 1), 0.5))
    >>> np.exp(steps.log_survival(-1.5)).round(6)
    array([0.75])
    """

    edges: Float[np.ndarray, " edge"]
    weight: Float[np.ndarray, "step draw"]
    rate: Draws
    scale: Draws
    shape: Draws

    @property
    @override
    def draws(self) -> int:
        return self.rate.size

    @property
    def threshold(self) -> float:
        """Score above which the tail holds."""
        return float(self.edges[-1])

    @cached_property
    def _level(self) -> Float[np.ndarray, "edge draw"]:
        """Fraction of queries above each edge; 1 at the lowest."""
        above = np.cumsum(self.weight[::-1], axis=0)[::-1] + self.rate
        above[0] = 1.0
        return np.concatenate([above, self.rate[None]])

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = _array(score)
        excess = np.maximum(score - self.threshold, 0.0)
        tail = np.log(self.rate) + gpd_log_survival(excess, self.scale, self.shape)
        if not (score < self.threshold).any():
            return tail
        step = np.clip(
            np.searchsorted(self.edges, score, side="right") - 1,
            0,
            len(self.weight) - 1,
        )
        width = np.diff(self.edges)[step]
        share = np.clip((score - self.edges[step]) / width, 0.0, 1.0)
        step, draw = np.broadcast_arrays(step, np.arange(self.draws))
        level = (1 - share) * self._level[step, draw] + share * self._level[
            step + 1, draw
        ]
        return np.where(score < self.threshold, np.log(level), tail)

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        log_rate = np.log(self.rate)
        log_survival, log_rate = np.broadcast_arrays(_array(log_survival), log_rate)
        depth = np.maximum(log_rate - log_survival, 0.0)
        score = self.threshold + gpd_quantile(depth, self.scale, self.shape)
        in_body = log_survival >= log_rate
        if in_body.any():
            level = np.exp(log_survival)
            last = len(self.weight) - 1
            step = (self._level[1:-1] >= level[..., None, :]).sum(axis=-2)
            draw = np.broadcast_to(np.arange(self.draws), step.shape)
            upper, lower = self._level[step + 1, draw], self._level[step, draw]
            share = np.clip((lower - level) / (lower - upper), 0.0, 1.0)
            step = np.minimum(step, last)
            body = self.edges[step] + share * np.diff(self.edges)[step]
            score = np.where(in_body, body, score)
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        highest = np.minimum(self.quantile(_array(log_level)), self.threshold)
        below = np.zeros(())
        for low, high, weight in zip(
            self.edges[:-1], self.edges[1:], self.weight, strict=True
        ):
            top = np.clip(highest, low, high)
            cuts = np.broadcast_to(_CUTS[:, None], (_CUTS.size, self.draws))
            node, measure = _panels(float(low), top, float(high - low), cuts)
            density = weight / (high - low)
            below = below + density * np.einsum(
                "nd,...nd->...d", measure, function(node)
            )
        return _tail_mean(self, function, log_level) + below


def _tail_mean(
    population: BodyAndTail | StepsAndTail,
    function: Callable[[Array], Array],
    log_level: Numbers,
) -> Array:
    """The part of a mean over queries that a generalized Pareto tail contributes."""
    threshold, scale, shape = (
        population.threshold,
        population.scale,
        population.shape,
    )
    deepest = np.clip(np.log(population.rate) - _array(log_level), 0.0, _DEPTH)
    excess = np.maximum(_CUTS[:, None] - threshold, 0.0)
    cuts = -gpd_log_survival(excess, scale, shape)
    depth, weight = _panels(0.0, deepest, _DEPTH / 12, cuts)
    values = function(threshold + gpd_quantile(depth, scale, shape))
    tail = np.einsum("nd,nd,...nd->...d", weight, np.exp(-depth), values)
    return population.rate * tail


@dataclass(frozen=True, eq=False)
class Empirical(Population):
    """The scores that were seen, each as often as it was, and no others.

    ``S(s) = sum of count where score > s / sum of count``, of a single draw: the
    empirical distribution, which has nothing above the largest score.

    Parameters
    ----------
    score
        Scores, in any order; at least one.
    count
        How often each was seen; positive.

    Notes
    -----
    A level that is the edge of two scores but for rounding goes to the larger. So the
    quantile at the level 1/m of m scores is the largest of them, whatever the last bit
    of ``log(m)``: the definition gives the second, and on the side of safety is the
    other.

    Examples
    --------
    However many queries, the worst of them was seen:

    >>> seen = Empirical(np.array([0.5, -1.0, 2.0]), np.array([1.0, 7.0, 2.0]))
    >>> seen.quantile(-np.log([[10.0], [1e12]])).ravel()
    array([2., 2.])
    """

    score: Float[np.ndarray, " cell"]
    count: Float[np.ndarray, " cell"]

    def __post_init__(self) -> None:
        order = np.argsort(-self.score, kind="stable")
        object.__setattr__(self, "score", self.score[order])
        object.__setattr__(self, "count", self.count[order])

    @property
    @override
    def draws(self) -> int:
        return 1

    @cached_property
    def _level(self) -> Float[np.ndarray, " edge"]:
        """Level at the upper edge of each score, and 1 at the end."""
        above = np.concatenate([[0.0], np.cumsum(self.count)])
        return above / above[-1]

    @override
    def log_survival(self, score: Numbers) -> Array:
        above = np.searchsorted(-self.score, -_single(score), side="left")
        with np.errstate(divide="ignore"):  # above the largest there is nothing
            return np.log(self._level[above])

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        level = np.exp(_single(log_survival)) * (1 - _ROUNDING)
        return self.score[np.searchsorted(self._level[1:], level, side="left")]

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        level = np.maximum(self._level[:, None], np.exp(_array(log_level)))
        values = function(self.score[:, None])[..., 0]
        return np.einsum("cd,...c->...d", np.diff(level, axis=0), values)


def _single(numbers: Numbers) -> Array:
    """Numbers with an axis of one draw where they have none."""
    return np.atleast_1d(_array(numbers))


def _panels(
    lowest: float,
    highest: Numbers,
    width: float,
    cuts: Float[np.ndarray, "cut draw"],
) -> tuple[Float[np.ndarray, "node draw"], Float[np.ndarray, "node draw"]]:
    """Nodes and weights of Gauss-Legendre quadrature in equal panels, cut further.

    Panels are at most so wide; those that are empty under every draw are left out.
    """
    draws = cuts.shape[1]
    span = np.broadcast_to(_array(highest) - lowest, (draws,))
    panels = max(math.ceil(span.max(initial=0.0) / width), 1)
    even = lowest + np.linspace(0, 1, panels + 1)[:, None] * span
    edges = np.sort(np.concatenate([even, np.clip(cuts, lowest, even[-1])]), axis=0)
    half = np.diff(edges, axis=0) / 2
    filled = (half > 0).any(axis=1)
    half, start = half[filled, None], edges[:-1][filled, None]
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    nodes = start + half * (node[:, None] + 1)
    return nodes.reshape(-1, draws), (half * weight[:, None]).reshape(-1, draws)
