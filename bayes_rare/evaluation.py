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

from bayes_rare.cells import Columns, ScoreCells, cells_by_behaviour, merged_cells
from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.scores import log_risk_from_score, risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = [
    "RESOLUTION",
    "SHOWN",
    "Evaluation",
    "ScoreCells",
    "checked_resolution",
    "coded",
    "no_tallies",
    "rank",
    "riskiest_first",
    "scores_of_resolution",
]

type Labels = Sequence[Any] | np.ndarray

RESOLUTION = (2.0**-149, 2.0**-24)
"""How near to 0 and to 1 a risk was told from 0 and from 1.

The smallest positive float32, and the distance from 1 below which a float32 log
probability is 0: what a forward pass in single precision can tell.
"""

SHOWN = 100
"""Riskiest queries of a behaviour that are kept whole, with identity and text."""


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
        behaviours, group = _behaviour_codes(behaviour, len(score))
        names, code = ("",), np.zeros(len(score), np.int32)
        if family is not None:
            names, code = coded(_one_each(family, len(score), "family"))
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=cells_by_behaviour(group, code, score, len(behaviours)),
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

    @classmethod
    def from_counts(
        cls,
        successes: ArrayLike,
        trials: ArrayLike,
        *,
        behaviour: str | Labels | None = None,
        family: Labels | None = None,
        query_id: Labels | None = None,
        query_text: Labels | None = None,
    ) -> "Evaluation":
        """The summary of counts of successes, where there is no table.

        Parameters
        ----------
        successes
            Responses that showed the behaviour, one number a query.
        trials
            Responses that were sampled and judged, at least 1; one number a query.
        behaviour
            Name of the behaviour, or one name a query.
        family, query_id, query_text
            One label a query.

        Raises
        ------
        InvalidData
            If there are no counts, one is no whole number in its range, or labels and
            counts differ in number.

        Examples
        --------
        Equal counts are kept once:

        >>> evaluation = Evaluation.from_counts([0, 3, 0], [10, 10, 10])
        >>> evaluation.counts[["successes", "trials", "count"]].values.tolist()
        [[0, 10, 2], [3, 10, 1]]
        """
        hits, tried = _checked_counts(successes, trials)
        behaviours, group = _behaviour_codes(behaviour, len(hits))
        names, code = ("",), np.zeros(len(hits), np.int32)
        if family is not None:
            names, code = coded(_one_each(family, len(hits), "family"))
        # In the order of a table's summary: by trials before successes.
        rows = np.stack((group, code, tried, hits))
        cells, count = np.unique(rows, axis=1, return_counts=True)
        keys = ["behaviour", "family", "trials", "successes", "count"]
        columns = dict(zip(keys, (*cells, count), strict=True))
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=_nothing("exact"),
            tallied={
                name: columns[name].astype(dtype)
                for name, dtype in COLUMNS["tallied"].items()
            },
            shown=riskiest_first(
                {
                    "behaviour": group,
                    "family": code,
                    "query_id": _texts(query_id, len(hits), "query_id"),
                    "query_text": _texts(query_text, len(hits), "query_text"),
                    "score": np.full(len(hits), np.nan),
                    "successes": hits,
                    "trials": tried,
                }
            ),
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
        lowest, highest = scores_of_resolution(self.resolution)
        return ScoreCells(
            *merged_cells(starts, score, count, squares),
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
    return _nothing("tallied")


def _nothing(part: str) -> Columns:
    """The columns of a part that is empty."""
    return {name: np.empty(0, dtype) for name, dtype in COLUMNS[part].items()}


def coded(labels: Sequence[str]) -> tuple[tuple[str, ...], Int[np.ndarray, " row"]]:
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


def scores_of_resolution(resolution: tuple[float, float]) -> tuple[float, float]:
    """Scores that a risk of 0 is known to be below, and a risk of 1 above."""
    low, high = resolution
    return -math.log(-math.log(low)), -math.log(-math.log1p(-high))


def _checked_scores(scores: ArrayLike) -> Float[np.ndarray, " row"]:
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


def _checked_counts(
    successes: ArrayLike, trials: ArrayLike
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]:
    hits, tried = np.asarray(successes), np.asarray(trials)
    if hits.ndim != 1 or hits.shape != tried.shape or not len(hits):
        raise InvalidData(
            f"successes have shape {hits.shape} and trials {tried.shape}. Give one "
            "dimension and one number of each a query, at least one."
        )
    whole = (hits == np.floor(hits)) & (tried == np.floor(tried))
    wrong = ~(whole & (hits >= 0) & (tried >= 1) & (hits <= tried))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InvalidData(
            f"query {first} (counted from 0) has {hits[first]} successes of "
            f"{tried[first]} trials. Give whole numbers with 0 <= successes <= trials "
            "and trials >= 1."
        )
    return hits.astype(np.int64), tried.astype(np.int64)


def _behaviour_codes(
    behaviour: str | Labels | None, size: int
) -> tuple[tuple[str, ...], Int[np.ndarray, " row"]]:
    """Names of the behaviours, sorted, and the code of each row."""
    if behaviour is None or isinstance(behaviour, str):
        name = "behaviour" if behaviour is None else behaviour
        return (name,), np.zeros(size, np.int32)
    return coded(_one_each(behaviour, size, "behaviour"))


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
