"""The summary of an evaluation; its size does not grow with the number of queries.

==========  =====================================================================
query       one input to the system under evaluation
behaviour   what is elicited, and from which system; each gets its own forecast
family      cluster of similar queries: template, source, jailbreak technique
cell        queries of one behaviour and family with the same score, or with scores
            in one narrow bin
==========  =====================================================================
"""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput, listed
from bayes_rare.evaluation.behaviour import Behaviour, Kind
from bayes_rare.evaluation.checks import (
    Labels,
    behaviour_codes,
    checked_counts,
    checked_estimates,
    checked_scores,
    checked_weights,
    family_codes,
    joined_labels,
    one_a_query,
    refuse_repeated_ids,
    shown_of,
    texts,
)
from bayes_rare.evaluation.columns import (
    COLUMNS,
    chosen_rows,
    joined_rows,
    nothing,
    typed,
)
from bayes_rare.evaluation.estimate_cells import added_up, cells_of_estimates
from bayes_rare.evaluation.import_record import Dropped, merged, of_repeats
from bayes_rare.evaluation.sampling_weights import shares, weighed
from bayes_rare.evaluation.score_cells import (
    Columns,
    ScoreCells,
    cells_by_behaviour,
    stacked_cells,
)
from bayes_rare.scores import log_risk_from_score, risk_from_score, score_from_log_risk

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = [
    "RESOLUTION",
    "Behaviour",
    "Evaluation",
    "Kind",
    "ScoreCells",
    "checked_resolution",
    "scores_of_resolution",
]

RESOLUTION = (2.0**-149, 2.0**-24)
"""Default resolution: the smallest risk, and the smallest 1 - risk, told from 0.

The smallest positive float32, and the distance from 1 below which a float32 log
probability rounds to 0: the limits of a forward pass in single precision.
"""


