"""Forecasts from counts against what was held out, beside lines through shares.

From a table of exact risks (or of counts of very many trials) some responses to each
query of an evaluation are drawn; methods see how many showed the behaviour, and
forecast the riskiest query of a deployment, whose risk is known. The published lines
take ``(successes + 1/2) / (trials + 1)`` for risks, and once ``successes / trials``.
Behaviours of which hardly ten queries of an evaluation show up at all are summed apart:
there no method has a tail to look at.

    python benchmarks/counted_backtest.py TABLE [--trials 100] [--evaluation-size 1000]
        [--deployment-size 40000] [--repeats 10] [--output BACKTEST.parquet]
"""

from pathlib import Path

import numpy as np
import pandas as pd
from study import backtested, clustered, of_table, print_ratio, study

from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.scores import log_safe_from_score

BASELINES = ["gumbel_ols", "gumbel_ols_pivot", "evaluation_maximum"]
MODELS = ["average", "binomial_tail"]
METHODS = [*MODELS, *BASELINES, "gumbel_ols:pseudocount=0"]
FEWEST_POSITIVE = 10


def expected_positives(table: Path, size: int, trials: int) -> pd.Series:
    """How many queries of an evaluation show a behaviour at all, on average."""
    pool = read_pool(table)
    shows = -np.expm1(trials * log_safe_from_score(pool.rows["score"]))
    mean = pd.Series(shows).groupby(pool.rows["behaviour"]).mean() * size
    return mean.rename(dict(enumerate(pool.behaviours)))


def main() -> None:
    """Print mean CRPS by behaviour and method, coverage, and the ratio to the best."""
    parser = of_table(study(__doc__))
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--evaluation-size", type=int, default=1_000)
    parser.add_argument("--deployment-size", type=int, default=40_000)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    given = parser.parse_args()
    positives = expected_positives(given.table, given.evaluation_size, given.trials)
    rows = backtested(
        given,
        "counted",
        methods=given.methods,
        evaluation_sizes=given.evaluation_size,
        deployment_sizes=given.deployment_size,
        trials_per_query=given.trials,
        ignore_families=True,
    )
    worst = rows[rows.target == "worst_query_risk"]
    crps = worst.pivot_table(index="behaviour", columns="method", values="crps")
    crps.insert(0, "positives", positives)
    print(crps.sort_values("positives").round(3).to_string())
    rare = set(positives[positives < FEWEST_POSITIVE].index)
    for label, chosen in (
        (f"at least {FEWEST_POSITIVE} positive", ~worst.behaviour.isin(rare)),
        ("fewer", worst.behaviour.isin(rare)),
        ("all", worst.behaviour.notna()),
    ):
        part = worst[chosen]
        if part.empty:
            continue
        print(f"\n{label} ({part.behaviour.nunique()} behaviours): mean CRPS")
        print(part.groupby("method").crps.mean().round(4).to_string())
        for ours in (m for m in given.methods if m in MODELS):
            print_ratio(part, ours, [m for m in BASELINES if m in given.methods])
            print(f"coverage at 90 %: {clustered(part[part.method == ours])}")
    print(worst.groupby(["method", "status"]).size().to_string())


if __name__ == "__main__":
    main()
