"""Forecasts: what they hold, what they refuse, and what they say of themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_rare import catalog, outcomes
from bayes_rare.baselines import gumbel_ols, log_normal_moments
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import TARGETS, Deployment, Forecast, forecast
from bayes_rare.outcomes import FOREVER
from bayes_rare.populations import Normal
from bayes_rare.posterior import Posterior, Verdict
from bayes_rare.scores import risk_from_score

CHAINS, DRAWS = 4, 250
COLUMNS = [
    "behaviour",
    "target",
    "queries",
    "samples_per_query",
    "risk_threshold",
    "mean",
    "median",
    "lower",
    "upper",
    "interval",
]
BY_THRESHOLD = {
    "behaviour_frequency",
    "risky_queries",
    "exceedance_probability",
    "largest_safe_deployment",
}
WHATEVER_THE_SIZE = {
    "behaviour_frequency",
    "queries_to_first_failure",
    "largest_safe_deployment",
}
SIZES = (1_000, 10**6)


def scores_of(behaviour: str, queries: int = 400) -> np.ndarray:
    rng = np.random.default_rng(ord(behaviour))
    return rng.gumbel(-2.5, 0.25, queries)


def posterior_of(
    scores: Mapping[str, np.ndarray],
    reasons: tuple[str, ...] = (),
    **arrays: np.ndarray,
) -> Posterior:
    """A posterior from arrays: the tails of the behaviours go up and down together."""
    model, evaluation = catalog.load("gpd_tail"), Evaluation.from_scores(scores)
    assert model.observe is not None
    rng = np.random.default_rng(1)
    shape = (CHAINS, DRAWS, len(scores))
    together = rng.normal(0, 0.25, (CHAINS, DRAWS, 1))
    draws = {
        "rate": rng.beta(11, 390, shape),
        "scale": 0.3 * np.exp(together + rng.normal(0, 0.05, shape)),
        "shape": rng.normal(-0.05, 0.02, shape),
    }
    return Posterior(
        model=model,
        evaluation=evaluation,
        draws=draws | arrays,
        statistics={},
        data=model.observe(evaluation),
        dims={
            **dict.fromkeys(draws, ("behaviour",)),
            **dict.fromkeys(("threshold", "others", "exceeding"), ("behaviour",)),
            "largest_excess": ("behaviour",),
            **dict.fromkeys(
                ("excess", "multiplicity", "censored"), ("behaviour", "exceedance")
            ),
            **dict.fromkeys(("body_score", "body_count"), ("behaviour", "cell")),
        },
        verdict=Verdict(1.0, 1.0, 1000.0, 0, CHAINS * DRAWS, 1.0, reasons),
        provenance={"priors": {}},
    )


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return posterior_of({name: scores_of(name) for name in "abc"})


@pytest.fixture(scope="module")
def made(posterior: Posterior) -> Forecast:
    return forecast(posterior, Deployment(SIZES, samples_per_query=2))


def rows(table: pd.DataFrame, **chosen: Any) -> pd.DataFrame:
    for column, value in chosen.items():
        table = table[(table[column] == value).fillna(False)]
    return table


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (10, (10,)),
        (1e4, (10_000,)),
        ("1e4", (10_000,)),
        ([1e9, 1e4, 10**4], (10_000, 1_000_000_000)),
        (np.array([5, 3]), (3, 5)),
        (np.float64(1e12), (10**12,)),
        (pd.Series([7.0]), (7,)),
        (range(2, 4), (2, 3)),
    ],
)
def test_deployments_are_whole_numbers_in_order(
    given: Any, taken: tuple[int, ...]
) -> None:
    assert Deployment(given).queries == taken
    assert all(type(size) is int for size in Deployment(given).queries)
    assert Deployment(given) == Deployment(taken)


@pytest.mark.parametrize(
    "size", [0, -1, 1.5, 1e13, float("nan"), float("inf"), "many", None]
)
def test_a_number_that_is_not_one_of_queries_is_refused(size: Any) -> None:
    with pytest.raises(InvalidInput, match="queries is a whole number from 1 to 1e12"):
        Deployment(size)
    with pytest.raises(InvalidInput, match="queries is a whole number from 1 to 1e12"):
        Deployment([10, size])


@pytest.mark.parametrize("samples", [0, -1, 10**12 + 1])
def test_samples_are_as_many_as_queries_may_be(samples: int) -> None:
    with pytest.raises(InvalidInput, match="samples_per_query is a whole number"):
        Deployment(10, samples_per_query=samples)


def test_a_deployment_of_no_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="queries=1_000_000"):
        Deployment([])


def test_the_table_has_a_row_for_each_question(made: Forecast) -> None:
    table = made.summary()
    assert list(table.columns) == COLUMNS
    assert table["queries"].dtype == "Int64"
    for name in COLUMNS[4:]:
        assert table[name].dtype == np.float64
    assert list(table["behaviour"].unique()) == ["a", "b", "c"]
    assert list(table["target"].unique()) == list(TARGETS)
    assert (table["samples_per_query"] == 2).all()
    for target, part in table.groupby("target"):
        sizes = 1 if target in WHATEVER_THE_SIZE else len(SIZES)
        risks = 2 if target in BY_THRESHOLD else 1
        assert len(part) == 3 * sizes * risks
        assert part["queries"].isna().all() == (target in WHATEVER_THE_SIZE)
        assert part["queries"].isna().any() == (target in WHATEVER_THE_SIZE)
        assert part["risk_threshold"].notna().all() == (target in BY_THRESHOLD)
        assert part["risk_threshold"].notna().any() == (target in BY_THRESHOLD)
    assert not table.duplicated(COLUMNS[:5]).any()
    assert table[["mean", "median", "lower", "upper"]].notna().all(axis=None)


def test_an_interval_is_what_the_draws_say(made: Forecast) -> None:
    """By numpy's quantiles, but for the worst query, whose luck is integrated out."""
    table = made.summary(0.8)
    values = made.draws["risky_queries"].sel(
        behaviour="b", queries=10**6, risk_threshold=0.01
    )
    (row,) = rows(
        table,
        behaviour="b",
        target="risky_queries",
        queries=10**6,
        risk_threshold=0.01,
    ).to_dict("records")
    assert row["mean"] == pytest.approx(float(values.mean()))
    expected = np.quantile(values, [0.1, 0.5, 0.9], method="inverted_cdf")
    assert [row["lower"], row["median"], row["upper"]] == expected.tolist()
    assert row["interval"] == 0.8
    (row,) = rows(
        table, behaviour="b", target="worst_query_risk", queries=10**6
    ).to_dict("records")
    quantiles = outcomes.worst_score_quantile(
        made.populations["b"], 10**6, np.array([0.1, 0.5, 0.9])
    )
    assert [row["lower"], row["median"], row["upper"]] == pytest.approx(
        risk_from_score(quantiles)
    )


