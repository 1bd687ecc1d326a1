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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtri_exp

from bayes_rare.scores import Numbers, log_safe_from_score

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

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]
type FamilyDraws = Float[np.ndarray, "family draw"]

SPLICE = 1.0
"""Standard deviations above its mean at which a family's normal body ends."""

SPLICED_SCALE = float(np.exp(log_ndtr(-SPLICE) + 0.5 * SPLICE**2) * math.sqrt(math.tau))
"""Scale of the tail that continues the density there: ``Phi(-1) / phi(1)``."""

_LOG_TAIL = float(log_ndtr(-SPLICE))
# A shape nearer to 0 than this is as good as 0, and log1p(shape * x) / shape is exact.
_STEEP = 1e-30
# Scores that no quantile of a family reaches at any level that is asked for.
_FAR_OUT = 1e6
# Newton's steps double the digits; a bracket that is halved each time needs 60.
_STEPS, _TOLERANCE = 80, 1e-13
# Standard deviations below its mean that a mean over a family goes down to, and the
# width in score over which functions of a risk are smooth.
_REACH_DOWN, _SMOOTH = 9.0, 0.4

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


@dataclass(frozen=True, eq=False)
class FamilyMixture(Population):
    """A mixture of families: one standard shape, located and scaled by family.

    ``S(s) = sum over families of weight_f * S_e((s - location_f) / scale_f)``, where
    S_e is `spliced_log_survival`: normal up to `SPLICE`, generalized Pareto beyond.

    Parameters
    ----------
    location, scale
        Mean and standard deviation of the normal body of each family's scores.
    weight
        Share of the queries that come from each family; they sum to 1 in each draw.
    shape
        Shape of the tail that the families share.
    origin
        The population of families that new ones are drawn from, if it is known.
    labels
        Names of the families; none where nobody has named them.

    Notes
    -----
    Nothing is simulated: a quantile is the root of the log survival between bounds that
    the families' own quantiles set, and costs the same for any number of queries.

    Examples
    --------
    Half of the queries in a family far below leave the other family's tail, at twice
    the level:

    >>> one = np.ones((2, 1))
    >>> halves = FamilyMixture(np.array([[-9.0], [0.0]]), one, one / 2, np.zeros(1))
    >>> alone = FamilyMixture(np.zeros((1, 1)), one[:1], one[:1], np.zeros(1))
    >>> alone.quantile(-20.0 + np.log(2)) - halves.quantile(-20.0) < 1e-9
    array([ True])
    """

    location: FamilyDraws
    scale: FamilyDraws
    weight: FamilyDraws
    shape: Draws
    origin: "Origin | None" = None
    labels: tuple[str, ...] = ()

    @property
    @override
    def draws(self) -> int:
        return self.shape.size

    @property
    def families(self) -> int:
        """Number of families, those of no weight among them."""
        return len(self.location)

    def mixed(
        self,
        weight: FamilyDraws | None = None,
        new: Float[np.ndarray, " new"] | None = None,
        labels: Sequence[str] = (),
    ) -> "FamilyMixture":
        """The same families in another mix, and new ones beside them.

        Parameters
        ----------
        weight
            Share of each family, by draw or, of one draw, for all; by default as it is.
        new
            Share of each new family, whose location and scale are drawn from the
            population of families. Its sum is what is left to the others.
        labels
            Names of all of them.

        Raises
        ------
        ValueError
            If there are new families, and nothing is known of where they come from.
        """
        weight = self.weight if weight is None else weight
        weight = np.broadcast_to(weight, self.location.shape)
        weight = weight / weight.sum(axis=0)
        if new is None or not new.size:
            return replace(self, weight=weight, labels=tuple(labels))
        if self.origin is None:
            raise ValueError("new families need the population that they are from.")
        location, scale = self.origin.drawn(new.size)
        share = np.broadcast_to(new[:, None], location.shape)
        return FamilyMixture(
            np.concatenate([self.location, location]),
            np.concatenate([self.scale, scale]),
            np.concatenate([weight * max(1 - float(new.sum()), 0.0), share]),
            self.shape,
            self.origin,
            tuple(labels),
        )

    def shares(self, score: Numbers) -> FamilyDraws:
        """Chance that a query of a known score is from each family.

        ``weight_f * density_f(score) / sum over families``.

        Parameters
        ----------
        score
            One score for each draw.
        """
        deviate = (_array(score) - self.location) / self.scale
        with np.errstate(divide="ignore"):
            log_density = spliced_log_density(deviate, self.shape) + np.log(
                self.weight / self.scale
            )
        largest = log_density.max(axis=0)
        # Beyond every upper end there is no density: the mix itself is all we know.
        beyond = ~np.isfinite(largest)
        part = np.exp(log_density - np.where(beyond, 0.0, largest))
        part = np.where(beyond, self.weight, part)
        return part / part.sum(axis=0)

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = _array(score)
        shape = np.broadcast_shapes(score.shape, (self.draws,))
        rows = np.broadcast_to(score, shape).reshape(-1, self.draws)
        every = np.arange(self.draws)
        levels = np.empty(rows.shape)
        for number, row in enumerate(rows):
            levels[number] = self._slope(row, every)[0]
        return levels.reshape(shape)

    def _slope(
        self, score: Draws, chosen: Int[np.ndarray, " point"]
    ) -> tuple[Draws, Draws]:
        """Log survival at a score for each of some draws, and minus its derivative."""
        every = chosen.size == self.draws
        location, scale, weight, shape = (
            values if every else values[..., chosen]
            for values in (self.location, self.scale, self.weight, self.shape)
        )
        log_part, hazard = _spliced_tail((score - location) / scale, shape)
        if not weight.all():
            log_part = np.where(weight > 0, log_part, -np.inf)
        largest = log_part.max(axis=0)
        safe = np.where(np.isfinite(largest), largest, 0.0)
        part = weight * np.exp(log_part - safe)
        total = part.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (part * hazard / scale).sum(axis=0) / total
            # Weights add up to 1 but for rounding; a survival is at most 1.
            return np.minimum(safe + np.log(total), 0.0), slope

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        log_survival = _array(log_survival)
        shape = np.broadcast_shapes(log_survival.shape, (self.draws,))
        rows = np.broadcast_to(log_survival, shape).reshape(-1, self.draws)
        low, high = self._bounds(rows.max(axis=0), rows.min(axis=0))
        score = np.empty(rows.shape)
        start = high
        for number, row in enumerate(rows):  # each from where the last one ended
            start = self._root(row, low, high, start)
            score[number] = start
        return score.reshape(shape)

    def _bounds(self, shallow: Draws, deep: Draws) -> tuple[Draws, Draws]:
        """Scores between which the quantiles of all levels between two lie.

        No part is more than the whole: ``weight_f * S_f(s) <= S(s)`` bounds a quantile
        from below; and a mean is no more than its largest term: ``S(s) <= max S_f(s)``.
        """
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.weight)
        present = self.weight > 0
        own = np.minimum(shallow - np.where(present, log_weight, 0.0), 0.0)
        low = self.location + self.scale * spliced_quantile(own, self.shape)
        high = self.location + self.scale * spliced_quantile(deep, self.shape)
        return (
            np.where(present, low, -np.inf).max(axis=0),
            np.where(present, high, -np.inf).max(axis=0),
        )

    def _root(self, level: Draws, low: Draws, high: Draws, start: Draws) -> Draws:
        """Where the log survival is ``level``: Newton's steps, kept inside bounds."""
        score = np.where(level == 0.0, -np.inf, high)
        low = np.where(np.isfinite(low), low, np.minimum(-_FAR_OUT, high - 1))
        high = np.where(np.isfinite(high), high, np.maximum(_FAR_OUT, low + 1))
        left = np.flatnonzero((level < 0.0) & (level > -np.inf) & (low < high))
        level, low, high = level[left], low[left], high[left]
        now = np.asarray(np.clip(start[left], low, high))
        for _ in range(_STEPS):
            if not left.size:
                break
            value, slope = self._slope(now, left)
            gap = value - level
            low, high = np.where(gap >= 0, now, low), np.where(gap <= 0, now, high)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = np.asarray(now + gap / slope)
            inside = (step >= low) & (step <= high)  # not so for NaN
            step = np.where(inside, step, (low + high) / 2)
            close = np.abs(gap) <= _TOLERANCE * (1 - level)
            still = ~close & (np.abs(step - now) > _TOLERANCE * (1 + np.abs(now)))
            score[left] = np.where(close, now, step)
            left, level, now = left[still], level[still], step[still]
            low, high = low[still], high[still]
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        highest = self.quantile(log_level)
        total: Array | float = 0.0
        for location, scale, weight in zip(
            self.location, self.scale, self.weight, strict=True
        ):
            if weight.any():
                end = (highest - location) / scale
                deviate, measure = _spliced_panels(end, scale, self.shape)
                values = function(location + scale * deviate)
                total = total + weight * np.einsum("nd,...nd->...d", measure, values)
        return np.asarray(total)


