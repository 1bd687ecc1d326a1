"""Scores: by their definition, and proper by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bayes_rare.backtesting.proper_scores import (
    CLAMP,
    LEAST_LOG_DENSITY,
    covers,
    crps,
    interval_score,
    log_score,
    randomised_pit,
    worst_score_crps,
)
from bayes_rare.errors import InvalidInput

FINITE = st.floats(-20, 20)
DRAWS = st.lists(FINITE, min_size=1, max_size=20).map(np.array)


def crps_by_integral(draws: np.ndarray, truth: float, low: float, high: float) -> float:
    """The definition, exactly: the integrand is constant between the points."""
    points = np.unique(np.clip([*draws, truth, low, high], low, high))
    middle = (points[1:] + points[:-1]) / 2
    below = (draws[:, None] <= middle).mean(axis=0)
    return float((np.diff(points) * (below - (truth <= middle)) ** 2).sum())


@given(DRAWS, FINITE)
def test_crps_is_its_integral(draws: np.ndarray, truth: float) -> None:
    expected = crps_by_integral(draws, truth, -20, 20)
    assert crps(draws, np.array(truth)) == pytest.approx(expected, abs=1e-9)


@given(DRAWS, FINITE)
def test_the_worst_score_is_scored_within_the_clamp(
    draws: np.ndarray, truth: float
) -> None:
    expected = crps_by_integral(draws, truth, *CLAMP)
    assert worst_score_crps(draws, np.array(truth)) == pytest.approx(expected, abs=1e-9)


@given(DRAWS, FINITE, st.floats(-5, 5), st.floats(0.1, 5))
def test_crps_moves_and_stretches_with_its_units(
    draws: np.ndarray, truth: float, shift: float, factor: float
) -> None:
    moved = crps(shift + factor * draws, np.array(shift + factor * truth))
    assert moved == pytest.approx(factor * crps(draws, np.array(truth)), abs=1e-8)


def test_crps_of_a_normal_forecast() -> None:
    # scipy's quadrature of the definition, at Normal(0, 1) and a truth of 1.3.
    draws = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    left = integrate.quad(lambda x: stats.norm.cdf(x) ** 2, -10, 1.3)[0]
    right = integrate.quad(lambda x: stats.norm.sf(x) ** 2, 1.3, 10)[0]
    assert crps(draws, np.array(1.3)) == pytest.approx(left + right, abs=1e-4)


def test_infinite_scores_have_a_finite_score() -> None:
    draws = np.array([-np.inf, 0.0, np.inf])
    assert np.isfinite(worst_score_crps(draws, np.array(np.inf)))


BELIEFS = {
    "the truth": (0.0, 1.0),
    "a shift": (0.3, 1.0),
    "overconfidence": (0.0, 0.6),
    "underconfidence": (0.0, 1.6),
}


def expected_score(score: str, belief: str, rng: np.random.Generator) -> np.ndarray:
    """Scores of Normal(location, scale) where truths are standard normal."""
    location, scale = BELIEFS[belief]
    truth = rng.standard_normal(4_000)
    believed = stats.norm(location, scale)
    draws = np.broadcast_to(
        believed.ppf((np.arange(200) + 0.5) / 200), (truth.size, 200)
    )
    if score == "crps":
        return crps(draws, truth)
    if score == "worst_score_crps":
        return worst_score_crps(draws, truth)
    if score == "log_score":
        return log_score(believed.logpdf(truth))
    low, high = np.full_like(truth, believed.ppf(0.05)), believed.ppf(0.95)
    return interval_score(low, np.full_like(truth, high), truth, 0.9)


PROPER = ["crps", "worst_score_crps", "log_score", "interval_score"]


@pytest.mark.parametrize("belief", list(BELIEFS)[1:])
@pytest.mark.parametrize("score", PROPER)
def test_the_true_forecast_wins_in_expectation(
    score: str, belief: str, seed: int
) -> None:
    true = expected_score(score, "the truth", np.random.default_rng(seed))
    other = expected_score(score, belief, np.random.default_rng(seed))
    test = stats.ttest_1samp(other - true, 0.0, alternative="greater")
    assert test.pvalue < 1e-6


def test_an_improper_score_is_told_apart(seed: int) -> None:
    # The absolute error of a random draw is bettered by hiding one's doubt: were it
    # taken for a proper score, the test above would fail.
    def error(belief: str) -> np.ndarray:
        rng = np.random.default_rng(seed)
        location, scale = BELIEFS[belief]
        truth = rng.standard_normal(4_000)
        return np.abs(location + scale * rng.standard_normal(4_000) - truth)

    gain = error("the truth") - error("overconfidence")
    assert stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue < 1e-6


def test_pit_is_uniform_where_the_forecast_is_right(rng: np.random.Generator) -> None:
    counts = rng.poisson(3.0, 20_000)
    below, at = stats.poisson.cdf(counts - 1, 3.0), stats.poisson.cdf(counts, 3.0)
    pit = randomised_pit(below, at, rng)
    assert stats.kstest(pit, "uniform").pvalue > 1e-6
    for probability in (0.5, 0.9):
        hits = int(covers(pit, probability).sum())
        assert stats.binomtest(hits, pit.size, probability).pvalue > 1e-6
    # Not randomised, or of another forecast, it is not uniform.
    assert stats.kstest(at, "uniform").pvalue < 1e-6
    wrong = randomised_pit(
        stats.poisson.cdf(counts - 1, 4.0), stats.poisson.cdf(counts, 4.0), rng
    )
    assert stats.kstest(wrong, "uniform").pvalue < 1e-6


def test_what_was_called_impossible_costs_a_finite_price() -> None:
    assert log_score(np.array([-np.inf])) == -LEAST_LOG_DENSITY


@given(FINITE, st.floats(0.01, 5), FINITE, st.floats(0.05, 0.95))
def test_interval_score_is_its_formula(
    low: float, width: float, truth: float, probability: float
) -> None:
    high, alpha = low + width, 1 - probability
    expected = width + 2 / alpha * (max(low - truth, 0) + max(truth - high, 0))
    found = interval_score(np.array(low), np.array(high), np.array(truth), probability)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("probability", [0.0, 1.0, 90.0])
def test_an_interval_of_no_probability_is_refused(probability: float) -> None:
    one = np.ones(1)
    with pytest.raises(InvalidInput, match=r"For 90 % give 0\.9"):
        interval_score(one, one, one, probability)
