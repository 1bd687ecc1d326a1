"""How often the checks of a tail are false alarms, and what they see when they are not.

    python benchmarks/tail_checks.py limits [--repeats 10000]
    python benchmarks/tail_checks.py rates [--repeats 2000]
    python benchmarks/tail_checks.py controls [--repeats 200]

``limits`` prints the deviances between thresholds that 1 % of sound tails exceed.
``rates`` draws evaluations from the very story of gpd_tail (scale and shape from their
priors, a generalized Pareto tail that half of all queries are in), fits its tail to the
10 riskiest queries, and prints the share that raises each check, with the coverage of
the 90 % interval of the worst of 100 times the queries: of all, and of those that raise
it. ``controls`` does the same where something is wrong. The posterior is summed over a
grid of scales and shapes, so thousands of fits take a minute.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayes_rare.diagnostics import tail_checks as tail_checks
from bayes_rare.diagnostics.tail_checks import TailCheck
from bayes_rare.diagnostics.threshold_scan import EXCEEDANCES, SHARE, threshold_deviance
from bayes_rare.populations import BodyAndTail, gpd_log_survival, gpd_quantile
from bayes_rare.scores import risk_from_score

SIZES = (100, 300, 1_000)
ABOVE, TIMES, DRAWS, SEED = 10, 100, 2_000, 0
# The threshold and the priors of gpd_tail, of one behaviour.
THRESHOLD, LOG_SCALE, LOG_SCALE_SD, SHAPE, SHAPE_SD = -1.5, -1.2, 1.0, -0.05, 0.15
# The share of queries that are in the tail.
SHARE_OF_TAIL = 0.5
LEVEL = 0.01


@dataclass(frozen=True)
class Truth:
    """A tail above the score that half of the queries exceed."""

    start: float
    scale: float
    shape: float

    def scores(self, level: np.ndarray) -> np.ndarray:
        """The scores that shares of all queries exceed; below the start, uniform."""
        depth = np.log(SHARE_OF_TAIL / np.minimum(level, SHARE_OF_TAIL))
        below = self.scale * np.maximum(level - SHARE_OF_TAIL, 0.0)
        return self.start + gpd_quantile(depth, self.scale, self.shape) - below


def drawn_truth(
    rng: np.random.Generator, queries: int, shape: float | None = None
) -> Truth:
    """A tail whose scale at the threshold, and shape, are drawn from their priors."""
    if shape is None:
        shape = rng.normal(SHAPE, SHAPE_SD)
    ratio = np.log(SHARE_OF_TAIL * queries / ABOVE)
    scale = np.exp(rng.normal(LOG_SCALE, LOG_SCALE_SD) - shape * ratio)
    start = THRESHOLD - gpd_quantile(ratio, scale, shape)
    return Truth(float(start), float(scale), float(shape))


def largest_scores(rng: np.random.Generator, truth: Truth, queries: int) -> np.ndarray:
    """Scores of as many queries, from the largest down."""
    return truth.scores(np.sort(rng.random(queries)))


def posterior(
    rng: np.random.Generator, scores: np.ndarray, above: int = ABOVE
) -> BodyAndTail:
    """Draws of the tail of gpd_tail, from its density on a grid."""
    threshold = scores[above]
    excess = scores[:above] - threshold
    log_scale = LOG_SCALE + LOG_SCALE_SD * np.linspace(-4, 4, 61)[:, None]
    shape = SHAPE + SHAPE_SD * (np.linspace(-4, 4, 62))  # none of them 0
    argument = 1 + shape * np.exp(-log_scale) * excess[:, None, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(argument).sum(axis=0)
    log_density = (
        -0.5 * ((log_scale - LOG_SCALE) / LOG_SCALE_SD) ** 2
        - 0.5 * ((shape - SHAPE) / SHAPE_SD) ** 2
        - above * log_scale
        - (1 + 1 / shape) * logs
    )
    possible = (argument > 0).all(axis=0)
    weight = np.where(possible, np.exp(log_density - log_density[possible].max()), 0.0)
    steps = np.cumsum(weight) / weight.sum()
    levels = (rng.permutation(DRAWS) + rng.random(DRAWS)) / DRAWS
    place = np.searchsorted(steps, levels)
    rows, columns = np.unravel_index(place, weight.shape)
    return BodyAndTail(
        threshold=float(threshold),
        rate=rng.beta(1 + above, scores.size - above, DRAWS),
        scale=np.exp(log_scale[rows, 0]),
        shape=shape[columns],
        body_score=scores[above:],
        body_count=np.ones(scores.size - above),
        resample=False,
    )


def checked(scores: np.ndarray, population: BodyAndTail) -> dict[str, TailCheck]:
    """The checks that can be false alarms."""
    above = int((scores > population.threshold).sum())
    queries = scores.size
    found = [
        tail_checks.saturation(float(risk_from_score(scores[0])), queries),
        tail_checks.threshold_stability(scores, queries),
        tail_checks.exceedances(above),
        tail_checks.shape_contraction(population.shape, SHAPE_SD, queries),
        tail_checks.shape_shift(population.shape, SHAPE, SHAPE_SD, queries),
        tail_checks.misfit(population, scores[: above + 1], queries),
    ]
    return {check.name: check for check in found if check is not None}


def covers(population: BodyAndTail, worst: float, deployed: int) -> bool:
    """Whether the 90 % interval of the worst of so many queries holds it."""
    excess = max(worst - population.threshold, 0.0)
    log_share = gpd_log_survival(excess, population.scale, population.shape)
    level = population.rate * np.exp(log_share)
    below = np.exp(deployed * np.log1p(-np.minimum(level, 1 - 1e-12))).mean()
    return bool(0.05 <= below <= 0.95)


def raised(
    queries: int,
    repeats: int,
    seed: int = SEED,
    *,
    spoil: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
    shape: float | None = None,
    above: int = ABOVE,
    times: int = TIMES,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Alarms of each check, and whether intervals cover, over simulated evaluations.

    ``spoil`` does to the scores what makes their tail unsound; evaluation and
    deployment are spoilt alike.
    """
    rng = np.random.default_rng([seed, queries])
    alarms: list[dict[str, bool]] = []
    covered: list[bool] = []
    deployed = times * queries
    for _ in range(repeats):
        truth = drawn_truth(rng, queries, shape)
        scores = largest_scores(rng, truth, queries)
        worst = float(truth.scores(-np.expm1(np.log(rng.random(1)) / deployed))[0])
        if spoil is not None:
            scores = spoil(rng, scores)
        population = posterior(rng, scores, above)
        found = checked(scores, population)
        alarms.append({name: check.alarm for name, check in found.items()})
        covered.append(covers(population, worst, deployed))
    names = dict.fromkeys(name for each in alarms for name in each)
    raised = {n: np.array([each.get(n, False) for each in alarms]) for n in names}
    return raised, np.array(covered)


