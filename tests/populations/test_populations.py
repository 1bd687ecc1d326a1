"""Populations of scores: by mpmath and scipy, by laws, and by simulation."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import simpson

from bayes_rare.populations import (
    BodyAndTail,
    Empirical,
    Normal,
    Population,
    StepsAndTail,
    gpd_log_survival,
    gpd_quantile,
    log_worst_level,
)
from bayes_rare.scores import log_safe_from_score, risk_from_score

mp: Any = mpmath.mp.clone()
mp.dps = 40

SHAPES = [-0.9, -0.3, -1e-4, -1e-8, -1e-12, 0.0, 1e-12, 1e-8, 1e-4, 0.3, 2.0]


def tail_of(
    rate: float = 0.2, scale: float = 0.4, shape: float = 0.1, draws: int = 1
) -> BodyAndTail:
    """A population with a threshold of -1 and a body of five scores, one of it tied."""
    return BodyAndTail(
        threshold=-1.0,
        rate=np.full(draws, rate),
        scale=np.full(draws, scale),
        shape=np.full(draws, shape),
        body_score=np.array([-1.0, -1.25, -2.0, -3.5, -6.0]),
        body_count=np.array([1.0, 1.0, 4.0, 2.5, 30.0]),
    )


def steps_of(
    rate: float = 0.1, scale: float = 0.4, shape: float = 0.1, uneven: float = 0.5
) -> StepsAndTail:
    """A population with a threshold of -1 and three steps of unequal width and mass."""
    share = np.exp(uneven * np.array([1.0, -1.0, 0.3]))
    return StepsAndTail(
        np.array([-4.5, -2.5, -1.6, -1.0]),
        (1 - rate) * (share / share.sum())[:, None],
        *np.array([[rate], [scale], [shape]]),
    )


def normal(location: float = -2.0, scale: float = 0.8) -> Normal:
    return Normal(np.array([location]), np.array([scale]))


tails = st.builds(
    tail_of,
    rate=st.floats(0.001, 0.999),
    scale=st.floats(0.05, 3),
    shape=st.one_of(st.just(0.0), st.floats(-0.5, 0.5)),
)
normals = st.builds(normal, location=st.floats(-10, 5), scale=st.floats(0.05, 5))
steps = st.builds(
    steps_of,
    rate=st.floats(1e-6, 0.999),
    scale=st.floats(0.05, 3),
    shape=st.one_of(st.just(0.0), st.floats(-0.5, 0.5)),
    uneven=st.floats(-6, 6),
)
populations = st.one_of(tails, normals, steps)
log_levels = st.floats(-40, -1e-6)


def exact_gpd_log_survival(excess: float, scale: float, shape: float) -> Any:
    depth, xi = mp.mpf(excess) / mp.mpf(scale), mp.mpf(shape)
    return -depth if shape == 0 else -mp.log1p(xi * depth) / xi


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("excess", [1e-9, 0.1, 0.99])
def test_gpd_log_survival_is_exact(excess: float, shape: float) -> None:
    exact = float(exact_gpd_log_survival(excess, 0.9, shape))
    assert float(gpd_log_survival(excess, 0.9, shape)) == pytest.approx(
        exact, rel=1e-14, abs=0
    )
    scipys = float(stats.genpareto.logsf(excess, shape, scale=0.9))
    assert scipys == pytest.approx(exact, rel=1e-7)  # scipy loses digits at 1e-8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1e-9, 1.0, 30.0, math.log(1e12)])
def test_gpd_quantile_is_exact(depth: float, shape: float) -> None:
    xi = mp.mpf(shape)
    exact = 0.9 * (mp.mpf(depth) if shape == 0 else mp.expm1(xi * depth) / xi)
    # expm1 of an argument known to half an ulp: 55 * 1.1e-16.
    assert float(gpd_quantile(depth, 0.9, shape)) == pytest.approx(
        float(exact), rel=2e-14, abs=0
    )


@given(st.floats(0, 40), st.floats(0.01, 10), st.floats(-0.8, 0.8))
def test_gpd_quantile_inverts_the_survival_of_scipy(
    depth: float, scale: float, shape: float
) -> None:
    excess = gpd_quantile(depth, scale, shape)
    isf = stats.genpareto.isf(np.exp(-depth), shape, scale=scale)
    np.testing.assert_allclose(excess, isf, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("tiny", [1e-12, 1e-8])
def test_gpd_is_continuous_through_shape_zero(tiny: float) -> None:
    shape = np.array([-tiny, 0.0, tiny])
    for function in (gpd_log_survival, gpd_quantile):
        low, middle, high = function(27.0, 0.7, shape)
        slope = 27.0**2 / 0.7**2  # more than the derivative by shape of either
        assert middle == pytest.approx(low, rel=0, abs=slope * tiny)
        assert middle == pytest.approx(high, rel=0, abs=slope * tiny)
        assert (low - middle) * (middle - high) > 0  # and it is not constant


def test_gpd_knows_its_upper_end_and_infinity() -> None:
    shape = np.array([-0.5, 0.0, 0.5])
    np.testing.assert_array_equal(gpd_log_survival(np.inf, 2.0, shape), [-np.inf] * 3)
    np.testing.assert_array_equal(gpd_quantile(np.inf, 2.0, shape), [4, np.inf, np.inf])
    assert gpd_log_survival(4.0, 2.0, -0.5) == -np.inf
    assert gpd_log_survival(4.1, 2.0, -0.5) == -np.inf
    assert np.isfinite(gpd_log_survival(3.9999, 2.0, -0.5))


@pytest.mark.parametrize("queries", [1, 10, 1e6, 1e12])
@pytest.mark.parametrize("uniform", [1e-300, 0.01, 0.5, 1 - 1e-12])
def test_log_worst_level_is_exact(queries: float, uniform: float) -> None:
    with mp.workdps(60):
        exact = mp.log(1 - mp.mpf(uniform) ** (1 / mp.mpf(queries)))
    found = float(log_worst_level(math.log(uniform), queries))
    # The logarithm of a uniform near 1 is known to 1e-16 of 1e-12.
    slack = 2e-14 if uniform < 0.99 else 2e-4
    assert found == pytest.approx(float(exact), rel=slack, abs=1e-15)


def test_the_worst_of_a_trillion_normal_queries() -> None:
    queries, uniform = 10**12, 0.37
    with mp.workdps(60):
        level = 1 - mp.mpf(uniform) ** (mp.mpf(1) / queries)
        deviate = mp.findroot(lambda z: mp.erfc(z / mp.sqrt(2)) / 2 / level - 1, 7.0)
    score = normal(-2.0, 0.8).quantile(log_worst_level(math.log(uniform), queries))
    np.testing.assert_allclose(score, [float(-2 + 0.8 * deviate)], rtol=1e-12)


@pytest.mark.parametrize("score", [-50.0, -3.0, -2.0, 1.0, 30.0])
def test_normal_log_survival_is_exact(score: float) -> None:
    deviate = (mp.mpf(score) + 2) / mp.mpf(0.8)
    exact = mp.log(mp.erfc(deviate / mp.sqrt(2)) / 2)
    np.testing.assert_allclose(
        normal().log_survival(score), [float(exact)], rtol=1e-13, atol=1e-300
    )


@given(populations, st.floats(-8, 8), log_levels)
def test_quantile_is_the_generalised_inverse(
    population: Population, score: float, log_level: float
) -> None:
    """``quantile(v) <= s`` if and only if ``log_survival(s) <= v``."""
    survival = float(population.log_survival(score)[0])
    quantile = float(population.quantile(log_level)[0])
    # Where the two sides are equal but for rounding, either answer will do.
    if abs(survival - log_level) > 1e-9 * (1 - log_level):
        assert (quantile <= score) == (survival <= log_level)


@given(tails, st.integers(0, 4), st.sampled_from([-1e-9, 1e-9]))
def test_an_atom_has_a_range_of_levels(
    tail: BodyAndTail, cell: int, step: float
) -> None:
    score = float(tail.body_score[cell])
    below = tail.log_survival(np.nextafter(score, -np.inf))
    at = tail.log_survival(score)
    assert at < below
    inner = np.log(np.exp(at) + 0.5 * (np.exp(below) - np.exp(at)))
    assert tail.quantile(inner) == score
    if cell:  # a level a little smaller than the atom's belongs to the next one up
        edge = tail.quantile(at * (1 - step))
        assert edge == (score if step > 0 else tail.body_score[cell - 1])


@given(populations, log_levels, log_levels)
def test_quantile_and_survival_are_monotone(
    population: Population, a: float, b: float
) -> None:
    small, large = sorted((a, b))
    low, high = population.quantile(large), population.quantile(small)
    assert low <= high
    assert population.log_survival(low) >= population.log_survival(high)


@given(tails, st.floats(-40, 0))
def test_tail_quantile_inverts_tail_survival(tail: BodyAndTail, depth: float) -> None:
    level = np.log(tail.rate) + depth
    score = tail.quantile(level)
    if depth < 0:
        np.testing.assert_allclose(tail.log_survival(score), level, rtol=1e-6)
    assert tail.log_survival(-1.0) == np.log(tail.rate)


@pytest.mark.parametrize("population", [tail_of(shape=s) for s in (-0.3, 0.0, 0.3)])
def test_a_population_is_complete(population: BodyAndTail) -> None:
    assert population.log_survival(-np.inf) == 0
    assert population.log_survival(np.inf) == -np.inf
    assert population.log_survival(-6.0) < 0
    assert population.log_survival(-6.0 - 1e-12) == 0
    assert population.quantile(0.0) == -6.0
    median = population.quantile(log_worst_level(math.log(0.5), 1e12))
    assert population.quantile(-np.inf) > median
    assert np.isfinite(median)


def test_draws_are_answered_one_by_one(rng: np.random.Generator) -> None:
    rate, scale = rng.uniform(0.05, 0.6, 7), rng.uniform(0.1, 2, 7)
    shape = rng.normal(0, 0.2, 7)
    whole = tail_of()
    body = whole.body_score, whole.body_count
    together = BodyAndTail(-1.0, rate, scale, shape, *body)
    score = np.array([-0.9, 0.0, 2.0])[:, None]
    level = np.log([0.04, 1e-3, 1e-9])[:, None]
    for draw in range(7):
        one = slice(draw, draw + 1)
        alone = BodyAndTail(-1.0, rate[one], scale[one], shape[one], *body)
        np.testing.assert_array_equal(
            together.log_survival(score)[:, one], alone.log_survival(score)
        )
        np.testing.assert_array_equal(
            together.quantile(level)[:, one], alone.quantile(level)
        )
    assert together.draws == 7
    assert together.quantile(level).shape == (3, 7)


def exact_failure(score: Any, samples: float) -> Any:
    return -mp.expm1(samples * mp.log1p(-mp.exp(-mp.exp(-score))))


def exact_tail_mean(scale: float, shape: float, samples: float) -> Any:
    """Mean failure of the tail alone, given that a query is in it."""

    def integrand(depth: Any) -> Any:
        xi = mp.mpf(shape)
        excess = scale * (depth if shape == 0 else mp.expm1(xi * depth) / xi)
        # 1 - risk of a score beyond 60 is below the 40 digits: the query fails.
        failure = 1 if excess > 61 else exact_failure(excess - 1, samples)
        return mp.exp(-depth) * failure

    with mp.workdps(25):
        return mp.quad(integrand, [*mp.linspace(0, 20, 41), 30, 45, 70])


@pytest.mark.parametrize("scale", [0.05, 0.7, 2.9])
@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("samples", [1.0, 1e4])
def test_mean_failure_of_a_tail_is_exact(
    scale: float, shape: float, samples: float
) -> None:
    tail = tail_of(0.2, scale, shape)
    edges = [*(tail.log_survival(s)[0] for s in tail.body_score), 0.0]
    body = sum(
        exact_failure(mp.mpf(s), samples) * (mp.exp(low) - mp.exp(high))
        for s, high, low in zip(tail.body_score, edges, edges[1:], strict=False)
    )
    exact = body + mp.mpf(0.2) * exact_tail_mean(scale, shape, samples)
    assert tail.mean_failure(samples)[0] == pytest.approx(float(exact), rel=1e-7)


@pytest.mark.parametrize("scale", [0.05, 0.7, 2.9])
@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("samples", [1.0, 1e4])
def test_mean_failure_of_steps_and_a_tail_is_exact(
    scale: float, shape: float, samples: float
) -> None:
    population = steps_of(0.2, scale, shape)
    exact = mp.mpf(0.2) * exact_tail_mean(scale, shape, samples)
    edges = population.edges.tolist()
    with mp.workdps(25):
        for low, high, weight in zip(
            edges, edges[1:], population.weight[:, 0], strict=False
        ):
            inside = mp.quad(
                lambda score: exact_failure(score, samples),
                mp.linspace(low, high, 9),
            )
            exact += mp.mpf(weight) * inside / (high - low)
    assert population.mean_failure(samples)[0] == pytest.approx(float(exact), rel=1e-7)


@given(steps, st.floats(-5, -1), st.floats(0, 1))
def test_steps_are_linear_and_join_the_tail(
    population: StepsAndTail, score: float, share: float
) -> None:
    edges, weight = population.edges, population.weight[:, 0]
    step = int(np.clip(np.searchsorted(edges, score) - 1, 0, 2))
    low, high = edges[step : step + 2]
    inside = low + share * (high - low)
    above = population.rate[0] + weight[step + 1 :].sum() + (1 - share) * weight[step]
    survival = np.exp(population.log_survival(inside))
    np.testing.assert_allclose(survival, [above], rtol=1e-9)
    np.testing.assert_allclose(
        population.log_survival(np.nextafter(-1.0, -2.0)),
        population.log_survival(-1.0),
        rtol=1e-9,
        atol=1e-9,
    )
    np.testing.assert_allclose(np.exp(population.log_survival(-1.0)), population.rate)
    assert population.log_survival(-4.5) == 0
    assert population.quantile(0.0) == -4.5


def test_draws_of_steps_are_answered_one_by_one(rng: np.random.Generator) -> None:
    singles = [
        steps_of(*rng.uniform([0.01, 0.1, -0.3, -2], [0.5, 2, 0.3, 2]))
        for _ in range(5)
    ]
    together = StepsAndTail(
        singles[0].edges,
        np.concatenate([single.weight for single in singles], axis=1),
        *(
            np.concatenate([getattr(single, name) for single in singles])
            for name in ("rate", "scale", "shape")
        ),
    )
    score = np.array([-5.0, -2.0, -1.2, 0.0, 2.0])[:, None]
    level = np.log([0.9, 0.3, 0.04, 1e-9])[:, None]
    assert together.draws == 5
    for draw, alone in enumerate(singles):
        one = slice(draw, draw + 1)
        np.testing.assert_array_equal(
            together.log_survival(score)[:, one], alone.log_survival(score)
        )
        np.testing.assert_array_equal(
            together.quantile(level)[:, one], alone.quantile(level)
        )
        np.testing.assert_allclose(
            together.mean_failure(50)[one], alone.mean_failure(50), rtol=1e-8
        )


@pytest.mark.parametrize("location", [-20.0, -3.0, 1.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("samples", [1.0, 1e4])
def test_mean_failure_of_normal_scores_is_exact(
    location: float, scale: float, samples: float
) -> None:
    def integrand(z: Any) -> Any:
        score = location + scale * z
        if score < -9:  # a risk below 1e-3500
            return mp.mpf(0)
        failure = 1 if score > 60 else exact_failure(score, samples)
        return failure * mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)

    with mp.workdps(25):
        exact = float(mp.quad(integrand, mp.linspace(-12, 12, 49)))
    found = normal(location, scale).mean_failure(samples)[0]
    # Twelve deviations cut off 1e-33 and no more.
    assert found == pytest.approx(exact, rel=1e-7, abs=1e-32)


def fine_sum(function: Callable[[np.ndarray], np.ndarray], end: float) -> float:
    """Integral from 0 by Simpson's rule on half a million points."""
    return float(simpson(function(grid := np.linspace(0, end, 500_001)), x=grid))


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("samples", [1.0, 1e4, 1e9])
def test_mean_failure_is_as_accurate_as_is_said(scale: float, samples: float) -> None:
    """However wide the population, and however sharply samples part its queries."""

    def failure(score: np.ndarray) -> np.ndarray:
        return -np.expm1(samples * log_safe_from_score(score))

    tail = dataclasses.replace(
        tail_of(0.999, scale, -0.1), threshold=-2.0, body_score=np.full(5, -700.0)
    )
    in_tail = fine_sum(
        lambda depth: np.exp(-depth) * failure(gpd_quantile(depth, scale, -0.1) - 2.0),
        60.0,
    )
    found = tail.mean_failure(samples)[0]
    assert found == pytest.approx(0.999 * in_tail, rel=1e-6)
    exact = fine_sum(
        lambda z: stats.norm.pdf(z - 12) * failure(scale * (z - 12) - 3), 24.0
    )
    found = normal(-3.0, scale).mean_failure(samples)[0]
    assert found == pytest.approx(exact, rel=1e-6)


