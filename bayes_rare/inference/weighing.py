"""Weigh posteriors of one evaluation by what they forecast of queries left out.

Most queries are left out by importance weights. The few that a posterior hangs on are
left out by fitting it again, all of them in a batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bayes_rare import catalog, stacking
from bayes_rare.averages import Average, Member
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.fitting import fit_many
from bayes_rare.posterior import Posterior
from bayes_rare.shortening import listed
from bayes_rare.tops import Top, top_of, without

__all__ = ["Candidate", "Fit", "weighed_many"]

type Progress = Callable[[int, int], None]

# More draws hardly move a weight.
_SCORING_DRAWS = 1000


@dataclass(frozen=True)
class Candidate:
    """A model with settings that may become a member.

    Parameters
    ----------
    label
        What tables call it.
    model
        Name of the model, or the model itself.
    settings
        Settings that differ from its defaults.
    concentration
        Of the prior of its weight: beside others, it has as large a part of the prior.
    """

    label: str
    model: str | catalog.Model
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    concentration: float = 1.0


type Fit = tuple[Candidate, Posterior]


class _Score(NamedTuple):
    """What a candidate forecasts of a behaviour of one of several evaluations."""

    place: int
    behaviour: str
    label: str


type _Scores = dict[_Score, stacking.LeftOut]


def weighed_many(
    fitted: Sequence[tuple[Evaluation, Sequence[Fit]]],
    progress: Progress,
    sampling: Mapping[str, Any],
) -> list[Average]:
    """The averages of the posteriors of some evaluations.

    Parameters
    ----------
    fitted
        Evaluations, each with candidates and their posteriors, at least one.
    progress
        Called with how many chains of a batch of fits are done, and how many there are.
    sampling
        ``chains``, ``warmup``, ``draws``, ``seed`` of what has to be fitted again.
    """
    tops = [
        {name: top_of(evaluation, name) for name in evaluation.behaviours}
        if len(fits) > 1  # else there is nothing to weigh
        else {}
        for evaluation, fits in fitted
    ]
    scores = {
        _Score(place, behaviour, candidate.label): stacking.left_out(
            few.population(behaviour), top
        )
        for place, (_, fits) in enumerate(fitted)
        for candidate, posterior in fits
        for few in [posterior.thinned(_SCORING_DRAWS)]
        for behaviour, top in tops[place].items()
    }
    again = _fitted_again(fitted, tops, scores, progress, sampling)
    scores |= again
    return [
        _weighed(place, *pair, tops[place], scores, again)
        for place, pair in enumerate(fitted)
    ]


def _fitted_again(
    fitted: Sequence[tuple[Evaluation, Sequence[Fit]]],
    tops: Sequence[Mapping[str, Top]],
    scores: _Scores,
    progress: Progress,
    sampling: Mapping[str, Any],
) -> _Scores:
    """Scores whose importance weights cannot be trusted, by posteriors without them.

    Where such a posterior is refused or did not converge, the weights have to do.
    """
    found: _Scores = {}
    for candidate, tasks in _doubtful(fitted, scores):
        fewer = [without(fitted[k.place][0], k.behaviour, row) for k, row in tasks]
        how = {**sampling, **candidate.settings}
        made = fit_many(fewer, candidate.model, progress=progress, **how)
        for (key, row), one in zip(tasks, made, strict=True):
            if isinstance(one, Posterior) and one.verdict.converged:
                found[key] = found.get(key, scores[key]).fitted_again(
                    row,
                    one.thinned(_SCORING_DRAWS).population(key.behaviour),
                    tops[key.place][key.behaviour],
                )
    return found


def _doubtful(
    fitted: Sequence[tuple[Evaluation, Sequence[Fit]]], scores: _Scores
) -> Iterator[tuple[Candidate, list[tuple[_Score, int]]]]:
    """Each candidate with the rows of tops that have to be left out by fits of it."""
    candidates = {c.label: c for _, fits in fitted for c, _ in fits}
    for label, candidate in candidates.items():
        rows = [
            (key, row)
            for key, score in scores.items()
            if key.label == label
            for row in score.doubtful
        ]
        if rows:
            yield candidate, rows


def _weighed(
    place: int,
    evaluation: Evaluation,
    fits: Sequence[Fit],
    tops: Mapping[str, Top],
    scores: _Scores,
    again: _Scores,
) -> Average:
    """The average of the posteriors of one evaluation, by their scores."""
    prior = [candidate.concentration for candidate, _ in fits]
    labels = [candidate.label for candidate, _ in fits]
    weights: dict[str, dict[str, float]] = {label: {} for label in labels}
    doubts: dict[str, dict[str, float]] = {label: {} for label in labels}
    for behaviour in evaluation.behaviours:
        if not tops:
            [only] = labels
            weights[only][behaviour], doubts[only][behaviour] = 1.0, 0.0
            continue
        forecasts = [scores[_Score(place, behaviour, label)] for label in labels]
        shares = stacking.stacked_weights(tops[behaviour], forecasts, prior)
        for label, share, one in zip(labels, shares, forecasts, strict=True):
            weights[label][behaviour] = float(share)
            doubts[label][behaviour] = float(one.pareto_k.max(initial=0.0))
    anew = sorted({key.label for key in again if key.place == place})
    note = (
        f"Queries that {listed(anew)} hangs on were left out by fitting it again: "
        f"importance weights cannot be trusted there (Pareto k above "
        f"{stacking.TRUSTED})."
    )
    return Average(
        tuple(
            Member(candidate.label, posterior, weights[label], doubts[label])
            for label, (candidate, posterior) in zip(labels, fits, strict=True)
        ),
        notes=(note,) if anew else (),
    )
