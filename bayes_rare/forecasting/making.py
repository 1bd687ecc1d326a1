"""Forecasts are made: from a posterior, or from populations without one."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import family_mix, notes
from bayes_rare.forecasting.deployment import Deployment
from bayes_rare.forecasting.drawing import drawn, generator, refuse_negative
from bayes_rare.forecasting.forecasts import Forecast
from bayes_rare.forecasting.tail_verdict import tail_verdict
from bayes_rare.forecasting.targets import RISK_THRESHOLDS, TARGETS
from bayes_rare.populations import Population
from bayes_rare.populations.missed_mode import MissedMode
from bayes_rare.posterior import Average, Fitted, Posterior

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["forecast", "point_forecast", "population_forecast"]

# A population holds a weight of each query of the evaluation for each draw: 32 MB for
# 1,000 queries at so many draws, which tell the chance of 5 % to a third of a percent.
_DRAWS = 4000
# Draws that an interval in a picture is made of.
_SHOWN_DRAWS = 1000


@checked_call
def forecast(
    posterior: Fitted,
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[int | float] = RISK_THRESHOLDS,
    level: int | float = 0.05,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """Forecast the outcomes of a deployment from a posterior.

    Each posterior draw gives one outcome of each target, so that forecasts contain both
    chance and uncertainty. Draws with the same index share the posterior draw, and so
    the population, across behaviours, sizes and targets; for an average as far as the
    weights of its members allow, see `bayes_rare.Average`. Chance is independent for
    each behaviour, target and size; only the worst queries of one behaviour share it
    across sizes, so that within a draw the worst of more queries is never less risky.
    A forecast depends on the seed, behaviour, target and size alone, not on what else
    is asked for.

    For another mix of families than the evaluation's, only the members of an average
    that model families are used, with their whole posteriors.

    If there are more than 4,000 posterior draws, each chain is thinned so that at most
    4,000 are left: long fits have strongly autocorrelated draws.

    Parameters
    ----------
    posterior
        Posterior of the evaluation.
    deployment
        The deployment to forecast.
    risk_thresholds
        Risks above which queries count as risky, each in (0, 1). Ignored if no target
        needs them.
    level
        Largest chance of a query above the threshold at which a deployment is safe.
    targets
        Which of `TARGETS` to forecast.
    seed
        Random seed of the forecast, from 0.

    Raises
    ------
    InvalidInput
        If a threshold, the level, a target or the seed is invalid.

    Examples
    --------
    Ten times the queries are never safer:

    >>> import numpy as np
    >>> import bayes_rare as br
    >>> evaluation = br.Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> posterior = br.fit(evaluation, "gumbel_tail", warmup=200, draws=200)
    >>> table = br.forecast(posterior, br.Deployment([1e6, 1e7])).summary()
    >>> worst = table[table.target == "worst_query_risk"].set_index("queries")
    >>> bool(worst.loc[10**7, "median"] > worst.loc[10**6, "median"])
    True
    """
    refuse_negative(seed)
    knowing = _knowing(posterior)
    whole = posterior
    if deployment.families is not None or deployment.unseen_share > 0:
        posterior = knowing
    populations = _deployed(posterior, deployment)
    about_families = _family_notes(posterior.evaluation, populations, deployment)
    if deployment.missed_mode is not None:
        populations = _supposing(deployment.missed_mode, populations, posterior)
    draws = drawn(populations, deployment, risk_thresholds, level, targets, seed)
    verdict = tail_verdict(posterior.evaluation, deployment.queries[-1], posterior)
    return Forecast(
        method=posterior.name,
        deployment=deployment,
        evaluation=posterior.evaluation,
        populations=populations,
        draws=draws,
        converged=posterior.verdict.converged,
        notes=(
            *posterior.verdict.notes,
            *notes.on_evaluation(posterior.evaluation),
            *notes.on_tail_checks(verdict),
            *notes.on_missed_mode(posterior.evaluation, deployment.missed_mode),
            *about_families,
            *_fit_notes(whole, posterior),
            *notes.on_caps(draws),
        ),
        tail_checks=verdict,
        by_family=None
        if posterior is knowing or deployment.missed_mode is not None
        else partial(_deployed, knowing, deployment),
        shrunken=partial(_shrunken, whole),
    )


def _shrunken(posterior: Fitted) -> "pandas.DataFrame | None":
    """Risks of the riskiest queries that were counted or estimated, if they are told.

    A model of the user's own may not say how the risk of a query is drawn.
    """
    seen = posterior.evaluation
    names = [name for name in seen.behaviours if seen.kind(name) != "exact"]
    if not names:
        return None
    try:
        return posterior.thinned(_SHOWN_DRAWS).query_risks(behaviour=names).summary()
    except NotApplicable:
        return None


def _knowing(posterior: Fitted) -> Fitted:
    """Of an average the members that know families, if some do: else all of it."""
    if not isinstance(posterior, Average):
        return posterior
    name = posterior.behaviours[0]
    chosen = [
        member
        for member in posterior.members
        if family_mix.knows_families(member.posterior.thinned(1).population(name))
    ]
    if len(chosen) in (0, len(posterior.members)):
        return posterior
    return posterior.only(chosen)


def _deployed(posterior: Fitted, deployment: Deployment) -> dict[str, Population]:
    """Populations by behaviour, in the deployment's mix of families."""
    thinned = posterior.thinned(_DRAWS)
    return {
        name: family_mix.deployed(
            thinned.population(name),
            posterior.evaluation,
            name,
            deployment.families,
            deployment.unseen_share,
            deployment.unseen_families,
        )
        for name in posterior.behaviours
    }


