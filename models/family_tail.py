"""Families of queries: location and scale by family, one shared body and tail.

Queries come in families: templates, sources, techniques. What they share within a
behaviour is the distribution of their deviates: a standard normal up to 1, and beyond
it a generalized Pareto tail that continues the density. Families differ in where their
scores are, a few of them by a lot, and in how far they spread::

    location_centre_b, location_width_b        where families are, how far apart
    log_scale_centre_b, scale_width_b          the same of the log of their scales
    shape_b                                    of the tail
    location_bf  = location_centre_b + location_width_b * T       T ~ Student(freedom)
    log_scale_bf = log_scale_centre_b + scale_width_b * Z         Z ~ Normal(0, 1)
    scale_bf     = 0.001 + exp(log_scale_bf)
    deviate_i    ~ normal up to 1, generalized Pareto (shape_b) beyond
    score_i      = location_bf + scale_bf * deviate_i

Each of the five of a behaviour is partially pooled over behaviours as in gpd_tail; the
widths by their logarithms. Behaviours that have families of the same name learn from
each other how far these spread: of the variance of Z a share c, Beta(2, 2), is the same
for all of them. With one behaviour, or ``pool=False``, the prior of a mean
is that of each behaviour. Prior predictive, of one behaviour: the median query of a
typical family has a risk of 1e-3 in the middle, 1e-100 to 0.7 with 90 % probability;
families are 0.3 score units apart, 0.09 to 1.0; the scale of a typical family is 0.14,
0.03 to 0.7; the shape is -0.3 to 0.2.

A tail fitted to the ten riskiest queries says little where they are all of one family;
this model uses all families at once. It also forecasts unseen families, which are drawn
from the population of families.

Each query has an exact risk, a count of successes or an estimate of its risk; scores
that are not known exactly are integrated out.

Unless a model is named, `fit` averages it with models without families, where queries
with exact risks come in families.

Reference: Coles (2001), An Introduction to Statistical Modeling of Extreme Values,
sections 4.2 and 9.1.2; Gelman et al. (2013), Bayesian Data Analysis, chapter 17, for
populations with long tails.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm

from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import counts
from bayes_rare.likelihoods.families import (
    FINEST,
    draw_families,
    draw_scores,
    draw_shared,
    family_effects,
    family_population,
    shared_effects,
    shared_families,
)
from bayes_rare.likelihoods.family_counts import (
    family_outcomes,
    observe_family_outcomes,
)
from bayes_rare.likelihoods.family_scores import (
    family_scores,
    largest_deviate,
    observe_family_scores,
)
from bayes_rare.likelihoods.layout import data_variables
from bayes_rare.likelihoods.partial_pooling import (
    bounded_normal,
    draw_pooled,
    partially_pooled,
)
from bayes_rare.populations import SPLICED_SCALE, FamilyMixture
from bayes_rare.scores import risk_from_score

ACCEPTS = {"exact", "counts", "estimates"}
SIZED_BY = ("family_count", "shared_count")
POINTWISE = {
    "scores": "cell_count",
    "risks_of_zeros": "zeros",
    "risks_of_ones": "ones",
    **counts.POINTWISE,
}
# Of the locations of families: long tails, of finite variance. Their log scales are
# normal: a log scale with long tails would make scales that know no bounds.
FREEDOM = 4.0


def observe(evaluation: Any) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density."""
    exact = evaluation.kind(evaluation.behaviours[0]) == "exact"
    own = family_scores(evaluation) if exact else family_outcomes(evaluation)
    return own | shared_families(evaluation)


