# %% [markdown]
# # Families and shift
#
# The queries of an evaluation come in families: templates, sources, techniques. Queries
# of one family are alike, so a thousand of them say less than they seem to; and what is
# deployed is another mix, with families that nobody has tested. Here families are
# named, the mix is changed, and unseen families are included.

# %%
import os

import numpy as np
import pandas as pd

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run
size = {"warmup": 300, "draws": 300, "target_ess": 0} if small else {"target_ess": 400}

seen, unseen = br.sample_split(1_000, seed=0)
behaviour = "I'm sorry"
seen, unseen = seen.select([behaviour]), unseen.select([behaviour])
print(len(seen.families), "families; the largest:")
cells = seen.cells.groupby("family")["count"].sum()
cells.sort_values(ascending=False).head(3)

# %% [markdown]
# ## Whose are the riskiest queries?

# %%
seen.riskiest.head(20)["family"].value_counts()

# %% [markdown]
# If all fifty families were alike, the twenty riskiest queries would hardly come from
# so few. A tail through the ten riskiest assumes that queries are independent, so its
# interval is too narrow. The notes of its forecast say so:

# %%
plain = br.fit(seen, "gpd_tail", **size)
apart = br.forecast(plain, br.Deployment(24_000))
for note in apart.notes:
    if "riskiest queries are of" in note:
        print(note)

# %% [markdown]
# ## A model with families
#
# In `family_tail` each family has a location and a scale of its own, partially pooled,
# and all families share one tail. Every query then says something about it.

# %%
posterior = br.fit(seen, "family_tail", **size)
together = br.forecast(posterior, br.Deployment([24_000, 1e6]))


def worst(forecast: br.Forecast) -> pd.DataFrame:
    """Rows about the riskiest of 24,000 queries."""
    table = forecast.summary()
    rows = (table["target"] == "worst_query_risk") & (table["queries"] == 24_000)
    return table[rows][["median", "lower", "upper"]]


truth = float(unseen.summary()["riskiest"].iloc[0])
print(f"riskiest of the 24,000 held out: {truth:.3g}")
pd.concat([worst(apart), worst(together)], keys=["gpd_tail", "family_tail"])

# %% [markdown]
# ## Which families matter
#
# For each number of queries, the chance that the riskiest comes from each family. This
# shows what to fix first.

# %%
table = together.family_contributions()
table.groupby("queries").head(3)

# %%
together.plot_families()

# %% [markdown]
# ## Another mix
#
# A deployment need not have the mix of the evaluation. Say that two families make up
# nine tenths of it:

# %%
first, second = table["family"].iloc[0], cells.index[0]
mix = br.Deployment(24_000, families={str(first): 0.1, str(second): 0.9})
worst(br.forecast(posterior, mix))

# %% [markdown]
# ## Unseen families
#
# Evaluate ten of the families, and deploy on all of them. The population of families
# has been learnt from those ten: how far apart families are, and that a few are far
# from the others. New families are drawn from it, forty of them, with eight tenths of
# the queries.

# %%
rng = np.random.default_rng(1)
met = rng.permutation(seen.families)[:10].tolist()
rows = seen.cells[seen.cells["family"].isin(met)]
few = br.Evaluation.from_scores(
    np.repeat(rows["score"], rows["count"].astype(int)).to_numpy(),
    behaviour=behaviour,
    family=np.repeat(rows["family"], rows["count"].astype(int)).tolist(),
)
narrow = br.fit(few, "family_tail", **size)
blind = worst(br.forecast(narrow, br.Deployment(24_000)))
aware = worst(
    br.forecast(narrow, br.Deployment(24_000, unseen_share=0.8, unseen_families=40))
)
pd.concat([blind, aware], keys=["the ten alone", "forty more unseen"])

# %% [markdown]
# The second interval is wider, as it should be: nobody knows whether one of forty
# new families is far riskier than all the observed ones. Without a share of unseen
# families a forecast ignores them, and its notes say so.
#
# ## Two behaviours, one answer
#
# A release is judged by the worst of several behaviours. Their posterior draws are
# joint. How far their riskiest queries depend on each other is not known, so the table
# shows the two extremes.

# %%
both, _ = br.sample_split(1_000, seed=0)
both = both.select([behaviour, "I'm afraid"])
joint = br.forecast(br.fit(both, "gpd_tail", **size), br.Deployment(1e6))
joint.joint_worst()

# %%
joint.worse(behaviour, "I'm afraid")
