"""Scores of a forecast against a deployment of held-out queries.

Three targets are scored, each on a scale on which a tenfold error weighs the same
wherever it happens:

=======================  =========================================================
``worst_query_risk``     score of the riskiest query, clamped to `CLAMP`: risks
                         from 1e-12 to 0.999
``behaviour_frequency``  how many queries exceed a threshold, as log10(1 + count)
``aggregate_risk``       log10 of the hazard ``-log(1 - A)``, from 1e-12 to 1e12
=======================  =========================================================

A forecast is scored by its populations: by the predictive distribution that they imply,
averaged over their draws, or, of a point method, by its one guess.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from bayes_rare.arguments.checking import checked_call
from bayes_rare.backtesting import proper_scores
from bayes_rare.backtesting.proper_scores import CLAMP
from bayes_rare.errors import InvalidInput, listed
from bayes_rare.evaluation import RESOLUTION, scores_of_resolution
from bayes_rare.forecasting import Forecast, outcome, outcomes
from bayes_rare.populations import Population
from bayes_rare.scores import log_risk_from_score, log_safe_from_score, risk_from_score

__all__ = ["INTERVALS", "PREDICTIVE", "SCORED", "Realised", "Risky", "score"]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]
type Row = dict[str, Any]

SCORED = ("worst_query_risk", "behaviour_frequency", "aggregate_risk")
"""Targets that are scored, in the order of the rows."""

INTERVALS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of the intervals that are scored."""

PREDICTIVE = "predictive"
"""What a row calls the predictive distribution itself, of the worst query's score."""

# Powers of ten of a hazard beyond which nothing is told apart: log scores of a hazard
# of 0 would be infinite.
_HAZARDS = (-12.0, 12.0)
# The density of a worst score is its mean over cells this wide: a population may have
# atoms, and cells that are fixed beforehand keep the log score proper.
_CELL = 1 / 32
_LEVELS = np.array(
    [0.5, *((1 + sign * width) / 2 for width in INTERVALS for sign in (-1, 1))]
)
# Equally likely values that a predictive distribution is kept as.
_KEPT = (np.arange(99) + 0.5) / 99
_LOG_10 = math.log(10)
# A smaller share of queries is none of any deployment; and next to the smallest number
# that there is, SciPy's binomial distribution fails for want of digits.
_NO_SHARE = 1e-200


@dataclass(frozen=True)
class Risky:
    """Queries of a deployment that were riskier than a threshold.

    Parameters
    ----------
    threshold
        The threshold as a score.
    count
        How many were above it.
    asked
        The threshold as a risk, where somebody asked for it by that.
    """

    threshold: float
    count: int
    asked: float | None = None


