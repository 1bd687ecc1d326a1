"""A batch of fits against as many single calls of PyMC's own NumPyro sampler.

Fits gpd_tail to simulated evaluations of 1,000 queries, 4 chains of 500 + 500 steps:
all of them by one call of fit_many (once to compile, once more to time), and a few by
``pm.sample(nuts_sampler="numpyro")`` on the same models, one call each, extrapolated.
Prints seconds and the ratio, all from one run.

    python benchmarks/batch.py [--fits 500] [--singles 5]
"""

import argparse
import logging
import time

import numpy as np
import pymc as pm

import bayes_rare as br
from bayes_rare import catalog

STEPS = {"warmup": 500, "draws": 500}


def main() -> None:
    """Print seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--singles", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    evaluations = [
        br.Evaluation.from_scores(rng.gumbel(-2.5, 0.3, 1_000))
        for _ in range(given.fits)
    ]
    start = time.perf_counter()
    br.fit_many(evaluations[:2], "gpd_tail", chains=4, **STEPS)
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    results = br.fit_many(evaluations, "gpd_tail", chains=4, **STEPS)
    batch = time.perf_counter() - start

    logging.getLogger("pymc").setLevel(logging.ERROR)
    model = catalog.load("gpd_tail")
    singles = []
    for evaluation in evaluations[: given.singles]:
        with model.build(evaluation):
            start = time.perf_counter()
            pm.sample(
                nuts_sampler="numpyro",
                chains=4,
                tune=STEPS["warmup"],
                draws=STEPS["draws"],
                progressbar=False,
                random_seed=0,
            )
            singles.append(time.perf_counter() - start)
    single = float(np.mean(singles))
    unconverged = sum(not result.verdict.converged for result in results)
    print(f"first call, with compilation  {compiling:8.1f} s")
    print(f"{given.fits} fits in one call       {batch:8.1f} s")
    print(f"one pm.sample call            {single:8.2f} s (mean of {len(singles)})")
    print(f"{given.fits} pm.sample calls        {single * given.fits:8.0f} s (so many)")
    print(f"ratio                         {single * given.fits / batch:8.0f}")
    print(f"unconverged                   {unconverged:8d}")


if __name__ == "__main__":
    main()
