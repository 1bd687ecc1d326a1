"""Weights of posteriors of one evaluation, by their leave-one-out forecasts.

Most queries are left out by importance weights. The few that a posterior depends on
strongly are left out by fitting again without them, all in one batch.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bayes_rare import catalog
from bayes_rare.diagnostics import importance_weights
from bayes_rare.errors import NotApplicable, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import left_out
from bayes_rare.inference.batches import fit_many
from bayes_rare.inference.riskiest_queries import (
    RiskiestQueries,
    riskiest_queries,
    without,
)
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import Member

__all__ = ["Candidate", "Fit", "fitted_together", "weighed_many"]

type Progress = Callable[[int, int], None]

# More draws hardly move a weight.
_SCORING_DRAWS = 1000


@dataclass(frozen=True)
class Candidate:
    """A model with settings that may become a member of an average.

    Parameters
    ----------
    label
        Its name in tables.
    model
        Name of the model, or the model itself.
    settings
        Settings that differ from its defaults.
    concentration
        Concentration of the Dirichlet prior of its weight.
    """

    label: str
    model: str | catalog.Model
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    concentration: float = 1.0

    @property
    def batch(self) -> tuple[str, str]:
        """What candidates of one batch have in common.

        The model's file and its settings to the last digit, and nothing else of it: a
        label is rounded for the reader, and a concentration is of weights alone.
        """
        model = self.model
        model = model if isinstance(model, catalog.Model) else catalog.load(model)
        return model.digest, json.dumps(catalog.plain(self.settings), sort_keys=True)


type Fit = tuple[Candidate, Posterior]


class _Score(NamedTuple):
    """Key of the score of a candidate for a behaviour of one evaluation."""

    place: int
    behaviour: str
    label: str


type _Scores = dict[_Score, left_out.LeftOut]


def fitted_together(
    tasks: Sequence[tuple[Evaluation, Candidate]],
    progress: Progress,
    sampling: Mapping[str, Any],
) -> list[Posterior | NotApplicable]:
    """Posteriors of candidates; one model with the same settings is one batch."""
    batches: dict[tuple[str, str], list[int]] = {}
    for number, (_, candidate) in enumerate(tasks):
        batches.setdefault(candidate.batch, []).append(number)
    found: dict[int, Posterior | NotApplicable] = {}
    for numbers in batches.values():
        candidate = tasks[numbers[0]][1]
        made = fit_many(
            [tasks[number][0] for number in numbers],
            candidate.model,
            progress=progress,
            **{**sampling, **candidate.settings},
        )
        found |= dict(zip(numbers, made, strict=True))
    return [found[number] for number in range(len(tasks))]


def weighed_many(
    fitted: Sequence[tuple[Evaluation, Sequence[Fit]]],
    progress: Progress,
    sampling: Mapping[str, Any],
) -> list[Average]:
    """The averages of the posteriors of some evaluations."""
    tops = [
        {name: riskiest_queries(evaluation, name) for name in evaluation.behaviours}
        if len(fits) > 1  # else there is nothing to weigh
        else {}
        for evaluation, fits in fitted
    ]
    scores = {
        _Score(place, behaviour, candidate.label): left_out.left_out(
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
    tops: Sequence[Mapping[str, RiskiestQueries]],
    scores: _Scores,
    progress: Progress,
    sampling: Mapping[str, Any],
) -> _Scores:
    """Scores of untrustworthy importance weights, by fits without those queries.

    Where such a fit fails or does not converge, the importance weights are kept.
    """
    doubtful = [
        (_Score(place, behaviour, candidate.label), row, candidate)
        for place, (_, fits) in enumerate(fitted)
        for candidate, _ in fits
        for behaviour in tops[place]
        for row in scores[_Score(place, behaviour, candidate.label)].doubtful
    ]
    tasks = [
        (without(fitted[key.place][0], key.behaviour, row), candidate)
        for key, row, candidate in doubtful
    ]
    found: _Scores = {}
    made = fitted_together(tasks, progress, sampling)
    for (key, row, _), one in zip(doubtful, made, strict=True):
        if isinstance(one, Posterior) and one.verdict.converged:
            found[key] = found.get(key, scores[key]).fitted_again(
                row,
                one.thinned(_SCORING_DRAWS).population(key.behaviour),
                tops[key.place][key.behaviour],
            )
    return found


def _weighed(
    place: int,
    evaluation: Evaluation,
    fits: Sequence[Fit],
    tops: Mapping[str, RiskiestQueries],
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
        shares = left_out.stacked_weights(tops[behaviour], forecasts, prior)
        for label, share, one in zip(labels, shares, forecasts, strict=True):
            weights[label][behaviour] = float(share)
            doubts[label][behaviour] = float(one.pareto_k.max(initial=0.0))
    anew = sorted({key.label for key in again if key.place == place})
    note = (
        f"{listed(anew)} was fitted again without the queries that it depends on "
        f"most, where importance weights cannot be trusted (Pareto k above "
        f"{importance_weights.TRUSTED})."
    )
    return Average(
        tuple(
            Member(candidate.label, posterior, weights[label], doubts[label])
            for label, (candidate, posterior) in zip(labels, fits, strict=True)
        ),
        notes=(note,) if anew else (),
    )
