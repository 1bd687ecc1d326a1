"""The published point methods, as forecasts beside ours.

Jones et al. (2025), *Forecasting Rare Language Model Behaviors*, arXiv 2502.16797,
section 3: a straight line through the largest scores, and a log-normal fit to all.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import digamma

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.forecasting import RISK_THRESHOLDS, Deployment, Forecast, point_forecast
from bayes_rare.populations import BodyAndTail, Normal, Population

__all__ = ["BASELINES", "Positions", "gumbel_ols", "log_normal_moments"]

type Positions = Literal["i/m", "(i-0.5)/m", "i/(m+1)", "digamma"]
type Points = Float[np.ndarray, " point"]

_POSITIONS: dict[str, Callable[[Points, int], Points]] = {
    "i/m": lambda i, m: np.log(i / m),
    "(i-0.5)/m": lambda i, m: np.log((i - 0.5) / m),
    "i/(m+1)": lambda i, m: np.log(i / (m + 1)),
    # The expectation of the log survival at the i-th largest of m (a beta variable).
    "digamma": lambda i, m: np.asarray(digamma(i) - digamma(m + 1)),
}


def gumbel_ols(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    points: int = 10,
    positions: Positions = "i/m",
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
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

    Raises
    ------
    NotApplicable
        If a behaviour has fewer scores than points, or they are all equal.

    References
    ----------
    .. [1] Jones et al. (2025), arXiv 2502.16797, section 3.
    """
    if positions not in _POSITIONS:
        raise InvalidInput(
            f"no plotting position {positions!r}. There are: {', '.join(_POSITIONS)}."
        )
    if points < 2:
        raise InvalidInput(f"a line needs at least 2 points, got points={points}.")
    populations = {
        name: _line(name, _exact(evaluation, name, "gumbel_ols"), points, positions)
        for name in evaluation.behaviours
    }
    return point_forecast(
        "gumbel_ols",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
    )


def log_normal_moments(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
) -> Forecast:
    """Forecast by a normal distribution with the mean and deviation of all scores.

    The worst of n queries is guessed at the 1 - 1/n quantile, of one at the median.

    Parameters
    ----------
    evaluation
        Exact risks.
    deployment
        How many queries will be served.
    risk_thresholds
        Risks above which queries count as risky.

    Raises
    ------
    NotApplicable
        If a behaviour has risks of exactly 0 or 1, which have no score to average, or
        no two different ones.

    References
    ----------
    .. [1] Jones et al. (2025), arXiv 2502.16797, section 3.
    """
    populations = {
        name: _normal(name, _exact(evaluation, name, "log_normal_moments"))
        for name in evaluation.behaviours
    }
    return point_forecast(
        "log_normal_moments",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
    )


BASELINES: dict[str, Callable[..., Forecast]] = {
    "gumbel_ols": gumbel_ols,
    "log_normal_moments": log_normal_moments,
}
"""The point methods by name."""


def _exact(evaluation: Evaluation, behaviour: str, method: str) -> ScoreCells:
    if evaluation.kind(behaviour) != "exact":
        raise NotApplicable(
            f"behaviour {behaviour!r} has counts, and {method} takes exact risks: it "
            "has no way to tell the noise of counts from the tail. Give log_risk."
        )
    return evaluation.scores(behaviour)


def _line(
    behaviour: str, scores: ScoreCells, points: int, positions: str
) -> Population:
    """The fitted line above the k-th largest score, the evaluation below."""
    if scores.censored_above:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {scores.censored_above} risks recorded as "
            "exactly 1: a line cannot go through scores that are not known. Use "
            "gpd_tail, which takes them as censored."
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
    log_survival = _POSITIONS[positions](np.arange(1.0, points + 1), scores.size)
    deviation = largest - largest.mean()
    slope = (deviation @ log_survival) / (deviation @ deviation)
    threshold = float(largest[-1])
    log_rate = float(log_survival.mean() + slope * (threshold - largest.mean()))
    body_score, body_count = scores.below(threshold).with_zeros_at_bound()
    if log_rate > 0:  # no share is above 1: the line begins where it reaches it
        threshold, log_rate = threshold - float(log_rate / slope), 0.0
    return BodyAndTail(
        threshold=threshold,
        rate=np.array([np.exp(log_rate)]),
        scale=np.array([-1 / slope]),
        shape=np.zeros(1),
        body_score=body_score,
        body_count=body_count,
        resample=False,
    )


def _normal(behaviour: str, scores: ScoreCells) -> Population:
    """The normal distribution with the moments of the scores."""
    censored = scores.censored_above + scores.censored_below
    if censored:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {censored} risks recorded as exactly 0 or 1, "
            "whose scores have no mean. Use log_normal, which takes them as censored."
        )
    mean = np.average(scores.score, weights=scores.count)
    between = (scores.count * (scores.score - mean) ** 2).sum()
    squares = scores.squares.sum() + between
    if scores.size < 2 or squares == 0:
        raise NotApplicable(
            f"behaviour {behaviour!r} has no two risks that differ: a distribution "
            "needs a spread. Evaluate more queries."
        )
    deviation = np.sqrt(squares / (scores.size - 1))
    return Normal(location=np.array([mean]), scale=np.array([deviation]))
