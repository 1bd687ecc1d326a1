"""The mix of families of a deployment.

=============  ===================================================================
mix            share of the queries that each family has
met            of a family: the evaluation has queries of it, for this behaviour
unseen         of a family: the evaluation has no query of it, and it has no name
=============  ===================================================================
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.populations import FamilyMixture, Population
from bayes_rare.populations.gathered import Gathered
from bayes_rare.readers.tables.read_table import read_columns
from bayes_rare.readers.tables.texts import TextFormat

__all__ = [
    "MOST_UNSEEN",
    "UNSEEN",
    "checked_mix",
    "deployed",
    "family_part",
    "knows_families",
    "read_mix",
    "unseen_guess",
]

UNSEEN = "(unseen families)"
"""Label of all unseen families together."""

MOST_UNSEEN = 2000
"""Largest number of unseen families: each is drawn for every posterior draw."""

FALSE_ALARMS = 0.01
"""Chance that a behaviour whose families are all alike is called concentrated."""

# Riskiest queries that are tested: about as many as tails are fitted to.
_RISKIEST = 20
# Random draws behind a p-value.
_SHUFFLES = 1999


def checked_mix(families: Any) -> tuple[tuple[str, float], ...]:
    """Shares of named families, which sum to 1, in the order of their names.

    Examples
    --------
    >>> checked_mix({"code": 3, "chat": 1})
    (('chat', 0.25), ('code', 0.75))
    """
    pairs: list[tuple[str, Any]]
    if isinstance(families, Mapping):
        given = cast("Mapping[Any, Any]", families)
        pairs = [(str(name), weight) for name, weight in given.items()]
    else:
        try:
            names, weights = families["family"], families["weight"]
        except (KeyError, TypeError, IndexError) as error:
            raise InvalidInput(
                "families are weights by name: give {'code': 0.7, 'chat': 0.3}, or a "
                "table with the columns family and weight."
            ) from error
        pairs = [
            (str(name), weight) for name, weight in zip(names, weights, strict=True)
        ]
    found: dict[str, float] = {}
    for name, weight in pairs:
        try:
            number = math.nan if isinstance(weight, bool) else float(weight)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (number >= 0 and math.isfinite(number)):
            raise InvalidInput(
                f"the weight of family {shown(name)} is {shown(weight)}: a weight is a "
                "number from 0 on. Leave out a family that has none."
            )
        if name in found:
            raise InvalidInput(
                f"family {name!r} has two weights. Give their sum, once."
            )
        found[name] = number
    total = sum(found.values())
    if not (total > 0 and math.isfinite(total)):
        raise InvalidInput(
            "the weights of the families are all 0: give one that is positive, or "
            "leave families out for the mix of the evaluation."
        )
    return tuple((name, found[name] / total) for name in sorted(found))


def read_mix(path: str | Path, text: TextFormat | None = None) -> dict[str, float]:
    """Weights of families from a table with the columns family and weight."""
    import pandas as pd

    given = text or TextFormat()
    found = read_columns(path, ("family", "weight"), given)
    weights: list[Any] = [
        # A point would stand between thousands.
        weight.replace(".", "?").replace(",", ".")
        if isinstance(weight, str) and given.decimal == ","
        else weight
        for weight in found["weight"]
    ]
    names = ["" if name is None else name for name in found["family"]]
    return dict(checked_mix(pd.DataFrame({"family": names, "weight": weights})))


def deployed(
    population: Population,
    evaluation: Evaluation,
    behaviour: str,
    families: tuple[tuple[str, float], ...] | None,
    unseen_share: float,
    unseen_families: int | None,
) -> Population:
    """The population of a behaviour's queries in a deployment.

    Families that are met keep their posterior. One that is not, named or
    unseen, is drawn from the population of families, anew for each draw. A population
    that knows no families stays as it is.
    """
    if isinstance(population, Gathered):
        return _gathered(
            population,
            lambda part: deployed(
                part, evaluation, behaviour, families, unseen_share, unseen_families
            ),
            elsewhere=families is not None or unseen_share > 0,
        )
    if not isinstance(population, FamilyMixture):
        return population
    met = evaluation.families_of(behaviour)
    named: dict[str, float] = {}
    weight = population.weight
    if families is not None:
        shares = dict(families)
        _refuse_unknown(shares, evaluation)
        own = np.array([shares.get(name, 0.0) for name in met])
        named = {n: s for n, s in shares.items() if n not in met and s > 0}
        weight = np.broadcast_to(own[:, None], weight.shape)
    unseen = unseen_families or 0
    new = np.concatenate(
        [
            (1 - unseen_share) * np.array([*named.values()]),
            np.full(unseen, unseen_share / max(unseen, 1)),
        ]
    )
    labels = (*met, *named, *[UNSEEN] * unseen)
    return population.mixed(weight, new, labels)


def knows_families(population: Population) -> bool:
    """Whether a population, or a part of it, is a mixture of families."""
    return family_part(population) is not None


def family_part(population: Population) -> FamilyMixture | None:
    """What of a population is a mixture of families: all of it, a part, or nothing."""
    parts = population.parts if isinstance(population, Gathered) else (population,)
    return next((part for part in parts if isinstance(part, FamilyMixture)), None)


def _gathered(
    population: Gathered, moved: Callable[[Population], Population], *, elsewhere: bool
) -> Population:
    """The parts of a population, each in the deployment's mix.

    In another mix than the evaluation's, parts that know no families have no say where
    there is one that does.
    """
    knowing = family_part(population)
    if not elsewhere or knowing is None:
        return replace(population, parts=tuple(map(moved, population.parts)))
    # As many draws as before: behaviours are forecast side by side.
    draws = np.arange(population.draws) % knowing.draws
    return moved(knowing.taken(draws))


def _refuse_unknown(shares: Mapping[str, float], evaluation: Evaluation) -> None:
    unknown = sorted(set(shares) - set(evaluation.labels))
    if unknown:
        known = listed([*map(repr, evaluation.families)]) or "none"
        raise InvalidInput(
            f"the evaluation has no family {unknown[0]!r}. It has: "
            f"{known}. Give the share of unseen families as "
            f"unseen_share={shares[unknown[0]]:.3g}, unseen_families={len(unknown)} "
            "(--unseen-share, --unseen-families)."
        )


def unseen_guess(evaluation: Evaluation, behaviour: str) -> tuple[float, int]:
    """A guess of the share of queries from unseen families, and of their number.

    Good and Turing's share ``f1 / m`` [1]_: of m queries, f1 are the only ones of their
    family. Chao's number ``f1 (f1 - 1) / (2 (f2 + 1))`` [2]_, at least 1, with f2
    families of two queries. Good for queries drawn at random, not for an evaluation
    that took so many of each family by design.

    References
    ----------
    .. [1] I. J. Good (1953). The population frequencies of species and the estimation
       of population parameters. Biometrika 40, 237-264.
    .. [2] A. Chao (1984). Nonparametric estimation of the number of classes in a
       population. Scandinavian Journal of Statistics 11, 265-270.

    Examples
    --------
    >>> families = ["a"] * 6 + ["b", "c", "d", "d"]
    >>> seen = Evaluation.from_scores(range(10), family=families)
    >>> unseen_guess(seen, "behaviour")
    (0.2, 1)
    """
    sizes = evaluation.family_sizes(behaviour)
    once, twice = int((sizes == 1).sum()), int((sizes == 2).sum())
    if not once:
        return 0.0, 0
    number = math.ceil(once * (once - 1) / (2 * (twice + 1)))
    return once / float(sizes.sum()), max(number, 1)


@dataclass(frozen=True)
class Concentration:
    """How few families the riskiest queries of a behaviour come from.

    Parameters
    ----------
    queries
        How many of the riskiest were looked at.
    families
        The families that hold half of them, the one with the most first.
    held
        How many those families hold.
    p_value
        Chance of as many pairs of one family, or more, were all families alike.
    """

    queries: int
    families: tuple[str, ...]
    held: int
    p_value: float


@lru_cache(maxsize=256)
def concentration(evaluation: Evaluation, behaviour: str) -> Concentration | None:
    """Whether the riskiest queries come from fewer families than chance would have it.

    Of the 20 riskiest queries (fewer where there are not twice as many) the pairs that
    are of one family are counted. Were families alike, the 20 would be any 20 of all:
    the p-value is the share of 1,999 random draws, and of what was seen, with as many
    pairs or more. So a false alarm at level a has at most the chance a, whatever the
    families' sizes.

    Examples
    --------
    Ten families, one of them above all others:

    >>> families = np.repeat(list("abcdefghij"), 10)
    >>> scores = np.where(families == "c", 5.0, 0.0) + np.linspace(0, 1, 100)
    >>> seen = Evaluation.from_scores(scores, family=families)
    >>> found = concentration(seen, "behaviour")
    >>> found.families, found.held, found.p_value <= FALSE_ALARMS
    (('c',), 10, True)
    """
    sizes = evaluation.family_sizes(behaviour).astype(np.int64)
    looked_at = min(_RISKIEST, int(sizes.sum()) // 2)
    if sizes.size < 2 or looked_at < 3:
        return None
    code = evaluation.behaviours.index(behaviour)
    shown = evaluation.shown["behaviour"] == code
    own = evaluation.shown["family"][shown][:looked_at]
    labels, counts = np.unique(own, return_counts=True)
    rng = np.random.default_rng(0)
    chance = rng.multivariate_hypergeometric(sizes, own.size, _SHUFFLES)
    pairs = (counts * (counts - 1)).sum()
    as_many = ((chance * (chance - 1)).sum(axis=1) >= pairs).sum()
    order = np.argsort(-counts, kind="stable")
    half = int(np.searchsorted(2 * np.cumsum(counts[order]), own.size)) + 1
    top: list[int] = labels[order[:half]].tolist()
    return Concentration(
        queries=int(own.size),
        families=tuple(evaluation.labels[label] for label in top),
        held=int(counts[order[:half]].sum()),
        p_value=float(1 + as_many) / (1 + _SHUFFLES),
    )
