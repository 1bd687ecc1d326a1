"""A backtest of the true model on its own simulations, and of one too sure of itself.

Each behaviour is a population of its own, drawn from the prior of a model; one split of
each is forecast by that same model, and by a method that takes its estimates of the
tail for the truth. Coverage and uniformity of the probability integral transform must
hold for the first and fail for the last. Prints both.

    python benchmarks/calibration.py [--model gumbel_tail] [--by METHOD]
        [--splits 4000] [--workers 2]

With ``--by average``, say, that method forecasts in place of the model. It does not
know where its data are from, so that its transform need not be uniform.
"""

import argparse
import inspect
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import bayes_rare as br
from bayes_rare import catalog
from bayes_rare.forecasting import population_forecast
from bayes_rare.populations import BodyAndTail
from bayes_rare.scores import log_risk_from_score

THRESHOLD = -1.5
SEEN, SERVED, LEAST = 100, 1_000, 10
RISKY = (0.05, 0.3)
"""Risks above which queries are counted: fixed, so that no outcome chooses them."""


def has_threshold(model: str) -> bool:
    """Whether a model simulates a tail alone, and a body that stands for nothing."""
    return "threshold" in inspect.signature(catalog.load(model).simulate).parameters


def simulated(model: str, splits: int, seed: int = 0) -> pd.DataFrame:
    """Queries of as many behaviours, each with parameters of its own from the prior.

    Behaviours whose first queries hold too few scores on one side of the threshold of a
    tail are left out: a choice by what the method sees, so forecasts of the others stay
    calibrated.
    """
    rng = np.random.default_rng([seed, splits])
    tables: list[pd.DataFrame] = []
    simulate = catalog.load(model).simulate
    of_a_tail = has_threshold(model)
    settings = {"threshold": THRESHOLD} if of_a_tail else {}
    while len(tables) < splits:
        _, evaluation = simulate(rng, {"behaviour": SEEN + SERVED}, **settings)
        cells = evaluation.cells
        scores = rng.permutation(
            np.repeat(cells["score"].to_numpy(), cells["count"].astype(int))
        )
        above = int((scores[:SEEN] > THRESHOLD).sum())
        if of_a_tail and not LEAST <= above <= SEEN - LEAST:
            continue
        part = np.where(np.arange(scores.size) < SEEN, "evaluation", "deployment")
        tables.append(
            pd.DataFrame(
                {
                    "behaviour": f"{len(tables):06d}",
                    "log_risk": log_risk_from_score(scores),
                    "part": part,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def overconfident(evaluation: Any, deployment: Any) -> br.Forecast:
    """An exponential tail at its point estimates, with the luck of the draw alone.

    Above the threshold of the simulated tails; where too few scores lie on one side of
    it, of the highest fifth.
    """
    populations = {}
    for name in evaluation.behaviours:
        scores = evaluation.scores(name)
        threshold = THRESHOLD
        if not LEAST <= scores.above(threshold).size <= scores.size - LEAST:
            threshold = float(np.quantile(scores.score, 1 - 2 * LEAST / SEEN))
        above, below = scores.above(threshold), scores.below(threshold)
        excess = (above.score - threshold) @ above.count / above.size
        populations[name] = BodyAndTail(
            threshold=threshold,
            rate=np.full(400, above.size / scores.size),
            scale=np.full(400, excess),
            shape=np.zeros(400),
            body_score=below.score,
            body_count=below.count,
            resample=False,
        )
    return population_forecast(
        "overconfident", evaluation, populations, deployment, targets=()
    )


def verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage, and p-values of a uniform transform, by method and target."""
    rows = []
    kept = table[(table["status"] == "forecast") & ~table["is_point"]]
    kept = kept[
        (kept["target"] != "behaviour_frequency") | kept["risk_threshold"].notna()
    ]
    by = ["method", "target", "risk_threshold"]
    for (method, target, risk), group in kept.groupby(by, dropna=False):
        hits = int(group["covered_90"].sum())
        rows.append(
            {
                "method": method,
                "target": target,
                "above": risk,
                "splits": len(group),
                "covers_50": group["covered_50"].mean(),
                "covers_90": hits / len(group),
                "covers_95": group["covered_95"].mean(),
                "p_of_90": stats.binomtest(hits, len(group), 0.9).pvalue,
                "p_uniform": stats.kstest(group["pit"], "uniform").pvalue,
            }
        )
    return pd.DataFrame(rows)


def calibration(
    model: str,
    splits: int,
    seed: int = 0,
    workers: int | None = 2,
    by: str = "",
    **sampling: Any,
) -> pd.DataFrame:
    """The table of a backtest of the true model, or `by`, and of the overconfident."""
    own = f"{model}:threshold={THRESHOLD}" if has_threshold(model) else model
    forecaster = {by: by} if by else {model: own}
    made = br.backtest(
        simulated(model, splits, seed),
        {**forecaster, "overconfident": overconfident},
        split="part",
        risk_thresholds=RISKY,
        workers=workers,
        seed=seed,
        **{"chains": 2, "warmup": 300, "draws": 250, **sampling},
    )
    return made.table


def main() -> None:
    """Print coverage by method and target."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="gumbel_tail")
    parser.add_argument("--by", default="", help="a method in place of the model")
    parser.add_argument("--splits", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    table = calibration(given.model, given.splits, given.seed, given.workers, given.by)
    statuses = table.groupby(["method", "status"])["behaviour"].nunique()
    print(statuses.to_string())
    print(verdict(table).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
