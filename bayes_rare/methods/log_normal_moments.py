"""A normal distribution with the moments of all scores."""

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.forecasting import (
    RISK_THRESHOLDS,
    TARGETS,
    Deployment,
    Forecast,
    point_forecast,
)
from bayes_rare.methods.exact_scores import exact_scores
from bayes_rare.populations import Normal, Population

__all__ = ["log_normal_moments"]


@checked_call
def log_normal_moments(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
    targets: tuple[str, ...] = TARGETS,
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
    targets
        Which of `bayes_rare.forecasting.TARGETS` to forecast.

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
        name: _normal(name, exact_scores(evaluation, name, "log_normal_moments"))
        for name in evaluation.behaviours
    }
    return point_forecast(
        "log_normal_moments",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
        targets=targets,
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
