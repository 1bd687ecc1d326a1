"""The table of a forecast: a row for each behaviour, target, size and threshold."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import outcomes
from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting.deployment import Deployment
from bayes_rare.forecasting.targets import BY_THRESHOLD, TARGETS, WHATEVER_THE_SIZE
from bayes_rare.outcomes import FOREVER
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["refuse_interval", "summary"]

type Draws = Float[np.ndarray, " draw"]
type Levels = Float[np.ndarray, " level"]

_COLUMNS = (
    "behaviour",
    "target",
    "queries",
    "samples_per_query",
    "risk_threshold",
    "mean",
    "median",
    "lower",
    "upper",
)


def summary(
    populations: Mapping[str, Population],
    deployment: Deployment,
    draws: "xarray.Dataset",
    interval: float,
    *,
    is_point: bool,
) -> "pandas.DataFrame":
    """The table of `Forecast.summary`."""
    import pandas as pd

    refuse_interval(interval)
    tails = np.array([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
    # Arrays: of thousands of behaviours, asking labels for each number takes minutes.
    place = {name: k for k, name in enumerate(draws["behaviour"].to_numpy().tolist())}
    values = {
        target: draws[target].transpose("behaviour", ..., "sample").to_numpy()
        for target in TARGETS
        if target in draws
    }
    rows = [
        row
        for behaviour, population in populations.items()
        for target, drawn in values.items()
        for row in _rows(
            behaviour,
            population,
            target,
            deployment,
            draws,
            drawn[place[behaviour]],
            None if is_point else tails,
        )
    ]
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    frame["interval"] = np.nan if is_point else interval
    return frame.astype({"queries": "Int64"})


def refuse_interval(interval: float) -> None:
    """Refuse what is no probability of an interval."""
    if not 0 < interval < 1:
        raise InvalidInput(f"interval is a probability in (0, 1), got {interval}.")


def _rows(
    behaviour: str,
    population: Population,
    target: str,
    deployment: Deployment,
    draws: "xarray.Dataset",
    drawn: np.ndarray,
    tails: Levels | None,
) -> list[dict[str, Any]]:
    """Rows of one behaviour and target; a single guess has no tails."""
    sized, counted = target not in WHATEVER_THE_SIZE, target in BY_THRESHOLD
    risks = draws["risk_threshold"].to_numpy()
    rows: list[dict[str, Any]] = []
    for row, size in enumerate(deployment.queries if sized else [None]):
        for column, risk in enumerate(risks if counted else [None]):
            values = drawn[(row,) * sized + (column,) * counted]
            low, median, high = _quantiles(population, target, size, values, tails)
            rows.append(
                {
                    "behaviour": behaviour,
                    "target": target,
                    "queries": size,
                    "samples_per_query": deployment.samples_per_query,
                    "risk_threshold": np.nan if risk is None else float(risk),
                    "mean": _mean(population, target, risk, values, draws),
                    "median": median,
                    "lower": low,
                    "upper": high,
                }
            )
    return rows


def _quantiles(
    population: Population,
    target: str,
    size: int | None,
    values: Draws,
    tails: Levels | None,
) -> Levels:
    """Lower end, median and upper end."""
    if tails is None:
        guess = np.sort(values)[(len(values) - 1) // 2]  # the lower of two medians
        return np.array([np.nan, guess, np.nan])
    if target == "worst_query_risk" and size is not None:
        return risk_from_score(outcomes.worst_score_quantile(population, size, tails))
    # No interpolation: two infinite neighbours would give NaN.
    return np.quantile(values, tails, method="inverted_cdf")


def _mean(
    population: Population,
    target: str,
    risk: float | None,
    values: Draws,
    draws: "xarray.Dataset",
) -> float:
    if target == "largest_safe_deployment" and risk is not None:
        level = float(draws.attrs["level"])
        return float(_largest_safe(population, risk, level))
    if target == "queries_to_first_failure" and (values >= FOREVER).any():
        return math.nan  # some draws are only known to be as large
    return float(values.mean())


def _largest_safe(population: Population, risk: float, level: float) -> int:
    """Largest size whose predictive chance of a query above ``risk`` is ``level``."""
    share = np.exp(outcomes.log_behaviour_frequency(population, risk))
    low, high = 0, FOREVER
    while low < high:
        middle = (low + high + 1) // 2
        chance = outcomes.exceedance_by_share(share, middle).mean()
        low, high = (middle, high) if chance <= level else (low, middle - 1)
    return low