def build(
    evaluation: Any,
    *,
    location_centre: float = -2.0,
    location_centre_sd: float = 2.0,
    location_centre_spread: float = 1.0,
    log_location_width: float = -1.2,
    log_location_width_sd: float = 0.75,
    log_location_width_spread: float = 0.5,
    log_scale_centre: float = -2.0,
    log_scale_centre_sd: float = 1.0,
    log_scale_centre_spread: float = 0.5,
    log_scale_width: float = -0.9,
    log_scale_width_sd: float = 0.5,
    log_scale_width_spread: float = 0.3,
    shape: float = -0.05,
    shape_sd: float = 0.15,
    shape_spread: float = 0.1,
    pool: bool = True,
) -> pm.Model:
    """Return the model.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours, by family.
    location_centre, location_centre_sd, location_centre_spread
        Where the locations of families are: mean and standard deviation of its normal
        prior, and the median of its standard deviation between behaviours.
    log_location_width, log_location_width_sd, log_location_width_spread
        The same of the logarithm of how far apart they are.
    log_scale_centre, log_scale_centre_sd, log_scale_centre_spread
        The same of the log scale of families.
    log_scale_width, log_scale_width_sd, log_scale_width_spread
        The same of the logarithm of how far apart log scales are.
    shape, shape_sd, shape_spread
        The same of the shape of the tail.
    pool
        Whether behaviours share these means and spreads.
    """
    behaviours = len(evaluation.behaviours)
    data = observe(evaluation)
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        known = data_variables(data)
        centre = partially_pooled(
            "location_centre",
            behaviours,
            mean=location_centre,
            sd=location_centre_sd,
            spread=location_centre_spread,
            pool=pool,
            centred=True,
        )
        log_width = partially_pooled(
            "log_location_width",
            behaviours,
            mean=log_location_width,
            sd=log_location_width_sd,
            spread=log_location_width_spread,
            pool=pool,
        )
        width = pm.Deterministic(
            "location_width", pm.math.exp(log_width), dims="behaviour"
        )
        log_scale = partially_pooled(
            "log_scale_centre",
            behaviours,
            mean=log_scale_centre,
            sd=log_scale_centre_sd,
            spread=log_scale_centre_spread,
            pool=pool,
            centred=True,
        )
        log_spread = partially_pooled(
            "log_scale_width",
            behaviours,
            mean=log_scale_width,
            sd=log_scale_width_sd,
            spread=log_scale_width_spread,
            pool=pool,
        )
        spread = pm.Deterministic(
            "scale_width", pm.math.exp(log_spread), dims="behaviour"
        )
        expected, apart = shared_effects(
            "scale", known if pool else {}, centre=log_scale, width=spread
        )
        log_scale_bf = family_effects(
            "log_scale",
            known["log_scale_guess"],
            known["scale_weight"],
            known["family_count"],
            centre=expected,
            width=apart,
            freedom=np.inf,
        )
        scale_bf = pm.Deterministic(
            "scale", FINEST + pm.math.exp(log_scale_bf), dims=("behaviour", "family")
        )
        location_bf = family_effects(
            "location",
            known["location_guess"],
            known["known_scores"] / scale_bf**2,
            known["family_count"],
            centre=centre,
            width=width,
            freedom=FREEDOM,
        )
        prior_of_shape = {
            "mean": shape,
            "sd": shape_sd,
            "spread": shape_spread,
            "pool": pool,
        }
        if "cell_score" in known:  # no score may lie beyond an upper end
            largest = largest_deviate(known, location_bf, scale_bf)
            bound = -SPLICED_SCALE / largest
            shape_b = bounded_normal("shape", behaviours, bound, **prior_of_shape)
            observe_family_scores(known, location_bf, scale_bf, shape_b)
        else:
            shape_b = partially_pooled("shape", behaviours, **prior_of_shape)
            observe_family_outcomes(known, location_bf, scale_bf, shape_b)
    return model


def simulate(
    rng: np.random.Generator,
    design: Mapping[str, int],
    *,
    families: int = 8,
    trials: int | None = None,
    location_centre: float = -2.0,
    location_centre_sd: float = 2.0,
    location_centre_spread: float = 1.0,
    log_location_width: float = -1.2,
    log_location_width_sd: float = 0.75,
    log_location_width_spread: float = 0.5,
    log_scale_centre: float = -2.0,
    log_scale_centre_sd: float = 1.0,
    log_scale_centre_spread: float = 0.5,
    log_scale_width: float = -0.9,
    log_scale_width_sd: float = 0.5,
    log_scale_width_spread: float = 0.3,
    shape: float = -0.05,
    shape_sd: float = 0.15,
    shape_spread: float = 0.1,
    pool: bool = True,
) -> tuple[dict[str, np.ndarray], Any]:
    """Return parameters drawn from the prior, and an evaluation drawn from those.

    Its risks are exact, or counts of so many trials a query.
    """
    priors = {
        "location_centre": (
            location_centre,
            location_centre_sd,
            location_centre_spread,
        ),
        "log_location_width": (
            log_location_width,
            log_location_width_sd,
            log_location_width_spread,
        ),
        "log_scale_centre": (
            log_scale_centre,
            log_scale_centre_sd,
            log_scale_centre_spread,
        ),
        "log_scale_width": (
            log_scale_width,
            log_scale_width_sd,
            log_scale_width_spread,
        ),
        "shape": (shape, shape_sd, shape_spread),
    }
    parameters: dict[str, np.ndarray] = {}
    for name, (mean, sd, between) in priors.items():
        parameters |= draw_pooled(
            rng, name, len(design), mean=mean, sd=sd, spread=between, pool=pool
        )
    parameters["location_width"] = np.exp(parameters["log_location_width"])
    parameters["scale_width"] = np.exp(parameters["log_scale_width"])
    if pool and len(design) > 1:
        parameters |= draw_shared(rng, "scale", families)
    parameters |= draw_families(rng, families, len(design), parameters, FREEDOM)
    scores, labels = draw_scores(rng, design, families, parameters)
    if trials is None:
        return parameters, Evaluation.from_scores(scores, family=labels)
    parts = [
        Evaluation.from_counts(
            rng.binomial(trials, risk_from_score(drawn)),
            np.full(drawn.size, trials),
            behaviour=behaviour,
            family=labels[behaviour],
        )
        for behaviour, drawn in scores.items()
    ]
    return parameters, Evaluation.joined(parts)


def population(
    draws: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> FamilyMixture:
    """Return the distribution of a new query's score, for one behaviour."""
    return family_population(draws, data, FREEDOM)
