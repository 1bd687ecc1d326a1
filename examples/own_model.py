# %% [markdown]
# # A model of your own
#
# A model is one Python file. It says how the data arise, and what a posterior draw says
# of a new query. Yours is used as the shipped ones are, by its path.
#
# Here is a case for one. Suppose that a filter stops at least half of all responses,
# whatever the query. Then no query has a risk above one half, and we know more than
# `gpd_tail` does: **where the tail ends**. A generalised Pareto tail above the
# threshold $u$ ends at the score $u - \sigma / \xi$, so an end at $\psi^*$ fixes the
# shape:
#
# $$ \xi = -\frac{\sigma}{\psi^* - u} . $$
#
# One parameter is left, the scale $\sigma$.
#
# ## The file

# %%
import os
from pathlib import Path

import pandas as pd

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

SOURCE = '''\
"""A generalised Pareto tail that ends at a known risk.

    rate_b         ~ Uniform(0, 1)
    log_scale_b    ~ Normal(log_scale, spread)     pooled over behaviours
    shape_b        = -scale_b / (score(ceiling) - u_b)
    is_above_i     ~ Bernoulli(rate_b)
    excess_i       ~ GPD(scale_b, shape_b)
"""

import pymc as pm

from bayes_rare.likelihoods.exceedances import (
    exceedance_data,
    observe_exceedances,
    tail_population,
)
from bayes_rare.likelihoods.layout import data_variables
from bayes_rare.likelihoods.partial_pooling import partially_pooled
from bayes_rare.scores import score_from_risk

ACCEPTS = {"exact"}


def build(
    evaluation,
    *,
    ceiling=0.5,
    exceedances=10,
    log_scale=-1.2,
    log_scale_sd=1.0,
    log_scale_spread=0.5,
    pool=True,
):
    data = exceedance_data(evaluation, exceedances=exceedances)
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
        scale = pm.Deterministic("scale", pm.math.exp(log_scale_b), dims="behaviour")
        room = float(score_from_risk(ceiling)) - known["threshold"]
        shape = pm.Deterministic("shape", -scale / room, dims="behaviour")
        observe_exceedances(known, scale, shape)
    return model


def population(draws, data):
    return tail_population(draws, data, draws["shape"])
'''

path = Path("ceiling_tail.py")
path.write_text(SOURCE)

# %% [markdown]
# Three things to know:
#
# - `build` takes the evaluation and returns a PyMC model. Its keyword arguments are the
#   priors and settings, each with a default, and can be given to `fit`.
# - All that depends on the data enters as `pm.Data`; `data_variables` does that. So one
#   compiled density serves many data sets.
# - `population` gets the draws and the data of **one** behaviour, with the draws along
#   the last axis. It returns a distribution of scores that is complete, from the
#   smallest to the largest: here the tail, and below it the evaluation's own scores.
#
# The functions that the file imports are those that the shipped models use. Any other
# PyMC model will do as well, if its `population` returns a `Population`.
#
# ## Use it

# %%
seen, unseen = br.sample_split(1_000, seed=0)
seen = seen.select(["Death", "I'm afraid", "I'm sorry"])
size = {"warmup": 300, "draws": 300, "target_ess": 0} if small else {}
ours = br.fit(seen, path, ceiling=0.5, **size)
ours

# %%
theirs = br.fit(seen, "gpd_tail", **size)
theirs

# %% [markdown]
# The error for a misspelt setting lists the right ones.

# %%
try:
    br.fit(seen, path, cieling=0.5)
except br.BayesRareError as error:
    print(error)

# %% [markdown]
# ## Is it better?
#
# Backtest both on held-out queries.


# %%
def worst_risks(posterior: br.Posterior) -> pd.DataFrame:
    """Interval of the risk of the riskiest of 24,000 and of a billion queries."""
    forecast = br.forecast(
        posterior, br.Deployment([24_000, 1e9]), targets=["worst_query_risk"]
    )
    table = forecast.summary(0.9).set_index(["queries", "behaviour"])
    return table[["median", "lower", "upper"]]


compared = pd.concat(
    [
        worst_risks(posterior).add_prefix(f"{posterior.model.name} ")
        for posterior in (ours, theirs)
    ],
    axis="columns",
)
compared.loc[24_000].assign(truth=unseen.summary().set_index("behaviour")["riskiest"])

# %% [markdown]
# The intervals of `ceiling_tail` are narrower, and narrower is not the same as better:
# for *Death* the truth lies just below. A tail that *ends* at one half is also a tail
# that *reaches* one half. The file says more than we knew: that for every behaviour,
# some query is nearly as risky as the filter lets it be.
#
# A million times further out than the evaluation, the two differ more.

# %%
compared.loc[10**9]

# %% [markdown]
# The model that knows of the filter never goes above one half, and `gpd_tail` does. The
# data, all far from the ceiling, cannot tell which is right. What a model adds to them
# is worth what is known apart from them, and the file is where that is written down,
# for others to read and to doubt.
