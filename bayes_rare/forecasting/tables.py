"""The table of a forecast: a row for each behaviour, target, size and threshold."""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput, NotApplicable, listed
from bayes_rare.forecasting import family_mix, outcomes
from bayes_rare.forecasting.deployment import Deployment
from bayes_rare.forecasting.drawing import generator, refuse_negative
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.forecasting.targets import (
    BY_THRESHOLD,
    TARGETS,
    WHATEVER_THE_SIZE,
    worst_guess,
)
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = [
    "contributions",
    "joint_worst",
    "refuse_interval",
    "scaling",
    "sizes_up_to",
    "summary",
    "variance_split",
    "worse",
]

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
    interval: int | float,
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


def refuse_interval(interval: int | float) -> None:
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


def _largest_safe(population: Population, risk: float, level: int | float) -> int:
    """Largest size whose predictive chance of a query above ``risk`` is ``level``."""
    share = np.exp(outcomes.log_behaviour_frequency(population, risk))
    low, high = 0, FOREVER
    while low < high:
        middle = (low + high + 1) // 2
        chance = outcomes.exceedance_by_share(share, middle).mean()
        low, high = (middle, high) if chance <= level else (low, middle - 1)
    return low


def contributions(
    method: str,
    populations: Mapping[str, Population],
    sizes: Iterable[int],
    seed: int,
) -> "pandas.DataFrame":
    """The table of `Forecast.family_contributions`."""
    import pandas as pd

    refuse_negative(seed)
    rows = [
        {"behaviour": name, "queries": size, **row}
        for name, population in populations.items()
        for size in sizes
        for row in _ranked(
            method, population, size, generator(seed, name, "family", size)
        )
    ]
    return pd.DataFrame(rows)


def _ranked(
    method: str, population: Population, size: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A row for each family, the likeliest to hold the riskiest query first."""
    mixture = family_mix.family_part(population)
    if mixture is None:
        raise NotApplicable(
            f"{method} knows no families. Fit family_tail to an evaluation that names "
            "them (--model family_tail, --columns family=...)."
        )
    chance = outcomes.family_contributions(mixture, size, rng).mean(axis=1)
    share = mixture.weight.mean(axis=1)
    found: dict[str, list[float]] = {}
    for name, *both in zip(
        mixture.labels, share.tolist(), chance.tolist(), strict=True
    ):
        old = found.setdefault(name, [0.0, 0.0])
        found[name] = [old[0] + both[0], old[1] + both[1]]
    ordered = sorted(found.items(), key=lambda item: -item[1][1])
    return [
        {"family": name, "share_of_queries": queries, "chance_of_worst": worst}
        for name, (queries, worst) in ordered
    ]


def joint_worst(
    populations: Mapping[str, Population],
    behaviours: Sequence[str],
    sizes: Iterable[int],
    interval: int | float,
    seed: int,
) -> "pandas.DataFrame":
    """The table of `Forecast.joint_worst`."""
    import pandas as pd

    refuse_interval(interval)
    _refuse_unknown(populations, behaviours)
    tails = np.array([0.5, 0.5 - interval / 2, 0.5 + interval / 2])
    rows: list[dict[str, Any]] = []
    for size, luck, scores in _scores(populations, behaviours, sizes, seed):
        worst = np.bincount(scores.argmax(axis=0), minlength=len(behaviours))
        risks = risk_from_score(
            np.quantile(scores.max(axis=0), tails, method="inverted_cdf")
        )
        median, lower, upper = risks.tolist()
        rows.append(
            {
                "queries": size,
                "luck": luck,
                "median": median,
                "lower": lower,
                "upper": upper,
                "interval": interval,
                "likeliest": behaviours[int(worst.argmax())],
            }
        )
    return pd.DataFrame(rows)


def worse(
    populations: Mapping[str, Population],
    first: str,
    second: str,
    sizes: Iterable[int],
    seed: int,
) -> "pandas.DataFrame":
    """The table of `Forecast.worse`."""
    import pandas as pd

    both = (first, second)
    _refuse_unknown(populations, both)
    rows: list[dict[str, Any]] = []
    for size, luck, scores in _scores(populations, both, sizes, seed):
        level = -math.log(max(size, 2))
        of_both = [populations[name].quantile(level) for name in both]
        rows.append(
            {
                "queries": size,
                "luck": luck,
                "chance": _chance_of_larger(scores[0], scores[1]),
                "population": _chance_of_larger(of_both[0], of_both[1]),
            }
        )
    return pd.DataFrame(rows)


def _chance_of_larger(one: Draws, other: Draws) -> float:
    """Chance that the first is larger; ties count half."""
    return float((one > other).mean() + 0.5 * (one == other).mean())


def _refuse_unknown(
    populations: Mapping[str, Population], behaviours: Sequence[str]
) -> None:
    """Refuse behaviours that were not forecast, and none at all."""
    for name in behaviours:
        if name not in populations:
            raise InvalidInput(
                f"no forecast of {name!r} here. There are: {listed(populations)}."
            )
    if not behaviours:
        raise InvalidInput(f"no behaviour is named. There are: {listed(populations)}.")


def _scores(
    populations: Mapping[str, Population],
    behaviours: Sequence[str],
    sizes: Iterable[int],
    seed: int,
) -> Generator[tuple[int, str, Float[np.ndarray, "behaviour sample"]]]:
    """Worst scores of several behaviours, by size and by what luck they share."""
    refuse_negative(seed)
    chosen = [populations[name] for name in behaviours]
    for size in sizes:
        for luck in ("independent", "shared"):
            rng = generator(seed, " and ".join(behaviours), "joint", size)
            together = luck == "shared"
            scores = outcomes.joint_worst_scores(chosen, size, rng, together=together)
            yield size, luck, scores


def sizes_up_to(largest: int) -> list[int]:
    """Sizes from 10 to ten times a deployment, even on a logarithmic scale."""
    top = min(10 * largest, FOREVER)
    factor = (top / 10) ** (1 / 24)
    return sorted({round(10 * factor**step) for step in range(25)})


def scaling(
    populations: Mapping[str, Population],
    sizes: Sequence[int],
    levels: Sequence[float],
    *,
    is_point: bool,
) -> "pandas.DataFrame":
    """The table of `Forecast.scaling`."""
    import pandas as pd

    if not levels or not all(0 < level < 1 for level in levels):
        raise InvalidInput(
            f"levels are probabilities in (0, 1), at least one, got {shown(levels)}. "
            "Give levels=[0.05, 0.5, 0.95]."
        )
    chances = np.asarray(levels, dtype=np.float64)
    return pd.DataFrame(
        [
            {"behaviour": name, "queries": size, "level": level, "score": score}
            for name, population in populations.items()
            for size in sizes
            for level, score in zip(
                levels,
                np.repeat(worst_guess(population, size), len(levels))
                if is_point
                else outcomes.worst_score_quantile(population, size, chances),
                strict=True,
            )
        ]
    )


def variance_split(
    populations: Mapping[str, Population], sizes: Iterable[int]
) -> "pandas.DataFrame":
    """The table of `Forecast.variance_split`."""
    import pandas as pd

    return pd.DataFrame(
        [
            (name, size, *outcomes.worst_score_variance(population, size))
            for name, population in populations.items()
            for size in sizes
        ],
        columns=["behaviour", "queries", "luck", "ignorance"],
    )