@checked_call
@dataclass(frozen=True, eq=False)
class Evaluation:
    """The summary of an evaluation, by behaviour.

    Exact risks are kept as cells of scores. A behaviour with at most `EXACT_LIMIT`
    queries keeps each distinct score with its multiplicity. A larger one keeps the
    `EXACT_LIMIT` largest scores (and all ties with the smallest of these); the others
    are kept in bins of width `BIN_WIDTH`, each with its count, mean and sum of squares.
    Counts of successes are kept as distinct pairs with their multiplicity. The riskiest
    `EXACT_LIMIT` estimated risks are kept one by one, the others in bins of score and
    standard error. The `SHOWN` riskiest queries of a behaviour keep identity and text.

    Queries drawn with unequal probabilities have weights, which are scaled so that
    those of a behaviour add up to its effective number of queries, ``(sum w)**2 / sum
    w**2``.

    A risk of exactly 0 or 1 is data: its score is infinite, and it counts as censored
    at the resolution; it is never clipped or dropped. By default a risk of 0 means
    "below 2**-149", the smallest float32, and a risk of 1 means "1 - risk is below
    2**-24", where a float32 log probability rounds to 0.

    Make one with `bayes_rare.read_table`, `Evaluation.from_scores`,
    `Evaluation.from_counts` or `Evaluation.from_estimates`, and combine several with
    `Evaluation.joined`; the constructor does not check its arguments.

    Parameters
    ----------
    behaviours
        Names, sorted.
    labels
        Names of the families, sorted; one empty name if there are none.
    exact
        Columns ``behaviour``, ``family`` (codes into the names), ``score``, ``count``,
        ``squares``; one cell per row, by behaviour, riskiest first; scores of -inf and
        inf are the censored queries.
    tallied
        Columns ``behaviour``, ``family``, ``successes``, ``trials``, ``count``,
        ``weight`` (the sum of the scaled weights of the cell's queries; equal to the
        count if all weights of the behaviour are equal).
    estimated
        Columns ``behaviour``, ``family``, ``log_risk``, ``log_risk_se``, ``count``,
        ``weight``; by behaviour, riskiest first.
    shown
        The riskiest queries: columns ``behaviour``, ``family``, ``query_id``,
        ``query_text``, ``score``, ``log_risk_se``, ``successes``, ``trials`` (NaN and
        -1 for what a query does not have).
    resolution
        Smallest risk, and smallest 1 - risk, that can be told from 0.
    record
        What an import of logs read, kept and left out, and which rows were added up;
        None if there is nothing to record. The digest does not depend on it.
    """

    behaviours: tuple[str, ...]
    labels: tuple[str, ...]
    exact: Columns = field(repr=False)
    tallied: Columns = field(repr=False)
    estimated: Columns = field(repr=False)
    shown: Columns = field(repr=False)
    resolution: tuple[float, float] = RESOLUTION
    record: Dropped | None = None

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
        """The summary of exact risks, given as scores.

        A score represents risks that no float64 can hold.

        Parameters
        ----------
        scores
            ``-log(-log risk)`` of each query; or a mapping from the name of a behaviour
            to the scores of its queries. A risk of 0 is ``-inf``, a risk of 1 is
            ``inf``.
        behaviour
            Name of the behaviour, or one name per query; not with a mapping.
        family, query_id, query_text
            One label per query; with a mapping of scores, mappings of the same names.
        resolution
            Smallest risk, and smallest 1 - risk, that can be told from 0.

        Raises
        ------
        InvalidData
            If there are no scores, a score is NaN, labels and scores differ in number,
            only some queries of a behaviour have a family, or a query has two scores
            under one behaviour.
        InvalidInput
            If the resolution is not a pair of numbers in (0, 1).

        Examples
        --------
        No score is lost or changed:

        >>> evaluation = Evaluation.from_scores([0.5, -np.inf, 2.5, 0.5])
        >>> cells = evaluation.scores("behaviour")
        >>> cells.score, cells.count, cells.censored_below
        (array([2.5, 0.5]), array([1., 2.]), 1)
        """
        if isinstance(scores, Mapping):
            if behaviour is not None:
                raise InvalidInput(
                    "a mapping of scores already names its behaviours. Leave "
                    "`behaviour` out."
                )
            sizes = {name: np.size(values) for name, values in scores.items()}
            behaviour = np.repeat(np.array(list(sizes), object), list(sizes.values()))
            family, query_id, query_text = (
                joined_labels(labels, sizes, what)
                for labels, what in (
                    (family, "family"),
                    (query_id, "query_id"),
                    (query_text, "query_text"),
                )
            )
            scores = np.concatenate(
                [np.empty(0), *(np.ravel(values) for values in scores.values())]
            )
        score = checked_scores(scores)
        behaviours, group = behaviour_codes(behaviour, len(score))
        names, code = family_codes(family, behaviours, group)
        refuse_repeated_ids(query_id, behaviours, group, "exact risk")
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=cells_by_behaviour(group, code, score, len(behaviours)),
            tallied=nothing("tallied"),
            estimated=nothing("estimated"),
            shown=shown_of(group, code, query_id, query_text, score=score),
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
        weight: ArrayLike | None = None,
    ) -> "Evaluation":
        """The summary of counts of successes.

        Counts with the same ``query_id`` and behaviour are added up to one query, and
        `record` says so.

        Parameters
        ----------
        successes
            Number of responses that showed the behaviour, one per query.
        trials
            Number of responses that were sampled and judged, at least 1; one per query.
        behaviour
            Name of the behaviour, or one name per query.
        family, query_id, query_text
            One label per query.
        weight
            Number of queries that each one stands for, positive, up to a common factor.
            By default all are equal.

        Raises
        ------
        InvalidData
            If there are no counts, one is not a whole number in its range, a weight is
            not positive, labels, weights and counts differ in number, only some queries
            of a behaviour have a family, or counts with the same ``query_id`` differ in
            family, text or weight.

        Examples
        --------
        Equal counts are stored once:

        >>> evaluation = Evaluation.from_counts([0, 3, 0], [10, 10, 10])
        >>> evaluation.counts[["successes", "trials", "count"]].values.tolist()
        [[0, 10, 2], [3, 10, 1]]
        """
        hits, tried = checked_counts(successes, trials)
        weight = checked_weights(weight, len(hits))
        behaviours, group = behaviour_codes(behaviour, len(hits))
        names, code = family_codes(family, behaviours, group)
        rows, repeats = one_a_query(
            {
                "behaviour": group,
                "family": code,
                "query_id": texts(query_id, len(hits), "query_id"),
                "query_text": texts(query_text, len(hits), "query_text"),
                "trials": tried,
                "successes": hits,
                "weight": weight,
            },
            behaviours,
            names,
        )
        # In the order of a table's summary: by trials before successes.
        keys = ("behaviour", "family", "trials", "successes")
        cells = {name: rows[name] for name in keys}
        cells |= {"count": np.ones(len(rows["trials"]), np.int64)}
        cells |= shares(rows["weight"], rows["behaviour"])
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=nothing("exact"),
            tallied=typed("tallied", weighed(added_up(cells, keys))),
            estimated=nothing("estimated"),
            shown=shown_of(
                rows["behaviour"],
                rows["family"],
                rows["query_id"],
                rows["query_text"],
                successes=rows["successes"],
                trials=rows["trials"],
            ),
            record=of_repeats(repeats),
        )

    @classmethod
    def from_estimates(
        cls,
        log_risk: ArrayLike,
        log_risk_se: ArrayLike,
        *,
        behaviour: str | Labels | None = None,
        family: Labels | None = None,
        query_id: Labels | None = None,
        query_text: Labels | None = None,
        weight: ArrayLike | None = None,
    ) -> "Evaluation":
        """The summary of risks estimated with a standard error.

        Parameters
        ----------
        log_risk
            Natural logarithm of the estimated risk, finite and at most 0; one per
            query.
        log_risk_se
            Its standard error, positive: to first order, the standard error of the risk
            divided by the risk. Importance sampling gives such estimates.
        behaviour
            Name of the behaviour, or one name per query.
        family, query_id, query_text
            One label per query.
        weight
            Number of queries that each one stands for, positive, up to a common factor.
            By default all are equal.

        Raises
        ------
        InvalidData
            If there are no estimates, one is outside its range, a weight is not
            positive, labels, weights and estimates differ in number, only some queries
            of a behaviour have a family, or a query has two estimates under one
            behaviour.

        Examples
        --------
        The estimate with the larger risk comes first:

        >>> evaluation = Evaluation.from_estimates([-9.0, -4.0], [0.5, 0.25])
        >>> evaluation.estimates[["log_risk", "log_risk_se"]].values.tolist()
        [[-4.0, 0.25], [-9.0, 0.5]]
        """
        risk, error = checked_estimates(log_risk, log_risk_se)
        weight = checked_weights(weight, len(risk))
        behaviours, group = behaviour_codes(behaviour, len(risk))
        names, code = family_codes(family, behaviours, group)
        refuse_repeated_ids(query_id, behaviours, group, "estimated risk")
        rows = {
            "family": code,
            "log_risk": risk,
            "log_risk_se": error,
            "count": np.ones(len(risk)),
        } | shares(weight, group)
        parts = [
            cells_of_estimates(chosen_rows(rows, group == number))
            for number in range(len(behaviours))
        ]
        return cls(
            behaviours=behaviours,
            labels=names,
            exact=nothing("exact"),
            tallied=nothing("tallied"),
            estimated=typed("estimated", weighed(stacked_cells(parts))),
            shown=shown_of(
                group,
                code,
                query_id,
                query_text,
                score=score_from_log_risk(risk),
                log_risk_se=error,
            ),
        )

    @classmethod
    def joined(cls, parts: Sequence["Evaluation"]) -> "Evaluation":
        """Several evaluations, with different behaviours, as one.

        Parameters
        ----------
        parts
            Evaluations of any kind. Families of the same name are the same family.

        Raises
        ------
        InvalidInput
            If none is given, two have a behaviour of the same name, or the resolutions
            of exact risks differ.

        Examples
        --------
        >>> exact = Evaluation.from_scores([0.5, 1.5], behaviour="a")
        >>> counted = Evaluation.from_counts([0, 3], [9, 9], behaviour="b")
        >>> both = Evaluation.joined([exact, counted])
        >>> [both.kind(name) for name in both.behaviours]
        ['exact', 'counts']
        """
        behaviours = sorted(name for part in parts for name in part.behaviours)
        if not behaviours:
            raise InvalidInput("no evaluations to join. Give at least one.")
        for name, following in itertools.pairwise(behaviours):
            if name == following:
                raise InvalidInput(
                    f"two evaluations have a behaviour {name!r}. Give the behaviours "
                    f"different names, such as '{name} (counts)'."
                )
        resolutions = {p.resolution for p in parts if len(p.exact["count"])}
        if len(resolutions) > 1:
            first, second = sorted(resolutions)[:2]
            raise InvalidInput(
                f"exact risks have different resolutions, {first} and {second}. Read "
                "them all with the same resolution=."
            )
        labels = sorted({label for part in parts for label in part.labels})
        codes = {
            "behaviour": [_places(part.behaviours, behaviours) for part in parts],
            "family": [_places(part.labels, labels) for part in parts],
        }
        columns = {
            name: joined_rows(name, [vars(part)[name] for part in parts], codes)
            for name in COLUMNS
        }
        return cls(
            tuple(behaviours),
            tuple(labels),
            **columns,
            resolution=next(iter(resolutions), parts[0].resolution),
            record=merged([part.record for part in parts if part.record is not None]),
        )

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families; none if the evaluation has no families."""
        return () if self.labels == ("",) else self.labels

    def families_of(self, behaviour: str) -> tuple[str, ...]:
        """Names of the families of a behaviour's queries; "" for no family.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        """
        return self.behaviour(behaviour).families

    def family_sizes(self, behaviour: str) -> Float[np.ndarray, " family"]:
        """Number of queries in each family of `families_of`.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        """
        return self.behaviour(behaviour).family_sizes

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of queries of each behaviour."""
        total = np.zeros(len(self.behaviours))
        for part in (self.exact, self.tallied, self.estimated):
            total += np.bincount(part["behaviour"], part["count"], len(total))
        return dict(zip(self.behaviours, total.astype(int).tolist(), strict=True))

    @cached_property
    def effective_sizes(self) -> dict[str, float]:
        """Effective number of queries of each behaviour.

        Kish's ``(sum w)**2 / sum w**2``; the number of queries if weights are equal.
        """
        total = np.zeros(len(self.behaviours))
        for part in (self.exact, self.tallied, self.estimated):
            weight = part.get("weight", part["count"])
            total += np.bincount(part["behaviour"], weight, len(total))
        return dict(zip(self.behaviours, total.tolist(), strict=True))

    @cached_property
    def weighted(self) -> tuple[str, ...]:
        """Behaviours whose queries have unequal weights."""
        codes = [
            part["behaviour"][part["weight"] != part["count"]]
            for part in (self.tallied, self.estimated)
        ]
        weighted: list[int] = np.unique(np.concatenate(codes)).tolist()
        return tuple(self.behaviours[code] for code in weighted)

    @property
    def cells(self) -> "pandas.DataFrame":
        """The cells of scores: behaviour, family, score, count, squares."""
        return self._frame(self.exact)

    @property
    def counts(self) -> "pandas.DataFrame":
        """The counts: behaviour, family, successes, trials, count, weight."""
        return self._frame(self.tallied)

    @property
    def estimates(self) -> "pandas.DataFrame":
        """The estimates: behaviour, family, log_risk, log_risk_se, count, weight."""
        return self._frame(self.estimated)

    @property
    def riskiest(self) -> "pandas.DataFrame":
        """The riskiest queries of each behaviour; ties are in the order of query_id.

        Counts are ranked by the lower end of Wilson's interval of one standard error:
        10 of 10 comes before 1 of 1, and 0 of 1 after any success. Estimates are ranked
        like exact risks, whatever their standard errors.
        """
        frame = self._frame(self.shown)
        frame.insert(5, "log_risk", log_risk_from_score(self.shown["score"]))
        if not len(self.estimated["count"]):
            frame = frame.drop(columns=["log_risk_se"])
            if not len(self.exact["count"]):
                return frame.drop(columns=["score", "log_risk"])
        if not len(self.tallied["count"]):
            return frame.drop(columns=["successes", "trials"])
        for name in ("successes", "trials"):
            frame[name] = frame[name].astype("Int64").mask(frame[name] < 0)
        return frame

    @property
    def dropped(self) -> "pandas.DataFrame":
        """Rows of logs read, kept, and left out by reason; empty for a table."""
        import pandas as pd

        return pd.DataFrame() if self.record is None else self.record.frame()

    def behaviour(self, name: str) -> Behaviour:
        """One behaviour, with all that was measured of it.

        Parameters
        ----------
        name
            One of `behaviours`.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.

        Examples
        --------
        >>> evaluation = Evaluation.from_counts([0, 3, 0], [10, 10, 10])
        >>> counted = evaluation.behaviour("behaviour")
        >>> counted.kind, counted.size, counted.tallies["count"]
        ('counts', 3, array([2, 1]))
        """
        code = self._code(name)
        if name not in self._by_name:
            self._by_name[name] = Behaviour(
                name=name,
                kind=self._kinds[code],
                size=self.sizes[name],
                effective_size=self.effective_sizes[name],
                code=code,
                labels=self.labels,
                resolution=scores_of_resolution(self.resolution),
                exact=self.exact,
                tallied=self.tallied,
                estimated=self.estimated,
            )
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Behaviour]:
        """The behaviours that were asked for."""
        return {}

    def kind(self, behaviour: str) -> Kind:
        """Kind of outcome of a behaviour.

        Parameters
        ----------
        behaviour
            One of `behaviours`.

        Returns
        -------
        "exact" for risks known exactly, "counts" for counts of successes, "estimates"
        for risks with a standard error.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        """
        return self._kinds[self._code(behaviour)]

    @cached_property
    def _kinds(self) -> list[Kind]:
        """Kind of outcome of each behaviour."""
        kinds: list[Kind] = ["exact"] * len(self.behaviours)
        for code in np.unique(self.estimated["behaviour"]).tolist():
            kinds[code] = "estimates"
        for code in np.unique(self.tallied["behaviour"]).tolist():
            kinds[code] = "counts"
        return kinds

    def scores(self, behaviour: str) -> ScoreCells:
        """Scores of one behaviour, with families and ties merged.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        NotApplicable
            If it has counts or estimates, whose risks are not known exactly.
        """
        return self.behaviour(behaviour).scores

    def worst(self, behaviour: str) -> float:
        """Largest score of a behaviour; a risk of 1 has the score of the resolution.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        NotApplicable
            If it has counts or estimates.
        """
        cells = self.scores(behaviour)
        if cells.censored_above:
            return max([cells.highest, *cells.score[:1].tolist()])
        return float(cells.score[0]) if len(cells.score) else cells.lowest

    def select(self, behaviours: Sequence[str]) -> "Evaluation":
        """The evaluation with only some of the behaviours.

        Raises
        ------
        InvalidInput
            If there is no such behaviour, or none is named.
        """
        chosen = sorted({self._code(name) for name in behaviours})
        if not chosen:
            raise InvalidInput(
                f"no behaviour is named. There are: {listed(self.behaviours)}."
            )
        parts = [
            chosen_rows(part, np.isin(part["behaviour"], chosen))
            for part in self._parts().values()
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
            record=None if self.record is None else self.record.select(behaviours),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content; equal evaluations have equal digests."""
        state = hashlib.sha256(self._header().encode())
        for columns in self._digested_columns().values():
            for name, values in columns.items():
                state.update(name.encode())
                text = values.dtype == object
                state.update(
                    json.dumps(values.tolist()).encode()
                    if text
                    else values.astype(values.dtype.newbyteorder("<")).tobytes()
                )
        return state.hexdigest()

    def summary(self) -> "pandas.DataFrame":
        """Queries, families, range of scores, and risks of 0 and 1 of each behaviour.

        With unequal weights, also the effective number of queries.
        """
        import pandas as pd

        return pd.DataFrame([self._line(name) for name in self.behaviours])

    def to_dataset(self) -> "xarray.Dataset":
        """The evaluation as an xarray data set.

        Examples
        --------
        Nothing is lost on the way:

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
            attrs={"evaluation": self._header()}
            | ({} if self.record is None else {"dropped": self.record.to_json()}),
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
                "this data set is not an evaluation: it has no attribute `evaluation`. "
                "Give one made by Evaluation.to_dataset."
            )
        try:
            return cls._of_stored(dataset)
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            if isinstance(error, InvalidData):
                raise
            raise InvalidData(
                "the evaluation in this data set cannot be read "
                f"({type(error).__name__}: {str(error)[:200]}). Give one made by "
                "Evaluation.to_dataset."
            ) from error

    @classmethod
    def _of_stored(cls, dataset: "xarray.Dataset") -> "Evaluation":
        """The evaluation in a data set; anything unexpected raises an error."""
        header = json.loads(dataset.attrs["evaluation"])
        for names in (header["behaviours"], header["families"]):
            if not names or not all(isinstance(name, str) for name in names):
                raise ValueError("behaviours or families have no names")
        parts: dict[str, Columns] = {}
        for part, names in COLUMNS.items():
            parts[part] = {}
            for name, dtype in names.items():
                stored = dataset.get(f"{part}_{name}")
                values = np.array([]) if stored is None else stored.to_numpy()
                if values.ndim != 1 or values.dtype.kind not in "OUTbiuf":
                    raise ValueError(f"{part}_{name} is not a column")
                if dtype is object:
                    values = np.array([str(text) for text in values], object)
                elif not np.can_cast(values.dtype, dtype, "same_kind") and len(values):
                    raise ValueError(f"{part}_{name} is {values.dtype}")
                parts[part][name] = values.astype(dtype)
            sizes = {len(values) for values in parts[part].values()}
            if len(sizes) > 1:
                raise ValueError(f"columns of {part} differ in length")
            for name, names_of in (("behaviour", "behaviours"), ("family", "families")):
                codes = parts[part][name]
                if ((codes < 0) | (codes >= len(header[names_of]))).any():
                    raise ValueError(f"{part}_{name} has codes without names")
        low, high = map(float, header["resolution"])
        dropped = dataset.attrs.get("dropped")
        return cls(
            tuple(header["behaviours"]),
            tuple(header["families"]),
            **parts,
            resolution=checked_resolution((low, high)),
            record=None if dropped is None else Dropped.from_json(str(dropped)),
        )

    def __repr__(self) -> str:
        queries = sum(self.sizes.values())
        families = f" in {len(self.families)} families" if self.families else ""
        named = ", ".join(map(repr, self.behaviours[:5]))
        more = ", ..." if len(self.behaviours) > 5 else ""
        return (
            f"Evaluation of {queries:,} queries{families}, kept as "
            f"{self._kept():,} cells; "
            f"{len(self.behaviours)} behaviour{'s'[: len(self.behaviours) != 1]}: "
            f"{named}{more}. See summary()."
        )

    def _kept(self) -> int:
        return sum(len(p["count"]) for p in (self.exact, self.tallied, self.estimated))

    def _code(self, behaviour: str) -> int:
        if behaviour not in self._codes:
            raise InvalidInput(
                f"this evaluation has no behaviour {behaviour!r}. There are: "
                f"{listed(self.behaviours)}."
            )
        return self._codes[behaviour]

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.behaviours)}

    def _parts(self) -> dict[str, Columns]:
        return {
            "exact": self.exact,
            "tallied": self.tallied,
            "estimated": self.estimated,
            "shown": self.shown,
        }

    def _digested_columns(self) -> dict[str, Columns]:
        """Columns that enter the digest.

        Weights that are all equal are left out, and so are the columns of estimates if
        there are none: a table with and without them has the same digest, and so the
        same draws.
        """
        parts = {part: dict(columns) for part, columns in self._parts().items()}
        for columns in (parts["tallied"], parts["estimated"]):
            if (columns["weight"] == columns["count"]).all():
                del columns["weight"]
        if not len(self.estimated["count"]):
            del parts["estimated"], parts["shown"]["log_risk_se"]
        return parts

    def _header(self) -> str:
        return json.dumps(
            {
                "behaviours": self.behaviours,
                "families": self.labels,
                "resolution": self.resolution,
                # Unused, but part of the digests that seed fits.
                "reasons": [],
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
        if self.weighted:
            line["effective_queries"] = self.effective_sizes[behaviour]
        kinds = {"counts": self.tallied, "estimates": self.estimated}
        part = kinds.get(line["kind"], self.exact)
        part = chosen_rows(part, part["behaviour"] == code)
        if self.families:
            line["families"] = len(np.unique(part["family"]))
        if line["kind"] == "counts":
            first = int(np.argmax(self.shown["behaviour"] == code))
            successes, trials = (self.shown[n][first] for n in ("successes", "trials"))
            return line | {"riskiest": float(successes / trials)}
        if line["kind"] == "estimates":
            ends = part["log_risk"][[-1, 0]]
            lowest, highest = map(float, score_from_log_risk(ends))
            return line | {
                "lowest_score": lowest,
                "highest_score": highest,
                "riskiest": math.exp(ends[1]),
                "risks_of_1": int(part["count"][part["log_risk"] == 0].sum()),
            }
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


def checked_resolution(resolution: tuple[float, float]) -> tuple[float, float]:
    """The resolution, if both of its numbers are in (0, 1)."""
    low, high = map(float, resolution)
    if not (0 < low < 1 and 0 < high < 1):
        raise InvalidInput(
            f"a resolution is two numbers in (0, 1), got ({low:g}, {high:g}). Give the "
            "smallest risk and the smallest 1 - risk that can be told from 0, such as "
            "resolution=(2**-149, 2**-24)."
        )
    return low, high


def scores_of_resolution(resolution: tuple[float, float]) -> tuple[float, float]:
    """Upper bound on the score of a risk of 0, lower bound on that of a risk of 1."""
    low, high = resolution
    return -math.log(-math.log(low)), -math.log(-math.log1p(-high))


def _places(names: Sequence[str], among: Sequence[str]) -> Int[np.ndarray, " name"]:
    """Position of each name among others."""
    return np.array([among.index(name) for name in names])