@dataclass(frozen=True, eq=False)
class Origin:
    """The population of families: where the location and the scale of a new one are.

    ``location = centre + width * T`` with T from Student's t distribution, and
    ``log(scale - finest) = log_scale + spread * Z`` with Z standard normal.

    Parameters
    ----------
    centre, width
        Centre and scale of the locations of families.
    log_scale, spread
        Mean and standard deviation of the logarithms of their scales.
    freedom
        Degrees of freedom of T.
    finest
        Smallest scale that a family can have.
    """

    centre: Draws
    width: Draws
    log_scale: Draws
    spread: Draws
    freedom: float
    finest: float = 0.0

    def drawn(self, families: int) -> tuple[FamilyDraws, FamilyDraws]:
        """Locations and scales of new families; asked twice, the same.

        Parameters
        ----------
        families
            How many, at least 1.
        """
        seed = zlib.crc32(np.concatenate([self.centre, self.width]).tobytes())
        rng = np.random.default_rng(seed)
        size = (families, self.centre.size)
        location = self.centre + self.width * rng.standard_t(self.freedom, size)
        log_scale = self.log_scale + self.spread * rng.standard_normal(size)
        return location, self.finest + np.exp(np.clip(log_scale, -_DEPTH, _DEPTH))


def spliced_log_survival(deviate: Numbers, shape: Numbers) -> Array:
    """Log survival of a standard normal body with a generalized Pareto tail.

    Normal up to `SPLICE`; beyond it ``log Phi(-1) + log S(e - 1)`` of a generalized
    Pareto tail whose scale ``Phi(-1) / phi(1)`` makes the density continuous.

    Parameters
    ----------
    deviate
        Score in standard deviations of the body from its mean.
    shape
        Shape of the tail.

    Examples
    --------
    Half of it is above 0, and 1 is where the tail begins:

    >>> np.exp(spliced_log_survival([0.0, 1.0], -0.1)).round(6)
    array([0.5     , 0.158655])
    """
    deviate = _array(deviate)
    body = log_ndtr(-np.minimum(deviate, SPLICE))
    excess = np.maximum(deviate - SPLICE, 0.0)
    tail = _LOG_TAIL + gpd_log_survival(excess, SPLICED_SCALE, shape)
    return np.where(deviate > SPLICE, tail, body)


