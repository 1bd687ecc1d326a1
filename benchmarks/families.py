"""What families are worth: forecasts of held-out queries, of families, and the time.

    python benchmarks/families.py cells TABLE [--repeats 10] [--workers 2]
    python benchmarks/families.py held-out TABLE [--repeats 10] [--workers 2]
    python benchmarks/families.py speed TABLE

``cells`` holds family_tail against the best of three simple methods, from 100, 300 and
1,000 queries; ``held-out`` evaluates 10 of the families and deploys on all of them;
``speed`` times fits: what compares between machines are its ratios. TABLE has exact
risks and families. Finished parts are kept beside ``--output``: ended early, the same
command goes on from there.
"""

import argparse
from functools import partial

import numpy as np
from study import backtested, of_table, print_worst, study, timed

from bayes_rare.evaluation.pool import Splitting
from bayes_rare.inference import fit_many
from bayes_rare.posterior import Posterior
from bayes_rare.readers.tables.read_pool import read_pool

CELLS = {100: 10_000, 300: 30_000, 1_000: 40_000}
RIVALS = ["gumbel_ols_pivot", "log_normal", "evaluation_maximum"]
OURS = "family_tail"
HELD_OUT = 40


def cells(given: argparse.Namespace) -> None:
    """Print a table for each number of queries that methods see."""
    for seen, served in CELLS.items():
        print(f"{seen:,} -> {served:,}, {given.repeats} repeats", flush=True)
        rows = backtested(
            given,
            f"{seen}",
            methods=[*RIVALS, OURS],
            evaluation_sizes=seen,
            deployment_sizes=served,
            chains=2,
        )
        print_worst(rows, OURS, RIVALS)


def held_out(given: argparse.Namespace) -> None:
    """Print a table of forecasts for families most of which were not met."""
    rows = backtested(
        given,
        "held-out",
        methods=["gumbel_ols", OURS],
        evaluation_sizes=1_000,
        deployment_sizes=30_000,
        chains=2,
        hold_out_families=HELD_OUT,
        unseen_share=0.8,
        unseen_families=HELD_OUT,
    )
    print(f"{HELD_OUT} families held out, {given.repeats} repeats")
    print_worst(rows, OURS, ["gumbel_ols"])


def speed(given: argparse.Namespace) -> None:
    """Print how long fits take, of this model and of gpd_tail on the same queries."""
    pool = read_pool(given.table)
    splitting = Splitting((1_000,), (1_000,), seed=given.seed)
    evaluations = [
        pool.evaluation(pool.split([name], repeat, splitting), 1_000)
        for repeat in range(given.repeats)
        for name in pool.behaviours
    ]
    took: dict[tuple[str, str], float] = {}
    for model in (OURS, "gpd_tail"):
        for label, chosen, chains, steps in (
            ("one fit, 4 chains of 1,000 + 1,000", evaluations[:1], 4, 1_000),
            (f"{len(evaluations)} fits, 2 chains of 500 + 500", evaluations, 2, 500),
        ):
            sizes = {"chains": chains, "warmup": steps, "draws": steps}
            # The first run compiles; the second is what is timed.
            fit_many(chosen[:1], model, target_ess=0.0, seed=1, **sizes)
            took[model, label], fits = timed(
                partial(fit_many, chosen, model, target_ess=0.0, **sizes)
            )
            done = [fit for fit in fits if isinstance(fit, Posterior)]
            diverged = sum(fit.verdict.divergences for fit in done)
            steps_taken = np.mean([fit.statistics["n_steps"].mean() for fit in done])
            print(
                f"{model}, {label}: {took[model, label]:.1f} s, "
                f"{steps_taken:.1f} gradients a step, {diverged} divergences",
                flush=True,
            )
    for (model, label), seconds in took.items():
        if model == OURS:
            ratio = seconds / took["gpd_tail", label]
            print(f"{label}: {ratio:.1f} times gpd_tail")


def main() -> None:
    """Run what is asked for."""
    given = of_table(study(__doc__, "cells", "held-out", "speed")).parse_args()
    {"cells": cells, "held-out": held_out, "speed": speed}[given.what](given)


if __name__ == "__main__":
    main()
