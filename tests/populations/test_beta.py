"""Beta-distributed risks: by mpmath, by laws, and by simulation."""

import functools
import math
from typing import Any

import mpmath
import numpy as np
import pytensor
import pytensor.tensor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from bayes_rare import catalog
from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import outcomes
from bayes_rare.inference.density import density_of
from bayes_rare.likelihoods import quadrature
from bayes_rare.populations import beta, log_worst_level
from bayes_rare.populations.beta import BetaRisks
from bayes_rare.scores import log_safe_from_score, risk_from_score

mp: Any = mpmath.mp.clone()
mp.dps = 60
pytensor_any: Any = pytensor
pt: Any = pytensor.tensor

TALLIES = [
    (0, 1),
    (1, 1),
    (0, 50),
    (3, 50),
    (0, 10**6),
    (1, 10**6),
    (5 * 10**5, 10**6),
    (10**6, 10**6),
]
FIRSTS = [1e-6, 1e-3, 0.5, 3.0, 1e3]
SECONDS = [1e-3, 1.0, 50.0, 1e4, 1e9]


def risks(first: float, second: float, impossible: float = 0.0) -> BetaRisks:
    return BetaRisks(*np.array([[first], [second], [impossible]]))


populations = st.builds(
    risks,
    first=st.floats(-4, 2).map(math.exp),
    second=st.floats(-2, 12).map(math.exp),
    impossible=st.one_of(st.just(0.0), st.floats(0.01, 0.95)),
)
log_levels = st.floats(-40, -1e-6)


def exact_log_outcome(successes: int, trials: int, first: float, second: float) -> Any:
    a, b = mp.mpf(first), mp.mpf(second)

    def rising(start: Any, steps: int) -> Any:
        return mp.loggamma(start + steps) - mp.loggamma(start)

    ways = rising(mp.mpf(1), trials) - rising(mp.mpf(1), successes)
    return (
        (ways - rising(mp.mpf(1), trials - successes))
        + rising(a, successes)
        + rising(b, trials - successes)
        - rising(a + b, trials)
    )


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("second", SECONDS)
def test_the_chance_of_an_outcome_is_exact(first: float, second: float) -> None:
    successes, trials = np.array(TALLIES, dtype=float).T
    found = quadrature.log_ways(successes, trials) + beta.log_outcome(
        np, successes, trials, first, second
    )
    exact = [float(exact_log_outcome(s, t, first, second)) for s, t in TALLIES]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-7)
    # Differences of log gamma functions would not be.
    naive = special.betaln(first + successes, second + trials - successes)
    naive = (
        naive - special.betaln(first, second) + quadrature.log_ways(successes, trials)
    )
    if (first, second) == (3.0, 1e9):
        assert np.abs(naive - exact).max() > 1e-7


@given(st.floats(-14, 20), st.floats(0, 1e6))
def test_a_rising_factorial_is_a_ratio_of_gamma_functions(
    log_start: float, steps: float
) -> None:
    start = math.exp(log_start)
    exact = mp.loggamma(mp.mpf(start) + mp.mpf(steps)) - mp.loggamma(mp.mpf(start))
    found = float(beta.log_rising(np, np.float64(start), np.float64(steps)))
    assert found == pytest.approx(float(exact), rel=1e-13, abs=1e-10)


@functools.cache
def compiled_outcomes() -> Any:
    """Log chances of `TALLIES` and their gradients, by the parameters' logarithms."""
    a, b = pt.dscalar(), pt.dscalar()
    successes, trials = np.array(TALLIES, dtype=float).T
    value = beta.log_outcome(pt, successes, trials, pt.exp(a), pt.exp(b))
    slopes = pytensor_any.gradient.jacobian(value, [a, b])
    return pytensor_any.function([a, b], [value, *slopes], mode="FAST_COMPILE")


@pytest.mark.parametrize("first", [*FIRSTS, 1e-30, 1e30])
@pytest.mark.parametrize("second", [*SECONDS, 1e-30, 1e30])
def test_gradients_of_outcomes_are_finite_and_exact(
    first: float, second: float
) -> None:
    successes, trials = np.array(TALLIES, dtype=float).T
    compiled = compiled_outcomes()
    at_pytensor, by_first, by_second = compiled(math.log(first), math.log(second))
    np.testing.assert_allclose(
        at_pytensor,
        beta.log_outcome(np, successes, trials, first, second),
        rtol=1e-10,
        atol=1e-7,
    )
    for slope in (by_first, by_second):
        assert np.isfinite(slope).all()
    if min(first, second) > 1e-10 and max(first, second) < 1e10:
        total = mp.mpf(first) + mp.mpf(second)
        for (s, t), one, other in zip(TALLIES, by_first, by_second, strict=True):
            common = mp.digamma(total + t) - mp.digamma(total)
            for start, steps, slope in ((first, s, one), (second, t - s, other)):
                own = mp.digamma(mp.mpf(start) + steps) - mp.digamma(mp.mpf(start))
                exact = float(mp.mpf(start) * (own - common))
                assert slope == pytest.approx(exact, rel=1e-8, abs=1e-5)


