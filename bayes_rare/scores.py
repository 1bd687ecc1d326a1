"""Risk and score: two scales of one quantity, exact at both ends.

=================  ==============================================================
``risk``           chance that one sampled response shows the behaviour, in [0, 1]
``log_risk``       its natural logarithm, in [-inf, 0]; what a model reports exactly
``score``          ``-log(-log(risk))``, in [-inf, inf], increasing in the risk
``log_safe``       ``log(1 - risk)``, in [-inf, 0]: one response does not show it
=================  ==============================================================

The score is the scale on which the largest risks of a population have a Gumbel-like
tail (Jones et al. 2025, section 3). Everything here starts from ``log_risk`` or from
the score, which hold risks that a float64 ``risk`` cannot: 1e-4000, or 1 - 1e-30.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bayes_rare.errors import InvalidInput

__all__ = [
    "Numbers",
    "log_risk_from_score",
    "log_safe_from_score",
    "risk_from_score",
    "score_from_log_risk",
    "score_from_risk",
]

type Array = Float[np.ndarray, "..."]
type Numbers = float | ArrayLike


def score_from_log_risk(log_risk: Numbers) -> Array:
    """Score of a risk given by its logarithm: ``-log(-log_risk)``.

    Parameters
    ----------
    log_risk
        Natural logarithm of a risk, in [-inf, 0].

    Returns
    -------
    Scores of the same shape: ``-inf`` where the risk is 0, ``inf`` where it is 1.

    Raises
    ------
    InvalidInput
        If a value is positive or not a number.

    Examples
    --------
    Dividing the logarithm by e adds one to the score:

    >>> score_from_log_risk([-np.e, -1.0]).round(12)
    array([-1.,  0.])
    """
    log_risk = np.asarray(log_risk, dtype=np.float64)
    outside = ~(log_risk <= 0)
    if outside.any():
        first = int(np.argmax(outside))
        raise InvalidInput(
            f"log_risk is a natural logarithm of a probability, in [-inf, 0]; value "
            f"{first} is {log_risk.flat[first]!r}. For risks in [0, 1] use "
            "score_from_risk."
        )
    with np.errstate(divide="ignore"):
        return np.asarray(0.0 - np.log(-log_risk))  # 0 is not to be printed as -0


def score_from_risk(risk: Numbers) -> Array:
    """Score of a risk: ``-log(-log(risk))``.

    A float64 next to 1 is a coarse thing: 1 - risk is known to 1.1e-16 and no better.
    Give ``log_risk`` where you have it.

    Parameters
    ----------
    risk
        Probability that one sampled response shows the behaviour, in [0, 1].

    Returns
    -------
    Scores of the same shape: ``-inf`` where the risk is 0, ``inf`` where it is 1.

    Raises
    ------
    InvalidInput
        If a value is outside [0, 1] or not a number.

    Examples
    --------
    >>> score_from_risk([0.0, np.exp(-1.0), 1.0])
    array([-inf,   0.,  inf])
    """
    risk = np.asarray(risk, dtype=np.float64)
    outside = ~((risk >= 0) & (risk <= 1))
    if outside.any():
        first = int(np.argmax(outside))
        raise InvalidInput(
            f"a risk is a probability, in [0, 1]; value {first} is "
            f"{risk.flat[first]!r}. For logarithms use score_from_log_risk."
        )
    # Above one half, 1 - risk is exact in float64 and log1p keeps its digits.
    with np.errstate(divide="ignore"):
        log_risk = np.where(
            risk < 0.5, np.log(risk), np.log1p(-(1 - np.maximum(risk, 0.5)))
        )
        return np.asarray(0.0 - np.log(-log_risk))


def log_risk_from_score(score: Numbers) -> Array:
    """Natural logarithm of the risk of a score: ``-exp(-score)``.

    Examples
    --------
    The inverse of `score_from_log_risk`, at scores whose risk underflows too:

    >>> log_risk_from_score(score_from_log_risk([-4000.0, -1e-30])).round(9)
    array([-4000.,    -0.])
    """
    with np.errstate(over="ignore"):
        return np.asarray(-np.exp(-np.asarray(score, dtype=np.float64)))


def risk_from_score(score: Numbers) -> Array:
    """Risk of a score: ``exp(-exp(-score))``, 0 or 1 where float64 holds no other.

    Examples
    --------
    >>> risk_from_score([-np.inf, np.inf])
    array([0., 1.])
    """
    return np.asarray(np.exp(log_risk_from_score(score)))


def log_safe_from_score(score: Numbers) -> Array:
    """Log chance that one response does not show the behaviour: ``log(1 - risk)``.

    ``log1p(-risk)`` where the risk is below one half. Above, with ``t = exp(-score)``,
    ``-score + log(-expm1(-t) / t)``, whose second term vanishes as the risk nears 1
    (see [1]_ for where the two forms lose their digits).

    References
    ----------
    .. [1] M. Mächler (2012). Accurately computing log(1 - exp(-a)). Vignette of the R
       package Rmpfr.

    Examples
    --------
    For large scores it is minus the score, where 1 - risk has long underflowed:

    >>> log_safe_from_score([50.0, 5000.0])
    array([  -50., -5000.])
    """
    score = np.asarray(score, dtype=np.float64)
    hazard = -log_risk_from_score(score)
    likely = hazard < np.log(2)
    # Each branch is evaluated everywhere, at an argument that it can take.
    small = np.where(likely & (hazard > 0), hazard, 1.0)
    correction = np.where(hazard > 0, np.log(-np.expm1(-small) / small), 0.0)
    unlikely = np.log1p(-np.exp(-np.maximum(hazard, np.log(2))))
    return np.where(likely, correction - score, unlikely)
