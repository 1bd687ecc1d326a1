"""A batch of fits against as many single calls of PyMC's own NumPyro sampler.

Fits gpd_tail to simulated evaluations of 1,000 queries, 4 chains of 500 + 500 steps:
all of them by one call of fit_many (once to compile, once more to time), and a few by
``pm.sample(nuts_sampler="numpyro")`` on the same models, one call each, extrapolated.
Prints seconds and the ratio, all from one run.

    python benchmarks/batch.py [--fits 500] [--singles 5]
"""

import numpy as np
from study import pymc_sampled, study, timed

import bayes_rare as br

STEPS = {"chains": 4, "warmup": 500, "draws": 500}


def main() -> None:
    """Print seconds and their ratio."""
    parser = study(__doc__)
    parser.add_argument("--fits", type=int, default=500)
    parser.add_argument("--singles", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    evaluations = [
        br.Evaluation.from_scores(rng.gumbel(-2.5, 0.3, 1_000))
        for _ in range(given.fits)
    ]
    compiling, _ = timed(lambda: br.fit_many(evaluations[:2], "gpd_tail", **STEPS))
    batch, results = timed(lambda: br.fit_many(evaluations, "gpd_tail", **STEPS))
    singles = [
        pymc_sampled("gpd_tail", evaluation, **STEPS)[0]
        for evaluation in evaluations[: given.singles]
    ]
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
