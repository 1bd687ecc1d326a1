"""The parts of a backtest: one method's forecasts of a few splits each."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

import numpy as np

from bayes_rare.backtesting.options import Options
from bayes_rare.backtesting.scoring import Realised
from bayes_rare.evaluation import Evaluation, QueryPool
from bayes_rare.evaluation.pool import Split
from bayes_rare.methods import Method
from bayes_rare.scores import score_from_risk

__all__ = ["Case", "Part", "Plan", "Realisations"]

type Realisations = Mapping[int, Mapping[str, Realised]]
type Unit = tuple[tuple[str, ...], int]

# The threshold of the behaviour frequency is exceeded by so many of n queries on
# average: enough to count, few enough to be rare.
_RISKY_QUERIES = 10
# Splits a part: small, so that little is lost and progress is seen; not so small that
# starting a batch counts.
_SPLITS_A_PART = 20


@dataclass(frozen=True, eq=False)
class Case:
    """One evaluation that a method sees, and the deployments it forecasts.

    Parameters
    ----------
    repeat
        Number of the split.
    evaluation
        What the method sees.
    realised
        What happened, by deployment size and behaviour.
    """

    repeat: int
    evaluation: Evaluation
    realised: Realisations


@dataclass(frozen=True)
class Part:
    """One method's forecasts of a few splits at one evaluation size.

    Parameters
    ----------
    number
        Its place in the table.
    method
        What forecasts.
    identity
        What its forecasts depend on, as it was when the backtest began.
    size
        Size of the evaluations.
    units
        Behaviours and repeat of each split.
    """

    number: int
    method: Method
    identity: Mapping[str, Any]
    size: int
    units: tuple[Unit, ...]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One split, and what its deployment sets showed."""

    repeat: int
    split: Split
    realised: Realisations


@dataclass(frozen=True, eq=False)
class Plan:
    """The work of a backtest, in parts.

    The parts of one batch of splits follow each other, so that the splits are drawn
    once for all methods and sizes.

    Parameters
    ----------
    queries
        What is split.
    options
        How.
    methods
        What is compared.
    """

    queries: QueryPool
    options: Options
    methods: tuple[Method, ...]

    @property
    def _batches(self) -> list[tuple[Unit, ...]]:
        names = self.queries.behaviours
        groups = [names] if self.options.pool else [(name,) for name in names]
        units = [
            (group, repeat)
            for repeat in range(self.options.repeats)
            for group in groups
        ]
        return list(batched(units, _SPLITS_A_PART, strict=False))

    @property
    def size(self) -> int:
        """Number of parts."""
        sizes = len(self.options.evaluation_sizes)
        return len(self._batches) * sizes * len(self.methods)

    def parts(self, done: set[int]) -> Generator[tuple[Part, list[Case]]]:
        """Parts that are not done, each with its cases."""
        number = 0
        for units in self._batches:
            splits: list[_Drawn] = []
            for size in self.options.evaluation_sizes:
                cases: list[Case] = []
                for method in self.methods:
                    if number not in done:
                        splits = splits or self._splits(units)
                        cases = cases or [self._case(one, size) for one in splits]
                        yield Part(number, method, method.identity, size, units), cases
                    number += 1

    def _splits(self, units: Sequence[Unit]) -> "list[_Drawn]":
        return [self._drawn(group, repeat) for group, repeat in units]

    def _drawn(self, group: tuple[str, ...], repeat: int) -> "_Drawn":
        split = self.queries.split(group, repeat, self.options.splitting)
        realised = {
            size: {
                name: self._realised(name, size, rows) for name, rows in sets.items()
            }
            for size, sets in split.deployment.items()
        }
        return _Drawn(repeat, split, realised)

    def _case(self, drawn: "_Drawn", size: int) -> Case:
        evaluation = self.queries.evaluation(
            drawn.split,
            size,
            families=not self.options.ignore_families,
            trials_per_query=self.options.trials_per_query,
        )
        return Case(drawn.repeat, evaluation, drawn.realised)

    def _realised(self, behaviour: str, size: int, rows: np.ndarray) -> Realised:
        rare = self.queries.exceeded_by(behaviour, min(_RISKY_QUERIES / size, 1.0))
        asked = [
            (float(score_from_risk(risk)), risk)
            for risk in self.options.risk_thresholds
        ]
        return Realised.of(
            behaviour,
            self.queries.rows["score"][rows],
            [(rare, None), *asked],
            self.queries.resolution,
        )
