"""Evaluations: what was measured, summarised; and pools of queries to split."""

from bayes_rare.evaluation.evaluation import (
    RESOLUTION,
    Evaluation,
    Kind,
    checked_resolution,
    scores_of_resolution,
)
from bayes_rare.evaluation.pool import QueryPool
from bayes_rare.evaluation.score_cells import ScoreCells

__all__ = [
    "RESOLUTION",
    "Evaluation",
    "Kind",
    "QueryPool",
    "ScoreCells",
    "checked_resolution",
    "scores_of_resolution",
]
