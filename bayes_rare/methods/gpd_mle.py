"""A generalized Pareto tail by maximum likelihood, with its profile interval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.forecasting import (
    RISK_THRESHOLDS,
    TARGETS,
    Deployment,
    Forecast,
    population_forecast,
)
from bayes_rare.methods.exact_scores import exact_scores, refuse_certain
from bayes_rare.populations import BodyAndTail, Population, gpd_quantile
from bayes_rare.populations.pareto import gpd_log_likelihood

__all__ = ["gpd_mle"]

type Array = Float[np.ndarray, "..."]
type Cells = Float[np.ndarray, " cell"]
type Nodes = Float[np.ndarray, " node"]
type Draws = Float[np.ndarray, " draw"]

# Below a shape of -1 the likelihood has no maximum: its density is infinite at the
# upper end, which can be put at the largest score. Above 1 a tail has no mean.
_SHAPES = (-1.0, 1.0)
# Two parameters of fewer different scores than this are not worth estimating.
_FEWEST = 5
# With one draw at each of the levels 1/1000 to 999/1000 the quantiles of the draws, as
# a forecast takes them, are at exactly those levels: 5 % is the 50th of 999.
_LEVELS = np.arange(1, 1000) / 1000
# Of a larger evaluation the exceedances are taken in cells, the top half one by one.
_CELLS = 512
# Depth of the forecast quantile below the threshold's, at least; at 0 a quantile would
# be the threshold, whatever the tail.
_SHALLOWEST = 1e-6

# Where a maximum is looked for at first: over the bend, shape / scale, in units of one
# by the largest excess. Evenly in the logarithm of its distance from -1, where a tail
# ends at that excess, and from 0, where it is exponential, up to scales of 1e-9.
_BENDS = np.concatenate(
    [
        np.geomspace(1e-12, 0.5, 180) - 1.0,
        -np.geomspace(0.5, 1e-6, 90)[1:],
        np.geomspace(1e-6, 1e9, 230),
    ]
)
# At a bend nearer to 0 a tail is exponential, and one nearer to -1 is beyond rounding.
_STRAIGHT, _LEAST_BEND = 1e-12, -1.0 + 1e-15
# Then between the neighbours of the best, and so on, to a thousandth of the distance.
_CLOSER = np.linspace(0.0, 1.0, 9)
_ROUNDS = 5
# Where the profile is followed at first, as logarithms of an excess: around the
# estimate (with a shape of 1 in place of -1 the worst of 1e12 queries is 28 further),
# and around the largest score, where it falls off as steeply as a tail can end.
_AROUND_ESTIMATE = np.geomspace(1e-3, 60.0, 28)
_AROUND_LARGEST = np.geomspace(1e-13, 1.0, 53)
_NODES, _REFINEMENTS = 65, 2
# The nodes go beyond the levels that are wanted, since where they fall is a guess.
_MARGIN = 1.15
# Roots nearer to each other say nothing of a slope: the deviance is a parabola at its
# top, and its root is known there to the square root of rounding.
_ROOT_STEP = 1e-3


@checked_call
def gpd_mle(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    exceedances: int | None = None,
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
    targets: tuple[str, ...] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """Forecast by a generalized Pareto tail of maximum likelihood and its profile.

    Of the m scores k exceed a threshold u, which is the next score down. Their excesses
    have the likelihood of a generalized Pareto tail, and the score that a fraction 1/n
    of queries exceeds is ``Q = u + scale * ((n k / m) ** shape - 1) / shape``. With
    ``l(Q)`` the largest log likelihood among the tails that have this Q, all Q with ``2
    (max l - l(Q))`` below the 90 % quantile of chi-squared with one degree of freedom
    are the 90 % profile-likelihood interval [1]_; the rate k/m counts as known.

    The population has 999 draws along that profile: at level j/1000 the Q at which the
    signed root ``sign(Q - Q_hat) sqrt(2 (max l - l(Q)))`` is the normal quantile of
    that level, and the tail that attains ``l(Q)``. So the interval of
    ``risk_quantile`` *at the largest size of the deployment* is the profile-likelihood
    interval. At smaller sizes the draws are those of the largest, and their intervals
    nearly so: ask for one size at a time for exact intervals of each. (Up to m/k
    queries Q lies in the body; then the profile is that of the scale.)

    Parameters
    ----------
    evaluation
        Exact risks.
    deployment
        How many queries will be served.
    exceedances
        Scores above the threshold, k; more with ties. By default 10 % of the queries
        [2]_, and at least 10.
    risk_thresholds
        Risks above which queries count as risky.
    targets
        Which of `bayes_rare.forecasting.TARGETS` to forecast.
    seed
        Seeds the luck; from 0.

    Raises
    ------
    NotApplicable
        If a behaviour has too few queries, fewer than 5 different scores above the
        threshold, or risks of exactly 1.

    Notes
    -----
    The shape is limited to [-1, 1]: below -1 the likelihood is unbounded. More than 512
    different excesses are taken in groups, the larger half one by one. Of few excesses
    the profile often has a second, lower top where the tail ends at the largest score;
    the interval then reaches to its far side.

    References
    ----------
    .. [1] S. Coles (2001). An Introduction to Statistical Modeling of Extreme Values.
       Springer, sections 2.6.6 and 4.3.3.
    .. [2] W. H. DuMouchel (1983). Estimating the stable index alpha in order to measure
       tail thickness: a critique. Annals of Statistics 11, 1019-1031.

    Examples
    --------
    Scores moved by 1, an interval moved by 1:

    >>> from bayes_rare import Deployment, Evaluation
    >>> ends = []
    >>> for moved in (0, 1):
    ...     evaluation = Evaluation.from_scores(np.linspace(-3, -2, 200) ** 3 + moved)
    ...     made = gpd_mle(evaluation, Deployment(10**5), targets=())
    ...     tail = made.populations["behaviour"].quantile(-np.log(10**5))
    ...     ends.append(np.quantile(tail, [0.05, 0.95], method="inverted_cdf"))
    >>> (ends[1] - ends[0]).round(6)
    array([1., 1.])
    """
    if exceedances is not None and exceedances < _FEWEST:
        raise InvalidInput(
            f"a tail by maximum likelihood needs at least {_FEWEST} exceedances, got "
            f"exceedances={exceedances}. Give exceedances={_FEWEST}, or None for 10 % "
            "of the queries."
        )
    populations = {
        name: _population(
            _parted(name, exact_scores(evaluation, name, "gpd_mle"), exceedances),
            deployment.queries[-1],
        )
        for name in evaluation.behaviours
    }
    return population_forecast(
        "gpd_mle",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
        targets=targets,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class _Excesses:
    """Scores above a threshold, from the largest down, and those below.

    ``excess`` is in units of the largest, which is ``unit``; ``rate`` is k/m.
    """

    excess: Cells
    count: Cells
    unit: float
    threshold: float
    rate: float
    body: ScoreCells

    @cached_property
    def log_sums(self) -> Float[np.ndarray, " bend"]:
        """Sum over exceedances of ``log1p(bend * excess)`` at each of the bends."""
        return np.log1p(_BENDS[:, None] * self.excess) @ self.count


def _parted(behaviour: str, scores: ScoreCells, exceedances: int | None) -> _Excesses:
    """The exceedances that were asked for, as the models choose them."""
    refuse_certain(
        behaviour, scores, "the likelihood of a tail needs the scores that exceed"
    )
    wanted = max(10, round(0.1 * scores.size)) if exceedances is None else exceedances
    if scores.size <= wanted:
        fewer = (scores.size - 1) // 2
        fewer_do = fewer >= _FEWEST
        ask = f"Give exceedances={fewer}, or evaluate" if fewer_do else "Evaluate"
        raise NotApplicable(
            f"behaviour {behaviour!r} has {scores.size} queries; a threshold with "
            f"{wanted} scores above it needs at least {wanted + 1}. {ask} more queries."
        )
    # The threshold is the largest score with enough above it.
    above = np.concatenate([[0.0], np.cumsum(scores.count)])
    first = int(np.searchsorted(above[:-1], wanted))
    if first == scores.score.size or first < _FEWEST:
        raise NotApplicable(_too_few(behaviour, scores, above, first, wanted))
    threshold = float(scores.score[first])
    tail = scores.above(threshold).coarsen(_CELLS)
    excess = tail.score - threshold
    return _Excesses(
        excess=excess / excess[0],
        count=tail.count,
        unit=float(excess[0]),
        threshold=threshold,
        rate=float(above[first] / scores.size),
        body=scores.below(threshold),
    )


def _too_few(
    behaviour: str, scores: ScoreCells, above: Cells, first: int, wanted: int
) -> str:
    """Why the exceedances asked for will not do, and how many would."""
    different = scores.score.size
    if different <= _FEWEST:
        way_out = (
            "Evaluate more queries, record log_risk with more digits, or use "
            "evaluation_maximum"
        )
    else:
        enough = above[_FEWEST] if first < _FEWEST else above[different - 1]
        way_out = f"Give exceedances={enough:.0f}"
    lacking = (
        f"none has {wanted} others above it"
        if first == different
        else f"the {above[first]:.0f} riskiest queries have {first} of them"
    )
    return (
        f"behaviour {behaviour!r} has {different} different known scores, and "
        f"{lacking}: a tail of two parameters needs {_FEWEST} above its threshold. "
        f"{way_out}."
    )


def _population(data: _Excesses, queries: int) -> Population:
    """Tails along the profile likelihood of the score that 1/n of queries exceed."""
    depth = max(float(np.log(queries * data.rate)), _SHALLOWEST)
    log_excess, bend = _profile_draws(data, depth)
    shape = np.clip(_shape(bend, log_excess, depth), *_SHAPES)
    body_score, body_count = data.body.coarsen().with_zeros_at_bound()
    return BodyAndTail(
        threshold=data.threshold,
        rate=np.full(shape.size, data.rate),
        scale=data.unit * np.exp(log_excess) / gpd_quantile(depth, 1.0, shape),
        shape=shape,
        body_score=body_score,
        body_count=body_count,
        resample=False,
    )


def _shape(bend: Array, log_excess: Array, depth: float) -> Array:
    """Shape of the tail of a bend whose quantile at ``depth`` has that excess.

    The excess is ``(exp(shape * depth) - 1) / bend``.
    """
    risen = np.maximum(bend * np.exp(log_excess), _LEAST_BEND)
    return np.log1p(risen) / depth


def _not_straight(bend: Array) -> Array:
    """A bend that is not 0, where the likelihood has its limit but no value."""
    return np.where(np.abs(bend) < _STRAIGHT, _STRAIGHT, bend)


def _maximum(
    data: _Excesses, shape_of: Callable[[Array, Array], Array], ends: Array
) -> tuple[Nodes, Nodes]:
    """Largest log likelihood, and its bend, where the bend decides about the shape.

    ``shape_of`` takes bends of shape (node, candidate) and their sums; ``ends`` are the
    least and largest bend of each node.
    """
    low, high = ends[0], ends[1]
    rows = np.arange(len(low), dtype=np.int64)
    queries = float(data.count.sum())
    bend, log_sum = np.broadcast_to(_BENDS, (low.size, _BENDS.size)), data.log_sums
    for _ in range(_ROUNDS):
        shape = shape_of(bend, log_sum)
        value = gpd_log_likelihood(shape / bend, shape, queries, log_sum)
        allowed = (bend >= low[:, None]) & (bend <= high[:, None])
        best = np.argmax(np.where(allowed, value, -np.inf), axis=1)
        around = [np.maximum(best - 1, 0), np.minimum(best + 1, bend.shape[1] - 1)]
        below, above = (np.clip(bend[rows, at], low, high) for at in around)
        bend = _not_straight(below[:, None] + (above - below)[:, None] * _CLOSER)
        log_sum = np.log1p(bend[..., None] * data.excess) @ data.count
    shape = shape_of(bend, log_sum)
    value = gpd_log_likelihood(shape / bend, shape, queries, log_sum)
    # A parabola through the best and its neighbours, where it has two.
    best = np.argmax(value, axis=1)
    middle = np.clip(best, 1, _CLOSER.size - 2)
    left, top, right = (value[rows, middle + side] for side in (-1, 0, 1))
    curved = left - 2 * top + right
    inside = (middle == best) & (curved < 0)
    shift = np.where(inside, (left - right) / np.where(inside, 2 * curved, 1.0), 0.0)
    rise = (right - left) * shift / 4
    step = bend[rows, middle + 1] - bend[rows, middle]
    return value[rows, best] + rise, bend[rows, best] + shift * step


def _estimate(data: _Excesses, depth: float) -> tuple[float, float]:
    """Largest log likelihood of all, and the log excess of its quantile.

    Given ``bend = shape / scale`` it is largest at the shape ``mean of log1p(bend *
    excess)``, or at the limit that this is beyond (Grimshaw 1993, Technometrics 35).
    """
    queries = float(data.count.sum())

    def shape_of(bend: Array, log_sum: Array) -> Array:  # noqa: ARG001 it has its sum
        return np.clip(log_sum / queries, *_SHAPES)

    top, bends = _maximum(data, shape_of, np.array([[_LEAST_BEND], [_BENDS[-1]]]))
    bend = _not_straight(bends)
    shape = shape_of(bend, np.log1p(bend[:, None] * data.excess) @ data.count)
    excess = shape / bend * gpd_quantile(depth, 1.0, shape)
    return float(top[0]), float(np.log(excess[0]))


def _profile(data: _Excesses, log_excess: Nodes, depth: float) -> tuple[Nodes, Nodes]:
    """Largest log likelihood given the quantile's excess, and the bend that has it."""

    def shape_of(bend: Array, log_sum: Array) -> Array:  # noqa: ARG001 Q decides
        return _shape(bend, log_excess[:, None], depth)

    ends = np.expm1(np.multiply.outer(_SHAPES, depth))[:, None] / np.exp(log_excess)
    return _maximum(data, shape_of, np.maximum(ends, _LEAST_BEND))


