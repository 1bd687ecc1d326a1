"""Mixtures of families read off a table: how much quicker, and how far off.

One behaviour of 50 families and 4,000 draws is forecast twice in one process: as
shipped, and with every answer a root of the sum over families. Prints CPU seconds of
both, their ratio, and the largest difference of what is printed.

    python benchmarks/mixture_tables.py [--families 50] [--draws 4000]
"""

import argparse
import time

import numpy as np

import bayes_rare as br
from bayes_rare.forecasting import population_forecast
from bayes_rare.populations import FamilyMixture, Population

SIZES = (10_000, 1_000_000, 1_000_000_000)


def mixture(families: int, draws: int) -> FamilyMixture:
    """Families like those of the sample data: a posterior that is made up."""
    rng = np.random.default_rng(0)
    size = (families, draws)
    return FamilyMixture(
        rng.normal(-3, 0.4, (families, 1)) + rng.normal(0, 0.05, size),
        np.exp(rng.normal(np.log(0.3), 0.2, size)),
        rng.dirichlet(np.full(families, 20.0), draws).T,
        rng.normal(-0.15, 0.08, draws),
    )


def told(population: Population) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A summary, quantiles of the worst score, and CPU seconds of each step."""
    evaluation = br.Evaluation.from_scores(np.linspace(-4, -2, 1_000))
    [name] = evaluation.behaviours
    clock = [time.process_time()]
    made = population_forecast(
        "mixture", evaluation, {name: population}, br.Deployment(SIZES)
    )
    clock.append(time.process_time())
    table = made.summary()
    clock.append(time.process_time())
    scaling = made.scaling()
    clock.append(time.process_time())
    shown = table[["median", "lower", "upper"]].to_numpy(np.float64)
    return shown, scaling["score"].to_numpy(), list(np.diff(clock))


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--families", type=int, default=50)
    parser.add_argument("--draws", type=int, default=4_000)
    given = parser.parse_args()
    population = mixture(given.families, given.draws)
    told(mixture(2, 20))  # what is compiled and imported is not timed
    by_table, scores, quick = told(population)
    FamilyMixture.tabled = Population.tabled
    by_roots, exact, slow = told(population)
    steps = ("forecast", "summary", "scaling")
    for step, one, other in zip(steps, slow, quick, strict=True):
        print(f"{step:10} {one:7.2f} s {other:7.2f} s   {one / other:6.1f} times")
    print(f"{'together':10} {sum(slow):7.2f} s {sum(quick):7.2f} s   ", end="")
    print(f"{sum(slow) / sum(quick):6.1f} times")
    gap = np.nanmax(np.abs(by_table / np.where(by_roots > 0, by_roots, np.nan) - 1))
    print(f"largest relative difference of a summary: {gap:.1e}")
    print(
        f"largest difference of a quantile's score: {np.abs(scores - exact).max():.1e}"
    )


if __name__ == "__main__":
    main()