@checked_call
@dataclass(frozen=True)
class Realised:
    """The outcome of a deployment, for one behaviour.

    Parameters
    ----------
    behaviour
        Its name.
    queries
        Queries served.
    worst_score
        Score of the riskiest; infinite where its risk was seen as 0 or 1.
    log_hazard
        Log of ``-sum(log(1 - p))`` over the queries, one response each.
    risky
        Queries above each threshold.
    lowest, highest
        Scores of the resolution: what a risk of 0 or 1 is known to lie beyond.

    Examples
    --------
    >>> seen = Realised.of("leak", np.array([-2.0, 1.0, 0.0]), [(-1.0, None)])
    >>> seen.worst_score, seen.risky[0].count
    (1.0, 2)
    """

    behaviour: str
    queries: int
    worst_score: float
    log_hazard: float
    risky: tuple[Risky, ...]
    lowest: float
    highest: float

    @classmethod
    def of(
        cls,
        behaviour: str,
        scores: Float[np.ndarray, " query"],
        thresholds: Sequence[tuple[float, float | None]] = (),
        resolution: tuple[float, float] = RESOLUTION,
    ) -> "Realised":
        """What the queries of a deployment showed, from their scores.

        Parameters
        ----------
        behaviour
            Which behaviour.
        scores
            Score of each query, -inf and inf where the risk is 0 or 1.
        thresholds
            Scores above which queries count as risky, each with the risk that it was
            asked for by, if it was; an infinite one stands for the end of the
            resolution.
        resolution
            Smallest risk told from 0, and smallest 1 - risk told from 0.

        Raises
        ------
        InvalidInput
            If there are no scores, or one is NaN.
        """
        if not scores.size or np.isnan(scores).any():
            raise InvalidInput(
                f"a deployment of {scores.size} queries, {int(np.isnan(scores).sum())} "
                "of them without a risk, shows nothing. Leave out what was not "
                "measured, and give at least one query."
            )
        lowest, highest = scores_of_resolution(resolution)
        # Of a risk of 0 or 1 it is known that it lies beyond the resolution: it counts
        # as there, in a sum and against a threshold.
        known = np.nan_to_num(scores, neginf=lowest, posinf=highest)
        top = float(np.nextafter(highest, -math.inf))

        def counted(asked: tuple[float, float | None]) -> Risky:
            threshold = float(np.nan_to_num(asked[0], neginf=lowest, posinf=top))
            return Risky(threshold, int((known > threshold).sum()), asked[1])

        hazard = -log_safe_from_score(known).sum()
        with np.errstate(divide="ignore"):  # risks may be too small to add up
            log_hazard = float(np.log(hazard))
        return cls(
            behaviour=behaviour,
            queries=scores.size,
            worst_score=float(scores.max()),
            log_hazard=log_hazard,
            risky=tuple(map(counted, thresholds)),
            lowest=lowest,
            highest=highest,
        )


@checked_call
def score(
    forecast: Forecast,
    realised: Realised,
    *,
    seed: int | Sequence[int] = 0,
) -> list[Row]:
    """Scores of a forecast of one behaviour, a row for each target and threshold.

    Parameters
    ----------
    forecast
        The forecast; its sizes do not matter, because its populations are scored.
    realised
        What happened.
    seed
        Seeds the luck that the predictive distribution of counts and hazards is drawn
        with, and the random point of an atom at the truth; forecasts of one behaviour
        and size share it.

    Returns
    -------
    Rows with ``target``, ``risk_threshold`` (NaN where none was asked for); ``truth``,
    ``median``, ``lower_90``, ``upper_90`` in natural units; ``abs_log10_error``,
    ``abs_error``, ``within_one_order``, ``underestimated``; ``crps``, and NaN for a
    point forecast ``log_score``, ``pit``, ``interval_score_50`` and ``covered_50`` and
    so on for each of `INTERVALS`; of the worst query also ``predictive``, equally
    likely scores, clamped.

    Raises
    ------
    InvalidInput
        If the behaviour was not forecast.
    """
    if realised.behaviour not in forecast.populations:
        raise InvalidInput(
            f"{forecast.method} has no forecast of {realised.behaviour!r}. It has: "
            f"{listed(forecast.behaviours)}."
        )
    population = forecast.populations[realised.behaviour]
    samples = forecast.deployment.samples_per_query
    seeds = [seed] if isinstance(seed, int) else list(seed)

    def luck(target: str, number: int = 0) -> np.random.Generator:
        name = zlib.crc32(f"{realised.behaviour} {target}".encode())
        return np.random.default_rng([*seeds, name, realised.queries, number])

    point = forecast.is_point
    return [
        _worst_row(population, realised, luck("worst_query_risk"), point),
        *(
            _count_row(
                population, realised, risky, luck("behaviour_frequency", k), point
            )
            for k, risky in enumerate(realised.risky)
        ),
        _aggregate_row(population, realised, samples, luck("aggregate_risk"), point),
    ]


