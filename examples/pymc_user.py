# %% [markdown]
# # For users of PyMC and ArviZ
#
# You can open up a posterior of this package. The model is a PyMC model, the draws are
# an ArviZ `DataTree`, and the file is NetCDF.

# %%
import os

import arviz as az
import numpy as np
import pymc as pm

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

evaluation = br.sample_evaluation(1_000).select(["Death", "I'm afraid", "I'm sorry"])
size = {"warmup": 300, "draws": 300, "target_ess": 0} if small else {}
posterior = br.fit(evaluation, "gumbel_tail", **size)
posterior

# %% [markdown]
# ## The draws
#
# `posterior.tree` has the groups that ArviZ knows, and ArviZ's functions take it.

# %%
posterior.tree

# %%
az.summary(posterior.tree, var_names=["scale", "rate"], ci_prob=0.9, ci_kind="eti")

# %%
forest = az.plot_forest(posterior.tree, var_names=["scale"], combined=True)

# %% [markdown]
# The scale is how much the worst score grows with each factor of $e$ in the number of
# queries.
#
# ## The model
#
# `pymc_model` builds the model that was sampled, data and priors included.

# %%
model = posterior.pymc_model()
model.free_RVs, model.observed_RVs

# %% [markdown]
# What does the prior alone say? Where a model shrinks a parameter, it is worth asking
# how much of the answer was there before the data.

# %%
with model:
    prior = pm.sample_prior_predictive(2_000, var_names=["scale"], random_seed=0)

for name, tree in (("prior", prior.prior), ("posterior", posterior.tree.posterior)):
    scale = tree["scale"].sel(behaviour="Death")
    low, middle, high = np.quantile(scale, [0.05, 0.5, 0.95])
    print(f"{name:>9}: scale {middle:.2f} ({low:.2f} to {high:.2f})")

# %% [markdown]
# This package samples with NumPyro on JAX, since a backtest needs thousands of fits.
# PyMC's own sampler has to agree, and anybody can check that it does.

# %%
with model:
    other = pm.sample(
        draws=200 if small else 1_000,
        tune=300 if small else 1_000,
        chains=2,
        cores=1,
        target_accept=0.95,
        random_seed=0,
        progressbar=False,
        quiet=True,
    )

for name, tree in (("PyMC", other), ("bayes_rare", posterior.tree)):
    mean = tree.posterior["scale"].mean(("chain", "draw")).to_series()
    print(f"{name:>10}:", mean.round(3).to_dict())

# %% [markdown]
# ## What was observed, and what the posterior expects
#
# The density merges equal outcomes into one cell and pads rows.
# `posterior_predictive` gives each query as it was observed, beside new ones.

# %%
check = az.plot_ppc_dist(br.posterior_predictive(posterior, "Death"), kind="ecdf")

# %% [markdown]
# ## The file

# %%
path = posterior.save("posterior.nc")
again = br.load_posterior(path)
assert again.tree.posterior.equals(posterior.tree.posterior)

# %% [markdown]
# ArviZ reads the same file, without this package.

# %%
tree = az.from_netcdf(path)
print(*tree.children)

# %% [markdown]
# The file also stores how the draws were made.

# %%
for name in ("model", "priors", "seed", "versions"):
    print(f"{name}: {again.provenance[name]}")
