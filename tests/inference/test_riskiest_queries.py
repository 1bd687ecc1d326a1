"""The riskiest queries of a behaviour, and how likely populations make them."""

import numpy as np
import pytest
from scipy import stats

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.columns import most_shown, shown_risk
from bayes_rare.inference.riskiest_queries import (
    CountedRiskiest,
    ExactRiskiest,
    riskiest_queries,
    without,
)
from bayes_rare.populations import Normal, StepsAndTail
from bayes_rare.populations.beta import BetaRisks


def counted(successes: list[int], trials: list[int]) -> CountedRiskiest:
    evaluation = Evaluation.from_counts(np.array(successes), np.array(trials))
    top = riskiest_queries(evaluation, "behaviour")
    assert isinstance(top, CountedRiskiest)
    return top


def test_the_top_of_counts_is_ranked_by_the_least_risk_they_show() -> None:
    """10 of 10 comes before 1 of 1, which comes before 5 of 10."""
    top = counted([1, 5, 10, 0, 0, 0, 0, 0, 0], [1, 10, 10, 1, 10, 10, 10, 1, 1])
    assert top.successes.tolist() == [10.0, 1.0, 5.0]
    assert top.trials.tolist() == [10.0, 1.0, 10.0]
    assert dict(zip(top.other_trials, top.others, strict=True)) == {1.0: 3, 10.0: 3}


def test_others_show_at_most_what_none_of_them_exceeds() -> None:
    """2 of 4 shows a risk of 0.276, 1 of 4 one of 0.1: 0.188 is halfway."""
    top = counted([2] * 10 + [1] * 20 + [1] * 5, [4] * 30 + [20] * 5)
    assert top.count.tolist() == [10.0]
    limit = dict(zip(top.other_trials, top.most, strict=True))
    # 5 of 20 show 0.167, and 6 of 20 show 0.209.
    assert limit == {4.0: 1.0, 20.0: 5.0}


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (50, 1000), (3, 7), (10**6, 10**6)]
)
def test_a_shown_risk_is_the_lower_limit_of_wilson(successes: int, trials: int) -> None:
    shown = shown_risk(float(successes), float(trials), np.sqrt)
    within = 2 * stats.norm.cdf(1) - 1
    limits = stats.binomtest(successes, trials).proportion_ci(within, "wilson")
    assert shown == pytest.approx(limits.low, rel=1e-9, abs=1e-12)


def test_most_that_is_shown_is_the_last_that_is_not_above() -> None:
    trials = np.arange(1.0, 60)
    for risk in (0.0, 0.013, 0.2, 0.77):
        by_hand = [
            max(s for s in range(int(t) + 1) if shown_risk(s, t, np.sqrt) <= risk)
            for t in trials
        ]
        assert np.minimum(most_shown(risk, trials), trials).tolist() == by_hand


def test_ties_are_in_the_top_together() -> None:
    top = counted([3] + [1] * 30 + [0] * 20, [9] * 51)
    assert top.count.tolist() == [1.0, 30.0]
    assert top.others.tolist() == [20.0]
    everything = counted([0] * 12, [7] * 12)
    assert everything.count.tolist() == [12.0]
    assert everything.others.size == 0


def test_chances_of_counts_are_those_of_a_beta_binomial() -> None:
    first, second = np.array([0.4, 2.0]), np.array([9.0, 30.0])
    population = BetaRisks(first, second, np.zeros(2))
    top = counted([6, 4, 2, 1] * 3 + [0] * 30, [20, 9, 20, 30] * 3 + [15] * 30)
    chance = np.exp(top.log_chance(population))
    for row, (successes, trials) in enumerate(
        zip(top.successes, top.trials, strict=True)
    ):
        exact = stats.betabinom(trials, first, second).pmf(successes)
        np.testing.assert_allclose(chance[row], exact, rtol=1e-4)
    limit = stats.betabinom(15, first, second).cdf(top.most[0])
    np.testing.assert_allclose(top.chance_not_riskier(population)[0], limit, rtol=1e-6)


