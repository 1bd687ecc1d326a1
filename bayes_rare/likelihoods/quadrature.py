"""Outcomes that leave the risk of a query latent, with that risk integrated out.

==========  =====================================================================
tally       queries of one behaviour with equal successes and equal trials
estimate    a query whose log risk was estimated, with a standard error
step        scores between two edges, over which a population is spread evenly
node        a score at which an integrand is evaluated, with its weight
==========  =====================================================================

What an outcome says of a population with density f is the integral of its likelihood,
``integral of P(outcome | score) f(score) d score``. It is a sum over Gauss-Legendre
nodes in panels. Panels end where the population changes its form, at edges of steps and
at depths of the tail, and where the likelihood does: a little, much, and all of the way
down on either side of its peak. So each panel is smooth, whether the population is the
narrower of the two or the likelihood. Tallies of up to `SHARED_TRIALS` trials share one
set of nodes, dense enough for all of them; sharper ones and estimates each have a set
of their own.

Arrays have a row a behaviour. The functions that take ``xp`` serve NumPy and PyTensor
alike: what is compiled and what is drawn from afterwards are one formula.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, log_ndtr

from bayes_rare.populations import SPLICE, SPLICED_SCALE
from bayes_rare.populations.pareto import smooth_quantile
from bayes_rare.scores import (
    log_risk_from_score,
    log_safe_from_score,
    score_from_log_risk,
    score_from_risk,
)

__all__ = [
    "FAMILY_NODES",
    "SHARED_NODES",
    "SHARED_TRIALS",
    "SHARP_NODES",
    "STEPS",
    "estimate_breaks",
    "log_binomial",
    "log_chances",
    "log_normal_density",
    "log_safe",
    "log_ways",
    "place_of",
    "placed_nodes",
    "placed_spliced_nodes",
    "population_nodes",
    "rough_log_likelihood",
    "score_at",
    "shared_breaks",
    "sharp_breaks",
    "spliced_nodes",
    "step_edges",
    "threshold_of",
    "times",
    "usual_exceedances",
]

type Array = Float[np.ndarray, "..."]

SHARED_TRIALS = 8192
"""Tallies of at most so many trials are integrated over shared nodes."""

STEPS = 4
"""Steps of the body below the threshold, the lowest one aside of visible ones."""

# Depths of the tail (minus log survival, from the threshold on) at which panels end.
_DEPTHS = np.array([0.8, 2.5, 6.0, 9.0, 12.0, 22.0, 40.0, 100.0, 300.0, 700.0])
# Deviates of a normal body, up to the splice, at which panels end.
_DEVIATES = np.array([-40.0, -15.0, -8.0, -5.0, -3.0, -1.5, -0.25, SPLICE])
_FAMILY_DEPTHS = np.array([0.8, 2.5, 6.0, 12.0, 24.0, 60.0, 200.0])
_LOG_TAIL = float(log_ndtr(-SPLICE))
# Nodes of a panel: shared nodes are as dense as the sharpest tally needs, so panels are
# short for the others; sharper outcomes have few panels, with more nodes each.
SHARED_NODES, SHARP_NODES = 6, 10

FAMILY_NODES = 4
"""Nodes of a panel of a family's scores.

