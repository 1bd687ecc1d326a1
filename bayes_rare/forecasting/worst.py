"""The riskiest query at many deployment sizes: where it lies, and why it varies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_rare import outcomes
from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting.targets import worst_guess
from bayes_rare.nearness import shown
from bayes_rare.outcomes import FOREVER
from bayes_rare.populations import Population

if TYPE_CHECKING:
    import pandas

__all__ = ["scaling", "sizes_up_to", "variance_split"]


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
