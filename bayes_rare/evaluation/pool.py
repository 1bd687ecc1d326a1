"""A large evaluation, query by query, and the splits that a backtest draws from it.

==============  =================================================================
pool            all queries of a large evaluation, whose risks are known
evaluation set  the queries of a split that a method sees
deployment set  the queries of a split that its forecast is checked against; the two
                sets have no query in common
unit            what is fitted together: one behaviour, or several
==============  =================================================================
"""

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.arguments.checking import checked_call, refuse_unknown
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation.columns import MOST_TRIALS
from bayes_rare.evaluation.evaluation import RESOLUTION, Evaluation
from bayes_rare.evaluation.score_cells import Columns
from bayes_rare.scores import risk_from_score

__all__ = ["PARTS", "QueryPool", "Split", "Splitting"]

# An axis of any length, since there are sets of several sizes.
type Rows = Int[np.ndarray, "..."]

PARTS = ("evaluation", "deployment")
"""The two values of a column that splits a table."""


@dataclass(frozen=True)
class Splitting:
    """How evaluation and deployment sets are drawn.

    Parameters
    ----------
    evaluation_sizes, deployment_sizes
        Number of queries of each behaviour in each set; sets are nested.
    held_out_families
        Number of families, drawn anew for each repeat, that evaluation sets do not
        contain; deployment sets are drawn from all families.
    by_part
        Whether the table says which queries are in which set.
    seed
        Random seed, from 0.
    """

    evaluation_sizes: tuple[int, ...]
    deployment_sizes: tuple[int, ...]
    held_out_families: int = 0
    by_part: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Queries of one unit and repeat: rows of the pool, by size of the set.

    Parameters
    ----------
    evaluation, deployment
        Rows of the pool, by size and by behaviour.
    trials
        Random seed for counts in the evaluation sets.
    """

    evaluation: Mapping[int, Mapping[str, Rows]]
    deployment: Mapping[int, Mapping[str, Rows]]
    trials: tuple[int, ...]


@checked_call
@dataclass(frozen=True, eq=False)
class QueryPool:
    """All queries of a large evaluation, each with its risk.

    Made by `bayes_rare.read_pool`. The order of the rows does not depend on the order
    of the table.

    Parameters
    ----------
    behaviours, labels
        Names of behaviours and families, sorted; one empty label if there are no
        families.
    rows
        Columns ``behaviour``, ``family`` (codes into the names), ``query`` (code of
        the query_id, the same under each behaviour), ``score`` (for counts, that of the
        observed share), ``successes``, ``trials`` (-1 if the risk is exact), ``part``
        (code into `PARTS`, -1 for neither).
    resolution
        Smallest risk, and smallest 1 - risk, that can be told from 0.
    """

    behaviours: tuple[str, ...]
    labels: tuple[str, ...]
    rows: Columns = field(repr=False)
    resolution: tuple[float, float] = RESOLUTION

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families; none if the table has no families."""
        return () if self.labels == ("",) else self.labels

    @cached_property
    def members(self) -> dict[str, Rows]:
        """Rows of each behaviour."""
        code = self.rows["behaviour"]
        return {
            name: np.flatnonzero(code == number)
            for number, name in enumerate(self.behaviours)
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, whatever the order of the table."""
        header = json.dumps([self.behaviours, self.labels, self.resolution])
        state = hashlib.sha256(header.encode())
        for name, values in self.rows.items():
            state.update(name.encode())
            state.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
        return state.hexdigest()

    @cached_property
    def _descending(self) -> dict[str, Float[np.ndarray, " row"]]:
        """Scores of each behaviour from the largest down."""
        score = self.rows["score"]
        return {name: -np.sort(-score[rows]) for name, rows in self.members.items()}

    def exceeded_by(self, behaviour: str, fraction: float) -> float:
        """Score that a fraction of a behaviour's queries exceeds, approximately.

        Parameters
        ----------
        behaviour
            One of `behaviours`.
        fraction
            In (0, 1]. At least one query exceeds the answer unless all are equal.

        Raises
        ------
        InvalidInput
            If there is no such behaviour, or the fraction is out of range.
        """
        refuse_unknown("behaviour", behaviour, self.behaviours)
        if not 0 < fraction <= 1:
            raise InvalidInput(f"fraction must be in (0, 1], got {fraction}.")
        scores = self._descending[behaviour]
        rank = math.floor(fraction * scores.size)
        return float(scores[min(max(rank, 1), scores.size - 1)])

    @property
    def counted(self) -> tuple[str, ...]:
        """Behaviours with counts of successes."""
        trials = self.rows["trials"]
        return tuple(n for n, rows in self.members.items() if trials[rows[0]] >= 0)

    def refuse_too_few_trials(self, taken: int) -> None:
        """Refuse to draw more trials of a query than it has.

        Parameters
        ----------
        taken
            Trials to draw from each query.

        Raises
        ------
        InvalidInput
            If a query has fewer.
        """
        trials = self.rows["trials"]
        least = int(trials[trials >= 0].min(initial=MOST_TRIALS))
        if least < taken:
            raise InvalidInput(
                f"cannot draw {taken} trials from each query: one has only {least}. "
                f"Give --trials-per-query {least} or fewer."
            )

    def refuse_too_small(self, splitting: Splitting) -> None:
        """Refuse sets that are larger than the pool allows.

        Raises
        ------
        InvalidInput
            If a behaviour has too few queries for the largest sets, or too few families
            to hold out.
        InvalidData
            If the table marks too few queries for one of the sets.
        """
        seen, served = splitting.evaluation_sizes[-1], splitting.deployment_sizes[-1]
        held_out = splitting.held_out_families
        for name, rows in self.members.items():
            part, family = self.rows["part"][rows], self.rows["family"][rows]
            if splitting.by_part:
                for code, size in enumerate((seen, served)):
                    there = int((part == code).sum())
                    if there < size:
                        raise InvalidData(
                            f"behaviour {name!r} has only {there} queries marked as "
                            f"{PARTS[code]!r}, and {size} are asked for. Mark more, or "
                            f"ask for at most {there}."
                        )
                continue
            if seen + served > rows.size:
                fewer = (
                    f"a deployment of at most {rows.size - seen}, or a smaller "
                    "evaluation"
                    if rows.size > seen
                    else "smaller sets, or use a larger table"
                )
                raise InvalidInput(
                    f"behaviour {name!r} has {rows.size} queries, too few for an "
                    f"evaluation of {seen} and a disjoint deployment of {served}. Ask "
                    f"for {fewer}."
                )
            if held_out:
                counts = np.sort(np.unique(family, return_counts=True)[1])[::-1]
                if not self.families or held_out >= counts.size:
                    raise InvalidInput(
                        f"behaviour {name!r} has {len(counts) if self.families else 0} "
                        f"families, and {held_out} are to be held out. Hold out fewer "
                        "than there are (--hold-out-families); the column of families "
                        "is set with --columns family=..."
                    )
                left = int(rows.size - counts[:held_out].sum())
                if left < seen:
                    raise InvalidInput(
                        f"with {held_out} families held out, behaviour {name!r} may "
                        f"have only {left} queries left for an evaluation of {seen}. "
                        "Hold out fewer families, or ask for a smaller evaluation."
                    )

    def split(
        self, behaviours: Sequence[str], repeat: int, splitting: Splitting
    ) -> Split:
        """Disjoint evaluation and deployment sets of one unit.

        Queries are put in random order; evaluation sets are taken from the front and
        deployment sets from the back. Behaviours of a unit share the order, so that, if
        they have the same queries, a query is in the same set under each of them.

        Parameters
        ----------
        behaviours
            Behaviours of the unit; the random order depends on their names.
        repeat
            Number of the split, from 0.
        splitting
            Sizes, and what is held out.

        Raises
        ------
        InvalidInput
            If there is no such behaviour, none is named, or ``repeat`` is negative.
        """
        if not behaviours or repeat < 0:
            raise InvalidInput(
                "a split is of at least one behaviour, and its draws are counted from "
                f"0, got repeat={repeat} of {len(behaviours)} behaviours. Give names "
                "of behaviours, and repeat=0."
            )
        for name in behaviours:
            refuse_unknown("behaviour", name, self.members)
        unit = zlib.crc32("\n".join(behaviours).encode())
        rng = np.random.default_rng([splitting.seed, unit, repeat])
        chosen = np.concatenate([self.members[name] for name in behaviours])
        queries = np.unique(self.rows["query"][chosen])
        place = rng.permutation(queries.size)
        families = np.unique(self.rows["family"][chosen])
        held_out = rng.choice(families, splitting.held_out_families, replace=False)
        fronts: dict[str, Rows] = {}
        backs: dict[str, Rows] = {}
        for behaviour in behaviours:
            rows = self.members[behaviour]
            at = place[np.searchsorted(queries, self.rows["query"][rows])]
            ordered = rows[np.argsort(at, kind="stable")]
            if splitting.by_part:
                part = self.rows["part"][ordered]
                fronts[behaviour], backs[behaviour] = (
                    ordered[part == 0],
                    ordered[part == 1],
                )
                continue
            # The deployment is drawn first: after an evaluation of some families, too
            # many queries of the others would be left for it.
            seen, served = (
                splitting.evaluation_sizes[-1],
                splitting.deployment_sizes[-1],
            )
            rest, backs[behaviour] = ordered[:-served], ordered[-served:]
            left = rest[~np.isin(self.rows["family"][rest], held_out)]
            if left.size < seen:
                raise InvalidInput(
                    f"in repeat {repeat}, behaviour {behaviour!r} has only {left.size} "
                    f"queries left for an evaluation of {seen}, after a deployment of "
                    f"{served} and without the families held out. Ask for smaller "
                    "sets, or hold out fewer families."
                )
            fronts[behaviour] = left[:seen]
        return Split(
            evaluation={
                size: {name: rows[:size] for name, rows in fronts.items()}
                for size in splitting.evaluation_sizes
            },
            deployment={
                size: {name: rows[-size:] for name, rows in backs.items()}
                for size in splitting.deployment_sizes
            },
            trials=(splitting.seed, unit, repeat, 1),
        )

    def evaluation(
        self,
        split: Split,
        size: int,
        *,
        families: bool = True,
        trials_per_query: int | None = None,
    ) -> Evaluation:
        """The evaluation set of a split, as methods see it.

        Parameters
        ----------
        split
            The split.
        size
            Number of queries of the evaluation set.
        families
            Whether methods see the families.
        trials_per_query
            Number of responses drawn for each query, of which only the number of
            successes is seen: binomial given an exact risk, hypergeometric given
            counts. By default exact risks and all trials are seen.

        Raises
        ------
        InvalidInput
            If the split has no set of that size, a query has fewer trials than
            ``trials_per_query``, or exact risks and counts are in one evaluation.
        """
        refuse_unknown("evaluation set of size", size, split.evaluation)
        sets = split.evaluation[size]
        rows = np.concatenate(list(sets.values()))
        names = [name for name, own in sets.items() for _ in range(own.size)]
        labels: list[str] | None = (
            [self.labels[code] for code in self.rows["family"][rows]]
            if families and self.families
            else None
        )
        score = self.rows["score"][rows]
        trials, successes = self.rows["trials"][rows], self.rows["successes"][rows]
        counted = bool((trials >= 0).any())
        if trials_per_query is not None and not 1 <= trials_per_query <= MOST_TRIALS:
            raise InvalidInput(
                f"trials_per_query is a whole number from 1 to {MOST_TRIALS:,}, got "
                f"{trials_per_query}. Give trials_per_query=100."
            )
        if trials_per_query is None and counted and (trials < 0).any():
            raise InvalidInput(
                "behaviours with exact risks and behaviours with counts cannot be "
                "fitted together. Leave --pool out, give --trials-per-query, or choose "
                "behaviours of one kind (--behaviours)."
            )
        if trials_per_query is not None:
            successes = np.concatenate(
                [
                    self._successes(own, trials_per_query, (*split.trials, index))
                    for index, own in enumerate(sets.values())
                ]
            )
            trials, counted = np.full(rows.size, trials_per_query), True
        if counted:
            return Evaluation.from_counts(
                successes, trials, behaviour=names, family=labels
            )
        return Evaluation.from_scores(
            score, behaviour=names, family=labels, resolution=self.resolution
        )

    def _successes(self, rows: Rows, taken: int, seed: tuple[int, ...]) -> Rows:
        """Successes among trials drawn from each query, in the order of the rows."""
        rng = np.random.default_rng(seed)
        trials, successes = self.rows["trials"][rows], self.rows["successes"][rows]
        if trials[0] < 0:
            return rng.binomial(taken, risk_from_score(self.rows["score"][rows]))
        self.refuse_too_few_trials(taken)
        return rng.hypergeometric(successes, trials - successes, taken)