def test_wider_intervals_hold_narrower_ones(made: Forecast) -> None:
    narrow, wide = made.summary(0.5), made.summary(0.95)
    assert (wide["lower"] <= narrow["lower"]).all()
    assert (narrow["lower"] <= narrow["median"]).all()
    assert (narrow["median"] <= narrow["upper"]).all()
    assert (narrow["upper"] <= wide["upper"]).all()
    assert (wide["upper"] > narrow["upper"]).sum() > len(wide) / 2


@pytest.mark.parametrize(
    "target",
    ["worst_query_risk", "risk_quantile", "aggregate_risk", "exceedance_probability"],
)
def test_more_queries_are_never_safer(made: Forecast, target: str) -> None:
    table = rows(made.summary(), target=target)
    few, many = (
        table[table["queries"] == size].reset_index(drop=True) for size in SIZES
    )
    for name in ("median", "upper", "lower"):
        assert (many[name] >= few[name]).all()
    assert (many["median"] > few["median"]).any()


def test_a_riskier_threshold_is_rarer(made: Forecast) -> None:
    table = rows(made.summary(), target="behaviour_frequency")
    low, high = (rows(table, risk_threshold=risk)["mean"] for risk in (0.01, 0.5))
    assert (low.to_numpy() > high.to_numpy()).all()


def part_of(posterior: Posterior, behaviour: str) -> Posterior:
    """The posterior as it would be, had the other behaviours not been there."""
    index = [posterior.behaviours.index(behaviour)]

    def cut(arrays: Mapping[str, np.ndarray], leading: int) -> dict[str, np.ndarray]:
        return {name: values.take(index, leading) for name, values in arrays.items()}

    return replace(
        posterior,
        evaluation=posterior.evaluation.select([behaviour]),
        draws=cut(posterior.draws, 2),
        data=cut(posterior.data, 0),
    )


