"""One behaviour of an evaluation, with all that was measured of it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation.columns import chosen_rows
from bayes_rare.evaluation.score_cells import Columns, ScoreCells, merged_cells

__all__ = ["Behaviour", "Kind"]

type Kind = Literal["exact", "counts", "estimates"]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """One behaviour of an evaluation; `Evaluation.behaviour` makes it.

    Parameters
    ----------
    name
        Name of the behaviour.
    kind
        "exact" for risks known exactly, "counts" for counts of successes, "estimates"
        for risks with a standard error.
    size
        Number of queries.
    effective_size
        Queries that would say as much, were all weights equal.
    code
        Its place among the behaviours of the evaluation.
    labels
        Names of all families of the evaluation.
    resolution
        Scores that a risk of 0 is known to be below, and a risk of 1 above.
    exact, tallied, estimated
        The columns of the evaluation, of all behaviours.
    """

    name: str
    kind: Kind
    size: int
    effective_size: float
    code: int = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    resolution: tuple[float, float] = field(repr=False)
    exact: Columns = field(repr=False)
    tallied: Columns = field(repr=False)
    estimated: Columns = field(repr=False)

    @cached_property
    def tallies(self) -> Columns:
        """Columns ``successes, trials, count, weight, family``, and ``behaviour``."""
        return self._own(self.tallied)

    @cached_property
    def estimates(self) -> Columns:
        """Columns ``log_risk, log_risk_se, count, weight, family``, ``behaviour``."""
        return self._own(self.estimated)

    @cached_property
    def scores(self) -> ScoreCells:
        """Scores over all families, ties merged.

        Raises
        ------
        NotApplicable
            If the outcomes are counts or estimates, whose risks are not known exactly.
        """
        if self.kind != "exact":
            what = "counts of successes" if self.kind == "counts" else "estimated risks"
            raise NotApplicable(
                f"{self.name!r} has {what}, whose risks are not known "
                f"exactly; read them from `evaluation.{self.kind}`."
            )
        first, last = np.searchsorted(
            self.exact["behaviour"], [self.code, self.code + 1]
        )
        score, count, squares = (
            self.exact[name][first:last] for name in ("score", "count", "squares")
        )
        finite = np.isfinite(score)
        above, below = count[score == np.inf].sum(), count[score == -np.inf].sum()
        score, count, squares = score[finite], count[finite], squares[finite]
        starts = np.flatnonzero(np.diff(score, prepend=np.inf))
        lowest, highest = self.resolution
        return ScoreCells(
            *merged_cells(starts, score, count, squares),
            censored_below=int(below),
            censored_above=int(above),
            lowest=lowest,
            highest=highest,
        )

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families that it has queries of; "" for no family."""
        present: list[int] = np.flatnonzero(self._family_counts).tolist()
        return tuple(self.labels[code] for code in present)

    @property
    def family_sizes(self) -> Float[np.ndarray, " family"]:
        """Number of queries of each of its families, in their order."""
        return self._family_counts[self._family_counts > 0]

    @cached_property
    def _family_counts(self) -> Float[np.ndarray, " family"]:
        total = np.zeros(len(self.labels))
        for part in (self.exact, self.tallied, self.estimated):
            mine = part["behaviour"] == self.code
            total += np.bincount(part["family"][mine], part["count"][mine], len(total))
        return total

    def _own(self, columns: Columns) -> Columns:
        return chosen_rows(columns, columns["behaviour"] == self.code)
