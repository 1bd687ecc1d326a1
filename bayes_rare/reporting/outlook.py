"""What a report says of each behaviour, and the tables by which its page says more."""

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics.tail_checks import FAR
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast, forecast
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.posterior import Fitted
from bayes_rare.reporting.predictive import (
    FINEST,
    SAMPLES,
    SIZES,
    Predictive,
    predictive,
    written_hazard,
)
from bayes_rare.reporting.wording import records

__all__ = ["Outlook", "default_queries", "embedded", "outlook", "packed"]

type Array = Float[np.ndarray, "..."]

_TARGETS = ("worst_query_risk", "exceedance_probability", "largest_safe_deployment")
# Posterior draws by which the scores of a table are chosen.
_FEW = 400
# Riskiest queries that are drawn one by one.
_POINTS = 200
# Bytes that the tables of all behaviours may take in the page.
_ROOM = 3_000_000
# Errors of a log hazard that may be allowed so that they fit.
_BLUNTEST = 0.1


@dataclass(frozen=True, eq=False)
class Outlook:
    """Forecasts of one behaviour at the settings that a report opens with.

    Parameters
    ----------
    behaviour
        Which.
    evaluated
        Queries that were evaluated.
    lower, median, upper
        Predictive quantiles of the risk of the riskiest query.
    exceedance
        Chance that it is above the threshold.
    safe
        Largest deployment that keeps this chance low.
    failure
        Chance that some response shows the behaviour.
    first_lower, first_median, first_upper
        Predictive quantiles of the number of queries until one does, up to 1e12.
    tables
        What the page needs for other settings.
    """

    behaviour: str
    evaluated: int
    lower: float
    median: float
    upper: float
    exceedance: float
    safe: float
    failure: float
    first_lower: float
    first_median: float
    first_upper: float
    tables: Predictive


def default_queries(evaluation: Evaluation) -> int:
    """The power of ten that is at most a thousand times the smallest evaluation.

    Examples
    --------
    >>> default_queries(Evaluation.from_scores(np.linspace(-3, -1, 300)))
    100000
    """
    smallest = min(evaluation.sizes.values())
    return 10 ** min(len(str(FAR * smallest)) - 1, 12)


def outlook(
    posterior: Fitted,
    deployment: Deployment,
    risk_threshold: int | float,
    level: int | float,
    interval: int | float,
    progress: Callable[[int, int], None],
) -> tuple[Forecast, list[Outlook]]:
    """The forecast behind a report, and what it says of each behaviour."""
    made = forecast(
        posterior,
        deployment,
        risk_thresholds=[risk_threshold],
        level=level,
        targets=_TARGETS,
    )
    [queries] = deployment.queries
    rows = {
        (row["behaviour"], row["target"]): row
        for row in records(made.summary(interval))
    }
    few = posterior.thinned(_FEW)
    found: list[Outlook] = []
    for behaviour, population in made.populations.items():
        worst, exceeding, safe = (rows[behaviour, target] for target in _TARGETS)
        fails = population.mean_failure(deployment.samples_per_query)
        first = [_first(fails, 0.5 + side * interval / 2) for side in (-1, 0, 1)]
        found.append(
            Outlook(
                behaviour=behaviour,
                evaluated=posterior.evaluation.sizes[behaviour],
                lower=worst["lower"],
                median=worst["median"],
                upper=worst["upper"],
                exceedance=exceeding["mean"],
                safe=safe["mean"],
                failure=_fails_within(fails, queries),
                first_lower=first[0],
                first_median=first[1],
                first_upper=first[2],
                tables=predictive(population, few.population(behaviour)),
            )
        )
        progress(len(found), len(made.populations))
    return made, found


def _fails_within(fails: Float[np.ndarray, " draw"], queries: int | float) -> float:
    """Chance that one of so many queries fails, from draws of that of a single one."""
    with np.errstate(divide="ignore"):  # where it surely does
        return float(-np.expm1(queries * np.log1p(-fails)).mean())


def _first(fails: Float[np.ndarray, " draw"], level: int | float) -> float:
    """Number of queries within which the first failure comes with a chance."""
    low, high = 0, FOREVER
    while low + 1 < high:
        middle = (low + high) // 2
        enough = _fails_within(fails, middle) >= level
        low, high = (low, middle) if enough else (middle, high)
    return float(high)


def embedded(
    evaluation: Evaluation,
    outlooks: list[Outlook],
    truth: Evaluation | None = None,
) -> tuple[dict[str, Any], float]:
    """The tables as JSON has them, and the largest error of a chance read off them."""
    tables = [each.tables for each in outlooks]
    error = FINEST
    while _bytes(tables) > _ROOM:
        error *= 2
        if error > _BLUNTEST:
            raise InvalidInput(
                f"a report holds the forecasts of all its behaviours, and "
                f"{len(outlooks)} of them do not fit into {_ROOM // 10**6} MB. Fit and "
                "report them in parts (--behaviours)."
            )
        tables = [each.tables.coarser(error) for each in outlooks]
    behaviours = [
        packed(table)
        | {
            "name": each.behaviour,
            "seen": _seen(evaluation, each.behaviour),
            "held_out": [] if truth is None else _seen(truth, each.behaviour),
        }
        for each, table in zip(outlooks, tables, strict=True)
    ]
    content = {
        "sizes": SIZES.size,
        "samples": SAMPLES.size,
        "behaviours": behaviours,
    }
    # A log hazard off by d moves the chance by at most d / e; the tables are off by
    # their grid and by the points left out since.
    return content, (FINEST + error) / math.e


def _bytes(tables: list[Predictive]) -> int:
    """Length of the tables in a page: two bytes a number, and 4/3 as text."""
    return sum(round(table.worst.size * 2 * 4 / 3) for table in tables)


def packed(table: Predictive) -> dict[str, Any]:
    """Tables as the page's script unpacks them: numbers of few bytes, as text.

    Examples
    --------
    >>> from bayes_rare.populations import Normal
    >>> tables = predictive(Normal(np.zeros(1), np.ones(1)))
    >>> content = packed(tables)
    >>> len(base64.b64decode(content["worst"])) == 2 * tables.worst.size
    True
    """
    return {
        "score": _packed(table.score.astype("<f4")),
        "worst": _packed(written_hazard(table.worst)),
        "failure": _packed(table.failure.astype("<f4")),
    }


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _seen(evaluation: Evaluation, behaviour: str) -> list[list[float]]:
    """The riskiest queries where risks are known: the i-th of m at m/i, its score."""
    known = behaviour in evaluation.behaviours
    if not known or evaluation.kind(behaviour) != "exact":
        return []
    cells = evaluation.scores(behaviour)
    rank = cells.censored_above + np.cumsum(cells.count[:_POINTS])
    return [
        [round(float(cells.size / place), 6), round(float(score), 6)]
        for place, score in zip(rank, cells.score, strict=False)
    ]