def test_an_answer_does_not_depend_on_what_else_is_asked(
    posterior: Posterior, made: Forecast
) -> None:
    alone = forecast(
        part_of(posterior, "b"),
        Deployment(10**6, samples_per_query=2),
        risk_thresholds=[0.01],
        targets=["risky_queries", "worst_query_risk", "aggregate_risk"],
    )
    for name in alone.draws.data_vars:
        mine, theirs = alone.draws[name], made.draws[name]
        theirs = theirs.sel(behaviour=["b"], queries=[10**6])
        if "risk_threshold" in theirs.dims:
            theirs = theirs.sel(risk_threshold=[0.01])
        assert mine.dims == theirs.dims
        assert mine.to_numpy().tobytes() == theirs.to_numpy().tobytes()
    assert "queries_to_first_failure" not in alone.draws
    (row,) = rows(alone.summary(), target="worst_query_risk").to_dict("records")
    (same,) = rows(
        made.summary(), target="worst_query_risk", behaviour="b", queries=10**6
    ).to_dict("records")
    assert row == same | {"risk_threshold": row["risk_threshold"]}


def test_but_it_depends_on_the_seed_and_on_nothing_hidden(
    posterior: Posterior, made: Forecast
) -> None:
    deployment = made.deployment
    again, other = (forecast(posterior, deployment, seed=seed) for seed in (0, 1))
    assert again.draws.identical(made.draws)
    for target in ("worst_query_risk", "risky_queries", "queries_to_first_failure"):
        assert (other.draws[target] != made.draws[target]).any()
    for target in ("risk_quantile", "behaviour_frequency", "exceedance_probability"):
        assert other.draws[target].identical(made.draws[target])


def test_luck_differs_between_behaviours_and_sizes(
    posterior: Posterior, made: Forecast
) -> None:
    """The worst scores less those without luck have no common part."""
    worst = made.draws["worst_query_score"]
    level = np.array(
        [
            [
                posterior.population(name).log_survival(
                    worst.sel(behaviour=name, queries=size).to_numpy()
                )
                for size in SIZES
            ]
            for name in "abc"
        ]
    ).reshape(6, -1)
    correlation = np.corrcoef(level)
    assert abs(correlation[np.triu_indices(6, 1)]).max() < 0.17  # 5 / sqrt(1000)


def test_draws_of_one_index_belong_together(made: Forecast) -> None:
    """The tails of the behaviours vary together, and so must their forecasts."""
    worst = made.draws["worst_query_score"].sel(queries=10**6)
    one, other = (worst.sel(behaviour=name).to_numpy() for name in "ab")
    shuffled = np.random.default_rng(0).permutation(other)
    assert np.corrcoef(one, other)[0, 1] > 0.3
    assert abs(np.corrcoef(one, shuffled)[0, 1]) < 0.17


def test_cost_does_not_grow_with_the_deployment(posterior: Posterior) -> None:
    few, many = (forecast(posterior, Deployment([10, size])) for size in (20, 1e12))
    assert few.draws.sizes == many.draws.sizes
    assert few.draws.nbytes == many.draws.nbytes
    assert many.draws.sizes["sample"] == CHAINS * DRAWS


@pytest.mark.parametrize("targets", [["behaviour_frequency"], ["risk_quantile"]])
def test_only_the_targets_asked_for_are_forecast(
    posterior: Posterior, targets: Sequence[str]
) -> None:
    table = forecast(posterior, Deployment(10), targets=targets).summary()
    assert list(table["target"].unique()) == targets
    assert table["queries"].dtype == "Int64"


@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        ({"risk_thresholds": [0.0]}, "1e-6"),
        ({"risk_thresholds": [0.5, 1.0]}, r"got 1\.0"),
        ({"risk_thresholds": [float("nan")]}, "got nan"),
        ({"risk_thresholds": []}, "worst_query_risk"),
        ({"level": 0.0}, "level is a probability in"),
        ({"level": 1.0}, "level is a probability in"),
        ({"level": float("nan")}, "level is a probability in"),
        ({"targets": ["worst"]}, "There are: worst_query_risk, risk_quantile"),
    ],
)
def test_questions_without_sense_are_refused(
    posterior: Posterior, given: dict[str, Any], way_out: str
) -> None:
    with pytest.raises(InvalidInput, match=way_out):
        forecast(posterior, Deployment(10), **given)


@pytest.mark.parametrize("interval", [0.0, 1.0, 90.0, float("nan")])
def test_an_interval_is_a_probability(made: Forecast, interval: float) -> None:
    with pytest.raises(InvalidInput, match="interval is a probability"):
        made.summary(interval)


