"""Scores of forecasts against what happened.

A proper score is one that no forecaster can better, in expectation, by saying other
than what they believe. Scores are losses: smaller is better.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scoringrules
from jaxtyping import Float

from bayes_rare.errors import InvalidInput

__all__ = [
    "HIGHEST_SCORE",
    "INTERVALS",
    "LOWEST_SCORE",
    "Predictive",
    "Score",
    "clamped",
    "crps",
    "interval_score",
    "log_score",
    "pit",
    "score_predictive",
]

type Array = Float[np.ndarray, "..."]

INTERVALS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of the central intervals whose coverage is told."""

LOWEST_SCORE, HIGHEST_SCORE = -3.32, 6.9
"""Scores that worst-query CRPS is clamped to: risks of 1e-12 and 0.999."""

LEAST_DENSITY = -27.6
"""Log density that a log score is floored at, log(1e-12): a score stays finite."""
