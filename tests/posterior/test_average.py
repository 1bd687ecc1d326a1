"""Posteriors of several models as one."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unfitted import unfitted

from bayes_rare.diagnostics import importance_weights
from bayes_rare.errors import InvalidInput, NotApplicable, NotConverged
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, forecast
from bayes_rare.forecasting.notes import on_average
from bayes_rare.inference import average, average_many, averaging, fit
from bayes_rare.inference.average_weights import Candidate
from bayes_rare.inference.averaging import candidates
from bayes_rare.methods import method
from bayes_rare.populations import FamilyMixture
from bayes_rare.populations.gathered import Gathered
from bayes_rare.posterior import Average, Posterior, load
from bayes_rare.posterior.average import Member, _shared, apportioned, written

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
    """What is tried is each query of each top.

    The Pareto k of these data is near the limit of what is trusted, and on which side
    its estimate falls is a matter of the draws: so nothing is fitted again first, and
    then everything.
    """
    # A fit that did not converge has no say.
    sampling: dict[str, Any] = QUICK | {"target_ess": 400.0, "draws": 1000}
    monkeypatch.setattr(importance_weights, "TRUSTED", math.inf)
    weighed = average(evaluation_of(120, 1), **sampling)
    assert max(k for m in weighed.members for k in m.pareto_k.values()) < 1
    monkeypatch.setattr(importance_weights, "TRUSTED", -math.inf)
    again = average(evaluation_of(120, 1), **sampling)
    for behaviour, shares in weighed.weights().items():
        found = again.weights()[behaviour]
        assert found == pytest.approx(shares, abs=0.08)
        assert found != shares
    assert all(k == 0 for m in again.members for k in m.pareto_k.values())
    assert "was fitted again without the queries" in " ".join(again.notes)
    assert not weighed.notes


def test_a_forecast_of_an_average_says_who_has_a_say(averaged: Average) -> None:
    made = forecast(averaged, Deployment([1e4]))
    assert made.method == "average"
    assert any(note.startswith("a: ") and "log_normal" in note for note in made.notes)
    assert np.isfinite(made.summary()["median"].dropna()).all()


def test_what_is_saved_is_what_is_loaded(averaged: Average, tmp_path: Path) -> None:
    path = averaged.save(tmp_path / "average.nc")
    loaded = load.load_posterior(path)
    assert isinstance(loaded, Average)
    assert loaded.weights() == averaged.weights()
    np.testing.assert_array_equal(
        loaded.population("b").quantile(-9.0), averaged.population("b").quantile(-9.0)
    )
    single = averaged.members[0].posterior.save(tmp_path / "one.nc")
    assert not isinstance(load.load_posterior(single), Average)


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
    assert f"The weights of {first.label} are uncertain: " in " ".join(on_average(told))
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


def member_of(label: str, posterior: Posterior, **weights: float) -> Member:
    return Member(label, posterior, weights, dict.fromkeys(weights, 0.0))


def copies(seed: int, behaviours: str) -> Posterior:
    """Draws under which all behaviours are one and the same."""
    evaluation = Evaluation.from_scores(
        dict.fromkeys(behaviours, np.linspace(-3, -1, 20))
    )
    made = unfitted("log_normal", evaluation, seed)
    draws = {
        name: values[..., [0] * len(behaviours)] if values.ndim == 3 else values
        for name, values in made.draws.items()
    }
    return replace(made, draws=draws)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_behaviours_of_an_average_share_the_draws_of_a_member(share: float) -> None:
    """Wherever both weigh it, however unequally: of copies, neither is worse."""
    one, other = copies(1, "ab"), copies(2, "ab")
    average = Average(
        (
            member_of("one", one, a=share, b=1 - share),
            member_of("other", other, a=1 - share, b=share),
        )
    )
    both = [average.population(name).quantile(-5.0) for name in "ab"]
    alike = 2 * min(share, 1 - share)
    assert (both[0] == both[1]).mean() == pytest.approx(alike, abs=0.001)
    made = forecast(average, Deployment([1000]), targets=["worst_query_risk"])
    found = made.worse("a", "b").query("luck == 'shared'")["population"].item()
    # The chance is half where they are alike, whatever else the members say.
    said = [m.posterior.population("a").quantile(-5.0) for m in average.members]
    larger = float((said[0][:, None] > said[1]).mean())
    rest = larger if share > 0.5 else 1 - larger
    expected = alike / 2 + (1 - alike) * rest
    assert math.isclose(found, expected, abs_tol=0.06)
    if share == 0.5:
        joint, alone = (
            made.joint_worst(names).query("luck == 'shared'")["median"].item()
            for names in (["a", "b"], ["a"])
        )
        assert math.isclose(joint, alone, rel_tol=0.05)


def test_risks_of_queries_share_the_draws_of_a_member() -> None:
    counts = Evaluation.from_counts(
        np.tile([0, 1, 3], 4), np.full(12, 10), behaviour=["a"] * 6 + ["b"] * 6
    )
    posteriors = [unfitted("beta_binomial", counts, seed) for seed in (1, 2)]
    average = Average(
        tuple(
            member_of(str(place), one, a=weight, b=1 - weight)
            for place, (one, weight) in enumerate(
                zip(posteriors, (0.8, 0.2), strict=True)
            )
        )
    )
    for name in "ab":
        order = average.order(name)
        assert sorted(order.tolist()) == list(range(4000))
        parts = [part.population(name) for part in average.parts(name)]
        found = np.concatenate([part.quantile(-1.0) for part in parts])
        np.testing.assert_array_equal(
            average.population(name).quantile(-1.0)[order], found
        )
    assert average.query_risks(top=2).risk.shape == (1, 4000, 4)


@given(
    weights=st.lists(
        st.lists(st.floats(0.001, 1), min_size=3, max_size=3), min_size=1, max_size=4
    ),
    draws=st.lists(st.integers(1, 300), min_size=3, max_size=3),
)
def test_shared_draws_are_as_many_as_the_weights_say(
    weights: list[list[float]], draws: list[int]
) -> None:
    numbers = {str(b): apportioned(own, 200) for b, own in enumerate(weights)}
    found = _shared(numbers, draws)
    held: list[np.ndarray] = []
    for name, own in numbers.items():
        places = np.concatenate([where for _, where in found[name]])
        assert sorted(places.tolist()) == list(range(200))
        drawn = np.empty((200, 2), int)
        for member, (taken, where) in enumerate(found[name]):
            assert len(taken) == len(where) == own[member]
            times = np.bincount(taken, minlength=draws[member])
            assert times.size == draws[member]
            assert times.max() <= -(-own[member] // draws[member]) + 1
            if own[member] <= draws[member]:
                assert times.max(initial=0) <= 1
            drawn[where] = np.stack([np.full(taken.size, member), taken], axis=1)
        held.append(drawn)
    common = np.min(list(numbers.values()), axis=0).sum()
    alike = np.all([(own == held[0]).all(axis=1) for own in held], axis=0).sum()
    assert alike >= common


@pytest.fixture(scope="module")
def with_families() -> Average:
    """Nearly all weight on members that know no families."""
    rng = np.random.default_rng(0)
    evaluation = Evaluation.from_scores(
        rng.normal(-2, 0.4, 120),
        behaviour=["a", "b"] * 60,
        family=[f"{number // 2 % 4}" for number in range(120)],
    )
    return Average(
        (
            member_of("plain", unfitted("log_normal", evaluation), a=0.99, b=1.0),
            member_of("heavy", unfitted("family_tail", evaluation), a=0.01, b=0.0),
        )
    )


@pytest.mark.parametrize(
    "elsewhere",
    [{"families": {"1": 1.0}}, {"unseen_share": 0.5, "unseen_families": 3}],
    ids=["weights", "unseen"],
)
def test_another_mix_is_answered_by_the_whole_posterior_that_knows_families(
    with_families: Average, elsewhere: dict[str, Any]
) -> None:
    made = forecast(with_families, Deployment(1000, **elsewhere), targets=())
    heavy = with_families.members[1].posterior
    for name in "ab":
        population, known = made.populations[name], heavy.population(name)
        assert isinstance(population, FamilyMixture)
        assert isinstance(known, FamilyMixture)
        # Each of the 400 draws equally often, in place of the 40 of its weight.
        shapes, times = np.unique(population.shape, return_counts=True)
        np.testing.assert_array_equal(shapes, np.unique(known.shape))
        assert set(times.tolist()) == {10}
    said = " ".join(made.notes)
    assert "this forecast is made by heavy alone: " in said
    assert "own mix, the weight of heavy would be: a 1 %; b 0 %" in said
    assert "a: 100 % heavy." in made.notes


def test_in_the_evaluation_s_own_mix_all_members_answer(
    with_families: Average,
) -> None:
    made = forecast(with_families, Deployment(1000), targets=())
    assert not any("made by heavy alone" in note for note in made.notes)
    assert isinstance(made.populations["a"], Gathered)
    shares = made.family_contributions()
    assert set(shares["behaviour"]) == {"a", "b"}
    heavy = with_families.only(with_families.members[1:])
    whole = forecast(heavy, Deployment(1000), targets=())
    pd.testing.assert_frame_equal(shares, whole.family_contributions())


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
