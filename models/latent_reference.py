"""As binomial_tail, with the score of every query sampled: the slow reference.

The story is that of binomial_tail, told query by query. A standard normal variable says
where in the population a query lies, and the quantile function of steps and tail gives
its score there::

    scale_b, shape_b, rate_b, step_weight_b    as in binomial_tail, with its priors
    place_i      ~ Normal(0, 1)
    survival_i   = Phi(-place_i)
    score_i      = u_b + GPD quantile of survival_i / rate_b    in the tail
                   linear in survival_i                         within a step
    risk_i       = exp(-exp(-score_i))
    successes_i  ~ Binomial(trials_i, risk_i)

Nothing is integrated out, so no quadrature can be wrong: parameters and scores must
have the posterior that binomial_tail and ``posterior.query_risks`` find, which take a
hundredth of the time. There is one unknown a query: a few thousand queries at most.

Prior predictive and settings are those of binomial_tail.

For checks of other models, not for forecasts.

Reference: Betancourt and Girolami (2015), Hamiltonian Monte Carlo for hierarchical
models, section 3, arXiv 1312.0906, for sampling places rather than scores.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayes_rare.errors import NotApplicable
from bayes_rare.likelihoods import counts, layout, quadrature, steps
from bayes_rare.likelihoods.layout import padded_length, padded_rows
from bayes_rare.likelihoods.normal_scores import normal_logcdf
from bayes_rare.likelihoods.partial_pooling import partially_pooled
from bayes_rare.populations import StepsAndTail
from bayes_rare.populations.pareto import smooth_quantile

ACCEPTS = {"counts"}
POINTWISE = {"outcomes": "query_count"}
REFERENCE_ONLY = True

QUERY = ("query_successes", "query_trials", "query_ways", "query_count")
DIMS = dict.fromkeys(QUERY, ("behaviour", "query"))


def observe(
    evaluation: Any,
    *,
    exceedances: float | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density, a query a cell."""
    edges = counts.outcome_data(
        evaluation, exceedances=exceedances, fraction=fraction, threshold=threshold
    )["edges"]
    if len(evaluation.estimated["behaviour"]):
        raise NotApplicable(
            "latent_reference takes counts alone, and there are estimates of risk. Use "
            "binomial_tail for them."
        )
    tallied = evaluation.tallied
    if not np.array_equal(tallied["weight"], tallied["count"]):
        raise NotApplicable(
            "latent_reference has a score for each query, and here queries have "
            "weights. Use binomial_tail for them."
        )
    behaviours = range(len(evaluation.behaviours))
    number = tallied["count"].astype(np.int64)
    successes, trials = (
        [
            np.repeat(
                np.asarray(tallied[name], np.float64),
                number * (tallied["behaviour"] == code),
            )
            for code in behaviours
        ]
        for name in ("successes", "trials")
    )
    ways = list(map(quadrature.log_ways, successes, trials))
    count = [np.ones(row.size) for row in trials]
    length = padded_length(max(row.size for row in trials))
    columns = (successes, trials, ways, count)
    return {"edges": edges} | {
        name: padded_rows(column, length)
        for name, column in zip(QUERY, columns, strict=True)
    }


