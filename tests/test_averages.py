"""Posteriors of several models as one."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayes_rare import averages, stacking
from bayes_rare.averages import Average, apportioned, written
from bayes_rare.errors import InvalidInput, NotApplicable, NotConverged
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, forecast
from bayes_rare.gathered import Gathered
from bayes_rare.inference import average, average_many, averaging, fit
from bayes_rare.inference.averaging import Candidate, candidates
from bayes_rare.methods import method
from bayes_rare.notes import on_average

QUICK: dict[str, Any] = {"warmup": 200, "draws": 200, "chains": 2, "target_ess": 0.0}


def evaluation_of(queries: int, seed: int) -> Evaluation:
    rng = np.random.default_rng(seed)
    return Evaluation.from_scores(
        {name: rng.normal(-2, 0.4, queries) for name in ("a", "b")}
    )


@pytest.fixture(scope="module")
def averaged() -> Average:
    """Of two behaviours with normal scores."""
    return average(evaluation_of(120, 1), **QUICK)


def test_members_are_what_suits_the_data() -> None:
    labels = [c.label for c in candidates(evaluation_of(120, 1))]
    assert labels == [
        "gpd_tail at 10 exceedances",
        "gpd_tail at 20 exceedances",
        "log_normal",
    ]
    assert all(c.settings["pool"] is False for c in candidates(evaluation_of(120, 1)))
    few = [c.label for c in candidates(evaluation_of(50, 1))]
    assert few == ["gpd_tail at 10 exceedances", "log_normal"]
    families = Evaluation.from_scores(np.arange(60.0), family=["x", "y"] * 30)
    assert candidates(families)[0].model == "family_tail"


def test_weights_sum_to_one_and_favour_the_true_model(averaged: Average) -> None:
    for shares in averaged.weights().values():
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["log_normal"] > 0.2


def test_draws_are_those_of_members_in_proportion(averaged: Average) -> None:
    population = averaged.population("a")
    assert isinstance(population, Gathered)
    assert population.draws == 4000
    shares = averaged.weights()["a"]
    assert len(shares) == 3
    assert min(shares.values()) > 0
    numbers = apportioned(list(shares.values()), 4000)
    assert [part.draws for part in population.parts] == numbers
    assert averaged.thinned(100).population("a").draws == 100


@pytest.mark.slow
def test_fitting_again_weighs_as_importance_weights_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where these can be trusted: what is tried is each query of each top."""
    # A fit that did not converge has no say.
    sampling: dict[str, Any] = QUICK | {"target_ess": 400.0}
    weighed = average(evaluation_of(120, 1), **sampling)
    monkeypatch.setattr(stacking, "TRUSTED", -math.inf)
    again = average(evaluation_of(120, 1), **sampling)
    for behaviour, shares in weighed.weights().items():
        found = again.weights()[behaviour]
        assert found == pytest.approx(shares, abs=0.08)
        assert found != shares
    assert all(k == 0 for m in again.members for k in m.pareto_k.values())
    assert "were left out by fitting it again" in " ".join(again.notes)
    assert not weighed.notes


def test_a_forecast_of_an_average_says_who_has_a_say(averaged: Average) -> None:
    made = forecast(averaged, Deployment([1e4]))
    assert made.method == "average"
    assert any(note.startswith("a: ") and "log_normal" in note for note in made.notes)
    assert np.isfinite(made.summary()["median"].dropna()).all()


def test_what_is_saved_is_what_is_loaded(averaged: Average, tmp_path: Path) -> None:
    path = averaged.save(tmp_path / "average.nc")
    loaded = averages.load_posterior(path)
    assert isinstance(loaded, Average)
    assert loaded.weights() == averaged.weights()
    np.testing.assert_array_equal(
        loaded.population("b").quantile(-9.0), averaged.population("b").quantile(-9.0)
    )
    single = averaged.members[0].posterior.save(tmp_path / "one.nc")
    assert not isinstance(averages.load_posterior(single), Average)


def test_a_batch_gives_each_evaluation_its_own_average(averaged: Average) -> None:
    mixed = Evaluation.joined(
        [
            Evaluation.from_counts([0, 3, 1], [10, 10, 10], behaviour="counted"),
            Evaluation.from_scores({"exact": np.linspace(-3, -1, 50)}),
        ]
    )
    made, refused = average_many([evaluation_of(120, 1), mixed], **QUICK)
    assert isinstance(made, Average)
    assert made.weights() == averaged.weights()
    assert isinstance(refused, NotApplicable)
    assert "counts, exact" in str(refused)
    with pytest.raises(NotApplicable, match="no model takes both"):
        average(mixed)


def assert_alike(one: object, other: object) -> None:
    """Averages of the same weights, thresholds and draws, to the last bit."""
    assert isinstance(one, Average)
    assert isinstance(other, Average)
    assert one.weights() == other.weights()
    assert one.notes == other.notes
    for mine, its in zip(one.members, other.members, strict=True):
        assert (mine.label, mine.pareto_k) == (its.label, its.pareto_k)
        assert mine.posterior.provenance["priors"] == its.posterior.provenance["priors"]
        for part in ("draws", "data"):
            arrays, others = getattr(mine.posterior, part), getattr(its.posterior, part)
            assert arrays.keys() == others.keys()
            for name, values in arrays.items():
                np.testing.assert_array_equal(values, others[name], err_msg=name)


