"""Cells of scores, and the arithmetic that makes them.

A cell has the count, mean and sum of squared deviations of the queries with one score,
or with scores in one narrow bin. These three survive when cells are merged. The sums of
a bin are whole numbers, so that neither engine nor order changes them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.errors import InvalidInput

__all__ = [
    "BIN_WIDTH",
    "DEVIATION_UNIT",
    "EXACT_LIMIT",
    "SQUARE_UNIT",
    "Columns",
    "ScoreCells",
    "cells_by_behaviour",
    "cells_of_bins",
    "cells_of_scores",
    "joined_cells",
    "merged_cells",
    "stacked_cells",
]

type Columns = dict[str, np.ndarray]
type Cells = Float[np.ndarray, " cell"]
type CellCodes = Int[np.ndarray, " cell"]
type Codes = Int[np.ndarray, " row"]
type Rows = Float[np.ndarray, " row"]

EXACT_LIMIT = 10_000
"""Riskiest queries of a behaviour that are kept exactly."""

BIN_WIDTH = 1 / 128
"""Width, in score, of the bins for the other queries."""

DEVIATION_UNIT = 2.0**-32
"""Unit of a deviation from a bin's centre.

Deviations are whole numbers of at most 2**24 such units, so that their sum is exact in
any order, up to 2**29 queries in a bin.
"""

SQUARE_UNIT = 2.0**-40
"""Unit of a squared deviation, again at most 2**24 units."""


@dataclass(frozen=True, eq=False)
class ScoreCells:
    """Exact scores of one behaviour, riskiest first.

    Parameters
    ----------
    score
        Mean score of each cell's members, finite, strictly descending.
    count
        Number of members, a whole number as float64.
    squares
        Sum of squared deviations of the members from ``score``; 0 where they are tied.
    censored_below
        Number of queries with a risk of 0, whose score is below ``lowest``.
    censored_above
        Number of queries with a risk of 1, whose score is above ``highest``.
    lowest, highest
        Scores of the resolution at both ends.
    """

    score: Cells
    count: Cells
    squares: Cells
    censored_below: int
    censored_above: int
    lowest: float
    highest: float

    @property
    def size(self) -> int:
        """Number of queries, with the censored ones."""
        return int(self.count.sum()) + self.censored_below + self.censored_above

    def coarsen(self, cells: int = 512) -> "ScoreCells":
        """At most ``cells`` cells: the upper half unchanged, the others merged.

        Neighbouring cells are merged into groups of nearly equal counts. The sum of
        squares of a group is that within its cells plus that between their means.

        Parameters
        ----------
        cells
            Largest number of cells, at least 2.

        Raises
        ------
        InvalidInput
            If ``cells`` is below 2.

        Examples
        --------
        Count and mean are unchanged:

        >>> from bayes_rare.evaluation.evaluation import Evaluation
        >>> fine = Evaluation.from_scores(np.arange(1000.0)).scores("behaviour")
        >>> coarse = fine.coarsen(10)
        >>> len(coarse.score), coarse.size, float(coarse.score @ coarse.count / 1000)
        (10, 1000, 499.5)
        """
        if cells < 2:
            raise InvalidInput(
                f"cannot coarsen to {cells} cells: at least one is kept and one holds "
                "the others. Give cells=2 or more."
            )
        if len(self.score) <= cells:
            return self
        top = cells - cells // 2
        count = self.count[top:]
        middle = np.cumsum(count) - count / 2
        group = (middle * (cells // 2) / count.sum()).astype(np.int64)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        rest = merged_cells(starts, self.score[top:], count, self.squares[top:])
        whole = (self.score, self.count, self.squares)
        score, count, squares = (
            np.concatenate((kept[:top], low))
            for kept, low in zip(whole, rest, strict=True)
        )
        return self._with(score, count, squares)

    def above(self, threshold: float) -> "ScoreCells":
        """Cells whose mean is above ``threshold``, and the risks of 1.

        Raises
        ------
        InvalidInput
            If a censored query could lie on either side.
        """
        self._refuse_ambiguous(threshold)
        return self._with(*self._where(self.score > threshold), below=0)

    def below(self, threshold: float) -> "ScoreCells":
        """Cells whose mean is at or below ``threshold``, and the risks of 0.

        Raises
        ------
        InvalidInput
            If a censored query could lie on either side.
        """
        self._refuse_ambiguous(threshold)
        return self._with(*self._where(self.score <= threshold), above=0)

    def with_zeros_at_bound(self) -> tuple[Cells, Cells]:
        """Scores and counts of all but the risks of 1; risks of 0 count at ``lowest``.

        The bound overstates their risk, by next to nothing.
        """
        if not self.censored_below:
            return self.score, self.count
        return (
            np.append(self.score, self.lowest),
            np.append(self.count, float(self.censored_below)),
        )

    def _where(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.score[chosen], self.count[chosen], self.squares[chosen]

    def _with(
        self,
        score: np.ndarray,
        count: np.ndarray,
        squares: np.ndarray,
        below: int | None = None,
        above: int | None = None,
    ) -> "ScoreCells":
        return ScoreCells(
            score,
            count,
            squares,
            self.censored_below if below is None else below,
            self.censored_above if above is None else above,
            self.lowest,
            self.highest,
        )

    def _refuse_ambiguous(self, threshold: float) -> None:
        low = self.lowest if self.censored_below else -math.inf
        high = self.highest if self.censored_above else math.inf
        if not low <= threshold <= high:
            raise InvalidInput(
                f"a threshold of {threshold:g} cannot divide the queries: "
                f"{self.censored_below} have a risk of 0, so their score is below "
                f"{self.lowest:.4g}, and {self.censored_above} a risk of 1, so theirs "
                f"is above {self.highest:.4g}. Give a threshold from {low:.4g} to "
                f"{high:.4g}."
            )


def cells_of_scores(
    score: Rows, family: Codes, count: Rows, floor: float = -math.inf
) -> Columns:
    """Cells of one behaviour, from its scores in any order."""
    if not len(score):
        return _exact_cells(score, family, count)
    # Adding 0 turns -0.0 into 0.0: they would differ in their bytes.
    score, family, count = _distinct(score + 0.0, family, count)
    last = min(int(np.searchsorted(np.cumsum(count), EXACT_LIMIT)), len(score) - 1)
    kept = (score >= score[last]) | np.isneginf(score)
    exact = _exact_cells(score[kept], family[kept], count[kept])
    if kept.all():
        return exact
    body, family, count = score[~kept], family[~kept], count[~kept]
    edge = np.maximum(np.floor(body / BIN_WIDTH), floor)
    number, where = _numbered(edge, family)
    offset = body - (edge + 0.5) * BIN_WIDTH
    return joined_cells(
        exact,
        cells_of_bins(
            edge[where],
            family[where],
            np.bincount(number, count),
            np.bincount(number, count * np.floor(offset / DEVIATION_UNIT + 0.5)),
            np.bincount(number, count * np.floor(offset**2 / SQUARE_UNIT + 0.5)),
        ),
    )


def cells_of_bins(
    edge: Rows, family: Codes, count: Rows, deviations: Rows, squares: Rows
) -> Columns:
    """Cells of bins of scores, from their sums.

    ``mean = centre + sum(d) / n`` and ``squares = sum(d**2) - sum(d)**2 / n`` for the
    deviations d from the bin's centre.
    """
    shift = deviations * DEVIATION_UNIT / count
    spread = squares * SQUARE_UNIT - count * shift**2
    return {
        "family": family.astype(np.int32),
        "score": (edge + 0.5) * BIN_WIDTH + shift,
        "count": count.astype(np.float64),
        "squares": np.where(count > 1, np.maximum(spread, 0.0), 0.0),
    }


def joined_cells(*parts: Columns) -> Columns:
    """Cells of one behaviour combined, riskiest first."""
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.lexsort((whole["family"], -whole["score"]))
    return {name: values[order] for name, values in whole.items()}


def stacked_cells(parts: Sequence[Columns]) -> Columns:
    """Cells of several behaviours, from those of each in the order of names."""
    sizes = [len(part["count"]) for part in parts]
    return {"behaviour": np.repeat(np.arange(len(parts), dtype=np.int32), sizes)} | {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }


def cells_by_behaviour(
    group: Codes, family: Codes, score: Rows, behaviours: int
) -> Columns:
    """Cells of several behaviours, from one score, behaviour and family per row."""
    one = np.ones(len(score))
    if behaviours == 1:
        return stacked_cells([cells_of_scores(score, family, one)])
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(1, behaviours))
    return stacked_cells(
        [
            cells_of_scores(score[rows], family[rows], one[rows])
            for rows in np.split(order, starts)
        ]
    )


def merged_cells(
    starts: np.ndarray, score: np.ndarray, count: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbouring cells merged into groups that begin at ``starts``."""
    if len(starts) == len(score):
        return score, count, squares
    number = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(score)))
    total = np.add.reduceat(count, starts)
    # Around the first member, so that equal scores merge without rounding.
    first = score[starts]
    mean = first + np.add.reduceat(count * (score - first[number]), starts) / total
    between = np.add.reduceat(count * (score - mean[number]) ** 2, starts)
    return mean, total, np.add.reduceat(squares, starts) + between


def _distinct(
    score: Rows, family: Codes, count: Rows
) -> tuple[Cells, CellCodes, Cells]:
    """Each pair of score and family once, largest score first."""
    order = np.lexsort((family, -score))
    score, family = score[order], family[order]
    new = np.ones(len(score), bool)
    new[1:] = (score[1:] != score[:-1]) | (family[1:] != family[:-1])
    starts = np.flatnonzero(new)
    return score[starts], family[starts], np.add.reduceat(count[order], starts)


def _exact_cells(score: Rows, family: Codes, count: Rows) -> Columns:
    return {
        "family": family,
        "score": score,
        "count": count,
        "squares": np.zeros(len(score)),
    }


def _numbered(edge: Rows, family: Codes) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row's pair (edge, family), and one row with each number."""
    pairs = np.stack((edge, family.astype(np.float64)))
    _, where, number = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    return np.ravel(number), where
