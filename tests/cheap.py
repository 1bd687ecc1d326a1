"""Values of every public kind that cost no fit: arrays in place of draws."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from scipy import stats

import bayes_rare as br
from bayes_rare import catalog
from bayes_rare.backtesting import COLUMNS, PREDICTIVE
from bayes_rare.forecasting import population_forecast
from bayes_rare.populations import FamilyMixture
from bayes_rare.posterior import Verdict
from bayes_rare.posterior.average import Member
from bayes_rare.scores import log_risk_from_score

CHAINS, DRAWS = 2, 30
BEHAVIOURS = ("a", "b")
QUERIES = 120
METHODS: tuple[str, ...] = ("gpd_tail", "log_normal")
# A model brings PyMC, which raises Python's limit of recursion as it is imported:
# not inside an example of hypothesis, which minds.
MODEL = catalog.load("gpd_tail")


@cache
def evaluation() -> br.Evaluation:
    """Exact risks of two behaviours, in families, with names and texts."""
    rng = np.random.default_rng(0)
    each = [f"q{number}" for number in range(QUERIES)]
    return br.Evaluation.from_scores(
        {name: rng.gumbel(-2.5, 0.25, QUERIES) for name in BEHAVIOURS},
        family={name: ["x", "y", "z"] * (QUERIES // 3) for name in BEHAVIOURS},
        query_id=dict.fromkeys(BEHAVIOURS, each),
        query_text=dict.fromkeys(BEHAVIOURS, each),
    )


@cache
def counts() -> br.Evaluation:
    """Counts of one behaviour."""
    rng = np.random.default_rng(1)
    successes = rng.binomial(20, rng.beta(0.5, 20, QUERIES))
    return br.Evaluation.from_counts(successes, np.full(QUERIES, 20), behaviour="c")


@cache
def posterior() -> br.Posterior:
    """Of a model that knows no families."""
    model, rng = MODEL, np.random.default_rng(2)
    assert model.observe is not None
    shape = (CHAINS, DRAWS, len(BEHAVIOURS))
    draws = {
        "rate": rng.beta(11, 110, shape),
        "scale": 0.3 * np.exp(rng.normal(0, 0.1, shape)),
        "shape": rng.normal(-0.05, 0.02, shape),
    }
    by_behaviour = ("threshold", "others", "exceeding", "largest_excess")
    return br.Posterior(
        model=model,
        evaluation=evaluation(),
        draws=draws,
        statistics={},
        data=model.observe(evaluation()),
        dims={
            **dict.fromkeys([*draws, *by_behaviour], ("behaviour",)),
            **dict.fromkeys(
                ("excess", "multiplicity", "censored"), ("behaviour", "exceedance")
            ),
            **dict.fromkeys(("body_score", "body_count"), ("behaviour", "cell")),
        },
        verdict=Verdict(1.0, 1.0, 1000.0, 0, CHAINS * DRAWS, 1.0, ()),
        provenance={
            "model": {"name": model.name, "digest": model.digest, "path": ""},
            "priors": catalog.plain(model.settings()),
            "data": evaluation().digest,
            "chains": CHAINS,
            "warmup": 1000,
            "draws": DRAWS,
            "draws_kept": DRAWS,
            "seed": 0,
            "target_accept": 0.9,
            "device": "cpu",
            "versions": {"bayes-rare": br.__version__},
            "finished": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
        },
    )


@cache
def averaged() -> br.Average:
    """Of two posteriors of one model, with unequal weights."""
    other = replace(
        posterior(),
        draws={**posterior().draws, "shape": posterior().draws["shape"] - 0.05},
    )
    weighed = (("heavy", posterior(), 0.7), ("light", other, 0.3))
    members = [
        Member(label, one, dict.fromkeys(BEHAVIOURS, weight), {"a": 0.1, "b": 0.2})
        for label, one, weight in weighed
    ]
    return br.Average(tuple(members), size=100)


@cache
def forecast() -> br.Forecast:
    """By populations that know families."""
    rng = np.random.default_rng(5)
    populations = {
        name: FamilyMixture(
            location=rng.normal(-3, 0.1, (3, DRAWS)),
            scale=rng.uniform(0.3, 0.4, (3, DRAWS)),
            weight=np.full((3, DRAWS), 1 / 3),
            shape=rng.normal(-0.1, 0.05, DRAWS),
            labels=("x", "y", "z"),
        )
        for name in BEHAVIOURS
    }
    deployment = br.Deployment([1000, 10**6])
    return population_forecast("family_tail", evaluation(), populations, deployment)


@cache
def backtest() -> br.Backtest:
    """Forecasts of two models and splits of two behaviours, with made-up scores."""
    rng = np.random.default_rng(3)
    levels = (np.arange(99) + 0.5) / 99
    rows = []
    for method in METHODS:
        for behaviour in BEHAVIOURS:
            for repeat in range(3):
                pit = rng.uniform()
                rows.append(
                    dict.fromkeys(COLUMNS, 0.5)
                    | {
                        "method": method,
                        "behaviour": behaviour,
                        "repeat": repeat,
                        "evaluation_size": 50,
                        "deployment_size": 500,
                        "samples_per_query": 1,
                        "target": "worst_query_risk",
                        "risk_threshold": np.nan,
                        "status": "forecast",
                        "reason": "",
                        "is_point": False,
                        "crps": rng.gamma(4.0, 0.1),
                        "pit": pit,
                        PREDICTIVE: stats.norm.ppf(levels, rng.normal(), 0.3),
                    }
                )
    methods = [
        {
            "name": name,
            "model": name,
            "digest": catalog.load(name).digest,
            "settings": {},
        }
        for name in METHODS
    ]
    origin = {
        "methods": methods,
        "data": "0",
        "options": {"pool": False},
        "counted": [],
    }
    return br.Backtest(pd.DataFrame(rows, columns=list(COLUMNS)), origin)


@cache
def table() -> pd.DataFrame:
    """Exact risks as a table, 600 queries of two behaviours."""
    rng = np.random.default_rng(4)
    size = 600
    return pd.DataFrame(
        {
            "query_id": [f"q{number}" for number in range(size)] * 2,
            "behaviour": np.repeat(BEHAVIOURS, size),
            "family": ["x", "y", "z"] * (2 * size // 3),
            "log_risk": log_risk_from_score(rng.gumbel(-2.5, 0.25, 2 * size)),
        }
    )