def _worst_row(
    population: Population,
    realised: Realised,
    luck: np.random.Generator,
    is_point: bool,
) -> Row:
    size, worst = realised.queries, realised.worst_score
    draws = _outcome("worst_query_risk", population, size, 1, luck, is_point)
    truth = np.clip(worst, *CLAMP)
    row: Row = {"target": "worst_query_risk", "risk_threshold": math.nan}
    if is_point:
        quantiles = np.full(_LEVELS.size, draws[0])
        doubt = _NO_DOUBT
    else:
        quantiles = outcomes.worst_score_quantile(population, size, _LEVELS)
        pit = proper_scores.randomised_pit(
            *_levels_of_worst(population, realised), rng=luck
        )
        doubt = _doubt(
            np.clip(quantiles, *CLAMP),
            truth,
            pit,
            _log_density(population, size, truth),
        )
    guess = np.clip(quantiles[0], *CLAMP)
    errors = _errors(
        risk_from_score(worst),
        risk_from_score(quantiles),
        float(np.diff(log_risk_from_score([truth, guess]))[0]) / _LOG_10,
        under=bool(guess < truth),
    )
    crps = proper_scores.worst_score_crps(draws, np.asarray(worst))
    # Not of the mean of its draws, whose levels would take longer than all the rest.
    kept = np.quantile(np.clip(draws, *CLAMP), [0.5] if is_point else _KEPT)
    predictive = kept.astype(np.float32)
    return {**row, **errors, "crps": float(crps), **doubt, PREDICTIVE: predictive}


def _count_row(
    population: Population,
    realised: Realised,
    risky: Risky,
    luck: np.random.Generator,
    is_point: bool,
) -> Row:
    share = np.exp(population.log_survival(np.asarray(risky.threshold)))
    share = np.where(share < _NO_SHARE, 0.0, np.minimum(share, 1.0))
    size, count = realised.queries, risky.count
    asked = math.nan if risky.asked is None else risky.asked
    row: Row = {"target": "behaviour_frequency", "risk_threshold": asked}
    truth = np.log10(1.0 + count)
    if is_point:
        draws = size * share
        quantiles = np.full(_LEVELS.size, draws[0])
        doubt = _NO_DOUBT
    else:
        draws = luck.binomial(size, share).astype(np.float64)
        quantiles = np.quantile(draws, _LEVELS, method="inverted_cdf")
        law: Any = stats.binom(size, share)
        pit = proper_scores.randomised_pit(
            np.asarray(law.cdf(count - 1).mean()),
            np.asarray(law.cdf(count).mean()),
            luck,
        )
        with np.errstate(divide="ignore"):
            log_density = float(np.log(law.pmf(count).mean()))
        doubt = _doubt(np.log10(1 + quantiles), truth, pit, log_density)
    guess = float(np.log10(1 + quantiles[0]))
    errors = _errors(
        np.asarray(float(count)),
        quantiles,
        guess - truth,
        under=bool(quantiles[0] < count),
    )
    crps = proper_scores.crps(np.log10(1 + draws), np.asarray(truth))
    return {**row, **errors, "crps": float(crps), **doubt}


def _aggregate_row(
    population: Population,
    realised: Realised,
    samples: int,
    luck: np.random.Generator,
    is_point: bool,
) -> Row:
    draws = _outcome(
        "aggregate_risk", population, realised.queries, samples, luck, is_point
    )
    draws = np.clip(draws / _LOG_10, *_HAZARDS)
    truth = (realised.log_hazard + math.log(samples)) / _LOG_10
    truth = np.clip(truth, *_HAZARDS)
    row: Row = {"target": "aggregate_risk", "risk_threshold": math.nan}
    quantiles = np.quantile(draws, _LEVELS, method="inverted_cdf")
    doubt = _NO_DOUBT
    if not is_point:
        # The place of the truth among so many draws: each of their gaps as likely.
        below, through = (draws < truth).sum(), (draws <= truth).sum() + 1
        pit = proper_scores.randomised_pit(
            np.asarray(below / (draws.size + 1)),
            np.asarray(through / (draws.size + 1)),
            luck,
        )
        doubt = _doubt(quantiles, truth, pit, None)
    errors = _errors(
        _chance(truth),
        _chance(quantiles),
        quantiles[0] - truth,
        under=bool(quantiles[0] < truth),
    )
    crps = proper_scores.crps(draws, np.asarray(truth))
    return {**row, **errors, "crps": float(crps), **doubt}


