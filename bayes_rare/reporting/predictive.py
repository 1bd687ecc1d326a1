"""The predictive distribution of a deployment's outcomes, as tables to read off.

=============  ==================================================================
``n``, ``r``   queries of a deployment, responses sampled for each
``s``          score ``-log(-log(risk))`` of the riskiest query
``hazard``     ``-log(1 - P)`` of a chance P; kept as its logarithm
=============  ==================================================================

For one draw of the population the hazard of a query beyond s among n is ``-n * log(1 -
S(s))``: on logarithmic scales a straight line in n, and in s where the tail is
exponential. Averaged over draws it stays nearly so, for every kind of population; so
the table of ``log hazard`` by n and s is coarse and yet says all that a page has to say
of the worst query: chances above any threshold, quantiles at any level, and the largest
deployment that keeps a chance. A second table, by n and r, does so for the chance that
some response shows the behaviour. All draws of a forecast enter; none is thinned away.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt16

from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.populations import BodyAndTail, Empirical, Population
from bayes_rare.populations.gathered import Gathered
from bayes_rare.scores import log_safe_from_score

__all__ = [
    "FINEST",
    "MOST_SAMPLES",
    "SAMPLES",
    "SIZES",
    "Predictive",
    "log_hazard",
    "predictive",
    "written_hazard",
]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]

# So many a decade: a cubic through four of them is off by less than the grid of scores
# is. In responses the tables are the smoother, a mean of 1 - (1 - p)**r over queries.
_A_DECADE, _SAMPLES_A_DECADE = 4, 2
SIZES: Float[np.ndarray, " size"] = 10 ** (
    np.arange(_A_DECADE * round(math.log10(FOREVER)) + 1) / _A_DECADE
)
"""Numbers of queries of the tables, from 1 to 1e12."""

MOST_SAMPLES = 10**6
"""Most responses to a query that the tables tell of."""

SAMPLES: Float[np.ndarray, " sample"] = 10 ** (
    np.arange(_SAMPLES_A_DECADE * round(math.log10(MOST_SAMPLES)) + 1)
    / _SAMPLES_A_DECADE
)
"""Numbers of responses of the tables."""

# Chances from 2e-9 to 1 - 2e-24 are told apart.
_LOWEST, _HIGHEST = -20.0, 4.0
# Beyond these scores a risk is 0 or 1 in float64.
_NO_RISK, _CERTAIN = -7.0, 37.0
# Levels that a 99 % interval of a single query reaches, and the lowest chance of 1e12.
_SHALLOW, _DEEP = math.log(0.995), -48.0
# The grid of scores is refined where a straight line would be off by more than this in
# log hazard, until points are so near: there a score is one that many queries have. A
# chance is then off by at most 0.0022, and by as much once more as points are left out.
FINEST = 0.006
"""Error of a log hazard that a table may have where it is read off between scores."""

_COARSE, _FINE = 1 / 32, 2.0**-13
# Where a piece is looked at; at one place alone a staircase may happen to meet a line.
_INSIDE = np.array([0.25, 0.5, 0.75])
# What is refined is looked at for these sizes.
_LOOKED_AT = 10.0 ** np.arange(0, 13, 2)
# From this log hazard on, a chance of 0.992, tables need be no blunter.
_BLUNT = math.log(5)
# A hazard so small is the chance itself, and its mean the mean chance.
_RARE = 1e-4
# So many numbers at once are 32 MB.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Predictive:
    """The tables of one behaviour.

    Parameters
    ----------
    score
        Scores, ascending, near each other where many queries have the same.
    worst
        Log hazard of a query with a larger score, by number of queries and score;
        linear between scores and a cubic between logarithms of `SIZES`.
    failure
        Log hazard of a response that shows the behaviour, by number of queries and of
        responses to each; a cubic both ways.
    """

    score: Float[np.ndarray, " point"]
    worst: Float[np.ndarray, "size point"]
    failure: Float[np.ndarray, "size sample"]

    def coarser(self, error: int | float) -> "Predictive":
        """The tables without scores that an error of the log hazard can spare."""
        kept = _needed(self.score, self.worst, error)
        return Predictive(self.score[kept], self.worst[:, kept], self.failure)


def written_hazard(log_hazard: Array) -> UInt16[np.ndarray, "..."]:
    """Log hazards as whole numbers of two bytes, from -20 to 4.

    Examples
    --------
    >>> written_hazard(np.array([-20.0, 4.0]))
    array([    0, 65535], dtype=uint16)
    """
    share = (log_hazard - _LOWEST) / (_HIGHEST - _LOWEST)
    return np.round(share * (2**16 - 1)).astype("<u2")


def log_hazard(each: Array) -> Array:
    """Log hazard of a mean chance, from the hazards of each draw.

    ``log(-log(mean over draws of exp(-h)))``: the logarithm of the hazard itself where
    all draws agree, less where they do not.

    Examples
    --------
    >>> log_hazard(np.array([[2.0, 2.0], [0.0, 1e-30], [0.0, np.inf]])).round(3)
    array([  0.693, -69.771,  -0.367])
    """
    least = each.min(axis=-1)
    found = np.full(least.shape, np.inf)  # of infinite hazards
    far = (least > 1) & np.isfinite(least)
    near = least <= 1
    with np.errstate(divide="ignore"):  # of hazards that are 0
        # log(mean) where the mean is far from 1, log1p where it is near.
        rest = least[far, None] - each[far]
        found[far] = least[far] - np.log(np.exp(rest).mean(axis=-1))
        found[near] = -np.log1p(np.expm1(-each[near]).mean(axis=-1))
        return np.log(found)


def predictive(population: Population, few: Population | None = None) -> Predictive:
    """The tables of a population's forecasts.

    Examples
    --------
    Half the queries above the median, whatever the spread:

    >>> from bayes_rare.populations import Normal
    >>> tables = predictive(Normal(np.zeros(3), np.array([0.5, 1.0, 2.0])))
    >>> at = np.interp(0.0, tables.score, tables.worst[0])
    >>> float(-np.expm1(-np.exp(at)).round(2))
    0.5
    """
    score = _grid(population if few is None else few)
    rows = max(_AT_ONCE // population.draws, 1)
    worst = np.concatenate(
        [
            _worst(population, score[start : start + rows], SIZES)
            for start in range(0, score.size, rows)
        ],
        axis=1,
    )
    return Predictive(score, worst, _failure(population))


def _worst(
    population: Population, score: Array, sizes: Array
) -> Float[np.ndarray, "size point"]:
    """Log hazard of a query beyond each score, within the range of the tables."""
    log_survival = population.log_survival(score[:, None])
    with np.errstate(divide="ignore"):  # where every query is riskier
        single = -np.log1p(-np.exp(log_survival))
        found = np.full((sizes.size, score.size), _HIGHEST)
        least, mean = single.min(axis=1), single.mean(axis=1)
        for row, size in zip(found, sizes, strict=True):
            rare = size * single.max(axis=1) < _RARE
            told = ~rare & (np.log(size * least) < _HIGHEST)
            row[rare] = np.log(size * mean[rare])
            row[told] = log_hazard(size * single[told])
    return np.clip(found, _LOWEST, _HIGHEST)


def _failure(population: Population) -> Float[np.ndarray, "size sample"]:
    def fails(score: Array) -> Array:
        safe = log_safe_from_score(score)
        return np.stack([-np.expm1(samples * safe) for samples in SAMPLES])

    # All numbers of responses in one pass over the population.
    chance = np.clip(population.mean(fails), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        single = -np.log1p(-chance)
        found = np.stack([log_hazard(size * single) for size in SIZES])
    # Chances far below any that is told apart stay numbers.
    return np.clip(found, 2 * _LOWEST, _HIGHEST)


def _grid(population: Population) -> Float[np.ndarray, " point"]:
    """Scores between which the table may be taken for straight."""
    lowest = float(population.quantile(_SHALLOW).min())
    highest = float(population.quantile(_DEEP).max())
    lowest, highest = (
        float(np.clip(end, _NO_RISK, _CERTAIN))
        for end in (lowest - _COARSE, highest + _COARSE)
    )
    shared = _shared(population)
    shared = shared[(shared > lowest) & (shared < highest)]
    even = np.arange(lowest, highest + _COARSE, _COARSE)
    score = np.unique(np.concatenate([even, shared, shared - _FINE]))
    height = _worst(population, score, _LOOKED_AT)
    left = np.arange(score.size - 1)
    while left.size:
        width = score[left + 1] - score[left]
        inside = score[left] + _INSIDE[:, None] * width
        found = _worst(population, inside.ravel(), _LOOKED_AT)
        found = found.reshape(-1, *inside.shape)
        rise = height[:, left + 1] - height[:, left]
        straight = height[:, left] + _INSIDE[:, None, None] * rise
        off = np.abs(found - straight.swapaxes(0, 1)) > _tolerance(found, FINEST)
        bent = off.any(axis=(0, 1)) & (width > _FINE)
        added = inside[:, bent].size
        score = np.concatenate([score, inside[:, bent].ravel()])
        height = np.concatenate([height, found[..., bent].reshape(len(height), -1)], 1)
        order = np.argsort(score, kind="stable")
        new = np.flatnonzero(order >= score.size - added)
        score, height = score[order], height[:, order]
        left = np.unique(np.concatenate([new - 1, new]))
    return score[_needed(score, height, FINEST)]


def _tolerance(height: Array, error: int | float) -> Array:
    """Largest error of a log hazard: more where the chance is near 1, and blunt."""
    hazard = np.exp(np.clip(height, 0.0, _BLUNT))
    return error * np.exp(hazard - 1) / hazard


def _shared(population: Population) -> Float[np.ndarray, " cell"]:
    """Scores that a share of the queries has exactly: there the table has steps.

    Steps of other populations are found by looking closer, if they are not many.
    """
    if isinstance(population, Gathered):
        return np.concatenate([_shared(part) for part in population.parts])
    if isinstance(population, BodyAndTail):
        return population.body_score
    return population.score if isinstance(population, Empirical) else np.empty(0)


def _needed(
    score: Float[np.ndarray, " point"],
    height: Float[np.ndarray, "size point"],
    error: int | float,
) -> list[int]:
    """Points that straight lines between them cannot do without."""
    tolerance = _tolerance(height, error)
    kept = [0]
    reach = 1
    last = score.size - 1
    # The lines from the point kept last that pass within tolerance of all points since.
    lowest = np.full(height.shape[0], -np.inf)
    highest = np.full(height.shape[0], np.inf)
    while reach <= last:
        start = kept[-1]
        run = score[reach] - score[start]
        rise = (height[:, reach] - height[:, start]) / run
        if reach > start + 1 and ((rise < lowest) | (rise > highest)).any():
            kept.append(reach - 1)
            lowest, highest = (
                np.full_like(lowest, -np.inf),
                np.full_like(lowest, np.inf),
            )
            continue
        margin = tolerance[:, reach] / run
        lowest = np.maximum(lowest, rise - margin)
        highest = np.minimum(highest, rise + margin)
        reach += 1
    return [*kept, last]
