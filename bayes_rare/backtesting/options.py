"""Options of a backtest, apart from its data and methods."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayes_rare.arguments.checking import whole_number
from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import QueryPool
from bayes_rare.evaluation.pool import PARTS, Splitting
from bayes_rare.forecasting import Deployment

__all__ = ["MOST_COUNTED", "Options", "checked_count", "checked_sizes", "with_sizes"]

MOST_COUNTED = 1_000_000
"""Most repeats, steps, trials or processes: more would take years."""


@dataclass(frozen=True)
class Options:
    """Options of a backtest, apart from its data and methods.

    Parameters
    ----------
    evaluation_sizes, deployment_sizes
        Numbers of queries that methods see, and that they forecast, in all
        combinations.
    repeats
        Splits of each behaviour.
    hold_out_families
        Number of families that are left out of the evaluation of each split, drawn at
        random, while the deployment has all families.
    ignore_families
        Whether families are hidden from the methods.
    split
        Column of the table that says which queries are for the evaluation and which
        for the deployment.
    pool
        Whether behaviours are fitted together; else one by one.
    trials_per_query
        If given, evaluations are counts of successes in this many responses per
        query, drawn from its risk; the truth stays exact.
    risk_thresholds
        Additional risks above which queries are counted, besides the one that ten
        queries of the deployment exceed on average.
    samples_per_query
        Responses per query of a deployment.
    unseen_share, unseen_families
        Unseen families of the deployment that methods forecast; see `Deployment`.
    chains, warmup, draws
        Sampling of each model.
    seed
        Random seed of splits, counts, fits and forecasts.
    """

    evaluation_sizes: tuple[int, ...]
    deployment_sizes: tuple[int, ...]
    repeats: int
    hold_out_families: int
    ignore_families: bool
    split: str | None
    pool: bool
    trials_per_query: int | None
    risk_thresholds: tuple[float, ...]
    samples_per_query: int
    unseen_share: float
    unseen_families: int | None
    chains: int
    warmup: int
    draws: int
    seed: int

    @property
    def deployment(self) -> Deployment:
        """What methods are asked to forecast."""
        return Deployment(
            self.deployment_sizes,
            self.samples_per_query,
            unseen_share=self.unseen_share,
            unseen_families=self.unseen_families,
        )

    @property
    def splitting(self) -> Splitting:
        """How sets are drawn."""
        return Splitting(
            self.evaluation_sizes,
            self.deployment_sizes,
            self.hold_out_families,
            self.split is not None,
            self.seed,
        )


def checked_count(
    name: str, value: Any, least: int, most: int | None = MOST_COUNTED
) -> int:
    """A whole number that is large enough, and none that no machine has room for."""
    number = whole_number(value)
    if number is None or number < least:
        raise InvalidInput(
            f"{name} is a whole number from {least} on, got {shown(value)}."
        )
    if most is not None and number > most:
        raise InvalidInput(f"{name} is at most {most:,}, got {shown(value)}.")
    return number


def checked_sizes(name: str, given: Iterable[Any] | Any) -> tuple[int, ...]:
    """Sizes in order, each once."""
    values: list[Any] = np.ravel(np.asarray(given, dtype=object)).tolist()
    return tuple(sorted({checked_count(name, value, 1, None) for value in values}))


def with_sizes(options: Options, queries: QueryPool, *, whole: bool) -> Options:
    """The options with the sizes of a split that the table itself makes."""
    given = (options.evaluation_sizes, options.deployment_sizes)
    if options.split is None:
        if not all(given):
            raise InvalidInput(
                "a backtest needs sizes: how many queries methods see, and how many "
                "they forecast. Give evaluation_sizes=[300], deployment_sizes=[30_000] "
                "(--evaluation-sizes 300 --deployment-sizes 30000)."
            )
        return options
    if options.hold_out_families:
        raise InvalidInput(
            f"hold_out_families={options.hold_out_families} and split="
            f"{options.split!r} both say what the evaluation may not see. Give one."
        )
    found: list[tuple[int, ...]] = []
    everything = options.trials_per_query is None
    for code, sizes in enumerate(given):
        there = {
            int((queries.rows["part"][rows] == code).sum())
            for rows in queries.members.values()
        }
        if not sizes and (len(there) > 1 or there == {0}):
            what = PARTS[code]
            raise InvalidInput(
                f"column {options.split!r} marks {min(there)} to {max(there)} queries "
                f"of a behaviour as {what!r}: not the same number of each. Give "
                f"{what}_sizes=[{max(min(there), 1)}]."
            )
        found.append(sizes or tuple(there))
        everything = everything and {*found[-1]} == there
    if everything and not whole and options.repeats > 1:
        raise InvalidInput(
            f"column {options.split!r} and these sizes leave one split, in which all "
            f"marked queries are taken: {options.repeats} repeats of it would be "
            "copies. Leave repeats out, or ask for fewer queries."
        )
    return replace(
        options,
        evaluation_sizes=found[0],
        deployment_sizes=found[1],
        repeats=1 if everything else options.repeats,
    )