def test_the_largest_safe_deployment_keeps_the_predictive_chance(
    posterior: Posterior,
) -> None:
    """Its mean is not the mean of the draws: that would be a size that is not safe."""
    answer = forecast(
        posterior,
        Deployment(10),
        level=0.2,
        risk_thresholds=[0.5],
        targets=["largest_safe_deployment"],
    )
    for row in answer.summary().to_dict("records"):
        population = answer.populations[row["behaviour"]]
        chance = [
            outcomes.exceedance_probability(population, size, 0.5).mean()
            for size in (int(row["mean"]), int(row["mean"]) + 1)
        ]
        assert chance[0] <= 0.2 < chance[1]
        draws = answer.draws["largest_safe_deployment"].sel(behaviour=row["behaviour"])
        assert int(draws.mean()) > 1.5 * row["mean"]


def test_the_variance_adds_up(made: Forecast) -> None:
    split = made.variance_split()
    assert list(split.columns) == ["behaviour", "queries", "luck", "ignorance"]
    assert len(split) == 6
    rng = np.random.default_rng(0)
    for row in split.to_dict("records"):
        population = made.populations[row["behaviour"]]
        scores = np.stack(
            [outcomes.worst_score(population, row["queries"], rng) for _ in range(100)]
        )
        assert row["luck"] + row["ignorance"] == pytest.approx(scores.var(), rel=0.03)
        assert row["luck"] == pytest.approx(scores.var(axis=0).mean(), rel=0.03)


def test_scaling_is_the_summary_at_many_sizes(made: Forecast) -> None:
    table = made.scaling(SIZES, levels=[0.05, 0.5, 0.95])
    assert list(table.columns) == ["behaviour", "queries", "level", "score"]
    wide = table.pivot(index=["behaviour", "queries"], columns="level", values="score")
    worst = rows(made.summary(0.9), target="worst_query_risk")
    worst = worst.set_index(["behaviour", "queries"])[["lower", "median", "upper"]]
    np.testing.assert_allclose(risk_from_score(wide), worst, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 10**6, 10**12])
def test_sizes_of_the_scaling_picture_are_distinct_and_reach_beyond(
    posterior: Posterior, size: int
) -> None:
    table = forecast(posterior, Deployment(size), targets=["risk_quantile"]).scaling()
    one = rows(table, behaviour="a", level=0.5)
    assert one["queries"].is_unique
    assert one["queries"].min() == 10
    assert one["queries"].max() == min(10 * size, FOREVER)
    assert one["score"].is_monotonic_increasing


def test_risks_that_float64_rounds_are_told_apart_as_scores() -> None:
    """Where A is 1 or 0 in float64, its log hazard goes on."""
    sure, never = (
        forecast(
            posterior_of({"a": scores_of("a") + shift}), Deployment([10**6, 10**9])
        ).draws
        for shift in (40.0, -8.0)
    )
    assert (sure["aggregate_risk"] == 1).all()
    hazard = sure["aggregate_log_hazard"].mean("sample").to_numpy()
    assert hazard[0, 1] - hazard[0, 0] == pytest.approx(np.log(1000), rel=0.01)
    lost = never["worst_query_risk"] == 0
    assert lost.mean() > 0.5
    assert np.unique(never["worst_query_score"].where(lost)).size > 0.5 * lost.size


# What a forecast says of itself.


def notes_of(answer: Forecast) -> str:
    return "\n".join(answer.notes)


def test_every_forecast_says_what_the_evaluation_cannot_exclude(
    made: Forecast,
) -> None:
    assert "of 400 queries" in notes_of(made)
    assert "share is below 0.0075 (three in 400" in notes_of(made)
    assert "10 scores above" in notes_of(made)


def test_a_far_extrapolation_is_said_aloud(posterior: Posterior) -> None:
    near, far = (
        forecast(posterior, Deployment(size), targets=["risk_quantile"])
        for size in (400_000, 400_001)
    )
    assert "Extrapolation" not in notes_of(near)
    assert "Extrapolation: 4e+05 queries are 1e+03 times" in notes_of(far)


