"""Scores of a forecast against what happened: losses, so smaller is better.

A score is proper if no forecaster can better it, in expectation, by saying other than
what they believe [1]_.

.. [1] T. Gneiting, A. E. Raftery (2007). Strictly proper scoring rules, prediction, and
   estimation. Journal of the American Statistical Association 102, 359-378.
"""

from typing import Any

import numpy as np
import scoringrules
from jaxtyping import Float

from bayes_rare.errors import InvalidInput

__all__ = [
    "CLAMP",
    "LEAST_LOG_DENSITY",
    "covers",
    "crps",
    "interval_score",
    "log_score",
    "randomised_pit",
    "worst_score_crps",
]

type Array = Float[np.ndarray, "..."]

# The library's types are unknown here.
_interval_score: Any = scoringrules.interval_score

CLAMP = (-3.32, 6.9)
"""Scores that the CRPS of worst queries is clamped to: risks of 1e-12 and 0.999."""

LEAST_LOG_DENSITY = float(np.log(1e-12))
"""Log scores take no density for less than 1e-12: a mean of scores stays finite."""


def crps(draws: Array, truth: Array) -> Array:
    """Continuous ranked probability score of predictive draws.

    ``integral of (F(x) - 1{x >= y}) ** 2 dx = E|X - y| - E|X - X'| / 2`` for draws X of
    distribution F and a truth y, in units of y [1]_. Of a single draw, a point
    forecast, it is the absolute error.

    References
    ----------
    .. [1] T. Gneiting, A. E. Raftery (2007), section 4.2.

    Examples
    --------
    A forecast of no doubt pays its distance:

    >>> float(crps(np.array([2.0, 2.0, 2.0]), np.array(5.0)))
    3.0
    """
    return np.asarray(scoringrules.crps_ensemble(truth, draws, estimator="qd"))


def worst_score_crps(draws: Array, truth: Array) -> Array:
    """CRPS of a worst query's score, where the risk is from 1e-12 to 0.999.

    The integral of `crps` from a to b = `CLAMP` alone, which is that of draws and truth
    clamped to [a, b]: a threshold-weighted CRPS, proper [1]_, and finite where risks
    are 0 or 1.

    References
    ----------
    .. [1] T. Gneiting, R. Ranjan (2011). Comparing density forecasts using threshold-
       and quantile-weighted scoring rules. Journal of Business & Economic Statistics
       29, 411-422.

    Examples
    --------
    Beyond the clamp nothing is told apart:

    >>> float(worst_score_crps(np.array([7.0, np.inf]), np.array(np.inf)))
    0.0
    """
    return crps(np.asarray(np.clip(draws, *CLAMP)), np.asarray(np.clip(truth, *CLAMP)))


def log_score(log_density: Array) -> Array:
    """Logarithmic score: minus the log density that was given to what happened.

    ``-log f(y)``, with f at least `LEAST_LOG_DENSITY`: one truth that was called
    impossible costs 27.6 and not infinity. The floor makes the score proper only up to
    forecasts that rely on it.

    Examples
    --------
    Half the density costs log 2 more:

    >>> likely, unlikely = np.log([0.2]), np.log([0.1])
    >>> ((log_score(unlikely) - log_score(likely)) / np.log(2)).round(12)
    array([1.])
    """
    return np.asarray(-np.maximum(log_density, LEAST_LOG_DENSITY))


def interval_score(
    lower: Array, upper: Array, truth: Array, probability: float
) -> Array:
    """Score of a central interval: its width, and a fine for missing.

    ``(u - l) + 2 / alpha * (l - y) 1{y < l} + 2 / alpha * (y - u) 1{y > u}`` with
    ``alpha = 1 - probability``, in units of y [1]_.

    References
    ----------
    .. [1] T. Gneiting, A. E. Raftery (2007), section 6.2.

    Examples
    --------
    A hit costs the width:

    >>> float(interval_score(np.array(1.0), np.array(4.0), np.array(2.0), 0.9))
    3.0
    """
    if not 0 < probability < 1:
        raise InvalidInput(
            f"an interval's probability is in (0, 1), got {probability}. For 90 % give "
            "0.9."
        )
    alpha = 1 - probability
    return np.asarray(_interval_score(truth, lower, upper, alpha))


def randomised_pit(below: Array, at_or_below: Array, rng: np.random.Generator) -> Array:
    """Probability integral transform, uniform if and only if the forecast is right.

    ``F(y-) + U (F(y) - F(y-))`` with U uniform: where the forecast has an atom at what
    happened, a random point of the atom [1]_.

    References
    ----------
    .. [1] C. Czado, T. Gneiting, L. Held (2009). Predictive model assessment for count
       data. Biometrics 65, 1254-1261.

    Examples
    --------
    Without an atom it is the distribution function:

    >>> level = np.array([0.2, 0.7])
    >>> randomised_pit(level, level, np.random.default_rng(0))
    array([0.2, 0.7])
    """
    return np.asarray(below + rng.random(np.shape(below)) * (at_or_below - below))


def covers(pit: Array, probability: float) -> np.ndarray:
    """Whether the central interval of some probability held the truth.

    ``alpha / 2 <= PIT <= 1 - alpha / 2`` with ``alpha = 1 - probability``: no quantile
    need be computed.

    Examples
    --------
    >>> covers(np.array([0.04, 0.5, 0.96]), 0.9)
    array([False,  True, False])
    """
    return np.asarray(np.abs(pit - 0.5) <= probability / 2)
