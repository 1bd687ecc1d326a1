"""Generalized Pareto excesses of the score over a threshold, shape shrunk towards 0.

The excesses of almost every distribution over a high threshold are generalized Pareto.
A shape of 0 is the straight line of gumbel_tail; a negative one bends it down to an
upper end, a positive one up::

    rate_b           ~ Uniform(0, 1)                  share of queries above u_b
    log_scale_mean   ~ Normal(log_scale, log_scale_sd)
    log_scale_spread ~ LogNormal(median log_scale_spread, log sd 0.5)
    log_scale_b      ~ Normal(log_scale_mean, log_scale_spread)
    shape_b          in the same way
    is_above_i       ~ Bernoulli(rate_b)
    excess_i         ~ GPD(scale_b, shape_b)          score_i = u_b + excess_i

With one behaviour, or ``pool=False``, the prior of a mean is that of each behaviour.
The prior of the shape is tight on purpose: ten excesses say little about it, and a
deployment a million times the evaluation multiplies what it says. Prior predictive, of
one behaviour given its threshold: the scale is 0.3 score units, 0.06 to 1.6 with 90 %
probability; the shape is -0.3 to 0.2.

Unless a model is named, `fit` averages it at several thresholds with log_normal, and
with family_tail where queries come in families.

Reference: Coles (2001), An Introduction to Statistical Modeling of Extreme Values,
section 4.2; the law of large risks is Jones et al. (2025), arXiv 2502.16797, section 3.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm

from bayes_rare.likelihoods.exceedances import (
    exceedance_data,
    observe_exceedances,
    simulate_exceedances,
    tail_population,
)
from bayes_rare.likelihoods.layout import data_variables
from bayes_rare.likelihoods.partial_pooling import (
    bounded_normal,
    draw_pooled,
    partially_pooled,
)
from bayes_rare.populations import BodyAndTail

ACCEPTS = {"exact"}
MIN_EXCEEDANCES = 5
POINTWISE = {"score_excess": "multiplicity"}


def observe(
    evaluation: Any,
    *,
    exceedances: int | None = 10,
    fraction: float | None = None,
    threshold: float | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density."""
    return exceedance_data(
        evaluation, exceedances=exceedances, fraction=fraction, threshold=threshold
    )


def build(
    evaluation: Any,
    *,
    exceedances: int | None = 10,
    fraction: float | None = None,
    threshold: float | None = None,
    log_scale: float = -1.2,
    log_scale_sd: float = 1.0,
    log_scale_spread: float = 0.5,
    shape: float = -0.05,
    shape_sd: float = 0.15,
    shape_spread: float = 0.1,
    pool: bool = True,
) -> pm.Model:
    """Return the model.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.
    exceedances
        How many scores are above the threshold; the threshold is the next one down.
    fraction
        The same as a fraction of the queries, in (0, 1), in place of a number.
    threshold
        The threshold itself, a score, in place of both.
    log_scale, log_scale_sd
        Mean and standard deviation of the normal prior of the log scale, score units;
        ``inf`` is the prior 1/scale.
    log_scale_spread
        Median of the prior of its standard deviation between behaviours.
    shape, shape_sd
        Mean and standard deviation of the normal prior of the shape; ``inf`` is flat.
    shape_spread
        Median of the prior of its standard deviation between behaviours.
    pool
        Whether behaviours share these means and spreads.
    """
    data = observe(
        evaluation, exceedances=exceedances, fraction=fraction, threshold=threshold
    )
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        known = data_variables(data)
        log_scale_b = partially_pooled(
            "log_scale",
            len(evaluation.behaviours),
            mean=log_scale,
            sd=log_scale_sd,
            spread=log_scale_spread,
            pool=pool,
        )
        scale_b = pm.Deterministic("scale", pm.math.exp(log_scale_b), dims="behaviour")
        shape_b = bounded_normal(
            "shape",
            len(evaluation.behaviours),
            -scale_b / known["largest_excess"],
            mean=shape,
            sd=shape_sd,
            spread=shape_spread,
            pool=pool,
        )
        observe_exceedances(known, scale_b, shape_b)
    return model


def simulate(
    rng: np.random.Generator,
    design: Mapping[str, int],
    *,
    threshold: float = -1.5,
    log_scale: float = -1.2,
    log_scale_sd: float = 1.0,
    log_scale_spread: float = 0.5,
    shape: float = -0.05,
    shape_sd: float = 0.15,
    shape_spread: float = 0.1,
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
    rate, evaluation = simulate_exceedances(
        rng, design, threshold, scale, shapes["shape"]
    )
    return {**scales, **shapes, "scale": scale, "rate": rate}, evaluation


def population(
    draws: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> BodyAndTail:
    """Return the distribution of a new query's score, for one behaviour."""
    return tail_population(draws, data, draws["shape"])
