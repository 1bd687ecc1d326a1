"""Several behaviours at once: the worst of them, and which of two is worse."""

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import outcomes
from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting.luck import generator, refuse_negative
from bayes_rare.forecasting.summaries import refuse_interval
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score
from bayes_rare.shortening import listed

if TYPE_CHECKING:
    import pandas

__all__ = ["joint_worst", "worse"]

type Draws = Float[np.ndarray, " draw"]


def joint_worst(
    populations: Mapping[str, Population],
    behaviours: Sequence[str],
    sizes: Iterable[int],
    interval: float,
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
