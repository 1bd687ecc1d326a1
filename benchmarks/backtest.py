"""A backtest of 640 splits, against its fits by single calls of PyMC's sampler.

Two evaluation sizes, 16 behaviours and 20 repeats: five methods, two of them models
fitted with 4 chains of 500 + 500 steps. A few of the same fits are made by ``pm.sample(
nuts_sampler="numpyro")``, one call each, and extrapolated to all. Prints seconds and
the ratio, all from one run; the backtest is timed with its reading, scoring and start
of workers, and with compilation unless programs are in JAX's cache.

    python benchmarks/backtest.py [TABLE.parquet] [--repeats 20] [--singles 5]

Without a table, the six behaviours of the sample data, nearly three times as often.
"""

import tempfile
from pathlib import Path

import numpy as np
from study import pymc_sampled, study, timed

import bayes_rare as br
from bayes_rare.evaluation.pool import Splitting

METHODS = (
    "gumbel_ols",
    "gumbel_ols_pivot",
    "log_normal_moments",
    "gumbel_tail",
    "gpd_tail",
)
MODELS = ("gumbel_tail", "gpd_tail")
SIZES, DEPLOYED = (300, 1_000), 20_000
STEPS = {"chains": 4, "warmup": 500, "draws": 500}


def seconds_of_singles(pool: br.QueryPool, singles: int) -> dict[str, float]:
    """Seconds of one ``pm.sample`` call on each of a few splits, by model."""
    splitting = Splitting(SIZES, (DEPLOYED,))
    taken: dict[str, list[float]] = {name: [] for name in MODELS}
    for repeat in range(singles):
        behaviour = pool.behaviours[repeat % len(pool.behaviours)]
        split = pool.split([behaviour], repeat, splitting)
        evaluation = pool.evaluation(split, SIZES[repeat % 2])
        for name in MODELS:
            seconds, _ = pymc_sampled(name, evaluation, seed=repeat, **STEPS)
            taken[name].append(seconds)
    return {name: float(np.mean(values)) for name, values in taken.items()}


def main() -> None:
    """Print seconds and their ratio."""
    parser = study(__doc__)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--singles", type=int, default=5)
    given = parser.parse_args()
    source = given.table or br.sample_table()
    pool = br.read_pool(source)
    repeats = given.repeats or (20 if given.table else 53)
    with tempfile.TemporaryDirectory() as folder:
        whole, made = timed(
            lambda: br.backtest(
                source,
                METHODS,
                SIZES,
                DEPLOYED,
                repeats=repeats,
                workers=2,
                output=Path(folder) / "backtest.parquet",
                **STEPS,
            )
        )
    table = made.table[made.table["target"] == "worst_query_risk"]
    fits = table[table["method"].isin(MODELS)]
    sampling = 0.5 * fits["seconds"].sum()  # two workers side by side
    single = seconds_of_singles(pool, given.singles)
    singles = sum(single[name] * int((fits["method"] == name).sum()) for name in MODELS)
    print(f"splits                          {len(table) // len(METHODS):8d}")
    print(f"Bayesian fits                   {len(fits):8d}")
    unfit = int((fits["status"] != "forecast").sum())
    print(f"unconverged or refused          {unfit:8d}")
    print(f"backtest in all                 {whole:8.1f} s")
    print(f"  of that, fits                 {sampling:8.1f} s")
    for name, seconds in single.items():
        print(f"one pm.sample of {name:<14} {seconds:8.2f} s (mean of {given.singles})")
    print(f"as many pm.sample calls         {singles:8.0f} s")
    print(f"ratio, fits                     {singles / sampling:8.0f}")
    print(f"ratio, to the whole backtest    {singles / whole:8.0f}")
    print(
        br.compare(made.table)
        .rows.query("target == 'worst_query_risk'")[
            ["method", "evaluation_size", "mean_crps", "coverage_90"]
        ]
        .to_string(index=False)
    )


if __name__ == "__main__":
    main()