def exact_log_tails(first: float, second: float, score: float) -> tuple[Any, Any]:
    a, b = mp.mpf(first), mp.mpf(second)
    log_risk = -mp.exp(-mp.mpf(score))
    risk, safe = mp.exp(log_risk), -mp.expm1(log_risk)
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)

    def below(x: Any, rest: Any, one: Any, other: Any) -> Any:
        power = one * mp.log(x) + other * mp.log(rest) - mp.log(one) - log_beta
        return mp.exp(power) * mp.hyp2f1(one + other, 1, one + 1, x)

    if risk > a / (a + b):
        upper = below(safe, risk, b, a)
        return mp.log1p(-upper), mp.log(upper)
    lower = below(risk, safe, a, b)
    return mp.log(lower), mp.log1p(-lower)


@pytest.mark.parametrize("first", [1e-6, 1e-2, 0.3, 5.0, 200.0])
@pytest.mark.parametrize("second", [1e-2, 1.0, 30.0, 1e4, 1e9])
def test_survival_is_exact_in_both_tails(first: float, second: float) -> None:
    """At the scores of levels from all but 1e-12 of the queries to none in e^1000."""
    population = risks(first, second)
    for log_level in (-1e-12, -1e-4, -0.1, -2.0, -27.6, -60.0, -300.0, -1000.0):
        score = float(population.quantile(log_level)[0])
        _, upper = exact_log_tails(first, second, score)
        found = float(population.log_survival(score)[0])
        assert found == pytest.approx(float(upper), rel=1e-9, abs=0)
        # And so is the quantile, as far as a score of float64 can tell.
        assert float(upper) == pytest.approx(log_level, rel=1e-9, abs=0)


@given(populations, st.floats(-8, 60), log_levels)
def test_quantile_is_the_generalised_inverse(
    population: BetaRisks, score: float, log_level: float
) -> None:
    """``quantile(v) <= s`` if and only if ``log_survival(s) <= v``."""
    survival = float(population.log_survival(score)[0])
    quantile = float(population.quantile(log_level)[0])
    if abs(survival - log_level) > 1e-9 * (1 - log_level):
        assert (quantile <= score) == (survival <= log_level)


@given(populations, log_levels, log_levels)
def test_quantile_and_survival_are_monotone(
    population: BetaRisks, a: float, b: float
) -> None:
    small, large = sorted((a, b))
    low, high = population.quantile(large), population.quantile(small)
    assert low <= high
    assert population.log_survival(low) >= population.log_survival(high)


def test_the_impossible_are_an_atom_at_the_risk_of_0() -> None:
    population = risks(0.4, 30.0, 0.25)
    assert population.quantile(0.0) == -np.inf
    assert population.quantile(np.log(0.7500001)) == -np.inf
    assert np.isfinite(population.quantile(np.log(0.7499999)))
    assert population.quantile(-np.inf) == np.inf
    assert population.log_survival(np.inf) == -np.inf
    for score in (-np.inf, -700.0):
        assert np.exp(population.log_survival(score)[0]) == pytest.approx(0.75)
    assert risks(0.4, 30.0).log_survival(-np.inf) == 0
    for first, second in ((0.4, 30.0), (1e-6, 1e9), (200.0, 0.01)):
        median = risks(first, second).quantile(log_worst_level(math.log(0.5), 1e12))
        assert np.isfinite(median)


def test_draws_are_answered_one_by_one(rng: np.random.Generator) -> None:
    first, second = rng.lognormal(-1, 1, 7), rng.lognormal(4, 2, 7)
    impossible = rng.random(7)
    together = BetaRisks(first, second, impossible)
    score = np.array([-3.0, 0.0, 2.0])[:, None]
    level = np.log([0.9, 1e-3, 1e-9])[:, None]
    assert together.draws == 7
    assert together.quantile(level).shape == (3, 7)
    for draw in range(7):
        alone = risks(first[draw], second[draw], impossible[draw])
        one = slice(draw, draw + 1)
        np.testing.assert_array_equal(
            together.log_survival(score)[:, one], alone.log_survival(score)
        )
        np.testing.assert_array_equal(
            together.quantile(level)[:, one], alone.quantile(level)
        )


