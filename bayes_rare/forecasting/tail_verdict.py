"""Checks of the tails of a forecast, by behaviour."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics import tail_checks, threshold_scan
from bayes_rare.diagnostics.tail_checks import TailCheck
from bayes_rare.evaluation import Evaluation
from bayes_rare.posterior import Average, Fitted, Posterior
from bayes_rare.scores import risk_from_score

__all__ = ["tail_verdict"]

type Draws = Float[np.ndarray, " draw"]
type Scores = Float[np.ndarray, " query"]

# Draws that check the fit of a tail: its alarm is a chance of one in a hundred.
_DRAWS = 400


def tail_verdict(
    evaluation: Evaluation,
    deployed: int | float,
    posterior: Fitted | None = None,
) -> dict[str, tuple[TailCheck, ...]]:
    """Check the tail of each behaviour.

    Parameters
    ----------
    evaluation
        The evaluation.
    deployed
        The largest number of queries that is forecast.
    posterior
        The posterior of the forecast, if there is one. Whether the riskiest queries
        follow the tail is checked for a whole average; threshold and shape are those of
        the member with the largest weight that has a tail.

    Returns
    -------
    Checks by behaviour, in the order of `bayes_rare.diagnostics.tail_checks`. Checks
    that the kind of data or the model does not allow are left out: with counts and
    estimates, scores are not known exactly, so the fit of the tail is not checked.
    """
    few = None if posterior is None else posterior.thinned(_DRAWS)
    return {
        behaviour: tuple(_checks(evaluation, behaviour, deployed, posterior, few))
        for behaviour in evaluation.behaviours
    }


def _checks(
    evaluation: Evaluation,
    behaviour: str,
    deployed: int | float,
    posterior: Fitted | None,
    few: Fitted | None,
) -> list[TailCheck]:
    queries = evaluation.sizes[behaviour]
    kind = evaluation.kind(behaviour)
    main = None if posterior is None else _with_tail(posterior, behaviour)
    above = None if main is None else _exceeding(main, behaviour)
    found: list[TailCheck | None] = []
    known = np.empty(0)
    if kind == "exact":
        worst = float(risk_from_score(evaluation.worst(behaviour)))
        known = _largest(evaluation, behaviour, above)
        found += [
            tail_checks.saturation(worst, queries),
            tail_checks.threshold_stability(known, queries),
        ]
        if above is not None:
            found.append(tail_checks.exceedances(above))
    elif kind == "counts":
        found.append(_few_positive(evaluation, behaviour))
    found.append(tail_checks.extrapolation(deployed, queries))
    if main is not None:
        simulated = kind == "exact" and above is not None
        found += _on_shape(main, behaviour, queries, simulated=simulated)
    if few is not None:
        looked_at = (above or min(math.ceil(queries / 10), tail_checks.RISKIEST)) + 1
        population = few.population(behaviour)
        found.append(tail_checks.misfit(population, known[:looked_at], queries))
    return [check for check in found if check is not None]


def _with_tail(posterior: Fitted, behaviour: str) -> Posterior:
    """The posterior whose tail is looked at."""
    if isinstance(posterior, Posterior):
        return posterior
    assert isinstance(posterior, Average)

    def order(place: int) -> tuple[bool, float]:
        member = posterior.members[place]
        weight = member.weights[behaviour]
        one = member.posterior
        return weight > 0 and ("shape" in one.draws or "exceeding" in one.data), weight

    return posterior.members[max(range(len(posterior.members)), key=order)].posterior


def _exceeding(posterior: Posterior, behaviour: str) -> int | None:
    """Scores above the threshold that a tail was fitted to, if the model has one."""
    if "exceeding" not in posterior.data:
        return None
    return int(posterior.data["exceeding"][posterior.behaviours.index(behaviour)])


def _largest(evaluation: Evaluation, behaviour: str, above: int | None) -> Scores:
    """The largest scores, as many as any check needs; none where some are not known."""
    cells = evaluation.scores(behaviour)
    if cells.censored_above:
        return np.empty(0)
    most = max(threshold_scan.EXCEEDANCES[-1], tail_checks.RISKIEST, above or 0) + 1
    first = slice(int(np.searchsorted(np.cumsum(cells.count), most)) + 1)
    return np.repeat(cells.score[first], cells.count[first].astype(np.int64))[:most]


def _few_positive(evaluation: Evaluation, behaviour: str) -> TailCheck:
    tallies = evaluation.behaviour(behaviour).tallies
    successes, trials, count = (
        tallies[name] for name in ("successes", "trials", "count")
    )
    return tail_checks.few_positive(
        int(count[successes > 0].sum()),
        int(count.sum()),
        int(count.astype(np.float64) @ trials),
    )


def _on_shape(
    posterior: Posterior, behaviour: str, queries: int, *, simulated: bool
) -> list[TailCheck]:
    """What became of the shape, where the model has one and its prior is known."""
    prior = _prior_of_shape(posterior)
    dims = posterior.dims.get("shape", ())
    if prior is None or dims not in ((), ("behaviour",)):
        return []
    shape = posterior.draws["shape"]
    if dims:
        shape = shape[..., posterior.behaviours.index(behaviour)]
    mean, sd = prior
    return [
        tail_checks.shape_contraction(shape.ravel(), sd, queries, simulated=simulated),
        tail_checks.shape_shift(shape.ravel(), mean, sd, queries, simulated=simulated),
    ]


def _prior_of_shape(posterior: Posterior) -> tuple[float, float] | None:
    """Mean and standard deviation of the prior of the shape of one behaviour.

    Behaviours that are pooled have a mean in common, and differ from it by a spread s
    with a log-normal prior: the variances ``sd ** 2`` and ``E[s ** 2]`` add up.
    """
    settings: Mapping[str, object] = posterior.settings
    names = ("shape", "shape_sd", "shape_spread")
    values = [settings.get(name) for name in names]
    mean, sd, spread = (v if isinstance(v, int | float) else math.nan for v in values)
    if "shape" not in posterior.draws or not math.isfinite(mean + sd):
        return None
    if not settings.get("pool", False) or len(posterior.behaviours) == 1:
        return mean, sd
    # Reading the model has loaded PyMC, which `pooling` imports.
    from bayes_rare.likelihoods.partial_pooling import SPREAD_LOG_SD

    return mean, math.hypot(sd, spread * math.exp(SPREAD_LOG_SD**2))
