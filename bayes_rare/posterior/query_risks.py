"""The risk of each query, given its own outcomes and those of all other queries.

A query that failed 3 of 3 times need not always fail, and one that failed 0 of 100
times may still do. The risk of a query lies between its observed share and the risks of
other queries, nearer to the former the more often it was sampled: its posterior is
drawn here, query by query, after the fit.
"""

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from bayes_rare.arguments.checking import checked_call
from bayes_rare.catalog import Model
from bayes_rare.diagnostics.convergence import Verdict
from bayes_rare.errors import InvalidInput, NoSuchModel, NotApplicable, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.checks import checked_counts, checked_estimates
from bayes_rare.likelihoods import quadrature
from bayes_rare.likelihoods.conditioning import (
    Estimates,
    Tallies,
    conditional_family_scores,
    conditional_scores,
)
from bayes_rare.populations import FamilyMixture, Population, StepsAndTail
from bayes_rare.scores import (
    log_risk_from_score,
    log_safe_from_score,
    risk_from_score,
    score_from_log_risk,
)

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["PosteriorLike", "QueryRisks", "query_risks"]

type Arrays = Mapping[str, np.ndarray]
type Counts = Int[np.ndarray, " query"]
type Places = Int[np.ndarray, " query"]
type Numbers = Float[np.ndarray, " query"]
type Values = ArrayLike | int | float | None

_NONE = -1  # successes, trials or family of a query that has none


@runtime_checkable
class ModelDraws(Protocol):
    """Posterior draws of one model."""

    @property
    def evaluation(self) -> Evaluation:
        """What was measured."""
        ...

    @property
    def model(self) -> Model:
        """The model file."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Priors and thresholds that the model was built with."""
        ...

    def of_behaviour(self, behaviour: str) -> tuple[Mapping[str, Any], Arrays]:
        """Draws of one behaviour, whose last axis is the draw, and data."""
        ...

    def population(self, behaviour: str) -> Population:
        """Distribution of a new query's score, draw by draw."""
        ...


