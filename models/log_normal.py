"""Normal scores: minus the log risk is log-normal over queries.

::

    location_mean   ~ Normal(location, location_sd)
    location_spread ~ LogNormal(median location_spread, log sd 0.5)
    location_b      ~ Normal(location_mean, location_spread)
    log_scale_b     in the same way
    score_i         ~ Normal(location_b, scale_b)

With one behaviour, or ``pool=False``, the prior of a mean is that of each behaviour.
Every query counts equally, so a body that is not quite normal distorts the tail. Prior
predictive: the median query has a risk from 1e-100 to 0.7 with 90 % probability, 1e-3
in the middle; a query two standard deviations riskier has a score 0.7 larger in the
middle, 0.14 to 3.8.

The published baseline, with its uncertainty; it works with a handful of queries.

Reference: Jones et al. (2025), arXiv 2502.16797, section 3.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm

from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods.layout import data_variables
from bayes_rare.likelihoods.normal_scores import cell_data, normal_cell_logp
from bayes_rare.likelihoods.partial_pooling import draw_pooled, partially_pooled
from bayes_rare.populations import Normal

ACCEPTS = {"exact"}
POINTWISE = {"scores": "cell_count"}


def observe(evaluation: Any) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density."""
    return cell_data(evaluation)


def build(
    evaluation: Any,
    *,
    location: float = -2.0,
    location_sd: float = 2.0,
    location_spread: float = 1.0,
    log_scale: float = -1.0,
    log_scale_sd: float = 1.0,
    log_scale_spread: float = 0.5,
    pool: bool = True,
) -> pm.Model:
    """Return the model.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.
    location, location_sd
        Mean and standard deviation of the normal prior of the mean score.
    location_spread
        Median of the prior of its standard deviation between behaviours.
    log_scale, log_scale_sd
        Mean and standard deviation of the normal prior of the log standard deviation
        of scores.
    log_scale_spread
        Median of the prior of its standard deviation between behaviours.
    pool
        Whether behaviours share these means and spreads.
    """
    data = observe(evaluation)
    behaviours = len(evaluation.behaviours)
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        known = data_variables(data)
        location_b = partially_pooled(
            "location",
            behaviours,
            mean=location,
            sd=location_sd,
            spread=location_spread,
            pool=pool,
            centred=True,
        )
        log_scale_b = partially_pooled(
            "log_scale",
            behaviours,
            mean=log_scale,
            sd=log_scale_sd,
            spread=log_scale_spread,
            pool=pool,
            centred=True,
        )
        scale_b = pm.Deterministic("scale", pm.math.exp(log_scale_b), dims="behaviour")
        pm.CustomDist(
            "scores",
            location_b[:, None],
            scale_b[:, None],
            known["cell_count"],
            known["cell_squares"],
            known["cell_censored"],
            logp=normal_cell_logp,
            random=lambda location, scale, *_, rng, size: rng.normal(
                location, scale, size
            ),
            observed=known["cell_score"],
            dims=("behaviour", "cell"),
            dtype="float64",
        )
    return model


def simulate(
    rng: np.random.Generator,
    design: Mapping[str, int],
    *,
    location: float = -2.0,
    location_sd: float = 2.0,
    location_spread: float = 1.0,
    log_scale: float = -1.0,
    log_scale_sd: float = 1.0,
    log_scale_spread: float = 0.5,
    pool: bool = True,
) -> tuple[dict[str, np.ndarray], Any]:
    """Return parameters drawn from the prior, and an evaluation drawn from those."""
    locations = draw_pooled(
        rng,
        "location",
        len(design),
        mean=location,
        sd=location_sd,
        spread=location_spread,
        pool=pool,
    )
    scales = draw_pooled(
        rng,
        "log_scale",
        len(design),
        mean=log_scale,
        sd=log_scale_sd,
        spread=log_scale_spread,
        pool=pool,
    )
    scale = np.exp(scales["log_scale"])
    scores = {
        behaviour: rng.normal(locations["location"][index], scale[index], queries)
        for index, (behaviour, queries) in enumerate(design.items())
    }
    return {**locations, **scales, "scale": scale}, Evaluation.from_scores(scores)


def population(
    draws: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],  # noqa: ARG001 the draws say it all
) -> Normal:
    """Return the distribution of a new query's score, for one behaviour."""
    return Normal(location=draws["location"], scale=draws["scale"])