def test_censored_and_saturated_risks_are_said_aloud() -> None:
    plain = scores_of("a")
    censored = np.concatenate([plain, [np.inf] * 2, [-np.inf] * 3])
    answer = forecast(
        posterior_of({"a": censored}), Deployment(10), targets=["risk_quantile"]
    )
    assert "2 of 405 risks were recorded as exactly 1" in notes_of(answer)
    assert "3 of 405 risks were recorded as exactly 0" in notes_of(answer)
    assert "riskiest query seen has risk 1." in notes_of(answer)
    saturated = forecast(
        posterior_of({"a": np.append(plain, 3.0)}),
        Deployment(10),
        targets=["risk_quantile"],
    )
    assert "riskiest query seen has risk 0.9514" in notes_of(saturated)
    assert "recorded as exactly" not in notes_of(saturated)
    plain_answer = forecast(
        posterior_of({"a": plain}), Deployment(10), targets=["risk_quantile"]
    )
    assert "riskiest query seen" not in notes_of(plain_answer)


def test_a_number_that_stands_for_more_is_said_aloud() -> None:
    near, far = (
        forecast(
            posterior_of({"a": scores_of("a") - shift}),
            Deployment(10),
            targets=["queries_to_first_failure"],
        )
        for shift in (0, 6)
    )
    assert "1e12 stands for" not in notes_of(near)
    assert "queries_to_first_failure: 1e12 stands for 1e12 or more" in notes_of(far)
    assert (far.draws["queries_to_first_failure"] == FOREVER).any()


def test_a_fit_that_did_not_converge_marks_its_forecast(made: Forecast) -> None:
    doubtful = forecast(
        posterior_of({"a": scores_of("a")}, reasons=("R-hat is 1.3, above 1.01",)),
        Deployment(10),
        targets=["risk_quantile"],
    )
    assert not doubtful.converged
    assert "THE FIT DID NOT CONVERGE" in doubtful.notes[0]
    assert "R-hat is 1.3" in doubtful.notes[0]
    assert "NOT CONVERGED" in repr(doubtful)
    assert made.converged
    assert "NOT CONVERGED" not in repr(made)
    assert "CONVERGE" not in notes_of(made)


# Point forecasts.


@pytest.mark.parametrize("method", [gumbel_ols, log_normal_moments])
def test_a_point_forecast_has_no_interval(method: Any) -> None:
    evaluation = Evaluation.from_scores({name: scores_of(name) for name in "ab"})
    answer = method(evaluation, Deployment(SIZES))
    assert answer.is_point
    table = answer.summary()
    assert list(table.columns) == COLUMNS
    assert table[["lower", "upper", "interval"]].isna().all(axis=None)
    np.testing.assert_array_equal(table["mean"], table["median"])
    assert table["median"].notna().all()
    assert "cannot exclude" in notes_of(answer)
    line = answer.scaling(SIZES, levels=[0.5])
    worst = rows(table, target="worst_query_risk")
    np.testing.assert_allclose(risk_from_score(line["score"]), worst["median"])


def test_a_point_forecast_is_the_expectation() -> None:
    population = Normal(np.array([-1.0]), np.array([0.5]))
    scores = np.random.default_rng(0).normal(-1, 0.5, 200)
    scores = -1 + 0.5 * (scores - scores.mean()) / scores.std(ddof=1)
    answer = log_normal_moments(
        Evaluation.from_scores(scores), Deployment(50, samples_per_query=2)
    )
    table = answer.summary().set_index(["target", "risk_threshold"])["mean"]
    share = np.exp(population.log_survival(-np.log(-np.log(0.5))))[0]
    failure = population.mean_failure(2)[0]
    assert table["behaviour_frequency", 0.5] == pytest.approx(share)
    assert table["risky_queries", 0.5] == pytest.approx(50 * share)
    assert table["exceedance_probability", 0.5] == pytest.approx(1 - (1 - share) ** 50)
    without = table.droplevel("risk_threshold")
    assert without["aggregate_risk"] == pytest.approx(1 - (1 - failure) ** 50)
    assert without["queries_to_first_failure"] == pytest.approx(1 / failure)


@pytest.mark.parametrize("method", [gumbel_ols, log_normal_moments])
@pytest.mark.parametrize(("location", "aggregate"), [(-9.0, 0.0), (45.0, 1.0)])
def test_risks_beyond_float64_have_a_point_forecast(
    method: Any, location: float, aggregate: float
) -> None:
    scores = np.random.default_rng(0).normal(location, 0.05, 200)
    answer = method(Evaluation.from_scores(scores), Deployment([1, 10**12]))
    table = answer.summary()
    assert table["median"].notna().all()
    risk = rows(table, target="aggregate_risk")["median"]
    np.testing.assert_allclose(risk, aggregate, rtol=1e-12, atol=0)
    (waited,) = rows(table, target="queries_to_first_failure")["median"]
    assert waited == pytest.approx(1 if aggregate else FOREVER)
