# %% [markdown]
# # Red-teaming: which generator?
#
# Two programs write prompts to find where a model fails. One is cheap, the other costs
# three times as much for each prompt and may be better. The budget is enough for one
# of them. Which will find the riskier query? Jones et al. (2025) try both a little,
# forecast the worst query of each at the full budget, and take the one whose forecast
# is the larger.
#
# A forecast with its uncertainty can say more: **how likely** it is that the one is
# better, and so whether it is worth trying both a little longer.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayes_rare as br
from bayes_rare.scores import log_risk_from_score, score_from_log_risk

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run
sampling = {"warmup": 300, "draws": 300} if small else {"warmup": 500, "draws": 500}

tried, budget, cost = 200, 4_500, 3  # prompts tried; prompts of the cheap one; price
allowed = {"cheap": budget, "costly": budget // cost}

queries = br.sample_table().pivot(
    index=["family", "query_id"], columns="behaviour", values="log_risk"
)

# %% [markdown]
# ## Two generators
#
# The sample has 50 templates. A generator is ten of them, drawn at random, each with
# 500 words: 5,000 prompts in random order. The first 200 are tried; the last are those
# that the budget would buy, and what they show is the truth.

# %%
family = queries.index.get_level_values("family")


def generators(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Two sets of prompts, from ten templates each that they do not share."""
    names = rng.permutation(family.unique())
    return {
        name: queries[family.isin(own)].sample(frac=1, random_state=rng)
        for name, own in (("cheap", names[:10]), ("costly", names[10:20]))
    }


def tried_out(log_risk: pd.Series) -> br.Evaluation:
    """The evaluation of the prompts that are tried."""
    return br.Evaluation.from_scores(score_from_log_risk(log_risk[:tried]))


both = generators(np.random.default_rng(1))
seen = {name: tried_out(prompts["I love"]) for name, prompts in both.items()}
pd.concat({name: one.summary() for name, one in seen.items()}).droplevel(1)

# %% [markdown]
# ## One choice
#
# Fit both, and draw the worst query that each would find. The seeds differ, for the two
# have independent luck: forecasts of one behaviour and seed would share it. What is
# independent may be compared each with each.


# %%
def worst(fit: br.Posterior, size: int, seed: int) -> np.ndarray:
    """Draws of the score of the riskiest query of so many."""
    forecast = br.forecast(
        fit, br.Deployment(size), targets=["worst_query_risk"], seed=seed
    )
    return forecast.draws["worst_query_score"].to_numpy().ravel()


fits = dict(zip(seen, br.fit_many(list(seen.values()), **sampling), strict=True))
draws = {
    name: worst(fit, allowed[name], seed)
    for seed, (name, fit) in enumerate(fits.items())
}
chance = np.greater.outer(draws["cheap"], draws["costly"]).mean()
print(f"P(the cheap one is better) = {chance:.2f}")

# %%
figure, panel = plt.subplots(figsize=(7, 3), layout="constrained")
bins = np.linspace(-3.5, -0.5, 61)
for color, (name, values) in zip(["#0072b2", "#d55e00"], draws.items(), strict=True):
    found = both[name]["I love"].to_numpy()[-allowed[name] :].max() / np.log(10)
    risks = log_risk_from_score(values) / np.log(10)
    label = f"{name}: forecast of {allowed[name]:,}"
    panel.hist(risks, bins, alpha=0.5, color=color, label=label, density=True)
    panel.axvline(found, color=color, label=f"{name}: what it found")
panel.set(xlabel="risk of the riskiest query, power of ten", ylabel="density")
panel.legend(frameon=False, fontsize="small")
plt.close(figure)  # or a notebook shows it twice
figure

# %% [markdown]
# ## Many choices
#
# One choice proves nothing. We draw pairs of generators again and again, under each of
# the six behaviours, and fit all of them as one batch.

# %%
pairs = [generators(np.random.default_rng([2, k])) for k in range(1 if small else 30)]
cases = [
    {name: prompts[behaviour] for name, prompts in pair.items()}
    for pair in pairs
    for behaviour in queries.columns
]
evaluations = [tried_out(one) for case in cases for one in case.values()]
posteriors = br.fit_many(evaluations, **sampling)
sum(not fit.verdict.converged for fit in posteriors), len(posteriors)


# %% [markdown]
# A point method takes the generator with the larger guess, and so do we with the
# more probable one.


# %%
def guess(method, evaluation: br.Evaluation, size: int) -> float:
    """A point method's one guess of the worst score."""
    made = method(evaluation, br.Deployment(size), targets=["worst_query_risk"])
    return made.draws["worst_query_score"].item()


rows = []
for place, case in enumerate(cases):
    at = slice(2 * place, 2 * place + 2)
    sizes = list(allowed.values())
    found = [
        one.to_numpy()[-n:].max() for one, n in zip(case.values(), sizes, strict=True)
    ]
    first, second = (
        worst(fit, n, seed)
        for seed, (fit, n) in enumerate(zip(posteriors[at], sizes, strict=True))
    )
    row = {
        "gap": (found[0] - found[1]) / np.log(10),
        "chance": np.greater.outer(first, second).mean(),
    }
    for method in (br.gumbel_ols, br.log_normal_moments, br.evaluation_maximum):
        first, second = (
            guess(method, one, n) for one, n in zip(evaluations[at], sizes, strict=True)
        )
        row[method.__name__] = first > second
    rows.append(row)
choices = pd.DataFrame(rows)
choices["gpd_tail"] = choices["chance"] > 0.5
better = choices["gap"] > 0
names = ["gumbel_ols", "log_normal_moments", "evaluation_maximum", "gpd_tail"]
right = choices[names].eq(better, axis=0)
far = choices["gap"].abs() > 0.5
pd.DataFrame(
    {
        "right choices": right.mean(),
        "where the gap is over half an order": right[far].mean(),
        "paper": pd.Series({"gumbel_ols": 0.63}),
        "paper, over two orders": pd.Series({"gumbel_ols": 0.79}),
    }
).loc[names].round(2)

# %%
print(f"{len(choices)} choices, {far.sum()} of them with a gap over half an order")
print(f"always the cheaper one: {better.mean():.2f} right")

# %% [markdown]
# Our gaps are smaller than the paper's: ten templates of one kind differ less than two
# ways of writing prompts. The choices are fewer than they seem, since behaviours of
# one pair of generators go together.
#
# ## How sure?
#
# Where a method says *90 %*, it is to be right nine times in ten. A coin that says 50 %
# of everything has a **Brier score** of 0.25; smaller is better. A method that is
# always sure is scored by the share that it gets wrong.

# %%
sure = np.maximum(choices["chance"], 1 - choices["chance"])
stated = pd.cut(sure, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], include_lowest=True)
by_stated = pd.DataFrame({"stated": sure, "right": right["gpd_tail"]}).groupby(
    stated.rename("says"), observed=True
)
by_stated.mean().assign(choices=by_stated.size()).round(2)

# %%
brier = {"gpd_tail": ((choices["chance"] - better) ** 2).mean()}
brier |= {name: 1 - right[name].mean() for name in names[:3]}
pd.Series(brier, name="Brier score").round(3).to_frame()

# %% [markdown]
# The full table, over three prices and two sizes of the trial and more models, is in
# the results.
