"""Forecasts: what they hold, what they refuse, and what they say of themselves."""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bayes_rare import catalog, plotting
from bayes_rare.cli.tables import forecast_report
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import (
    TARGETS,
    Deployment,
    Forecast,
    forecast,
    notes,
    outcomes,
    tables,
)
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.methods.gumbel_ols import gumbel_ols
from bayes_rare.methods.log_normal_moments import log_normal_moments
from bayes_rare.populations import BodyAndTail, Normal
from bayes_rare.posterior import Posterior, Verdict
from bayes_rare.reporting import wording
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
    assert hash(Deployment(given)) == hash(Deployment(taken))
    assert (
        repr(Deployment(given)) == f"Deployment(queries={taken}, samples_per_query=1)"
    )


def test_a_deployment_is_a_value() -> None:
    deployment = Deployment([1e9, 1e4], 3.0)
    assert replace(deployment, queries=7) == Deployment(7, samples_per_query=3)
    assert pickle.loads(pickle.dumps(deployment)) == deployment
    with pytest.raises(FrozenInstanceError):
        deployment.queries = (1,)  # pyright: ignore[reportAttributeAccessIssue]


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
    assert alone.draws.sizes["risk_threshold"] == 1
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


def chances_of(answer: Forecast) -> np.ndarray:
    """Chance of a less risky worst query, by behaviour and size: the luck alone."""
    worst = answer.draws["worst_query_score"]
    return np.array(
        [
            [
                size * np.log1p(-np.exp(population.log_survival(row.to_numpy())))
                for size, row in zip(SIZES, worst.sel(behaviour=name), strict=True)
            ]
            for name, population in answer.populations.items()
        ]
    )


def test_luck_differs_between_behaviours(made: Forecast) -> None:
    correlation = np.corrcoef(chances_of(made)[:, 1])
    assert abs(correlation[np.triu_indices(3, 1)]).max() < 0.17  # 5 / sqrt(1000)


def test_the_worst_queries_share_their_luck_across_sizes(
    posterior: Posterior, made: Forecast
) -> None:
    """In each draw the worst of more queries is riskier; other luck is drawn anew."""
    chances = chances_of(made)
    # In the body the score of a query stands for a range of chances.
    tail = made.draws["worst_query_score"].to_numpy().min(axis=1) > -1.4
    assert tail.mean() > 0.5
    np.testing.assert_allclose(chances[:, 0][tail], chances[:, 1][tail], rtol=1e-6)
    sizes = [1, 10, 100, *SIZES, 10**12]
    worst = forecast(posterior, Deployment(sizes), targets=["worst_query_risk"])
    assert (worst.draws["worst_query_score"].diff("queries") >= 0).all()
    other = forecast(posterior, Deployment([1000, 1001]), targets=["aggregate_risk"])
    assert (other.draws["aggregate_log_hazard"].diff("queries") < 0).any()


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


@pytest.mark.parametrize(
    ("chains", "draws", "kept"),
    [(4, 1_000, 1_000), (4, 1_001, 501), (4, 4_000, 1_000), (3, 3_000, 1_000)],
)
def test_of_many_posterior_draws_every_kth_is_taken(
    chains: int, draws: int, kept: int
) -> None:
    rng = np.random.default_rng(2)
    arrays = {
        "rate": rng.beta(11, 390, (chains, draws, 1)),
        "scale": 0.3 * np.exp(rng.normal(0, 0.2, (chains, draws, 1))),
        "shape": rng.normal(-0.05, 0.02, (chains, draws, 1)),
    }
    answer = forecast(
        posterior_of({"a": scores_of("a")}, (), **arrays), Deployment(1e6)
    )
    (population,) = answer.populations.values()
    assert isinstance(population, BodyAndTail)
    step = round(draws / kept)
    np.testing.assert_array_equal(
        population.rate, arrays["rate"][:, ::step, 0].ravel(), strict=True
    )
    assert population.draws == chains * kept <= 4_000
    assert answer.draws.sizes["sample"] == population.draws
    # All draws together say nearly the same.
    full = replace(population, **{name: x.ravel() for name, x in arrays.items()})
    median = outcomes.worst_score_quantile(full, 10**6, np.array([0.5]))
    (row,) = rows(answer.summary(), target="worst_query_risk").to_dict("records")
    assert row["median"] == pytest.approx(risk_from_score(median)[0], rel=0.05)


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
        ({"seed": -1}, "from 0, got -1. Give seed=0"),
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


@pytest.mark.parametrize("risk_thresholds", [[], [7.0]])
def test_thresholds_are_not_looked_at_where_no_target_needs_them(
    posterior: Posterior, made: Forecast, risk_thresholds: list[float]
) -> None:
    answer = forecast(
        posterior,
        Deployment(10**6),
        risk_thresholds=risk_thresholds,
        targets=["worst_query_risk"],
    )
    assert answer.draws.sizes["risk_threshold"] == 0
    table = answer.summary()
    assert table["risk_threshold"].isna().all()
    worst = rows(made.summary(), target="worst_query_risk", queries=10**6)
    np.testing.assert_array_equal(table["median"], worst["median"])


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


