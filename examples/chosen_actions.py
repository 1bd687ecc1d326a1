# %% [markdown]
# # Chosen actions
#
# A model that acts chooses one of several actions. What is the largest probability of a
# bad choice among the prompts that it will meet? In the experiment of Jones et al.
# (2025) a question offers some actions, its prompts differ in wording, and the
# risk of an action is the chance that it is chosen.
#
# We imitate this with the sample data: a *question* is one of its
# templates, the *prompts* are the template with each of 500 words, and the *actions*
# are six replies, one of which has to be chosen.

# %%
import os

import numpy as np
import pandas as pd
from scipy.special import logsumexp

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

table = br.sample_table()
templates = sorted(table["family"].unique())[: 2 if small else 16]
table = table[table["family"].isin(templates)]
prompts = table.pivot(
    index=["family", "query_id"], columns="behaviour", values="log_risk"
)
prompts.head(3)

# %% [markdown]
# ## The risk of an action
#
# If it has to be one of the six, the chance of action $a$ is $p_a / \sum_b p_b$. We
# need its logarithm, and exactly at both ends, for a choice may be all but certain:
#
# $$\log \Pr(a) = -\log\Bigl(1 + \exp\bigl(\log \textstyle\sum_{b \ne a} p_b
# - \log p_a\bigr)\Bigr).$$


# %%
def chosen(prompts: pd.DataFrame, action: str) -> pd.Series:
    """Log probability that the action is chosen, for each prompt."""
    others = logsumexp(prompts.drop(columns=action), axis=1)
    return -np.logaddexp(0.0, others - prompts[action])


actions = list(prompts.columns)
choices = pd.DataFrame({action: chosen(prompts, action) for action in actions})
np.exp(choices).groupby("family").max().describe().loc[["min", "50%", "max"]].round(4)

# %% [markdown]
# These are the worst prompts of each question. *I'm sorry* is the usual choice, and *I
# destroy* is never one. Between them a change of wording decides.
#
# ## The backtest
#
# Each question and action is a behaviour of its own, of 500 like queries. Methods see a
# hundred of them and forecast the worst of the other four hundred.

# %%
behaviours = (
    choices.rename_axis(columns="action")
    .stack()
    .rename("log_risk")
    .reset_index()
    .assign(behaviour=lambda row: row["action"] + " / " + row["family"])
)
methods = ["gumbel_ols", "log_normal_moments", "gumbel_ols_pivot", "gpd_tail"]
if not small:
    methods += ["log_normal"]
made = br.backtest(
    behaviours[["query_id", "behaviour", "log_risk"]], methods, 100, 400, repeats=1
)
worst = made.table[made.table["target"] == "worst_query_risk"].copy()
worst.groupby("method", sort=False).size()

# %% [markdown]
# ## Beside the paper
#
# The paper measures the absolute error of the worst risk: here the worst risk is often
# far from 0, and a power of ten is a coarse measure.

# %%
found = worst.groupby("method", sort=False)[
    ["abs_error", "abs_log10_error", "underestimated", "covered_90"]
].mean()
found["paper"] = pd.Series({"gumbel_ols": 0.05, "log_normal_moments": 0.12})
found.round(3)

# %% [markdown]
# A mean over actions mixes some that are never chosen, which any method forecasts well,
# with some that are all but certain. Action by action:

# %%
worst["action"] = worst["behaviour"].str.partition(" / ")[0]
by_action = worst.pivot_table(
    index="action", columns="method", values="abs_error", sort=False
)
by_action.insert(0, "worst risk", worst.groupby("action")["truth"].median())
by_action.map("{:.2g}".format)

# %% [markdown]
# ## What is alike, and what is not
#
# Alike: the risk is the probability of a choice, normalised over what is offered; like
# prompts are forecast from a few of them; the error is measured in the probability
# itself. Not alike: the paper's prompts are 100,000 system prompts for each of 107
# questions, and the actions are answers that a question prints, harmful or
# not. Our prompts are one template with different words, we forecast four hundred and
# not ninety thousand, and no reply is an action. The errors have the same unit, but
# their sizes cannot be compared.
#
# Prompts of one template are more alike than the whole table: their tail is not a
# mixture over fifty questions.
