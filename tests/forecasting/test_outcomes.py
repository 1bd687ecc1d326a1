"""Outcomes of a deployment, against queries that are drawn one by one.

The slow reference knows nothing of levels or order statistics: it draws every query of
every deployment, and counts. Each comparison has a control that must fail.
"""

from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np
import pytest
from scipy import stats

from bayes_rare.forecasting import outcomes
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.populations import BodyAndTail, Normal, Population

type Scores = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

DEPLOYMENTS = 3_000
BODY = np.linspace(-1.0, -3.0, 40)
TIMES = np.arange(1.0, 41.0)
SMALLEST = -700.0  # logarithms of what float64 holds
SEEN = np.repeat(BODY, TIMES.astype(int))


def tail(draws: int, rate: float, scale: float, shape: float) -> BodyAndTail:
    one = np.ones(draws)
    return BodyAndTail(
        -1.0, rate * one, scale * one, shape * one, BODY, TIMES, resample=False
    )


def tail_scores(rate: float, scale: float, shape: float) -> Scores:
    def draw(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        scores = rng.choice(SEEN, size)
        above = rng.random(size) < rate
        scores[above] = -1.0 + stats.genpareto.rvs(
            shape, scale=scale, size=int(above.sum()), random_state=rng
        )
        return scores

    return draw


def normal(draws: int, location: float, scale: float) -> Normal:
    return Normal(np.full(draws, location), np.full(draws, scale))


def normal_scores(location: float, scale: float) -> Scores:
    return lambda rng, size: rng.normal(location, scale, size)


# By name: the population with as many equal draws as wanted, and its scores.
KNOWN: dict[str, tuple[Callable[[int], Population], Scores]] = {
    "exponential": (
        lambda draws: tail(draws, 0.2, 0.3, 0.0),
        tail_scores(0.2, 0.3, 0.0),
    ),
    "bounded": (lambda draws: tail(draws, 0.2, 0.3, -0.3), tail_scores(0.2, 0.3, -0.3)),
    "heavy": (lambda draws: tail(draws, 0.05, 0.4, 0.2), tail_scores(0.05, 0.4, 0.2)),
    "normal": (lambda draws: normal(draws, -2.0, 0.6), normal_scores(-2.0, 0.6)),
    # A few queries decide: the expectation says nothing of the single deployment.
    "skewed": (lambda draws: normal(draws, -9.0, 3.5), normal_scores(-9.0, 3.5)),
}
NAMES = list(KNOWN)


def brute_force(
    name: str, queries: int, summary: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """A number for each of many deployments, of queries drawn one by one."""
    scores, rng = KNOWN[name][1], np.random.default_rng(queries)
    rows = max(1, 1_000_000 // queries)
    starts = range(0, DEPLOYMENTS, rows)
    sizes = [min(rows, DEPLOYMENTS - start) for start in starts]
    return np.concatenate([summary(scores(rng, (size, queries))) for size in sizes])


def risks(scores: np.ndarray) -> np.ndarray:
    return np.exp(-np.exp(-scores))


@cache
def worst_by_brute_force(name: str, queries: int) -> np.ndarray:
    return brute_force(name, queries, lambda scores: scores.max(axis=1))


@cache
def log_hazard_by_brute_force(name: str, queries: int) -> np.ndarray:
    def summed(scores: np.ndarray) -> np.ndarray:
        hazard = np.exp(-scores)  # minus log p
        likely = -np.log(-np.expm1(-np.minimum(hazard, 1)))
        unlikely = -np.log1p(-np.exp(-np.maximum(hazard, 1)))
        total = np.where(hazard < 1, likely, unlikely).sum(axis=1)
        return np.log(np.maximum(total, np.exp(SMALLEST)))

    return brute_force(name, queries, summed)


def p_value(one: np.ndarray, other: np.ndarray) -> float:
    return float(stats.ks_2samp(one, other, method="asymp").pvalue)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("queries", [1, 7, 300])
def test_worst_score_is_the_largest_of_the_queries(
    name: str, queries: int, rng: np.random.Generator
) -> None:
    population = KNOWN[name][0](DEPLOYMENTS)
    realised = worst_by_brute_force(name, queries)
    assert p_value(outcomes.worst_score(population, queries, rng), realised) > 1e-6
    # With half as many queries again it is another distribution.
    more = outcomes.worst_score(population, queries + (queries + 1) // 2, rng)
    assert p_value(more, realised) < 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("queries", [100, 300])
def test_a_perfect_risk_quantile_lies_below_the_worst_of_most_deployments(
    name: str, queries: int
) -> None:
    population, realised = KNOWN[name][0](1), worst_by_brute_force(name, queries)
    chance = 1 - (1 - 1 / queries) ** queries

    def p_value_of(score: np.ndarray) -> float:
        above = int((realised > score).sum())
        return float(stats.binomtest(above, DEPLOYMENTS, chance).pvalue)

    assert 0.632 < chance < 0.635
    assert p_value_of(population.quantile(-np.log(queries))) > 1e-6
    median = outcomes.worst_score_quantile(population, queries, np.array([0.5]))
    assert p_value_of(median) < 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("queries", [1, 5, 64, 65, 1_000, 10_000])
def test_aggregate_hazard_is_the_sum_over_the_queries(
    name: str, queries: int, samples: int, rng: np.random.Generator
) -> None:
    population = KNOWN[name][0](DEPLOYMENTS)
    realised = np.log(samples) + log_hazard_by_brute_force(name, queries)

    def p_value_of(queries: int) -> float:
        drawn = outcomes.aggregate_log_hazard(population, queries, samples, rng)
        return p_value(np.maximum(drawn, np.log(samples) + SMALLEST), realised)

    assert p_value_of(queries) > 1e-6
    assert p_value_of(2 * queries) < 1e-6


def test_aggregate_risk_is_not_its_expectation(rng: np.random.Generator) -> None:
    """The skewed case: 90 % of the deployments are spread over most of [0, 1]."""
    population, queries = KNOWN["skewed"][0](DEPLOYMENTS), 130

    def aggregate(log_hazard: np.ndarray) -> np.ndarray:
        return -np.expm1(-np.exp(log_hazard))

    realised = aggregate(log_hazard_by_brute_force("skewed", queries))
    drawn = aggregate(outcomes.aggregate_log_hazard(population, queries, 1, rng))
    mean_failure = population.mean_failure()[0]
    expectation = -np.expm1(queries * np.log1p(-mean_failure))
    assert stats.ttest_1samp(realised, expectation).pvalue > 1e-6
    low, high = np.quantile(drawn, [0.05, 0.95])
    assert low < 0.02
    assert high > 0.95
    ends = [(low, 0.05, True), (high, 0.95, True)]
    for end, level, right in [
        *ends,
        (expectation, 0.05, False),
        (expectation, 0.95, False),
    ]:
        below = int((realised <= end).sum())
        assert (stats.binomtest(below, DEPLOYMENTS, level).pvalue > 1e-6) == right


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("risk", [0.01, 0.2])
def test_risky_queries_are_those_above_the_threshold(
    name: str, risk: float, rng: np.random.Generator
) -> None:
    population, queries = KNOWN[name][0](DEPLOYMENTS), 500
    realised = brute_force(
        name, queries, lambda scores: (risks(scores) > risk).sum(axis=1)
    )

    def p_value_of(threshold: float) -> float:
        drawn = outcomes.risky_queries(population, queries, threshold, rng)
        rows = np.stack(
            [np.bincount(np.minimum(n.astype(int), 200)) for n in padded(drawn)]
        )
        rows = rows[:, rows.sum(axis=0) > 0]
        rare = np.cumsum(rows.sum(axis=0)) // 40  # neighbours share a cell
        cells = np.stack([np.bincount(rare, row) for row in rows])
        cells = cells[:, cells.sum(axis=0) > 0]
        return float(stats.chi2_contingency(cells).pvalue)

    def padded(drawn: np.ndarray) -> list[np.ndarray]:
        top = max(drawn.max(), realised.max())
        return [np.append(drawn, top), np.append(realised, top)]

    assert p_value_of(risk) > 1e-6
    assert p_value_of(risk / 4) < 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 3])
def test_first_failure_is_the_first_query_that_fails(
    name: str, samples: int, rng: np.random.Generator
) -> None:
    population = KNOWN[name][0](DEPLOYMENTS)
    most = 1_000  # and more are as many

    def first(scores: np.ndarray) -> np.ndarray:
        chance = 1 - (1 - risks(scores)) ** samples
        failed = rng.random(chance.shape) < chance
        return np.where(failed.any(axis=1), 1 + failed.argmax(axis=1), most)

    realised = brute_force(name, most, first)

    def p_value_of(samples: int) -> float:
        drawn = outcomes.first_failure(population, samples, rng)
        return p_value(np.minimum(drawn, most), realised)

    assert p_value_of(samples) > 1e-6
    assert p_value_of(2 * samples) < 1e-6


def test_a_first_failure_is_geometric(rng: np.random.Generator) -> None:
    population = normal(40_000, -0.5, 0.5)
    drawn = outcomes.first_failure(population, 1, rng)
    chance = stats.norm(-0.5, 0.5).expect(lambda s: np.exp(-np.exp(-s)))
    expected = stats.geom.pmf(np.arange(1, 7), chance) * drawn.size
    seen = np.array([(drawn == n).sum() for n in range(1, 7)])

    def p_value_of(seen: np.ndarray) -> float:
        rest = drawn.size - np.array([seen.sum(), expected.sum()])
        return float(
            stats.chisquare(np.append(seen, rest[0]), np.append(expected, rest[1]))[1]
        )

    assert p_value_of(seen) > 1e-6
    assert p_value_of(np.roll(seen, 1)) < 1e-6  # an off-by-one


@pytest.mark.parametrize("name", NAMES)
def test_exceedance_probability_is_how_often_the_worst_is_above(name: str) -> None:
    population, queries = KNOWN[name][0](1), 300
    realised = risks(worst_by_brute_force(name, queries))
    for risk in np.quantile(realised, [0.1, 0.5, 0.9]):
        chance = outcomes.exceedance_probability(population, queries, risk)[0]
        other = outcomes.exceedance_probability(population, 2 * queries, risk)[0]
        above = int((realised > risk).sum())
        assert stats.binomtest(above, DEPLOYMENTS, chance).pvalue > 1e-6
        assert stats.binomtest(above, DEPLOYMENTS, other).pvalue < 1e-6


@pytest.mark.parametrize("queries", [1, 10**6, 10**12])
@pytest.mark.parametrize("location", [-2.0, -6.0, -9.0])
def test_exceedance_probability_keeps_its_digits(queries: int, location: float) -> None:
    """Where 1 - share rounds to 1: the closed form with fifty digits."""
    risk, scale = 0.3, 0.7
    answer = outcomes.exceedance_probability(normal(1, location, scale), queries, risk)
    with mpmath.workdps(50):
        score = -mpmath.log(-mpmath.log(risk))
        deviate = (score - location) / scale
        share = mpmath.erfc(deviate / mpmath.sqrt(2)) / 2
        exact = 1 - (1 - share) ** queries
        assert answer[0] == pytest.approx(float(exact), rel=1e-9, abs=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", [0.01, 0.3])
def test_the_largest_safe_deployment_is_safe_and_a_larger_one_is_not(
    name: str, level: float
) -> None:
    population = KNOWN[name][0](1)
    for risk in (0.2, 0.5, 0.9):
        largest = int(outcomes.largest_safe_deployment(population, risk, level)[0])
        sizes = (largest, largest + 1)
        safe = [
            outcomes.exceedance_probability(population, size, risk)[0] <= level
            for size in sizes
        ]
        assert safe == [True, largest == FOREVER]


# Draws that differ: for what is averaged over them.
def uncertain(draws: int) -> list[Population]:
    rng = np.random.default_rng(5)
    rate, scale = rng.beta(10, 190, draws), 3.0 / rng.gamma(9, 1, draws)
    shape, location = rng.normal(0, 0.08, draws), rng.normal(-2, 0.3, draws)
    return [
        BodyAndTail(-1.0, rate, scale, shape, BODY, TIMES, resample=False),
        Normal(location, scale),
    ]


def chosen(population: Population, draws: np.ndarray) -> Population:
    """The population of some of the draws, repeated at will."""
    if isinstance(population, Normal):
        return Normal(population.location[draws], population.scale[draws])
    assert isinstance(population, BodyAndTail)
    return BodyAndTail(
        population.threshold,
        population.rate[draws],
        population.scale[draws],
        population.shape[draws],
        population.body_score,
        population.body_count,
        resample=False,
    )


LEVELS = np.array([0.05, 0.5, 0.95])


@pytest.mark.parametrize("population", uncertain(300), ids=["tail", "normal"])
@pytest.mark.parametrize("queries", [10**3, 10**6])
def test_predictive_quantiles_are_those_of_many_worst_scores(
    population: Population, queries: int, rng: np.random.Generator
) -> None:
    many = chosen(population, rng.integers(population.draws, size=20_000))
    drawn = outcomes.worst_score(many, queries, rng)
    quantiles = outcomes.worst_score_quantile(population, queries, LEVELS)
    for score, level in zip(quantiles, LEVELS, strict=True):
        below = int((drawn <= score).sum())
        assert stats.binomtest(below, drawn.size, level).pvalue > 1e-6
    # A quantile for each draw, averaged over draws, is narrower than the predictive.
    log_level = np.log(-np.expm1(np.log(LEVELS[:, None]) / queries))
    averaged = population.quantile(log_level).mean(axis=1)
    for score, level in zip(averaged[[0, 2]], LEVELS[[0, 2]], strict=True):
        below = int((drawn <= score).sum())
        assert stats.binomtest(below, drawn.size, level).pvalue < 1e-6


@pytest.mark.parametrize("queries", [1, 1_000, 10**12])
def test_predictive_quantiles_invert_the_averaged_distribution(queries: int) -> None:
    """By scipy's survival functions, which share no code with ours."""
    levels = np.array([0.001, 0.05, 0.5, 0.95, 0.999])
    tails, normals = uncertain(200)
    assert isinstance(tails, BodyAndTail)
    assert isinstance(normals, Normal)

    def below_tail(score: np.ndarray) -> np.ndarray:
        above = stats.genpareto.sf(score + 1, tails.shape, scale=tails.scale)
        return np.exp(queries * np.log1p(-tails.rate * above)).mean(axis=1)

    def below_normal(score: np.ndarray) -> np.ndarray:
        below = stats.norm.logcdf(score, normals.location, normals.scale)
        return np.exp(queries * below).mean(axis=1)

    score = outcomes.worst_score_quantile(normals, queries, levels)
    np.testing.assert_allclose(below_normal(score[:, None]), levels, rtol=1e-9)
    assert abs(below_normal(score[:, None] + 1e-3) / levels - 1).min() > 1e-6
    score = outcomes.worst_score_quantile(tails, queries, levels)
    in_tail = score > tails.threshold
    assert in_tail.any()
    np.testing.assert_allclose(
        below_tail(score[in_tail, None]), levels[in_tail], rtol=1e-9
    )


def test_predictive_quantiles_may_be_atoms_of_the_body() -> None:
    population = tail(3, 0.2, 0.3, 0.0)
    share = 0.8 * np.cumsum(TIMES[::-1]) / TIMES.sum()  # up to each score, ascending
    for atom in (0, 10, 39):
        below = share[atom - 1] if atom else 0.0
        levels = np.array([below + 1e-6, share[atom] - 1e-6])
        score = outcomes.worst_score_quantile(population, 1, levels)
        np.testing.assert_allclose(score, BODY[::-1][atom], rtol=1e-14)


def test_predictive_quantiles_of_draws_that_exclude_each_other() -> None:
    """Between two narrow populations the one is all below, the other all above."""
    population = Normal(np.array([0.0, 50.0]), np.array([0.1, 0.1]))
    low, high = outcomes.worst_score_quantile(population, 10, np.array([0.25, 0.75]))
    assert (low, high) == pytest.approx(
        [stats.norm.ppf(0.5**0.1) / 10, 50 + stats.norm.ppf(0.5**0.1) / 10]
    )


@pytest.mark.parametrize("population", uncertain(40), ids=["tail", "normal"])
@pytest.mark.parametrize("queries", [30, 10**4])
def test_the_variance_is_split_as_by_a_nested_simulation(
    population: Population, queries: int, rng: np.random.Generator
) -> None:
    inner, batches = 50, 400
    repeated = chosen(population, np.tile(np.arange(population.draws), inner * batches))
    score = outcomes.worst_score(repeated, queries, rng).reshape(
        batches, inner, population.draws
    )
    mean = score.mean(axis=1)
    luck = score.var(axis=1, ddof=1).mean(axis=1)
    # Two halves have independent errors: their covariance over draws has no bias.
    centred = mean - mean.mean(axis=1, keepdims=True)
    ignorance = (centred[::2] * centred[1::2]).mean(axis=1)
    parts = outcomes.worst_score_variance(population, queries)
    for claimed, simulated in zip(parts, (luck, ignorance), strict=True):
        assert stats.ttest_1samp(simulated, claimed).pvalue > 1e-6
        assert stats.ttest_1samp(simulated, 1.3 * claimed).pvalue < 1e-6
    assert sum(parts) == pytest.approx(score.var(), rel=0.02)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2])
def test_the_variance_of_luck_is_that_of_the_extreme_value_law(shape: float) -> None:
    """Coles (2001), section 3.1.3: with a billion queries the limit is reached."""
    queries, rate, scale = 10**9, 0.05, 0.3
    luck, ignorance = outcomes.worst_score_variance(
        tail(2, rate, scale, shape), queries
    )
    width = scale * (rate * queries) ** shape
    exact = stats.genextreme.var(-shape, scale=width)
    assert luck == pytest.approx(float(exact), rel=2e-3)
    assert ignorance == pytest.approx(0, abs=1e-20)


def test_the_variance_is_of_the_score_limited_to_1000(
    rng: np.random.Generator,
) -> None:
    """Of the score itself it is infinite, where a shape is 1/2 or more."""
    population, queries = tail(100_000, 0.05, 0.4, 0.8), 10**4
    luck, ignorance = outcomes.worst_score_variance(tail(3, 0.05, 0.4, 0.8), queries)
    score = outcomes.worst_score(population, queries, rng)
    assert 0.01 < (score > 1000).mean() < 0.5
    square = (np.minimum(score, 1000) - np.minimum(score, 1000).mean()) ** 2
    assert stats.ttest_1samp(square, luck).pvalue > 1e-6
    assert stats.ttest_1samp(square, 1.1 * luck).pvalue < 1e-6
    assert ignorance == pytest.approx(0, abs=1e-9)
    # Where every score is beyond the limit, nothing is left that varies.
    far = outcomes.worst_score_variance(tail(3, 0.05, 0.4, 3.0), 10**12)
    assert far == pytest.approx((0, 0), abs=1e-6)


# A tail that ends at a risk of 0.5, so that larger risks have no share.
ENDS = 0.366512920581664356
BOUNDED = tail(50, 0.1, 0.3, -0.3 / (1 + ENDS))
THIRD = np.full(50, 1 / 3)
SATURATED = BodyAndTail(
    60.0, THIRD, THIRD, np.zeros(50), np.array([60.0, 40.0]), np.ones(2)
)
HOPELESS = normal(50, -12.0, 0.1)  # risks below 1e-300: float64 has only 0 for them
EDGES: dict[str, Population] = {
    "bounded": BOUNDED,
    "saturated": SATURATED,
    "hopeless": HOPELESS,
    "wide": normal(50, -2.0, 30.0),
    "tail": uncertain(50)[0],
    "normal": uncertain(50)[1],
}


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("queries", [1, 64, 65, 10**12])
def test_nothing_is_nan_at_the_edges(
    name: str, queries: int, rng: np.random.Generator
) -> None:
    population = EDGES[name]
    for risk in (1e-300, 1e-6, 0.5, 1 - 1e-16):
        count = outcomes.risky_queries(population, queries, risk, rng)
        assert ((count >= 0) & (count <= queries)).all()
        chance = outcomes.exceedance_probability(population, queries, risk)
        assert ((chance >= 0) & (chance <= 1)).all()
        size = outcomes.largest_safe_deployment(population, risk, 0.05)
        assert ((size >= 0) & (size <= FOREVER) & (size == np.floor(size))).all()
        assert (outcomes.log_behaviour_frequency(population, risk) <= 0).all()
    waited = outcomes.first_failure(population, 3, rng)
    assert ((waited >= 1) & (waited <= FOREVER) & (waited == np.floor(waited))).all()
    assert np.isfinite(outcomes.worst_score(population, queries, rng)).all()
    ends = outcomes.worst_score_quantile(population, queries, LEVELS)
    assert np.isfinite(ends).all()
    assert (np.diff(ends) >= 0).all()
    assert min(outcomes.worst_score_variance(population, queries)) >= 0
    hazard = outcomes.aggregate_log_hazard(population, queries, 10**12, rng)
    assert not np.isnan(hazard).any()
    # Nothing is infinite but the logarithm of a chance that float64 takes for 0.
    assert np.isfinite(hazard[hazard > -np.inf]).all()
    assert (hazard > -np.inf).all() or name in ("hopeless", "wide")


def test_a_population_that_surely_fails_or_never_does(rng: np.random.Generator) -> None:
    assert (outcomes.first_failure(SATURATED, 1, rng) == 1).all()
    assert (outcomes.first_failure(HOPELESS, 1, rng) == FOREVER).all()
    assert (outcomes.largest_safe_deployment(SATURATED, 0.5, 0.05) == 0).all()
    assert (outcomes.largest_safe_deployment(HOPELESS, 0.5, 0.05) == FOREVER).all()
    assert (outcomes.exceedance_probability(SATURATED, 1, 0.5) == 1).all()
    assert (outcomes.exceedance_probability(HOPELESS, FOREVER, 0.5) == 0).all()
    assert (outcomes.risky_queries(SATURATED, 10**12, 0.5, rng) == 10**12).all()


def test_above_the_upper_end_of_a_bounded_tail_there_is_nobody(
    rng: np.random.Generator,
) -> None:
    assert (outcomes.risky_queries(BOUNDED, 10**12, 0.51, rng) == 0).all()
    assert (outcomes.exceedance_probability(BOUNDED, 10**12, 0.51) == 0).all()
    assert (outcomes.largest_safe_deployment(BOUNDED, 0.51, 0.05) == FOREVER).all()
    assert (outcomes.worst_score(BOUNDED, 10**12, rng) <= ENDS).all()
    below = outcomes.exceedance_probability(BOUNDED, 10**12, 0.49)
    assert (below == 1).all()


def test_the_share_at_the_threshold_is_the_rate_and_below_the_body_it_is_all() -> None:
    rate = 0.1

    def share(score: float) -> float:
        risk = float(np.exp(-np.exp(-score)))
        return float(np.exp(outcomes.log_behaviour_frequency(BOUNDED, risk))[0])

    # The threshold is a score of the body as well, and not above itself.
    assert share(-1 + 1e-9) == pytest.approx(rate, rel=1e-6)
    first = 0.9 * TIMES[0] / TIMES.sum()
    assert share(-1 - 1e-9) == pytest.approx(rate + first, rel=1e-6)
    assert share(BODY[-1] + 1e-9) == pytest.approx(
        1 - 0.9 * TIMES[-1] / TIMES.sum(), rel=1e-9
    )
    assert share(BODY[-1] - 1e-9) == 1
