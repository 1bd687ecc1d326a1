"""Which families are likely to hold the riskiest query."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare import mixes, outcomes
from bayes_rare.errors import NotApplicable
from bayes_rare.forecasting.luck import generator, refuse_negative
from bayes_rare.populations import Population

if TYPE_CHECKING:
    import pandas

__all__ = ["contributions"]


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
    mixture = mixes.family_part(population)
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
