# %% [markdown]
# # Counts and judges
#
# Few evaluations know the risk of a query. Most sample some responses to each, let
# somebody or something judge them, and count. Here we make counts out of queries whose
# risks we know, so that we can see what a count hides, what a model recovers, and what
# a judge who errs does to both.

# %%
import os

import numpy as np
import pandas as pd

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run
size = {"warmup": 300, "draws": 300, "target_ess": 0} if small else {"target_ess": 400}

rng = np.random.default_rng(0)
score = rng.normal(-1.6, 0.3, 40_000)
risk = np.exp(-np.exp(-score))
seen, trials = risk[:1_000], 100
worst = risk[1_000:].max()

# %% [markdown]
# A thousand queries are tested with a hundred responses each. The other 39,000 are the
# deployment, and the riskiest of them is what we want to know beforehand.

# %%
successes = rng.binomial(trials, seen)
print(f"{(successes == 0).mean():.0%} of the queries never showed the behaviour")
print(f"riskiest seen: {seen.max():.3f}; largest share: {successes.max() / trials}")
print(f"riskiest of the deployment: {worst:.3f}")

# %% [markdown]
# ## A share is not a risk
#
# The share of successes is a noisy measurement of a risk, and the largest shares are
# partly the largest errors. A line through them mistakes this noise for a tail, and
# queries that never failed have no score at all.

# %%
deployment = br.Deployment(39_000)
evaluation = br.Evaluation.from_counts(successes, np.full(1_000, trials))
shares = (successes + 0.5) / (trials + 1)
as_if_exact = br.Evaluation.from_scores(-np.log(-np.log(shares)))
line = br.gumbel_ols(as_if_exact, deployment)


def worst_risk(forecast: br.Forecast) -> pd.DataFrame:
    """Rows about the riskiest query."""
    table = forecast.summary()
    rows = table[table["target"] == "worst_query_risk"]
    return rows[["median", "lower", "upper"]]


worst_risk(line)

# %% [markdown]
# In `binomial_tail` each query's risk is latent. It is integrated out, so a fit costs
# the same for a thousand queries and for ten million.

# %%
posterior = br.fit(evaluation, "binomial_tail", **size)
forecast = br.forecast(posterior, deployment)
worst_risk(forecast)

# %% [markdown]
# Here the line happens to end nearer to the truth than our median: the
# noise happens to offset its other error. One such comparison proves nothing. Over many
# splits of real behaviours, the CRPS of the line through shares is four times that of
# `binomial_tail` ("Measured results", forecasts from counts), and the
# line has no interval, which a decision needs.
#
# ## Which queries are the risky ones?
#
# Afterwards the risk of each query can be drawn, given its counts and those of all
# the others. The estimate lies between its observed share and the typical risk.
# Here we can compare it with the truth, because we made these counts ourselves.

# %%
order = np.argsort(-successes, kind="stable")[:8]
risks = posterior.query_risks(successes=successes[order], trials=trials, seed=1)
table = risks.summary(samples=10)
columns = ["successes", "observed", "mean", "lower", "upper", "fails_at_least_once"]
table[columns].assign(truth=seen[order][table.index])

# %% [markdown]
# The column `fails_at_least_once` is the chance that one of ten responses shows the
# behaviour; where the behaviour is a success, that is pass@10.
#
# ## A judge who errs
#
# Now the responses are read by a judge who calls 2 % of the harmless ones harmful, and
# overlooks one in ten of the others. A model that trusts the judge mistakes those 2 %
# for risk: every query seems to fail now and then.

# %%
recorded = rng.binomial(successes, 0.9) + rng.binomial(trials - successes, 0.02)
judged = br.Evaluation.from_counts(recorded, np.full(1_000, trials))
believed = br.fit(judged, "binomial_tail", **size)
median_risk = {
    "truth": np.median(seen),
    "judge believed": believed.query_risks(successes=2, trials=100).risk.mean(),
}
pd.Series(median_risk)

# %% [markdown]
# `graded` has the judge's errors as unknowns. What is known of them comes from
# responses that people checked: of 100 that showed the behaviour the judge found 91, of
# 400 that did not it accused 9.

# %%
checked = {
    "true_positives": 91.0,
    "false_negatives": 9.0,
    "false_positives": 9.0,
    "true_negatives": 391.0,
}
graded = br.fit(judged, "graded", **checked, **size)
rates = ("false_positive_rate", "sensitivity")
pd.DataFrame({name: graded.draws[name].ravel() for name in rates}).describe()

# %%
answers = {"truth": worst}
for name, fit in (("judge believed", believed), ("graded", graded)):
    row = worst_risk(br.forecast(fit, deployment)).iloc[0]
    answers[name] = f"{row['median']:.3f} ({row['lower']:.3f} to {row['upper']:.3f})"
pd.Series(answers)

# %% [markdown]
# The riskiest queries fail so often that the judge hardly matters for them. It does for
# the rare: below the judge's own error rate a risk cannot be seen, and the notes of the
# forecast say so.

# %%
for note in br.forecast(graded, deployment).notes:
    print(f"- {note}\n")
