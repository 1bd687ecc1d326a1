"""Fits of counts: against sampling every query, and against the number of queries.

Three figures from one run:

- effective draws a second (smallest bulk ESS of the hyperparameters) of binomial_tail
  for 100,000 queries of 100 trials, over that of latent_reference for 10,000 queries
  through ``pm.sample(nuts_sampler="numpyro")``;
- seconds of a fit to ten million queries over seconds of a fit to a thousand, both from
  summaries of Parquet files simulated from one population, each compiled before;
- the same for three numbers in between.

    python benchmarks/counts.py [--queries 10000000] [--reference-queries 10000]
        [--reference-steps 500]
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from study import pymc_sampled, study, timed

import bayes_rare as br

TRIALS = 100
HYPERPARAMETERS = ("log_scale", "shape", "rate", "step_weight")
STEPS = {"chains": 4, "warmup": 1000, "draws": 1000}


def table_of(queries: int, seed: int) -> pd.DataFrame:
    """Counts of queries whose scores are Gumbel, some of them risky."""
    rng = np.random.default_rng(seed)
    risk = np.exp(-np.exp(-rng.gumbel(-2.2, 0.25, queries)))
    return pd.DataFrame({"successes": rng.binomial(TRIALS, risk), "trials": TRIALS})


def evaluation_of(queries: int, folder: Path) -> br.Evaluation:
    """The summary of a Parquet file of so many queries."""
    path = folder / f"{queries}.parquet"
    table_of(queries, 1).to_parquet(path)
    seconds, evaluation = timed(lambda: br.read_table(path))
    print(f"{queries:>12,} queries summarised in {seconds:8.2f} s: {evaluation}")
    return evaluation


def smallest_ess(draws: dict[str, np.ndarray]) -> float:
    """Smallest bulk effective sample size over the hyperparameters."""
    values = [
        draws[name].reshape(*draws[name].shape[:2], -1)
        for name in HYPERPARAMETERS
        if name in draws
    ]
    joined = np.concatenate(values, axis=-1)
    return float(
        array_stats.ess(joined, chain_axis=0, draw_axis=1, method="bulk").min()
    )


def fitted(evaluation: br.Evaluation) -> tuple[float, br.Posterior]:
    """Seconds of a fit whose program is compiled, and its posterior."""
    return timed(
        lambda: br.fit(evaluation, "binomial_tail", target_ess=0, seed=1, **STEPS)
    )


def reference(queries: int, steps: int) -> float:
    """Effective draws a second of sampling every query's score."""
    counts = table_of(queries, 2)
    evaluation = br.Evaluation.from_counts(counts.successes, counts.trials)
    seconds, tree = pymc_sampled(
        "latent_reference",
        evaluation,
        chains=2,
        warmup=steps,
        draws=steps,
        seed=1,
        compute_convergence_checks=False,
        var_names=[*HYPERPARAMETERS],
    )
    posterior = tree["posterior"]
    ess = smallest_ess({n: posterior[n].to_numpy() for n in HYPERPARAMETERS})
    print(f"latent_reference, {queries:,} queries: {seconds:.1f} s, ESS {ess:.0f}")
    return ess / seconds


def main() -> None:
    """Print seconds, effective sample sizes and their ratios."""
    parser = study(__doc__)
    parser.add_argument("--queries", type=float, default=1e7)
    parser.add_argument("--reference-queries", type=float, default=1e4)
    parser.add_argument("--reference-steps", type=int, default=500)
    given = parser.parse_args()
    seconds: dict[int, list[float]] = {}
    rate = 0.0
    with tempfile.TemporaryDirectory() as folder:
        sizes = (1_000, 10_000, 100_000, int(given.queries))
        seen = {size: evaluation_of(size, Path(folder)) for size in sizes}
        compiling, _ = fitted(seen[1_000])
        print(f"first fit, with compilation {compiling:.1f} s")
        for _ in range(3):
            for size, evaluation in seen.items():
                spent, posterior = fitted(evaluation)
                seconds.setdefault(size, []).append(spent)
                if size == 100_000:
                    rate = max(rate, smallest_ess(dict(posterior.draws)) / spent)
                print(f"{size:>12,} queries: {spent:6.2f} s {posterior}")
    for size, spent in seconds.items():
        ratio = min(spent) / min(seconds[1_000])
        print(f"{size:>12,} queries over 1,000: {ratio:5.2f} times")
    slow = reference(int(given.reference_queries), given.reference_steps)
    print(f"ESS a second: {rate:.1f} over {slow:.3f} = {rate / slow:.0f} times")


if __name__ == "__main__":
    main()
