"""Beta-distributed risks, with a share of queries that never fail; counts binomial.

What is seen of a query is how many of its sampled responses showed the behaviour. Some
queries never fail; the risk of each of the others is latent, from a beta distribution::

    risk_logit_mean   ~ Normal(risk_logit, risk_logit_sd)
    risk_logit_spread ~ LogNormal(median risk_logit_spread, log sd 0.5)
    risk_logit_b      ~ Normal(risk_logit_mean, risk_logit_spread)
    log_first_b, impossible_logit_b   in the same way
    mean_risk_b       = 1 / (1 + exp(-risk_logit_b))
    first_b           = exp(log_first_b)
    second_b          = first_b * exp(-risk_logit_b)
    impossible_b      = 1 / (1 + exp(-impossible_logit_b))
    risk_i            = 0 with chance impossible_b, else ~ Beta(first_b, second_b)
    successes_i       ~ Binomial(trials_i, risk_i)

With one behaviour, or ``pool=False``, the prior of a mean is that of each behaviour.
``mean_risk`` is the mean risk of the queries that can fail. The first parameter says
how unequal they are: near 0 most of them hardly ever fail and a few often do, which is
hard to tell from queries that never do. Each risk is integrated out, in closed form:
the cost does not depend on the number of queries.

Prior: the mean risk is 5e-5 to 0.25 with 90 % probability, the first parameter 0.08 to
3, the share of queries that never fail 0.03 to 0.8. Prior predictive of one behaviour:
of the queries, 0.1 % have a risk above a value that is 5e-4 to 0.99 with 90 %
probability.

For comparison with work on pass@k, which fits this distribution. One curve describes
ordinary queries and the riskiest, so the many ordinary ones determine its tail. In
binomial_tail the riskiest queries determine the tail.

Reference: Kazdan et al. (2025), arXiv 2510.05197, for counts of repeated attempts;
Griffiths (1973), Biometrics 29, 637-648, for the beta-binomial distribution.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.special import expit

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import counts, layout
from bayes_rare.likelihoods.partial_pooling import draw_pooled, partially_pooled
from bayes_rare.populations import beta

ACCEPTS = {"counts"}
POINTWISE = {"tallies": "tally_count"}
DENSE_MASS = True


def observe(evaluation: Any) -> dict[str, np.ndarray]:
    """Return the arrays of the evaluation that enter the density."""
    rows = [counts.outcomes(evaluation, name) for name in evaluation.behaviours]
    estimates = evaluation.estimated["behaviour"]
    if len(estimates):
        behaviour = evaluation.behaviours[int(estimates[0])]
        raise NotApplicable(
            f"behaviour {behaviour!r} has estimates of risk, and this model takes "
            "counts alone. Use binomial_tail for it (--behaviours)."
        )
    every = [np.ones(row["trials"].size, bool) for row in rows]
    return counts.counted(rows, every, counts.TALLY, counts.FEWEST_TALLIES)


def build(
    evaluation: Any,
    *,
    risk_logit: float = -5.5,
    risk_logit_sd: float = 2.7,
    risk_logit_spread: float = 1.0,
    log_first: float = -0.7,
    log_first_sd: float = 1.1,
    log_first_spread: float = 0.5,
    impossible_logit: float = -1.0,
    impossible_logit_sd: float = 1.5,
    impossible_logit_spread: float = 0.7,
    pool: bool = True,
) -> pm.Model:
    """Return the model.

    Parameters
    ----------
    evaluation
        Counts of one or more behaviours.
    risk_logit, risk_logit_sd
        Mean and standard deviation of the normal prior of the logit of the mean risk
        of queries that can fail.
    risk_logit_spread
        Median of the prior of its standard deviation between behaviours.
    log_first, log_first_sd
        Mean and standard deviation of the normal prior of the logarithm of the beta
        distribution's first parameter.
    log_first_spread
        Median of the prior of its standard deviation between behaviours.
    impossible_logit, impossible_logit_sd
        Mean and standard deviation of the normal prior of the logit of the share of
        queries that never fail.
    impossible_logit_spread
        Median of the prior of its standard deviation between behaviours.
    pool
        Whether behaviours share these means and spreads.
    """
    data = observe(evaluation)
    behaviours = len(evaluation.behaviours)
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        known = layout.data_variables(data)
        risk_logit_b = partially_pooled(
            "risk_logit",
            behaviours,
            mean=risk_logit,
            sd=risk_logit_sd,
            spread=risk_logit_spread,
            pool=pool,
        )
        log_first_b = partially_pooled(
            "log_first",
            behaviours,
            mean=log_first,
            sd=log_first_sd,
            spread=log_first_spread,
            pool=pool,
        )
        impossible_logit_b = partially_pooled(
            "impossible_logit",
            behaviours,
            mean=impossible_logit,
            sd=impossible_logit_sd,
            spread=impossible_logit_spread,
            pool=pool,
        )
        pm.Deterministic("mean_risk", pt.sigmoid(risk_logit_b), dims="behaviour")
        pm.Deterministic("impossible", pt.sigmoid(impossible_logit_b), dims="behaviour")
        first_b = pt.exp(log_first_b)
        pm.CustomDist(
            "tallies",
            first_b[:, None],
            (first_b * pt.exp(-risk_logit_b))[:, None],
            impossible_logit_b[:, None],
            known["trials"],
            known["ways"],
            known["tally_count"],
            logp=_tally_logp,
            random=_draw_tallies,
            observed=known["successes"],
            dims=("behaviour", "tally"),
            dtype="float64",
        )
    return model


def _tally_logp(
    successes: Any,
    first: Any,
    second: Any,
    logit: Any,
    trials: Any,
    ways: Any,
    count: Any,
) -> Any:
    """Log chance of tallies, times how many queries have each."""
    seen = ways + beta.log_outcome(pt, successes, trials, first, second)
    # Less log(1 + exp(logit)): both kinds of query carry it.
    other = pt.where(pt.eq(successes, 0.0), pt.logaddexp(logit, seen), seen)
    return count * (other - pt.logaddexp(0.0, logit))


def _draw_tallies(
    first: Any,
    second: Any,
    logit: Any,
    trials: Any,
    ways: Any,  # noqa: ARG001 orders do not matter
    count: Any,  # noqa: ARG001 a drawn tally stands for one query
    rng: np.random.Generator,
    size: Any = None,  # noqa: ARG001 that of the data
) -> Any:
    risk = rng.beta(first, second, trials.shape)
    fallible = rng.random(trials.shape) >= expit(logit)
    return rng.binomial(trials.astype(np.int64), fallible * risk).astype(np.float64)


def simulate(
    rng: np.random.Generator,
    design: Mapping[str, int],
    *,
    trials: int = 50,
    risk_logit: float = -5.5,
    risk_logit_sd: float = 2.7,
    risk_logit_spread: float = 1.0,
    log_first: float = -0.7,
    log_first_sd: float = 1.1,
    log_first_spread: float = 0.5,
    impossible_logit: float = -1.0,
    impossible_logit_sd: float = 1.5,
    impossible_logit_spread: float = 0.7,
    pool: bool = True,
) -> tuple[dict[str, np.ndarray], Any]:
    """Return parameters drawn from the prior, and an evaluation drawn from those."""
    parameters = {
        **draw_pooled(
            rng,
            "risk_logit",
            len(design),
            mean=risk_logit,
            sd=risk_logit_sd,
            spread=risk_logit_spread,
            pool=pool,
        ),
        **draw_pooled(
            rng,
            "log_first",
            len(design),
            mean=log_first,
            sd=log_first_sd,
            spread=log_first_spread,
            pool=pool,
        ),
        **draw_pooled(
            rng,
            "impossible_logit",
            len(design),
            mean=impossible_logit,
            sd=impossible_logit_sd,
            spread=impossible_logit_spread,
            pool=pool,
        ),
    }
    law = population(parameters, {})
    parts = []
    for index, (behaviour, queries) in enumerate(design.items()):
        risk = rng.beta(law.first[index], law.second[index], queries)
        fallible = rng.random(queries) >= law.impossible[index]
        parts.append(
            Evaluation.from_counts(
                rng.binomial(trials, fallible * risk),
                np.full(queries, trials),
                behaviour=behaviour,
            )
        )
    return parameters, Evaluation.joined(parts)


def population(
    draws: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],  # noqa: ARG001 the draws say it all
) -> beta.BetaRisks:
    """Return the distribution of a new query's score, for one behaviour."""
    first = np.exp(draws["log_first"])
    return beta.BetaRisks(
        first=first,
        second=first * np.exp(-draws["risk_logit"]),
        impossible=expit(draws["impossible_logit"]),
    )


def query_scores(
    rng: np.random.Generator,
    draws: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
    successes: np.ndarray,
    trials: np.ndarray,
) -> np.ndarray:
    """Return draws of the scores of queries with these outcomes, of one behaviour.

    Given the parameters, a risk is Beta(first + successes, second + failures); a query
    without successes has the risk 0, a score of minus infinity, with the probability
    that it never fails.

    Parameters
    ----------
    rng
        Source of randomness.
    draws
        Parameters of the behaviour, draw by draw.
    data
        Arrays of the behaviour.
    successes, trials
        Outcome of each query.

    Returns
    -------
    Scores of shape (query, draw).
    """
    law = population(draws, data)
    successes = np.asarray(successes, np.float64)[:, None]
    trials = np.asarray(trials, np.float64)[:, None]
    score = beta.beta_scores(
        rng, law.first + successes, law.second + (trials - successes)
    )
    seen = beta.log_outcome(np, successes, trials, law.first, law.second)
    # Odds of a query that never fails against one that only did not.
    never = expit(draws["impossible_logit"] - seen)
    chosen = (successes == 0) & (rng.random(score.shape) < never)
    return np.where(chosen, -np.inf, score)