def test_chances_of_counts_hold_for_steps_and_a_tail() -> None:
    """Against a mean over simulated queries."""
    rng = np.random.default_rng(3)
    population = StepsAndTail(
        np.array([-3.0, -2.0, -1.5]), np.full((2, 1), 0.45), *np.full((3, 1), 0.1)
    )
    top = counted([5, 4, 3, 2] * 3 + [1] * 40, [60] * 52)
    scores = population.quantile(np.log(rng.random((400_000, 1))))[:, 0]
    drawn = rng.binomial(60, np.exp(-np.exp(-scores)))
    chance = np.exp(top.log_chance(population))[:, 0]
    for row, successes in enumerate(top.successes):
        assert chance[row] == pytest.approx(np.mean(drawn == successes), rel=0.1)
    below = np.mean(drawn <= top.most[0])
    assert top.chance_not_riskier(population)[0, 0] == pytest.approx(below, abs=0.003)


def test_chances_of_one_cell_and_all_above_it_add_up() -> None:
    top = ExactRiskiest.of(
        Evaluation.from_scores(np.linspace(-3, 1, 41)).scores("behaviour")
    )
    population = Normal(np.array([-1.0, 0.0]), np.array([1.0, 0.5]))
    law = stats.norm(population.location, population.scale)
    found = np.exp(top.log_chance(population))
    np.testing.assert_allclose(found[0], law.cdf(top.high[0]) - law.cdf(top.low[0]))
    np.testing.assert_allclose(
        top.chance_not_riskier(population)[0], law.cdf(top.threshold)
    )


def test_estimates_have_no_top() -> None:
    evaluation = Evaluation.from_estimates(np.full(3, -2.0), np.full(3, 0.1))
    with pytest.raises(NotApplicable, match="estimated risks"):
        riskiest_queries(evaluation, "behaviour")


def test_a_query_of_exact_risk_is_left_out_alone() -> None:
    scores = {"a": np.linspace(-3, 0, 40), "b": np.array([2.0, 2.0, 2.0, np.inf, 1.0])}
    labels = {"a": ["x"] * 40, "b": ["x", "y", "y", "y", "y"]}
    evaluation = Evaluation.from_scores(scores, family=labels)
    fewer = without(evaluation, "a", 2)
    np.testing.assert_allclose(
        fewer.scores("a").score, np.delete(scores["a"][::-1], 2), atol=1e-12
    )
    assert fewer.sizes == {"a": 39, "b": 5}
    certain = without(evaluation, "b", 0)
    assert certain.scores("b").censored_above == 0
    assert certain.sizes == {"a": 40, "b": 4}
    first = ExactRiskiest.of(
        Evaluation.from_scores(scores["b"][:3]).scores("behaviour")
    )
    assert first.count.tolist() == [3.0]
    tied = without(evaluation.select(["b"]), "b", 0)
    assert tied.families_of("b") == ("x", "y")


def test_of_ties_one_is_left_out() -> None:
    scores, labels = np.array([2.0] * 4 + [0.0] * 20), ["x"] + ["y"] * 23
    evaluation = Evaluation.from_scores(scores, family=labels)
    fewer = without(evaluation, "behaviour", 0)
    assert fewer.scores("behaviour").count.tolist() == [3.0, 20.0]
    assert fewer.family_sizes("behaviour").tolist() == [1.0, 22.0]


def test_scores_in_bins_keep_their_spread() -> None:
    """A cell of several queries has the mean square that it had."""
    evaluation = Evaluation.from_scores(np.linspace(-3, -2.9, 30_000))
    cells = evaluation.scores("behaviour")
    place = int(np.argmax(cells.count))
    assert cells.count[place] > 1
    fewer = without(evaluation, "behaviour", 0).scores("behaviour")
    assert fewer.count.sum() == cells.count.sum() - 1
    np.testing.assert_allclose(
        fewer.squares[-1] / fewer.count[-1], cells.squares[-1] / cells.count[-1]
    )


def test_a_query_of_counts_is_left_out_alone() -> None:
    evaluation = Evaluation.from_counts(
        np.array([3, 3, 1, 0, 0, 0, 0, 0, 0]),
        np.full(9, 5),
        weight=np.array([1.0, 2, 2, 1, 1, 1, 1, 1, 1]),
    )
    fewer = without(evaluation, "behaviour", 0)
    assert fewer.sizes["behaviour"] == 8
    before = evaluation.counts.set_index("successes")
    after = fewer.counts.set_index("successes")
    assert after["count"].to_dict() == {3: 1, 1: 1, 0: 6}
    assert after.weight[3] == pytest.approx(before.weight[3] / 2)
    assert after.weight[1] == before.weight[1]
