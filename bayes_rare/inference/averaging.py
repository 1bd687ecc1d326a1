"""Averages: fit the models that suit the data, and weight them by their forecasts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from bayes_rare import catalog
from bayes_rare.arguments.checking import Sampling, checked_call
from bayes_rare.errors import NotApplicable, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.average_weights import (
    Candidate,
    Fit,
    fitted_together,
    weighed_many,
)
from bayes_rare.inference.batches import served
from bayes_rare.inference.stack import Stack
from bayes_rare.likelihoods.quadrature import usual_exceedances
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import Member

__all__ = [
    "Candidate",
    "average",
    "average_many",
    "blend_many",
    "candidates",
]

type Progress = Callable[[int, int], None]

LEARNT_SHAPE = {"shape": -0.2, "shape_sd": 0.15}
"""Prior of the shape of a tail above the riskiest ten or twenty queries.

Scores of real behaviours are nearer to normal than to exponential, and above a
threshold that one in ten to one in a hundred exceed, normal scores look like a tail of
shape -0.27 to -0.13: docs/theory.md, "Several models at once".
"""

ONE_BY_ONE = {"pool": False}
"""Each behaviour is seen apart, as in backtests: so by members that know no families.

The riskiest tenth of queries of several kinds looks heavier than what lies beyond it.
Ten such scores leave the shape to its prior. Those of sixteen behaviours overrule it,
and forecast far too much: docs/results.md, "Behaviours together".
"""

_FEWEST_PER_EXCEEDANCE = 4
_EXCEEDANCES = (10, 20)
_TIMES_USUAL = (1.0, 2.0)


def candidates(evaluation: Evaluation) -> tuple[Candidate, ...]:
    """The models that suit an evaluation.

    For exact risks: a tail above the ten and above the twenty largest scores, if there
    are four times as many queries, and a normal body. For counts: a tail above more or
    fewer queries, and beta-distributed risks. If the queries have families, also the
    model with families. For estimates: one model alone.
    """
    kinds = {evaluation.kind(behaviour) for behaviour in evaluation.behaviours}
    if len(kinds) > 1:
        raise NotApplicable(
            "behaviours differ in the kind of their outcomes "
            f"({', '.join(sorted(kinds))}), and no model takes both. Choose those of "
            "one kind (--behaviours), or name a model (--model)."
        )
    [kind] = kinds
    if kind == "estimates":
        return (Candidate("binomial_tail", "binomial_tail"),)
    if kind == "counts":
        return _of_counts(evaluation)
    fewest = min(evaluation.sizes.values())
    tails = [
        Candidate(
            f"gpd_tail at {number} exceedances",
            "gpd_tail",
            {"exceedances": number, **LEARNT_SHAPE},
        )
        for number in _EXCEEDANCES
        if fewest >= _FEWEST_PER_EXCEEDANCE * number
    ]
    return _with_families(evaluation, *tails, Candidate("log_normal", "log_normal"))


def _with_families(evaluation: Evaluation, *plain: Candidate) -> tuple[Candidate, ...]:
    """Models without families, and family_tail where there are families."""
    apart = [replace(c, settings={**c.settings, **ONE_BY_ONE}) for c in plain]
    if not evaluation.families:
        return tuple(apart)
    # Ten queries hardly tell whether families matter: they get half of the prior.
    heavy = Candidate("family_tail", "family_tail", concentration=float(len(plain)))
    return (heavy, *apart)


def _of_counts(evaluation: Evaluation) -> tuple[Candidate, ...]:
    """The models that suit counts."""
    usual = usual_exceedances(min(evaluation.effective_sizes.values()))
    tails = [
        Candidate(
            f"binomial_tail at about {times * usual:.3g} exceedances",
            "binomial_tail",
            {"exceedances": times * usual, **LEARNT_SHAPE},
        )
        for times in _TIMES_USUAL
    ]
    last = Candidate("beta_binomial", "beta_binomial")
    return _with_families(evaluation, *tails, last)


@checked_call
def average(
    evaluation: Evaluation,
    *,
    behaviours: Sequence[str] | None = None,
    progress: Progress = lambda _done, _total: None,
    **sampling: Unpack[Sampling],
) -> Average:
    """Fit the models that suit an evaluation, and weight them by their forecasts.

    A user need not choose a threshold or a model. Each member forecasts the riskiest
    queries of the evaluation, each from all others; its weight depends on how well
    these forecasts do in a mixture (`bayes_rare.inference.left_out.stacked_weights`).

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.
    behaviours
        Average only these.
    progress
        Called with how many chains of the batch at hand are done, and how many there
        are.
    **sampling
        ``chains``, ``warmup``, ``draws``, ``seed``, as of `bayes_rare.fit`.

    Raises
    ------
    NotApplicable
        If a behaviour has counts or estimates, or no model serves the evaluation.
    """
    if behaviours is not None:
        evaluation = evaluation.select(behaviours)
    [made] = average_many([evaluation], progress=progress, **sampling)
    return served(made)


def blend_many(
    evaluations: Sequence[Evaluation],
    stack: Stack,
    *,
    progress: Progress = lambda _done, _total: None,
    **sampling: Any,
) -> list[Average | NotApplicable]:
    """Fit the models of a stack that have weight, in batches, and average them.

    The weights of a behaviour are those of the evaluation size nearest to its own, by
    ratio. Behaviours are fitted separately, as in a backtest, unless the settings of a
    member have ``pool=True``. The weight of a member that cannot be fitted to the
    evaluation, or did not converge, goes to the others; if none of these has any
    weight, they share it equally.

    Parameters
    ----------
    evaluations
        What was measured.
    stack
        What `bayes_rare.stack` learnt.
    progress
        Called with how many chains of the batch at hand are done, and how many there
        are.
    **sampling
        ``chains``, ``warmup``, ``draws``, ``seed``, as of `bayes_rare.fit`.

    Returns
    -------
    An average or a refusal for each evaluation, in their order.

    Raises
    ------
    NoSuchModel
        If the file of a member with weight is missing, or has changed since.
    """
    rows = [
        {name: stack.weights[stack.nearest(m)] for name, m in each.sizes.items()}
        for each in evaluations
    ]
    wanted: list[list[Candidate]] = [[] for _ in evaluations]
    for member in stack.members:
        places = [
            place
            for place, row in enumerate(rows)
            if any(weights[member.label] for weights in row.values())
        ]
        if places:  # without weight its file may be gone
            model, settings = member.load(), catalog.from_plain(member.settings)
            if "pool" in model.defaults:
                settings = {**ONE_BY_ONE, **settings}
            for place in places:
                wanted[place].append(Candidate(member.label, model, settings))
    fits, refusals = _fitted(evaluations, wanted, progress, sampling)
    return [
        _blended(own, row, stack, refused)
        if own
        else NotApplicable(
            "none of the models with weight in this stack can be fitted to this "
            "evaluation. "
            f"{' '.join(refused)}"
        )
        for own, row, refused in zip(fits, rows, refusals, strict=True)
    ]


def _blended(
    fits: Sequence[Fit],
    rows: Mapping[str, Mapping[str, float]],
    stack: Stack,
    refusals: Sequence[str],
) -> Average:
    """Average of the posteriors that can be trusted, by their share of the weights."""
    trusted = {candidate.label: posterior for candidate, posterior in _trusted(fits)}
    sizes = fits[0][1].evaluation.sizes
    learnt = sorted({stack.nearest(sizes[behaviour]) for behaviour in rows})
    source = (
        "The weights are from a stack, learnt in a backtest with evaluations of "
        f"{listed([f'{size:,}' for size in learnt])} queries; here there are "
        f"{listed([f'{n:,}' for n in sorted({*map(int, sizes.values())})])}."
    )
    weights: dict[str, dict[str, float]] = {label: {} for label in trusted}
    for behaviour, row in rows.items():
        left = sum(row[label] for label in trusted)
        for label in trusted:
            share = row[label] / left if left else 1 / len(trusted)
            weights[label][behaviour] = share
    known = dict.fromkeys(rows, 0.0)  # no query was left out for these weights
    return Average(
        tuple(Member(k, v, weights[k], known) for k, v in trusted.items()),
        notes=(source, *_without_weight(fits, refusals)),
    )


def _without_weight(fits: Sequence[Fit], refusals: Sequence[str]) -> list[str]:
    """Notes on models that were left out of an average, and why."""
    left = {candidate.label for candidate, _ in _trusted(fits)}
    doubtful = [c.label for c, _ in fits if c.label not in left]
    lines = [f"Left out of the average: {each}" for each in refusals]
    if doubtful:
        lines.append(
            f"{listed(doubtful)} did not converge; the other models share the weight."
        )
    return lines


def _fitted(
    evaluations: Sequence[Evaluation],
    wanted: Sequence[Sequence[Candidate]],
    progress: Progress,
    sampling: Mapping[str, Any],
) -> tuple[list[list[Fit]], list[list[str]]]:
    """Posteriors and refusals of each evaluation, in the order of its candidates."""
    asked = [(place, each) for place, own in enumerate(wanted) for each in own]
    tasks = [(evaluations[place], candidate) for place, candidate in asked]
    fits: list[list[Fit]] = [[] for _ in evaluations]
    refusals: list[list[str]] = [[] for _ in evaluations]
    found = fitted_together(tasks, progress, sampling)
    for (place, candidate), one in zip(asked, found, strict=True):
        if isinstance(one, Posterior):
            fits[place].append((candidate, one))
        else:
            refusals[place].append(f"{candidate.label}: {one}")
    return fits, refusals


def _trusted(fits: Sequence[Fit]) -> Sequence[Fit]:
    """Those that converged, or all if none did."""
    return [fit for fit in fits if fit[1].verdict.converged] or fits


def average_many(
    evaluations: Sequence[Evaluation],
    *,
    progress: Progress = lambda _done, _total: None,
    **sampling: Any,
) -> list[Average | NotApplicable]:
    """Fit every candidate to every evaluation, in batches, and average them.

    Each evaluation gets the average that it would get alone.

    Parameters
    ----------
    evaluations
        What was measured.
    progress
        Called with how many chains of the batch at hand are done, and how many there
        are.
    **sampling
        ``chains``, ``warmup``, ``draws``, ``seed``, as of `bayes_rare.fit`.

    Returns
    -------
    An average or a refusal for each evaluation, in their order.
    """
    results: list[Any] = [None] * len(evaluations)
    wanted: list[tuple[Candidate, ...]] = [() for _ in evaluations]
    for place, evaluation in enumerate(evaluations):
        try:
            wanted[place] = candidates(evaluation)
        except NotApplicable as refusal:
            results[place] = refusal
    fits, refusals = _fitted(evaluations, wanted, progress, sampling)
    met = [place for place, own in enumerate(fits) if own]
    few = [(evaluations[place], _trusted(fits[place])) for place in met]
    made = iter(weighed_many(few, progress, sampling))
    for place, refused in enumerate(refusals):
        if fits[place]:
            average, without = next(made), _without_weight(fits[place], refused)
            results[place] = replace(average, notes=(*average.notes, *without))
        elif results[place] is None:
            results[place] = NotApplicable(
                "none of the models that are averaged serves this evaluation. "
                f"{' '.join(refused)}"
            )
    return results
