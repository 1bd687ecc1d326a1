"""Weights of posteriors, by how they forecast the riskiest queries left out."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from bayes_rare.diagnostics.importance_weights import smoothed
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.left_out import LeftOut, left_out, stacked_weights
from bayes_rare.inference.riskiest_queries import ExactRiskiest
from bayes_rare.populations import Normal, Population


def top_of(scores: np.ndarray, most: int = 10) -> ExactRiskiest:
    return ExactRiskiest.of(Evaluation.from_scores(scores).scores("behaviour"), most)


def normal_posterior(scores: np.ndarray, draws: int, seed: int) -> Normal:
    """Draws of a mean under a flat prior, the standard deviation known to be 1."""
    rng = np.random.default_rng(seed)
    spread = 1 / math.sqrt(scores.size)
    return Normal(scores.mean() + spread * rng.standard_normal(draws), np.ones(draws))


def test_the_top_is_the_riskiest_queries_and_the_number_of_others() -> None:
    scores = np.linspace(-3, 1, 41)
    top = top_of(scores)
    np.testing.assert_allclose((top.low + top.high) / 2, scores[:-11:-1])
    assert top.count.sum() == 10
    assert top.others.sum() == 31
    assert scores[30] < top.threshold < scores[31]


def test_ties_and_certain_failures_are_rows_of_the_top() -> None:
    scores = np.concatenate([[np.inf] * 3, [2.0] * 4, np.linspace(-3, 1, 33)])
    top = top_of(scores)
    assert top.high[0] == np.inf
    assert top.count.tolist() == [3.0, 4.0, 1.0, 1.0, 1.0]
    assert top.others.sum() == 30
    many = top_of(np.concatenate([[np.inf] * 20, np.linspace(-3, 1, 40)]))
    assert many.count.tolist() == [20.0]
    assert many.others.sum() == 40


def test_few_queries_have_a_short_top() -> None:
    assert top_of(np.linspace(0, 1, 9)).count.sum() == 3
    one = top_of(np.zeros(1))
    assert one.count.sum() == 1
    assert one.others.sum() == 0


def test_leaving_out_by_weights_is_leaving_out() -> None:
    """Against posteriors without the query, in closed form."""
    scores = np.random.default_rng(4).normal(size=60)
    top = top_of(scores)
    found = left_out(normal_posterior(scores, 40_000, 1), top)
    for row, score in enumerate(np.sort(scores)[:-11:-1]):
        others = np.delete(scores, np.argmin(np.abs(scores - score)))
        spread = math.sqrt(1 + 1 / others.size)
        law = stats.norm(others.mean(), spread)
        exact = math.log(law.cdf(top.high[row]) - law.cdf(top.low[row]))
        assert found.log_chance[row] == pytest.approx(exact, abs=0.02)
    assert (found.pareto_k < 0.5).all()
    law = stats.norm(scores.mean(), math.sqrt(1 + 1 / scores.size))
    assert found.log_no_other == pytest.approx(law.logcdf(top.threshold), abs=0.02)


def test_a_posterior_without_the_query_is_asked_for_it_alone() -> None:
    scores = np.random.default_rng(4).normal(size=60)
    top = top_of(scores)
    found = left_out(normal_posterior(scores, 1_000, 1), top)
    others = np.delete(scores, np.argmax(scores))
    again = found.fitted_again(0, normal_posterior(others, 40_000, 2), top)
    law = stats.norm(others.mean(), math.sqrt(1 + 1 / others.size))
    exact = math.log(law.cdf(top.high[0]) - law.cdf(top.low[0]))
    assert again.log_chance[0] == pytest.approx(exact, abs=0.02)
    assert again.log_chance[0] < left_out_of_all(scores, top) - 0.02  # unlike with it
    np.testing.assert_array_equal(again.log_chance[1:], found.log_chance[1:])
    assert again.pareto_k[0] == 0


def left_out_of_all(scores: np.ndarray, top: ExactRiskiest) -> float:
    """Log chance of the riskiest by a posterior that has met it."""
    drawn = top.log_chance(normal_posterior(scores, 40_000, 2))[0]
    return float(np.logaddexp.reduce(drawn) - math.log(drawn.size))


def test_what_cannot_be_trusted_is_said_by_row() -> None:
    score = LeftOut(np.zeros(3), np.zeros(1), np.array([0.7, 0.71, np.inf]))
    assert score.doubtful == [1, 2]


@pytest.mark.parametrize(
    ("chances", "is_trusted"),
    [
        pytest.param(np.repeat([0.0, -3.0], [960, 40]), False, id="ties in the tail"),
        pytest.param(np.linspace(-1, 0, 20), False, id="too few draws"),
        pytest.param(np.repeat([0.0, -9.0], [19, 1]), False, id="few, and one rules"),
        pytest.param(np.append(np.zeros(999), -np.inf), False, id="ruled out"),
        pytest.param(np.zeros(20), True, id="few, all alike"),
        pytest.param(np.linspace(-0.1, 0, 1000), True, id="sound"),
    ],
)
def test_weights_whose_tail_cannot_be_told_are_not_trusted(
    chances: np.ndarray, is_trusted: bool
) -> None:
    log_weight, doubt = smoothed(chances[None])
    np.testing.assert_allclose(np.exp(log_weight).sum(), 1)
    assert not np.isnan(doubt).any()
    told = LeftOut(np.zeros(1), np.zeros(1), doubt)
    assert told.doubtful == ([] if is_trusted else [0])
    assert LeftOut(np.zeros(1), np.zeros(1), np.full(1, np.nan)).doubtful == [0]


def test_a_draw_that_rules_a_score_out_has_a_finite_weight() -> None:
    class Bounded(Normal):
        def log_survival(self, score: object) -> np.ndarray:
            usual = super().log_survival(score)  # pyright: ignore[reportArgumentType]
            return np.where(np.asarray(score) > 0.5, -np.inf, usual)

    scores = np.linspace(-2, 1, 40)
    found = left_out(Bounded(np.zeros(50), np.ones(50)), top_of(scores))
    assert np.isfinite(found.log_chance).all()


def weights_by_quadrature(top: ExactRiskiest, one: LeftOut, other: LeftOut) -> float:
    """Posterior mean of the first of two weights, with a uniform prior."""

    def likelihood(w: float) -> float:
        mixed = np.log(w * np.exp(one.log_chance) + (1 - w) * np.exp(other.log_chance))
        none = w * np.exp(one.log_no_other) + (1 - w) * np.exp(other.log_no_other)
        return math.exp(mixed @ top.count + np.log(none) @ top.others + 60)

    whole, first = (
        integrate.quad(lambda w, k=k: w**k * likelihood(w), 0, 1)[0] for k in (0, 1)
    )
    return first / whole


def test_weights_are_the_posterior_mean() -> None:
    rng = np.random.default_rng(5)
    top = top_of(rng.normal(size=80))
    one, other = (
        LeftOut(rng.normal(-4, 1, 10), np.array([log_none]), np.full(10, 0.1))
        for log_none in (-0.14, -0.12)
    )
    found = stacked_weights(top, [one, other])
    assert found.sum() == pytest.approx(1)
    assert found[0] == pytest.approx(weights_by_quadrature(top, one, other), abs=0.01)


def test_the_better_forecaster_gets_the_weight() -> None:
    """And none gets it all from ten queries that hardly tell them apart."""
    rng = np.random.default_rng(6)
    scores = rng.normal(size=1_000)
    top = top_of(scores)
    right = left_out(normal_posterior(scores, 1_000, 1), top)
    members: list[Population] = [
        Normal(np.full(500, center), np.full(500, scale))
        for center, scale in ((-1.0, 1.0), (0.0, 3.0))
    ]
    wrong = [left_out(member, top) for member in members]
    assert stacked_weights(top, [right, *wrong])[0] > 0.75
    alike = left_out(normal_posterior(scores, 1_000, 2), top)
    assert 0.4 < stacked_weights(top, [right, alike])[0] < 0.6
    assert stacked_weights(top, [right]).tolist() == [1.0]