def _profile_draws(data: _Excesses, depth: float) -> tuple[Draws, Draws]:
    """Log excess of the quantile at each level of the signed root, and the bend.

    Every quantile is that of some tail with an allowed shape, and the likelihood falls
    without bound on both sides: the limits bend the profile and do not cut it.
    """
    top, estimate = _estimate(data, depth)

    def nodes(log_excess: Nodes) -> Float[np.ndarray, "3 node"]:
        value, bend = _profile(data, log_excess, depth)
        side = np.sign(log_excess - estimate)
        return np.array(
            [side * np.sqrt(2 * np.maximum(top - value, 0.0)), log_excess, bend]
        )

    steps = np.concatenate([[0.0], _AROUND_ESTIMATE, -_AROUND_ESTIMATE])
    walls = np.concatenate([_AROUND_LARGEST, -_AROUND_LARGEST])
    found = nodes(np.unique(np.concatenate([estimate + steps, walls])))
    wanted: Draws = np.asarray(ndtri(_LEVELS))
    evenly = _MARGIN * wanted[-1] * np.linspace(-1.0, 1.0, _NODES)
    for _ in range(_REFINEMENTS):
        near = nodes(_between(evenly, _rising(found[0]), found[1]))
        found = np.concatenate([found, near], axis=1)
        found = found[:, np.argsort(found[1], kind="stable")]
    reached = _rising(found[0])
    _, apart = np.unique(np.floor(reached / _ROOT_STEP), return_index=True)
    reached, log_excess, bend = reached[apart], found[1, apart], found[2, apart]
    log_end = _between(wanted, reached, np.log1p(bend))
    return _monotone(reached, log_excess, wanted), np.expm1(log_end)


