"""What was measured, as a summary whose size does not grow with the number of queries.

==========  =====================================================================
query       one input to the system under evaluation
behaviour   what is elicited, and of which system: the group that gets a forecast
family      cluster of like queries: template, source, jailbreak technique
cell        queries of one behaviour and family summarised together: those of one
            score, or those of one narrow bin of scores
==========  =====================================================================
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.scores import log_risk_from_score, risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = [
    "BIN_WIDTH",
    "EXACT_LIMIT",
    "RESOLUTION",
    "SHOWN",
    "Columns",
    "Evaluation",
    "ScoreCells",
    "cells_of_bins",
    "cells_of_scores",
    "riskiest_first",
]

type Columns = dict[str, np.ndarray]
type Cells = Float[np.ndarray, " cell"]
type CellCodes = Int[np.ndarray, " cell"]
type Codes = Int[np.ndarray, " row"]
type Rows = Float[np.ndarray, " row"]
type Labels = Sequence[Any] | np.ndarray

RESOLUTION = (2.0**-149, 2.0**-24)
"""How near to 0 and to 1 a risk was told from 0 and from 1.

The smallest positive float32, and the distance from 1 below which a float32 log
probability is 0: what a forward pass in single precision can tell.
"""

EXACT_LIMIT = 10_000
"""Queries of a behaviour that are kept exactly: all, or the riskiest."""

BIN_WIDTH = 1 / 128
"""Width in score of the bins that hold the other queries."""

SHOWN = 100
"""Riskiest queries of a behaviour that are kept whole, with identity and text."""

DEVIATION_UNIT = 2.0**-32
"""Unit of a deviation from a bin's centre.