Each family has nodes of its own, so they are what its outcomes cost; the log chance of
an outcome that is no wonder is then known to 1e-4, mostly to 1e-6.
"""

# Likelihoods have fallen by so much, in logarithms, where panels end: on each side of a
# peak, or on one side of a likelihood that only falls or only rises.
_FALLS = np.array([1.5, 6.0, 15.0, 36.0])
_ONE_SIDED_FALLS = np.array([1e-3, 0.03, 0.2, 0.7, 2.0, 5.0, 10.0, 18.0, 36.0])
# Panels of this many standard deviations of a share of successes.
_SPACING = 2.5
_FEWEST_BREAKS = 16
# Below and above the shared breaks, risks and chances of safety fall on by these
# factors, as logarithms.
_LADDER = np.array([1.0, 2.5, 5.0, 10.0, 20.0])
# Depths are held inside what float64 can raise to a power.
_DEEPEST = 700.0
# Where |shape * excess / scale| is below this, the depth is its series.
_SERIES = 1e-5
_TINY = 1e-300
_LOWEST = -600.0
# Its square is a number too: the gradient of a quotient has it.
_SMALLEST_HAZARD = 1e-100

# Widths of the steps below the threshold, in score units.
_STEP_WIDTH = 0.3
_LOWEST_WIDTH = 1.5
# A risk below this share of 1/trials cannot be told from 0.
_INVISIBLE = 0.1
# How the threshold is chosen: scores between these, a prior for them, and updates.
_GRID = np.arange(-5.0, 8.0, 0.05)
_GRID_MEAN, _GRID_SD = -2.0, 1.5
_UPDATES = 50
_TELLING_TRIALS = 400.0


def log_ways(successes: Array, trials: Array) -> Array:
    """Log number of orders in which so many of the trials can be successes."""
    return (
        gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    )


def log_safe(xp: Any, score: Any) -> Any:
    """``log(1 - risk)`` of a score, with a finite gradient everywhere.

    The same function as `bayes_rare.scores.log_safe_from_score`, to 1e-15 absolutely:
    what a million trials say is then known to 1e-9.
    """
    hazard = xp.maximum(xp.exp(-score), _SMALLEST_HAZARD)
    # Divided, as PyTensor would make a choice of formulas of the logarithm alone, and
    # the gradient of the one that is not chosen is no number.
    return xp.log(-xp.expm1(-hazard) / hazard) - score


def score_at(xp: Any, place: Any, threshold: Any, scale: Any, shape: Any) -> Any:
    """Score at a place: itself, and in the tail ``u + scale * expm1(shape d) / shape``.

    Parameters
    ----------
    xp
        NumPy, or ``pytensor.tensor``.
    place
        The score up to the threshold; beyond it the threshold plus the depth.
    threshold, scale, shape
        The tail.
    """
    depth = xp.maximum(place - threshold, 0.0)
    excess = smooth_quantile(xp, depth, scale, shape, capped=True)
    return xp.where(place > threshold, threshold + excess, place)


def place_of(xp: Any, score: Any, threshold: Any, scale: Any, shape: Any) -> Any:
    """Place of a score, as far down the tail as panels go; the inverse of `score_at`.

    Parameters
    ----------
    xp
        NumPy, or ``pytensor.tensor``.
    score
        Scores, of which only panels are made.
    threshold, scale, shape
        The tail.
    """
    excess = xp.maximum(score - threshold, 0.0) / scale
    bend = shape * excess
    small = abs(bend) < _SERIES
    inside = xp.where(small, 1.0, xp.maximum(bend, -1.0 + 1e-15))
    slope = xp.where(small, 1.0, shape)
    depth = xp.where(small, excess * (1 - bend / 2), xp.log1p(inside) / slope)
    return xp.where(score > threshold, threshold + xp.minimum(depth, _DEEPEST), score)


def _unchanged(breaks: Any) -> Any:
    return breaks


def population_nodes(
    xp: Any,
    edges: Any,
    log_weight: Any,
    log_rate: Any,
    scale: Any,
    shape: Any,
    breaks: Any,
    nodes: int,
    fixed: Any = _unchanged,
) -> tuple[Any, Any]:
    """Nodes and log weights of an integral over a population of steps and a tail.

    ``sum of exp(log weight) * g(node)`` is the mean of g over the population, for a g
    that is smooth between the breaks. In the tail the nodes lie in depth, where its
    density is ``rate * exp(-depth)`` whatever its shape, an upper end included.

    Parameters
    ----------
    xp
        NumPy, or ``pytensor.tensor``.
    edges
        Edges of the steps, ascending, of shape (behaviour, edge); the last is the
        threshold.
    log_weight
        Log fraction of queries in each step, (behaviour, step).
    log_rate, scale, shape
        Log fraction above the threshold, scale and shape of the tail, (behaviour).
    breaks
        Scores between which likelihoods are smooth, (behaviour, row, break).
    nodes
        Gauss-Legendre nodes of each panel.
    fixed
        Marks what is no function of the parameters where gradients are taken.

    Returns
    -------
    Scores and log weights, each of shape (behaviour, row, node).
    """
    tail = [each[:, None, None] for each in (edges[:, -1], scale, shape)]
    place, log_mass = placed_nodes(
        xp, edges, log_weight, log_rate, place_of(xp, breaks, *tail), nodes, fixed
    )
    return score_at(xp, place, *tail), log_mass


def placed_nodes(
    xp: Any,
    edges: Any,
    log_weight: Any,
    log_rate: Any,
    place: Any,
    nodes: int,
    fixed: Any = _unchanged,
) -> tuple[Any, Any]:
    """Nodes of `population_nodes` by their places, and their log weights.

    One axis for the whole: the score up to the threshold, the depth beyond it, where
    the density is the same for a tail of any scale and shape.

    Parameters
    ----------
    xp, edges, log_weight, log_rate, nodes, fixed
        As there.
    place
        Places between which likelihoods are smooth, (behaviour, row, break).

    Returns
    -------
    Places and log weights, each of shape (behaviour, row, node).
    """
    threshold = edges[:, -1][:, None, None]
    log_rate = log_rate[:, None, None]
    log_height = log_weight - xp.log(edges[:, 1:] - edges[:, :-1])
    place = xp.maximum(place, edges[:, 0][:, None, None])
    alike = 0.0 * place[:, :, 0][:, :, None]
    ends = [place, edges[:, None, :] + alike, threshold + _DEPTHS + alike]
    node, log_measure = _between(xp, xp.concatenate(ends, axis=2), nodes, fixed)
    depth = xp.maximum(node - threshold, 0.0)
    log_density = xp.where(node > threshold, log_rate - depth, 0.0)
    for step in range(STEPS + 1):
        inside = (node > edges[:, step][:, None, None]) & (
            node <= edges[:, step + 1][:, None, None]
        )
        log_density = log_density + xp.where(
            inside, log_height[:, step][:, None, None], 0.0
        )
    return node, log_density + log_measure


def _between(xp: Any, ends: Any, nodes: int, fixed: Any) -> tuple[Any, Any]:
    """Nodes of panels between some ends, in any order, and their log widths."""
    ends = fixed(xp.sort(ends, axis=2))
    start, end = ends[:, :, :-1, None], ends[:, :, 1:, None]
    half = (end - start) / 2
    abscissa, weight = np.polynomial.legendre.leggauss(nodes)
    node = start + half * (1 + abscissa)
    log_measure = xp.log(xp.maximum(half, _TINY)) + np.log(weight)
    flat = (ends.shape[0], ends.shape[1], -1)
    return xp.reshape(node, flat), xp.reshape(log_measure, flat)


def spliced_nodes(
    xp: Any,
    location: Any,
    scale: Any,
    shape: Any,
    breaks: Any,
    nodes: int,
    fixed: Any = _unchanged,
) -> tuple[Any, Any]:
    """Nodes and log weights of an integral over the scores of a family of queries.

    As `population_nodes`, for a normal body with a generalized Pareto tail of
    `bayes_rare.populations.spliced_log_density`, located and scaled. The nodes lie in
    deviates up to the splice, and in depth beyond it.

    Parameters
    ----------
    xp, breaks, nodes, fixed
        As there; breaks may be of one row for all.
    location, scale, shape
        Of the families, of shapes that (behaviour, row, 1) is made of.

    Returns
    -------
    Scores and log weights, each of shape (behaviour, row, node).
    """
    standard = (SPLICE, SPLICED_SCALE, shape)
    place = place_of(xp, (breaks - location) / scale, *standard)
    place, log_mass = placed_spliced_nodes(xp, place, nodes, fixed)
    # Lower down a risk is 0 all the same, and its hazard has no number.
    score = xp.maximum(location + scale * score_at(xp, place, *standard), _LOWEST)
    return score, log_mass


def placed_spliced_nodes(
    xp: Any, place: Any, nodes: int, fixed: Any = _unchanged
) -> tuple[Any, Any]:
    """Nodes of `spliced_nodes` by their places, and their log weights.

    Parameters
    ----------
    xp, nodes, fixed
        As there.
    place
        Places between which likelihoods are smooth, (behaviour, row, break): deviates
        up to the splice, the splice plus the depth beyond it.

    Returns
    -------
    Places and log weights, each of shape (behaviour, row, node).
    """
    place = xp.maximum(place, _DEVIATES[0])
    alike = 0.0 * place[:, :, 0][:, :, None]
    ends = [place, _DEVIATES + alike, SPLICE + _FAMILY_DEPTHS + alike]
    node, log_measure = _between(xp, xp.concatenate(ends, axis=2), nodes, fixed)
    beyond = _LOG_TAIL - xp.maximum(node - SPLICE, 0.0)
    body = -0.5 * xp.minimum(node, SPLICE) ** 2 - 0.5 * np.log(2 * np.pi)
    return node, xp.where(node > SPLICE, beyond, body) + log_measure


def log_chances(xp: Any, score: Any) -> tuple[Any, Any]:
    """Log chance that a response shows the behaviour, and that it does not."""
    return -xp.exp(-score), log_safe(xp, score)


def log_normal_density(xp: Any, estimate: Any, error: Any, log_risk: Any) -> Any:
    """Log density of an estimated log risk: normal around the log risk itself."""
    return (
        -0.5 * ((estimate - log_risk) / error) ** 2
        - xp.log(error)
        - 0.5 * np.log(2 * np.pi)
    )


def shared_breaks(most_trials: int | float) -> Float[np.ndarray, " break"]:
    """Scores between which the likelihoods of tallies are smooth.

    Even in ``asin(sqrt(risk))``, on which scale the share of successes has the standard
    deviation ``1 / (2 sqrt(trials))`` whatever the risk, and then on towards 0 and 1 by
    factors.

    Parameters
    ----------
    most_trials
        Trials of the sharpest tally, at most `SHARED_TRIALS`.

    Examples
    --------
    A few lengths serve all, so that data sets share compiled programs:

    >>> [len(shared_breaks(trials)) for trials in (1, 100, 200, 1000)]
    [26, 26, 42, 74]
    """
    wanted = np.pi * np.sqrt(most_trials) / _SPACING
    count = _FEWEST_BREAKS
    while count < wanted:
        count *= 2
    risk = np.sin(np.pi / 2 * np.arange(1, count + 1) / (count + 1)) ** 2
    low = score_from_log_risk(np.log(risk[0]) - _LADDER)
    high = score_from_log_risk(np.log1p(-risk[0] * np.exp(-_LADDER)))
    return np.sort(np.concatenate([low, score_from_risk(risk), high]))


def sharp_breaks(successes: Array, trials: Array) -> Float[np.ndarray, "tally break"]:
    """For each tally, scores at which its likelihood has fallen by given amounts."""
    share = successes / trials
    zero, one = successes == 0, successes == trials
    middle = np.where(zero | one, 0.5, share)
    peak = score_from_risk(middle)
    # A likelihood that only falls does so from minus infinity on, and so on.
    low_end, high_end = np.full(len(share), -8.0), np.full(len(share), 60.0)
    best = log_binomial(successes, trials, peak)
    best = np.where(zero | one, 0.0, best)
    answer = np.empty((len(share), 2 * len(_FALLS) + 1))
    two_sided = [
        *(_fallen(successes, trials, best, peak, low_end, fall) for fall in _FALLS),
        peak,
        *(_fallen(successes, trials, best, peak, high_end, fall) for fall in _FALLS),
    ]
    falling = [
        _fallen(successes, trials, best, low_end, high_end, fall)
        for fall in _ONE_SIDED_FALLS
    ]
    rising = [
        _fallen(successes, trials, best, high_end, low_end, fall)
        for fall in _ONE_SIDED_FALLS
    ]
    for column, (both, down, up) in enumerate(
        zip(two_sided, falling, rising, strict=True)
    ):
        answer[:, column] = np.where(zero, down, np.where(one, up, both))
    return np.sort(answer, axis=1)


def log_binomial(successes: Array, trials: Array, score: Array) -> Array:
    """Log likelihood of tallies at scores, but for the number of orders."""
    yes, no = log_risk_from_score(score), log_safe_from_score(score)
    return times(successes, yes) + times(trials - successes, no)


def times(count: Array, log_chance: Array) -> Array:
    """``count * log_chance``, and 0 of none whatever the chance."""
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, count * log_chance, 0.0)


def _fallen(
    successes: Array, trials: Array, best: Array, near: Array, far: Array, fall: float
) -> Array:
    """Score between two where the log likelihood has fallen by so much; bisection."""
    near, far = near.copy(), far.copy()
    for _ in range(50):
        middle = (near + far) / 2
        beyond = log_binomial(successes, trials, middle) < best - fall
        far, near = np.where(beyond, middle, far), np.where(beyond, near, middle)
    return (near + far) / 2


def estimate_breaks(log_risk: Array, error: Array) -> Float[np.ndarray, "row break"]:
    """For each estimate, scores some standard errors away from it."""
    away = np.sqrt(2 * _FALLS)
    away = np.concatenate([-away[::-1], [0.0], away])
    return score_from_log_risk(
        np.minimum(log_risk[:, None] + error[:, None] * away, -1e-25)
    )


def step_edges(
    threshold: int | float, most_trials: int | float
) -> Float[np.ndarray, " edge"]:
    """Edges of the steps below a threshold, down to risks that no tally could show.

    Widths grow downwards by an even factor, from 0.2 score units; below the score of a
    risk of a tenth of 1/trials there is one step more, for queries whose risk cannot be
    told from 0.

    Parameters
    ----------
    threshold
        The last edge.
    most_trials
        Trials of the query that was sampled most.

    Examples
    --------
    >>> step_edges(-1.0, 100.0).round(2)
    array([-3.7, -2.2, -1.9, -1.6, -1.3, -1. ])
    """
    visible = float(score_from_risk(_INVISIBLE / max(most_trials, 1.0)))
    count = STEPS
    span = max(threshold - visible, count * _STEP_WIDTH)
    low, high = 1.0, 1e3
    for _ in range(60):
        factor = (low + high) / 2
        total = _STEP_WIDTH * (factor ** np.arange(count)).sum()
        low, high = (factor, high) if total < span else (low, factor)
    widths = _STEP_WIDTH * low ** np.arange(count)
    down = np.cumsum(widths * span / widths.sum())
    lowest = threshold - down[-1] - _LOWEST_WIDTH
    return np.concatenate([[lowest], threshold - down[::-1], [threshold]])


def usual_exceedances(queries: int | float) -> float:
    """About how many queries should have a score above the threshold.

    Five of a thousand, and of more queries more, by the root: the tail then rests on
    more of them while it starts further out.

    Parameters
    ----------
    queries
        Number of queries, or their effective number.

    Examples
    --------
    >>> [round(usual_exceedances(queries)) for queries in (100, 1e3, 1e5, 1e7)]
    [5, 5, 50, 500]
    """
    return 5.0 * max(queries / 1000.0, 1.0) ** 0.5


def rough_log_likelihood(
    tallies: Mapping[str, Array], estimates: Mapping[str, Array], score: Array
) -> Float[np.ndarray, "outcome score"]:
    """Log likelihood of outcomes on a coarse grid of scores, up to constants.

    Good for a first guess: what says more than a grid of steps of 0.05 can tell is
    taken to say as much as 400 trials do.

    Parameters
    ----------
    tallies
        ``successes``, ``trials``.
    estimates
        ``log_risk``, ``log_risk_se``.
    score
        The grid.

    Returns
    -------
    Of tallies first, then of estimates.
    """
    trials = tallies["trials"]
    telling = np.minimum(1.0, _TELLING_TRIALS / trials)
    counted = telling[:, None] * log_binomial(
        tallies["successes"][:, None], trials[:, None], score
    )
    spread = np.maximum(estimates["log_risk_se"], 0.05 * -estimates["log_risk"])
    log_risk = log_risk_from_score(score)
    deviate = (estimates["log_risk"][:, None] - log_risk) / spread[:, None]
    return np.concatenate([counted, -0.5 * deviate**2])


def threshold_of(
    tallies: Mapping[str, Array], estimates: Mapping[str, Array], exceeding: float
) -> float:
    """Score that about so many of the queries exceed, from outcomes alone.

    The distribution of scores is estimated by fifty updates of expectation and
    maximisation from a normal one, on a grid: enough to find where the riskiest queries
    are, too few to take noise for structure [1]_. The threshold is its quantile.

    Parameters
    ----------
    tallies
        ``successes``, ``trials``, ``count``.
    estimates
        ``log_risk``, ``log_risk_se``, ``count``.
    exceeding
        Number of queries above the threshold.

    References
    ----------
    .. [1] B. Efron (2016). Empirical Bayes deconvolution estimates. Biometrika 103,
       1-20, section 1, on why few updates or few parameters are better than many.
    """
    log_likelihood = rough_log_likelihood(tallies, estimates, _GRID)
    count = np.concatenate([tallies["count"], estimates["count"]])
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    weight = np.exp(-0.5 * ((_GRID - _GRID_MEAN) / _GRID_SD) ** 2)
    weight /= weight.sum()
    for _ in range(_UPDATES):
        weight *= (count / (likelihood @ weight)) @ likelihood / count.sum()
    above = 1 - np.cumsum(weight)
    share = min(exceeding / count.sum(), 0.5)
    return float(_GRID[int(np.argmax(above <= share))])
