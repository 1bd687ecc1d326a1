"""The riskiest queries of a behaviour, and their chance under a population.

A forecast extrapolates from the riskiest queries of the evaluation, called the top: the
score of each, and the fact that no other query is riskier.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, override

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betainc

from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.evaluation.columns import chosen_rows, most_shown, shown_risk
from bayes_rare.evaluation.score_cells import Columns
from bayes_rare.likelihoods import quadrature
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score

__all__ = [
    "SCORED",
    "CountedRiskiest",
    "ExactRiskiest",
    "RiskiestQueries",
    "riskiest_queries",
    "without",
]

type Rows = Float[np.ndarray, " row"]
type Groups = Float[np.ndarray, " group"]

SCORED = 10
"""How many of the riskiest queries are scored one by one."""

# A score lies in a cell of this width around it: populations may have atoms, and cells
# of one width make densities of different models comparable.
_CELL = 1 / 32
# Keeps a log chance finite.
_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class RiskiestQueries(ABC):
    """The riskiest queries of a behaviour, and how many others there are.

    Parameters
    ----------
    count
        How many queries each row of the top stands for: ties are one row.
    others
        Number of other queries, by groups that were observed in the same way.
    """

    count: Rows
    others: Groups

    @abstractmethod
    def log_chance(self, population: Population) -> Float[np.ndarray, "row draw"]:
        """Log chance of each row of the riskiest queries, draw by draw."""

    @abstractmethod
    def chance_not_riskier(
        self, population: Population
    ) -> Float[np.ndarray, "group draw"]:
        """Chance, by group of the other queries, that one of them is not riskier."""

    @abstractmethod
    def alike(self, columns: Columns, row: int) -> Bool[np.ndarray, " cell"]:
        """Cells of an evaluation that have the same outcome as a row."""


@dataclass(frozen=True, eq=False)
class ExactRiskiest(RiskiestQueries):
    """The riskiest queries, where risks are known exactly.

    Parameters
    ----------
    count, others
        As of every `RiskiestQueries`.
    low, high
        Between which scores each of the riskiest lies; ``high`` is infinite where its
        risk was seen as 1.
    threshold
        Score that no other query exceeds.
    """

    low: Rows
    high: Rows
    threshold: float

    @classmethod
    def of(cls, scores: ScoreCells, most: int = SCORED) -> "ExactRiskiest":
        """The riskiest of some scores: about so many, ties together."""
        certain = float(scores.censored_above)
        rows = _rows(scores.count, scores.size, most, certain)
        chosen = scores.score[:rows]
        low, high = chosen - _CELL / 2, chosen + _CELL / 2
        count = scores.count[:rows]
        lowest = float(chosen[-1]) if rows else scores.highest
        following = scores.score[rows : rows + 1]
        threshold = (lowest + float(following[0])) / 2 if following.size else -np.inf
        if certain:
            low, high = np.append(scores.highest, low), np.append(np.inf, high)
            count = np.append(certain, count)
        others = scores.size - float(count.sum())
        groups = np.array([others] if others else [])  # none where all are of the top
        return cls(count, groups, low, high, threshold)

    @override
    def log_chance(self, population: Population) -> Float[np.ndarray, "row draw"]:
        survival = np.exp(population.log_survival(self.low[:, None]))
        finite = np.isfinite(self.high)
        beyond = np.zeros_like(survival)
        beyond[finite] = np.exp(population.log_survival(self.high[finite][:, None]))
        # A draw whose upper end is below an observed score is not ruled out: it is a
        # draw given the other queries.
        return np.log(np.maximum(survival - beyond, _LEAST))

    @override
    def chance_not_riskier(
        self, population: Population
    ) -> Float[np.ndarray, "group draw"]:
        threshold = np.full((self.others.size, 1), self.threshold)
        return -np.expm1(population.log_survival(threshold))

    @override
    def alike(self, columns: Columns, row: int) -> Bool[np.ndarray, " cell"]:
        score = columns["score"]
        if np.isinf(self.high[row]):
            return score == np.inf
        # Two riskiest scores may be nearer to each other than a cell is wide.
        away = np.abs(score - (self.low[row] + self.high[row]) / 2)
        return away == away.min()


@dataclass(frozen=True, eq=False)
class CountedRiskiest(RiskiestQueries):
    """The riskiest queries as observed, where responses were sampled and judged.

    Queries are ranked by `bayes_rare.evaluation.columns.shown_risk`, and others are
    grouped by their number of trials.

    Parameters
    ----------
    count, others
        As of every `RiskiestQueries`.
    successes, trials
        Of each row.
    most, other_trials
        Most successes with which a query of each group of others is no riskier than
        they are, and their trials.
    """

    successes: Rows
    trials: Rows
    most: Groups
    other_trials: Groups

    @classmethod
    def of(cls, tallies: Mapping[str, Any], wanted: int = SCORED) -> "CountedRiskiest":
        """The riskiest of the tallies of a behaviour: about so many, ties together."""
        pairs, place = np.unique(
            np.stack([tallies["successes"], tallies["trials"]]).astype(np.float64),
            axis=1,
            return_inverse=True,
        )
        count = _tallied(place.ravel(), tallies["count"], pairs.shape[1])
        shown: Rows = shown_risk(pairs[0], pairs[1], np.sqrt)
        order = np.argsort(-shown, kind="stable")
        successes, trials = pairs[:, order]
        shown, count = shown[order], count[order]
        rows = _rows(count, int(count.sum()), wanted, 0.0)
        rows += int((shown[rows:] == shown[rows - 1]).sum())  # ties of other trials
        following = shown[rows : rows + 1]
        threshold = (shown[rows - 1] + following[0]) / 2 if following.size else 0.0
        groups, place = np.unique(trials[rows:], return_inverse=True)
        return cls(
            count=count[:rows],
            others=_tallied(place.ravel(), count[rows:], groups.size),
            successes=successes[:rows],
            trials=trials[:rows],
            most=most_shown(threshold, groups),
            other_trials=groups,
        )

    @override
    def log_chance(self, population: Population) -> Float[np.ndarray, "row draw"]:
        successes, trials = self.successes[:, None, None], self.trials[:, None, None]
        ways = quadrature.log_ways(successes, trials)

        def chance(score: Any) -> Any:
            return np.exp(ways + quadrature.log_binomial(successes, trials, score))

        return np.log(np.maximum(population.mean(chance), _LEAST))

    @override
    def chance_not_riskier(
        self, population: Population
    ) -> Float[np.ndarray, "group draw"]:
        return 1 - _at_least(population, self.most + 1, self.other_trials)

    @override
    def alike(self, columns: Columns, row: int) -> Bool[np.ndarray, " cell"]:
        same = columns["successes"] == self.successes[row]
        return same & (columns["trials"] == self.trials[row])


def riskiest_queries(evaluation: Evaluation, behaviour: str) -> RiskiestQueries:
    """The riskiest queries of a behaviour of an evaluation."""
    seen = evaluation.behaviour(behaviour)
    if seen.kind != "counts":
        return ExactRiskiest.of(seen.scores)
    return CountedRiskiest.of(seen.tallies)


def without(evaluation: Evaluation, behaviour: str, row: int) -> Evaluation:
    """The evaluation without one query of a row of its top.

    Of queries that tie it is one of the largest family among them. Those that the
    evaluation shows by name stay as they are.
    """
    top = riskiest_queries(evaluation, behaviour)
    exact = evaluation.kind(behaviour) == "exact"
    columns = evaluation.exact if exact else evaluation.tallied
    mine = np.flatnonzero(
        columns["behaviour"] == evaluation.behaviours.index(behaviour)
    )
    ties = mine[top.alike(chosen_rows(columns, mine), row)]
    cell = ties[np.argmax(columns["count"][ties])]
    left = {name: values.copy() for name, values in columns.items()}
    sums = left["squares" if exact else "weight"]
    sums[cell] *= 1 - 1 / left["count"][cell]  # each query of a cell has as much
    left["count"][cell] -= 1
    left = chosen_rows(left, left["count"] > 0)
    return replace(evaluation, **{"exact" if exact else "tallied": left})


def _tallied(place: Any, count: Any, size: int) -> Float[np.ndarray, " place"]:
    """How many there are in each of so many places."""
    bincount: Any = np.bincount  # its stub does not say what it returns
    return bincount(place, count, size).astype(np.float64)


def _rows(count: Rows, size: int | float, most: int, certain: float) -> int:
    """How many rows, from the riskiest down, have together so many queries."""
    wanted = max(min(most, int(size) // 3), 1)
    reached = certain + np.cumsum(count)
    rows = int(np.searchsorted(reached, wanted)) + 1 if certain < wanted else 0
    return min(rows, count.size)


def _at_least(
    population: Population, successes: Rows, trials: Rows
) -> Float[np.ndarray, "row draw"]:
    """Chance of so many successes or more, of a new query, draw by draw."""
    found = np.zeros((successes.size, population.draws))
    found[successes <= 0] = 1.0
    # A risk p has k of t successes or more with the chance I_p(k, t - k + 1).
    for row in np.flatnonzero((successes > 0) & (successes <= trials)):
        first, second = successes[row], trials[row] - successes[row] + 1

        def reached(score: Any, first: Any = first, second: Any = second) -> Any:
            return betainc(first, second, risk_from_score(score))

        found[row] = population.mean(reached)
    return np.clip(found, 0.0, 1.0)