def point_forecast(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[int | float] = RISK_THRESHOLDS,
    level: int | float = 0.05,
    targets: Sequence[str] = TARGETS,
) -> Forecast:
    """A point forecast of each target, from populations of a single draw.

    The worst query's risk is forecast by the risk that a fraction 1/n of queries
    exceeds, and that of a single query by the median; counts, chances, the aggregate
    risk and the waiting time by their expectation.

    Parameters
    ----------
    method
        Name of the method.
    evaluation
        The evaluation that the method used.
    populations
        Fitted population by behaviour, of one draw each.
    deployment, risk_thresholds, level
        As in `forecast`.
    targets
        Which of `TARGETS` to forecast; none where only the populations are wanted.
    """
    draws = drawn(populations, deployment, risk_thresholds, level, targets, None)
    return _without_posterior(method, evaluation, populations, deployment, draws, True)


def population_forecast(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[int | float] = RISK_THRESHOLDS,
    level: int | float = 0.05,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """Forecast the outcomes of a deployment from populations without a posterior.

    As `forecast`, for a method that expresses its uncertainty by several equally likely
    draws of the population: one outcome of each target for each of them.

    Parameters
    ----------
    method
        Name of the method.
    evaluation
        The evaluation that the method used.
    populations
        Fitted populations by behaviour, each of the same number of draws.
    deployment, risk_thresholds, level, seed
        As in `forecast`.
    targets
        Which of `TARGETS` to forecast; none where only the populations are wanted.

    Raises
    ------
    InvalidInput
        If a threshold, the level, a target or the seed is invalid.
    """
    refuse_negative(seed)
    draws = drawn(populations, deployment, risk_thresholds, level, targets, seed)
    return _without_posterior(method, evaluation, populations, deployment, draws, False)


def _without_posterior(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    draws: "xarray.Dataset",
    is_point: bool,
) -> Forecast:
    """A forecast by a method that does not sample, and so has nothing to converge."""
    if deployment.missed_mode is not None:
        raise InvalidInput(
            f"{method} has no posterior to add a missed mode to. Leave missed_mode "
            "out, or forecast from a fit."
        )
    verdict = tail_verdict(evaluation, deployment.queries[-1])
    return Forecast(
        method=method,
        deployment=deployment,
        evaluation=evaluation,
        populations=populations,
        draws=draws,
        converged=True,
        notes=(
            *notes.on_evaluation(evaluation),
            *notes.on_tail_checks(verdict),
            *_family_notes(evaluation, populations, deployment),
            *notes.on_caps(draws),
        ),
        is_point=is_point,
        tail_checks=verdict,
    )


def _supposing(
    mode: MissedMode,
    populations: Mapping[str, Population],
    posterior: Fitted,
) -> dict[str, Population]:
    """Populations with a mode that the evaluation may have missed."""
    sizes = posterior.evaluation.effective_sizes
    return {
        name: mode.added(population, sizes[name], generator(0, name, "missed", 0))
        for name, population in populations.items()
    }


def _fit_notes(whole: Fitted, posterior: Fitted) -> list[str]:
    """What to know of a tail and a judge, of each posterior that has a say."""
    if isinstance(posterior, Average) and isinstance(whole, Average):
        another = [] if posterior is whole else notes.on_another_mix(whole, posterior)
        return [*another, *notes.on_average(posterior)]
    assert isinstance(posterior, Posterior)
    return [*notes.on_tail(posterior), *notes.on_judge(posterior)]


def _family_notes(
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
) -> list[str]:
    """What to know of families, from a method that knows them or does not."""
    if any(map(family_mix.knows_families, populations.values())):
        return notes.on_families(
            evaluation,
            None if deployment.families is None else dict(deployment.families),
            deployment.unseen_share,
        )
    return [
        *notes.on_unseen_families(
            deployment.unseen_share, named=deployment.families is not None
        ),
        *notes.on_concentration(evaluation),
    ]