def test_what_an_evaluation_gets_does_not_depend_on_its_companions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though labels are rounded, and others have more candidates or another order."""

    def suited(evaluation: Evaluation) -> tuple[Candidate, ...]:
        size = min(evaluation.sizes.values())
        tail = Candidate(
            "gpd_tail at about a tenth",
            "gpd_tail",
            {"fraction": 12.4 / size, "pool": False},
        )
        heavy = Candidate("log_normal", "log_normal", concentration=size / 60)
        return (tail, heavy) if size < 122 else (heavy, tail)

    monkeypatch.setattr(averaging, "candidates", suited)
    batch = [evaluation_of(size, size) for size in (123, 120)]
    for evaluation, made in zip(batch, average_many(batch, **QUICK), strict=True):
        [alone] = average_many([evaluation], **QUICK)
        assert_alike(made, alone)
        assert isinstance(made, Average)
        [tail] = [m for m in made.members if "gpd" in m.label]
        assert tail.posterior.settings["fraction"] == 12.4 / evaluation.sizes["a"]


@pytest.mark.slow
def test_counts_of_nearly_one_size_get_what_they_would_get_alone() -> None:
    rng = np.random.default_rng(3)
    batch = [
        Evaluation.from_counts(
            rng.binomial(20, rng.beta(0.5, 20, size)), np.full(size, 20)
        )
        for size in (1001, 1000)
    ]
    labels = [[each.label for each in candidates(one)] for one in batch]
    assert labels[0] == labels[1]
    quick: dict[str, Any] = QUICK | {"warmup": 50, "draws": 50}
    together = average_many(batch, **quick)
    for evaluation, made in zip(batch, together, strict=True):
        [alone] = average_many([evaluation], **quick)
        assert_alike(made, alone)


@pytest.fixture(scope="module")
def counted() -> Average:
    """Of counts whose risks are beta-distributed."""
    rng = np.random.default_rng(8)
    successes = rng.binomial(40, rng.beta(0.5, 40, 400))
    evaluation = Evaluation.from_counts(
        successes, np.full(400, 40), query_id=[f"q{n}" for n in range(400)]
    )
    made = fit(evaluation, **QUICK)
    assert isinstance(made, Average)
    return made


def test_counts_are_averaged_over_thresholds_and_models(counted: Average) -> None:
    [shares] = counted.weights().values()
    assert [*shares] == [
        "binomial_tail at about 5 exceedances",
        "binomial_tail at about 10 exceedances",
        "beta_binomial",
    ]
    assert shares["beta_binomial"] > 0.2  # it is the truth
    made = forecast(counted, Deployment([1e5]))
    assert np.isfinite(made.summary()["median"].dropna()).all()


def test_risks_of_queries_are_drawn_from_all_members(counted: Average) -> None:
    """Their mean is the weighted mean of what the members say."""
    found = counted.query_risks(top=3)
    assert found.model == "average"
    assert found.risk.shape == (1, 4000, 3)
    means = [m.posterior.query_risks(top=3).risk.mean((0, 1)) for m in counted.members]
    weights = [m.weights["behaviour"] for m in counted.members]
    np.testing.assert_allclose(
        found.risk.mean((0, 1)), np.average(means, axis=0, weights=weights), rtol=0.1
    )


def test_estimates_have_one_model() -> None:
    evaluation = Evaluation.from_estimates(np.linspace(-9, -2, 30), np.full(30, 0.2))
    assert [c.model for c in candidates(evaluation)] == ["binomial_tail"]


def test_the_default_has_no_settings() -> None:
    with pytest.raises(
        InvalidInput, match=r"no settings of its own, got shape.*--model"
    ):
        fit(evaluation_of(50, 3), shape=0.1)  # pyright: ignore[reportCallIssue]


def test_an_unknown_behaviour_is_refused(averaged: Average) -> None:
    with pytest.raises(InvalidInput, match="It has: a, b"):
        averaged.population()


def test_an_average_of_what_did_not_converge_is_refused(averaged: Average) -> None:
    """Two short chains have fewer effective draws than a verdict asks for."""
    assert not averaged.verdict.converged
    with pytest.raises(NotConverged, match="the average did not converge: "):
        averaged.require_convergence()


@pytest.mark.parametrize("doubt", [math.nan, math.inf, 0.71])
def test_a_doubtful_weight_is_said_where_it_is_no_number(
    averaged: Average, doubt: float
) -> None:
    first = averaged.members[0]
    told = replace(averaged, members=(replace(first, pareto_k={"a": doubt}),))
    assert f"Weights are uncertain of {first.label}: " in " ".join(on_average(told))
    sure = replace(averaged, members=(replace(first, pareto_k={"a": 0.7}),))
    assert "uncertain" not in " ".join(on_average(sure))


def test_a_verdict_passes_on_what_is_no_number(averaged: Average) -> None:
    """Whichever member it is of."""
    first, *others = averaged.members
    nothing = replace(
        first.posterior.verdict, max_rhat=math.nan, min_ess=math.nan, reasons=("no",)
    )
    broken = replace(first, posterior=replace(first.posterior, verdict=nothing))
    for members in ((broken, *others), (*others, broken)):
        verdict = replace(averaged, members=members).verdict
        assert math.isnan(verdict.max_rhat)
        assert math.isnan(verdict.min_ess)
        assert not verdict.converged


def test_weights_in_words() -> None:
    assert written({"x": 0.2, "y": 0.797, "z": 0.003}) == "80 % y, 20 % x"


@pytest.mark.parametrize("draws", [1, 7, 100, 4000])
def test_numbers_in_proportion_sum_to_what_was_asked(draws: int) -> None:
    weights = np.random.default_rng(3).dirichlet(np.ones(5))
    numbers = np.array(apportioned(weights, draws))
    assert numbers.sum() == draws
    assert (np.abs(numbers - draws * weights) < 1).all()


def test_average_is_a_method_without_settings() -> None:
    assert method("average").name == "average"
    with pytest.raises(InvalidInput, match="has no settings"):
        method("average:shape=0.1")
