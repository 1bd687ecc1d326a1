"""The targets of a forecast, and one outcome of each for each draw."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting import outcomes
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score

__all__ = [
    "BY_THRESHOLD",
    "RISK_THRESHOLDS",
    "TARGETS",
    "WHATEVER_THE_SIZE",
    "checked_risks",
    "outcome",
    "worst_guess",
]

type Draws = Float[np.ndarray, " draw"]

TARGETS = (
    "worst_query_risk",
    "risk_quantile",
    "behaviour_frequency",
    "risky_queries",
    "aggregate_risk",
    "queries_to_first_failure",
    "exceedance_probability",
    "largest_safe_deployment",
)
"""What a forecast says, by name, in the order of its table."""

RISK_THRESHOLDS = (0.01, 0.5)
"""Risks above which queries are counted, where no others are asked for."""

BY_THRESHOLD = {
    "behaviour_frequency",
    "risky_queries",
    "exceedance_probability",
    "largest_safe_deployment",
}
"""Targets that count queries above a risk."""

WHATEVER_THE_SIZE = {
    "behaviour_frequency",
    "queries_to_first_failure",
    "largest_safe_deployment",
}
"""Targets that do not depend on the number of queries."""


def checked_risks(risks: Sequence[int | float]) -> list[float]:
    """Risk thresholds in order, each once.

    Parameters
    ----------
    risks
        At least one, each in (0, 1).

    Raises
    ------
    InvalidInput
        If there is none, or one is outside that range.
    """
    values = sorted({float(risk) for risk in risks})
    if not values:
        raise InvalidInput(
            "no risk threshold is given. Give one, or name the targets that need none, "
            'as in targets=["worst_query_risk"].'
        )
    for risk in values:
        if not 0 < risk < 1:
            raise InvalidInput(
                f"a risk threshold is a probability in (0, 1), got {risk}. For one in "
                "a million give 1e-6."
            )
    return values


def outcome(
    target: str,
    population: Population,
    size: Any,
    risk: Any,
    samples: int,
    level: int | float,
    rng: np.random.Generator | None,
) -> Draws:
    """One outcome for each draw of the population; a point method's guess without rng.

    Parameters
    ----------
    target
        One of `TARGETS`; of ``worst_query_risk`` the score and of ``aggregate_risk``
        the log hazard is given.
    population
        Distribution of scores, draw by draw.
    size
        Queries served; not looked at where the target does not depend on it.
    risk
        Risk above which queries count as risky, where the target counts any.
    samples
        Responses sampled per query.
    level
        Chance of a risky query that a safe deployment may have.
    rng
        Source of luck.
    """
    match target:
        case "worst_query_risk" if rng is not None:
            return outcomes.worst_score(population, size, rng)
        case "worst_query_risk":
            return worst_guess(population, size)
        case "risk_quantile":
            return risk_from_score(population.quantile(-math.log(size)))
        case "behaviour_frequency":
            return np.exp(outcomes.log_behaviour_frequency(population, risk))
        case "risky_queries" if rng is not None:
            return outcomes.risky_queries(population, size, risk, rng)
        case "risky_queries":
            return size * np.exp(outcomes.log_behaviour_frequency(population, risk))
        case "aggregate_risk" if rng is not None:
            return outcomes.aggregate_log_hazard(population, size, samples, rng)
        case "aggregate_risk":
            with np.errstate(divide="ignore"):  # surely not, or surely
                safe = np.log1p(-population.mean_failure(samples))
                return np.log(-size * safe)
        case "queries_to_first_failure" if rng is not None:
            return outcomes.first_failure(population, samples, rng)
        case "queries_to_first_failure":
            return 1 / np.maximum(population.mean_failure(samples), 1 / FOREVER)
        case "exceedance_probability":
            return outcomes.exceedance_probability(population, size, risk)
        case "largest_safe_deployment":
            return outcomes.largest_safe_deployment(population, risk, level)
        case _:
            raise InvalidInput(
                f"no target {target!r}. There are: {', '.join(TARGETS)}."
            )


def worst_guess(population: Population, size: int) -> Draws:
    """Score that a fraction 1/n of queries exceeds; of a single query the median.

    What all queries exceed is no guess of one: of a normal population, minus infinity.
    """
    return population.quantile(-math.log(max(size, 2)))
