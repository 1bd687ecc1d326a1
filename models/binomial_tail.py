"""A latent score per query from a body with a generalized Pareto tail; counts binomial.

What is seen of a query is how many of its sampled responses showed the behaviour, or an
estimate of its risk with a standard error. Its risk is latent; the risks of all queries
come from one distribution of scores, steps below a threshold and a tail above it::

    log_scale_mean   ~ Normal(log_scale, log_scale_sd)
    log_scale_spread ~ LogNormal(median log_scale_spread, log sd 0.5)
    log_scale_b      ~ Normal(log_scale_mean, log_scale_spread)
    shape_b          in the same way
    density at u_b   = rate_b / scale_b                   of the tail, from above
    log density      rises by Normal(step_rise, step_sd)  at each edge on the way down
                     and changes by Normal(0, lowest_step_sd) into the lowest step
    score_i          ~ steps_b below u_b, u_b + GPD(scale_b, shape_b) above
    risk_i           = exp(-exp(-score_i))
    successes_i      ~ Binomial(trials_i, risk_i)

With one behaviour, or ``pool=False``, the prior of a mean is that of each behaviour.
The threshold is a score that about five queries exceed, more of them where there are
many, by a first estimate of where the scores are. Steps and tail join as steps do among
themselves, so the body may have any form and leaves the tail to the riskiest queries; a
normal body would be ruled by its many ordinary queries, and would pull the tail with
it.

Each score is integrated out: the cost does not depend on the number of queries, and
``posterior.query_risks`` draws scores afterwards. The likelihood is the same where
sampling stopped at the first success.

The prior of the scale is wide, 0.02 to 1 score units with 90 % probability, because
counts say less about it than exact risks do. Prior predictive of one behaviour with 100
trials a query: of the queries, 0.1 % have a risk above a value that is 1e-4 to 0.9 with
90 % probability.

Unless a model is named, `fit` averages it at several thresholds with beta_binomial for
counts, and takes it alone for estimates.

Reference: Jones et al. (2025), arXiv 2502.16797, section 3, for the law of large risks;
Coles (2001), An Introduction to Statistical Modeling of Extreme Values, section 4.2.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm

from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import counts, layout, quadrature
from bayes_rare.likelihoods.partial_pooling import draw_pooled, partially_pooled
from bayes_rare.likelihoods.steps import (
    draw_scores,
    draw_steps,
    prior_of_steps,
    steps_nodes,
    steps_population,
)
from bayes_rare.populations import StepsAndTail
from bayes_rare.scores import risk_from_score

ACCEPTS = {"counts", "estimates"}
POINTWISE = counts.POINTWISE
DENSE_MASS = True


def observe(
    evaluation: Any,
    *,
    exceedances: float | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density."""
    return counts.outcome_data(
        evaluation, exceedances=exceedances, fraction=fraction, threshold=threshold
    )


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
    """Return the model.

    Parameters
    ----------
    evaluation
        Counts or estimates of one or more behaviours.
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
        known = layout.data_variables(data)
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
        log_weight, log_rate = prior_of_steps(
            known["edges"],
            scale_b,
            step_rise=step_rise,
            step_sd=step_sd,
            lowest_step_sd=lowest_step_sd,
        )
        steps = steps_nodes(known, log_weight, log_rate, scale_b, shape_b)
        counts.observe_outcomes(known, steps)
    return model


def simulate(
    rng: np.random.Generator,
    design: Mapping[str, int],
    *,
    trials: int = 50,
    threshold: float = -1.0,
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
) -> tuple[dict[str, np.ndarray], Any]:
    """Return parameters drawn from the prior, and an evaluation drawn from those."""
    scales = draw_pooled(
        rng,
        "log_scale",
        len(design),
        mean=log_scale,
        sd=log_scale_sd,
        spread=log_scale_spread,
        pool=pool,
    )
    shapes = draw_pooled(
        rng,
        "shape",
        len(design),
        mean=shape,
        sd=shape_sd,
        spread=shape_spread,
        pool=pool,
    )
    scale = np.exp(scales["log_scale"])
    edges = np.tile(quadrature.step_edges(threshold, float(trials)), (len(design), 1))
    weight, rate = draw_steps(
        rng,
        edges,
        scale,
        step_rise=step_rise,
        step_sd=step_sd,
        lowest_step_sd=lowest_step_sd,
    )
    parts = []
    for index, (behaviour, queries) in enumerate(design.items()):
        drawn = draw_scores(
            rng,
            queries,
            edges[index],
            weight[index],
            (rate[index], scale[index], shapes["shape"][index]),
        )
        successes = rng.binomial(trials, risk_from_score(drawn))
        parts.append(
            Evaluation.from_counts(
                successes, np.full(queries, trials), behaviour=behaviour
            )
        )
    truth = {**scales, **shapes, "scale": scale, "rate": rate, "step_weight": weight}
    return truth, Evaluation.joined(parts)


def population(
    draws: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> StepsAndTail:
    """Return the distribution of a new query's score, for one behaviour."""
    return steps_population(draws, data)