def lone(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:  # noqa: ARG001
    """One query far above all others: six mean excesses of the ten riskiest."""
    made = scores.copy()
    made[0] += 6 * (scores[:ABOVE] - scores[ABOVE]).mean()
    return made


def mixed(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """Three in a hundred queries of a family that is four mean excesses above."""
    unit = (scores[:ABOVE] - scores[ABOVE]).mean()
    moved = rng.random(scores.size) < 0.03
    return np.sort(rng.permutation(scores) + 4 * unit * moved)[::-1]


def saturated(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """Risks near 1, of which a record of single precision keeps few digits."""
    lifted = scores - scores[0] + 16.0 + rng.exponential(2.0)
    log_risk = -np.exp(-lifted)
    kept = np.maximum(np.abs(log_risk.astype(np.float32)), 2.0**-24)
    rounded = np.round(kept * 2.0**24) / 2.0**24
    return np.sort(-np.log(np.maximum(rounded, 2.0**-24)))[::-1]


CONTROLS = {
    "lone outlier": {"spoil": lone},
    "mixture of families": {"spoil": mixed},
    "rounded near risk 1": {"spoil": saturated},
    "shape -0.8": {"shape": -0.8},
    "shape 0.6": {"shape": 0.6},
    "5 exceedances": {"above": 5},
    "20 exceedances": {"above": 20},
    "50 exceedances": {"above": 50},
    "shape -0.4, 50 exceedances": {"above": 50, "shape": -0.4},
}


def limit_of(lowest: int, repeats: int, seed: int = SEED) -> float:
    """The deviance between thresholds that 1 % of sound tails exceed."""
    rng = np.random.default_rng([seed, lowest])
    steps = [above for above in EXCEEDANCES if above < lowest]
    found: list[np.ndarray] = []
    for part in np.array_split(np.arange(repeats), max(repeats // 500, 1)):
        shape = rng.normal(SHAPE, SHAPE_SD, (part.size, 1))
        # The threshold is the next one down: excesses over it are like any others.
        depth = np.sort(rng.exponential(size=(part.size, lowest)), axis=1)[:, ::-1]
        found.append(threshold_deviance(gpd_quantile(depth, 1.0, shape), steps))
    return float(np.quantile(np.concatenate(found), 1 - LEVEL))


def _print(title: str, alarms: dict[str, np.ndarray], covered: np.ndarray) -> None:
    print(
        f"{title}: {covered.size} evaluations, the interval covers {covered.mean():.3f}"
    )
    for name, own in alarms.items():
        of_alarms = f"{covered[own].mean():.2f}" if own.sum() >= 20 else "-"
        print(f"  {name:<20} raised {own.mean():.4f}   covers where raised {of_alarms}")


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("limits", "rates", "controls"))
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    if given.what == "limits":
        for lowest in EXCEEDANCES[1:]:
            found = limit_of(lowest, given.repeats or 10_000, given.seed)
            print(
                f"{lowest} of at least {SHARE * lowest} queries: {found:.1f}",
                flush=True,
            )
        return
    for queries in SIZES:
        if given.what == "rates":
            repeats = given.repeats or 2_000
            _print(f"{queries} queries", *raised(queries, repeats, given.seed))
            continue
        for name, wrong in CONTROLS.items():
            if wrong.get("above", 0) * SHARE > queries:
                continue
            made = raised(queries, given.repeats or 200, given.seed, **wrong)
            _print(f"{queries} queries, {name}", *made)


if __name__ == "__main__":
    main()
