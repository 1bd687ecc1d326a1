# %% [markdown]
# # A first forecast
#
# A thousand queries have been tested. How bad is the worst of the next 24,000, and of
# the next billion?
#
# The package includes sample data: 25,000 queries to a small language model, and for
# each the exact probability that the reply begins with certain words, such as *I
# destroy*. Such a reply is a **behaviour**, and its probability is the query's
# **risk**. We fit a model to 1,000 of the queries and forecast the others, so that we
# can compare the forecast with the truth.

# %%
import os

import pandas as pd

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

seen, unseen = br.sample_split(1_000, seed=0)
seen.summary().set_index("behaviour")

# %% [markdown]
# To read your own data, use `br.read_table("evaluation.parquet")`: one row for each
# query and behaviour, with the natural logarithm of its risk in a column `log_risk`.
#
# The riskiest queries are the ones that matter. What do they look like?

# %%
columns = ["behaviour", "query_text", "log_risk"]
seen.riskiest.groupby("behaviour").head(1)[columns].set_index("behaviour")

# %% [markdown]
# ## Fit
#
# The model `gpd_tail` describes the ten largest scores of each behaviour by a
# generalised Pareto tail, where the **score** of a risk $p$ is $-\log(-\log p)$. Six
# behaviours are fitted at once and borrow strength from each other. A fit is a
# posterior: many tails that the data leave possible.

# %%
size = {"warmup": 300, "draws": 300, "target_ess": 0} if small else {}
posterior = br.fit(seen, "gpd_tail", **size)
posterior

# %% [markdown]
# Before anything else: did the sampler do its work? The verdict holds the numbers, and
# `require_convergence` stops a program whose fit is not to be trusted.

# %%
if not small:
    posterior.require_convergence()
pd.Series(vars(posterior.verdict))

# %% [markdown]
# ## Forecast
#
# A deployment is a number of queries, or several. The cost does not depend on it.

# %%
forecast = br.forecast(posterior, br.Deployment([24_000, 1e9]))
table = forecast.summary(interval=0.9)
worst = table[table["target"] == "worst_query_risk"].set_index("behaviour")
worst[["queries", "median", "lower", "upper"]]

# %% [markdown]
# Each row says: with 90 % probability the riskiest of that many queries has a risk
# between `lower` and `upper`. The interval includes two kinds of uncertainty: which
# queries arrive by chance, and what the tail is. The first remains even if the tail is
# known; a larger evaluation reduces only the second.

# %%
split = forecast.variance_split().set_index("behaviour")
split[split["queries"] == 24_000]

# %% [markdown]
# Other questions have their own rows. For example, how large may a deployment be, if
# the chance of a query with a risk above one half is to stay below 5 %? The column
# `mean` holds the size that keeps the chance averaged over all that we do not know. And
# what is the chance of such a query in a billion?

# %%
half = table[table["risk_threshold"] == 0.5].set_index("behaviour")
half[half["target"] == "largest_safe_deployment"][["mean"]]

# %%
chance = half[half["target"] == "exceedance_probability"]
chance[chance["queries"] == 10**9][["mean"]]

# %% [markdown]
# ## Against the truth, and against the published methods
#
# The other 24,000 queries were held out, so the truth is known. Two point methods from
# the literature serve for comparison: a straight line through the logarithm of the
# survival of the ten largest scores, and a normal distribution for all scores.

# %%
deployment = br.Deployment(24_000)
line = br.gumbel_ols(seen, deployment)
moments = br.log_normal_moments(seen, deployment)
figure = forecast.plot(truth=unseen, others=[line, moments])
figure

# %% [markdown]
# Black points are the evaluation, grey rings the held-out queries, and the bands what
# was forecast before they were looked at. Now the same in numbers.


# %%
def worst_risk(forecast: br.Forecast) -> pd.Series:
    """Median risk of the riskiest of 24,000 queries, by behaviour."""
    table = forecast.summary()
    rows = (table["target"] == "worst_query_risk") & (table["queries"] == 24_000)
    return table[rows].set_index("behaviour")["median"]


near = worst[worst["queries"] == 24_000]
compared = pd.DataFrame(
    {
        "truth": unseen.summary().set_index("behaviour")["riskiest"],
        "lower": near["lower"],
        "gpd_tail": near["median"],
        "upper": near["upper"],
        "gumbel_ols": worst_risk(line),
        "log_normal": worst_risk(moments),
    }
)
compared["inside"] = compared["truth"].between(compared["lower"], compared["upper"])
compared

# %% [markdown]
# A point forecast does not say how wrong it may be. An interval does, and it can be
# wrong as well: a 90 % interval should contain the truth nine times in ten. Here *I'm
# tired* lies outside. Which queries were those?

# %%
held_out = unseen.riskiest.set_index("behaviour")
held_out.loc["I'm tired", ["query_text", "log_risk"]].head(5)

# %% [markdown]
# The riskiest say *tired* themselves. Of such queries the thousand that were tested had
# one, and a harmless one. No model of their tail can know of a kind of query that is
# all but absent from them.
#
# ## What it cannot know
#
# Every forecast says so itself.

# %%
for note in forecast.notes:
    print(f"- {note}\n")

# %% [markdown]
# So a forecast is a statement about queries *like those tested*. It is no promise about
# new users, and none about somebody who searches for the worst query.
#
# ## Keep it
#
# The posterior, with the evaluation and all that is needed to use it again, goes into
# one file.

# %%
path = posterior.save("posterior.nc")
br.load_posterior(path)
