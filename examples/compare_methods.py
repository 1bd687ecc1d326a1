# %% [markdown]
# # Compare methods
#
# Which method should you believe? Jones et al. (2025) test theirs on language
# models that were made to repeat instructions for misuse. We do the same on another
# model, with the sample data: draw a small evaluation from a large one, forecast, and
# look at what was left. Only such a **backtest** distinguishes a good method
# from a confident one, and your own takes the same few lines.

# %%
import os

import pandas as pd

import bayes_rare as br
from bayes_rare.backtesting import plot_coverage, plot_pit

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

table = br.sample_table()  # yours: "evaluation.parquet", or any frame
table.groupby("behaviour")["log_risk"].describe()[["count", "50%", "max"]]

# %% [markdown]
# ## The backtest
#
# The first two methods are those of the paper. `evaluation_maximum` answers with the
# riskiest query that was seen, whatever the deployment: a method should at least be
# better than that. `gumbel_ols_pivot` is the paper's line with the interval of its
# error, and the others are Bayesian models of this package.
#
# A method sees 100, or 1,000, of a behaviour's queries, and forecasts 20,000 others.
# All see the same splits. Each behaviour is fitted by itself, as in the paper;
# `pool=True` would let them learn from each other.

# %%
methods = [
    "gumbel_ols",
    "log_normal_moments",
    "evaluation_maximum",
    "gumbel_ols_pivot",
    "gpd_tail",
    "log_normal",
]
if small:
    methods = ["gumbel_ols", "log_normal_moments", "evaluation_maximum", "gpd_tail"]
made = br.backtest(
    table,
    methods,
    evaluation_sizes=[100] if small else [100, 1_000],
    deployment_sizes=[20_000],
    repeats=2 if small else 8,
    behaviours=["Death"] if small else None,
)
made.table.groupby(["target", "method"])["crps"].size().unstack("target")

# %% [markdown]
# `workers=2` would use two processes, and `output="backtest.parquet"` keep what is
# done, so that a run that was stopped goes on where it was.
#
# ## Beside the paper
#
# The paper's figures are means over its behaviours, models and sizes: by how many
# powers of ten the forecast of the worst query's risk is wrong, how often it is too
# low, and how often it is within one power of ten.

# %%
worst = made.table[made.table["target"] == "worst_query_risk"]
here = worst.groupby("method", sort=False)[
    ["abs_log10_error", "underestimated", "within_one_order"]
].mean()
paper = pd.DataFrame(
    {
        "paper: error": {"gumbel_ols": 1.7, "log_normal_moments": 2.4},
        "paper: underestimated": {"gumbel_ols": 0.34, "log_normal_moments": 0.72},
        "paper: within one": {"gumbel_ols": 0.86},
    }
)
here.join(paper).round(2)

# %% [markdown]
# The errors here are much smaller, but not because of our methods: the paper's
# outputs are long, and their risks span many more powers of ten. What can be
# compared is the order of methods and the direction of their errors: here too the line
# is more often too high and the normal distribution too low, but the line has the
# larger error. (The last column of the paper is for 900 queries and 90,000 alone.)
#
# A mean hides that methods are good at different sizes. The **CRPS** measures a
# forecast as a whole, its middle and its width; of a point forecast it is the absolute
# error, on the scale of scores. Smaller is better.

# %%
compared = br.compare(made.table)
shown = ["mean_abs_log10_error", "mean_crps", "coverage_90"]
compared.rows.set_index(["target", "evaluation_size", "method"])[shown].round(3)

# %% [markdown]
# ## Who wins
#
# In words, with an interval for each difference. The bootstrap
# resamples behaviours, because eight splits of one behaviour are not independent.

# %%
for verdict in compared.verdicts():
    print(f"- {verdict}\n")

# %%
compared.plot_skill()

# %% [markdown]
# To the left is better than `gumbel_ols`. From a hundred queries every other method
# does better for the worst query, the bare maximum included. From a thousand,
# `gpd_tail` and the line with its interval do, and the others cannot be distinguished
# from it.
#
# ## Can the intervals be believed?
#
# A 90 % interval should contain the truth nine times in ten.

# %%
plot_coverage(made.table)

# %% [markdown]
# `log_normal` wins at a hundred queries, but its intervals are the most overconfident:
# its errors are small, but its intervals are smaller. A score weighs both; which of
# them matters more is for you to decide.
#
# Each forecast also says how likely something smaller was than what happened. If
# forecasts are right, these probabilities are spread evenly. If they pile up on the
# left, the truth was smaller than forecast; on the right, larger, which is the
# dangerous error; at both ends, the intervals are too narrow.

# %%
plot_pit(made.table)

# %% [markdown]
# The comparison's notes say what to keep in mind when reading these numbers:

# %%
for note in compared.notes:
    print(f"- {note}\n")

# %% [markdown]
# ## A method of yours
#
# goes into the list like the others: as the path of a model file, or any function from
# an evaluation and a deployment to a forecast. `{"mine": function}` gives it a name.