def build(
    evaluation: Any,
    *,
    exceedances: float | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
    log_scale: float = -2.0,
    log_scale_sd: float = 1.25,
    log_scale_spread: float = 0.5,
    shape: float = -0.05,
    shape_sd: float = 0.15,
    shape_spread: float = 0.1,
    step_rise: float = 1.0,
    step_sd: float = 1.5,
    lowest_step_sd: float = 2.5,
    pool: bool = True,
) -> pm.Model:
    """Return the model; the settings are those of binomial_tail.

    Parameters
    ----------
    evaluation
        Counts of one or more behaviours.
    exceedances
        About how many queries have a score above the threshold; by default
        ``5 * sqrt(queries / 1000)``, and at least 5.
    fraction
        The same as a fraction of the queries, in (0, 1), in place of a number.
    threshold
        The threshold itself, a score, in place of both.
    log_scale, log_scale_sd
        Mean and standard deviation of the normal prior of the log scale, score units.
    log_scale_spread
        Median of the prior of its standard deviation between behaviours.
    shape, shape_sd
        Mean and standard deviation of the normal prior of the shape.
    shape_spread
        Median of the prior of its standard deviation between behaviours.
    step_rise, step_sd
        Mean and standard deviation of the rise of the log density from the tail to the
        first step, and from each step to the next one down.
    lowest_step_sd
        Standard deviation of the change of the log density into the lowest step.
    pool
        Whether behaviours share the means and spreads of scale and shape.
    """
    data = observe(
        evaluation, exceedances=exceedances, fraction=fraction, threshold=threshold
    )
    behaviours = len(evaluation.behaviours)
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        model.add_coord("step", range(quadrature.STEPS + 1))
        model.add_coord("upper_step", range(1, quadrature.STEPS + 1))
        known = layout.data_variables(data, DIMS)
        log_scale_b = partially_pooled(
            "log_scale",
            behaviours,
            mean=log_scale,
            sd=log_scale_sd,
            spread=log_scale_spread,
            pool=pool,
        )
        shape_b = partially_pooled(
            "shape",
            behaviours,
            mean=shape,
            sd=shape_sd,
            spread=shape_spread,
            pool=pool,
        )
        scale_b = pm.Deterministic("scale", pm.math.exp(log_scale_b), dims="behaviour")
        log_weight, log_rate = steps.prior_of_steps(
            known["edges"],
            scale_b,
            step_rise=step_rise,
            step_sd=step_sd,
            lowest_step_sd=lowest_step_sd,
        )
        place = pm.Normal("place", 0.0, 1.0, dims=("behaviour", "query"))
        score = pm.Deterministic(
            "score",
            _quantile(place, known["edges"], log_weight, log_rate, scale_b, shape_b),
            dims=("behaviour", "query"),
        )
        pm.CustomDist(
            "outcomes",
            score,
            *(known[name] for name in QUERY[1:]),
            logp=_outcome_logp,
            random=_draw_outcomes,
            observed=known[QUERY[0]],
            dims=("behaviour", "query"),
            dtype="float64",
        )
    return model


def _quantile(
    place: Any, edges: Any, log_weight: Any, log_rate: Any, scale: Any, shape: Any
) -> Any:
    """Score of a query with the survival ``Phi(-place)`` in its population.

    A sum of ramps: each step rises from its lower to its upper edge while the survival
    falls through the step's share of the queries, and then the tail goes on.
    """
    log_survival = normal_logcdf(-place)
    share = pt.exp(log_weight)
    rate = pt.exp(log_rate)
    # Fraction of queries above the lower edge of each step.
    above = pt.cumsum(share[:, ::-1], axis=1)[:, ::-1] + rate[:, None]
    done = (above[:, None, :] - pt.exp(log_survival)[:, :, None]) / share[:, None, :]
    width = edges[:, 1:] - edges[:, :-1]
    body = pt.sum(pt.clip(done, 0.0, 1.0) * width[:, None, :], axis=2)
    depth = pt.maximum(log_rate[:, None] - log_survival, 0.0)
    excess = smooth_quantile(pt, depth, scale[:, None], shape[:, None])
    return edges[:, 0][:, None] + body + excess


def _outcome_logp(
    successes: Any, score: Any, trials: Any, ways: Any, count: Any
) -> Any:
    """Log chance of each query's outcome; none for what only fills a row up."""
    log_risk, log_safe = quadrature.log_chances(pt, score)
    terms = successes * log_risk + (trials - successes) * log_safe
    return count * (ways + terms)


def _draw_outcomes(
    score: Any,
    trials: Any,
    ways: Any,  # noqa: ARG001 orders do not matter
    count: Any,  # noqa: ARG001 one query each
    rng: np.random.Generator,
    size: Any = None,  # noqa: ARG001 that of the data
) -> Any:
    risk = np.exp(-np.exp(-score))
    return rng.binomial(trials.astype(np.int64), risk).astype(np.float64)


def population(
    draws: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> StepsAndTail:
    """Return the distribution of a new query's score, for one behaviour."""
    return steps.steps_population(draws, data)