def simulated(
    population: Population, size: Any, rng: np.random.Generator
) -> np.ndarray:
    """Scores drawn by scipy, not by the population's own quantile."""
    if isinstance(population, Normal):
        return rng.normal(population.location[0], population.scale[0], size)
    if isinstance(population, StepsAndTail):
        return simulated_steps(population, size, rng)
    assert isinstance(population, BodyAndTail)
    level = np.exp([*population.log_survival(population.body_score[:, None])[:, 0], 0])
    weight = np.diff(level) / (1 - population.rate[0])
    body = rng.choice(population.body_score, size, p=weight / weight.sum())
    shape, scale = population.shape[0], population.scale[0]
    excess = stats.genpareto.rvs(shape, scale=scale, size=size, random_state=rng)
    above = rng.random(size) < population.rate[0]
    return np.where(above, population.threshold + excess, body)


def simulated_steps(
    population: StepsAndTail, size: Any, rng: np.random.Generator
) -> np.ndarray:
    """A part of the population, and a place in it, both drawn by NumPy and scipy."""
    part = rng.choice(4, size, p=[*population.weight[:, 0], population.rate[0]])
    edges = np.append(population.edges, population.threshold + 1)
    body = rng.uniform(edges[part], edges[part + 1])
    shape, scale = population.shape[0], population.scale[0]
    excess = stats.genpareto.rvs(shape, scale=scale, size=size, random_state=rng)
    return np.where(part == 3, population.threshold + excess, body)