def spliced_log_density(deviate: Numbers, shape: Numbers) -> Array:
    """Log density of the distribution of `spliced_log_survival`.

    Parameters
    ----------
    deviate, shape
        As there.
    """
    deviate, shape = _array(deviate), _array(shape)
    body = -0.5 * np.minimum(deviate, SPLICE) ** 2 - 0.5 * math.log(2 * math.pi)
    excess = np.maximum(deviate - SPLICE, 0.0)
    depth = gpd_log_survival(excess, SPLICED_SCALE, shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(body + np.where(deviate > SPLICE, (1 + shape) * depth, 0.0))


def spliced_quantile(log_survival: Numbers, shape: Numbers) -> Array:
    """Deviate whose log survival is given: the inverse of `spliced_log_survival`.

    Parameters
    ----------
    log_survival
        At most 0.
    shape
        Shape of the tail.

    Examples
    --------
    >>> levels = np.array([-20.0, -1.0])
    >>> spliced_log_survival(spliced_quantile(levels, 0.1), 0.1).round(9)
    array([-20.,  -1.])
    """
    log_survival = _array(log_survival)
    body = -ndtri_exp(np.maximum(log_survival, _LOG_TAIL))
    depth = np.maximum(_LOG_TAIL - log_survival, 0.0)
    tail = SPLICE + gpd_quantile(depth, SPLICED_SCALE, shape)
    return np.where(log_survival < _LOG_TAIL, tail, body)


def _spliced_tail(deviate: Array, shape: Draws) -> tuple[Array, Array]:
    """Log survival and hazard ``density / survival`` of the spliced distribution.

    As `spliced_log_survival`, at half its cost: the normal body is computed where there
    is one, and a shape is kept from being 0, where the limit is as good as reached.
    """
    steep = np.where(np.abs(shape) < _STEEP, _STEEP, shape)
    excess = np.maximum(deviate - SPLICE, 0.0)
    bend = np.maximum(steep * excess / SPLICED_SCALE, -1.0)
    with np.errstate(divide="ignore"):
        log_survival = _LOG_TAIL - np.log1p(bend) / steep
        # Beyond an upper end there is nothing, and 0 * inf would be NaN.
        hazard = np.where(bend > -1.0, 1 / (SPLICED_SCALE * (1 + bend)), 0.0)
    in_body = deviate < SPLICE
    body = deviate[in_body]
    log_survival[in_body] = log_ndtr(-body)
    hazard[in_body] = np.exp(-0.5 * body**2 - log_survival[in_body]) / math.sqrt(
        2 * math.pi
    )
    return log_survival, hazard


def _spliced_panels(
    end: Draws, scale: Draws, shape: Draws
) -> tuple[Float[np.ndarray, "node draw"], Float[np.ndarray, "node draw"]]:
    """Nodes and weights of a mean over the spliced distribution below an end.

    Panels are at most 3 standard deviations or 0.4 score units wide, in the body; in
    the tail up to 20 units of depth, and where scores are wide no wider than those.
    """
    widest = float(np.quantile(scale, 0.99))
    none = np.empty((0, end.size))
    width = min(3.0, _SMOOTH / widest)
    node, measure = _panels(-_REACH_DOWN, np.minimum(end, SPLICE), width, none)
    density = np.exp(-0.5 * node**2) / math.sqrt(2 * math.pi)
    # The depth at which the end is, as its log survival says.
    deepest = _LOG_TAIL - spliced_log_survival(np.maximum(end, SPLICE), shape)
    deepest = np.clip(deepest, 0.0, _DEPTH)
    growth = max(min(_SMOOTH / (widest * SPLICED_SCALE), 1.0), 0.02)
    cuts = _DEPTH * np.linspace(0, 1, math.ceil(8 / growth) + 1)[1:-1] ** 1.6
    depth, tail = _panels(
        0.0, deepest, _DEPTH, np.broadcast_to(cuts[:, None], (cuts.size, end.size))
    )
    return (
        np.concatenate([node, SPLICE + gpd_quantile(depth, SPLICED_SCALE, shape)]),
        np.concatenate([measure * density, tail * np.exp(_LOG_TAIL - depth)]),
    )


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
