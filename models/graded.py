"""Counts graded by a fallible judge: as binomial_tail, with verdicts that err.

What is counted are verdicts. A judge records a response that shows the behaviour as
showing it with a chance called sensitivity, and one that does not with a chance called
false-positive rate; both are unknown, and the same for all queries and behaviours::

    sensitivity         ~ Beta of a mean, worth sensitivity_size responses, and of
                          true_positives, false_negatives of human-checked ones
    false_positive_rate ~ Beta of a mean, worth false_positive_rate_size responses, and
                          of false_positives, true_negatives of human-checked ones
    score_i             ~ steps and a tail, as in binomial_tail
    recorded_i          = false_positive_rate
                          + (sensitivity - false_positive_rate) * risk_i
    successes_i         ~ Binomial(trials_i, recorded_i)

This assumes that the judge errs on each response by itself. A judge may as well misread
a whole query, so that all its responses are recorded as showing the behaviour, or none
is. With ``by_query=True`` a query's responses are recorded as they are with chance
``sensitivity - false_positive_rate``, all as showing it with chance
``false_positive_rate``, and none with the rest. With one trial a query the two are the
same, and no data tell them apart; with many, they differ by far: one query with 100
successes of 100 is a certain failure under the first, and may be an error under the
second.

Where the risks are below the false-positive rate, successes are mostly errors: what the
forecast says there comes from the priors. Human-checked responses help; they must have
been chosen without regard to the judge's verdict.

Reference: Rogan & Gladen (1978), Estimating prevalence from the results of a screening
test, American Journal of Epidemiology 107, 71-76; the tail as in binomial_tail.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm

from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import counts, layout, quadrature
from bayes_rare.likelihoods.judge import (
    draw_judge,
    draw_verdicts,
    prior_of_judge,
    verdicts,
)
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

ACCEPTS = {"counts"}
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
    sensitivity: float = 0.9,
    sensitivity_size: float = 10.0,
    false_positive_rate: float = 0.01,
    false_positive_rate_size: float = 50.0,
    true_positives: float = 0.0,
    false_negatives: float = 0.0,
    false_positives: float = 0.0,
    true_negatives: float = 0.0,
    by_query: bool = False,
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
    sensitivity, sensitivity_size
        Mean of the beta prior of the sensitivity, and how many responses it is worth.
    false_positive_rate, false_positive_rate_size
        Mean of the beta prior of the false-positive rate, and its worth.
    true_positives, false_negatives
        Human-checked responses that show the behaviour, by the judge's verdict.
    false_positives, true_negatives
        Human-checked responses that do not show it, by the judge's verdict.
    by_query
        Whether the judge errs on all responses of a query alike.
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
        judge = prior_of_judge(
            sensitivity=(sensitivity, sensitivity_size),
            false_positive_rate=(false_positive_rate, false_positive_rate_size),
            checked=(true_positives, false_negatives, false_positives, true_negatives),
        )
        steps = steps_nodes(known, log_weight, log_rate, scale_b, shape_b)
        counts.observe_outcomes(
            known,
            steps,
            **verdicts(*judge, by_query=by_query),
        )
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
    sensitivity: float = 0.9,
    sensitivity_size: float = 10.0,
    false_positive_rate: float = 0.01,
    false_positive_rate_size: float = 50.0,
    by_query: bool = False,
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
    judge = draw_judge(
        rng,
        sensitivity=(sensitivity, sensitivity_size),
        false_positive_rate=(false_positive_rate, false_positive_rate_size),
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
        successes = draw_verdicts(
            rng, trials, risk_from_score(drawn), *judge, by_query=by_query
        )
        parts.append(
            Evaluation.from_counts(
                successes, np.full(queries, trials), behaviour=behaviour
            )
        )
    truth = {
        **scales,
        **shapes,
        "scale": scale,
        "rate": rate,
        "step_weight": weight,
        "sensitivity": np.asarray(judge[0]),
        "false_positive_rate": np.asarray(judge[1]),
    }
    return truth, Evaluation.joined(parts)


def population(
    draws: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> StepsAndTail:
    """Return the distribution of a new query's true score, for one behaviour."""
    return steps_population(draws, data)


def recorded(draws: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the judge's false-positive rate and sensitivity."""
    return draws["false_positive_rate"], draws["sensitivity"]