SIMULATED = [
    normal(),
    tail_of(),
    tail_of(shape=-0.3),
    tail_of(shape=0.0),
    steps_of(),
    steps_of(rate=0.3, shape=-0.3, uneven=-1.0),
]


@pytest.mark.parametrize("population", SIMULATED)
@pytest.mark.parametrize(("guess", "holds"), [(30, True), (45, False)])
def test_mean_failure_by_simulation(
    population: Population, guess: int, holds: bool, rng: np.random.Generator
) -> None:
    """Queries sampled 30 times; a forecast for 45 samples is the control."""
    risk = risk_from_score(simulated(population, 1_000_000, rng))
    failures = int((rng.binomial(30, risk) > 0).sum())
    chance = float(population.mean_failure(guess)[0])
    pvalue = stats.binomtest(failures, risk.size, chance).pvalue
    assert (pvalue > 1e-6) == holds


@pytest.mark.parametrize("population", SIMULATED)
@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("guess", "holds"), [(200, True), (320, False)])
def test_worst_of_n_by_simulation(
    population: Population,
    level: float,
    guess: int,
    holds: bool,
    rng: np.random.Generator,
) -> None:
    """Deployments of 200 queries; a forecast for 320 is the control."""
    worst = simulated(population, (8_000, 200), rng).max(axis=1)
    score = population.quantile(log_worst_level(math.log(level), guess))
    below = int((worst < score).sum())
    assert (stats.binomtest(below, worst.size, level).pvalue > 1e-6) == holds