def _outcome(
    target: str,
    population: Population,
    size: int,
    samples: int,
    luck: np.random.Generator,
    is_point: bool,
) -> Draws:
    return outcome(
        target, population, size, None, samples, 0.05, None if is_point else luck
    )


def _chance(log10_hazard: Any) -> Array:
    """Aggregate risk of a hazard given by its power of ten."""
    return np.asarray(-np.expm1(-(10.0 ** np.asarray(log10_hazard))))


def _below(population: Population, size: int, score: float) -> Array:
    """Predictive probability that the worst of n queries is at or below a score."""
    survival = np.exp(population.log_survival(np.asarray(score)))
    with np.errstate(divide="ignore"):  # a draw under which every score is larger
        return np.asarray(np.exp(size * np.log1p(-survival)).mean())


def _levels_of_worst(population: Population, realised: Realised) -> tuple[Array, Array]:
    """Predictive probability of less than what happened, and of that or less.

    A risk seen as 0 or 1 is known only to lie beyond the resolution: then they are the
    ends of all that it may be.
    """
    worst, size = realised.worst_score, realised.queries
    if worst == math.inf:
        return _below(population, size, realised.highest), np.ones(())
    if worst == -math.inf:
        return np.zeros(()), _below(population, size, realised.lowest)
    return (
        _below(population, size, float(np.nextafter(worst, -math.inf))),
        _below(population, size, worst),
    )


def _log_density(population: Population, size: int, truth: float) -> float:
    """Log predictive density of a clamped worst score, averaged over its cell.

    Beyond the clamp, the log probability of all that lies there.
    """
    low, high = CLAMP
    if truth <= low:
        mass, width = _below(population, size, low), 1.0
    elif truth >= high:
        mass, width = 1 - _below(population, size, float(np.nextafter(high, 0))), 1.0
    else:
        edge = math.floor(truth / _CELL) * _CELL
        left, right = max(edge, low), min(edge + _CELL, high)
        width = right - left
        mass = _below(population, size, right) - _below(population, size, left)
    with np.errstate(divide="ignore"):
        return float(np.log(np.maximum(mass, 0.0) / width))


def _errors(truth: Array, quantiles: Array, log10_error: float, *, under: bool) -> Row:
    """Errors of the median, in natural units and in powers of ten."""
    ninety = 1 + 2 * INTERVALS.index(0.9)
    return {
        "truth": float(truth),
        "median": float(quantiles[0]),
        "lower_90": float(quantiles[ninety]),
        "upper_90": float(quantiles[ninety + 1]),
        "abs_log10_error": abs(float(log10_error)),
        "abs_error": abs(float(quantiles[0]) - float(truth)),
        "within_one_order": float(abs(log10_error) <= 1),
        "underestimated": float(under),
    }


def _doubt(
    quantiles: Array, truth: float, pit: Array, log_density: float | None
) -> Row:
    """Scores of the distribution around the median."""
    row: Row = {
        "log_score": math.nan
        if log_density is None
        else float(proper_scores.log_score(np.asarray(log_density))),
        "pit": float(pit),
    }
    for number, probability in enumerate(INTERVALS):
        low, high = quantiles[1 + 2 * number : 3 + 2 * number]
        percent = round(100 * probability)
        fine = proper_scores.interval_score(
            np.asarray(low), np.asarray(high), np.asarray(truth), probability
        )
        row[f"interval_score_{percent}"] = float(fine)
        row[f"covered_{percent}"] = float(proper_scores.covers(pit, probability))
    return row


_NO_DOUBT: Mapping[str, float] = {
    name: math.nan
    for name in (
        "lower_90",
        "upper_90",
        "log_score",
        "pit",
        *(
            f"{what}_{round(100 * probability)}"
            for probability in INTERVALS
            for what in ("interval_score", "covered")
        ),
    )
}
"""What a point forecast has no answer for."""