@given(populations, st.floats(0, 9))
def test_mean_failure_is_a_ratio_of_beta_functions(
    population: BetaRisks, log10_samples: float
) -> None:
    """``1 - E[(1 - p)^r] = (1 - z) (1 - B(a, b + r) / B(a, b))``."""
    samples = 10.0**log10_samples
    a, b = mp.mpf(population.first[0]), mp.mpf(population.second[0])
    log_safe = (
        mp.loggamma(b + samples)
        - mp.loggamma(b)
        - mp.loggamma(a + b + samples)
        + mp.loggamma(a + b)
    )
    exact = float((1 - mp.mpf(population.impossible[0])) * -mp.expm1(log_safe))
    assert population.mean_failure(samples)[0] == pytest.approx(exact, rel=1e-8)


@given(populations, st.floats(-30, 0))
def test_the_mean_of_one_is_the_levels_that_are_left(
    population: BetaRisks, log_level: float
) -> None:
    left = population.mean(np.ones_like, log_level)
    np.testing.assert_allclose(left, [-math.expm1(log_level)], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(population.mean(np.ones_like), [1.0], rtol=1e-11)


@pytest.mark.parametrize(
    "parameters", [(0.4, 30.0, 0.25), (5.0, 2.0, 0.0), (0.01, 1e6, 0.6)]
)
def test_partial_means_add_up(parameters: tuple[float, float, float]) -> None:
    """The mean between two levels is the integral of the quantile between them."""
    population = risks(*parameters)
    edges = np.log([1e-6, 1e-4, 0.01, 0.15, 0.5, 0.99])
    partial = np.array([population.mean(np.tanh, edge)[0] for edge in edges])
    for deep, shallow, between in zip(
        edges, edges[1:], partial[:-1] - partial[1:], strict=False
    ):
        levels = np.linspace(np.exp(deep), np.exp(shallow), 20_001)
        middle = np.log((levels[1:] + levels[:-1]) / 2)[:, None]
        values = np.tanh(population.quantile(middle))[:, 0]
        assert between == pytest.approx(values.mean() * np.ptp(levels), rel=2e-4)
    everything = population.mean(np.tanh)[0]
    assert everything == pytest.approx(partial[0], abs=2e-6)
    assert everything != partial[0]


def simulated(population: BetaRisks, size: Any, rng: np.random.Generator) -> np.ndarray:
    """Risks drawn by NumPy, not by the population's own quantile."""
    risk = rng.beta(population.first[0], population.second[0], size)
    return np.where(rng.random(size) < population.impossible[0], 0.0, risk)


SIMULATED = [risks(0.4, 30.0, 0.25), risks(3.0, 200.0), risks(0.1, 0.5, 0.7)]


@pytest.mark.parametrize("population", SIMULATED)
@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("guess", "holds"), [(20, True), (34, False)])
def test_worst_of_n_by_simulation(
    population: BetaRisks,
    level: float,
    guess: int,
    holds: bool,
    rng: np.random.Generator,
) -> None:
    """Deployments of 20 queries; a forecast for 34 is the control."""
    worst = simulated(population, (20_000, 20), rng).max(axis=1)
    score = population.quantile(log_worst_level(math.log(level), guess))
    below = int((worst < risk_from_score(score)).sum())
    assert (stats.binomtest(below, worst.size, level).pvalue > 1e-6) == holds


def test_outcomes_of_queries_that_may_all_be_impossible(
    rng: np.random.Generator,
) -> None:
    """Scores of minus infinity are served, and nothing becomes no number."""
    population = BetaRisks(np.full(400, 0.4), np.full(400, 30.0), np.full(400, 0.95))
    chance = 0.95**5
    drawn = np.concatenate([outcomes.worst_score(population, 5, rng) for _ in range(9)])
    never = int(np.isneginf(drawn).sum())
    assert stats.binomtest(never, drawn.size, chance).pvalue > 1e-6
    low, high = outcomes.worst_score_quantile(
        population, 5, np.array([0.5 * chance, chance + 0.5 * (1 - chance)])
    )
    assert risk_from_score(low) == 0
    known = population.quantile(np.log(-np.expm1(np.log((1 + chance) / 2) / 5)))[0]
    assert high == pytest.approx(known)
    assert np.isfinite(outcomes.worst_score_variance(population, 5)).all()
    hazard = outcomes.aggregate_log_hazard(population, 200, 1, rng)
    assert (hazard < np.inf).all()


