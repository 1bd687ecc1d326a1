"""Posteriors that are quick to have: draws from the prior, as if they were sampled."""

from dataclasses import replace
from typing import Any

import numpy as np

from bayes_rare import catalog
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting.prior_predictive import PRIOR_DRAWS, prior_draws
from bayes_rare.posterior import Posterior, Verdict

SOUND = Verdict(1.0, 1.0, 2000.0, 0, PRIOR_DRAWS, 1.0)
"""A verdict on draws in which nothing is wrong."""


def unfitted(
    name: str, evaluation: Evaluation, seed: int = 0, **priors: Any
) -> Posterior:
    """Draws from a model's prior, with all else that a posterior has."""
    model = catalog.load(name)
    settings = model.settings(**priors)
    built: Any = model.build(evaluation, **settings)
    data = {variable.name: variable.get_value() for variable in built.data_vars}
    draws = prior_draws(model, evaluation, settings, data, built=built, seed=seed)
    dims = {
        variable: tuple(map(str, own))
        for variable, own in built.named_vars_to_dims.items()
    }
    energy = np.random.default_rng(seed).normal(size=(1, PRIOR_DRAWS))
    return Posterior(
        model=model,
        evaluation=evaluation,
        draws=draws,
        statistics={"energy": energy, "diverging": np.zeros_like(energy, bool)},
        data=data,
        dims=dims,
        verdict=SOUND,
        provenance={
            "model": {"name": name, "digest": model.digest, "path": ""},
            "priors": catalog.plain(settings),
            "seed": seed,
        },
    )


def as_if(posterior: Posterior, **priors: Any) -> Posterior:
    """The posterior as if it had been fitted with other priors."""
    settings = catalog.plain(posterior.settings | priors)
    return replace(posterior, provenance={**posterior.provenance, "priors": settings})
