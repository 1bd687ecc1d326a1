"""Checks that the baselines have in common."""

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells

__all__ = ["exact_scores", "refuse_certain"]


def exact_scores(evaluation: Evaluation, behaviour: str, method: str) -> ScoreCells:
    """Scores of a behaviour whose risks are exact."""
    seen = evaluation.behaviour(behaviour)
    if seen.kind != "exact":
        raise NotApplicable(
            f"behaviour {behaviour!r} has {seen.kind}, and {method} takes exact risks: "
            "it cannot tell sampling noise from the tail. Give log_risk."
        )
    return seen.scores


def refuse_certain(behaviour: str, scores: ScoreCells, why: str) -> None:
    """Refuse scores with risks of exactly 1, for a method that needs all top scores."""
    if scores.censored_above:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {scores.censored_above} risks recorded as "
            f"exactly 1: {why}. Use gpd_tail, which takes them as censored."
        )