In it deviations are whole numbers of at most 2**24, so that their sum is exact, and the
same in whatever order an engine takes it, up to 2**29 queries a bin.
"""

SQUARE_UNIT = 2.0**-40
"""Unit of a squared deviation: whole numbers of at most 2**24 once more."""


@dataclass(frozen=True, eq=False)
class ScoreCells:
    """Exact scores of one behaviour, from the riskiest down.

    Parameters
    ----------
    score
        Mean score of each cell's members, finite, strictly descending.
    count
        Number of members, a whole number as float64.
    squares
        Sum of squared deviations of the members from ``score``; 0 where they are tied.
    censored_below
        Queries whose risk was seen as 0: their score is below ``lowest``.
    censored_above
        Queries whose risk was seen as 1: their score is above ``highest``.
    lowest, highest
        Scores of the resolution at the two ends.
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
        """Number of queries, the censored among them."""
        return int(self.count.sum()) + self.censored_below + self.censored_above

    def coarsen(self, cells: int = 512) -> "ScoreCells":
        """At most ``cells`` cells: the top half as they are, the rest in groups.

        Groups have nearly equal counts and are cut between neighbours. Their count,
        mean and squares are those of their members: the squares of a group are the
        squares within its cells plus those between the cells' means and its own.

        Parameters
        ----------
        cells
            Number of cells allowed, at least 2.

        Raises
        ------
        InvalidInput
            If ``cells`` is below 2.

        Examples
        --------
        Count and mean survive:

        >>> fine = Evaluation.from_scores(np.arange(1000.0)).scores("behaviour")
        >>> coarse = fine.coarsen(10)
        >>> len(coarse.score), coarse.size, float(coarse.score @ coarse.count / 1000)
        (10, 1000, 499.5)
        """
        if cells < 2:
            raise InvalidInput(
                f"cannot coarsen to {cells} cells: one is kept and one holds the rest. "
                "Give cells=2 or more."
            )
        if len(self.score) <= cells:
            return self
        top = cells - cells // 2
        count = self.count[top:]
        middle = np.cumsum(count) - count / 2
        group = (middle * (cells // 2) / count.sum()).astype(np.int64)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        rest = _merged(starts, self.score[top:], count, self.squares[top:])
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
            If a censored query could be on either side.
        """
        self._refuse_ambiguous(threshold)
        return self._with(*self._where(self.score > threshold), below=0)

    def below(self, threshold: float) -> "ScoreCells":
        """Cells whose mean is at or below ``threshold``, and the risks of 0.

        Raises
        ------
        InvalidInput
            If a censored query could be on either side.
        """
        self._refuse_ambiguous(threshold)
        return self._with(*self._where(self.score <= threshold), above=0)

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
                f"a threshold of {threshold:g} cannot part the queries: "
                f"{self.censored_below} have a risk of 0, known only to score below "
                f"{self.lowest:.4g}, and {self.censored_above} a risk of 1, known only "
                f"to score above {self.highest:.4g}. Give a threshold from {low:.4g} "
                f"to {high:.4g}."
            )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The summary of an evaluation, by behaviour.

    Exact risks are kept as cells of scores: of a behaviour with at most `EXACT_LIMIT`
    queries, every distinct score with its multiplicity; of a larger one only the
    `EXACT_LIMIT` largest (and all that tie with the smallest of those), and the others
    in bins of width `BIN_WIDTH`, each with its count, mean and sum of squares. Counts
    of successes are kept as the distinct pairs with their multiplicity. The `SHOWN`
    riskiest queries of a behaviour are kept whole.

    A risk of exactly 0 or 1 is data: its score is infinite, it is counted as censored
    at the resolution, and it is never clipped or dropped. With the default resolution a
    risk of 0 is read as "below 2**-149", the smallest float32, and a risk of 1 as "1 -
    risk is below 2**-24", where a float32 log probability rounds to 0.

    Make one with `Evaluation.from_scores` or `bayes_rare.readers.tables.read_table`;
    the constructor takes the parts as they are.

    Parameters
    ----------
    behaviours
        Names, sorted.
    labels
        Names of the families, sorted; one empty name where there are none.
    exact
        Columns ``behaviour``, ``family`` (codes into the names), ``score``, ``count``,
        ``squares``; a cell a row, by behaviour from the riskiest down; scores of -inf
        and inf are the censored queries.
    tallied
        Columns ``behaviour``, ``family``, ``successes``, ``trials``, ``count``.
    shown
        The riskiest queries: columns ``behaviour``, ``family``, ``query_id``,
        ``query_text``, ``score``, ``successes``, ``trials`` (NaN and -1 where the
        query has none).
    resolution
        Smallest risk told from 0, and smallest 1 - risk told from 0.
    reasons
        Why rows were left out by a reader of logs, and how many.
    """

    behaviours: tuple[str, ...]
    labels: tuple[str, ...]
    exact: Columns = field(repr=False)
    tallied: Columns = field(repr=False)
    shown: Columns = field(repr=False)
    resolution: tuple[float, float] = RESOLUTION
    reasons: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_scores(
        cls,
        scores: ArrayLike | Mapping[str, ArrayLike],
        *,
        behaviour: str | Labels | None = None,
        family: Labels | Mapping[str, Labels] | None = None,
        query_id: Labels | Mapping[str, Labels] | None = None,
        query_text: Labels | Mapping[str, Labels] | None = None,
        resolution: tuple[float, float] = RESOLUTION,
    ) -> "Evaluation":
        """The summary of scores, where there is no table or no float64 holds the risk.

        Parameters
        ----------
        scores
            ``-log(-log risk)``, one a query: of one behaviour, or of several told apart
            by ``behaviour``, or a mapping from the name of a behaviour to its scores.
            A risk of 0 is ``-inf``, a risk of 1 is ``inf``.
        behaviour
            Name of the behaviour, or one name a query; not with a mapping.
        family, query_id, query_text
            One label a query; with a mapping of scores, mappings of the same names.
        resolution
            Smallest risk told from 0, and smallest 1 - risk told from 0.

        Raises
        ------
        InvalidData
            If there are no scores, one is NaN, or labels and scores differ in number.
        InvalidInput
            If the resolution is not a pair of numbers in (0, 1).

        Examples
        --------
        Nothing is lost or moved:

        >>> evaluation = Evaluation.from_scores([0.5, -np.inf, 2.5, 0.5])
        >>> cells = evaluation.scores("behaviour")
        >>> cells.score, cells.count, cells.censored_below
        (array([2.5, 0.5]), array([1., 2.]), 1)
        """
        if isinstance(scores, Mapping):
            if behaviour is not None:
                raise InvalidInput(
                    "a mapping of scores names its behaviours; leave `behaviour` out."
                )
            sizes = {name: np.size(values) for name, values in scores.items()}
            behaviour = np.repeat(np.array(list(sizes), object), list(sizes.values()))
            family, query_id, query_text = (
                _joined(labels, sizes, what)
                for labels, what in (
                    (family, "family"),
                    (query_id, "query_id"),
                    (query_text, "query_text"),
                )
            )
            scores = np.concatenate(
                [np.empty(0), *(np.ravel(values) for values in scores.values())]
            )
        score = _checked_scores(scores)
        if behaviour is None or isinstance(behaviour, str):
            behaviours = ("behaviour" if behaviour is None else behaviour,)
            group = np.zeros(len(score), np.int32)
        else:
            behaviours, group = coded(_one_each(behaviour, len(score), "behaviour"))
        names, code = ("",), np.zeros(len(score), np.int32)
        if family is not None:
            names, code = coded(_one_each(family, len(score), "family"))
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=_by_behaviour(group, code, score, len(behaviours)),
            tallied=no_tallies(),
            shown=riskiest_first(
                {
                    "behaviour": group,
                    "family": code,
                    "query_id": _texts(query_id, len(score), "query_id"),
                    "query_text": _texts(query_text, len(score), "query_text"),
                    "score": score,
                    "successes": np.full(len(score), -1),
                    "trials": np.full(len(score), -1),
                }
            ),
            resolution=checked_resolution(resolution),
        )

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families; none where the evaluation does not tell them."""
        return () if self.labels == ("",) else self.labels

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of queries of each behaviour."""
        total = np.zeros(len(self.behaviours))
        for part in (self.exact, self.tallied):
            total += np.bincount(
                part["behaviour"], weights=part["count"], minlength=len(total)
            )
        return dict(zip(self.behaviours, total.astype(int).tolist(), strict=True))

    @property
    def cells(self) -> "pandas.DataFrame":
        """The cells of scores: behaviour, family, score, count, squares."""
        return self._frame(self.exact)

    @property
    def counts(self) -> "pandas.DataFrame":
        """The distinct (behaviour, family, successes, trials), with their count."""
        return self._frame(self.tallied)

    @property
    def riskiest(self) -> "pandas.DataFrame":
        """The riskiest queries of each behaviour, ties in the order of their identity.

        Counts are ranked by ``(successes + 1/2) / (trials + 1)``, their mean risk under
        Jeffreys' prior: 10 of 10 come before 1 of 1.
        """
        frame = self._frame(self.shown)
        frame.insert(5, "log_risk", log_risk_from_score(self.shown["score"]))
        if not len(self.tallied["count"]):
            return frame.drop(columns=["successes", "trials"])
        if not len(self.exact["count"]):
            return frame.drop(columns=["score", "log_risk"])
        for name in ("successes", "trials"):
            frame[name] = frame[name].astype("Int64").mask(frame[name] < 0)
        return frame

    @property
    def dropped(self) -> "pandas.DataFrame":
        """Why rows were left out, and how many; empty for a table."""
        import pandas as pd

        reasons = [reason for reason, _ in self.reasons]
        rows = [rows for _, rows in self.reasons]
        return pd.DataFrame(
            {"reason": pd.Series(reasons, dtype=str), "rows": np.array(rows, np.int64)}
        )

    def kind(self, behaviour: str) -> Literal["exact", "counts"]:
        """Kind of outcome of a behaviour: exact risks, or counts of successes."""
        counted = self._code(behaviour) in self.tallied["behaviour"]
        return "counts" if counted else "exact"

    def scores(self, behaviour: str) -> ScoreCells:
        """Scores of one behaviour over all its families, ties merged.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        NotApplicable
            If its outcomes are counts, whose risks are not known exactly.
        """
        if self.kind(behaviour) == "counts":
            raise NotApplicable(
                f"{behaviour!r} has counts of successes, whose risks are not known "
                "exactly; read them from `evaluation.counts`."
            )
        first, last = np.searchsorted(
            self.exact["behaviour"], [self._code(behaviour), self._code(behaviour) + 1]
        )
        score, count, squares = (
            self.exact[name][first:last] for name in ("score", "count", "squares")
        )
        finite = np.isfinite(score)
        above, below = count[score == np.inf].sum(), count[score == -np.inf].sum()
        score, count, squares = score[finite], count[finite], squares[finite]
        starts = np.flatnonzero(np.diff(score, prepend=np.inf))
        lowest, highest = _scores_of_resolution(self.resolution)
        return ScoreCells(
            *_merged(starts, score, count, squares),
            censored_below=int(below),
            censored_above=int(above),
            lowest=lowest,
            highest=highest,
        )

    def worst(self, behaviour: str) -> float:
        """Largest score of a behaviour; for a risk of 1, the score of the resolution.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        NotApplicable
            If its outcomes are counts.
        """
        cells = self.scores(behaviour)
        known = [float(cells.score[0])] if len(cells.score) else []
        if cells.censored_above:
            known.append(cells.highest)
        return max(known, default=cells.lowest)

    def select(self, behaviours: Sequence[str]) -> "Evaluation":
        """The evaluation of some of the behaviours.

        Raises
        ------
        InvalidInput
            If a behaviour is not there, or none is named.
        """
        chosen = sorted({self._code(name) for name in behaviours})
        if not chosen:
            raise InvalidInput(
                f"no behaviour is named. Known: {', '.join(self.behaviours)}."
            )
        parts = [
            {
                name: values[np.isin(part["behaviour"], chosen)]
                for name, values in part.items()
            }
            for part in (self.exact, self.tallied, self.shown)
        ]
        used: list[int] = np.unique(
            np.concatenate([part["family"] for part in parts])
        ).tolist()
        for part in parts:
            for name, kept in (("behaviour", chosen), ("family", used)):
                part[name] = np.searchsorted(kept, part[name]).astype(np.int32)
        return Evaluation(
            tuple(self.behaviours[code] for code in chosen),
            tuple(self.labels[code] for code in used),
            *parts,
            resolution=self.resolution,
            reasons=self.reasons,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: equal summaries have equal digests."""
        state = hashlib.sha256(self._header().encode())
        for part in (self.exact, self.tallied, self.shown):
            for name, values in part.items():
                state.update(name.encode())
                text = values.dtype == object
                state.update(
                    json.dumps(values.tolist()).encode()
                    if text
                    else values.astype(values.dtype.newbyteorder("<")).tobytes()
                )
        return state.hexdigest()

    def summary(self) -> "pandas.DataFrame":
        """A row a behaviour: queries, families, range of scores, risks of 0 and 1."""
        import pandas as pd

        return pd.DataFrame([self._line(name) for name in self.behaviours])

    def to_dataset(self) -> "xarray.Dataset":
        """The evaluation as an xarray data set of strings, integers and floats.

        Examples
        --------
        It comes back as it went:

        >>> evaluation = Evaluation.from_scores([0.5, -np.inf, 2.5, 0.5])
        >>> again = Evaluation.from_dataset(evaluation.to_dataset())
        >>> again.digest == evaluation.digest
        True
        """
        import xarray as xr

        return xr.Dataset(
            {
                f"{part}_{name}": (f"{part}_row", values)
                for part, columns in self._parts().items()
                for name, values in columns.items()
                # NetCDF takes a dimension of length 0 for an unlimited one.
                if len(values)
            },
            attrs={"evaluation": self._header()},
        )

    @classmethod
    def from_dataset(cls, dataset: "xarray.Dataset") -> "Evaluation":
        """The evaluation that `to_dataset` wrote.

        Raises
        ------
        InvalidData
            If the data set holds none.
        """
        if "evaluation" not in dataset.attrs:
            raise InvalidData(
                "the data set holds no evaluation: its attribute `evaluation` is "
                "missing. Give one that Evaluation.to_dataset wrote."
            )
        header = json.loads(dataset.attrs["evaluation"])
        parts: dict[str, Columns] = {}
        for part, names in COLUMNS.items():
            parts[part] = {}
            for name, dtype in names.items():
                stored = dataset.get(f"{part}_{name}")
                values = np.array([]) if stored is None else stored.to_numpy()
                if dtype is object:
                    values = np.array([str(text) for text in values], object)
                parts[part][name] = values.astype(dtype)
        low, high = header["resolution"]
        return cls(
            tuple(header["behaviours"]),
            tuple(header["families"]),
            **parts,
            resolution=(low, high),
            reasons=tuple((reason, rows) for reason, rows in header["reasons"]),
        )

    def __repr__(self) -> str:
        queries = sum(self.sizes.values())
        families = f" in {len(self.families)} families" if self.families else ""
        named = ", ".join(map(repr, self.behaviours[:5]))
        more = ", ..." if len(self.behaviours) > 5 else ""
        return (
            f"Evaluation of {queries:,} queries{families}, kept as "
            f"{len(self.exact['count']) + len(self.tallied['count']):,} cells; "
            f"{len(self.behaviours)} behaviour{'s'[: len(self.behaviours) != 1]}: "
            f"{named}{more}. See summary()."
        )

    def _code(self, behaviour: str) -> int:
        if behaviour not in self.behaviours:
            raise InvalidInput(
                f"no behaviour {behaviour!r} in this evaluation. Known: "
                f"{', '.join(self.behaviours)}."
            )
        return self.behaviours.index(behaviour)

    def _parts(self) -> dict[str, Columns]:
        return {"exact": self.exact, "tallied": self.tallied, "shown": self.shown}

    def _header(self) -> str:
        return json.dumps(
            {
                "behaviours": self.behaviours,
                "families": self.labels,
                "resolution": self.resolution,
                "reasons": self.reasons,
            }
        )

    def _frame(self, part: Columns) -> "pandas.DataFrame":
        import pandas as pd

        names = {"behaviour": self.behaviours, "family": self.labels}
        return pd.DataFrame(
            {
                column: np.array(names[column], object)[values]
                if column in names
                else values
                for column, values in part.items()
            }
        )

    def _line(self, behaviour: str) -> dict[str, Any]:
        code = self._code(behaviour)
        line: dict[str, Any] = {
            "behaviour": behaviour,
            "kind": self.kind(behaviour),
            "queries": self.sizes[behaviour],
            "families": 0,
            "lowest_score": math.nan,
            "highest_score": math.nan,
            "riskiest": math.nan,
            "risks_of_0": 0,
            "risks_of_1": 0,
        }
        part = self.tallied if line["kind"] == "counts" else self.exact
        if self.families:
            line["families"] = len(np.unique(part["family"][part["behaviour"] == code]))
        if line["kind"] == "counts":
            first = int(np.argmax(self.shown["behaviour"] == code))
            successes, trials = (self.shown[n][first] for n in ("successes", "trials"))
            return line | {"riskiest": float(successes / trials)}
        cells = self.scores(behaviour)
        if len(cells.score):
            line["lowest_score"], line["highest_score"] = map(
                float, cells.score[[-1, 0]]
            )
        worst = math.inf if cells.censored_above else line["highest_score"]
        if not len(cells.score) and not cells.censored_above:
            worst = -math.inf
        return line | {
            "riskiest": float(risk_from_score(np.array([worst]))[0]),
            "risks_of_0": cells.censored_below,
            "risks_of_1": cells.censored_above,
        }


COLUMNS: dict[str, dict[str, type]] = {
    "exact": {
        "behaviour": np.int32,
        "family": np.int32,
        "score": np.float64,
        "count": np.float64,
        "squares": np.float64,
    },
    "tallied": {
        "behaviour": np.int32,
        "family": np.int32,
        "successes": np.int64,
        "trials": np.int64,
        "count": np.int64,
    },
    "shown": {
        "behaviour": np.int32,
        "family": np.int32,
        "query_id": object,
        "query_text": object,
        "score": np.float64,
        "successes": np.int64,
        "trials": np.int64,
    },
}
"""Columns of each part of an evaluation, in order, and their types."""


def no_tallies() -> Columns:
    """The tallies of an evaluation without counts."""
    return {name: np.empty(0, dtype) for name, dtype in COLUMNS["tallied"].items()}


def coded(labels: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    """Distinct labels, sorted, and the code of each one given."""
    names = sorted(set(labels))
    code = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([code[label] for label in labels], np.int32)


def checked_resolution(resolution: tuple[float, float]) -> tuple[float, float]:
    """The resolution, if both its ends are inside (0, 1)."""
    low, high = map(float, resolution)
    if not (0 < low < 1 and 0 < high < 1):
        raise InvalidInput(
            f"a resolution of ({low:g}, {high:g}) says nothing: give the smallest risk "
            "told from 0 and the smallest 1 - risk told from 0, both inside (0, 1), as "
            "in resolution=(2**-149, 2**-24)."
        )
    return low, high


def cells_of_scores(
    score: Rows, family: Codes, count: Rows, floor: float = -math.inf
) -> Columns:
    """Cells of one behaviour, from scores in any order, ties and all.

    Parameters
    ----------
    score
        Scores, -inf and inf where the risk is 0 or 1.
    family
        Code of each one's family.
    count
        How often each is there.
    floor
        Number of the lowest bin that they may fall in: where these are only the scores
        of the upper bins, and those of the lower ones are summarised elsewhere.
    """
    if not len(score):
        return _exact_cells(score, family, count)
    # Adding 0 makes one zero of two: -0.0 and 0.0 differ in their bytes.
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
    """Cells of bins of scores, from the sums that any engine can take.

    ``mean = centre + sum(d) / n`` and ``squares = sum(d**2) - sum(d)**2 / n`` for the
    deviations d from the bin's centre.

    Parameters
    ----------
    edge
        Lower edge of each bin in units of `BIN_WIDTH`, a whole number.
    family
        Code of the family.
    count
        Number of scores in the bin.
    deviations, squares
        Sums of ``floor(d / DEVIATION_UNIT + 0.5)`` and ``floor(d**2 / SQUARE_UNIT +
        0.5)``.
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
    """Cells of one behaviour from several parts, from the riskiest down."""
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.lexsort((whole["family"], -whole["score"]))
    return {name: values[order] for name, values in whole.items()}


def stacked_cells(parts: Sequence[Columns]) -> Columns:
    """Cells of several behaviours, from those of each in the order of their names."""
    sizes = [len(part["score"]) for part in parts]
    return {"behaviour": np.repeat(np.arange(len(parts), dtype=np.int32), sizes)} | {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }


def riskiest_first(rows: Columns) -> Columns:
    """The riskiest rows of each behaviour, of the columns of `Evaluation.shown`.

    Ties are in the order of identity, family and text, so that the answer does not
    depend on the order of the rows.
    """
    level = rank(rows["score"], rows["successes"], rows["trials"])
    chosen: list[int] = []
    order = np.lexsort((-level, rows["behaviour"]))
    starts = np.flatnonzero(np.diff(rows["behaviour"][order], prepend=-1))
    for group in np.split(order, starts[1:]):
        cut = level[group[min(SHOWN, len(group)) - 1]]
        near = group[level[group] >= cut].tolist()
        keys = zip(
            (-level[near]).tolist(),
            rows["query_id"][near].tolist(),
            rows["family"][near].tolist(),
            rows["query_text"][near].tolist(),
            near,
            strict=True,
        )
        chosen += [key[-1] for key in sorted(keys)[:SHOWN]]
    return {
        name: rows[name][chosen].astype(dtype)
        for name, dtype in COLUMNS["shown"].items()
    }


def rank(score: np.ndarray, successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """What the riskiest rows are ranked by: score, or Jeffreys' mean risk of counts."""
    return np.where(
        trials < 0, score, (successes + 0.5) / (np.maximum(trials, 0) + 1.0)
    )


def _scores_of_resolution(resolution: tuple[float, float]) -> tuple[float, float]:
    low, high = resolution
    return -math.log(-math.log(low)), -math.log(-math.log1p(-high))


def _by_behaviour(group: Codes, family: Codes, score: Rows, behaviours: int) -> Columns:
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


def _distinct(
    score: Rows, family: Codes, count: Rows
) -> tuple[Cells, CellCodes, Cells]:
    """Scores from the largest down, each pair of score and family once."""
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
    """Number of each row's pair (edge, family), and a row that has each number."""
    pairs = np.stack((edge, family.astype(np.float64)))
    _, where, number = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    return np.ravel(number), where


def _merged(
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


def _checked_scores(scores: ArrayLike) -> Rows:
    score = np.asarray(scores, dtype=np.float64)
    if score.ndim != 1 or not len(score):
        raise InvalidData(
            f"scores have shape {score.shape}. Give one dimension, and at least one "
            "score."
        )
    missing = np.isnan(score)
    if missing.any():
        raise InvalidData(
            f"score {int(np.argmax(missing))} (counted from 0) is NaN, and "
            f"{int(missing.sum())} in all. Give -inf for a risk of 0, inf for a risk "
            "of 1, and leave out what was not measured."
        )
    return score


def _one_each(labels: Any, size: int, what: str) -> list[str]:
    texts = [str(label) for label in labels]
    if len(texts) != size:
        raise InvalidData(
            f"{len(texts)} values of {what} for {size} scores. Give one a score."
        )
    return texts


def _texts(labels: Any, size: int, what: str) -> np.ndarray:
    if labels is None:
        return np.full(size, "", object)
    return np.array(_one_each(labels, size, what), object)


def _joined(labels: Any, sizes: Mapping[str, int], what: str) -> list[str] | None:
    if labels is None:
        return None
    if not isinstance(labels, Mapping) or {*cast("Labels", labels)} != set(sizes):
        raise InvalidData(
            f"scores come by behaviour, {what} does not. Give a mapping with the same "
            f"names: {', '.join(sizes)}."
        )
    return [
        x for name, size in sizes.items() for x in _one_each(labels[name], size, what)
    ]