def _rising(root: Nodes) -> Nodes:
    """The signed root, stepped over where it turns back between two tops."""
    return np.asarray(np.maximum.accumulate(root), dtype=np.float64)


def _between(at: Draws, x: Nodes, y: Nodes) -> Draws:
    """Linear interpolation."""
    return np.asarray(np.interp(at, x, y), dtype=np.float64)


def _monotone(x: Nodes, y: Nodes, at: Draws) -> Draws:
    """Monotone cubic interpolation of increasing values (Fritsch & Carlson 1980)."""
    width, secant = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.concatenate([secant[:1], secant[:-1], secant[-1:]])
    slope[1:-1] += (secant[1:] - secant[:-1]) * width[:-1] / (width[:-1] + width[1:])
    limit = 3 * np.minimum(np.append(secant, secant[-1]), np.append(secant[0], secant))
    slope = np.minimum(slope, limit)
    at = np.clip(at, x[0], x[-1])
    cell = np.clip(np.searchsorted(x, at, side="right") - 1, 0, width.size - 1)
    share, rest = (at - x[cell]) / width[cell], (x[cell + 1] - at) / width[cell]
    return (
        y[cell] * rest**2 * (1 + 2 * share)
        + y[cell + 1] * share**2 * (1 + 2 * rest)
        + width[cell] * share * rest * (slope[cell] * rest - slope[cell + 1] * share)
    )
