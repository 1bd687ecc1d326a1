"""Judges of responses that err: their priors, and what their verdicts say of a risk.

===================  ============================================================
sensitivity          chance that a response with the behaviour is recorded so
false-positive rate  chance that a response without it is recorded as having it
===================  ============================================================
"""

import math
from typing import Any

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import InvalidInput

__all__ = ["draw_judge", "draw_verdicts", "prior_of_judge", "verdicts"]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

# A judge no better than chance says nothing: how much better it is, at least.
_LEAST_DIFFERENCE = 1e-6


def _beta(name: str, prior: tuple[float, float]) -> tuple[float, float]:
    """Parameters of a beta distribution of a mean, worth so many responses."""
    mean, size = prior
    if not 0 < mean < 1 or not 0 < size < math.inf:
        raise InvalidInput(
            f"{name} has a prior mean of {mean} worth {size} responses. Give a mean "
            f"inside (0, 1) and a positive number, as {name}=0.9 {name}_size=10."
        )
    return mean * size, (1 - mean) * size


def prior_of_judge(
    *,
    sensitivity: tuple[float, float],
    false_positive_rate: tuple[float, float],
    checked: tuple[float, float, float, float],
) -> tuple[Any, Any]:
    """A judge's sensitivity and false-positive rate, in the model on the context stack.

    Parameters
    ----------
    sensitivity, false_positive_rate
        Mean of the beta prior, and how many responses it is worth.
    checked
        Human-checked responses: true positives, false negatives, false positives and
        true negatives. They are binomial given the human's label, so the posterior of
        the two rates given them is beta again.

    Raises
    ------
    InvalidInput
        If a mean or a size is outside its range, or a number of responses negative.
    """
    if not all(0 <= number < math.inf for number in checked):
        raise InvalidInput(
            f"numbers of checked responses are 0 or more, got {checked}. They are true "
            "positives, false negatives, false positives and true negatives."
        )
    hits, misses, alarms, rejections = checked
    yes, no = _beta("sensitivity", sensitivity)
    sure = pm.Beta("sensitivity", yes + hits, no + misses)
    yes, no = _beta("false_positive_rate", false_positive_rate)
    return sure, pm.Beta("false_positive_rate", yes + alarms, no + rejections)


def verdicts(sensitivity: Any, rate: Any, *, by_query: bool) -> dict[str, Any]:
    """What `bayes_rare.likelihoods.counts.observe_outcomes` needs to know of a judge.

    Parameters
    ----------
    sensitivity, rate
        Sensitivity and false-positive rate, symbolic.
    by_query
        Whether the judge errs on all responses of a query alike; else on each by
        itself, ``q = rate + (sensitivity - rate) * p``.
    """
    difference = pt.maximum(sensitivity - rate, _LEAST_DIFFERENCE)
    if by_query:
        shares = (pt.log(difference), pt.log(rate), pt.log1p(-sensitivity))
        return {"whole": shares}

    def answer(log_risk: Any, log_safe: Any) -> tuple[Any, Any]:
        return (
            pt.logaddexp(pt.log(rate), pt.log(difference) + log_risk),
            pt.logaddexp(pt.log1p(-sensitivity), pt.log(difference) + log_safe),
        )

    def placed(breaks: Any) -> Any:
        share = (pt.exp(-pt.exp(-breaks)) - rate) / difference
        return -pt.log(-pt.log(pt.clip(share, 1e-300, 1 - 1e-15)))

    return {"answer": answer, "placed": placed}


def draw_judge(
    rng: np.random.Generator,
    *,
    sensitivity: tuple[float, float],
    false_positive_rate: tuple[float, float],
) -> tuple[float, float]:
    """A sensitivity and a false-positive rate from their priors.

    Parameters
    ----------
    rng
        Source of randomness.
    sensitivity, false_positive_rate
        As in `prior_of_judge`.
    """
    return (
        float(rng.beta(*_beta("sensitivity", sensitivity))),
        float(rng.beta(*_beta("false_positive_rate", false_positive_rate))),
    )


def draw_verdicts(
    rng: np.random.Generator,
    trials: int,
    risk: Array,
    sensitivity: float,
    rate: float,
    *,
    by_query: bool,
) -> np.ndarray:
    """How many responses to each query a judge records as showing the behaviour.

    Parameters
    ----------
    rng
        Source of randomness.
    trials
        Responses to each query.
    risk
        True risk of each query.
    sensitivity, rate, by_query
        As in `verdicts`.
    """
    difference = max(sensitivity - rate, _LEAST_DIFFERENCE)
    if not by_query:
        return rng.binomial(trials, np.minimum(rate + difference * risk, 1.0))
    uniform = rng.random(risk.shape)
    counts = rng.binomial(trials, risk)
    wrong = np.where(uniform < difference + rate, trials, 0)
    return np.where(uniform < difference, counts, wrong)
