"""A straight line through the log survival of the largest scores, and its error."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import digamma

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.forecasting import (
    RISK_THRESHOLDS,
    TARGETS,
    Deployment,
    Forecast,
    point_forecast,
    population_forecast,
)
from bayes_rare.methods.exact_scores import exact_scores, refuse_certain
from bayes_rare.populations import BodyAndTail, Population

__all__ = ["Positions", "gumbel_ols", "gumbel_ols_pivot"]

type Positions = Literal["i/m", "(i-0.5)/m", "i/(m+1)", "digamma"]
type Points = Float[np.ndarray, " point"]
type Draws = Float[np.ndarray, " draw"]

_POSITIONS: dict[str, Callable[[Points, int], Points]] = {
    "i/m": lambda i, m: np.log(i / m),
    "(i-0.5)/m": lambda i, m: np.log((i - 0.5) / m),
    "i/(m+1)": lambda i, m: np.log(i / (m + 1)),
    # The expectation of the log survival at the i-th largest of m (a beta variable).
    "digamma": lambda i, m: np.asarray(digamma(i) - digamma(m + 1)),
}

# Standard cases that the error of a line is told from: the chance of 5 % to half a
# percent. They are the same for every evaluation, from a seed of their own.
_CASES, _CASES_SEED = 2000, 20250216
# No share is above 1, and a tail needs one below: that of a draw whose line exceeds it
# at the threshold is cut to this. It takes nearly as many points as there are queries.
_LARGEST_SHARE = 1 - 1e-9


@checked_call
def gumbel_ols(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    points: int = 10,
    positions: Positions = "i/m",
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
    targets: tuple[str, ...] = TARGETS,
) -> Forecast:
    """Forecast by a least-squares line through the log survival of the largest scores.

    With ``log S(score) = a * score + b`` fitted to the k largest of m scores, the i-th
    at log(i/m), the worst of n queries is guessed at the score ``-(log n + b) / a``.
    Above the k-th score the population is the line; below, the evaluation itself.

    Parameters
    ----------
    evaluation
        Exact risks.
    deployment
        How many queries will be served.
    points
        How many of the largest scores, k; at least 2.
    positions
        Plotting position of the i-th largest: ``"i/m"``, ``"(i-0.5)/m"``,
        ``"i/(m+1)"``, or ``"digamma"``, the expectation of its log survival. The paper
        does not say which; re-implementations take i/m.
    risk_thresholds
        Risks above which queries count as risky.
    targets
        Which of `bayes_rare.forecasting.TARGETS` to forecast.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer scores than points, or they are all equal.

    References
    ----------
    .. [1] Jones et al. (2025), arXiv 2502.16797, section 3.
    """
    _refuse_choices(points, positions)
    populations = {
        name: _on_the_line(
            _line(name, exact_scores(evaluation, name, "gumbel_ols"), points, positions)
        )
        for name in evaluation.behaviours
    }
    return point_forecast(
        "gumbel_ols",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
        targets=targets,
    )


@checked_call
def gumbel_ols_pivot(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    points: int = 10,
    positions: Positions = "i/m",
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
    targets: tuple[str, ...] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """Forecast by the line of `gumbel_ols` and the distribution of its error.

    Let the tail be exponential, ``log S(s) = l - (s - Q) / sigma`` at and beyond the
    level ``l = log(k / m)``, and let the line fitted to the k largest of m scores have
    the scale ``sigma_hat = -1 / a`` and the quantile ``Q_hat`` at that level. Moving
    and stretching the scores moves and stretches the line, so

        sigma_hat / sigma    and    (Q_hat - Q) / sigma_hat

    are pivots: their joint distribution depends on k, m and the plotting position
    alone [1]_. They are simulated once, from standard exponential scores. Each pair is
    a draw of the population, with ``sigma = sigma_hat / pivot_1`` and ``Q = Q_hat -
    sigma_hat * pivot_2``; what is predicted of the worst of n queries then has the
    distribution of its own pivot, and on an exponential tail the interval covers as
    often as it says, whatever the plotting position.

    Parameters
    ----------
    evaluation, deployment, points, positions, risk_thresholds, targets
        As in `gumbel_ols`.
    seed
        Seeds the luck; from 0.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer scores than points, or they are all equal.

    References
    ----------
    .. [1] J. F. Lawless (2003). Statistical Models and Methods for Lifetime Data,
       2nd ed. Wiley, section 5.1.

    Examples
    --------
    Scores twice as wide, an interval twice as wide:

    >>> from bayes_rare import Deployment, Evaluation
    >>> scores, width = np.linspace(-3, -1, 200) ** 3, {}
    >>> for stretch in (1, 2):
    ...     evaluation = Evaluation.from_scores(stretch * scores)
    ...     made = gumbel_ols_pivot(evaluation, Deployment(10**4), targets=())
    ...     low, high = made.scaling([10**4], (0.05, 0.95))["score"]
    ...     width[stretch] = high - low
    >>> round(width[2] / width[1], 6)
    2.0
    """
    _refuse_choices(points, positions)
    populations = {
        name: _around_the_line(
            _line(
                name,
                exact_scores(evaluation, name, "gumbel_ols_pivot"),
                points,
                positions,
            ),
            *_standard_lines(points, evaluation.sizes[name], positions),
        )
        for name in evaluation.behaviours
    }
    return population_forecast(
        "gumbel_ols_pivot",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
        targets=targets,
        seed=seed,
    )


def _refuse_choices(points: int, positions: str) -> None:
    if positions not in _POSITIONS:
        raise InvalidInput(
            f"no plotting position {positions!r}. There are: {', '.join(_POSITIONS)}."
        )
    if points < 2:
        raise InvalidInput(f"a line needs at least 2 points, got points={points}.")


@dataclass(frozen=True, eq=False)
class _Line:
    """A line fitted to the largest scores: ``log S = level - (s - quantile) / scale``.

    ``level`` is ``log(k / m)``, ``threshold`` the k-th largest score, ``body`` what is
    at or below it.
    """

    scale: float
    quantile: float
    level: float
    threshold: float
    body: ScoreCells


def _line(behaviour: str, scores: ScoreCells, points: int, positions: str) -> _Line:
    """The line through the k largest scores of a behaviour."""
    refuse_certain(
        behaviour, scores, "a line cannot go through scores that are not known"
    )
    ranks = np.minimum(np.cumsum(scores.count), points).astype(np.int64)
    largest = np.repeat(scores.score, np.diff(ranks, prepend=0))
    if largest.size < points:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {largest.size} known scores among its "
            f"{scores.size} queries, and the line goes through the {points} riskiest. "
            f"Give points={max(largest.size, 2)}, or evaluate more queries."
        )
    if largest[0] == largest[-1]:
        raise NotApplicable(
            f"the {points} riskiest queries of behaviour {behaviour!r} have the same "
            "risk: a line through them has no slope. Give more points, or use "
            "log_normal."
        )
    scale, quantile = _least_squares(largest[None], scores.size, positions)
    threshold = float(largest[-1])
    return _Line(
        scale=float(scale[0]),
        quantile=float(quantile[0]),
        level=float(np.log(points / scores.size)),
        threshold=threshold,
        body=scores.below(threshold),
    )


def _least_squares(
    largest: Float[np.ndarray, "draw point"], queries: int, positions: str
) -> tuple[Draws, Draws]:
    """Scale of the line through the k largest of m, and its quantile at log(k / m)."""
    points = largest.shape[1]
    log_survival = _POSITIONS[positions](np.arange(1.0, points + 1), queries)
    mean = largest.mean(axis=1)
    deviation = largest - mean[:, None]
    scale = -(deviation**2).sum(axis=1) / (deviation @ log_survival)
    return scale, mean + scale * (log_survival.mean() - np.log(points / queries))


def _on_the_line(line: _Line) -> Population:
    """The line itself above the k-th largest score, the evaluation below."""
    threshold = line.threshold
    log_rate = line.level - (threshold - line.quantile) / line.scale
    if log_rate > 0:  # no share is above 1: the line begins where it reaches it
        threshold, log_rate = threshold + log_rate * line.scale, 0.0
    body_score, body_count = line.body.with_zeros_at_bound()
    return BodyAndTail(
        threshold=threshold,
        rate=np.array([np.exp(log_rate)]),
        scale=np.array([line.scale]),
        shape=np.zeros(1),
        body_score=body_score,
        body_count=body_count,
        resample=False,
    )


def _around_the_line(
    line: _Line, standard_scale: Draws, standard_error: Draws
) -> Population:
    """What the tail may be, given the line and by how much such lines err."""
    scale = line.scale / standard_scale
    quantile = line.quantile - line.scale * standard_error / standard_scale
    log_rate = line.level - (line.threshold - quantile) / scale
    # Of a large evaluation the body comes in cells, since each draw has levels for all.
    body_score, body_count = line.body.coarsen().with_zeros_at_bound()
    return BodyAndTail(
        threshold=line.threshold,
        rate=np.exp(np.minimum(log_rate, np.log(_LARGEST_SHARE))),
        scale=scale,
        shape=np.zeros(scale.size),
        body_score=body_score,
        body_count=body_count,
        resample=False,
    )


@lru_cache(maxsize=256)
def _standard_lines(points: int, queries: int, positions: str) -> tuple[Draws, Draws]:
    """Scales of lines fitted to standard exponential scores, and errors of quantiles.

    The k largest of m standard exponentials are ``z_(i) = E_i/i + ... + E_m/m`` with E
    standard exponential (Rényi 1953). The sum from k on is ``-log`` of the level of the
    k-th largest, which is Beta(k, m - k + 1).
    """
    rng = np.random.default_rng(_CASES_SEED)
    gaps = rng.standard_exponential((_CASES, points)) / np.arange(1, points + 1)
    gaps[:, -1] = -np.log(rng.beta(points, queries - points + 1, _CASES))
    largest = np.cumsum(gaps[:, ::-1], axis=1)[:, ::-1]
    scale, quantile = _least_squares(largest, queries, positions)
    error = quantile + np.log(points / queries)
    for values in (scale, error):  # shared by all who ask
        values.flags.writeable = False
    return scale, error