class PosteriorLike(ABC):
    """Posterior draws, of one model or of several that are averaged."""

    evaluation: Evaluation
    """What was measured."""
    verdict: Verdict
    """Whether the draws represent the posterior."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables call it."""

    @property
    @abstractmethod
    def behaviours(self) -> tuple[str, ...]:
        """Behaviours that were fitted."""

    @abstractmethod
    def parts(self, behaviour: str) -> Sequence[ModelDraws]:
        """Draws of each model that has weight for a behaviour."""

    @abstractmethod
    def by_chain(
        self, behaviour: str, values: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Values by draw, one part after the other, as values by (chain, draw)."""


@checked_call
@dataclass(frozen=True, eq=False)
class QueryRisks:
    """Posterior draws of the risks of single queries.

    Draws of two queries have the parameters of a posterior draw in common and are
    independent given those.

    Parameters
    ----------
    model
        Name of the model that they were drawn from.
    behaviour, query_id, query_text
        Behaviour, identity and text of each query; empty where the text is unknown.
    successes, trials
        Outcomes of each query; -1 where it has none.
    log_risk, log_risk_se
        Known or estimated log risk, and standard error of an estimate; NaN where a
        query has none.
    score
        Draws of ``-log(-log risk)``; constant where the risk is known exactly.
    converged
        Whether the posterior behind it converged.
    notes
        Notes for the reader.
    """

    model: str
    behaviour: tuple[str, ...]
    query_id: tuple[str, ...]
    query_text: tuple[str, ...] = field(repr=False)
    successes: Counts = field(repr=False)
    trials: Counts = field(repr=False)
    log_risk: Numbers = field(repr=False)
    log_risk_se: Numbers = field(repr=False)
    score: Float[np.ndarray, "chain draw query"] = field(repr=False)
    converged: bool
    notes: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.behaviour)

    @property
    def risk(self) -> Float[np.ndarray, "chain draw query"]:
        """Draws of the risks."""
        return risk_from_score(self.score)

    @property
    def dataset(self) -> "xarray.Dataset":
        """Draws of score and risk with ArviZ's dims: chain, draw, query."""
        import xarray as xr

        labels: dict[str, Any] = {
            name: ("query", np.array(getattr(self, name), dtype=object))
            for name in ("behaviour", "query_id", "query_text")
        }
        for dim, length in zip(
            ("chain", "draw", "query"), self.score.shape, strict=True
        ):
            labels[dim] = np.arange(length)
        dims = ("chain", "draw", "query")
        arrays = {"score": (dims, self.score), "risk": (dims, self.risk)}
        return xr.Dataset(arrays, labels, attrs={"model": self.model})

    def summary(
        self, samples: int | float = 1, interval: float = 0.9
    ) -> "pandas.DataFrame":
        """A row for each query, the one with the largest mean risk first.

        Columns ``behaviour, query_id, query_text``; ``successes, trials`` or
        ``log_risk, log_risk_se`` (both, where behaviours differ); ``observed``, the
        share of successes or the risk itself; and ``mean, median, lower, upper`` of the
        risk, whose interval has equal tails. For several samples also
        ``fails_at_least_once``, the chance ``E[1 - (1 - p)**samples]`` that one of so
        many responses shows the behaviour, and ``fails_always``, ``E[p**samples]``,
        that all do: where the behaviour is a success, pass@k and pass^k. The index is
        the place of the query as it was asked.

        Parameters
        ----------
        samples
            Responses to each query, a whole number from 1.
        interval
            Probability of the interval, in (0, 1).

        Raises
        ------
        InvalidInput
            If one of the two is out of its range.
        """
        import pandas as pd

        if not 0 < interval < 1:
            raise InvalidInput(f"interval is a probability in (0, 1), got {interval}.")
        if not (1 <= samples < math.inf) or samples % 1:
            raise InvalidInput(
                f"samples is a whole number from 1, got {samples}. For ten responses "
                "to each query give samples=10."
            )
        counted = self.trials != _NONE
        with np.errstate(under="ignore"):
            observed = np.where(
                counted, self.successes / self.trials, np.exp(self.log_risk)
            )
        score = self.score.reshape(-1, len(self))
        tails = [0.5 - interval / 2, 0.5, 0.5 + interval / 2]
        # Scores are in the order of risks, and without interpolation they are draws.
        lower, median, upper = risk_from_score(
            np.quantile(score, tails, axis=0, method="inverted_cdf")
        )
        columns: dict[str, Any] = {
            name: np.array(getattr(self, name), dtype=object)
            for name in ("behaviour", "query_id", "query_text")
        }
        if counted.any():
            for name in ("successes", "trials"):
                values = pd.Series(getattr(self, name), dtype="Int64")
                columns[name] = values if counted.all() else values.where(counted)
        if not counted.all():
            columns["log_risk"] = self.log_risk
            if np.isfinite(self.log_risk_se).any():
                columns["log_risk_se"] = self.log_risk_se
        columns |= {
            "observed": observed,
            "mean": risk_from_score(score).mean(axis=0),
            "median": median,
            "lower": lower,
            "upper": upper,
        }
        if samples > 1:
            safe = samples * log_safe_from_score(score)
            certain = samples * log_risk_from_score(score)
            columns["fails_at_least_once"] = -np.expm1(safe).mean(axis=0) + 0.0
            columns["fails_always"] = np.exp(certain).mean(axis=0)
        frame = pd.DataFrame(columns)
        return frame.sort_values("mean", ascending=False, kind="stable")

    def __repr__(self) -> str:
        chains, draws, queries = self.score.shape
        return (
            f"QueryRisks of {queries} quer{'y' if queries == 1 else 'ies'} by "
            f"{self.model}: {chains} chains of {draws} draws. See summary()."
        )


@dataclass(frozen=True, eq=False)
class _Asked:
    """Queries of one behaviour, what was seen of them, and the places of families."""

    behaviour: str
    query_id: tuple[str, ...]
    query_text: tuple[str, ...]
    family: Places
    successes: Counts
    trials: Counts
    log_risk: Numbers
    log_risk_se: Numbers

    def __len__(self) -> int:
        return len(self.query_id)

    def seen(self, name: str) -> Numbers:
        """One of its columns of outcomes, as floats."""
        return getattr(self, name).astype(np.float64)


@checked_call
def query_risks(
    posterior: PosteriorLike,
    query_ids: str | Sequence[str] | None = None,
    *,
    behaviour: str | Sequence[str] | None = None,
    top: int | float = 20,
    successes: Values = None,
    trials: Values = None,
    log_risk: Values = None,
    log_risk_se: Values = None,
    family: str | Sequence[str] | None = None,
    seed: int = 0,
) -> QueryRisks:
    """Posterior draws of the risks of single queries, given the outcomes of each.

    For each posterior draw, the score of a query is drawn from ``P(its outcome |
    score)`` times the density of the population, up to a factor: the posterior that
    sampling it beside the parameters would give. Risks that are known exactly are what
    they are, whatever the draw.

    Parameters
    ----------
    posterior
        A fit of a model of counts, estimates or exact risks, or an average of fits.
    query_ids
        Queries by their identity, among those that the evaluation keeps: the riskiest
        of each behaviour as observed, at most a hundred. By default the riskiest of
        these. If outcomes are given, labels for them.
    behaviour
        Which behaviours, one or several; by default all.
    top
        How many of the riskiest of each behaviour, at most, where none are named.
    successes, trials
        Outcomes of queries of one behaviour that the model was fitted to and that the
        evaluation did not keep; trials may be one number for all. The fit is not
        updated: for the risk of a query that it did not include, fit again with it,
        which matters where few other queries were like it.
    log_risk, log_risk_se
        Estimates with standard errors, in place of successes and trials.
    family
        Families of the queries whose outcomes are given, one for all or one each;
        needed where the model knows families and there are several.
    seed
        Seed of the draws, a whole number from 0.

    Raises
    ------
    InvalidInput
        If a query, behaviour, number or seed is none.
    InvalidData
        If an outcome is out of its range.
    NotApplicable
        If the model does not say how the latent risk of a query is drawn.

    Notes
    -----
    The intervals hold for queries that are chosen without regard to their outcomes.
    They hold for the riskiest as observed too, since the model has seen all queries and
    shrinks their risks accordingly.
    """
    if seed < 0:
        raise InvalidInput(f"a seed is a whole number from 0, got {seed}. Give seed=0.")
    counts, estimates = (successes, trials), (log_risk, log_risk_se)
    known = posterior.behaviours
    names = [behaviour] if isinstance(behaviour, str) else list(behaviour or known)
    for name in names:
        posterior.evaluation.kind(name)  # refuses one that is not there
    ids = [query_ids] if isinstance(query_ids, str) else query_ids
    given = any(value is not None for value in (*counts, *estimates))
    if given:
        asked = [_given(posterior.evaluation, names, ids, counts, estimates, family)]
    elif ids is not None:
        asked = _named(posterior, names, ids)
    else:
        asked = [_riskiest(posterior, name, top) for name in names]
    scores = [_drawn(posterior, some, seed) for some in asked]
    return QueryRisks(
        model=posterior.name,
        behaviour=tuple(some.behaviour for some in asked for _ in some.query_id),
        query_id=tuple(each for some in asked for each in some.query_id),
        query_text=tuple(each for some in asked for each in some.query_text),
        **{
            name: np.concatenate([getattr(some, name) for some in asked])
            for name in ("successes", "trials", "log_risk", "log_risk_se")
        },
        score=np.concatenate(scores, axis=2),
        converged=posterior.verdict.converged,
        notes=(
            *posterior.verdict.notes,
            *_notes(asked, given=given, chosen=not given and ids is None),
        ),
    )


def _given(
    evaluation: Evaluation,
    names: Sequence[str],
    ids: Sequence[str] | None,
    counts: tuple[Values, Values],
    estimates: tuple[Values, Values],
    family: str | Sequence[str] | None,
) -> _Asked:
    """Queries of which the user says what was seen."""
    if len(names) != 1:
        raise InvalidInput(
            f"outcomes belong to one behaviour, and there are {len(names)}: "
            f"{listed(names)}. Say which: behaviour={names[0]!r}."
        )
    pairs = [
        pair for pair in (counts, estimates) if any(value is not None for value in pair)
    ]
    if len(pairs) != 1 or any(value is None for value in pairs[0]):
        raise InvalidInput(
            "outcomes come in pairs of one kind. Give successes= and trials=, or "
            "log_risk= and log_risk_se=."
        )
    first, second = (np.atleast_1d(np.asarray(value)) for value in pairs[0])
    if second.size == 1:
        second = np.broadcast_to(second, first.shape)
    if pairs[0] is counts:
        columns, checked = ("successes", "trials"), checked_counts(first, second)
    else:
        columns, checked = ("log_risk", "log_risk_se"), checked_estimates(first, second)
    labels = tuple(ids) if ids is not None else ("",) * len(first)
    if len(labels) != len(first):
        raise InvalidInput(
            f"{len(labels)} values of query_ids for {len(first)} outcomes. Give one "
            "for each outcome, or none."
        )
    seen = dict(zip(columns, checked, strict=True))
    seen["family"] = _places_of(evaluation, names[0], family, len(first))
    return _asked(names[0], labels, ("",) * len(first), **seen)


def _places_of(
    evaluation: Evaluation,
    behaviour: str,
    family: str | Sequence[str] | None,
    queries: int,
) -> Places:
    """Places of named families among those of a behaviour; that of the only one."""
    known = _place_of(evaluation, behaviour)
    if family is None:
        return np.full(queries, 0 if len(known) == 1 else _NONE)
    labels = [family] * queries if isinstance(family, str) else list(family)
    if len(labels) != queries:
        raise InvalidInput(
            f"{len(labels)} values of family for {queries} outcomes. Give one for all, "
            "or one each."
        )
    for label in labels:
        if label not in known:
            raise InvalidInput(
                f"behaviour {behaviour!r} has no family {label!r}. It has: "
                f"{listed([*map(repr, known)])}."
            )
    return np.array([known[label] for label in labels])


def _place_of(evaluation: Evaluation, behaviour: str) -> dict[str, int]:
    """Places of a behaviour's families, by their names."""
    return {name: at for at, name in enumerate(evaluation.families_of(behaviour))}


def _asked(
    behaviour: str,
    query_id: tuple[str, ...],
    query_text: tuple[str, ...],
    **seen: np.ndarray,
) -> _Asked:
    missing: dict[str, Any] = {
        "family": np.full(len(query_id), _NONE),
        "successes": np.full(len(query_id), _NONE),
        "trials": np.full(len(query_id), _NONE),
        "log_risk": np.full(len(query_id), math.nan),
        "log_risk_se": np.full(len(query_id), math.nan),
    }
    return _Asked(behaviour, query_id, query_text, **missing | seen)


def _kept(posterior: PosteriorLike, behaviour: str) -> _Asked:
    """The queries of a behaviour that its evaluation keeps whole, riskiest first."""
    evaluation = posterior.evaluation
    code = evaluation.behaviours.index(behaviour)
    rows = {
        name: values[evaluation.shown["behaviour"] == code]
        for name, values in evaluation.shown.items()
    }
    known, labels = _place_of(evaluation, behaviour), evaluation.labels
    return _asked(
        behaviour,
        tuple(map(str, rows["query_id"])),
        tuple(map(str, rows["query_text"])),
        family=np.array([known[labels[code]] for code in rows["family"]], dtype=int),
        successes=rows["successes"],
        trials=rows["trials"],
        log_risk=log_risk_from_score(rows["score"]),
        log_risk_se=rows["log_risk_se"],
    )


def _some(asked: _Asked, rows: Sequence[int]) -> _Asked:
    chosen = list(rows)
    return _asked(
        asked.behaviour,
        tuple(asked.query_id[row] for row in chosen),
        tuple(asked.query_text[row] for row in chosen),
        family=asked.family[chosen],
        successes=asked.successes[chosen],
        trials=asked.trials[chosen],
        log_risk=asked.log_risk[chosen],
        log_risk_se=asked.log_risk_se[chosen],
    )


def _riskiest(posterior: PosteriorLike, behaviour: str, top: int | float) -> _Asked:
    if not 1 <= top < math.inf or top % 1:
        raise InvalidInput(
            f"top is a whole number of queries from 1, got {top}. For the ten riskiest "
            "give top=10."
        )
    kept = _kept(posterior, behaviour)
    return _some(kept, range(min(int(top), len(kept))))


def _named(
    posterior: PosteriorLike, names: Sequence[str], ids: Sequence[str]
) -> list[_Asked]:
    """Queries by identity, in the order asked, of each behaviour that keeps them."""
    if not ids:
        raise InvalidInput(
            "query_ids names no query. Name at least one, or leave it out for the "
            "riskiest."
        )
    found: list[_Asked] = []
    missing = set(ids)
    for name in names:
        kept = _kept(posterior, name)
        rows = [
            row
            for wanted in ids
            for row, query_id in enumerate(kept.query_id)
            if query_id == wanted
        ]
        missing -= {kept.query_id[row] for row in rows}
        if rows:
            found.append(_some(kept, rows))
    if missing:
        first = next(wanted for wanted in ids if wanted in missing)
        counted = posterior.evaluation.kind(names[0]) == "counts"
        way_out = (
            "successes=3, trials=100" if counted else "log_risk=-9.2, log_risk_se=0.4"
        )
        raise InvalidInput(
            f"query {first!r} is not among those that the evaluation keeps: the "
            f"riskiest of {listed(names)} as observed, at most a hundred each (see "
            "posterior.evaluation.riskiest). Give what was seen of it instead, as in "
            f"query_ids=[{first!r}], behaviour={names[0]!r}, {way_out}."
        )
    return found


def _drawn(
    posterior: PosteriorLike, asked: _Asked, seed: int
) -> Float[np.ndarray, "chain draw query"]:
    """Draws of the scores of queries of one behaviour; of an average, one chain."""
    parts = posterior.parts(asked.behaviour)
    scores = [_scores(part, asked, seed + place) for place, part in enumerate(parts)]
    return posterior.by_chain(asked.behaviour, np.concatenate(scores))


def _scores(
    posterior: ModelDraws, asked: _Asked, seed: int
) -> Float[np.ndarray, "sample query"]:
    """Draws of the scores of queries of one behaviour, those of all chains in a row."""
    draws, data = posterior.of_behaviour(asked.behaviour)
    size = next(iter(draws.values())).shape[-1]
    counted = asked.trials[0] != _NONE
    if not counted and np.isnan(asked.log_risk_se[0]):
        exact = score_from_log_risk(asked.log_risk)
        return np.broadcast_to(exact, (size, len(asked)))
    name = zlib.crc32(asked.behaviour.encode())
    rng = np.random.default_rng([seed, name])
    model = posterior.model
    if counted and model.query_scores is not None:
        drawn = model.query_scores(
            rng, draws, data, asked.seen("successes"), asked.seen("trials")
        )
        return _checked(model.path.name, np.asarray(drawn), len(asked), size).T
    population = posterior.population(asked.behaviour)
    by_family = isinstance(population, FamilyMixture)
    if not by_family and (
        not isinstance(population, StepsAndTail)
        or len(population.weight) != quadrature.STEPS + 1
    ):
        raise NotApplicable(
            f"{model.path.name} does not say how the latent risk of a query is drawn: "
            f"its population is {type(population).__name__}, and not a StepsAndTail of "
            f"{quadrature.STEPS + 1} steps. Define query_scores(rng, draws, data, "
            "successes, trials) in the file, which returns scores by (query, draw); or "
            "fit binomial_tail."
        )
    if by_family and (asked.family == _NONE).any():
        raise NotApplicable(
            f"{model.path.name} is a model of families, and the risk of a query "
            f"depends on its family: give family=, one of {asked.behaviour!r}'s."
        )
    # A row of numbers a query: the first queries stay the same if more are asked.
    uniform = rng.random((len(asked), size)).T
    columns = ("successes", "trials") if counted else ("log_risk", "log_risk_se")
    family = asked.family.astype(np.float64) * by_family
    (first, second, own), of = _distinct(*map(asked.seen, columns), family)
    if counted and posterior.settings.get("by_query"):
        raise NotApplicable(
            f"{model.path.name} was fitted with by_query=true, where a judge may "
            "misread all responses to a query alike: the risks of single queries are "
            "not available then. Fit it with by_query=false."
        )
    judge: list[Any] = []
    if counted and model.recorded is not None:
        judge = [np.broadcast_to(rate, (size,)) for rate in model.recorded(draws)]
    outcomes = Tallies(first, second, *judge) if counted else Estimates(first, second)
    if isinstance(population, FamilyMixture):
        places = own.astype(np.int64)
        return conditional_family_scores(population, places, outcomes, uniform, of)
    return conditional_scores(population, outcomes, uniform, of)


def _distinct(
    *columns: Numbers,
) -> tuple[Float[np.ndarray, "column outcome"], Counts]:
    """Distinct outcomes, and which of them each query has."""
    found, of = np.unique(np.stack(columns), axis=1, return_inverse=True)
    return found, np.ravel(of)


def _checked(
    file: str, scores: np.ndarray, queries: int, draws: int
) -> Float[np.ndarray, "query sample"]:
    """What a model file drew, if it is a score for each query and draw."""
    if scores.shape != (queries, draws) or np.isnan(scores).any():
        raise NoSuchModel(
            f"query_scores of {file} gave scores of shape {scores.shape}, "
            f"{int(np.isnan(scores).sum())} of them NaN, for {queries} queries and "
            f"{draws} draws. Return a score for each, of shape (query, draw); -inf for "
            "a risk of 0."
        )
    return scores.astype(np.float64)


def _notes(asked: Sequence[_Asked], *, given: bool, chosen: bool) -> list[str]:
    """What the risks are, and how their queries were chosen."""
    exact = [
        some.behaviour
        for some in asked
        if some.trials[0] == _NONE and np.isnan(some.log_risk_se[0])
    ]
    found: list[str] = []
    if len(exact) < len(asked):
        found.append(
            "The risk of a query is estimated from its own responses and from all "
            "other queries: the fewer its responses, the closer to a typical risk."
        )
    if exact:
        found.append(
            f"Risks of {listed(exact)} are known exactly and have no interval."
        )
    if given:
        found.append(
            "The outcomes given are assumed to be among those that the model was "
            "fitted to. For a query that was not, the interval is wrong where few "
            "other queries had as many successes: include it in the fit."
        )
    if chosen:
        found.append(
            "These are the riskiest queries as observed; a query with a lower observed "
            "risk may be riskier than one of them."
        )
    return found
