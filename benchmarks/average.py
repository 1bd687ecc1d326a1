"""What `average` is worth: forecasts of held-out queries, and what it costs.

    python benchmarks/average.py cells TABLE [--ignore-families] [--repeats 10]
    python benchmarks/average.py cost TABLE

``cells`` holds average against the best of three simple methods and against the two
published ones, from 100, 300 and 1,000 queries, for each target; and prints how far the
coverage of a calibrated method strays where truths are as few. ``cost`` times a batch
of fits of 1,000 queries beside its costliest member: what compares between machines is
the ratio. TABLE has exact risks, and families where they are to be used. Finished parts
are kept beside ``--output``: ended early, the same command goes on from there.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats
from study import backtested, of_table, print_ratio, print_worst, study, timed

from bayes_rare.evaluation.pool import Splitting
from bayes_rare.inference import average_many, fit_many
from bayes_rare.inference.averaging import candidates
from bayes_rare.readers.tables.read_pool import read_pool

CELLS = {100: 10_000, 300: 30_000, 1_000: 40_000}
SIMPLE = ["gumbel_ols_pivot", "log_normal", "evaluation_maximum"]
PUBLISHED = ["gumbel_ols", "log_normal_moments"]
OURS = "average"
SIMULATED, POOL, DRAWS = 1_000, 50_000, 200


def calibrated_range(
    behaviours: int, repeats: int, seen: int, served: int, seed: int = 0
) -> tuple[float, float]:
    """Within which 99 % of the coverages of 90 % intervals of a calibrated method lie.

    Pools of normal scores are split as those of the table are, and forecast by the
    exact posterior of a normal law: repeats of one pool have much of their truth in
    common, so coverage strays further than that of as many independent forecasts.
    """
    rng = np.random.default_rng(seed)
    coverage = np.empty((SIMULATED, behaviours))
    for place in np.ndindex(coverage.shape):
        pool = rng.standard_normal(POOL)
        covers = 0
        for _ in range(repeats):
            # Of a random order the first are seen, and others are served.
            chosen = rng.choice(POOL, seen + served, replace=False, shuffle=True)
            scores = pool[chosen]
            few, worst = scores[:seen], scores[seen:].max()
            variance = few.var(ddof=1) * (seen - 1) / rng.chisquare(seen - 1, DRAWS)
            location = rng.normal(few.mean(), np.sqrt(variance / seen))
            level = served * stats.norm.logcdf(worst, location, np.sqrt(variance))
            covers += 0.05 <= np.exp(level).mean() <= 0.95
        coverage[place] = covers / repeats
    low, high = np.quantile(coverage.mean(axis=1), [0.005, 0.995])
    return float(low), float(high)


def cells(given: argparse.Namespace) -> None:
    """Print a table for each number of queries that methods see."""
    ratios: list[float] = []
    covered: list[pd.DataFrame] = []
    for seen, served in CELLS.items():
        print(f"{seen:,} -> {served:,}, {given.repeats} repeats", flush=True)
        rows = backtested(
            given,
            f"{seen}",
            methods=[*SIMPLE, *PUBLISHED, OURS],
            evaluation_sizes=seen,
            deployment_sizes=served,
            chains=2,
            ignore_families=given.ignore_families,
        )
        ratios.append(print_worst(rows, OURS, SIMPLE))
        for target in ("behaviour_frequency", "aggregate_risk"):
            print(target, end=": ")
            print_ratio(rows[rows.target == target], OURS, PUBLISHED)
        ours = rows[(rows.method == OURS) & (rows.target == "worst_query_risk")]
        covered.append(ours.assign(behaviour=ours.behaviour.astype(str)))
        low, high = calibrated_range(
            ours.behaviour.nunique(), given.repeats, seen, served
        )
        mean = ours.covered_90.mean()
        print(
            f"coverage {mean:.3f}; 99 % of a calibrated method's are within "
            f"{low:.3f} to {high:.3f}\n",
            flush=True,
        )
    print(f"geometric mean of the ratios: {np.exp(np.mean(np.log(ratios))):.3f}")
    print(f"coverage over all: {pd.concat(covered).covered_90.mean():.3f}")


def cost(given: argparse.Namespace) -> None:
    """Print how long a batch takes, of the average and of each member alone."""
    pool = read_pool(given.table)
    splitting = Splitting((1_000,), (1_000,), seed=given.seed)
    known = not given.ignore_families
    evaluations = [
        pool.evaluation(pool.split([name], 0, splitting), 1_000, families=known)
        for name in pool.behaviours
    ]
    took: dict[str, float] = {}
    for member in candidates(evaluations[0]):
        how = {"target_ess": 0.0, **member.settings}
        fit_many(evaluations[:1], member.model, seed=1, **how)  # compiles
        took[member.label], _ = timed(
            partial(fit_many, evaluations, member.model, **how)
        )
        print(f"{member.label}: {took[member.label]:.1f} s", flush=True)
    whole, _ = timed(lambda: average_many(evaluations, target_ess=0.0))
    print(f"average of {len(evaluations)} behaviours: {whole:.1f} s")
    print(f"over its costliest member: {whole / max(took.values()):.2f}")


def main() -> None:
    """Run what is asked for."""
    parser = of_table(study(__doc__, "cells", "cost"))
    parser.add_argument("--ignore-families", action="store_true")
    given = parser.parse_args()
    {"cells": cells, "cost": cost}[given.what](given)


if __name__ == "__main__":
    main()