def test_worst_of_few_lies_in_the_body(rng: np.random.Generator) -> None:
    """Three queries, of which the riskiest is an atom with some chance."""
    population = tail_of(rate=0.1)
    log_uniform = np.log(rng.random((20_000, 1)))
    drawn = population.quantile(log_worst_level(log_uniform, 3))[:, 0]
    level = np.exp(population.log_survival(population.body_score[:, None]))[:, 0]
    for score, chance in zip(population.body_score, (1 - level) ** 3, strict=True):
        seen = int((drawn <= score).sum())
        assert stats.binomtest(seen, drawn.size, chance).pvalue > 1e-6
        assert stats.binomtest(seen, drawn.size, chance * 0.9).pvalue < 1e-6


@given(populations, st.floats(-30, 0))
def test_the_mean_of_one_is_the_levels_that_are_left(
    population: Population, log_level: float
) -> None:
    left = population.mean(np.ones_like, log_level)
    np.testing.assert_allclose(left, [-math.expm1(log_level)], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(population.mean(np.ones_like), [1.0], rtol=1e-12)


@pytest.mark.parametrize("population", SIMULATED)
def test_partial_means_add_up(population: Population) -> None:
    """The mean between two levels is the integral of the quantile between them."""
    function: Callable[[np.ndarray], np.ndarray] = np.tanh
    edges = np.log([1e-6, 1e-4, 0.01, 0.15, 0.5, 0.99])
    partial = np.array([population.mean(function, edge)[0] for edge in edges])
    for deep, shallow, between in zip(
        edges, edges[1:], partial[:-1] - partial[1:], strict=False
    ):
        levels = np.linspace(np.exp(deep), np.exp(shallow), 200_001)
        middle = np.log((levels[1:] + levels[:-1]) / 2)[:, None]
        values = function(population.quantile(middle))[:, 0]
        assert between == pytest.approx(values.mean() * np.ptp(levels), rel=1e-4)
    everything = population.mean(function)[0]
    assert everything == pytest.approx(partial[0], abs=2e-6)
    assert everything != partial[0]


def test_body_weights_are_dirichlet() -> None:
    tail = tail_of(rate=0.3, draws=40_000)
    level = np.exp([*tail.log_survival(tail.body_score[:, None]), np.zeros(tail.draws)])
    share = np.diff(level, axis=0) / 0.7
    np.testing.assert_allclose(share.sum(axis=0), 1, rtol=1e-12)
    total = tail.body_count.sum()
    mean = tail.body_count / total
    variance = mean * (1 - mean) / (total + 1)
    for cell, drawn in enumerate(share):
        spread = (drawn - mean[cell]) ** 2
        assert stats.ttest_1samp(drawn, mean[cell]).pvalue > 1e-6
        assert stats.ttest_1samp(spread, variance[cell]).pvalue > 1e-6
        # As often counted in units of two, the weights would be more certain.
        certain = variance[cell] * (total + 1) / (2 * total + 1)
        assert stats.ttest_1samp(spread, certain).pvalue < 1e-6


def test_a_population_asked_twice_answers_the_same() -> None:
    score = np.linspace(-7, 3, 50)[:, None]
    first, second = tail_of(draws=5), tail_of(draws=5)
    np.testing.assert_array_equal(first.log_survival(score), second.log_survival(score))
    weights = np.diff(np.exp(first.log_survival(score)), axis=0)
    assert (weights[:, 0] != weights[:, 1]).any()


def test_a_body_may_come_in_any_order(rng: np.random.Generator) -> None:
    one = np.ones(1)
    score, count = rng.normal(-3.0, 1.0, 30), rng.integers(1, 4, 30).astype(float)
    shuffled = BodyAndTail(
        threshold=0.0,
        rate=0.1 * one,
        scale=one,
        shape=0 * one,
        body_score=score,
        body_count=count,
        resample=False,
    )
    levels = np.log(np.linspace(0.05, 0.999, 50))[:, None]
    quantiles = shuffled.quantile(levels).ravel()
    assert (np.diff(quantiles) <= 0).all()
    share = 0.1 + 0.9 * count[score > -3.0].sum() / count.sum()
    assert np.exp(shuffled.log_survival(-3.0))[0] == pytest.approx(share)


# The empirical distribution, against sums over all that was seen.

seen = st.lists(
    st.tuples(st.sampled_from([-3.0, -1.5, 0.0, 0.25, 7.0]), st.integers(1, 9)),
    min_size=1,
    max_size=8,
)


def empirical(cells: list[tuple[float, int]]) -> tuple[Empirical, np.ndarray]:
    score, count = np.array(cells, dtype=float).T
    return Empirical(score, count), np.repeat(score, count.astype(int))


@given(seen, st.sampled_from([-9.0, -3.0, -2.0, 0.0, 0.1, 7.0, 7.5, np.inf]))
def test_empirical_survival_is_the_share_above(
    cells: list[tuple[float, int]], score: float
) -> None:
    population, scores = empirical(cells)
    share = np.exp(population.log_survival(score))
    np.testing.assert_allclose(share, [(scores > score).mean()], rtol=1e-12)
    assert population.log_survival([[score], [0.0]]).shape == (2, 1)


@given(seen, st.floats(0, 1), st.integers(1, 40))
def test_empirical_quantile_is_the_generalised_inverse(
    cells: list[tuple[float, int]], level: float, queries: int
) -> None:
    population, scores = empirical(cells)
    with np.errstate(divide="ignore"):
        quantile = float(population.quantile(np.log(level))[0])
    above = np.array([(scores > score).mean() for score in scores])
    if (np.abs(above - level) > 1e-9).all():
        assert quantile == scores[above <= level].min()
    # At the edge of two scores, as near as a logarithm tells, it is the larger.
    less = np.array([(scores > s).sum() * queries < scores.size for s in scores])
    assert population.quantile(-math.log(queries))[0] == scores[less].min()


@given(seen, st.floats(-6, 0), st.sampled_from([1, 30]))
def test_empirical_means_are_sums(
    cells: list[tuple[float, int]], log_level: float, samples: int
) -> None:
    population, scores = empirical(cells)
    np.testing.assert_allclose(population.mean(np.tanh), [np.tanh(scores).mean()])
    failure = -np.expm1(samples * np.log1p(-risk_from_score(scores)))
    np.testing.assert_allclose(
        population.mean_failure(samples), [failure.mean()], atol=1e-16
    )
    # The riskiest left out, down to a part of a query.
    ordered = np.tanh(np.sort(scores)[::-1])
    edges = np.linspace(0, 1, scores.size + 1)
    left = np.diff(np.maximum(edges, np.exp(log_level)))
    np.testing.assert_allclose(
        population.mean(np.tanh, log_level), [ordered @ left], atol=1e-12
    )
    np.testing.assert_allclose(
        population.mean(np.ones_like, log_level), [-math.expm1(log_level)], atol=1e-12
    )


def test_an_empirical_population_is_complete() -> None:
    population, _ = empirical([(0.0, 3), (-1.0, 2), (2.5, 5)])
    assert population.draws == 1
    assert population.log_survival(-np.inf) == 0
    assert population.log_survival(2.5) == -np.inf
    assert population.quantile(0.0) == -1
    assert population.quantile(-np.inf) == 2.5
    assert population.quantile(log_worst_level(math.log(0.5), 1e12)) == 2.5
