"""Posterior predictive draws beside the observed outcomes, for ArviZ.

In a density, equal outcomes are one cell and rows of behaviours are padded to one
length. Here each query stands for itself, as it was observed.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.posterior.fitted import Fitted
from bayes_rare.posterior.query_risks import ModelDraws
from bayes_rare.scores import log_risk_from_score, risk_from_score

if TYPE_CHECKING:
    import xarray

__all__ = ["posterior_predictive"]

type Queries = Float[np.ndarray, " query"]
type Array = Float[np.ndarray, "query draw"]

_LEAST_DIFFERENCE = np.finfo(np.float64).tiny


@checked_call
def posterior_predictive(
    posterior: Fitted,
    behaviour: str | None = None,
    *,
    draws: int = 100,
    most: int = 10_000,
    seed: int = 0,
) -> "xarray.DataTree":
    """Observed outcomes of a behaviour, and predicted ones of as many new queries.

    For ``arviz.plot_ppc_dist`` and its like. Of exact risks the score is compared, of
    counts the successes in as many trials, of estimates the log risk with an error of
    the same standard error. A risk that was recorded as 0 or 1 stands, in both groups,
    at the edge of what the record can tell.

    Parameters
    ----------
    posterior
        A fit, or an average of fits.
    behaviour
        Which behaviour; may be left out if there is one.
    draws
        Draws of the posterior that are looked at, at most; from 1.
    most
        Queries, at most; of more, or of queries with unequal weights, so many evenly by
        rank. From 1.
    seed
        Seed of the new queries, a whole number from 0.

    Returns
    -------
    An ArviZ tree with the groups ``posterior_predictive`` and ``observed_data``, and
    one variable in each: ``score``, ``successes`` or ``log_risk``, by ``query``.

    Raises
    ------
    InvalidInput
        If there is no such behaviour, or several and none is named, or a number is out
        of its range.

    Examples
    --------
    >>> import bayes_rare as br
    >>> seen = br.Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> posterior = br.fit(seen, "gumbel_tail", warmup=200, draws=200)
    >>> br.posterior_predictive(posterior)["observed_data"]["score"].size
    200
    """
    import xarray as xr

    least = {"draws": (draws, 1), "most": (most, 1), "seed": (seed, 0)}
    for name, (value, minimum) in least.items():
        if value < minimum or value != int(value):
            raise InvalidInput(
                f"{name} is a whole number from {minimum} on, got {value!r}."
            )
    few = posterior.thinned(int(draws))
    few.population(behaviour)  # refuses a behaviour that is not there
    behaviour = posterior.behaviours[0] if behaviour is None else behaviour
    name, seen = _seen(posterior.evaluation, behaviour, int(most))
    rng = np.random.default_rng(int(seed))
    new = np.concatenate(
        [_drawn(p, behaviour, seen, rng) for p in few.parts(behaviour)], axis=1
    )
    dims = ("chain", "draw", "query")
    return xr.DataTree.from_dict(
        {
            "posterior_predictive": xr.Dataset({name: (dims, new.T[None])}),
            "observed_data": xr.Dataset({name: ("query", seen["outcome"])}),
        }
    )


def _seen(
    evaluation: Evaluation, behaviour: str, most: int
) -> tuple[str, dict[str, Queries]]:
    """Outcomes query by query, with what else of each a new one has in common."""
    seen = evaluation.behaviour(behaviour)
    kind = seen.kind
    if kind == "exact":
        cells = seen.scores
        censored = [cells.censored_below, cells.censored_above]
        columns = {
            "outcome": np.append(cells.score, [cells.lowest, cells.highest]),
            "weight": np.append(cells.count, censored),
        }
    else:
        table = seen.tallies if kind == "counts" else seen.estimates
        columns = {
            name: values.astype(np.float64)
            for name, values in table.items()
            if name in ("successes", "trials", "log_risk", "log_risk_se", "weight")
        }
        columns["outcome"] = columns["successes" if kind == "counts" else "log_risk"]
    order = np.argsort(columns["outcome"], kind="stable")
    reached = np.cumsum(columns["weight"][order])
    number = min(max(round(float(reached[-1])), 1), most)
    ranks = (np.arange(number) + 0.5) / number * reached[-1]
    chosen: Int[np.ndarray, " query"] = order[np.searchsorted(reached, ranks)]
    name = {"exact": "score", "counts": "successes", "estimates": "log_risk"}[kind]
    return name, {column: values[chosen] for column, values in columns.items()}


def _drawn(
    posterior: ModelDraws,
    behaviour: str,
    seen: dict[str, Queries],
    rng: np.random.Generator,
) -> Array:
    """Outcomes of as many new queries, for each draw of one posterior."""
    population = posterior.population(behaviour)
    size = (seen["outcome"].size, population.draws)
    score = population.quantile(np.log1p(-rng.random(size)))
    if "trials" in seen:
        trials = seen["trials"].astype(np.int64)[:, None]
        return _verdicts(posterior, behaviour, trials, risk_from_score(score), rng)
    if "log_risk_se" in seen:
        error = seen["log_risk_se"][:, None] * rng.standard_normal(size)
        return np.minimum(log_risk_from_score(score) + error, 0.0)
    cells = posterior.evaluation.scores(behaviour)
    return np.clip(score, cells.lowest, cells.highest)


def _verdicts(
    posterior: ModelDraws,
    behaviour: str,
    trials: Int[np.ndarray, "query 1"],
    risk: Array,
    rng: np.random.Generator,
) -> Array:
    """Successes as they are recorded: by a judge that errs, where the model has one."""
    if posterior.model.recorded is None:
        return rng.binomial(trials, risk).astype(np.float64)
    draws, _ = posterior.of_behaviour(behaviour)
    rate, sensitivity = posterior.model.recorded(draws)
    difference = np.maximum(sensitivity - rate, _LEAST_DIFFERENCE)
    if not posterior.settings.get("by_query"):
        share = np.minimum(rate + difference * risk, 1.0)
        return rng.binomial(trials, share).astype(np.float64)
    # A query's responses are read as they are, or all as showing it, or none of them.
    uniform = rng.random(risk.shape)
    wrong = np.where(uniform < difference + rate, trials, 0)
    counted = np.where(uniform < difference, rng.binomial(trials, risk), wrong)
    return counted.astype(np.float64)
