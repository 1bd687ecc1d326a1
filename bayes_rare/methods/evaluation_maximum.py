"""The observed scores, as if no query were riskier than those."""

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.forecasting import (
    RISK_THRESHOLDS,
    TARGETS,
    Deployment,
    Forecast,
    point_forecast,
)
from bayes_rare.methods.exact_scores import exact_scores
from bayes_rare.populations import Empirical, Population

__all__ = ["evaluation_maximum"]


@checked_call
def evaluation_maximum(
    evaluation: Evaluation,
    deployment: Deployment,
    *,
    risk_thresholds: tuple[float, ...] = RISK_THRESHOLDS,
    targets: tuple[str, ...] = TARGETS,
) -> Forecast:
    """Forecast by the observed scores, each as often as it was observed.

    ``S(s) = share of the m queries with a score above s``. The worst of n queries is
    guessed at the score that a fraction 1/n of the evaluation exceeds: for ``n >= m``
    the largest that was observed. It does not extrapolate, so it is too low for large
    deployments; a method that is not better is of no use. It takes any evaluation with
    exact risks: risks of 0 and 1 count at the scores of the resolution.

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
        If a behaviour has counts.

    Examples
    --------
    More queries than were evaluated change nothing:

    >>> from bayes_rare import Deployment, Evaluation
    >>> evaluation = Evaluation.from_scores([-2.0, -1.5, 0.5])
    >>> made = evaluation_maximum(evaluation, Deployment([3, 10**9]))
    >>> made.draws["worst_query_score"].to_numpy().ravel()
    array([0.5, 0.5])
    """
    populations = {
        name: _seen(exact_scores(evaluation, name, "evaluation_maximum"))
        for name in evaluation.behaviours
    }
    return point_forecast(
        "evaluation_maximum",
        evaluation,
        populations,
        deployment,
        risk_thresholds=risk_thresholds,
        targets=targets,
    )


def _seen(scores: ScoreCells) -> Population:
    """The empirical distribution, risks of 0 and 1 at the scores of the resolution."""
    score, count = scores.with_zeros_at_bound()
    if scores.censored_above:
        score = np.append(score, scores.highest)
        count = np.append(count, float(scores.censored_above))
    return Empirical(score, count)