@pytest.mark.parametrize("first", [1e-4, 0.02, 0.5, 40.0])
@pytest.mark.parametrize("second", [1e-4, 0.5, 1e7])
def test_drawn_scores_have_the_distribution(
    first: float, second: float, rng: np.random.Generator
) -> None:
    size = 4_000
    score = beta.beta_scores(rng, np.full(size, first), np.full(size, second))
    assert np.isfinite(score).all()
    level = np.exp(risks(first, second).log_survival(score[:, None]))[:, 0]
    assert stats.kstest(level, "uniform").pvalue > 1e-6
    # The smaller parameter rules where most of the scores are.
    other = risks(1.5 * first, second) if first < second else risks(first, 1.5 * second)
    wrong = np.exp(other.log_survival(score[:, None]))[:, 0]
    assert stats.kstest(wrong, "uniform").pvalue < 1e-6


# The model: what it says of counts, and of the queries that they were seen of.


def test_the_density_is_the_sum_over_both_kinds_of_query() -> None:
    model = catalog.load("beta_binomial")
    cells = [(0, 50, 7), (3, 50, 2), (0, 10**6, 1), (9_000, 10**6, 1), (50, 50, 1)]
    successes, trials = np.repeat(
        np.array([cell[:2] for cell in cells]), [cell[2] for cell in cells], axis=0
    ).T
    built = model.build(Evaluation.from_counts(successes, trials))
    density = density_of(built)
    data = [built[name].get_value() for name in density.data]
    for logit, log_first, impossible_logit in (
        (-4.0, -1.0, 0.5),
        (-12.0, -9.0, -6.0),
        (-20.0, 2.0, 6.0),
        (3.0, 5.0, -1.0),
    ):
        values = {
            "risk_logit": np.array([logit]),
            "log_first": np.array([log_first]),
            "impossible_logit": np.array([impossible_logit]),
        }
        arguments = [*(values[name] for name in density.values), *data]
        found = np.asarray(density.pointwise(*arguments)["tallies"]).sum()
        first, second = math.exp(log_first), math.exp(log_first - logit)
        never = 1 / (1 + mp.exp(-mp.mpf(impossible_logit)))
        exact = 0
        for s, t, count in cells:
            chance = (1 - never) * mp.exp(exact_log_outcome(s, t, first, second))
            exact += count * mp.log(chance + (never if s == 0 else 0))
        assert found == pytest.approx(float(exact), rel=1e-13, abs=1e-6)


def test_scores_of_queries_are_drawn_given_what_was_seen(
    rng: np.random.Generator,
) -> None:
    """By rejection: simulated queries whose simulated counts are those seen."""
    model = catalog.load("beta_binomial")
    point = {"risk_logit": -2.5, "log_first": -0.9, "impossible_logit": -0.4}
    draws = {name: np.full(3_000, value) for name, value in point.items()}
    law = model.population({name: np.array([v]) for name, v in point.items()}, {})
    risk = simulated(law, 400_000, rng)
    seen = rng.binomial(20, risk)
    successes = np.array([0, 1, 6])
    score = model.scope["query_scores"](
        rng, draws, {}, successes, np.array([20, 20, 20])
    )
    assert score.shape == (3, 3_000)
    for row, number in zip(score, successes, strict=True):
        alike = risk[seen == number]
        drawn = risk_from_score(row)
        never = int((drawn == 0).sum())
        if number:
            assert never == 0
        else:
            share = float((alike == 0).mean())
            assert stats.binomtest(never, drawn.size, share).pvalue > 1e-6
        test = stats.ks_2samp(drawn[drawn > 0], alike[alike > 0])
        assert test.pvalue > 1e-6
        control = stats.ks_2samp(drawn[drawn > 0], risk[seen == number + 1])
        assert control.pvalue < 1e-6


def test_scores_of_queries_may_have_risks_below_float64(
    rng: np.random.Generator,
) -> None:
    model = catalog.load("beta_binomial")
    draws = {
        "risk_logit": np.full(500, -3.0),
        "log_first": np.full(500, math.log(1e-4)),
        "impossible_logit": np.full(500, -30.0),
    }
    score = model.scope["query_scores"](rng, draws, {}, np.zeros(1), np.full(1, 10.0))
    assert np.isfinite(score).all()
    assert (risk_from_score(score) == 0).mean() > 0.5
    assert log_safe_from_score(score).min() > -1


def test_estimates_are_refused_with_a_way_out() -> None:
    evaluation = Evaluation.from_estimates([-3.0, -4.0], [0.1, 0.2])
    with pytest.raises(NotApplicable, match="binomial_tail"):
        catalog.load("beta_binomial").build(evaluation)