@dataclass(frozen=True, eq=False)
class Counted(Normal):
    """A population that counts how often its survival is asked for."""

    asked: list[Any] = field(default_factory=list)

    def log_survival(self, score: Any) -> np.ndarray:
        self.asked.append(score)
        return super().log_survival(score)


@pytest.mark.parametrize("level", [1e-12, 0.05, 0.999])
@pytest.mark.parametrize("mean", [-60.0, -4.0, 1.0, 60.0])
def test_the_largest_safe_size_asks_for_the_survival_once(
    mean: float, level: float
) -> None:
    """And is the size that a search finds which asks for it at every size."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.3, 0.6, 200)
    population = Counted(rng.normal(mean, 0.1, 200), spread)
    found = tables._largest_safe(population, 0.5, level)
    assert len(population.asked) == 1
    low, high = 0, outcomes.FOREVER
    while low < high:
        middle = (low + high + 1) // 2
        chance = outcomes.exceedance_probability(population, middle, 0.5).mean()
        low, high = (middle, high) if chance <= level else (low, middle - 1)
    assert found == low


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
    assert "missed by 400 queries" in notes_of(made)
    assert (
        "less than 0.75 % of traffic (about 3/400) could have been missed by 400 "
        "queries; a more common one would have been seen with at least 95 % "
        "probability. If such a kind exists and often fails, every risk here is too "
        "low, and every safe size and waiting time too high."
    ) in notes_of(made)
    assert "Scores that each tail was fitted to: a 10 (above -" in notes_of(made)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        (1, "less than 95 % of traffic could have been missed by 1 query;"),
        (10, "less than 26 % of traffic could have been missed by 10 queries;"),
        (
            1_000,
            "less than 0.3 % of traffic (about 3/1,000) could have been missed by 1,",
        ),
    ],
)
def test_what_cannot_be_excluded_is_true_of_few_queries(
    queries: int, said: str
) -> None:
    evaluation = Evaluation.from_scores(scores_of("a", queries))
    assert said in notes.on_evaluation(evaluation)[0]


def test_a_far_extrapolation_is_said_aloud(posterior: Posterior) -> None:
    near, far = (
        forecast(posterior, Deployment(size), targets=["risk_quantile"])
        for size in (400_000, 400_001)
    )
    assert "Extrapolation" not in notes_of(near)
    assert (
        "Extrapolation: 400,001 queries are 1,000 times as many as were evaluated. "
        "This far beyond the data, an interval depends on the prior of the tail as "
        "much as on the data."
    ) in notes_of(far)


def test_censored_and_saturated_risks_are_said_aloud() -> None:
    plain = scores_of("a")
    censored = np.concatenate([plain, [np.inf] * 2, [-np.inf] * 3])
    answer = forecast(
        posterior_of({"a": censored}), Deployment(10), targets=["risk_quantile"]
    )
    assert "2 of 405 risks were recorded as exactly 1, a score above" in notes_of(
        answer
    )
    assert "3 of 405 risks were recorded as exactly 0, a score below" in notes_of(
        answer
    )
    assert "riskiest query seen has a risk of 1." in notes_of(answer)
    saturated = forecast(
        posterior_of({"a": np.append(plain, 3.0)}),
        Deployment(10),
        targets=["risk_quantile"],
    )
    assert "riskiest query seen has a risk of 0.9514" in notes_of(saturated)
    assert "recorded as exactly" not in notes_of(saturated)
    plain_answer = forecast(
        posterior_of({"a": plain}), Deployment(10), targets=["risk_quantile"]
    )
    assert "riskiest query seen" not in notes_of(plain_answer)


def test_what_holds_for_several_behaviours_is_one_note() -> None:
    scores = np.append(scores_of("a"), np.inf)
    evaluation = Evaluation.from_scores({"a": scores, "b": scores, "c": scores[:-1]})
    [_, said] = notes.on_evaluation(evaluation)
    once = "1 of 401 risks were recorded as exactly 1, a score above 16.6"
    assert said.startswith(f"a ({once}), b ({once}): these risks were rounded")


def test_a_number_that_stands_for_more_is_said_aloud() -> None:
    near, far = (
        forecast(
            posterior_of({"a": scores_of("a") - shift}),
            Deployment(10),
            targets=["queries_to_first_failure"],
        )
        for shift in (0, 6)
    )
    assert "1e12 means" not in notes_of(near)
    assert (
        "queries_to_first_failure: 1e12 means 1e12 or more, so no mean is given."
    ) in notes_of(far)
    capped = far.draws["queries_to_first_failure"] == FOREVER
    assert 0 < capped.mean() < 1
    (said,), (unsaid,) = near.summary()["mean"], far.summary()["mean"]
    assert said == near.draws["queries_to_first_failure"].mean()
    assert np.isnan(unsaid)
    assert wording.records(far.summary())[0]["mean"] is None
    assert far.summary()[["median", "lower", "upper"]].notna().all(axis=None)


def test_a_number_that_stands_for_more_is_printed_so() -> None:
    answer = forecast(posterior_of({"a": scores_of("a") - 8}), Deployment(10))
    out = Console(file=io.StringIO(), width=200)
    with out.capture() as printed:
        table = wording.records(answer.summary())
        for part in forecast_report(answer, table, 0.9):
            out.print(part)
    assert "shows it comes after 1e12 or more queries" in printed.get()
    assert "Up to 1e12 or more queries" in printed.get()


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
    assert np.isfinite(answer.draws["worst_query_score"]).all()
    table = answer.summary()
    assert table["median"].notna().all()
    risk = rows(table, target="aggregate_risk")["median"]
    np.testing.assert_allclose(risk, aggregate, rtol=1e-12, atol=0)
    (waited,) = rows(table, target="queries_to_first_failure").to_dict("records")
    assert waited["median"] == pytest.approx(1 if aggregate else FOREVER)
    assert np.isnan(waited["mean"]) == (aggregate == 0)
    assert ("1e12 means" in notes_of(answer)) == (aggregate == 0)


@pytest.mark.parametrize("method", [gumbel_ols, log_normal_moments])
def test_the_point_guess_of_a_single_query_is_the_median(method: Any) -> None:
    evaluation = Evaluation.from_scores(scores_of("a"))
    answer = method(evaluation, Deployment([1, 2, 10]))
    (population,) = answer.populations.values()
    median, tenth = (population.quantile(np.log(level))[0] for level in (0.5, 0.1))
    worst = answer.draws["worst_query_score"].to_numpy().ravel()
    np.testing.assert_allclose(worst, [median, median, tenth], rtol=1e-12)
    line = answer.scaling([1, 2, 10], levels=[0.5])["score"]
    np.testing.assert_array_equal(line, worst)


# Pictures.


def test_all_lines_are_drawn_under_names_and_styles_of_their_own(
    made: Forecast,
) -> None:
    evaluation = Evaluation.from_scores({name: scores_of(name) for name in "abc"})
    others = [
        gumbel_ols(evaluation, Deployment(10**6), points=points)
        for points in (5, 10, 20, 40)
    ]
    others.insert(1, log_normal_moments(evaluation, Deployment(10**6)))
    figure = made.plot(others=others)
    panel = figure.axes[0]
    lines = {str(line.get_label()): line for line in panel.get_lines()}
    names = [
        "gumbel_ols",
        "log_normal_moments",
        *(f"gumbel_ols ({number})" for number in (2, 3, 4)),
    ]
    assert [name for name in lines if name in names] == names
    for name, other in zip(names, others, strict=True):
        expected = rows(other.scaling(levels=[0.5]), behaviour="a")["score"]
        np.testing.assert_array_equal(np.asarray(lines[name].get_ydata()), expected)
    (legend,) = figure.legends
    assert set(names) <= {text.get_text() for text in legend.get_texts()}


def test_a_dozen_lines_can_be_told_apart(made: Forecast) -> None:
    line = made.scaling(levels=[0.5])
    names = [f"line {number}" for number in range(12)]
    figure = plotting.scaling(
        line, evaluation=made.evaluation, lines=dict.fromkeys(names, line)
    )
    drawn = [x for x in figure.axes[0].get_lines() if x.get_label() in names]
    looks = {(x.get_color(), x.get_linestyle()) for x in drawn}
    assert len(drawn) == len(looks) == 12


# Families that the evaluation has not met.


def test_a_share_from_unseen_families_is_kept_at_each_size() -> None:
    deployment = Deployment([10, 100], 2, unseen_share=0.2, unseen_families=40)
    assert repr(deployment.of_size(100)) == (
        "Deployment(queries=(100,), samples_per_query=2, unseen_share=0.2, "
        "unseen_families=40)"
    )
    assert deployment != Deployment([10, 100], 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"unseen_share": 1.5}, r"in \[0, 1\], got 1.5"),
        ({"unseen_share": float("nan")}, r"in \[0, 1\], got nan"),
        ({"unseen_share": 0.2}, "Give both, as in unseen_share=0.05"),
        ({"unseen_families": 40}, "Give both, as in unseen_share=0.05"),
        ({"unseen_share": 0.2, "unseen_families": 0.5}, "unseen_families is a whole"),
    ],
)
def test_half_a_statement_of_unseen_families_is_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        Deployment(10, **given)


def test_a_method_that_knows_no_families_says_so() -> None:
    from bayes_rare.methods.gumbel_ols import gumbel_ols

    evaluation = Evaluation.from_scores(np.random.default_rng(0).gumbel(-2, 0.3, 100))
    unseen = Deployment(1_000, unseen_share=0.2, unseen_families=40)
    told = gumbel_ols(evaluation, unseen)
    assert any("20 % of the deployment's queries" in note for note in told.notes)
    untold = gumbel_ols(evaluation, Deployment(1_000))
    assert not any("families" in note for note in untold.notes)
